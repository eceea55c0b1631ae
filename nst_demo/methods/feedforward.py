"""One small network per style, one pass per photo. Johnson et al., arXiv 1603.08155.

An image-transform network (§3.1) is trained to paint every photo in one style, by the perceptual
losses of §3.2 (`objective`; the loop is `training.feedforward`), or by the loss that the `chen`
system published (`chen_objective`). Applying it is a single pass, at a fraction of the cost of a
network for all styles. It departs from the paper where that made it
smaller, faster or better:

- Instance normalisation in place of batch normalisation (Ulyanov et al., arXiv 1607.08022, eq. 4).
- Upsampling and a convolution in place of a transposed one, which leaves a checkerboard.
- 0.29 M parameters instead of 1.7 M: four residual blocks, three of them at 1/8, dilated to see
  far; the features at 1/4 skip them, which keeps detail.
- Mirrored borders, cut off again, in place of zero padding, which shows as a frame.
- Grain is added to the photo (`grain`), so that strokes in level areas do not stand in a lattice.
- A large picture is painted at two sizes, so that its strokes do not become too fine (`strokes`).

A style is data: the weights in `NAME.weights.h5`, packaged or in the folder that NST_STYLES_DIR
names. All styles share one network, whose weights are set before each painting; so a further style
costs under a megabyte of memory, and no time to compile.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from nst_demo import backbones, images, losses, models, strokes, weights
from nst_demo.errors import StyleTransferError, check_range, check_seed, check_weight
from nst_demo.layers import InstanceNormalisation, UpsampleConvolution, repeated, rescaled
from nst_demo.recipes import CHEN

STRIDE = 8  # the coarsest features are at 1/8: padded sides must be multiples of this
TRIM = 8  # the decoder's unpadded convolutions take this many pixels off each side
MARGIN = 16  # reflected pixels around a picture: TRIM, and room for the zero padding inside
MAX_SIZE = 4096  # px
STROKE_SIZE = 1024  # px, long side: in larger pictures the strokes are to be as large as in this
LEAST_SIZE = 192  # px, long side: no picture is painted smaller for larger strokes
GRAIN = 0.01  # standard deviation, of each size
GRAIN_SIZES = (2, 4, 8)  # px
GRAIN_SIDE = 512  # px, then it repeats
CHANNELS = (24, 32, 64)  # at 1/2, 1/4, 1/8
BLOCKS = ((), (1,), (2, 4, 1))  # residual blocks there, by their dilation: for large forms
KEPT_STYLES = 64  # in memory, a megabyte each


@functools.cache
def grain() -> np.ndarray:
    """What is added to a photo before it is painted: float32 (GRAIN_SIDE, GRAIN_SIDE, 3).

    Without it a level area gives the network nothing to begin a stroke with, and it paints a
    lattice there; see `layers.Grain`. Blotches of some sizes, as the network looks at several.
    """
    rng, frequencies = np.random.default_rng(0), np.fft.fftfreq(GRAIN_SIDE)
    squared = (frequencies[:, None] ** 2 + frequencies**2)[..., None]
    total = np.zeros((GRAIN_SIDE, GRAIN_SIDE, 3))
    for size in GRAIN_SIZES:
        white = rng.standard_normal(total.shape)
        gaussian = np.exp(-0.5 * squared * (np.pi * size) ** 2)  # as wide as size / 2
        blotches = np.fft.ifft2(np.fft.fft2(white, axes=(0, 1)) * gaussian, axes=(0, 1)).real
        total += GRAIN / blotches.std() * blotches
    return total.astype("float32")


def _mirror(features, before: int, after: int):
    """`before` and `after` mirrored rows and columns around the features: a few.

    Several times as fast as `ops.pad`.
    """
    for axis in (1, 2):
        cut = (slice(None),) * axis
        rows = [features[(*cut, slice(i, i + 1))] for i in range(before, 0, -1)]
        rows.append(features)
        rows += [features[(*cut, slice(-i - 1, -i))] for i in range(1, after + 1)]
        features = ops.concatenate(rows, axis=axis)
    return features


class ShuffledConvolution(keras.layers.Layer):
    """An unpadded 3x3 convolution and a pixel shuffle: (h, w) -> (2h - 4, 2w - 4).

    The four pixels that come from one position answer alike to features that are level around it:
    kernels that differ in this draw a checkerboard, and a style loss is quick to find them. The
    four kernels also begin alike (Aitken et al., arXiv 1707.02937).
    """

    def __init__(self, filters: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.filters = filters

    def build(self, input_shape):
        one = keras.initializers.GlorotUniform()((3, 3, input_shape[-1], self.filters))
        shape = (3, 3, input_shape[-1], 4 * self.filters)
        self.kernel = self.add_weight(
            shape=shape, initializer=lambda *_, **__: ops.tile(one, (1, 1, 1, 4)), name="kernel"
        )
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")

    def call(self, features, scale):
        """`scale` (B, 1, 1, C) multiplies the features."""
        level = ops.reshape(ops.mean(self.kernel, axis=(0, 1)), (-1, 4, self.filters))
        off = level - ops.mean(level, axis=1, keepdims=True)
        kernel = self.kernel - ops.reshape(off, (-1, 4 * self.filters))
        features, kernel = rescaled(features, scale, kernel)
        x = ops.conv(features, kernel, padding="valid") + ops.tile(self.bias, 4)
        return ops.depth_to_space(x, 2)


class ResidualBlock(keras.layers.Layer):
    """x + norm(conv(relu(norm(conv(x))))), (B, h, w, C) -> (B, h, w, C), mirrored at the borders.

    No relu after the sum, as in §2 of the paper's supplement. A `dilation` of 2 sees twice as far.
    """

    def __init__(self, channels: int, dilation: int = 1, **kwargs: Any):
        super().__init__(**kwargs)
        self.dilation = dilation
        self.convolutions = [
            keras.layers.Conv2D(
                channels, 3, dilation_rate=dilation, use_bias=False, name=f"conv{i}"
            )
            for i in range(2)
        ]
        self.norms = [InstanceNormalisation(name=f"norm{i}") for i in range(2)]

    def build(self, input_shape):
        for layer in (*self.convolutions, *self.norms):
            layer.build((None, None, None, input_shape[-1]))  # `call` enlarges its own

    def call(self, features):
        x = features
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            if x is not features:
                x = ops.relu(x)
            x = norm(convolution(_mirror(x, self.dilation, self.dilation)))
        return features + x


class FeedforwardNetwork(keras.Model):
    """The image-transform network of one style.

    (B, H, W, 3) in [0, 1], H and W multiples of STRIDE -> (B, H - 2 TRIM, W - 2 TRIM, 3) in [0, 1].
    """

    def __init__(self):
        super().__init__(name="feedforward")
        self.down = [  # no bias: instance normalisation takes it away again
            keras.layers.Conv2D(c, 3 if level else 4, 2, use_bias=False, name=f"down{level}")
            for level, c in enumerate(CHANNELS)
        ]
        self.down_norms = [
            InstanceNormalisation(name=f"down_norm{i}") for i in range(len(CHANNELS))
        ]
        # By level, from 1/2 on.
        self.blocks = [
            [
                ResidualBlock(c, dilation, name=f"block{level}_{i}")
                for i, dilation in enumerate(found)
            ]
            for level, (c, found) in enumerate(zip(CHANNELS, BLOCKS, strict=True))
        ]
        self.up = [
            UpsampleConvolution(c, linear=True, name=f"up{i}") for i, c in enumerate(CHANNELS[:-1])
        ]
        self.up_norms = [InstanceNormalisation(name=f"up_norm{i}") for i in range(len(self.up))]
        self.leave = ShuffledConvolution(3, name="leave")

    def build(self, input_shape=None):
        """Makes the weights; the shapes of the inputs do not matter."""
        if not self.built:
            self.built = True
            at_half = (None, None, None, CHANNELS[0])
            for layer in (self.down_norms[0], self.down[1], self.up_norms[0]):
                layer.build(at_half)  # `call` goes past their own
            self(ops.zeros((1, 64, 64, 3)))

    def call(self, image):
        image = image + repeated(grain(), image)
        # At 1/2, where features are largest, the normalisations' scale goes into the next kernel.
        x, scale = self.down_norms[0].rectified(self.down[0](_mirror(image - 0.5, 1, 1)))
        x, kernel = rescaled(_mirror(x, 0, 1), scale, self.down[1].kernel)
        features = [ops.relu(self.down_norms[1](ops.conv(x, kernel, 2, padding="valid")))]
        for down, norm in zip(self.down[2:], self.down_norms[2:], strict=True):
            features.append(ops.relu(norm(down(_mirror(features[-1], 0, 1)))))
        x = features.pop()  # of 1/4, ... those above the coarsest are left
        for level in reversed(range(1, len(self.down))):
            for block in self.blocks[level]:
                x = block(x)
            x, norm = self.up[level - 1](x), self.up_norms[level - 1]
            if level == 1:  # no skip connection at 1/2: it would copy the photo's texture
                break
            # Each unpadded upsampling takes one more of its own pixels off each side.
            trim = 2 ** (len(self.down) - level) - 1
            x = ops.relu(norm(x)) + features.pop()[:, trim:-trim, trim:-trim]
        x = self.leave(*self.up_norms[0].rectified(x))
        # The sigmoid in float32: bfloat16 has fewer values in [0, 1] than pixels have.
        return ops.sigmoid(ops.cast(x, "float32"))


# ---- Training objective --------------------------------------------------------------------------

CONTENT_LAYERS = ("block3_conv1", "block4_conv1")


@dataclass(frozen=True)
class ObjectiveWeights:
    """Weights of the training objective's parts; see `objective`."""

    style: float = 14.0
    content: float = 1.0
    variation: float = 0.5
    grid: float = 500.0
    streaks: float = 10.0

    def __post_init__(self):
        for part in fields(self):
            check_weight(f"{part.name} weight", getattr(self, part.name))


