"""Feature networks of VGG's shape: the packaged `lite`, and VGG16 / VGG19 (arXiv 1409.1556).

All three answer to the layer names of `keras.applications` (`block1_conv1` ... `block5_conv4`, as
far as each goes), take RGB in [0, 1] and do their own preprocessing, so nobody else needs to know
about BGR or 103.939. Features are taken after the ReLU, as in every style-transfer paper.

`lite` has VGG19's layout at about a quarter of its channels (13 times fewer multiplications). It is
distilled from VGG19 by `nst_demo.training.distill`. Its channels are not VGG19's, but linear maps
(`readouts`) turn them into an approximation of those.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from nst_demo import weights
from nst_demo.errors import StyleTransferError, check_choice

STYLE_LAYERS = tuple(f"block{block}_conv1" for block in range(1, 6))


@dataclass(frozen=True)
class Architecture:
    """Channels and number of 3x3 convolutions in each block; 2x2 max-pooling between blocks.

    `wider`: layers with more channels than their block, as (layer, channels).
    """

    channels: tuple[int, ...]
    convolutions: tuple[int, ...]
    wider: tuple[tuple[str, int], ...] = ()

    @property
    def layers(self) -> tuple[str, ...]:
        """Layer names from the input to the deepest."""
        return tuple(
            f"block{block}_conv{conv}"
            for block, count in enumerate(self.convolutions, 1)
            for conv in range(1, count + 1)
        )

    def upto(self, layers: Sequence[str]) -> tuple[str, ...]:
        """The layers from the input to the deepest of `layers`."""
        return self.layers[: 1 + max(map(self.layers.index, layers))]

    def reach(self, layers: Sequence[str]) -> int:
        """Pixels on each side of its own cell that a position of the deepest of `layers` sees.

        A 3x3 convolution adds its stride; pooling aligned with the cells adds nothing.
        """
        return sum(stride(layer) for layer in self.upto(layers))

    def floats_per_pixel(self, layers: Sequence[str]) -> float:
        """Values of all features up to the deepest of `layers`, per pixel of the picture."""
        return sum(self.width(layer) / stride(layer) ** 2 for layer in self.upto(layers))

    def width(self, layer: str) -> int:
        """Channels of a layer."""
        return dict(self.wider).get(layer, self.channels[_block(layer) - 1])


def _block(layer: str) -> int:
    return int(layer[len("block") : layer.index("_")])


def stride(layer: str) -> int:
    """Pixels between two positions of a layer: 1 in block 1, doubled by every block after it."""
    return 2 ** (_block(layer) - 1)


ARCHITECTURES = {
    "lite": Architecture(
        (16, 32, 64, 128, 128),
        (2, 2, 4, 4, 1),
        # Else they hold too little of VGG19's.
        wider=(("block1_conv1", 24), ("block2_conv1", 40), ("block3_conv1", 112)),
    ),
    "vgg16": Architecture((64, 128, 256, 512, 512), (2, 2, 3, 3, 3)),
    "vgg19": Architecture((64, 128, 256, 512, 512), (2, 2, 4, 4, 4)),
}


# The size of VGG19's features by that of a backbone's. Published losses are no ratios: on features
# of another size their parts lose their balance, and their fixed steps are far too short. `lite`'s
# readouts have a mean of 1, VGG19's are in the hundreds. With this factor the losses of the
# recipe `keras` on photos are of the order that its publication logs (some thousands).
VGG_TO = {"lite": 150.0}

_LAYER_NAME = re.compile(r"block([1-9]\d*)_conv([1-9]\d*)")


class VGGPreprocessing(keras.layers.Layer):
    """RGB in [0, 1] -> BGR in [0, 255] less ImageNet's means, as VGG was trained."""

    def call(self, image):
        return keras.applications.vgg19.preprocess_input(image * 255.0, data_format="channels_last")


class EdgePadding(keras.layers.Layer):
    """Repeats the border pixels once.

    Zero padding of the picture itself shows as a frame in optimised images; in the deeper layers
    it does not, and there the convolution's own zero padding is faster.
    """

    def call(self, image):
        return keras.ops.pad(image, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="symmetric")


def architecture(name: str) -> Architecture:
    check_choice("backbone", name, ARCHITECTURES)
    return ARCHITECTURES[name]


def nearest_layer(name: str, layer: str) -> str:
    """`layer` itself, or where the backbone has no such layer the nearest shallower one."""
    layers = architecture(name).layers
    if layer in layers:
        return layer
    depth = _LAYER_NAME.fullmatch(layer)
    shallower = [n for n in layers if depth and _depth(n) <= _depth(layer)]
    if not shallower:
        raise StyleTransferError(
            f"There is no layer {layer!r}; name one as keras.applications does, "
            f"from {layers[0]} to {layers[-1]} on {name}."
        )
    return shallower[-1]


def _depth(layer: str) -> tuple[int, ...]:
    """(block, convolution): compares as the layers' order does."""
    return tuple(map(int, re.findall(r"\d+", layer)))


