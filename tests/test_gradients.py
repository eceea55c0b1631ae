"""Gradients that are written out, against those that TensorFlow derives."""

import numpy as np
import pytest

from nst_demo import backbones, gradients, models


@pytest.mark.parametrize("backbone", ["lite", "tiny"])
def test_the_written_gradient_is_that_of_the_layers(backbone, tiny_backbone, picture, monkeypatch):
    """Unpadded, as lite's first convolution, and padded."""
    import tensorflow as tf

    network = backbones.load("lite" if backbone == "lite" else tiny_backbone)
    kept = ("block3_conv1",)
    (part,) = backbones.segments(network, kept).values()
    image = tf.constant(picture(40, 56)[None])
    upstream = np.random.default_rng(0).standard_normal((1, 10, 14, part.output.shape[-1]))
    upstream = tf.constant(upstream, "float32")

    def found(onednn: bool):
        monkeypatch.setattr(models, "onednn", lambda: onednn)
        with tf.GradientTape() as tape:
            tape.watch(image)
            own, features = gradients.own_layers(network, kept, "float32", 0.0), image
            assert bool(own) == (not onednn)
            for layer in part.layers[1:]:
                features = own.get(layer.name, layer)(features)
        return features.numpy(), tape.gradient(features, image, upstream).numpy()

    features, gradient = found(onednn=False)
    expected_features, expected = found(onednn=True)
    np.testing.assert_allclose(features, expected_features, rtol=1e-4, atol=1e-4)
    assert np.abs(gradient).max() > 0
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_a_soft_slope_rises_from_0_to_1_around_0(tiny_backbone, picture):
    import tensorflow as tf

    layer = backbones.load(tiny_backbone).get_layer("block2_conv1")
    rng = np.random.default_rng(0)
    kernel, bias = layer.get_weights()
    x = tf.constant(rng.standard_normal((1, 12, 9, kernel.shape[2])), "float32")
    upstream = rng.standard_normal((1, 12, 9, bias.size)).astype("float32")
    width = np.linspace(0.3, 3.0, bias.size, dtype="float32")
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        given = tf.nn.conv2d(x, kernel, 1, "SAME") + bias
        convolve = gradients.convolution(layer, "float32", gradients.STEEPEST)
        features = gradients.soft_relu(width)(convolve(x))
    np.testing.assert_allclose(features, np.maximum(given, 0), atol=1e-5)
    kept = tf.cast(tf.cast(given, "bfloat16"), "float32").numpy()  # as the slope sees it
    slope = np.clip(0.5 + kept / width, 0, 1)
    assert 0.1 < np.mean((slope > 0) & (slope < 1)) < 0.9
    expected = tape.gradient(given, x, upstream * slope)
    off = np.abs(tape.gradient(features, x, upstream) - expected)
    assert np.median(off) < 1e-4
    assert off.max() < 4e-3  # a value that rounds the other way


def test_a_soft_slope_is_the_same_in_one_pass(monkeypatch):
    import tensorflow as tf

    rng = np.random.default_rng(0)
    given, upstream = (tf.cast(rng.standard_normal((1, 12, 9, 5)), "bfloat16") for _ in range(2))
    width = np.linspace(0.3, 3.0, 5, dtype="float32")

    def slope_of(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            features = gradients.soft_relu(width)(x)
        return tape.gradient(features, x, upstream)

    slope = np.clip(0.5 + tf.cast(given, "float32") / width, 0, 1)
    expected = gradients.STEEPEST * slope * tf.cast(upstream, "float32")
    for onednn in (False, True):
        monkeypatch.setattr(models, "onednn", lambda onednn=onednn: onednn)
        found = tf.function(slope_of).get_concrete_function(given)
        kinds = {operation.type for operation in found.graph.get_operations()}
        assert ("DepthwiseConv2dNative" in kinds) == onednn
        np.testing.assert_allclose(tf.cast(found(given), "float32"), expected, rtol=0.02, atol=0.1)


def test_softness_is_told_in_what_each_channel_is_given(tiny_backbone):
    """Doubled, or a channel twice as loud: twice as wide. The first block's stays a step."""
    network = backbones.load(tiny_backbone)
    before = gradients.soft_widths(network, 0.4)
    assert sorted(before) == [f"block{block}_conv1" for block in (2, 3, 4, 5)]
    np.testing.assert_allclose(
        gradients.soft_widths(network, 0.8)["block5_conv1"], 2 * before["block5_conv1"]
    )
    layer = network.get_layer("block2_conv1")
    layer.set_weights([part * np.float32(2) for part in layer.get_weights()])
    np.testing.assert_allclose(
        gradients.soft_widths(network, 0.4)["block2_conv1"], 2 * before["block2_conv1"], rtol=1e-5
    )
