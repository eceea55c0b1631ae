"""Layers and losses with their gradients written out, for quality mode on TensorFlow.

They are faster than what TensorFlow derives, and take less memory. And only so can a gradient be
another than its function's: in bfloat16, or of relus with soft slopes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import pairwise
from typing import Any

import keras
import numpy as np

from nst_demo import losses, models

CALIBRATION_SIDE = 128  # px of the picture in which a network's channels are measured
STEEPEST = 6.0  # where `relu6` clips: soft relus' slopes are counted in sixths


# ---- Layers --------------------------------------------------------------------------------------


def own_layers(
    network: keras.Model, kept: Collection[str], precision: str, softness: float
) -> dict[str, Any]:
    """By name: those layers of a network, a chain, that have a gradient of our own here.

    On a CPU TensorFlow's gradients need much memory, and without oneDNN much time: those of
    convolutions first write the nine neighbours of every position side by side there, and those of
    poolings keep what they were given. And gradients of convolutions can be in bfloat16, and of
    relus soft.

    Args:
        kept: the layers whose features are looked at.
        precision: of the features.
        softness: see `recipes.Recipe`.
    """
    import tensorflow as tf

    on_cpu = models.device().kind == "CPU"
    if not (on_cpu or softness or models.precision() == "bfloat16"):
        return {}
    pool = _pooled if on_cpu and precision == "float32" else _pooled_by_tensorflow
    widths = soft_widths(network, softness) if softness else {}
    own: dict[str, Any] = {}
    chain: list[Any] = [*network.layers, None]
    for layer, after in pairwise(chain):
        if isinstance(layer, keras.layers.MaxPooling2D):
            own.setdefault(layer.name, pool)
        if not isinstance(layer, keras.layers.Conv2D):
            continue
        soft = layer.name in widths
        relu = soft_relu(widths[layer.name]) if soft else tf.nn.relu
        convolve = convolution(layer, precision, STEEPEST if soft else 1.0)
        if isinstance(after, keras.layers.MaxPooling2D) and layer.name not in kept:
            # The relu of the largest is the largest relu's: a quarter of the work and the memory.
            own[layer.name], own[after.name] = convolve, _chained(pool, relu)
        else:
            own[layer.name] = _chained(convolve, relu)
    return own


def _chained(first: Callable[[Any], Any], second: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda x: second(first(x))


def is_soft(layer: str, softness: float) -> bool:
    """Whether the slope of a layer's relu is soft.

    Not in block 1, of the largest features: there it takes time and saves next to no evaluations.
    """
    return softness > 0 and not layer.startswith("block1")


def soft_widths(network: keras.Model, softness: float) -> dict[str, np.ndarray]:
    """By name of a convolution: `softness` in what its relu is given, channel by channel."""
    import tensorflow as tf

    x: Any = cloudy(CALIBRATION_SIDE)[None]
    widths = {}
    for layer in network.layers[1:]:
        if isinstance(layer, keras.layers.Conv2D):
            x = convolution(layer, "float32")(x)
            if is_soft(layer.name, softness):
                size = tf.sqrt(tf.reduce_mean(tf.square(x), (0, 1, 2))).numpy()
                widths[layer.name] = np.maximum(softness * size, np.float32(1e-6))
            x = tf.nn.relu(x)
        else:
            x = layer(x)
    return widths


def cloudy(side: int) -> np.ndarray:
    """A picture (side, side, 3) with the spectrum of photos (Field 1987: amplitudes fall as 1/f).

    The channels of networks are about as loud in it as in photos and paintings.
    """
    noise = np.random.default_rng(0).normal(size=(side, side, 3))
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None])
    frequency[0, 0] = np.inf
    spectrum = np.fft.fft2(noise, axes=(0, 1)) / frequency[..., None]
    colours = np.fft.ifft2(spectrum, axes=(0, 1)).real
    colours = 0.3 * colours + 1.4 * colours.mean(axis=2, keepdims=True)  # mostly light and dark
    return np.clip(0.5 + 0.25 * colours / colours.std(), 0.0, 1.0).astype("float32")


def convolution(
    layer: keras.layers.Conv2D, forward: str, steepest: float = 1.0
) -> Callable[[Any], Any]:
    """`layer`, a 3x3 convolution, without its relu; its gradient is a convolution too.

    That is in `models.precision`. In bfloat16 it is off by half a percent, and L-BFGS gets as far
    with it in 0.8 of the time (VGG19: 0.78); with features in bfloat16 too in 0.58 (0.52).

    Args:
        forward: the precision of the features.
        steepest: what its relu's gradient has in place of a slope of 1. Divided by here, where the
            kernel is made, it costs nothing.
    """
    import tensorflow as tf

    backward_in, padding = models.precision(), layer.padding.upper()
    border = 2 if padding == "VALID" else 1
    around = [[0, 0], [border, border], [border, border], [0, 0]]
    backward = tf.transpose(tf.reverse(layer.kernel, [0, 1]), [0, 1, 3, 2])
    backward = tf.cast(backward / steepest, backward_in)
    kernel, bias = (tf.cast(part, forward) for part in (layer.kernel, layer.bias))

    @tf.custom_gradient
    def convolve(x):
        def gradient(upstream):
            upstream = tf.cast(upstream, backward_in)
            return tf.cast(tf.nn.conv2d(upstream, backward, 1, around), x.dtype)

        found = tf.nn.conv2d(tf.cast(x, forward), kernel, 1, padding)
        return tf.nn.bias_add(found, bias), gradient

    return convolve


def soft_relu(width: np.ndarray) -> Callable[[Any], Any]:
    """A relu whose slope, in the gradient, rises from 0 to STEEPEST over `width` (C,) around 0."""
    import tensorflow as tf

    middle = np.full_like(width, STEEPEST / 2)
    per_width = STEEPEST / width
    one_pass = models.device().kind == "CPU" and models.onednn()

    def slope(kept):
        rise, raised = (tf.cast(part, kept.dtype) for part in (per_width, middle))
        if one_pass and kept.dtype == tf.bfloat16:
            # A depthwise convolution of one position, which oneDNN does with its bias and relu6 in
            # one pass over the memory: 0.4 of the time, and an evaluation on lite in 0.92 of its.
            scaled = tf.nn.depthwise_conv2d(kept, rise[None, None, :, None], [1, 1, 1, 1], "VALID")
        else:
            scaled = kept * rise
        return tf.nn.relu6(tf.nn.bias_add(scaled, raised))

    @tf.custom_gradient
    def relu(given):
        kept = tf.cast(given, "bfloat16")  # in half the memory, and exact enough for a slope

        def gradient(upstream):
            with tf.control_dependencies([upstream]):  # or TensorFlow computes all slopes at once
                kept_then = tf.identity(kept)
            return upstream * slope(tf.cast(kept_then, upstream.dtype))

        return tf.nn.relu(given), gradient

    return relu


def _pooled_by_tensorflow(x):
    """The largest of each 2x2: (1, h, w, C) -> (1, h // 2, w // 2, C).

    In the precision of x, while a layer of Keras computes in its own.
    """
    import tensorflow as tf

    return tf.nn.max_pool2d(x, 2, 2, "VALID")


def _pooled(x):
    """As `_pooled_by_tensorflow`, but equals share the gradient.

    Where the largest are is kept for it, not x: a quarter of the memory.
    """
    import tensorflow as tf

    height, width, channels = tf.shape(x)[1] // 2, tf.shape(x)[2] // 2, x.shape[-1]

    @tf.custom_gradient
    def pool(x):
        even = x[:, : 2 * height, : 2 * width]
        largest = _pooled_by_tensorflow(x)
        by_windows = tf.reshape(even, [height, 2, width, 2, channels])
        is_largest = by_windows == largest[0][:, None, :, None]

        def gradient(upstream):
            with tf.control_dependencies([upstream]):  # or it is computed as soon as it can be
                marks = tf.cast(tf.identity(is_largest), "uint8")
            equals = marks[:, 0] + marks[:, 1]
            equals = tf.cast(equals[:, :, 0] + equals[:, :, 1], upstream.dtype)
            each = (upstream[0] / equals)[:, None, :, None]
            given = tf.reshape(tf.cast(marks, upstream.dtype) * each, tf.shape(even))
            odd = tf.shape(x) - tf.shape(even)
            return tf.pad(given, tf.stack([tf.zeros_like(odd), odd], 1))

        return largest, gradient

    return pool(x)


# ---- Sums over positions -------------------------------------------------------------------------


def totals(features, weights=None):
    """The sums over positions of F and of F Fᵀ, weighted: (1, h, w, C) -> (C,), (C, C); float32.

    As `losses.layer_sums`, but for TensorFlow, which multiplies by a transpose without making it,
    and is faster at a product with ones than at a sum.
    """
    import tensorflow as tf

    flat = tf.reshape(tf.cast(features, "float32"), [-1, features.shape[-1]])
    if weights is None:
        weighted, counts = flat, tf.ones([tf.shape(flat)[0], 1])
    else:
        counts = tf.reshape(weights, [-1, 1])
        weighted = flat * counts
    total = tf.matmul(counts, flat, transpose_a=True)
    return total[0], tf.matmul(weighted, flat, transpose_a=True)


def tap_sums(features, crop, weights=None, *, soft: bool = False):
    """(features, the style's sums of what `crop` leaves), where the features go on to the next
    layer. As `losses.layer_sums`. `soft`: whether they come from a soft relu.

    The sums' part of the features' gradient is written out, as one product. And it is computed only
    when the rest of that gradient is there: left to itself TensorFlow does it first, and holds all
    layers' at once: a quarter of the memory of an evaluation.
    """
    import tensorflow as tf

    sums = losses.layer_sums(crop(features), style=False, weights=weights)

    @tf.custom_gradient
    def tap(features):
        # A hard relu keeps its features anyway; a soft one only what it was given, in half of it.
        kept = tf.cast(features, "bfloat16") if soft else features

        def gradient(by_features, by_total, by_gram):
            with tf.control_dependencies([by_features]):
                features_then = tf.cast(tf.identity(kept), by_features.dtype)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(features_then)
                counted = crop(features_then)
            # As a convolution: faster in bfloat16, where a product of matrices needs more memory.
            kernel = tf.cast(by_gram + tf.transpose(by_gram), counted.dtype)[None, None]
            slope = tf.nn.conv2d(counted, kernel, 1, "VALID")
            slope = tf.nn.bias_add(slope, tf.cast(by_total, counted.dtype))
            if weights is not None:
                slope *= tf.cast(weights, slope.dtype)
            if counted is not features_then:
                slope = tape.gradient(counted, features_then, output_gradients=slope)
            # Unlike `+` this is fused into the convolution: no pass of its own, and no array.
            return tf.add_n([slope, by_features])

        return (tf.identity(features), *totals(crop(features), weights)), gradient

    features, total, gram = tap(features)
    return features, sums._replace(total=total, gram=gram)


# ---- Losses of pixels ----------------------------------------------------------------------------


def total_variation(picture):
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


def out_of_range(picture):
    """`losses.out_of_range` with its gradient written out."""
    import tensorflow as tf

    @tf.custom_gradient
    def loss(x):
        off = x - tf.clip_by_value(x, 0.0, 1.0)
        per_value = 1.0 / tf.cast(tf.size(x), x.dtype)
        value = 2.0 * per_value * tf.nn.l2_loss(off)
        return value, lambda upstream: (2.0 * upstream * per_value) * off

    return loss(picture)