def build_network(shape: Architecture, preprocessing: str, name: str) -> keras.Model:
    """The whole network with fresh weights: (B, H, W, 3) in [0, 1] -> {layer: (B, h, w, C)}.

    Whatever Keras' policy, pictures are preprocessed in float32: bfloat16 has 8 bits, as they have.
    `preprocessing` is "vgg" (caffe's BGR means, zero padding throughout, as the published weights
    expect) or "unit" (centred to [-1, 1], edge padding of the picture).
    """
    image = keras.Input((None, None, 3), name="image")
    if preprocessing == "vgg":
        x = VGGPreprocessing(name="preprocessing", dtype="float32")(image)
    else:
        x = keras.layers.Rescaling(2.0, -1.0, name="preprocessing", dtype="float32")(image)
        x = EdgePadding(name="edge_padding", dtype="float32")(x)
    features = {}
    for layer in shape.layers:
        block = _block(layer)
        if block > 1 and layer.endswith("_conv1"):
            x = keras.layers.MaxPooling2D(name=f"block{block - 1}_pool")(x)
        first = preprocessing != "vgg" and not features
        x = keras.layers.Conv2D(
            shape.width(layer),
            3,
            padding="valid" if first else "same",
            activation="relu",
            kernel_initializer="he_normal",
            name=layer,
        )(x)
        features[layer] = x
    return keras.Model(image, features, name=name)


def build(name: str) -> keras.Model:
    """`lite`, `vgg16` or `vgg19` with fresh random weights."""
    return build_network(architecture(name), "unit" if name == "lite" else "vgg", name)


def load(name: str) -> keras.Model:
    """`lite`, `vgg16` or `vgg19` with trained weights.

    `lite` is packaged; the others come from the file that NST_VGG16_WEIGHTS / NST_VGG19_WEIGHTS
    names (as `keras.applications` or `Model.save_weights` write them, without the classifier), or
    else are downloaded once by `keras.applications`. StyleTransferError where that fails.
    """
    network = build(name)
    if name in weights.PACKAGED:
        network.load_weights(weights.packaged(name))
        return network
    variable = weights.LOCAL_FILE_VARIABLES[name]
    source: str | Path = weights.local_file(name) or "imagenet"
    make = keras.applications.VGG16 if name == "vgg16" else keras.applications.VGG19
    try:
        trained = make(include_top=False, weights=source if source == "imagenet" else None)
        if source != "imagenet":
            trained.load_weights(source)
    except Exception as error:  # urllib, h5py and keras each raise their own kinds
        where = "could not be downloaded" if source == "imagenet" else f"in {source} do not fit"
        raise StyleTransferError(
            f"The weights of {name} {where} ({_first_line(error)}); connect to the internet, or "
            f"set {variable} to a file with keras.applications' {name} weights without the top, "
            "or use the packaged backbone 'lite'."
        ) from error
    for layer in architecture(name).layers:
        network.get_layer(layer).set_weights(trained.get_layer(layer).get_weights())
    return network


class Readout(NamedTuple):
    """What turns a layer's features F (..., C) into VGG19's (..., D): F kernel + bias."""

    kernel: np.ndarray  # (C, D)
    bias: np.ndarray  # (D,)

    def of(self, features):
        """(B, h, w, C) -> (B, h, w, D), in the features' precision."""
        kernel, bias = (keras.ops.cast(part, features.dtype) for part in self)
        return keras.ops.conv(features, kernel[None, None], padding="valid") + bias


def readouts(name: str) -> dict[str, Readout]:
    """By layer; a layer without one is taken as it is, as all are of VGG16 and VGG19.

    A student's channels are any mixtures of its teacher's. A loss of Gram matrices or of normalised
    features depends on the mixture: in the student's own channels optimisation is several times
    slower, and finds noise that means much to the student and nothing to VGG19.
    VGG19's here has a mean of 1 in every layer.
    """
    if name != "lite":
        return {}
    with np.load(weights.packaged("lite's readouts")) as arrays:
        return {
            layer: Readout(
                *(arrays[f"{layer}/{part}"].astype("float32") for part in Readout._fields)
            )
            for layer in STYLE_LAYERS
        }


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def truncate(network: keras.Model, layers: Sequence[str]) -> keras.Model:
    """The part of `network` up to the deepest of `layers`, sharing its weights.

    Returns a model (B, H, W, 3) -> {layer: (B, h, w, C)}. Raises StyleTransferError for a layer
    that the network does not have.
    """
    missing = [layer for layer in layers if layer not in network.output]
    if missing:
        raise StyleTransferError(
            f"Backbone {network.name} has no layer {missing[0]!r}; "
            f"it has {', '.join(network.output)}."
        )
    return keras.Model(network.input, {layer: network.output[layer] for layer in layers})


def segments(network: keras.Model, layers: Sequence[str]) -> dict[str, keras.Model]:
    """`network` cut at `layers`: {layer: the part from the one before it (or the picture) to it}.

    In the network's own order. What a layer gives can so be used, or changed, on its way.
    """
    truncate(network, layers)  # refuses those that are not there
    parts, before = {}, network.input
    for layer in network.output:
        if layer in layers:
            parts[layer] = keras.Model(before, network.output[layer])
            before = network.output[layer]
    return parts