@dataclass(frozen=True)
class ChenWeights:
    """Weights of the parts of `chen_objective`."""

    style: float = CHEN.style_weight
    content: float = CHEN.content_weight
    variation: float = CHEN.variation_weight

    __post_init__ = ObjectiveWeights.__post_init__


def style_statistics(loss_network, style) -> dict[str, tuple[Any, ...]]:
    """What `objective` wants of a style (1, H, W, 3), from a `teachers.Teacher`."""
    return loss_network.look(style)[0]


def objective(
    network: FeedforwardNetwork, loss_network, content, statistics: Mapping[str, tuple[Any, ...]]
) -> dict[str, Any]:
    """What the network is trained to lower, part by part (each a float32 scalar).

    Departs from eq. 2 and 4: style is the mean of the squared errors of Gram matrices and of
    moments over relu1_1 ... relu5_1, each layer relative to the style's own energy, relu4_1 and
    relu5_1 at half the size too, for larger forms; content compares instance-normalised features
    (relu3_1, relu4_1), so that colour does not count. Grid and streaks as in `adain.objective`.

    Args:
        loss_network: a `teachers.Teacher` with `backbones.STYLE_LAYERS`.
        content: (B, H, W, 3) in [0, 1], already padded as the network wants it.
        statistics: of the style, see `style_statistics`.
    """
    painted, inside = network(content), content[:, TRIM:-TRIM, TRIM:-TRIM]
    found, output = loss_network.look(painted, CONTENT_LAYERS)
    structure = loss_network(inside)
    style_parts = [
        losses.statistics_loss(found[layer], target) for layer, target in statistics.items()
    ]
    content_parts = [
        losses.structure_loss(output[layer], structure[layer]) for layer in CONTENT_LAYERS
    ]
    return {
        "style": sum(style_parts) / len(style_parts),
        "content": sum(content_parts) / len(content_parts),
        "variation": losses.total_variation(painted),
        "grid": losses.grid(painted),
        "streaks": losses.streaks(painted, inside),
    }


