"""Gradients that are written out, against those that TensorFlow derives."""

import numpy as np
import pytest

from nst_demo import backbones, gradients, models


@pytest.mark.parametrize("backbone", ["lite", "tiny"])
def test_the_written_gradient_is_that_of_the_layers(backbone, tiny_backbone, picture):
    """Unpadded, as lite's first convolution, and padded."""
    import tensorflow as tf

    network = backbones.load("lite" if backbone == "lite" else tiny_backbone)
    kept = ("block3_conv1",)
    (part,) = backbones.segments(network, kept).values()
    image = tf.constant(picture(40, 56)[None])
    upstream = np.random.default_rng(0).standard_normal((1, 10, 14, part.output.shape[-1]))
    upstream = tf.constant(upstream, "float32")
    own = gradients.own_layers(network, kept, "float32", 0.0)
    assert {"block1_conv1", "block1_pool", "block2_pool", "block3_conv1"} <= own.keys()

    def found(layers):
        with tf.GradientTape() as tape:
            tape.watch(image)
            features = image
            for layer in layers:
                features = layer(features)
        return features.numpy(), tape.gradient(features, image, upstream).numpy()

    features, gradient = found([own.get(layer.name, layer) for layer in part.layers[1:]])
    expected_features, expected = found(part.layers[1:])
    np.testing.assert_allclose(features, expected_features, rtol=1e-4, atol=1e-4)
    assert np.abs(gradient).max() > 0
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_equals_share_a_pooling_s_gradient_and_odd_edges_get_none():
    import tensorflow as tf

    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, (1, 7, 9, 3)).astype("float32")  # many equals
    upstream = rng.standard_normal((1, 3, 4, 3)).astype("float32")
    given = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(given)
        pooled = gradients._pooled(given)
    windows = x[:, :6, :8].reshape(3, 2, 4, 2, 3)
    largest = windows.max((1, 3), keepdims=True)
    np.testing.assert_array_equal(pooled.numpy()[0], largest[:, 0, :, 0])
    shares = (windows == largest) / (windows == largest).sum((1, 3), keepdims=True)
    assert (shares == 1).any()
    assert (shares == 0.5).any()
    expected = np.zeros_like(x)
    expected[:, :6, :8] = (shares * upstream[0][:, None, :, None]).reshape(1, 6, 8, 3)
    np.testing.assert_allclose(tape.gradient(pooled, given, upstream), expected, rtol=1e-6)


def test_sums_of_soft_features_have_their_gradient_but_for_rounding():
    import tensorflow as tf

    rng = np.random.default_rng(0)
    features = tf.constant(rng.random((1, 6, 5, 4)), "float32")
    upstream = tf.constant(rng.standard_normal((1, 6, 5, 4)), "float32")

    def found(soft: bool):
        with tf.GradientTape() as tape:
            tape.watch(features)
            same, sums = gradients.tap_sums(features, lambda x: x[:, 1:], soft=soft)
            total = tf.reduce_sum(upstream * same) + tf.reduce_sum(tf.square(sums.gram))
        return same, sums, tape.gradient(total, features).numpy()

    (same, sums, gradient), (_, exact, expected) = found(True), found(False)
    np.testing.assert_array_equal(same, features)
    np.testing.assert_array_equal(sums.gram, exact.gram)
    off = np.abs(gradient - expected).max() / np.abs(expected).max()
    assert 0 < off < 2**-8


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
