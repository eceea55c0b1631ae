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


# ---- Losses of sums ------------------------------------------------------------------------------


@pytest.fixture
def picture_layer() -> np.ndarray:
    """As after a ReLU: (1, 6, 8, 5)."""
    return np.maximum(np.random.default_rng(2).normal(0.5, 2, (1, 6, 8, 5)), 0).astype("float32")


@pytest.fixture
def target_layer() -> np.ndarray:
    return np.maximum(np.random.default_rng(3).normal(0.2, 1, (1, 6, 8, 5)), 0).astype("float32")


def own_sums(layer: np.ndarray) -> losses.Sums:
    return losses.layer_sums(layer, style=True, content=layer)


def assert_close(found, expected, rtol: float = 1e-5) -> None:
    for value, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(numpy(value), numpy(wanted), rtol=rtol, atol=1e-5)


def test_sums_are_numpys(picture_layer, target_layer):
    found = losses.layer_sums(picture_layer, style=True, content=target_layer)
    flat = picture_layer.reshape(-1, 5)
    off = flat - target_layer.reshape(-1, 5)
    assert_close(found, [flat.sum(0), flat.T @ flat, (flat**2).sum(0), (off**2).sum(0), 48.0])


def test_what_a_layer_does_not_need_is_a_zero_without_shape(picture_layer, target_layer):
    style = losses.layer_sums(picture_layer, style=True)
    content = losses.layer_sums(picture_layer, style=False, content=target_layer)
    assert style.square.shape == style.difference.shape == content.gram.shape == ()
    assert float(style.square) == float(style.difference) == float(content.gram) == 0


@pytest.mark.parametrize("masked", [False, True])
def test_the_sums_of_tiles_add_up_to_the_pictures(picture_layer, target_layer, masked):
    weights = np.random.default_rng(4).random((1, 6, 8, 1)).astype("float32") if masked else None

    def sums(rows: slice, columns: slice):
        window = (slice(None), rows, columns)
        return losses.layer_sums(
            picture_layer[window],
            style=True,
            content=target_layer[window],
            weights=None if weights is None else weights[window],
        )

    tiles = [sums(r, c) for r in (slice(0, 2), slice(2, 6)) for c in (slice(0, 5), slice(5, 8))]
    assert_close([sum(parts) for parts in zip(*tiles, strict=True)], sums(slice(6), slice(8)))


@pytest.mark.parametrize("masked", [False, True])
def test_sums_are_read_as_the_mapped_features_sums(picture_layer, masked):
    rng = np.random.default_rng(5)
    kernel, bias = rng.normal(0, 1, (5, 7)).astype("float32"), rng.normal(0, 1, 7).astype("float32")
    weights = rng.random((1, 6, 8, 1)).astype("float32") if masked else None
    found = losses.read(losses.layer_sums(picture_layer, style=True, weights=weights), kernel, bias)
    mapped = picture_layer @ kernel + bias
    assert_close(found, losses.layer_sums(mapped, style=True, weights=weights), rtol=1e-4)


def test_a_mask_of_0_and_1_cuts_out(picture_layer, target_layer):
    mask = np.zeros((1, 6, 8, 1), "float32")
    mask[:, 1:4, 2:7] = 1
    found = losses.layer_sums(picture_layer, style=True, content=target_layer, weights=mask)
    cut = (slice(None), slice(1, 4), slice(2, 7))
    expected = losses.layer_sums(picture_layer[cut], style=True, content=target_layer[cut])
    assert_close(found, expected)


def test_half_precision_is_summed_in_float32():
    """600 squares of 100: in float16 their sum would overflow."""
    layer = np.full((1, 20, 30, 1), 100, "float16")
    sums = losses.layer_sums(layer, style=True, content=layer)
    assert numpy(sums.gram).dtype == np.float32
    np.testing.assert_allclose(numpy(sums.gram), 6e6)


def test_our_losses_of_sums_are_those_that_train_networks(picture_layer, target_layer):
    picture = losses.layer_sums(picture_layer, style=True, content=target_layer)
    target = own_sums(target_layer)
    for found, expected in (
        (
            losses.STYLE_LOSSES["moments"](picture, target),
            losses.moments_loss(picture_layer, target_layer),
        ),
        (
            losses.CONTENT_LOSSES["structure"](picture, target),
            losses.structure_loss(picture_layer, target_layer),
        ),
    ):
        assert float(found) == pytest.approx(float(expected), rel=1e-4)