def chen_objective(
    network: FeedforwardNetwork, loss_network, content, statistics: Mapping[str, tuple[Any, ...]]
) -> dict[str, Any]:
    """As `objective`, by the loss of the `chen` system: what `recipes.CHEN` says of one picture.

    Args:
        loss_network: gives the recipe's layers as VGG19 does, see `teachers.LikeVGG`.
    """
    painted = network(content)
    output = loss_network(painted)
    own = loss_network(content[:, TRIM:-TRIM, TRIM:-TRIM])

    def style_loss(layer: str):
        """mean((G - A)²), G = FᵀF / F.size, as `losses.STYLE_LOSSES` has it."""
        off = losses.gram_matrix(output[layer]) - statistics[layer][-1]
        return ops.mean(ops.square(off / off.shape[-1]))

    def content_loss(layer: str):
        found, target = (ops.cast(features[layer], "float32") for features in (output, own))
        return ops.mean(ops.square(found - target))

    return {
        "style": sum(weight * style_loss(layer) for layer, weight in CHEN.style_layers),
        "content": sum(weight * content_loss(layer) for layer, weight in CHEN.content_layers),
        "variation": losses.total_variation(CHEN.pixel_range * painted),
    }


class Loss(NamedTuple):
    """What a network can be trained by."""

    objective: Callable[..., dict[str, Any]]
    weights: type[ObjectiveWeights] | type[ChenWeights]
    layers: tuple[str, ...]  # that `objective` wants of the loss network


