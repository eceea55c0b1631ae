"""Adaptive instance normalisation: any style in one pass. Huang & Belongie, arXiv 1703.06868.

The paper's scheme: encode photo and style, give every channel of the photo's features the mean and
deviation that the style's have (AdaIN, eq. 8), decode. This network is small enough for a laptop's
CPU, and departs from the paper where that made it faster or better:

- Its own encoder is trained along with the decoder (the paper uses VGG19 up to relu4_1).
- AdaIN acts at 1/16, 1/8 and 1/4 resolution; the latter two are skip connections that keep detail.
- The style's moments, the *style code*, also steer the decoder's layers, through a small
  perceptron (as the conditional instance normalisation of arXiv 1610.07629 and 1705.06830).
- Strength (§7.1 of the paper) and blends of styles (§7.2) interpolate codes, not feature maps, so
  they cost next to nothing; the decoder is trained to give back a photo from its own code.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from nst_demo import images, losses, models, weights
from nst_demo.blending import normalised_weights
from nst_demo.errors import check_range

STRIDE = 16  # the coarsest features are at 1/16: padded sides must be multiples of this
TRIM = 14  # the decoder's unpadded convolutions take this many pixels off each side
MARGIN = 16  # reflected pixels around a picture: TRIM, and room for the zero padding inside
EPSILON = 1e-5
MAX_SIZE = 4096  # px
CHANNELS = (24, 32, 64, 128)  # at 1/2, 1/4, 1/8, 1/16
BLOCKS = (0, 1, 1, 2)  # residual blocks at each of them


def adain(features, mean, deviation):
    """Features (B, h, w, C) given the channel `mean` and `deviation` (B, 1, 1, C). Eq. 8."""
    return losses.instance_normalise(features, EPSILON) * deviation + mean


def apply_code(features, own, target):
    """AdaIN with the features' own moments given: scales and shifts in one pass."""
    (mean, deviation), (target_mean, target_deviation) = own, target
    scale = target_deviation / deviation
    shift = target_mean - mean * scale
    return features * ops.cast(scale, features.dtype) + ops.cast(shift, features.dtype)


class UpsampleConvolution(keras.layers.Layer):
    """Nearest-neighbour upsampling by 2, then an unpadded 3x3 convolution: (h, w) -> (2h-2, 2w-2).

    Computed at the low resolution: each corner between four pixels sees only those four, so one
    2x2 convolution with four times the channels and a pixel shuffle give the same result with
    4/9 of the multiplications and without the enlarged copy (cf. Odena et al., "Deconvolution and
    Checkerboard Artifacts", 2016, for why not a transposed convolution).
    """

    # FOLD[r, t, d]: whether row d of the 3x3 kernel falls on low-resolution row t of the corner,
    # for the lower (r = 0) and the upper (r = 1) output row around it.
    FOLD = np.array([[[1, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 1]]], "float32")

    def __init__(self, filters: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.filters = filters

    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=(3, 3, input_shape[-1], self.filters), initializer="he_normal", name="kernel"
        )
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")

    def call(self, features):
        channels = self.kernel.shape[2]
        fold = ops.cast(self.FOLD, self.compute_dtype)
        corner = ops.einsum("rtd,sue,deco->tucrso", fold, fold, self.kernel)
        corner = ops.reshape(corner, (2, 2, channels, 4 * self.filters))
        shuffled = ops.conv(features, corner, padding="valid") + ops.tile(self.bias, 4)
        return ops.depth_to_space(shuffled, 2)


