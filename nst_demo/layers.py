"""Layers that the networks of several methods share, in backend-neutral Keras."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops


class Mixture(NamedTuple):
    """A kernel for each picture of a batch, in parts: the sum of n `kernels` in its `shares`."""

    kernels: Any  # (n, 3, 3, C, D)
    shares: Any  # (B, n)


def convolve(features, kernel, padding: str = "valid"):
    """Features (B, h, w, C) by one kernel (3, 3, C, D), or by one for each (B, 3, 3, C, D).

    By a `Mixture` the results are mixed and not the kernels: n times the multiplications, but in
    one large convolution instead of B small ones, which is what a GPU is quick at.
    """
    if isinstance(kernel, Mixture):
        count, *shape, filters = kernel.kernels.shape
        kernels = ops.reshape(ops.moveaxis(kernel.kernels, 0, -2), (*shape, count * filters))
        parts = ops.conv(features, kernels, padding=padding)
        parts = ops.reshape(parts, (*parts.shape[:3], count, filters))
        return ops.einsum("bhwnd,bn->bhwd", parts, kernel.shares)
    if len(kernel.shape) == 4:
        return ops.conv(features, kernel, padding=padding)
    parts = [
        ops.conv(features[i : i + 1], kernel[i], padding=padding) for i in range(kernel.shape[0])
    ]
    return parts[0] if len(parts) == 1 else ops.concatenate(parts)


def modulated_convolution(features, kernel, bias, gain, shift, padding: str = "valid"):
    """(conv(features) + bias) * (1 + gain) + shift, gain and shift (B, 1, 1, C) from the style.

    `kernel` as in `convolve`.
    """
    gain, shift = (ops.cast(part, features.dtype) for part in (gain, shift))
    if features.shape[0] == 1:  # one style: cheaper in the weights than in the features
        scale = 1.0 + ops.reshape(gain, (-1,))
        bias = bias * scale + ops.reshape(shift, (-1,))  # (C,): TensorFlow fuses it and a relu
        return convolve(features, kernel * scale, padding) + bias
    return (convolve(features, kernel, padding) + bias) * (1.0 + gain) + shift


class StyledConvolution(keras.layers.Layer):
    """A 3x3 convolution that the style steers: (B, h, w, C) -> (B, h, w, filters).

    With `experts`, its kernel is the sum of one kernel for all styles and of `experts` more, in
    `shares` (B, experts) that come from the style (Chen et al., "Dynamic convolution", arXiv
    1912.03458, without the softmax). So different styles paint with different filters, at the cost
    of one. `gain` and `shift` (B, 1, 1, filters) may scale and shift the result.

    The batch's size must be known while a graph is built, unless it has no experts.
    """

    def __init__(self, filters: int, experts: int = 0, padding: str = "valid", **kwargs: Any):
        super().__init__(**kwargs)
        self.filters, self.expert_count, self.padding = filters, experts, padding
        self.bias: Any = None

    def build(self, input_shape):
        shape = (3, 3, input_shape[-1], self.filters)
        self.kernel = self.add_weight(shape=shape, initializer=self._initial, name="kernel")
        if self.expert_count:
            self.experts = self.add_weight(
                shape=(self.expert_count, *shape), initializer=_each(self._initial), name="experts"
            )
        if self._with_bias:
            self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")

    _initial = "glorot_uniform"
    _with_bias = True

    def mixed_kernel(self, shares):
        """(3, 3, C, filters), or (B, 3, 3, C, filters) where there are experts; see `convolve`."""
        if not self.expert_count:
            return self.kernel
        shares = ops.cast(shares, self.compute_dtype)
        if shares.shape[0] == 1 or not on_gpu():
            return self.kernel + ops.tensordot(shares, self.experts, 1)
        kernels = ops.concatenate([self.kernel[None], self.experts])
        return Mixture(kernels, ops.pad(shares, [[0, 0], [1, 0]], constant_values=1.0))

    def call(self, features, gain=None, shift=None, shares=None):
        kernel = self.mixed_kernel(shares)
        if gain is None:
            return convolve(features, kernel, self.padding) + self.bias
        return modulated_convolution(features, kernel, self.bias, gain, shift, self.padding)


def repeated(pattern: np.ndarray, features, start=(0, 0)):
    """`pattern` (h, w, C) over and over, as large as `features`: (1, H, W, C), of their dtype.

    `start`: its row and column at the top left.
    """
    found = ops.cast(ops.convert_to_tensor(pattern), features.dtype)
    for axis, side in enumerate(pattern.shape[:2]):
        cells = ops.arange(ops.shape(features)[axis + 1], dtype="int32") + start[axis]
        found = ops.take(found, cells % side, axis=axis)
    return found[None]


class Grain(keras.layers.Layer):
    """Adds a fixed random pattern: (B, h, w, C) -> (B, h, w, C); learnt: how much, by channel.

    A level area gives a network nothing to begin a stroke with but its own cells, and what it
    paints there is a lattice. With grain, strokes are as irregular as the pattern. Cf. the noise
    of Karras et al., arXiv 1812.04948, §3.2, which is new in every picture; here a photo must give
    the same painting each time, and the frames of a clip the same strokes.
    """

    SIDE = 128  # cells, then the pattern repeats

    def __init__(self, seed: int, **kwargs: Any):
        super().__init__(**kwargs)
        pattern = np.random.default_rng(seed).standard_normal((self.SIDE, self.SIDE))
        self.pattern = pattern.astype("float32")

    def build(self, input_shape):
        self.amount = self.add_weight(
            shape=(input_shape[-1],),
            initializer=keras.initializers.RandomNormal(stddev=0.25),
            name="amount",
        )

    def call(self, features, scale, start=(0, 0)):
        """`scale` (B, 1, 1, C) times the amount; `start`: the pattern's first row and column."""
        pattern = repeated(self.pattern[..., None], features, start)
        return features + pattern * (ops.cast(scale, features.dtype) * self.amount)