LOSSES = {
    "ours": Loss(objective, ObjectiveWeights, backbones.STYLE_LAYERS),
    "chen": Loss(
        chen_objective,
        ChenWeights,
        tuple(layer for layer, _ in CHEN.style_layers + CHEN.content_layers),
    ),
}


# ---- Trained styles ------------------------------------------------------------------------------


def trained_styles() -> dict[str, Path]:
    """The styles there are, by name: the packaged ones, then those of NST_STYLES_DIR."""
    return weights.trained_styles()


def thumbnail(name: str) -> Path | None:
    """The picture that a trained style is of: NAME.webp, .png or .jpg beside its weights, or a
    packaged style's example; None where there is neither."""
    path = trained_styles().get(name)
    if path is None:
        return None
    packaged = path.parent == weights.PRETRAINED / "styles"
    places = [path.parent, *([images.EXAMPLES / "styles"] if packaged else [])]
    candidates = [place / f"{name}{end}" for place in places for end in (".webp", ".png", ".jpg")]
    return next((file for file in candidates if file.is_file()), None)


def fits(path: Path) -> bool:
    """Whether the file holds weights of this network's shapes."""
    return sorted(weights.shapes(path)) == _shapes()


@functools.cache
def _shapes() -> list[tuple[int, ...]]:
    network = FeedforwardNetwork()
    network.build()
    return sorted(tuple(variable.shape) for variable in network.weights)


# ---- Painting ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Options:
    """Options of trained styles.

    Attributes:
        network: name of a trained style, one of `trained_styles`.
        strength: 0 gives back the photo, 1 the full style; between them pixels are blended.
        style_scale: size of the strokes, from 0.25 to 4. The network's strokes have one size in
            pixels; for others the photo is painted smaller or larger (see `stylize`).
        size: long side in px at which the picture is painted; a larger photo is painted at this
            size and enlarged to its own.
        seed: taken for the sake of quality mode, which has the same; without effect here.
    """

    network: str
    strength: float = 1.0
    style_scale: float = 1.0
    size: int = 2048
    seed: int = 0

    def __post_init__(self):
        names = trained_styles()
        if self.network not in names:
            there_are = f"choose one of {', '.join(names)}" if names else "train one: train-style"
            raise StyleTransferError(f"There is no trained style {self.network!r}; {there_are}.")
        check_range("strength", self.strength, 0, 1)
        check_range("style_scale", self.style_scale, 0.25, 4)
        check_range("size", self.size, images.MIN_SIDE, MAX_SIZE)
        check_seed(self.seed)