class ResidualBlock(keras.layers.Layer):
    """x + conv(relu(conv(x) * (1 + gain) + bias)), gain and bias (B, 1, 1, C) from the style.

    `reflect` repeats the features' borders mirrored, else they are padded with zeros (faster).
    """

    def __init__(self, channels: int, reflect: bool, **kwargs: Any):
        super().__init__(**kwargs)
        self.reflect = reflect
        self.padding = "valid" if reflect else "same"
        self.first = keras.layers.Conv2D(channels, 3, padding=self.padding)
        self.second = keras.layers.Conv2D(channels, 3, padding=self.padding)

    def build(self, input_shape):
        self.first.build(input_shape)
        self.second.build(input_shape)

    def _pad(self, features):
        if not self.reflect:
            return features
        return ops.pad(features, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="reflect")

    def call(self, features, gain, bias):
        gain, bias = (ops.cast(part, self.compute_dtype) for part in (gain, bias))
        x = self._pad(features)
        if features.shape[0] == 1:  # one style: cheaper in the weights than in the features
            kernel = self.first.kernel * (1.0 + gain)
            x = ops.conv(x, kernel, padding=self.padding)
            x = x + (self.first.bias * (1.0 + gain) + bias)
        else:
            x = self.first(x) * (1.0 + gain) + bias
        return features + self.second(self._pad(ops.relu(x)))


class AdaINNetwork(keras.Model):
    """The packaged network of fast mode. Pictures enter with sides that are multiples of STRIDE.

    `encode` and `decode` are its two halves; a *code* is (B, code_size): mean and deviation of the
    features at 1/4, 1/8 and 1/16. Called on (content, style), both (B, H, W, 3) in [0, 1], it
    returns (B, H - 2 TRIM, W - 2 TRIM, 3) at full strength.
    """

    def __init__(
        self,
        channels: tuple[int, ...] = CHANNELS,
        blocks: tuple[int, ...] = BLOCKS,
        hidden: int = 128,
    ):
        super().__init__(name="adain")
        conv = keras.layers.Conv2D
        self.channels = channels
        self.code_size = 2 * sum(channels[1:])
        self.enter = conv(channels[0], 4, 2, padding="same", activation="relu", name="enter")
        self.down = [
            conv(c, 3, 2, padding="same", activation="relu", name=f"down{level}")
            for level, c in enumerate(channels[1:], 1)
        ]
        # By level, from 1/2 on. Zeros at the border are harmless at the fine ones, and faster.
        self.blocks = [
            [ResidualBlock(c, reflect=level == len(channels) - 1, name=f"block{level}_{i}") for i in range(count)]
            for level, (c, count) in enumerate(zip(channels, blocks, strict=True))
        ]
        self.up = [UpsampleConvolution(c, name=f"up{i}") for i, c in enumerate(channels[:-1])]
        self.leave = conv(12, 3, padding="same", name="leave")
        # The perceptron stays in float32 under mixed precision: it is tiny, and codes are moments.
        self.style_hidden = keras.layers.Dense(
            hidden, activation="relu", dtype="float32", name="style_hidden"
        )
        # Channels of each modulated layer, in the order in which `decode` takes them.
        self.modulated: list[int] = []
        for level in reversed(range(len(channels))):
            self.modulated += [channels[level]] * (blocks[level] + (level < len(channels) - 1))
        self.style_out = keras.layers.Dense(
            2 * sum(self.modulated),
            kernel_initializer="zeros",
            dtype="float32",
            name="style_out",
        )

    def build(self, input_shape=None):
        """Makes the weights; the shapes of the inputs do not matter."""
        if not self.built:
            self.built = True
            self(keras.ops.zeros((2, 1, 128, 128, 3)))

    def encode(self, image):
        """(B, H, W, 3) -> features (B, H/4, W/4, C4), (B, H/8, W/8, C8), (B, H/16, W/16, C16)."""
        x = self.enter(image - 0.5)  # (B, H/2, W/2, C2)
        features = []
        for down in self.down:
            x = down(x)
            features.append(x)
        return features

    def code(self, features):
        """The style code (B, code_size) of encoded features: their moments, float32."""
        parts = [part for f in features for part in losses.moments(f, EPSILON)]
        return ops.concatenate([ops.squeeze(part, (1, 2)) for part in parts], axis=1)

    def _moments(self, code):
        """A code as its (mean, deviation) at 1/4, 1/8 and 1/16, each (B, 1, 1, C)."""
        return _pairs(code, self.channels[1:])

    def _modulation(self, code):
        """A (gain, bias) for each modulated layer, each (B, 1, 1, C), in `decode`'s order."""
        return iter(_pairs(self.style_out(self.style_hidden(code)), self.modulated))

    def decode(self, features, own_code, code):
        """Paints `features`, whose own code is given, with the moments of `code`.

        Returns (B, H - 2 TRIM, W - 2 TRIM, 3) in [0, 1].
        """
        own, target = self._moments(own_code), self._moments(code)
        modulation = self._modulation(code)
        x = apply_code(features[-1], own[-1], target[-1])
        for block in self.blocks[-1]:
            x = block(x, *next(modulation))
        for level in reversed(range(len(self.up))):
            x = self.up[level](x)
            gain, bias = next(modulation)
            if level == 0:  # no skip connection at 1/2: it would copy the photo's texture
                x = ops.relu(x * (1.0 + ops.cast(gain, x.dtype)) + ops.cast(bias, x.dtype))
                break
            skip = apply_code(features[level - 1], own[level - 1], target[level - 1])
            # Each unpadded upsampling takes one more of its own pixels off each side.
            trim = 2 ** (len(self.up) - level) - 1
            x = ops.relu(x) + skip[:, trim:-trim, trim:-trim]
            mean, deviation = target[level - 1]
            x = apply_code(x, losses.moments(x, EPSILON), (mean + bias, deviation * ops.exp(gain)))
            for block in self.blocks[level]:
                x = block(x, *next(modulation))
        for block in self.blocks[0]:
            x = block(x, *next(modulation))
        return ops.depth_to_space(ops.sigmoid(self.leave(x)), 2)

    def call(self, pictures):
        content, style = pictures[0], pictures[1]
        features = self.encode(content)
        return self.decode(features, self.code(features), self.code(self.encode(style)))


