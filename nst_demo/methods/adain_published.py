"""AdaIN as it was published: a fixed VGG19 encoder and its mirror. Huang & Belongie, 1703.06868.

Encode photo and style up to relu4_1, give the photo's features the style's channel moments (eq. 8),
decode (§5). Only the decoder is trained (eq. 11 to 13; `training.adain.train_decoder`): it mirrors
the encoder, with reflection padding and nearest upsampling in place of pooling, and no
normalisation. Strength is eq. 14, several styles are eq. 15, on feature maps as in the paper.

This is the `baroni` system's network. No decoder is packaged: NST_ADAIN_DECODER names the file that
`nst-demo train-adain --backbone vgg19` (or `lite`) wrote, and the file's shapes tell which.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from nst_demo import backbones, images, losses, models, strokes, weights
from nst_demo.blending import normalised_weights
from nst_demo.errors import StyleTransferError, check_choice, check_range

NAME = "adain-published"
LAYERS = backbones.STYLE_LAYERS[:4]  # relu1_1 ... relu4_1; AdaIN acts on the last
EPSILON = 1e-5
STRIDE = 8  # relu4_1 is at 1/8: padded sides must be multiples of this
MARGIN = 16  # reflected pixels around a picture, for the encoder's zero padding
STYLE_SIZE = 512  # px, short side (§6.1: pictures of 512 px)
MAX_SIZE = 2048  # px
# What the decoder's last layer gives, in units of a pixel's range: VGG's features are in the
# hundreds, as pixels in [0, 255] are, and those of `lite` are near 1.
PIXEL_RANGE = {"vgg19": 255.0, "lite": 1.0}


def kernels(backbone: str) -> list[tuple[int, int]]:
    """(channels in, channels out) of the decoder's convolutions: the encoder's, turned round."""
    check_choice("backbone of the published AdaIN", backbone, PIXEL_RANGE)
    shape = backbones.architecture(backbone)
    forward, before = [], 3
    for layer in shape.upto(LAYERS):
        forward.append((before, shape.width(layer)))
        before = shape.width(layer)
    return [(there, here) for here, there in reversed(forward)]


class Decoder(keras.Model):
    """Features of relu4_1 (B, h, w, C) -> pictures (B, 8h, 8w, 3), about in [0, 1]."""

    def __init__(self, backbone: str):
        super().__init__(name="decoder")
        self.channels = kernels(backbone)
        self.pixel_range = PIXEL_RANGE[backbone]
        layers = backbones.architecture(backbone).upto(LAYERS)[::-1]
        # Where the encoder pooled before a layer, its mirror is followed by an upsampling.
        self.enlarged = [
            backbones.stride(layer) > backbones.stride(after)
            for layer, after in zip(layers, [*layers[1:], layers[-1]], strict=True)
        ]
        self.convolutions = [
            keras.layers.Conv2D(out, 3, kernel_initializer="he_normal", name=f"conv{i}")
            for i, (_, out) in enumerate(self.channels)
        ]

    def build(self, input_shape=None):
        """Makes the weights; the shape of the input does not matter."""
        if not self.built:
            self.built = True
            self(ops.zeros((1, 4, 4, self.channels[0][0])))

    def call(self, features):
        x = features
        for convolution, enlarged in zip(self.convolutions, self.enlarged, strict=True):
            x = convolution(ops.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="reflect"))
            if convolution is not self.convolutions[-1]:
                x = ops.relu(x)
            if enlarged:
                x = ops.repeat(ops.repeat(x, 2, axis=1), 2, axis=2)
        return ops.cast(x, "float32") / self.pixel_range + 0.5


def encoder(backbone: str) -> keras.Model:
    """(B, H, W, 3) in [0, 1] -> {layer: features} of LAYERS. It is not trained."""
    network = backbones.truncate(backbones.load(backbone), LAYERS)
    network.trainable = False
    return network


def adain(features, mean, deviation):
    """Features (B, h, w, C) given the channel `mean` and `deviation` (B, 1, 1, C). Eq. 8."""
    return losses.instance_normalise(features, EPSILON) * deviation + mean


def objective(decoder: Decoder, encode: keras.Model, content, style) -> dict[str, Any]:
    """L_c and L_s of eq. 12 and 13 (each a float32 scalar), content and style (B, H, W, 3).

    Mean squares where the paper writes norms: so do the authors' own code and those after it.
    """
    targets = {layer: losses.moments(f, EPSILON) for layer, f in encode(style).items()}
    wanted = adain(encode(content)[LAYERS[-1]], *targets[LAYERS[-1]])
    output = encode(decoder(wanted))
    found = {layer: losses.moments(output[layer], EPSILON) for layer in LAYERS}
    style_parts = [
        ops.mean(ops.square(part - target))
        for layer in LAYERS
        for part, target in zip(found[layer], targets[layer], strict=True)
    ]
    error = ops.cast(output[LAYERS[-1]], "float32") - wanted
    return {"content": ops.mean(ops.square(error)), "style": sum(style_parts)}


@dataclass(frozen=True)
class Options:
    """Options of the published AdaIN.

    Attributes:
        strength: the paper's alpha: 1 the full style, 0 what the decoder makes of the photo's own
            features (which is not quite the photo).
        style_weights: one weight of 0 or more for each style; None for equal shares.
        style_scale: size of the strokes, from 0.25 to 4: the style is shrunk to a short side of
            STYLE_SIZE * style_scale px, where it has more.
        size: long side in px at which the picture is painted; a larger photo is painted at this
            size and enlarged to its own.
    """

    strength: float = 1.0
    style_weights: Sequence[float] | None = None
    style_scale: float = 1.0
    size: int = 1024

    def __post_init__(self):
        check_range("strength", self.strength, 0, 1)
        check_range("style_scale", self.style_scale, 0.25, 4)
        check_range("size", self.size, images.MIN_SIDE, MAX_SIZE)


def backbone_of(path: Path) -> str:
    """The backbone that a decoder's weights belong to, by their shapes."""
    found = [shape[2:] for shape in weights.shapes(path) if len(shape) == 4]
    for name in PIXEL_RANGE:
        if sorted(found) == sorted(kernels(name)):
            return name
    raise StyleTransferError(
        f"{path.name} holds no decoder of the published AdaIN; give a file that "
        "`nst-demo train-adain --backbone` wrote."
    )


