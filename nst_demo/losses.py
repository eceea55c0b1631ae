"""The losses of style transfer, in backend-neutral Keras operations.

Features are (B, h, w, C); every function reduces one layer of one batch to a scalar or a statistic.
"""

from __future__ import annotations

from keras import ops


def gram_matrix(features):
    """Channel correlations (B, C, C), divided by h*w. Gatys et al., arXiv 1508.06576, eq. 3."""
    batch, height, width, channels = ops.shape(features)
    flat = ops.reshape(features, (batch, height * width, channels))
    return ops.matmul(ops.transpose(flat, (0, 2, 1)), flat) / ops.cast(
        height * width, features.dtype
    )


def moments(features, epsilon: float = 1e-8):
    """Mean and standard deviation over positions, each (B, 1, 1, C), in float32.

    Huang & Belongie, arXiv 1703.06868, eq. 5 and 6. `epsilon` is added to the variance, so that
    the gradient of the square root stays finite where a channel is silent.
    """
    features = ops.cast(features, "float32")
    mean = ops.mean(features, axis=(1, 2), keepdims=True)
    variance = ops.mean(ops.square(features - mean), axis=(1, 2), keepdims=True)
    return mean, ops.sqrt(variance + epsilon)


def instance_normalise(features, epsilon: float = 1e-5):
    """Features with mean 0 and variance 1 in every channel (arXiv 1607.08022)."""
    mean, deviation = moments(features, epsilon)
    return (ops.cast(features, "float32") - mean) / deviation


def relative_error(value, target):
    """|value - target|^2 / |target|^2 over the whole batch: scale-free, 1 for a zero guess."""
    return ops.sum(ops.square(value - target)) / (ops.sum(ops.square(target)) + 1e-8)


def moments_loss(features, style_features):
    """Mismatch of the channel moments (1703.06868, eq. 13), divided by the style's own energy.

    Departs from eq. 13: squared, and relative to the style, so that layers of different scale
    count alike and one weight suits every style. Mean over the batch.
    """
    mean, deviation = moments(features)
    target_mean, target_deviation = moments(style_features)
    mismatch = ops.square(mean - target_mean) + ops.square(deviation - target_deviation)
    energy = ops.square(target_mean) + ops.square(target_deviation)
    return ops.mean(ops.sum(mismatch, axis=(1, 2, 3)) / ops.sum(energy, axis=(1, 2, 3)))


def structure_loss(features, content_features):
    """Mean squared difference of instance-normalised features: structure without colour."""
    return ops.mean(ops.square(instance_normalise(features) - instance_normalise(content_features)))


def out_of_range(image):
    """Mean squared excess of values below 0 or above 1."""
    return ops.mean(ops.square(image - ops.clip(image, 0.0, 1.0)))


def total_variation(image):
    """Mean squared difference of neighbouring pixels of (B, H, W, C): vertical plus horizontal."""
    vertical = image[:, 1:] - image[:, :-1]
    horizontal = image[:, :, 1:] - image[:, :, :-1]
    return ops.mean(ops.square(vertical)) + ops.mean(ops.square(horizontal))