def _pairs(values, channels: Sequence[int]):
    """(B, 2 sum(channels)) cut into pairs of (B, 1, 1, C)."""
    sizes = [size for size in channels for _ in range(2)]
    parts = ops.split(values[:, None, None], np.cumsum(sizes)[:-1].tolist(), axis=-1)
    return list(zip(parts[::2], parts[1::2], strict=True))


@dataclass(frozen=True)
class ObjectiveWeights:
    """Weights of the training objective's parts; see `objective`."""

    style: float = 30.0
    content: float = 1.0
    identity: float = 4.0
    variation: float = 0.2


def objective(network: AdaINNetwork, loss_network, content, style) -> dict[str, Any]:
    """What the network is trained to lower, part by part (each a float32 scalar).

    Departs from eq. 11 to 13 in three ways. Style: moments over relu1_1 ... relu5_1, each layer
    relative to the style's own energy. Content: instance-normalised relu4_1 and relu5_1 are
    compared with the photo's own, not with the AdaIN output, so that colour does not count.
    Identity: a picture painted with its own code must come back, so that a low strength changes
    little.

    Args:
        loss_network: (B, H, W, 3) -> {layer: features} with `backbones.STYLE_LAYERS`.
        content, style: (B, H, W, 3) in [0, 1], already padded as the network wants them.
    """
    features = network.encode(content)
    own = network.code(features)
    painted = network.decode(features, own, network.code(network.encode(style)))
    one = tuple(f[:1] for f in features)
    restored = network.decode(one, own[:1], own[:1])
    inside = content[:, TRIM:-TRIM, TRIM:-TRIM]

    output = loss_network(painted)
    targets = loss_network(style)
    structure = loss_network(inside)
    style_parts = [losses.moments_loss(output[layer], targets[layer]) for layer in output]
    content_parts = [
        losses.structure_loss(output[layer], structure[layer])
        for layer in ("block4_conv1", "block5_conv1")
    ]
    painted = ops.cast(painted, "float32")
    return {
        "style": sum(style_parts) / len(style_parts),
        "content": sum(content_parts) / len(content_parts),
        "identity": ops.mean(ops.abs(ops.cast(restored, "float32") - inside[:1])),
        "variation": losses.total_variation(painted),
    }