class _Compiled:
    """The one network as a TensorFlow function for pictures of any size; any style's weights."""

    def __init__(self):
        import tensorflow as tf

        with models.fast_arithmetic():
            self.network = FeedforwardNetwork()
            self.network.build()
        picture = tf.TensorSpec([1, None, None, 3])
        self.forward = tf.function(self.network, input_signature=[picture])
        self.read = functools.lru_cache(maxsize=KEPT_STYLES)(self._read)
        self._current: list[np.ndarray] | None = None

    def _read(self, path: Path, modified: int) -> list[np.ndarray]:
        """The weights in a file. Only while the device is held."""
        self._current = None
        try:
            if not fits(path):
                raise ValueError("arrays of other shapes")
            self.network.load_weights(path)
        except (OSError, ValueError, KeyError) as error:
            raise StyleTransferError(
                f"{path.name} holds no weights of a trained style; train it again, or remove it."
            ) from error
        return [np.array(weight, copy=True) for weight in self.network.get_weights()]

    def use(self, path: Path) -> None:
        """Takes the weights of a style. Only while the device is held."""
        values = self.read(path, path.stat().st_mtime_ns)
        if values is not self._current:
            self.network.set_weights(values)
            self._current = values

    def paint(self, content: np.ndarray) -> np.ndarray:
        """(H, W, 3) in [0, 1] -> the same in the style in use."""
        height, width = content.shape[:2]
        padded = strokes.mirrored(content, MARGIN, STRIDE)
        painted = self.forward(padded[None]).numpy()[0]
        edge = MARGIN - TRIM
        return painted[edge : edge + height, edge : edge + width].copy()


def _network() -> _Compiled:
    return models.shared("feedforward", _Compiled)


def paint(content: np.ndarray, name: str, stroke_size: float = STROKE_SIZE) -> np.ndarray:
    """`content` (H, W, 3) in the trained style `name`: float32 (H, W, 3) in [0, 1].

    Where its long side is much more than `stroke_size` px, the strokes are as large as in a
    picture of that size.
    """
    path = trained_styles()[name]
    network = _network()
    with models.on_device():
        network.use(path)
        started = time.perf_counter()
        painted = strokes.paint_at_two_sizes(network.paint, content, stroke_size, MARGIN)
        models.pace.record("feedforward", content.size, time.perf_counter() - started)
    return painted


def stylize(content: np.ndarray, styles: Sequence[np.ndarray], options: Options) -> np.ndarray:
    """`content` (H, W, 3) in the trained style: float32 (H, W, 3) in [0, 1].

    `styles` is empty: the style is in the network. For strokes finer than the network's own at the
    photo's size, the photo is painted enlarged, as far as MAX_SIZE goes, and the painting shrunk.
    """
    if len(styles):
        raise StyleTransferError(
            f"A trained style takes no style picture, but {len(styles)} came; "
            "give none, or use the method 'adain'."
        )
    small = images.fit(content, options.size)
    height, width = small.shape[:2]
    long_side = max(height, width)
    natural = min(STROKE_SIZE, long_side)
    stroke_size = max(min(LEAST_SIZE, natural), natural / options.style_scale)
    enlarged = small
    if stroke_size > long_side:
        factor = min(stroke_size, MAX_SIZE) / long_side
        enlarged = images.resize(small, round(factor * height), round(factor * width))
    painted = paint(enlarged, options.network, stroke_size)
    if painted.shape != content.shape:
        painted = images.resize(painted, *content.shape[:2])
    return np.clip(content + np.float32(options.strength) * (painted - content), 0.0, 1.0)


def warm_up() -> None:
    """Compiles the network of all trained styles, if there are any, and reads their weights, which
    takes longer than to paint by them."""
    grey = np.full((256, 256, 3), 0.5, "float32")
    for path in list(trained_styles().values())[:KEPT_STYLES]:
        with suppress(StyleTransferError), models.on_device():  # told when it is used
            _network().use(path)
    for name in list(trained_styles())[:1] * 2:  # the first run traces, the second tells the pace
        stylize(grey, [], Options(network=name))


def expected_seconds(height: int, width: int, options: Options) -> float | None:
    """Seconds for a photo of this size on this machine; None before the first run."""
    return models.pace.expected_for("feedforward", height, width, options.size)