@cache
def on_gpu() -> bool:
    """Whether Keras computes on a GPU; of PyTorch's it is not known."""
    backend = keras.backend.backend()
    if backend == "tensorflow":  # Keras' own list would take all of the GPU's memory
        import tensorflow as tf

        return bool(tf.config.list_physical_devices("GPU"))
    return backend == "jax" and keras.distribution.list_devices()[0].startswith(("gpu", "cuda"))


def _each(initializer: str):
    """For a stack of kernels: each as if it were alone."""
    one = keras.initializers.get(initializer)
    return lambda shape, dtype=None: ops.stack(
        [one.clone()(shape[1:], dtype) for _ in range(shape[0])]
    )


class UpsampleConvolution(StyledConvolution):
    """Nearest-neighbour upsampling by 2, an unpadded 3x3 convolution, relu: (h, w) -> (2h-2, 2w-2).

    Between convolution and relu, `gain` and `shift` may come in from the style, and its kernel may
    have experts, see `StyledConvolution`.
    With `linear` there is neither bias nor relu: a normalisation is to follow.

    Computed at the low resolution: each corner between four pixels sees only those four, so one
    2x2 convolution with four times the channels and a pixel shuffle give the same result with
    4/9 of the multiplications and without the enlarged copy (cf. Odena et al., "Deconvolution and
    Checkerboard Artifacts", 2016, for why not a transposed convolution).
    """

    # FOLD[r, t, d]: whether row d of the 3x3 kernel falls on low-resolution row t of the corner,
    # for the lower (r = 0) and the upper (r = 1) output row around it.
    FOLD = np.array([[[1, 1, 0], [0, 0, 1]], [[1, 0, 0], [0, 1, 1]]], "float32")
    _initial = "he_normal"

    def __init__(self, filters: int, experts: int = 0, linear: bool = False, **kwargs: Any):
        super().__init__(filters, experts, **kwargs)
        self._with_bias = not linear

    def _corner(self, kernel):
        """The kernel (or kernels) of the 2x2 convolution."""
        if isinstance(kernel, Mixture):
            return kernel._replace(kernels=self._corner(kernel.kernels))
        fold = ops.cast(self.FOLD, self.compute_dtype)
        one = len(kernel.shape) == 4
        equation = "rtd,sue,deco->tucrso" if one else "rtd,sue,bdeco->btucrso"
        corner = ops.einsum(equation, fold, fold, kernel)
        return ops.reshape(corner, (*kernel.shape[:-4], 2, 2, kernel.shape[-2], 4 * self.filters))

    def call(self, features, gain=None, shift=None, shares=None):
        corner = self._corner(self.mixed_kernel(shares))
        if not self._with_bias:
            return ops.depth_to_space(convolve(features, corner), 2)
        bias = ops.tile(self.bias, 4)
        if gain is None:
            x = convolve(features, corner) + bias
        else:
            gain, shift = (ops.tile(part, (1, 1, 1, 4)) for part in (gain, shift))
            x = modulated_convolution(features, corner, bias, gain, shift)
        return ops.depth_to_space(ops.relu(x), 2)


