"""Networks to learn from: VGG19's own features, or copies of them in `.npz` files.

An `.npz` teacher holds arrays `<layer>/kernel` (h, w, in, out) and `<layer>/bias` for layers
`conv0` (a 1x1 preprocessing of RGB in [0, 1]) and `convB_N`; each 3x3 convolution follows a
reflection pad and ends in a ReLU, 2x2 max-pooling comes before each new block.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import keras
from keras import ops

from nst_demo import backbones, losses
from nst_demo.errors import StyleTransferError
from nst_demo.training.files import read_npz

FORM_LAYERS = ("block4_conv1", "block5_conv1")  # in which a style's larger forms are looked for


class ReflectionPadding(keras.layers.Layer):
    def call(self, features):
        # A single position has no neighbour to mirror.
        mode = "symmetric" if 1 in features.shape[1:3] else "reflect"
        return ops.pad(features, [[0, 0], [1, 1], [1, 1], [0, 0]], mode=mode)


def from_npz(path: str | Path) -> keras.Model:
    """The network in an `.npz` file: (B, H, W, 3) -> {block1_conv1: (B, h, w, C), ...}."""
    arrays = read_npz(Path(path))
    names = sorted(name[:-7] for name in arrays if re.fullmatch(r"conv[1-5]_\d/kernel", name))
    if not names or "conv0/kernel" not in arrays:
        raise StyleTransferError(
            f"The teacher {path} has no arrays conv0/kernel, conv1_1/kernel, ..."
        )
    image = keras.Input((None, None, 3))
    preprocessing = keras.layers.Conv2D(3, 1, name="conv0")
    x, features, block = preprocessing(image), {}, "1"
    layers = {"conv0": preprocessing}
    for name in names:
        if name[4] != block:
            x, block = keras.layers.MaxPooling2D()(x), name[4]
        kernel = arrays[f"{name}/kernel"]
        layers[name] = keras.layers.Conv2D(kernel.shape[-1], 3, activation="relu", name=name)
        x = layers[name](ReflectionPadding()(x))
        features[f"block{name[4]}_conv{name[6:]}"] = x
    for name, layer in layers.items():
        layer.set_weights([arrays[f"{name}/kernel"], arrays[f"{name}/bias"]])
    network = keras.Model(image, features)
    network.trainable = False
    return network


class Teacher(keras.layers.Layer):
    """One or several networks as one: each layer comes from the first that has it.

    Args:
        sources: backbone names ("vgg19", "lite") or paths of `.npz` teachers. Of `lite` what its
            readouts make of its features: VGG19's channels.
        layers: the layer names wanted. StyleTransferError where no source has one of them.
        shown: how many pictures of a batch the first source looks at, the first ones: for one that
            costs more than all else. Its layers then have so many rows. None for all.
    """

    def __init__(
        self, sources: Sequence[str | Path], layers: Sequence[str], shown: int | None = None
    ):
        super().__init__(trainable=False)
        self.shown = shown
        wanted = list(layers)
        self.parts = []
        self.readouts: dict[str, backbones.Readout] = {}
        for source in sources:
            named = str(source) in backbones.ARCHITECTURES
            network = backbones.load(str(source)) if named else from_npz(source)
            found = [layer for layer in wanted if layer in network.output]
            if found:
                readouts = backbones.readouts(str(source)) if named else {}
                self.readouts |= {layer: readouts[layer] for layer in found if layer in readouts}
                self.parts.append(backbones.truncate(network, found))
                self.parts[-1].trainable = False
                wanted = [layer for layer in wanted if layer not in found]
        if wanted:
            raise StyleTransferError(
                f"None of the teachers {', '.join(map(str, sources))} has a layer {wanted[0]}."
            )

    def call(self, image):
        return {layer: self._read(layer, found) for layer, found in self._own(image).items()}

    def look(self, image, whole: Sequence[str] = ()):
        """(`losses.statistics` by layer, features of the layers in `whole`) of (B, H, W, 3).

        The same as of what `call` gives, but cheaper: a readout of statistics is one of a few
        numbers. And LAYER_half for each of FORM_LAYERS that there is: of the picture at half its
        size, where the layer sees forms twice as large (cf. Snelgrove, "High-resolution
        multi-scale neural texture synthesis", SIGGRAPH Asia 2017).
        """
        own = self._own(image)
        statistics = {layer: self._statistics(layer, found) for layer, found in own.items()}
        if forms := [layer for layer in FORM_LAYERS if layer in own]:
            halved = self._own(ops.average_pool(image, 2, 2))
            for layer in forms:
                statistics[f"{layer}_half"] = self._statistics(layer, halved[layer])
        return statistics, {layer: self._read(layer, own[layer]) for layer in whole}

    def _statistics(self, layer: str, features):
        found = losses.statistics(features)
        if layer in self.readouts:
            found = losses.read_statistics(found, *self.readouts[layer])
        return found

    def _own(self, image):
        """Features by layer, as the networks have them."""
        features = {}
        for number, part in enumerate(self.parts):
            features.update(part(image if number else image[: self.shown]))
        return features

    def _read(self, layer: str, features):
        return self.readouts[layer].of(features) if layer in self.readouts else features


class LikeVGG(Teacher):
    """A backbone that answers as VGG19 does: to any of its layers, with features of its size.

    For published losses, as in image optimisation: the nearest shallower layer stands for one that
    the backbone does not have, and `backbones.VGG_TO` multiplies its features.
    """

    def __init__(self, backbone: str, layers: Sequence[str]):
        nearest = {layer: backbones.nearest_layer(backbone, layer) for layer in layers}
        super().__init__([backbone], tuple(dict.fromkeys(nearest.values())))
        self.nearest, self.gain = nearest, backbones.VGG_TO.get(backbone, 1.0)

    def call(self, image):
        found = super().call(image)
        return {layer: self.gain * found[nearest] for layer, nearest in self.nearest.items()}

    def look(self, image, whole: Sequence[str] = ()):
        found = self(image)
        statistics = {layer: losses.statistics(features) for layer, features in found.items()}
        return statistics, {layer: found[layer] for layer in whole}
