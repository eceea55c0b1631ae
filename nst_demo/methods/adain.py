"""Adaptive instance normalisation: any style in one pass. Huang & Belongie, arXiv 1703.06868.

The paper's scheme: encode photo and style, give every channel of the photo's features the mean and
deviation that the style's have (AdaIN, eq. 8), decode. This network is small enough for a laptop's
CPU, and departs from the paper where that made it faster or better:

- Its own encoder is trained along with the decoder (the paper uses VGG19 up to relu4_1).
- AdaIN acts at 1/16, 1/8 and 1/4 resolution; the latter two are skip connections that keep detail.
- The style's moments, the *style code*, also steer the decoder's layers, through a small
  perceptron: they scale and shift what a layer gives (as the conditional instance normalisation of
  arXiv 1610.07629 and 1705.06830), and say in which shares its kernel is mixed from a few learnt
  ones (arXiv 1912.03458), so that styles differ in their strokes and not in colours alone.
- Strength (§7.1 of the paper) and blends of styles (§7.2) interpolate codes, not feature maps, so
  they cost next to nothing; the decoder is trained to give back a photo from its own code.
- A large picture is painted at two sizes, so that its strokes are as large as a small one's and its
  detail as fine as its own (`paint`); and in bands of rows, to the same result (`_Compiled`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from nst_demo import images, losses, models, strokes, temporal, weights
from nst_demo.blending import normalised_weights
from nst_demo.errors import check_range, check_seed, check_weight
from nst_demo.layers import Grain, StyledConvolution, UpsampleConvolution

STRIDE = 16  # the coarsest features are at 1/16: padded sides must be multiples of this
TRIM = 14  # the decoder's unpadded convolutions take this many pixels off each side
MARGIN = 16  # reflected pixels around a picture: TRIM, and room for the zero padding inside
EPSILON = 1e-5
MOST_STEERED = 6.0  # by the perceptron; paintings get up to 4, a plain grey would get 30
MOST_RATIO = 7.0  # mean / deviation: one in a thousand of the paintings' channels has more
MAX_SIZE = 4096  # px
STYLE_SIZE = 512  # px, short side
STROKE_SIZE = 1536  # px, long side: in larger pictures the strokes are to be as large as in this
LEAST_SIZE = 256  # px, long side: no picture is painted smaller for larger strokes
TILE_PIXELS = 2**21  # a picture of more is worked on in bands
CHANNELS = (24, 32, 64, 128)  # at 1/2, 1/4, 1/8, 1/16
BLOCKS = (0, 1, 1, 2)  # residual blocks at each of them
EXPERTS = (4, 4, 4, 0)  # kernels that the style mixes, for each convolution of the decoder there


def adain(features, mean, deviation):
    """Features (B, h, w, C) given the channel `mean` and `deviation` (B, 1, 1, C). Eq. 8."""
    return losses.instance_normalise(features, EPSILON) * deviation + mean


def apply_code(features, own, target):
    """AdaIN with the features' own moments given: scales and shifts in one pass."""
    (mean, deviation), (target_mean, target_deviation) = own, target
    scale = target_deviation / deviation
    shift = target_mean - mean * scale
    return features * ops.cast(scale, features.dtype) + ops.cast(shift, features.dtype)


class Steering(NamedTuple):
    """What the style tells a layer or block of the decoder."""

    gain: Any  # (B, 1, 1, C)
    shift: Any  # (B, 1, 1, C)
    shares: Any  # of the experts of its kernels, (B, n)