def test_the_gram_loss_is_the_relative_error_of_mean_outer_products(picture_layer, target_layer):
    layers = (picture_layer, target_layer)
    found, wanted = (np.einsum("bhwc,bhwd->cd", x, x) / (6 * 8) for x in layers)
    expected = ((found - wanted) ** 2).sum() / (wanted**2).sum()
    value = losses.STYLE_LOSSES["gram"](own_sums(picture_layer), own_sums(target_layer))
    assert float(value) == pytest.approx(expected, rel=1e-5)


def test_the_covariance_loss_is_numpys(picture_layer, target_layer):
    def statistics(layer):
        flat = layer.reshape(-1, 5).astype("float64")
        return flat.mean(0), np.cov(flat, rowvar=False, bias=True)

    (mean, covariance), (wanted_mean, wanted) = map(statistics, (picture_layer, target_layer))
    expected = 0.5 * ((mean - wanted_mean) ** 2).sum() / (wanted_mean**2).sum()
    expected += 0.5 * ((covariance - wanted) ** 2).sum() / (wanted**2).sum()
    found = losses.STYLE_LOSSES["covariance"](own_sums(picture_layer), own_sums(target_layer))
    assert float(found) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", losses.STYLE_LOSSES)
def test_a_style_repeated_over_a_larger_picture_costs_nothing(name, picture_layer, target_layer):
    """Published equations take photo and style of one size; ours go on working with others."""
    loss, style = losses.STYLE_LOSSES[name], own_sums(target_layer)
    repeated = own_sums(np.tile(target_layer, (1, 2, 3, 1)))
    other = float(loss(own_sums(picture_layer), style, pixels=48))
    assert float(loss(repeated, style, pixels=288)) == pytest.approx(0, abs=1e-6 * other)
    mixed = losses.mix([style, repeated], [0.25, 0.75])
    assert float(loss(own_sums(target_layer), mixed, pixels=48)) == pytest.approx(
        0, abs=1e-6 * other
    )


def test_a_mix_of_styles_has_the_shares_of_their_means(picture_layer, target_layer):
    parts = [own_sums(picture_layer), own_sums(np.tile(target_layer, (1, 2, 1, 1)))]
    mixed = losses.mix(parts, np.array([0.25, 0.75], "float32"))
    expected = 0.25 * picture_layer.mean((0, 1, 2)) + 0.75 * target_layer.mean((0, 1, 2))
    np.testing.assert_allclose(numpy(mixed.total), expected, rtol=1e-5)
    assert float(mixed.positions) == 1


@pytest.mark.parametrize("name", losses.CONTENT_LOSSES)
def test_the_content_itself_costs_exactly_nothing(name, target_layer):
    sums = own_sums(target_layer)
    assert float(losses.CONTENT_LOSSES[name](sums, sums, pixels=48)) == 0


LOSSES_OF_SUMS = [
    *(("style", name) for name in losses.STYLE_LOSSES),
    *(("content", name) for name in losses.CONTENT_LOSSES),
]


@pytest.mark.parametrize(("kind", "name"), LOSSES_OF_SUMS)
def test_gradients_are_the_slopes_and_finite_where_a_channel_is_silent(
    kind, name, picture_layer, target_layer
):
    tf = pytest.importorskip("tensorflow")
    picture_layer[..., 2] = 0
    target_layer[..., 3] = 0
    table = losses.STYLE_LOSSES if kind == "style" else losses.CONTENT_LOSSES
    target = own_sums(target_layer)

    def loss(layer):
        sums = losses.layer_sums(layer, style=kind == "style", content=target_layer)
        return table[name](sums, target, pixels=48)

    x = tf.constant(picture_layer)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = loss(x)
    gradient = tape.gradient(value, x).numpy()
    assert np.isfinite(gradient).all()
    live = np.array([1, 1, 0, 1, 1], "float32")
    direction = live * np.random.default_rng(5).normal(size=gradient.shape).astype("float32")
    ahead, behind = (float(loss(x + step * direction)) for step in (1e-2, -1e-2))
    assert (ahead - behind) / 2e-2 == pytest.approx(float((gradient * direction).sum()), rel=2e-2)


def test_keras_variation_of_an_edge():
    """Three of the nine corners see 255 to the right, on pixels of 0 to 255."""
    edge = np.zeros((1, 4, 4, 1), "float32")
    edge[:, :, 2:] = 255
    found = losses.VARIATION_LOSSES["keras"](edge)
    assert float(found) == pytest.approx(3 * 255**2.5, rel=1e-5)


