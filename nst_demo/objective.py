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

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from nst_demo import backbones, gradients, images, losses, models, strokes
from nst_demo.errors import StyleTransferError
from nst_demo.tiling import CELL, Tile, grid, tiles

LEAST_POSITIONS = 1e-3  # a region that a layer does not see at all must not divide by zero
PARTS = ("content", "style", "variation", "range")


# ---- What is compiled ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Structure:
    """All that the compiled functions depend on; weights, targets and sizes are given to them.

    The layers are the backbone's own; `regions` is the number of guidance channels, 0 for none,
    `gain` multiplies all features, and `softness` is that of `recipes.Recipe`.
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
    softness: float = 0.0

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.style_layers, *self.content_layers)))

    @property
    def precision(self) -> str:
        """Of the features: that of `models`, if slopes are soft.

        With steps for slopes a gradient from rounded features is off by a fifth, where they round
        to equals and another one is on: too rough for L-BFGS.
        """
        return models.precision() if self.softness else "float32"

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


class _Features:
    """What the loss takes from a structure's backbone, which is cut at the layers that matter."""

    def __init__(self, structure: Structure):
        network = models.shared(
            ("backbone", structure.backbone), lambda: backbones.load(structure.backbone)
        )
        self.structure = structure
        self.parts = backbones.segments(network, structure.layers)
        self._own = gradients.own_layers(
            network, structure.layers, structure.precision, structure.softness
        )
        self.readouts = backbones.readouts(structure.backbone)
        self.widths = {layer: network.output[layer].shape[-1] for layer in structure.layers}

    def channels(self, layer: str) -> int:
        """Of the features that are compared themselves."""
        return self.readouts[layer].bias.size if layer in self.readouts else self.widths[layer]

    def statistics(self, picture, contents, guides, inner=None) -> Statistics:
        """Of a picture, or of what counts of a window."""
        x, style, content = picture, {}, {}
        photo = dict(zip(self.structure.content_layers, contents, strict=True))
        for layer, part in self.parts.items():
            x = self._through(part, x)
            crop = _cropping(inner, backbones.stride(layer))
            if layer in photo:
                content[layer] = self._content_sums(self._read(crop(x), layer), photo[layer])
            if layer in self.structure.style_layers:
                style[layer], soft = [], gradients.is_soft(layer, self.structure.softness)
                for weights in self._region_weights(guides, layer, crop):
                    x, sums = gradients.tap_sums(x, crop, weights, soft=soft)
                    style[layer].append(self._style_sums(sums, layer))
        by_layer = [style[layer] for layer in self.structure.style_layers]
        return Statistics(
            tuple(zip(*by_layer, strict=True)), tuple(content[layer] for layer in photo)
        )

    def of_style(self, picture, inner) -> tuple[losses.Sums, ...]:
        """The style layers' sums of a style, which has no regions."""
        found = {}
        for layer, x in self._counted(picture, inner):
            total, gram = gradients.totals(x)
            sums = losses.layer_sums(x, style=False)._replace(total=total, gram=gram)
            found[layer] = self._style_sums(sums, layer)
        return tuple(found[layer] for layer in self.structure.style_layers)

    def of_photo(self, picture, inner) -> tuple[Any, ...]:
        """The content layers' features."""
        found = {
            layer: self._read(x, layer)
            for layer, x in self._counted(picture, inner)
            if layer in self.structure.content_layers
        }
        return tuple(found[layer] for layer in self.structure.content_layers)

    def photo_sums(self, contents) -> tuple[losses.Sums, ...]:
        """The photo's own content sums, from `of_photo`."""
        return tuple(self._content_sums(features, features) for features in contents)

    def _counted(self, picture, inner) -> Iterator[tuple[str, Any]]:
        """(layer, its features where they count), layer by layer."""
        x = picture
        for layer, part in self.parts.items():
            x = self._through(part, x)
            yield layer, _cropping(inner, backbones.stride(layer))(x)

    def _through(self, part: keras.Model, x):
        """The features that a segment of the network, a chain of layers, makes of (1, H, W, C)."""
        for layer in part.layers[1:]:
            x = self._own.get(layer.name, layer)(x)
        return x

    def _read(self, features, layer: str):
        features = ops.cast(features, "float32")
        return self.readouts[layer].of(features) if layer in self.readouts else features

    def _content_sums(self, features, photo) -> losses.Sums:
        return _louder(losses.layer_sums(features, style=False, content=photo), self.structure.gain)

    def _style_sums(self, sums: losses.Sums, layer: str) -> losses.Sums:
        """The Gram matrix is all, so the readout is applied to the sums: at no cost."""
        if layer in self.readouts:
            sums = losses.read(sums, *self.readouts[layer])
        return _louder(sums, self.structure.gain)

    def _region_weights(self, guides, layer: str, crop) -> list[Any]:
        """(1, h, w, 1) for each region; [None] where there are no masks."""
        import tensorflow as tf

        if not self.structure.regions:
            return [None]
        stride = backbones.stride(layer)
        shares = crop(tf.nn.avg_pool2d(guides, stride, stride, "VALID"))
        return [shares[..., r : r + 1] for r in range(self.structure.regions)]