class ResidualBlock(keras.layers.Layer):
    """x + conv(relu(conv(x) * (1 + gain) + shift)), steered by the style; same size, C channels.

    `reflect` repeats the features' borders mirrored, else they are padded with zeros (faster).
    """

    def __init__(self, channels: int, reflect: bool, experts: int = 0, **kwargs: Any):
        super().__init__(**kwargs)
        self.reflect, self.experts = reflect, experts
        padding = "valid" if reflect else "same"
        self.first = StyledConvolution(channels, experts, padding, name="first")
        self.second = StyledConvolution(channels, experts, padding, name="second")

    def build(self, input_shape):
        self.first.build(input_shape)
        self.second.build(input_shape)

    def _pad(self, features):
        if not self.reflect:
            return features
        return ops.pad(features, [[0, 0], [1, 1], [1, 1], [0, 0]], mode="reflect")

    def call(self, features, steering: Steering):
        gain, shift, shares = steering
        x = self.first(self._pad(features), gain, shift, shares[:, : self.experts])
        return features + self.second(self._pad(ops.relu(x)), shares=shares[:, self.experts :])


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
        experts: tuple[int, ...] = EXPERTS,
        hidden: int = 192,
    ):
        super().__init__(name="adain")
        conv = keras.layers.Conv2D
        self.channels = channels
        self.code_size = 2 * sum(channels[1:])
        self.moments_size = self.code_size + 2 * sum(channels[1:-1])  # with `decode_coarse`'s own
        # No zeros beyond the border: the encoder would see an edge there, and the decoder draw it.
        self.enter = conv(channels[0], 4, 2, activation="relu", name="enter")
        self.down = [
            conv(c, 3, 2, activation="relu", name=f"down{level}")
            for level, c in enumerate(channels[1:], 1)
        ]
        # By level, from 1/2 on. Zeros at the border are harmless at the fine ones, and faster.
        self.blocks = [
            [
                ResidualBlock(
                    c, reflect=level >= len(channels) - 2, experts=k, name=f"block{level}_{i}"
                )
                for i in range(count)
            ]
            for level, (c, count, k) in enumerate(zip(channels, blocks, experts, strict=True))
        ]
        # Where strokes begin: at 1/8, 1/16. See `_grained`.
        self.grains = [Grain(level, name=f"grain{level}") for level in range(2, len(channels))]
        self.up = [
            UpsampleConvolution(c, k, name=f"up{i}")
            for i, (c, k) in enumerate(zip(channels[:-1], experts, strict=False))
        ]
        self.leave = StyledConvolution(12, experts[0], padding="same", name="leave")
        # The perceptron stays in float32 under mixed precision: it is tiny, and codes are moments.
        # Leaky: with plain relus most of its units ended silent for every style.
        self.style_hidden = keras.layers.Dense(
            hidden, activation="leaky_relu", dtype="float32", name="style_hidden"
        )
        # (channels, kernels of experts) of each steered layer and block, as `decode` takes them.
        self.steered: list[tuple[int, int]] = []
        for level in reversed(range(len(channels))):
            c, k = channels[level], experts[level]
            up = [(c, k)] * (level < len(channels) - 1)
            self.steered += [*up, *[(c, 2 * k)] * blocks[level]]
        self.steered.append((12, experts[0]))
        self.style_out = keras.layers.Dense(
            sum(2 * c + k for c, k in self.steered),
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
        return self.encode_coarse(self.encode_fine(image))

    def encode_fine(self, image):
        """(B, H, W, 3) -> (B, H/4, W/4, C4): the first of `encode`'s features."""
        # Two more pixels at 1/1 are cheaper to mirror than one at 1/2.
        edges = [[0, 0], [1, 3], [1, 3], [0, 0]]
        mirrored = ops.pad(image - 0.5, edges, mode="reflect")
        return self.down[0](self.enter(mirrored))  # by way of (B, H/2 + 1, W/2 + 1, C2)

    def encode_coarse(self, quarter):
        """The first of `encode`'s features -> all of them."""
        features = [quarter]
        for down in self.down[1:]:  # stride 2: only the lower and the right border are seen
            edges = [[0, 0], [0, 1], [0, 1], [0, 0]]
            # The outermost once more, not the one before: of that a bright strip came.
            features.append(down(ops.pad(features[-1], edges, mode="symmetric")))
        return features

    def code(self, features):
        """The style code (B, code_size) of encoded features: their moments, float32."""
        parts = [part for f in features for part in losses.moments(f, EPSILON)]
        return ops.concatenate([ops.squeeze(part, (1, 2)) for part in parts], axis=1)

    def _moments(self, code):
        """A code as its (mean, deviation) at 1/4, 1/8 and 1/16, each (B, 1, 1, C)."""
        return _pairs(code, self.channels[1:])

    def description(self, code):
        """What the perceptron sees of a code: mean / deviation and log deviation, same layout.

        Channels differ in scale a hundredfold; of these none outweighs the others. A plain picture
        has hardly any deviation, so the ratio is cut where those of paintings end.
        """
        pairs = self._moments(code)
        parts = [
            part
            for mean, dev in pairs
            for part in (ops.minimum(mean / dev, MOST_RATIO), ops.log(dev))
        ]
        return ops.concatenate([ops.squeeze(part, (1, 2)) for part in parts], axis=1)

    def _steering(self, code) -> list[Steering]:
        """For each steered layer and block, in `decode`'s order."""
        sizes = [size for c, k in self.steered for size in (c, c, k)]
        values = self.style_out(self.style_hidden(self.description(code)))
        values = ops.clip(values, -MOST_STEERED, MOST_STEERED)
        parts = iter(ops.split(values, np.cumsum(sizes)[:-1].tolist(), axis=-1))
        return [
            Steering(next(parts)[:, None, None], next(parts)[:, None, None], next(parts))
            for _ in self.steered
        ]

    def decode(self, features, own_code, code, start=(0, 0)):
        """Paints `features`, whose own code is given, with the moments of `code`.

        start: see `layers.Grain`. Returns (B, H - 2 TRIM, W - 2 TRIM, 3) in [0, 1].
        """
        coarse = self.decode_coarse(features, own_code, code, start=start)
        return self.decode_fine(coarse, code)

    def _grained(self, level: int, x, own, target, start):
        """`x` with grain, the more the further the means are moved: none for a photo's own code."""
        moved = ops.abs(target[level - 1][0] - own[level - 1][0])
        return self.grains[level - 2](x, moved, start=start)

    def decode_coarse(self, features, own_code, code, moments=losses.moments, start=(0, 0)):
        """`decode` up to 1/4: all that depends on moments of the whole picture.

        moments: (features, epsilon) -> mean and deviation; a clip shares them over its frames.
        Returns (B, H/4 - 6, W/4 - 6, C4).
        """
        own, target = self._moments(own_code), self._moments(code)
        steering = iter(self._steering(code))
        x = apply_code(features[-1], own[-1], target[-1])
        x = self._grained(len(own), x, own, target, start)
        for block in self.blocks[-1]:
            x = block(x, next(steering))
        for level in reversed(range(1, len(self.up))):
            gain, shift, shares = next(steering)
            x = self.up[level](x, shares=shares)
            # Each unpadded upsampling takes one more of its own pixels off each side.
            trim = 2 ** (len(self.up) - level) - 1
            skip = features[level - 1][:, trim:-trim, trim:-trim]
            x = x + apply_code(skip, own[level - 1], target[level - 1])
            mean, deviation = target[level - 1]
            aim = mean + shift, deviation * ops.exp(gain)
            x = apply_code(x, moments(x, EPSILON), aim)
            if level > 1:
                x = self._grained(level, x, own, target, start)
            for block in self.blocks[level]:
                x = block(x, next(steering))
        return x

    def decode_fine(self, x, code):
        """The rest of `decode`, from (B, h, w, C4) to (B, 4h - 4, 4w - 4, 3) in [0, 1].

        No skip connection at 1/2: it would copy the photo's texture.
        """
        up, *blocks, leave = self._steering(code)[-2 - len(self.blocks[0]) :]
        x = self.up[0](x, *up)
        for block, steering in zip(self.blocks[0], blocks, strict=True):
            x = block(x, steering)
        x = ops.cast(self.leave(x, *leave), "float32")
        return ops.depth_to_space(ops.sigmoid(x), 2)

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

    style: float = 20.0
    content: float = 1.0
    identity: float = 4.0
    variation: float = 0.2
    grid: float = 500.0
    lattice: float = 3.0
    restlessness: float = 3.0
    streaks: float = 10.0

    def __post_init__(self):
        for part in fields(self):
            check_weight(f"{part.name} weight", getattr(self, part.name))


CONTENT_LAYERS = ("block4_conv1", "block5_conv1")


def content_targets(loss_network, content) -> dict[str, Any]:
    """What `objective` wants of photos (B, H, W, 3) by `CONTENT_LAYERS`: their structure."""
    found = loss_network(content[:, TRIM:-TRIM, TRIM:-TRIM])
    return {layer: losses.instance_normalise(found[layer]) for layer in CONTENT_LAYERS}


def objective(
    network: AdaINNetwork,
    loss_network,
    content,
    style,
    structure: Mapping[str, Any],
    statistics: Mapping[str, tuple[Any, ...]],
    start: Any = (0, 0),
) -> dict[str, Any]:
    """What the network is trained to lower, part by part (each a float32 scalar).

    Departs from eq. 11 to 13. Style: moments and Gram matrices over relu1_1 ... relu5_1, each layer
    relative to the style's own energy; relu4_1 and relu5_1 at half the size too, for larger forms.
    Content: instance-normalised relu4_1 and relu5_1 are compared with the photo's own, not with the
    AdaIN output, so that colour does not count. Identity: a picture painted with its own code must
    come back, so that a low strength changes little. Grid and lattice: no pattern from the
    upsampling, nor from the coarsest features. Restlessness: strokes rather where the photo has
    something than in its sky. Streaks: no long lines there, straight down or across.

    Args:
        loss_network: a `teachers.Teacher` with `backbones.STYLE_LAYERS`. A layer may have fewer
            rows than B: of the first pictures only.
        content, style: (B, H, W, 3) in [0, 1], already padded as the network wants them.
        structure: of the photos, see `content_targets`.
        statistics: of the styles, as the loss network's `look` has them.
        start: see `layers.Grain`.
    """
    features = network.encode(content)
    own = network.code(features)
    painted = network.decode(features, own, network.code(network.encode(style)), start)
    one = tuple(f[:1] for f in features)
    restored = ops.cast(network.decode(one, own[:1], own[:1]), "float32")

    found, output = loss_network.look(painted, CONTENT_LAYERS)
    style_parts = [
        losses.statistics_loss(parts, [part[: parts[0].shape[0]] for part in statistics[layer]])
        for layer, parts in found.items()
    ]
    content_parts = [
        ops.mean(ops.square(losses.instance_normalise(found) - target[: found.shape[0]]))
        for found, target in ((output[layer], structure[layer]) for layer in CONTENT_LAYERS)
    ]
    painted = ops.cast(painted, "float32")
    inside = content[:, TRIM:-TRIM, TRIM:-TRIM]
    return {
        "style": sum(style_parts) / len(style_parts),
        "content": sum(content_parts) / len(content_parts),
        "identity": ops.mean(ops.abs(restored - inside[:1])),
        "variation": losses.total_variation(painted),
        "grid": losses.grid(painted[:1]),  # it is dear, and the same fault in all
        "lattice": losses.lattice(painted),
        "restlessness": losses.restlessness(painted, inside),
        "streaks": losses.streaks(painted, inside),
    }


@dataclass(frozen=True)
class Options:
    """Options of fast mode.

    Attributes:
        strength: 0 gives back the photo, 1 the full style (the paper's alpha).
        style_weights: one weight of 0 or more for each style; None for equal shares.
        style_scale: size of the strokes, from 0.25 to 4: a larger style is shrunk to a short side
            of STYLE_SIZE * style_scale px before it is looked at. One that is too small for a
            scale above 1 stays as it is, and the strokes are enlarged instead (see `paint`).
        size: long side in px at which the picture is painted; a larger photo is painted at this
            size and enlarged to its own.
        seed: taken for the sake of quality mode, which has the same; without effect here, as
            nothing is random.
    """

    strength: float = 1.0
    style_weights: Sequence[float] | None = None
    style_scale: float = 1.0
    size: int = MAX_SIZE
    seed: int = 0

    def __post_init__(self):
        check_range("strength", self.strength, 0, 1)
        check_range("style_scale", self.style_scale, 0.25, 4)
        check_range("size", self.size, images.MIN_SIDE, MAX_SIZE)
        check_seed(self.seed)


class _Compiled:
    """The network as TensorFlow functions for pictures of any size.

    A large picture is worked on in bands of rows where its features are large, that is between the
    picture and 1/4, each with as many rows around it as its result depends on. From 1/4 on, its
    features are smaller than the picture itself, so all that depends on moments runs on the whole:
    the result is that of one piece, up to rounding.
    """

    def __init__(self, network: AdaINNetwork):
        import tensorflow as tf

        picture = tf.TensorSpec([1, None, None, 3])
        code = tf.TensorSpec([1, network.code_size])
        features = [
            tf.TensorSpec([1, None, None, channels], network.compute_dtype)
            for channels in network.channels[1:]
        ]

        @tf.function(input_signature=[features[0]])
        def encode_coarse(quarter):
            found = network.encode_coarse(quarter)
            return found, network.code(found)

        @tf.function(input_signature=[picture, code, tf.TensorSpec([])])
        def paint_whole(padded, code, strength):
            features = network.encode(padded)
            own = network.code(features)
            painted = network.decode(features, own, own + strength * (code - own))

            def with_detail():
                # Departs from §7.1: what the decoder loses of the photo is put back in proportion,
                # so that strength 0 is the photo itself.
                lost = padded[:, TRIM:-TRIM, TRIM:-TRIM] - network.decode(features, own, own)
                return tf.clip_by_value(painted + (1.0 - strength) * lost, 0.0, 1.0)

            return tf.cond(strength < 1.0, with_detail, lambda: painted)

        state = tf.TensorSpec([1, network.moments_size])

        @tf.function(input_signature=[picture, code, tf.TensorSpec([]), state, tf.TensorSpec([])])
        def paint_frame(padded, code, strength, before, keep):
            """`paint_whole` with `keep` of the moments of the frames before; also the new ones."""
            features = network.encode(padded)
            own = network.code(features)
            size = network.code_size
            before_own, before_inner = before[:, :size], before[:, size:]
            shared_own = own + keep * (before_own - own)
            earlier = iter(_pairs(before_inner, network.channels[-2:0:-1]))
            state = [shared_own]

            def shared(x, epsilon):
                pair = []
                for now, then in zip(losses.moments(x, epsilon), next(earlier), strict=True):
                    pair.append(now + keep * (then - now))
                    state.append(tf.squeeze(pair[-1], (1, 2)))
                return pair

            target = shared_own + strength * (code - shared_own)
            coarse = network.decode_coarse(features, shared_own, target, shared)
            painted = network.decode_fine(coarse, target)

            def with_detail():
                lost = padded[:, TRIM:-TRIM, TRIM:-TRIM] - network.decode(features, own, own)
                return tf.clip_by_value(painted + (1.0 - strength) * lost, 0.0, 1.0)

            painted = tf.cond(strength < 1.0, with_detail, lambda: painted)
            return painted, tf.concat(state, 1)

        self.moments_size = network.moments_size
        self.paint_frame = paint_frame
        self.encode_fine = tf.function(network.encode_fine, input_signature=[picture])
        self.encode_coarse = encode_coarse
        self.decode_coarse = tf.function(
            network.decode_coarse, input_signature=[features, code, code]
        )
        self.decode_fine = tf.function(network.decode_fine, input_signature=[features[0], code])
        self.halo = 1 + len(network.blocks[0])  # rows at 1/4 that matter to their neighbours
        self.paint_whole = paint_whole

    def encode(self, picture: np.ndarray) -> tuple[list[Any], Any]:
        """All features of (H, W, 3), whose sides are multiples of STRIDE, and their code (1, n)."""
        import tensorflow as tf

        height, width = picture.shape[:2]
        quarters = []
        for start, stop in bands(height // 4, 4 * width):
            # Row i at 1/4 sees the pixel rows 4i - 1 ... 4i + 6 (see `AdaINNetwork.encode_fine`).
            top = max(4 * start - 4, 0)
            found = self.encode_fine(picture[None, top : 4 * stop + 4])
            quarters.append(found[:, start - top // 4 :][:, : stop - start])
        return self.encode_coarse(tf.concat(quarters, 1))

    def paint(
        self,
        padded: np.ndarray,
        code: np.ndarray,
        strength: float,
        shared: SharedMoments | None = None,
    ) -> np.ndarray:
        """(H, W, 3) with the style of `code`: (H - 2 TRIM, W - 2 TRIM, 3) in [0, 1].

        shared: of a clip; a frame that is worked on in bands goes without, and still is steadied.
        """
        height, width = padded.shape[:2]
        if height * width <= TILE_PIXELS:
            if shared is not None:
                return shared.paint(self, padded, code, strength)
            return self.paint_whole(padded[None], code, np.float32(strength)).numpy()[0]
        features, own = self.encode(padded)
        code = own + np.float32(strength) * (code - own)
        layers = [(self.decode_coarse(features, own, code), code)]
        if strength < 1:  # as in `paint_whole`
            layers.append((self.decode_coarse(features, own, own), own))
        del features
        painted = np.empty((height - 2 * TRIM, width - 2 * TRIM, 3), "float32")
        inside = padded[TRIM:-TRIM, TRIM:-TRIM]
        for start, stop in bands(len(painted) // 4, 4 * width):
            rows = slice(4 * start, 4 * stop)
            here, *restored = (self._decoded(x, c, start, stop) for x, c in layers)
            painted[rows] = here
            for photo in restored:
                painted[rows] += np.float32(1 - strength) * (inside[rows] - photo)
        return np.clip(painted, 0.0, 1.0, out=painted)

    def _decoded(self, x: Any, code: Any, start: int, stop: int) -> np.ndarray:
        """Rows 4 start ... 4 stop of `decode_fine`: 4 for each gap between two rows of `x`."""
        top = max(start - self.halo, 0)
        decoded = self.decode_fine(x[:, top : stop + 1 + self.halo], code).numpy()[0]
        return decoded[4 * (start - top) :][: 4 * (stop - start)]


class SharedMoments:
    """The moments of a clip's frames so far, at one size: an exponential moving average.

    What a frame is normalised by then changes slowly, and a little noise cannot shift the colours
    of the whole painting.
    """

    def __init__(self, keep: float):
        self.keep = keep
        self._state: Any = None

    def forget(self) -> None:
        """A new scene begins."""
        self._state = None

    def paint(
        self, network: _Compiled, padded: np.ndarray, code: np.ndarray, strength: float
    ) -> np.ndarray:
        first = self._state is None
        before = np.zeros((1, network.moments_size), "float32") if first else self._state
        keep = np.float32(0 if first else self.keep)
        given = padded[None], code, np.float32(strength), before, keep
        painted, self._state = network.paint_frame(*given)
        return painted.numpy()[0]


def bands(rows: int, row_pixels: int) -> list[tuple[int, int]]:
    """`rows`, each of `row_pixels`, cut into (start, stop) of about equal height, in order.

    None has more than TILE_PIXELS, unless a single row has.
    """
    count = -(-rows // max(1, TILE_PIXELS // row_pixels))
    return list(pairwise(rows * i // count for i in range(count + 1)))


def _load() -> _Compiled:
    with models.fast_arithmetic():
        network = AdaINNetwork()
        network.build()
    network.load_weights(weights.packaged("adain"))
    return _Compiled(network)


def _network() -> _Compiled:
    return models.shared("adain", _load)


def style_code(style: np.ndarray, style_scale: float = 1.0) -> np.ndarray:
    """The code (1, n) of a style (H, W, 3) in [0, 1]: all that the network takes from it."""
    shrunk = images.fit(images.fit_short(style, round(STYLE_SIZE * style_scale)), MAX_SIZE)
    height, width = (side - side % STRIDE for side in shrunk.shape[:2])
    network = _network()
    with models.on_device():
        return network.encode(shrunk[:height, :width])[1].numpy()


def paint(
    content: np.ndarray,
    code: np.ndarray,
    strength: float = 1.0,
    stroke_size: float = STROKE_SIZE,
    shared: tuple[SharedMoments | None, SharedMoments | None] = (None, None),
) -> np.ndarray:
    """`content` (H, W, 3) with the style of `code` (1, n): float32 (H, W, 3) in [0, 1].

    Its strokes are as large as in a picture of `stroke_size` (px, long side); see `strokes`.

    shared: a clip's moments at the two sizes, where `content` is one of its frames.
    """
    network, moments = _network(), iter(shared)

    def once(picture: np.ndarray) -> np.ndarray:
        return _paint_once(network, picture, code, strength, next(moments))

    with models.on_device():
        started = time.perf_counter()
        painted = strokes.paint_at_two_sizes(once, content, stroke_size, MARGIN)
        models.pace.record("adain", content.size, time.perf_counter() - started)
    return painted


def _paint_once(
    network: _Compiled,
    content: np.ndarray,
    code: np.ndarray,
    strength: float,
    shared: SharedMoments | None,
) -> np.ndarray:
    height, width = content.shape[:2]
    padded = strokes.mirrored(content, MARGIN, STRIDE)
    painted = network.paint(padded, code, strength, shared)
    edge = MARGIN - TRIM
    return painted[edge : edge + height, edge : edge + width].copy()


def stylize(content: np.ndarray, styles: Sequence[np.ndarray], options: Options) -> np.ndarray:
    """`content` (H, W, 3) painted like the weighted blend of `styles`: float32 (H, W, 3) in [0, 1].

    Blending is the convex combination of §7.2, taken of the styles' codes.
    """
    code, larger = _blend(styles, options)
    small = images.fit(content, options.size)
    painted = paint(small, code, options.strength, _stroke_size(small, larger, options))
    if small.shape == content.shape:
        return painted
    height, width = content.shape[:2]
    painted = images.resize(painted, height, width)
    if options.strength < 1:  # the detail lost by painting small, in proportion as by the decoder
        lost = content - images.resize(small, height, width)
        painted = np.clip(painted + np.float32(1 - options.strength) * lost, 0.0, 1.0)
    return painted


def _blend(styles: Sequence[np.ndarray], options: Options) -> tuple[np.ndarray, float]:
    """The code (1, n) of the weighted styles, and by how much strokes are to be larger for it."""
    shares = normalised_weights(options.style_weights, len(styles))
    used = [(share, style) for share, style in zip(shares, styles, strict=True) if share > 0]
    code = np.sum([share * style_code(style, options.style_scale) for share, style in used], axis=0)
    larger = sum(share * _enlargement(style, options.style_scale) for share, style in used)
    return code, float(larger)


def _stroke_size(small: np.ndarray, larger: float, options: Options) -> float:
    """For `paint`."""
    stroke_size = max(LEAST_SIZE, min(STROKE_SIZE, max(small.shape)) / larger)
    return stroke_size / min(1.0, options.style_scale)


class FramePainter:
    """Paints the frames of one clip, (H, W, 3) in [0, 1], in order; see `frame_painter`."""

    KEEP = 0.9  # share of the moments of the frames before, at smoothing 1

    def __init__(self, styles: Sequence[np.ndarray], options: Options, smoothing: float):
        check_range("smoothing", smoothing, 0, 1)
        self.options = options
        self.code, self._larger = _blend(styles, options)
        self._still = temporal.Stillness(smoothing)
        keep = self.KEEP * smoothing
        self._shared = SharedMoments(keep), SharedMoments(keep)

    def __call__(self, frame: np.ndarray) -> np.ndarray:
        frame = self._still.calm(frame)
        if self._still.new_scene:
            for moments in self._shared:
                moments.forget()
        small = images.fit(frame, self.options.size)
        stroke_size = _stroke_size(small, self._larger, self.options)
        painted = paint(small, self.code, self.options.strength, stroke_size, self._shared)
        return self._still.steady(images.resize(painted, *frame.shape[:2]))


def frame_painter(
    styles: Sequence[np.ndarray], options: Options, smoothing: float = temporal.SMOOTHING
) -> FramePainter:
    """A painter of one clip's frames: the styles' code is computed once, and what stands still in
    the clip stands still in the painting.

    smoothing: 0 (each frame by itself) to 1.
    """
    return FramePainter(styles, options, smoothing)


def _enlargement(style: np.ndarray, style_scale: float) -> float:
    """What a style that has too few pixels lacks of the scale: strokes are to be larger by this."""
    return max(1.0, STYLE_SIZE * style_scale / max(STYLE_SIZE, min(style.shape[:2])))


def warm_up() -> None:
    """Loads and compiles the network, so that the first visitor does not wait for it."""
    grey = np.full((256, 256, 3), 0.5, "float32")
    for _ in range(2):  # the first run traces, the second tells the pace
        stylize(grey, [grey], Options())


def expected_seconds(height: int, width: int, options: Options) -> float | None:
    """Seconds for a photo of this size on this machine; None before the first run."""
    return models.pace.expected_for("adain", height, width, options.size)
