"""Each loss against NumPy, written from its definition."""

import numpy as np
import pytest
from keras import ops

from nst_demo import losses


@pytest.fixture
def features() -> np.ndarray:
    return np.random.default_rng(0).normal(0.5, 2.0, (2, 5, 7, 4)).astype("float32")


@pytest.fixture
def others() -> np.ndarray:
    return np.random.default_rng(1).normal(-0.3, 1.0, (2, 6, 3, 4)).astype("float32")


def numpy(value) -> np.ndarray:
    return ops.convert_to_numpy(value)


def test_gram_matrix_is_the_mean_outer_product(features):
    expected = np.einsum("bhwc,bhwd->bcd", features, features) / (5 * 7)
    np.testing.assert_allclose(numpy(losses.gram_matrix(features)), expected, rtol=1e-5)


def test_gram_matrix_does_not_depend_on_the_size_of_a_repeated_picture(features):
    doubled = np.concatenate([features, features], axis=1)
    np.testing.assert_allclose(
        numpy(losses.gram_matrix(doubled)), numpy(losses.gram_matrix(features)), rtol=1e-4
    )


def test_gram_matrix_does_not_depend_on_positions(features):
    shuffled = np.random.default_rng(2).permutation(features.reshape(2, 35, 4), axis=1)
    np.testing.assert_allclose(
        numpy(losses.gram_matrix(shuffled.reshape(features.shape))),
        numpy(losses.gram_matrix(features)),
        rtol=1e-4,
    )


def test_moments_are_numpys(features):
    mean, deviation = losses.moments(features)
    assert mean.shape == deviation.shape == (2, 1, 1, 4)
    np.testing.assert_allclose(numpy(mean), features.mean((1, 2), keepdims=True), rtol=1e-5)
    np.testing.assert_allclose(numpy(deviation), features.std((1, 2), keepdims=True), rtol=1e-5)


def test_moments_of_half_precision_features_are_taken_in_float32():
    """600 values of 100: in float16 their sum would overflow."""
    mean, deviation = losses.moments(np.full((1, 20, 30, 1), 100, "float16"), epsilon=0)
    assert numpy(mean).dtype == np.float32
    assert float(mean[0, 0, 0, 0]) == 100
    assert float(deviation[0, 0, 0, 0]) == 0


def test_instance_normalise_gives_mean_0_and_variance_1(features):
    normalised = numpy(losses.instance_normalise(features))
    np.testing.assert_allclose(normalised.mean((1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(normalised.var((1, 2)), 1, atol=1e-4)


def test_instance_normalise_of_a_silent_channel_is_0():
    np.testing.assert_array_equal(numpy(losses.instance_normalise(np.ones((1, 4, 4, 2)))), 0)


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_total_variation_of_a_constant_is_0(level):
    assert float(losses.total_variation(np.full((1, 6, 9, 3), level, "float32"))) == 0


def test_total_variation_of_a_ramp():
    """0.1 from row to row and 0.2 from column to column: 0.01 + 0.04."""
    rows, columns = np.arange(4)[:, None], np.arange(5)
    ramp = (0.1 * rows + 0.2 * columns)[None, :, :, None].astype("float32")
    assert float(losses.total_variation(ramp)) == pytest.approx(0.05, rel=1e-5)


def test_total_variation_of_one_step_edge():
    """One of three vertical neighbour pairs differs by 1, no horizontal pair does."""
    edge = np.zeros((1, 4, 4, 1), "float32")
    edge[:, 2:] = 1
    assert float(losses.total_variation(edge)) == pytest.approx(1 / 3)


def test_out_of_range_counts_the_excess_on_both_sides():
    values = np.array([-0.5, 0.0, 0.3, 1.0, 1.2], "float32").reshape(1, 1, 5, 1)
    assert float(losses.out_of_range(values)) == pytest.approx((0.25 + 0.04) / 5)


def test_moments_loss_is_0_for_the_same_moments(features):
    assert float(losses.moments_loss(features, features[:, ::-1, ::-1])) == pytest.approx(
        0, abs=1e-9
    )


def test_moments_loss_is_the_relative_squared_mismatch(features, others):
    def statistics(x):
        return np.concatenate([x.mean((1, 2)), x.std((1, 2))], axis=1)  # (B, 2C)

    found, wanted = statistics(features), statistics(others)
    expected = (((found - wanted) ** 2).sum(1) / (wanted**2).sum(1)).mean()
    assert float(losses.moments_loss(features, others)) == pytest.approx(expected, rel=1e-4)


def test_moments_loss_does_not_depend_on_the_scale_of_a_layer(features, others):
    small = float(losses.moments_loss(features, others))
    large = float(losses.moments_loss(100 * features, 100 * others))
    assert large == pytest.approx(small, rel=1e-4)


def test_structure_loss_ignores_brightness_and_contrast_of_each_channel(features):
    gain = np.array([0.5, 2, 3, 10], "float32")
    shift = np.array([-4, 0, 1, 20], "float32")
    assert float(losses.structure_loss(features * gain + shift, features)) < 1e-6


def test_structure_loss_sees_an_inverted_channel(features):
    """-x against x normalised: mean (2x)^2 = 4 where the variance is 1."""
    assert float(losses.structure_loss(-features, features)) == pytest.approx(4, rel=1e-3)


@pytest.mark.parametrize(("factor", "expected"), [(1, 0), (0, 1), (2, 1), (-1, 4), (1.5, 0.25)])
def test_relative_error_of_a_scaled_target(features, factor, expected):
    error = float(losses.relative_error(features * np.float32(factor), features))
    assert error == pytest.approx(expected, abs=1e-6)
