"""Layers that the networks of several methods share, in backend-neutral Keras."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops


def modulated_convolution(features, kernel, bias, gain, shift, padding: str = "valid"):
    """(conv(features) + bias) * (1 + gain) + shift, gain and shift (B, 1, 1, C) from the style."""
    gain, shift = (ops.cast(part, features.dtype) for part in (gain, shift))
    if features.shape[0] == 1:  # one style: cheaper in the weights than in the features
        scale = 1.0 + ops.reshape(gain, (-1,))
        bias = bias * scale + ops.reshape(shift, (-1,))  # (C,): TensorFlow fuses it and a relu
        return ops.conv(features, kernel * scale, padding=padding) + bias
    return (ops.conv(features, kernel, padding=padding) + bias) * (1.0 + gain) + shift


class UpsampleConvolution(keras.layers.Layer):
    """Nearest-neighbour upsampling by 2, an unpadded 3x3 convolution, relu: (h, w) -> (2h-2, 2w-2).

    Between convolution and relu, `gain` and `shift` (B, 1, 1, filters) may come in from the style.
    With `linear` there is neither bias nor relu: a normalisation is to follow.

    Computed at the low resolution: each corner between four pixels sees only those four, so one
    2x2 convolution with four times the channels and a pixel shuffle give the same result with
    4/9 of the multiplications and without the enlarged copy (cf. Odena et al., "Deconvolution and
    Checkerboard Artifacts", 2016, for why not a transposed convolution).
    """

    # FOLD[r, t, d]: whether row d of the 3x3 kernel falls on low-resolution row t of the corner,
    # for the lower (r = 0) and the upper (r = 1) output row around it.
    FOLD = np.array([[[1, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 1]]], "float32")

    def __init__(self, filters: int, linear: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.filters, self.linear = filters, linear

    def build(self, input_shape):
        self.kernel = self.add_weight(
            shape=(3, 3, input_shape[-1], self.filters), initializer="he_normal", name="kernel"
        )
        if not self.linear:
            self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")

    def call(self, features, gain=None, shift=None):
        channels = self.kernel.shape[2]
        fold = ops.cast(self.FOLD, self.compute_dtype)
        corner = ops.einsum("rtd,sue,deco->tucrso", fold, fold, self.kernel)
        corner = ops.reshape(corner, (2, 2, channels, 4 * self.filters))
        if self.linear:
            return ops.depth_to_space(ops.conv(features, corner, padding="valid"), 2)
        bias = ops.tile(self.bias, 4)
        if gain is None:
            x = ops.conv(features, corner, padding="valid") + bias
        else:
            gain, shift = (ops.tile(part, (1, 1, 1, 4)) for part in (gain, shift))
            x = modulated_convolution(features, corner, bias, gain, shift)
        return ops.depth_to_space(ops.relu(x), 2)


class InstanceNormalisation(keras.layers.Layer):
    """Every channel of every picture with a learnt mean and deviation. Ulyanov et al., 1607.08022.

    (B, h, w, C) -> (B, h, w, C). The moments are taken in float32 whatever the precision.
    """

    def __init__(self, epsilon: float = 1e-5, **kwargs: Any):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape):
        shape = (input_shape[-1],)
        self.deviation = self.add_weight(shape=shape, initializer="ones", name="deviation")
        self.mean = self.add_weight(shape=shape, initializer="zeros", name="mean")

    def call(self, features):
        values = ops.cast(features, "float32")
        mean = ops.mean(values, axis=(1, 2), keepdims=True)
        # In one pass, which is faster; the features' means are no larger than their deviations.
        square = ops.mean(ops.square(values), axis=(1, 2), keepdims=True)
        variance = ops.maximum(square - ops.square(mean), 0.0)
        scale = ops.cast(self.deviation, "float32") * ops.rsqrt(variance + self.epsilon)
        shift = ops.cast(self.mean, "float32") - mean * scale
        return features * ops.cast(scale, features.dtype) + ops.cast(shift, features.dtype)