@dataclass(frozen=True)
class Options:
    """Options of fast mode.

    Attributes:
        strength: 0 gives back the photo, 1 the full style (the paper's alpha).
        style_weights: one weight of 0 or more for each style; None for equal shares.
        size: long side in px at which the picture is painted; a larger photo is painted at this
            size and enlarged to its own.
        style_size: short side in px to which a larger style is shrunk: its strokes' size.
    """

    strength: float = 1.0
    style_weights: Sequence[float] | None = None
    size: int = 2048
    style_size: int = 512

    def __post_init__(self):
        check_range("strength", self.strength, 0, 1)
        check_range("size", self.size, images.MIN_SIDE, MAX_SIZE)
        check_range("style_size", self.style_size, images.MIN_SIDE, MAX_SIZE)


class _Compiled:
    """The packaged network as two TensorFlow functions that take pictures of any size."""

    def __init__(self):
        import tensorflow as tf

        network = AdaINNetwork()
        network.build()
        network.load_weights(weights.packaged("adain"))
        picture = tf.TensorSpec([1, None, None, 3])
        code = tf.TensorSpec([1, network.code_size])

        @tf.function(input_signature=[picture])
        def style_code(style):
            return network.code(network.encode(style))

        @tf.function(input_signature=[picture, code, tf.TensorSpec([])])
        def paint(content, code, strength):
            height, width = tf.shape(content)[1], tf.shape(content)[2]
            bottom, right = MARGIN + -height % STRIDE, MARGIN + -width % STRIDE
            padded = tf.pad(
                content, [[0, 0], [MARGIN, bottom], [MARGIN, right], [0, 0]], mode="REFLECT"
            )
            features = network.encode(padded)
            own = network.code(features)
            painted = network.decode(features, own, own + strength * (code - own))

            def with_detail():
                # Departs from §7.1: what the decoder loses of the photo is put back in proportion,
                # so that strength 0 is the photo itself.
                lost = padded[:, TRIM:-TRIM, TRIM:-TRIM] - network.decode(features, own, own)
                return tf.clip_by_value(painted + (1.0 - strength) * lost, 0.0, 1.0)

            painted = tf.cond(strength < 1.0, with_detail, lambda: painted)
            edge = MARGIN - TRIM
            return painted[0, edge : edge + height, edge : edge + width]

        self.style_code, self.paint = style_code, paint


def _network() -> _Compiled:
    return models.shared("adain", _Compiled)


def style_code(style: np.ndarray, style_size: int = Options.style_size) -> np.ndarray:
    """The code (1, n) of a style (H, W, 3) in [0, 1]: all that the network takes from it."""
    shrunk = images.fit_short(style, style_size)
    height, width = (side - side % STRIDE for side in shrunk.shape[:2])
    network = _network()
    with models.on_device():
        return network.style_code(shrunk[None, :height, :width]).numpy()


def paint(content: np.ndarray, code: np.ndarray, strength: float = 1.0) -> np.ndarray:
    """`content` (H, W, 3) with the style of `code` (1, n): float32 (H, W, 3) in [0, 1]."""
    network = _network()
    with models.on_device():
        started = time.perf_counter()
        painted = network.paint(content[None], code, np.float32(strength)).numpy()
        models.pace.record("adain", content.size, time.perf_counter() - started)
    return painted


def stylize(content: np.ndarray, styles: Sequence[np.ndarray], options: Options) -> np.ndarray:
    """`content` (H, W, 3) painted like the weighted blend of `styles`: float32 (H, W, 3) in [0, 1].

    Blending is the convex combination of §7.2, taken of the styles' codes.
    """
    shares = normalised_weights(options.style_weights, len(styles))
    code = np.sum(
        [
            share * style_code(style, options.style_size)
            for share, style in zip(shares, styles, strict=True)
            if share > 0
        ],
        axis=0,
    )
    small = images.fit(content, options.size)
    painted = paint(small, code, options.strength)
    return painted if small.shape == content.shape else images.resize(painted, *content.shape[:2])


def warm_up() -> None:
    """Loads and compiles the network, so that the first visitor does not wait for it."""
    grey = np.full((256, 256, 3), 0.5, "float32")
    for _ in range(2):  # the first run traces, the second tells the pace
        stylize(grey, [grey], Options())


def expected_seconds(height: int, width: int, options: Options) -> float | None:
    """Seconds for a photo of this size on this machine; None before the first run."""
    return models.pace.expected_for("adain", height, width, options.size)