@pytest.mark.parametrize("name", losses.VARIATION_LOSSES)
def test_the_variation_of_a_flat_picture_is_0_with_a_finite_gradient(name):
    tf = pytest.importorskip("tensorflow")
    flat = tf.fill((1, 5, 6, 3), 77.0)
    with tf.GradientTape() as tape:
        tape.watch(flat)
        value = losses.VARIATION_LOSSES[name](flat)
    assert float(value) == 0
    np.testing.assert_array_equal(tape.gradient(value, flat), 0)


# ---- strokes -------------------------------------------------------------------------------------


def strokes(corners, size: int = 6) -> np.ndarray:
    """A grey picture (1, 164, 164, 3) with a bright square at each of the corners."""
    picture = np.full((1, 164, 164, 3), 0.4, "float32")
    for row, column in corners:
        picture[0, row : row + size, column : column + size] = 0.8
    return picture


def test_lattice_is_of_strokes_that_repeat_with_the_cells():
    every = range(4, 158, 16)
    regular = strokes([(row, column) for row in every for column in every])
    chessboard = strokes([(r, c) for r in every for c in every if (r + c) % 32 == 8])
    rng = np.random.default_rng(0)
    scattered = strokes(rng.integers(0, 158, (100, 2)))
    other = strokes([(row, column) for row in range(4, 158, 21) for column in range(4, 158, 21)])
    values = [float(losses.lattice(p)) for p in (regular, chessboard, scattered, other)]
    assert values[0] > 0.5
    assert values[1] > 0.25
    assert values[2] < 0.1
    assert values[3] < 0.1


def test_lattice_is_0_for_a_level_picture_and_one_too_small():
    assert float(losses.lattice(np.full((2, 164, 164, 3), 0.3, "float32"))) == 0
    rng = np.random.default_rng(0)
    assert float(losses.lattice(rng.random((1, 36, 36, 3)).astype("float32"))) == 0


def test_restlessness_is_the_share_of_the_strokes_where_the_photo_is_level():
    rng = np.random.default_rng(0)
    photo = np.full((1, 164, 164, 3), 0.5, "float32")
    photo[:, :, 82:] += rng.normal(0, 0.2, (1, 164, 82, 1)).astype("float32")
    left, right = np.zeros((2, 1, 164, 164, 3), "float32")
    left[:, :, :70] = right[:, :, 94:] = rng.random((1, 164, 70, 1))
    assert float(losses.restlessness(left, photo)) > 0.85
    assert float(losses.restlessness(right, photo)) < 0.1
    assert 0.3 < float(losses.restlessness(left + right, photo)) < 0.7


def test_streaks_are_long_lines_where_the_photo_is_level():
    """Down or across, in colour alone; not slanting, not short, not where the photo is restless."""
    rng = np.random.default_rng(0)
    level = np.full((1, 164, 164, 3), 0.5, "float32")
    restless = level + rng.normal(0, 0.2, (1, 164, 164, 1)).astype("float32")
    random = rng.normal(0, 1, 328).astype("float32").repeat(2)  # a period might be that of `lag`
    down = np.tile(random[:164], (164, 1))[None, ..., None]
    coloured = down * np.array([1, -1, 0], "float32")
    slanting = random[np.add.outer(np.arange(164), np.arange(164))][None, ..., None]
    short = down * (np.arange(164) // 20 % 4 == 0)[None, :, None, None]
    grey = level + 0.1 * rng.normal(0, 1, level.shape).astype("float32")

    def found(lines, photo=level):
        return float(losses.streaks(level + 0.1 * lines * np.ones_like(level), photo))

    assert found(down) > 0.5
    assert found(coloured) > 0.5
    assert found(coloured) == pytest.approx(found(coloured.swapaxes(1, 2)), rel=1e-4)
    assert found(down, restless) < 0.1
    for none in (slanting, short, grey - level, 0):
        assert found(none) < 0.1
    assert float(losses.streaks(level[:, :30], level[:, :30])) == 0


def test_blurring_mirrors_at_the_border():
    grey = np.random.default_rng(0).random((2, 20, 26)).astype("float32")
    padded = np.pad(grey, ((0, 0), (3, 3), (3, 3)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (7, 7), axis=(1, 2))
    np.testing.assert_allclose(
        numpy(losses._blurred(ops.convert_to_tensor(grey), 7)), windows.mean((3, 4)), atol=1e-6
    )