class _Compiled:
    """Encoder and decoder as TensorFlow functions for pictures of any size."""

    def __init__(self, path: Path):
        import tensorflow as tf

        backbone = backbone_of(path)
        network, decoder = encoder(backbone), Decoder(backbone)
        decoder.build()
        decoder.load_weights(path)
        features = tf.TensorSpec([1, None, None, decoder.channels[0][0]])

        @tf.function(input_signature=[tf.TensorSpec([1, None, None, 3])])
        def encode(picture):
            return network(picture)[LAYERS[-1]]

        self.encode = encode
        self.decode = tf.function(decoder, input_signature=[features])


def _network() -> _Compiled:
    path = weights.local_file(NAME)
    if path is None:
        raise StyleTransferError(
            f"The method {NAME!r} has no decoder; train one with `nst-demo train-adain --backbone "
            f"vgg19`, and set {weights.LOCAL_FILE_VARIABLES[NAME]} to its file."
        )
    return models.shared((NAME, path, path.stat().st_mtime_ns), lambda: _Compiled(path))


def stylize(content: np.ndarray, styles: Sequence[np.ndarray], options: Options) -> np.ndarray:
    """`content` (H, W, 3) painted like the weighted blend of `styles`: float32 (H, W, 3) in [0, 1].

    Eq. 15: the blend is that of the feature maps, each with one style's moments.
    """
    shares = normalised_weights(options.style_weights, len(styles))
    network = _network()
    small = images.fit(content, options.size)
    height, width = small.shape[:2]
    padded = strokes.mirrored(small, MARGIN, STRIDE)
    with models.on_device():
        started = time.perf_counter()
        own = network.encode(padded[None])
        target = 0.0
        for share, style in zip(shares, styles, strict=True):
            found = network.encode(_shrunk(style, options.style_scale)[None])
            target += share * adain(own, *losses.moments(found, EPSILON))
        alpha = np.float32(options.strength)
        painted = network.decode((1 - alpha) * own + alpha * target).numpy()[0]  # eq. 14
        models.pace.record(NAME, small.size, time.perf_counter() - started)
    painted = painted[MARGIN : MARGIN + height, MARGIN : MARGIN + width]
    return images.resize(np.clip(painted, 0.0, 1.0), *content.shape[:2])


def _shrunk(style: np.ndarray, style_scale: float) -> np.ndarray:
    shrunk = images.fit(images.fit_short(style, round(STYLE_SIZE * style_scale)), MAX_SIZE)
    height, width = (side - side % STRIDE for side in shrunk.shape[:2])
    return shrunk[:height, :width]


def expected_seconds(height: int, width: int, options: Options) -> float | None:
    """Seconds for a photo of this size on this machine; None before the first run."""
    return models.pace.expected_for(NAME, height, width, options.size)