class _Loss:
    """The four parts of a structure's loss."""

    def __init__(self, structure: Structure):
        self.pixel_range = structure.pixel_range
        self.style = losses.STYLE_LOSSES[structure.style_loss]
        self.content = losses.CONTENT_LOSSES[structure.content_loss]
        self.variation = losses.VARIATION_LOSSES[structure.variation_loss]
        if self.variation is losses.total_variation:
            self.variation = gradients.total_variation

    def of_features(self, found: Statistics, targets: Targets):
        """[content, style] (2,), weighted."""
        import tensorflow as tf

        wanted, pixels = targets.statistics, targets.pixels
        content = [
            self.content(own, target, pixels=pixels)
            for own, target in zip(found.content, wanted.content, strict=True)
        ]
        style = [
            [self.style(_seen(a), b, pixels=pixels) for a, b in zip(own, target, strict=True)]
            for own, target in zip(found.style, wanted.style, strict=True)
        ]
        return targets.weights[:2] * tf.stack(
            [
                tf.reduce_sum(tf.stack(content) * targets.content_weights),
                tf.reduce_sum(tf.stack(style) * targets.style_weights),
            ]
        )

    def of_pixels(self, image, weights):
        """[variation, range] (2,), weighted, and the gradient of their sum."""
        import tensorflow as tf

        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(image)
            variation = tf.cond(  # is not computed where it has no weight
                weights[2] > 0,
                lambda: self.variation(self.pixel_range * image),
                lambda: 0.0,
            )
            parts = weights[2:] * tf.stack([variation, gradients.out_of_range(image)])
            total = tf.reduce_sum(parts)
        return parts, tape.gradient(total, image)


