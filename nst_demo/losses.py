"""The losses of style transfer, in backend-neutral Keras operations.

For training, features are (B, h, w, C) and every function reduces one layer of one batch to a
scalar or a statistic. For image optimisation a layer's loss is a function of `Sums` over positions,
chosen by name (STYLE_LOSSES, CONTENT_LOSSES, VARIATION_LOSSES): ours, and the published ones that
`recipes` combines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from keras import ops


def moments(features, epsilon: float = 1e-8):
    """Mean and standard deviation over positions, each (B, 1, 1, C), in float32.

    Huang & Belongie, arXiv 1703.06868, eq. 5 and 6. `epsilon` is added to the variance, so that
    the gradient of the square root stays finite where a channel is silent.
    """
    features = ops.cast(features, "float32")
    mean = ops.mean(features, axis=(1, 2), keepdims=True)
    variance = ops.mean(ops.square(features - mean), axis=(1, 2), keepdims=True)
    return mean, ops.sqrt(variance + epsilon)


def instance_normalise(features, epsilon: float = 1e-5):
    """Features with mean 0 and variance 1 in every channel (arXiv 1607.08022)."""
    mean, deviation = moments(features, epsilon)
    return (ops.cast(features, "float32") - mean) / deviation


def gram_matrix(features):
    """(B, h, w, C) -> (B, C, C), float32: the mean over positions of F Fᵀ.

    Gatys et al., arXiv 1508.06576, eq. 3, divided by the number of positions, so that pictures of
    any sizes compare.
    """
    features = ops.cast(features, "float32")
    flat = ops.reshape(features, (ops.shape(features)[0], -1, ops.shape(features)[-1]))
    positions = ops.cast(ops.shape(flat)[1], "float32")
    return ops.matmul(ops.transpose(flat, (0, 2, 1)), flat) / positions


def relative_error(value, target):
    """|value - target|^2 / |target|^2 over the whole batch: scale-free, 1 for a zero guess."""
    return ops.sum(ops.square(value - target)) / (ops.sum(ops.square(target)) + 1e-8)


def moments_loss(features, style_features):
    """Mismatch of the channel moments (1703.06868, eq. 13), divided by the style's own energy.

    Departs from eq. 13: squared, and relative to the style, so that layers of different scale
    count alike and one weight suits every style. Mean over the batch.
    """
    mean, deviation = moments(features)
    target_mean, target_deviation = moments(style_features)
    mismatch = ops.square(mean - target_mean) + ops.square(deviation - target_deviation)
    energy = ops.square(target_mean) + ops.square(target_deviation)
    return ops.mean(ops.sum(mismatch, axis=(1, 2, 3)) / ops.sum(energy, axis=(1, 2, 3)))


def statistics(features):
    """Mean and deviation (B, 1, 1, C), Gram matrix (B, C, C): what a style is compared by."""
    return (*moments(features), gram_matrix(features))


def read_statistics(found, kernel, bias):
    """The `statistics` of F kernel + bias (C -> D channels) from those of F: no features needed."""
    mean, _, gram = found
    flat = mean[:, 0, 0]  # (B, C)
    covariance = gram - flat[:, :, None] * flat[:, None]
    covariance = ops.matmul(ops.transpose(kernel), ops.matmul(covariance, kernel))  # (B, D, D)
    flat = ops.matmul(flat, kernel) + bias
    variance = ops.maximum(ops.diagonal(covariance, axis1=1, axis2=2), 0.0)
    deviation = ops.sqrt(variance + 1e-8)
    gram = covariance + flat[:, :, None] * flat[:, None]
    return flat[:, None, None], deviation[:, None, None], gram


def statistics_loss(found, target):
    """Mean of the mismatches of moments and of Gram matrices, each relative to the style's energy.

    Both are `statistics`, the target's of one style or of one for each picture found. Moments alone
    leave open which channels act together: texture is in the Gram matrix.
    """
    (mean, deviation, gram), (target_mean, target_deviation, target_gram) = found, target
    mismatch = ops.square(mean - target_mean) + ops.square(deviation - target_deviation)
    energy = ops.square(target_mean) + ops.square(target_deviation)
    of_moments = ops.sum(mismatch, axis=(1, 2, 3)) / ops.sum(energy, axis=(1, 2, 3))
    off = ops.sum(ops.square(gram - target_gram), axis=(1, 2))
    of_gram = off / ops.sum(ops.square(target_gram), axis=(1, 2))
    return 0.5 * ops.mean(of_moments + of_gram)


def structure_loss(features, content_features):
    """Mean squared difference of instance-normalised features: structure without colour."""
    return ops.mean(ops.square(instance_normalise(features) - instance_normalise(content_features)))


def out_of_range(image):
    """Mean squared excess of values below 0 or above 1."""
    return ops.mean(ops.square(image - ops.clip(image, 0.0, 1.0)))


def total_variation(image):
    """Mean squared difference of neighbouring pixels of (B, H, W, C): vertical plus horizontal."""
    vertical = image[:, 1:] - image[:, :-1]
    horizontal = image[:, :, 1:] - image[:, :, :-1]
    return ops.mean(ops.square(vertical)) + ops.mean(ops.square(horizontal))


def grid(painted, period: int = 4, window: int = 24):
    """Energy of what repeats every 4 pixels throughout windows: 0 without a checkerboard.

    Upsampling by 2 twice can draw one, which a style loss takes at first for fine strokes.
    Slopes count nothing, strokes little; only whole windows count.
    """
    soft: Any = painted
    for axis in (1, 2):  # binomial in kind, and 0 for what repeats every 2 or 4 pixels
        size = soft.shape[axis] - 4
        cut = (slice(None),) * axis
        soft = sum(
            share / 8 * soft[(*cut, slice(start, start + size))]
            for start, share in enumerate((1, 2, 2, 2, 1))
        )
    rough = painted[:, 2:-2, 2:-2] - soft
    height, width = (side // window for side in rough.shape[1:3])
    count = window // period
    cells = rough[:, : height * window, : width * window]
    cells = ops.reshape(cells, (-1, height, count, period, width, count, period, 3))
    phases = ops.mean(cells, axis=(2, 5))  # (B, height, period, width, period, 3)
    return ops.mean(ops.square(phases))


def _rough(image):
    """Of (B, H, W, C): grey (B, H, W), less its mean over the window around each pixel."""
    grey = ops.mean(image, axis=-1)
    return grey - _blurred(grey)


def _blurred(grey, window: int = 17, axes: tuple[int, ...] = (1, 2)):
    """Means over windows around each pixel of (B, H, W); beyond the border it is mirrored.

    As products with matrices: Keras' pooling is a hundred times as slow on a CPU.
    """
    for axis in axes:
        side = grey.shape[axis]
        sources = np.pad(np.arange(side), window // 2, mode="reflect")
        shares = np.zeros((side, side), "float32")
        for first in range(window):
            shares[sources[first : first + side], np.arange(side)] += 1.0 / window
        grey = ops.einsum("bhw,hk->bkw" if axis == 1 else "bhw,wk->bhk", grey, shares)
    return grey


def lattice(painted, cell: int = 16, window: int = 44):
    """How much more strokes repeat at whole cells than beside them, 0 to 1: 0 for a painter's.

    A network with features of `cell` pixels may fill level areas with one stroke in every cell or
    every second one. Correlations of windows with those at whole cells away, above the mean of
    those 6 pixels off; squared. 0 for a picture that is too small for two cells each way.
    """
    rough = _rough(painted)
    reach = 2 * cell + 6
    height, width = (side - reach for side in rough.shape[1:3])
    window = min(window, height - reach, width - reach)
    if window < cell:
        return ops.zeros(())

    def near(down: int, right: int):
        return rough[:, reach + down : height + down, reach + right : width + right]

    def pooled(product):
        down, right = (side // window for side in product.shape[-2:])
        whole = product[..., : down * window, : right * window]
        parts = ops.reshape(whole, (-1, product.shape[1], down, window, right, window))
        return ops.mean(parts, axis=(3, 5))

    shifts = [(cell, cell), (cell, -cell), (cell, 0), (0, cell), (2 * cell, 0), (0, 2 * cell)]
    corners = [(0, 0), (6, 6), (6, -6), (-6, 6), (-6, -6)]
    # By shift and corner in one array, (B, 30, h, w): a graph of few operations.
    others = [near(down + i, right + j) for down, right in shifts for i, j in corners]
    others = ops.stack(others, axis=1)
    own = near(0, 0)[:, None]
    scale = pooled(ops.square(own)) * pooled(ops.square(others))
    likeness = pooled(own * others) * ops.rsqrt(scale + 1e-10)
    likeness = ops.reshape(likeness, (-1, len(shifts), len(corners), *likeness.shape[2:]))
    excess = ops.relu(likeness[:, :, 0] - ops.mean(likeness[:, :, 1:], axis=2))
    return ops.mean(ops.square(excess))


def restlessness(painted, photo, contrast: float = 0.03):
    """Share of the strokes' energy that is where the photo is level, 0 to 1; both (B, H, W, 3).

    contrast: see `_level`.
    """
    energy = ops.square(_rough(painted))
    level = _level(photo, contrast)
    share = ops.sum(level * energy, axis=(1, 2)) / (ops.sum(energy, axis=(1, 2)) + 1e-6)
    return ops.mean(share)


def _level(photo, contrast: float):
    """How level (B, H, W, 3) is around each pixel, 0 to 1: (B, H, W).

    contrast: deviation of brightness within 17 pixels at which it is a half.
    """
    grey = ops.mean(photo, axis=-1)
    variance = ops.maximum(_blurred(ops.square(grey)) - ops.square(_blurred(grey)), 0.0)
    return 1.0 / (1.0 + variance / contrast**2)


# px: means over which a streak stands out across, and its least length; each pair is looked for
STREAKS = ((25, 32), (49, 56))


def streaks(painted, photo, contrast: float = 0.015):
    """How much of what is painted where the photo is level are lines straight down or across.

    Both (B, H, W, 3). A network that fills a sky finds such lines the easiest; they may differ from
    their surroundings in colour alone. For each pair in STREAKS, of the picture less its means over
    the first number of px across: the covariance by the second number further on, by the variance
    of the whole picture; mean over the pairs, down and across together. 0 for shorter strokes, and
    for a picture that is too small for others.

    contrast: see `_level`.
    """
    channels, level = ops.transpose(painted, (0, 3, 1, 2)), _level(photo, contrast)
    total = ops.zeros(())
    for window, lag in STREAKS:
        if min(channels.shape[2:]) > max(window, lag):
            turned = ops.swapaxes(channels, 2, 3), ops.swapaxes(level, 1, 2)
            total = total + _running_down(channels, level, window, lag)
            total = total + _running_down(*turned, window, lag)
    return total / len(STREAKS)


def _running_down(channels, level, window: int, lag: int):
    """`streaks` of one width and length, downwards only: of (B, 3, H, W), level (B, H, W)."""
    height, width = channels.shape[2:]
    flat = ops.reshape(channels, (-1, height, width))
    lines = ops.reshape(flat - _blurred(flat, window, (2,)), (-1, 3, height, width))
    both = ops.minimum(level[:, :-lag], level[:, lag:])[:, None]
    shared = ops.sum(both * lines[:, :, :-lag] * lines[:, :, lag:], axis=(1, 2, 3))
    # A tenth of the picture more: where hardly anything is level, it hardly counts.
    places = ops.sum(both, axis=(1, 2, 3)) + 0.1 * height * width
    variance = ops.mean(ops.square(lines), axis=(1, 2, 3)) + 1e-6
    return ops.mean(ops.relu(shared) / (3 * places) / variance)


# ---- Statistics that add up over tiles -----------------------------------------------------------


class Sums(NamedTuple):
    """Sums over the positions of one layer of one picture: all that a loss of the layer needs.

    Sums over the tiles of a picture add up to the picture's, so that a picture of any size can be
    evaluated in parts. What a layer does not need is a zero of shape ().
    """

    total: Any  # (C,) of F
    gram: Any  # (C, C) of F Fᵀ; style layers
    square: Any  # (C,) of F²; content layers
    difference: Any  # (C,) of (F - P)², P the content's features; content layers
    positions: Any  # (): how many there are, float32


def layer_sums(features, *, style: bool, content=None, weights=None) -> Sums:
    """The sums of features (1, h, w, C), taken in float32.

    Args:
        style: whether the layer's Gram matrix is needed.
        content: the content's features (1, h, w, C) where this is a content layer; for the
            content's own sums its features once more.
        weights: (1, h, w, 1) in [0, 1], what each position counts: the guidance channel of Gatys
            et al., arXiv 1611.07865, §4 (squared: it is products of features that are weighted).
    """
    # Before the cast: what asks TensorFlow for the shape of a cast has it computed.
    _, height, width, channels = ops.shape(features)
    features = ops.cast(features, "float32")
    if weights is None:
        weighted, positions = features, ops.cast(height * width, "float32")
    else:
        weighted, positions = features * weights, ops.sum(weights)
    zero = ops.zeros(())
    gram = square = difference = zero
    if style:
        flat = ops.reshape(features, (-1, channels))
        gram = ops.matmul(ops.transpose(ops.reshape(weighted, (-1, channels))), flat)
    if content is not None:
        square = ops.sum(weighted * features, axis=(0, 1, 2))
        off = features - ops.cast(content, "float32")
        squared = ops.square(off) if weights is None else ops.square(off) * weights
        difference = ops.sum(squared, axis=(0, 1, 2))
    return Sums(ops.sum(weighted, axis=(0, 1, 2)), gram, square, difference, positions)


def read(sums: Sums, kernel, bias) -> Sums:
    """The style sums of F kernel + bias (C -> D channels) from those of F."""
    total = ops.matmul(sums.total, kernel)
    cross = total[:, None] * bias[None, :]
    gram = ops.matmul(ops.transpose(kernel), ops.matmul(sums.gram, kernel))
    gram = gram + cross + ops.transpose(cross) + sums.positions * bias[:, None] * bias[None, :]
    return sums._replace(total=total + sums.positions * bias, gram=gram)


def mix(parts: Sequence[Sums], shares) -> Sums:
    """Style sums of several pictures as one: their means per position, mixed by `shares`.

    The result has 1 position. `shares` (k,) usually sum to 1.
    """
    mixed = [
        sum(shares[k] * part[field] / part.positions for k, part in enumerate(parts))
        for field in range(len(Sums._fields))
    ]
    return Sums(*mixed)


def _per_position(sums: Sums):
    """The Gram matrix (C, C), arXiv 1508.06576, eq. 3, as a mean: for pictures of any sizes.

    The published losses below that use the sum, G = F Fᵀ, take both at the size of the picture:
    M times this, M its positions. This is what was published where, as there, the style has the
    photo's size; it goes on working where a mask or the style has another.
    """
    return sums.gram / sums.positions


def _mean_and_variance(total, square, positions):
    mean = total / positions
    return mean, ops.maximum(square / positions - ops.square(mean), 0.0)


# ---- Style ---------------------------------------------------------------------------------------


def _gram(picture: Sums, style: Sums, **_):
    """Gatys' loss relative to the style's own energy: layers of any scale count alike."""
    return relative_error(_per_position(picture), _per_position(style))


def _moments(picture: Sums, style: Sums, **_):
    """As `moments_loss`, from sums."""
    mean, variance = _mean_and_variance(
        picture.total, ops.diagonal(picture.gram), picture.positions
    )
    target_mean, target_variance = _mean_and_variance(
        style.total, ops.diagonal(style.gram), style.positions
    )
    deviation, target_deviation = ops.sqrt(variance + 1e-8), ops.sqrt(target_variance + 1e-8)
    mismatch = ops.square(mean - target_mean) + ops.square(deviation - target_deviation)
    energy = ops.square(target_mean) + ops.square(target_deviation)
    return ops.sum(mismatch) / ops.sum(energy)


def _covariance(picture: Sums, style: Sums, **_):
    """Relative errors of the mean and of the covariance (C, C), half of each.

    What the Gram matrix mixes into one, apart (cf. Li et al., arXiv 1701.01036, §4).
    """

    def statistics(sums: Sums):
        mean = sums.total / sums.positions
        return mean, _per_position(sums) - mean[:, None] * mean[None, :]

    (mean, covariance), (target_mean, target_covariance) = statistics(picture), statistics(style)
    return 0.5 * (relative_error(mean, target_mean) + relative_error(covariance, target_covariance))


def _sethi_style(picture: Sums, style: Sums, **_):
    """mean((G - A)²), G = F Fᵀ / (h w)."""
    return ops.mean(ops.square(_per_position(picture) - _per_position(style)))


def _chen_style(picture: Sums, style: Sums, **_):
    """mean((G - A)²), G = FᵀF / F.size: L2 without the half."""
    channels = picture.total.shape[-1]
    return ops.mean(ops.square((_per_position(picture) - _per_position(style)) / channels))


def _gatys_style(picture: Sums, style: Sums, **_):
    """Σ(G - A)² / (4 N² M²), N channels and M positions. Gatys et al., arXiv 1508.06576, eq. 4.

    Zandian's 1/(2 nC nH nW)² Σ(G - G)² is the same.
    """
    difference = (_per_position(picture) - _per_position(style)) / picture.total.shape[-1]
    return ops.sum(ops.square(difference)) / 4.0


def _keras_style(picture: Sums, style: Sums, *, pixels: int):
    """Σ(S - C)² / (4 · channels² · size²), of the image itself at every layer: 3 and rows·columns.

    `pixels`: rows times columns of the picture.
    """
    scale = picture.positions / pixels  # before squaring, which may overflow
    difference = scale * (_per_position(picture) - _per_position(style))
    return ops.sum(ops.square(difference)) / (4.0 * 3.0**2)


STYLE_LOSSES: dict[str, Callable[..., Any]] = {
    "gram": _gram,
    "moments": _moments,
    "covariance": _covariance,
    "sethi": _sethi_style,
    "chen": _chen_style,
    "zandian": _gatys_style,
    "baroni": _gatys_style,
    "keras": _keras_style,
}
"""One layer's loss by name: (the picture's sums, the style's sums, pixels=rows·columns) -> ()."""