class InstanceNormalisation(keras.layers.Layer):
    """Every channel of every picture with a learnt mean and deviation. Ulyanov et al., 1607.08022.

    (B, h, w, C) -> (B, h, w, C). The moments are taken in float32 whatever the precision. The
    deviation is never negative.
    """

    LEAST_DEVIATION = 1e-3  # in `rectified`, which divides by it

    def __init__(self, epsilon: float = 1e-5, **kwargs: Any):
        super().__init__(**kwargs)
        self.epsilon = epsilon

    def build(self, input_shape):
        shape = (input_shape[-1],)
        self.deviation = self.add_weight(
            shape=shape, initializer="ones", constraint="non_neg", name="deviation"
        )
        self.mean = self.add_weight(shape=shape, initializer="zeros", name="mean")

    def _moments(self, features):
        """Of the features: mean and 1 / deviation, float32 (B, 1, 1, C)."""
        values = ops.cast(features, "float32")
        mean = ops.mean(values, axis=(1, 2), keepdims=True)
        # In one pass, which is faster; the features' means are no larger than their deviations.
        square = ops.mean(ops.square(values), axis=(1, 2), keepdims=True)
        variance = ops.maximum(square - ops.square(mean), 0.0)
        return mean, ops.rsqrt(variance + self.epsilon)

    def call(self, features):
        mean, inverse = self._moments(features)
        scale = ops.cast(self.deviation, "float32") * inverse
        shift = ops.cast(self.mean, "float32") - mean * scale
        return features * ops.cast(scale, features.dtype) + ops.cast(shift, features.dtype)

    def rectified(self, features):
        """(x, scale) with x * scale = relu(self(features)); scale is (B, 1, 1, C), over 0.

        A pass over the features less: the scale goes into the next layer's kernel (`rescaled`).
        """
        mean, inverse = self._moments(features)
        deviation = ops.maximum(ops.cast(self.deviation, "float32"), self.LEAST_DEVIATION)
        shift = ops.cast(self.mean, "float32") / (deviation * inverse) - mean
        x = ops.relu(features + ops.cast(shift, features.dtype))
        return x, ops.cast(deviation * inverse, features.dtype)


def rescaled(features, scale, kernel):
    """(x, k) so that the convolution of x by k is that of features * scale by `kernel`.

    features (B, h, w, C), scale (B, 1, 1, C), kernel (kh, kw, C, D).
    """
    if features.shape[0] == 1:  # one picture: cheaper in the weights than in the features
        return features, kernel * ops.reshape(scale, (-1, 1))
    return features * scale, kernel