class _Signature:
    """The kinds of tensors that a structure's compiled functions take, for pictures of any size."""

    def __init__(self, structure: Structure, features: _Features):
        import tensorflow as tf

        regions, layers = structure.regions, structure.content_layers
        self.picture = tf.TensorSpec([1, None, None, 3])
        self.guides = tf.TensorSpec([1, None, None, regions])
        self.inner = tf.TensorSpec([4], tf.int32)
        self.contents = tuple(tf.TensorSpec([1, None, None, features.channels(n)]) for n in layers)
        # One cell has one position at the deepest layers.
        cell = [CELL // backbones.stride(n) for n in layers]
        example = features.statistics(
            tf.zeros([1, CELL, CELL, 3]),
            [tf.zeros([1, s, s, features.channels(n)]) for n, s in zip(layers, cell, strict=True)],
            tf.zeros([1, CELL, CELL, regions]),
        )
        self.sums = tf.nest.map_structure(lambda value: tf.TensorSpec(value.shape), example)
        self.targets = Targets(
            self.sums,
            tf.TensorSpec([max(1, regions), len(structure.style_layers)]),
            tf.TensorSpec([len(layers)]),
            tf.TensorSpec([len(PARTS)]),
            tf.TensorSpec([]),
        )


class _Compiled:
    """The loss of a structure as TensorFlow functions of pictures (1, H, W, 3) of any size.

    inner: (4,) int32, the part of a window that counts: top, left, bottom, right in px.
    contents: the photo's features (1, h, w, C), one for each content layer.
    guides: (1, H, W, regions) in [0, 1]; no channels where there are no masks.
    """

    def __init__(self, structure: Structure):
        import tensorflow as tf

        self._features, self._loss = _Features(structure), _Loss(structure)
        takes, features = _Signature(structure, self._features), self._features
        whole = takes.picture, takes.contents, takes.guides
        window = *whole, takes.inner

        def compiled(function: Callable[..., Any], *signature: Any) -> Any:
            return tf.function(function, autograph=False, input_signature=signature)

        self.evaluate = compiled(self._evaluate, *whole, takes.targets)
        self.tile_sums = compiled(features.statistics, *window)
        self.derive = compiled(self._derive, takes.sums, takes.picture, takes.targets)
        self.tile_gradient = compiled(self._tile_gradient, *window, takes.sums)
        self.style_sums = compiled(features.of_style, takes.picture, takes.inner)
        self.content_features = compiled(features.of_photo, takes.picture, takes.inner)
        self.content_sums = compiled(features.photo_sums, takes.contents)

    def _evaluate(self, image, contents, guides, targets):
        """The weighted parts (4,) and the gradient of their sum."""
        import tensorflow as tf

        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(image)
            found = self._features.statistics(image, contents, guides)
            parts = self._loss.of_features(found, targets)
            total = tf.reduce_sum(parts)
        by_features = tape.gradient(total, image)
        with tf.control_dependencies([by_features]):  # the features' buffers are free by then
            image = tf.identity(image)
        pixel_parts, by_pixels = self._loss.of_pixels(image, targets.weights)
        return tf.concat([parts, pixel_parts], 0), by_features + by_pixels

    def _derive(self, found, image, targets):
        """(weighted parts, derivative by the sums, gradient by the pixels' own losses)."""
        import tensorflow as tf

        pixel_parts, by_pixels = self._loss.of_pixels(image, targets.weights)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(found)
            parts = self._loss.of_features(found, targets)
            total = tf.reduce_sum(parts)
        by_sums = tape.gradient(total, found, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return tf.concat([parts, pixel_parts], 0), by_sums, by_pixels

    def _tile_gradient(self, image, contents, guides, inner, derivative):
        import tensorflow as tf

        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(image)
            found = self._features.statistics(image, contents, guides, inner)
        return tape.gradient(found, image, output_gradients=derivative)


def _cropping(inner, stride: int) -> Callable[[Any], Any]:
    """What cuts the part of a window that counts out of features.

    inner: see `_Compiled`; None: all counts.
    """
    if inner is None:
        return lambda features: features
    top, left, bottom, right = (inner[i] // stride for i in range(4))
    return lambda features: features[:, top:bottom, left:right]


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

    Attributes:
        parts: (4,) of `PARTS`: the weighted parts of the last evaluation, without the emphasis.
        emphasis: how many times the content weighs as much, in the total and its gradient.

    Args:
        content: (h, w, 3), of the size worked at.
        styles: pictures of the sizes at which their statistics are taken; each is looked at once.
        shares: (styles,) that sum to 1.
        strength: 0 ... 1: targets between the photo's own statistics and the styles'.
        masks: (h, w) for each style, in [0, 1]; None: every style counts everywhere.
        margin: px of the picture that are mirrored around it before it is evaluated. The network
            sees zeros around what it is given, and without a margin paints a frame of odd colours.
        tile_pixels: the largest window evaluated at once; None for no limit.
    """

    def __init__(
        self,
        structure: Structure,
        weights: Weights,
        content: np.ndarray,
        styles: Iterable[np.ndarray],
        *,
        shares: Sequence[float] | np.ndarray,
        strength: float = 1.0,
        masks: Sequence[np.ndarray] | None = None,
        margin: int = 0,
        tile_pixels: float | None = None,
    ):
        self.structure, self.tile_pixels = structure, tile_pixels
        self.compiled = compiled(structure)
        self.margin = min(margin, min(content.shape[:2]) - 1)
        guides, areas = _guides(masks, shares, *content.shape[:2])
        self.guides = strokes.mirrored(guides[0], self.margin, 1)[None]
        content = strokes.mirrored(content, self.margin, 1)
        height, width = content.shape[:2]
        self.pixels = height * width
        self.tiles = self._tiles(height, width)
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
        self.emphasis = 1.0

    def _tiles(self, height: int, width: int) -> list[Tile]:
        cut = grid(height, width, self.structure.border, self.tile_pixels)
        if cut is None:
            raise StyleTransferError(
                f"A picture of {width} x {height} px needs more memory than is free; "
                "choose a smaller size."
            )
        return tiles(height, width, *cut, self.structure.border)

    def _content_features(self, content: np.ndarray):
        """The features at the content layers of the photo with its margin, from tiles."""
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
        x = strokes.mirrored(x, self.margin, 1)
        emphasised = np.array([self.emphasis, 1.0, 1.0, 1.0], "float32")
        targets = self.targets._replace(weights=emphasised * self.targets.weights)
        if len(self.tiles) > 1:
            parts, gradient = self._tiled(x, targets)
        else:
            with models.on_device():
                parts, slope = self.compiled.evaluate(x[None], self.contents, self.guides, targets)
                parts, gradient = parts.numpy(), slope.numpy()[0]
        del x
        self.parts = parts / emphasised
        return float(parts.sum()), _folded(gradient, self.margin)

    def _tiled(self, x: np.ndarray, targets: Targets) -> tuple[np.ndarray, np.ndarray]:
        sums = self._sums(x)
        with models.on_device():
            parts, derivative, slope = self.compiled.derive(sums, x[None], targets)
            parts, gradient = parts.numpy(), slope.numpy()[0].copy()
        for tile, arguments in self._each_tile(x):
            with models.on_device():
                part = self.compiled.tile_gradient(*arguments, derivative).numpy()
            tile.window(gradient[None])[:] += part
        return parts, gradient

    def losses(self) -> dict[str, float]:
        """The weighted parts of the last evaluation, and their total."""
        parts = dict(zip(PARTS, map(float, self.parts), strict=True))
        return {"total": sum(parts.values()), **parts}


def _folded(gradient: np.ndarray, margin: int) -> np.ndarray:
    """The gradient by x from that by `strokes.mirrored(x, margin, 1)`: a pixel's copies are it."""
    if not margin:
        return gradient
    rows = gradient[margin:-margin].copy()
    rows[1 : margin + 1] += gradient[:margin][::-1]
    rows[-margin - 1 : -1] += gradient[-margin:][::-1]
    inner = rows[:, margin:-margin].copy()
    inner[:, 1 : margin + 1] += rows[:, :margin][:, ::-1]
    inner[:, -margin - 1 : -1] += rows[:, -margin:][:, ::-1]
    return inner


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