# ---- Content -------------------------------------------------------------------------------------


def _structure(picture: Sums, content: Sums, **_):
    """As `structure_loss`, from sums; exactly 0 for the content itself.

    With deviations s and t: mean(((F - mF)/s - (P - mP)/t)²)
    = var(F - P)/(s t) + (1/s - 1/t) (var(F)/s - var(P)/t).
    """
    count = picture.positions
    mean, variance = _mean_and_variance(picture.total, picture.square, count)
    target_mean, target_variance = _mean_and_variance(content.total, content.square, count)
    off = picture.difference / count - ops.square(mean - target_mean)
    a, b = ops.rsqrt(variance + 1e-5), ops.rsqrt(target_variance + 1e-5)
    return ops.mean(a * b * off + (a - b) * (a * variance - b * target_variance))


def _mean_squared(picture: Sums, content: Sums, **_):
    """mean((F - P)²): Sethi's, and Chen's 2·l2_loss(F - P) / size."""
    return ops.mean(picture.difference) / picture.positions


def _zandian_content(picture: Sums, content: Sums, **_):
    """Σ(a - a)² / (4 nH nW nC)."""
    return 0.25 * ops.mean(picture.difference) / picture.positions


def _gatys_content(picture: Sums, content: Sums, **_):
    """½ Σ(F - P)². Gatys et al., arXiv 1508.06576, eq. 1."""
    return 0.5 * ops.sum(picture.difference)


def _keras_content(picture: Sums, content: Sums, **_):
    """Σ(F - P)²."""
    return ops.sum(picture.difference)


CONTENT_LOSSES: dict[str, Callable[..., Any]] = {
    "structure": _structure,
    "sethi": _mean_squared,
    "chen": _mean_squared,
    "zandian": _zandian_content,
    "baroni": _gatys_content,
    "keras": _keras_content,
}
"""One layer's loss by name: (the picture's sums, the content's own, pixels=rows·columns) -> ()."""


# ---- Pixels --------------------------------------------------------------------------------------


def _keras_variation(image):
    """Σ(a + b)^1.25, a and b the squared differences to the pixel below and to the right."""
    corner = image[:, :-1, :-1]
    below = ops.square(corner - image[:, 1:, :-1])
    right = ops.square(corner - image[:, :-1, 1:])
    return ops.sum(ops.power(below + right, 1.25))


VARIATION_LOSSES: dict[str, Callable[[Any], Any]] = {
    "squares": total_variation,
    "chen": total_variation,
    "keras": _keras_variation,
}
"""Smoothness of a picture (1, H, W, 3) by name; its values in the recipe's pixel range."""
