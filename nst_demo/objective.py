"""The loss of image optimisation and its gradient, in one piece or in tiles.

All that the loss takes from the feature network are sums over positions (`losses.Sums`), which add
up over tiles. So a picture too large for the memory is evaluated in two passes that together give
the loss and gradient of the whole, without seams:

1. the sums are added up tile by tile, then the loss and its derivative by the sums are taken;
2. for each tile the gradient of <derivative, sums(tile)> by its pixels is added to the whole's.

A tile is read with a border as wide as the deepest features see (`Architecture.reach`: 70 px for
relu5_1, 118 px for VGG19's relu5_4), rounded up to CELL, and only the positions inside it count.
So tiling is exact but for float rounding; a narrower border would be cheaper and show seams.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from nst_demo import backbones, images, losses, models
from nst_demo.errors import StyleTransferError

CELL = 16  # px; tiles begin at multiples of it, so that pooling falls on the whole picture's cells
LEAST_POSITIONS = 1e-3  # a region that a layer does not see at all must not divide by zero
PARTS = ("content", "style", "variation", "range")


# ---- Tiles ---------------------------------------------------------------------------------------


class Tile(NamedTuple):
    """A part of a picture: the window that is read, and in it the part that counts (px)."""

    top: int
    left: int
    bottom: int
    right: int
    inner: tuple[int, int, int, int]  # top, left, bottom, right in the window

    def window(self, array):
        """The window of a (1, H, W, C) array."""
        return array[:, self.top : self.bottom, self.left : self.right]

    def counted(self, features, stride: int):
        """The part that counts of features (1, H/stride, W/stride, C) of the whole picture."""
        top, left, bottom, right = self.inner
        rows = slice((self.top + top) // stride, (self.top + bottom) // stride)
        columns = slice((self.left + left) // stride, (self.left + right) // stride)
        return features[:, rows, columns]


def _cuts(length: int, parts: int, border: int) -> list[tuple[int, int, int, int]]:
    """A side in `parts`: (start, end) of each window, (start, end) of what counts in it."""
    edges = [round(length * i / parts / CELL) * CELL for i in range(parts)] + [length]
    cuts = []
    for start, end in pairwise(edges):
        low, high = max(0, start - border), min(length, end + border)
        cuts.append((low, high, start - low, end - low))
    return cuts


def tiles(height: int, width: int, rows: int, columns: int, border: int) -> list[Tile]:
    """The picture in rows x columns; what counts of each covers the picture once."""
    return [
        Tile(top, left, bottom, right, (in_top, in_left, in_bottom, in_right))
        for top, bottom, in_top, in_bottom in _cuts(height, rows, border)
        for left, right, in_left, in_right in _cuts(width, columns, border)
    ]


def smallest_tile(border: int) -> int:
    """Pixels of the smallest window worth it: half of each of its sides is border."""
    return (4 * border) ** 2


def grid(height: int, width: int, border: int, pixels: float | None) -> tuple[int, int] | None:
    """(rows, columns) whose windows hold at most `pixels`, with the least work in all.

    None where windows worth it are larger than that; `pixels` None: no limit.
    """
    if pixels is None or height * width <= pixels:
        return 1, 1

    def extents(length: int) -> list[tuple[int, int]]:
        """For 1, 2, ... parts: (longest window, sum of all)."""
        most = max(1, length // 64)
        cuts = [_cuts(length, parts, border) for parts in range(1, most + 1)]
        sizes = [[high - low for low, high, _, _ in cut] for cut in cuts]
        return [(max(size), sum(size)) for size in sizes]

    best, least = None, np.inf
    for rows, (tall, all_rows) in enumerate(extents(height), 1):
        for columns, (wide, all_columns) in enumerate(extents(width), 1):
            if tall * wide <= pixels and all_rows * all_columns < least:
                best, least = (rows, columns), all_rows * all_columns
    return best


# ---- What is compiled ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Structure:
    """All that the compiled functions depend on; weights, targets and sizes are given to them.

    The layers are the backbone's own; `regions` is the number of guidance channels, 0 for none, and
    `gain` multiplies all features.
    """

    backbone: str
    content_layers: tuple[str, ...]
    style_layers: tuple[str, ...]
    content_loss: str
    style_loss: str
    variation_loss: str
    pixel_range: float
    regions: int = 0
    gain: float = 1.0

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.style_layers, *self.content_layers)))

    @property
    def border(self) -> int:
        """Pixels around a tile that its features see, a multiple of CELL."""
        reach = backbones.architecture(self.backbone).reach(self.layers)
        return -(-reach // CELL) * CELL


class Statistics(NamedTuple):
    """What the loss takes from the feature network."""

    style: tuple[tuple[losses.Sums, ...], ...]  # by region (one where there are no masks), by layer
    content: tuple[losses.Sums, ...]  # by layer


class Targets(NamedTuple):
    """What the loss compares with, and its weights."""

    statistics: Statistics
    style_weights: Any  # (regions, style layers)
    content_weights: Any  # (content layers,)
    weights: Any  # (4,) of PARTS
    pixels: Any  # () of the picture


class _Compiled:
    """The loss of a structure as TensorFlow functions of pictures (1, H, W, 3) of any size.

    inner: (4,) int32, the part of a window that counts: top, left, bottom, right in px.
    contents: the photo's features (1, h, w, C), one for each content layer.
    guides: (1, H, W, regions) in [0, 1]; no channels where there are no masks.
    """

    def __init__(self, structure: Structure):
        import tensorflow as tf

        # Not in bfloat16: 0.6 of the time, but its gradients are so rough that L-BFGS stalls.
        network = models.shared(
            ("backbone", structure.backbone), lambda: backbones.load(structure.backbone)
        )
        parts = backbones.segments(network, structure.layers)
        readouts = backbones.readouts(structure.backbone)

        def read(features, layer):
            """The features as the loss sees them, where they themselves are compared."""
            return readouts[layer].of(features) if layer in readouts else features

        def channels(layer):
            """Of `read`'s result."""
            return (
                readouts[layer].bias.size if layer in readouts else network.output[layer].shape[-1]
            )

        def style_sums_of(sums, gram, layer):
            """The same of sums, where the Gram matrix is all: of more channels at no cost."""
            sums = sums._replace(gram=gram)
            if layer in readouts:
                sums = losses.read(sums, *readouts[layer])
            return _louder(sums, structure.gain)

        style_loss = losses.STYLE_LOSSES[structure.style_loss]
        content_loss = losses.CONTENT_LOSSES[structure.content_loss]
        variation_loss = losses.VARIATION_LOSSES[structure.variation_loss]
        if variation_loss is losses.total_variation:
            variation_loss = _total_variation

        def statistics(picture, contents, guides, inner=None):
            """Statistics of a picture, or of what counts of a window."""
            x, style, content = picture, {}, {}
            photo = dict(zip(structure.content_layers, contents, strict=True))
            for layer, part in parts.items():
                x = part(x)
                stride = backbones.stride(layer)
                crop = _cropping(inner, stride)
                if layer in photo:
                    seen = read(crop(x), layer)
                    sums = losses.layer_sums(seen, style=False, content=photo[layer])
                    content[layer] = _louder(sums, structure.gain)
                if layer in structure.style_layers:
                    weights = [None]
                    if structure.regions:
                        shares = crop(tf.nn.avg_pool2d(guides, stride, stride, "VALID"))
                        weights = [shares[..., r : r + 1] for r in range(structure.regions)]
                    style[layer] = []
                    for weight in weights:
                        sums = losses.layer_sums(crop(x), style=False, weights=weight)
                        x, gram = _tap_gram(x, crop, weight)
                        style[layer].append(style_sums_of(sums, gram, layer))
            by_layer = [style[layer] for layer in structure.style_layers]
            return Statistics(
                tuple(zip(*by_layer, strict=True)),
                tuple(content[layer] for layer in photo),
            )

        def feature_losses(found, targets):
            """[content, style], weighted by layer but not by part."""
            pixels = targets.pixels
            content = [
                content_loss(own, target, pixels=pixels)
                for own, target in zip(found.content, targets.statistics.content, strict=True)
            ]
            style = [
                [style_loss(_seen(a), b, pixels=pixels) for a, b in zip(own, target, strict=True)]
                for own, target in zip(found.style, targets.statistics.style, strict=True)
            ]
            return [
                tf.reduce_sum(tf.stack(content) * targets.content_weights),
                tf.reduce_sum(tf.stack(style) * targets.style_weights),
            ]

        def weigh(image, weights):
            """Of the losses of the pixels themselves: [variation, range], weighted; gradient."""
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(image)
                variation = tf.cond(  # is not computed where it has no weight
                    weights[2] > 0,
                    lambda: variation_loss(structure.pixel_range * image),
                    lambda: 0.0,
                )
                parts = weights[2:] * tf.stack([variation, _out_of_range(image)])
                total = tf.reduce_sum(parts)
            return parts, tape.gradient(total, image)

        picture = tf.TensorSpec([1, None, None, 3])
        guide = tf.TensorSpec([1, None, None, structure.regions])
        window = tf.TensorSpec([4], tf.int32)
        contents = tuple(
            tf.TensorSpec([1, None, None, channels(n)]) for n in structure.content_layers
        )
        # One cell has one position at the deepest layers.
        example = statistics(
            tf.zeros([1, CELL, CELL, 3]),
            [
                tf.zeros([1, CELL // backbones.stride(n), CELL // backbones.stride(n), c.shape[-1]])
                for n, c in zip(structure.content_layers, contents, strict=True)
            ],
            tf.zeros([1, CELL, CELL, structure.regions]),
        )
        sums = tf.nest.map_structure(lambda value: tf.TensorSpec(value.shape), example)
        target = Targets(
            sums,
            tf.TensorSpec([max(1, structure.regions), len(structure.style_layers)]),
            tf.TensorSpec([len(contents)]),
            tf.TensorSpec([len(PARTS)]),
            tf.TensorSpec([]),
        )

        @tf.function(autograph=False, input_signature=[picture, contents, guide, target])
        def evaluate(image, contents, guides, targets):
            """The weighted parts (4,) and the gradient of their sum."""
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(image)
                found = statistics(image, contents, guides)
                parts = targets.weights[:2] * tf.stack(feature_losses(found, targets))
                total = tf.reduce_sum(parts)
            by_features = tape.gradient(total, image)
            with tf.control_dependencies([by_features]):  # the features' buffers are free by then
                image = tf.identity(image)
            pixel_parts, by_pixels = weigh(image, targets.weights)
            return tf.concat([parts, pixel_parts], 0), by_features + by_pixels

        @tf.function(autograph=False, input_signature=[picture, contents, guide, window])
        def tile_sums(image, contents, guides, inner):
            return statistics(image, contents, guides, inner)

        @tf.function(autograph=False, input_signature=[sums, picture, target])
        def derive(found, image, targets):
            """(weighted parts, derivative by the sums, gradient by the pixels' own losses)."""
            pixel_parts, by_pixels = weigh(image, targets.weights)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(found)
                parts = targets.weights[:2] * tf.stack(feature_losses(found, targets))
                total = tf.reduce_sum(parts)
            by_sums = tape.gradient(
                total, found, unconnected_gradients=tf.UnconnectedGradients.ZERO
            )
            return tf.concat([parts, pixel_parts], 0), by_sums, by_pixels

        @tf.function(autograph=False, input_signature=[picture, contents, guide, window, sums])
        def tile_gradient(image, contents, guides, inner, derivative):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(image)
                found = statistics(image, contents, guides, inner)
            return tape.gradient(found, image, output_gradients=derivative)

        @tf.function(autograph=False, input_signature=[picture, window])
        def style_sums(image, inner):
            """Of a style, which has no regions."""
            x, found = image, {}
            for layer, part in parts.items():
                x = part(x)
                counted = _cropping(inner, backbones.stride(layer))(x)
                sums = losses.layer_sums(counted, style=False)
                found[layer] = style_sums_of(sums, _gram(counted), layer)
            return tuple(found[layer] for layer in structure.style_layers)

        @tf.function(autograph=False, input_signature=[picture, window])
        def content_features(image, inner):
            x, found = image, {}
            for layer, part in parts.items():
                x = part(x)
                if layer in structure.content_layers:
                    found[layer] = read(_cropping(inner, backbones.stride(layer))(x), layer)
            return tuple(found[layer] for layer in structure.content_layers)

        @tf.function(autograph=False, input_signature=[contents])
        def content_sums(contents):
            """The photo's own."""
            return tuple(
                _louder(losses.layer_sums(c, style=False, content=c), structure.gain)
                for c in contents
            )

        self.evaluate = evaluate
        self.tile_sums, self.derive, self.tile_gradient = tile_sums, derive, tile_gradient
        self.style_sums = style_sums
        self.content_features, self.content_sums = content_features, content_sums


def _cropping(inner, stride: int) -> Callable[[Any], Any]:
    """What cuts the part of a window that counts out of features; `inner` None: all of them."""
    if inner is None:
        return lambda features: features
    top, left, bottom, right = (inner[i] // stride for i in range(4))
    return lambda features: features[:, top:bottom, left:right]


def _gram(features, weights=None):
    """The sum over positions of F Fᵀ, weighted: (1, h, w, C) -> (C, C).

    As `losses.layer_sums`, but for TensorFlow, which multiplies by a transpose without making it.
    """
    import tensorflow as tf

    channels = features.shape[-1]
    weighted = features if weights is None else features * weights
    return tf.matmul(
        tf.reshape(weighted, [-1, channels]),
        tf.reshape(features, [-1, channels]),
        transpose_a=True,
    )


def _tap_gram(features, crop, weights=None):
    """(features, the Gram sum of what `crop` leaves), where the features go on to the next layer.

    What the Gram matrix adds to the features' gradient is computed only when the rest of that
    gradient is there. Left to itself TensorFlow does it first, and holds all layers' at once: a
    quarter of the memory of an evaluation.
    """
    import tensorflow as tf

    @tf.custom_gradient
    def tap(features):
        def gradient(by_features, by_gram):
            with tf.control_dependencies([by_features]):
                counted = tf.identity(features)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(counted)
                gram = _gram(crop(counted), weights)
            return by_features + tape.gradient(gram, counted, output_gradients=by_gram)

        return (tf.identity(features), _gram(crop(features), weights)), gradient

    return tap(features)


def _louder(sums: losses.Sums, gain: float) -> losses.Sums:
    """The sums of gain times the features."""
    if gain == 1.0:
        return sums
    squared = gain**2
    return losses.Sums(
        gain * sums.total,
        squared * sums.gram,
        squared * sums.square,
        squared * sums.difference,
        sums.positions,
    )


def _seen(sums: losses.Sums) -> losses.Sums:
    return sums._replace(positions=ops.maximum(sums.positions, LEAST_POSITIONS))


def _total_variation(picture):
    """`losses.total_variation` with its gradient written out.

    Left to TensorFlow (means, and the gradients of slices) the two losses of pixels take a fifth of
    an evaluation on lite; like this a fiftieth.
    """
    import tensorflow as tf

    @tf.custom_gradient
    def loss(x):
        down, right = x[:, 1:] - x[:, :-1], x[:, :, 1:] - x[:, :, :-1]
        per_down, per_right = (1.0 / tf.cast(tf.size(d), x.dtype) for d in (down, right))

        def gradient(upstream):
            rows = (2.0 * upstream * per_down) * down
            columns = (2.0 * upstream * per_right) * right
            none, before, after = (0, 0), (1, 0), (0, 1)
            by_rows = tf.pad(rows, (none, before, none, none)) - tf.pad(
                rows, (none, after, none, none)
            )
            by_columns = tf.pad(columns, (none, none, before, none)) - tf.pad(
                columns, (none, none, after, none)
            )
            return by_rows + by_columns

        # l2_loss is half the sum of squares.
        return 2.0 * (tf.nn.l2_loss(down) * per_down + tf.nn.l2_loss(right) * per_right), gradient

    return loss(picture)


def _out_of_range(picture):
    """`losses.out_of_range` with its gradient written out."""
    import tensorflow as tf

    @tf.custom_gradient
    def loss(x):
        off = x - tf.clip_by_value(x, 0.0, 1.0)
        per_value = 1.0 / tf.cast(tf.size(x), x.dtype)
        value = 2.0 * per_value * tf.nn.l2_loss(off)
        return value, lambda upstream: (2.0 * upstream * per_value) * off

    return loss(picture)


def compiled(structure: Structure) -> _Compiled:
    return models.shared(("objective", structure), lambda: _Compiled(structure))


def _add(first, second):
    """The sums of two tiles together."""
    import tensorflow as tf

    return second if first is None else tf.nest.map_structure(tf.add, first, second)


# ---- One run's objective -------------------------------------------------------------------------


@dataclass(frozen=True)
class Weights:
    """Weights of an objective; see `recipes.Recipe` for what they multiply."""

    content: float
    style: float
    variation: float
    range: float
    content_layers: Sequence[float]
    style_layers: Sequence[float]


class Objective:
    """The loss of one run at one size: x (h, w, 3) -> (total, gradient). Keeps the last parts.

    Args:
        content: (h, w, 3), of the size worked at.
        styles: pictures of the sizes at which their statistics are taken.
        shares: (styles,) that sum to 1.
        strength: 0 ... 1: targets between the photo's own statistics and the styles'.
        masks: (h, w) for each style, in [0, 1]; None: every style counts everywhere.
        tile_pixels: the largest window evaluated at once; None for no limit.
    """

    def __init__(
        self,
        structure: Structure,
        weights: Weights,
        content: np.ndarray,
        styles: Sequence[np.ndarray],
        *,
        shares: Sequence[float] | np.ndarray,
        strength: float = 1.0,
        masks: Sequence[np.ndarray] | None = None,
        tile_pixels: float | None = None,
    ):
        self.structure, self.tile_pixels = structure, tile_pixels
        self.compiled = compiled(structure)
        height, width = content.shape[:2]
        self.pixels = height * width
        self.tiles = self._tiles(height, width)
        self.guides, areas = _guides(masks, shares, height, width)
        self.contents = self._content_features(content)
        with models.on_device():
            own = self.compiled.content_sums(self.contents)
        self.targets = Targets(
            Statistics(self._style_targets(content, styles, shares, strength), own),
            np.outer(areas, weights.style_layers).astype("float32"),
            np.asarray(weights.content_layers, "float32"),
            np.array([weights.content, weights.style, weights.variation, weights.range], "float32"),
            np.float32(self.pixels),
        )
        self.parts = np.zeros(len(PARTS), "float32")

    def _tiles(self, height: int, width: int) -> list[Tile]:
        cut = grid(height, width, self.structure.border, self.tile_pixels)
        if cut is None:
            raise StyleTransferError(
                f"A picture of {width} x {height} px needs more memory than is free; "
                "choose a smaller size."
            )
        return tiles(height, width, *cut, self.structure.border)

    def _content_features(self, content: np.ndarray):
        """The photo's features at the content layers, put together from tiles."""
        import tensorflow as tf

        parts = []
        for tile in self.tiles:
            with models.on_device():
                parts.append(self.compiled.content_features(tile.window(content[None]), tile.inner))
        if len(parts) == 1:
            return parts[0]
        height, width = content.shape[:2]
        whole = []
        for i, layer in enumerate(self.structure.content_layers):
            stride = backbones.stride(layer)
            shape = (1, height // stride, width // stride, parts[0][i].shape[-1])
            features = np.empty(shape, "float32")
            for tile, part in zip(self.tiles, parts, strict=True):
                tile.counted(features, stride)[:] = part[i].numpy()
            whole.append(tf.constant(features))
        return tuple(whole)

    def _style_sums(self, style: np.ndarray):
        """By layer: the sums of a whole style."""
        total: Any = None
        for tile in self._tiles(*style.shape[:2]):
            with models.on_device():
                found = self.compiled.style_sums(tile.window(style[None]), tile.inner)
                total = _add(total, found)
        return total

    def _style_targets(self, content, styles, shares, strength: float):
        """By region and layer: statistics between the photo's own and the styles', per position."""
        found = [self._style_sums(style) for style in styles]
        own = self._sums(content).style if strength < 1 else None
        if self.structure.regions:  # each region has one style
            mixed = [[(1.0, sums)] for sums in found]
        else:
            mixed = [list(zip(shares, found, strict=True))]
        targets = []
        for region, parts in enumerate(mixed):
            by_layer = []
            for layer in range(len(self.structure.style_layers)):
                sums = [style[layer] for _, style in parts]
                layer_shares = [strength * share for share, _ in parts]
                if own is not None:
                    sums.append(_seen(own[region][layer]))
                    layer_shares.append(1.0 - strength)
                by_layer.append(losses.mix(sums, np.array(layer_shares, "float32")))
            targets.append(tuple(by_layer))
        return tuple(targets)

    def _each_tile(self, x: np.ndarray) -> Iterator[tuple[Tile, tuple[Any, ...]]]:
        """What `tile_sums` takes, tile by tile."""
        for tile in self.tiles:
            contents = tuple(
                tile.counted(content, backbones.stride(layer))
                for layer, content in zip(self.structure.content_layers, self.contents, strict=True)
            )
            yield tile, (tile.window(x[None]), contents, tile.window(self.guides), tile.inner)

    def _sums(self, x: np.ndarray) -> Statistics:
        total: Any = None
        for _, arguments in self._each_tile(x):
            with models.on_device():
                total = _add(total, self.compiled.tile_sums(*arguments))
        return total

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        if len(self.tiles) > 1:
            gradient = self._tiled(x)
        else:
            with models.on_device():
                parts, slope = self.compiled.evaluate(
                    x[None], self.contents, self.guides, self.targets
                )
                self.parts, gradient = parts.numpy(), slope.numpy()[0]
        return float(self.parts.sum()), gradient

    def _tiled(self, x: np.ndarray) -> np.ndarray:
        sums = self._sums(x)
        with models.on_device():
            parts, derivative, slope = self.compiled.derive(sums, x[None], self.targets)
            self.parts, gradient = parts.numpy(), slope.numpy()[0].copy()
        for tile, arguments in self._each_tile(x):
            with models.on_device():
                part = self.compiled.tile_gradient(*arguments, derivative).numpy()
            tile.window(gradient[None])[:] += part
        return gradient

    def losses(self) -> dict[str, float]:
        """The weighted parts of the last evaluation, and their total."""
        parts = dict(zip(PARTS, map(float, self.parts), strict=True))
        return {"total": sum(parts.values()), **parts}


def _guides(
    masks: Sequence[np.ndarray] | None,
    shares: Sequence[float] | np.ndarray,
    height: int,
    width: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Guidance channels (1, h, w, regions) and each region's share of the picture.

    Where masks overlap, the styles divide the place by their shares, so that masks of 1 everywhere
    ask for the same picture as no masks. A region counts by its area (arXiv 1611.07865, §4.1):
    a pixel's say does not depend on the region it is in.
    """
    if masks is None:
        return np.zeros((1, height, width, 0), "float32"), np.ones(1, "float32")
    stack = np.stack([images.resize_mask(mask, height, width) for mask in masks], axis=2)
    claims = stack * np.asarray(shares, "float32")
    taken = claims.sum(axis=2, keepdims=True)
    covered = np.minimum(1.0, stack.sum(axis=2, keepdims=True))
    guides = claims / np.maximum(taken, 1e-12) * covered
    return guides[None].astype("float32"), guides.mean(axis=(0, 1))
