"""Adaptive instance normalisation: the operation, the layers, the packaged network."""

import numpy as np
import pytest
from keras import ops

from nst_demo import images, losses
from nst_demo.errors import StyleTransferError
from nst_demo.methods import adain
from nst_demo.methods.adain import TRIM, Options


def numpy(value) -> np.ndarray:
    return ops.convert_to_numpy(value)


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.2, 1.5, shape).astype("float32")


def valid_convolution(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """(B, h, w, C) by (3, 3, C, D), in float64."""
    windows = np.lib.stride_tricks.sliding_window_view(x.astype("float64"), (3, 3), axis=(1, 2))
    return np.einsum("bhwcde,deco->bhwo", windows, kernel)


def reflected_convolution(x: np.ndarray, layer) -> np.ndarray:
    kernel, bias = (numpy(w) for w in (layer.kernel, layer.bias))
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    return valid_convolution(padded, kernel) + bias


@pytest.fixture(scope="module")
def network() -> adain.AdaINNetwork:
    """A narrow network; the layer that steers the decoder starts at 0, here it is random too."""
    network = adain.AdaINNetwork(channels=(4, 6, 8), hidden=5)
    network.build()
    rng = np.random.default_rng(0)
    for weight in network.trainable_variables:
        fan_in = max(1, int(np.prod(weight.shape[:-1])))
        weight.assign(rng.normal(0, fan_in**-0.5, weight.shape))
    return network


# ---- the operation -------------------------------------------------------------------------------


def test_adain_output_has_the_styles_moments():
    content, style = normal(2, 9, 7, 5), normal(2, 4, 11, 5, seed=1) * 3 - 2
    painted = numpy(adain.adain(content, *losses.moments(style)))
    np.testing.assert_allclose(painted.mean((1, 2)), style.mean((1, 2)), atol=1e-4)
    np.testing.assert_allclose(painted.std((1, 2)), style.std((1, 2)), rtol=1e-4)


def test_adain_with_its_own_moments_gives_the_features_back():
    content = normal(2, 9, 7, 5)
    own = losses.moments(content)
    np.testing.assert_allclose(numpy(adain.adain(content, *own)), content, atol=1e-4)


def test_apply_code_is_adain():
    content, style = normal(2, 9, 7, 5), normal(2, 6, 6, 5, seed=1)
    own, target = (losses.moments(x, adain.EPSILON) for x in (content, style))
    np.testing.assert_allclose(
        numpy(adain.apply_code(content, own, target)),
        numpy(adain.adain(content, *target)),
        atol=1e-5,
    )
    np.testing.assert_allclose(numpy(adain.apply_code(content, own, own)), content, atol=1e-5)


# ---- the layers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(2, 2), (3, 7), (6, 5)])
def test_upsample_convolution_is_nearest_upsampling_and_a_valid_convolution(height, width):
    layer = adain.UpsampleConvolution(filters=3)
    features = normal(2, height, width, 4)
    layer(features)
    layer.kernel.assign(normal(3, 3, 4, 3, seed=1))
    layer.bias.assign(normal(3, seed=2))
    enlarged = features.repeat(2, axis=1).repeat(2, axis=2)
    expected = valid_convolution(enlarged, numpy(layer.kernel)) + numpy(layer.bias)
    found = numpy(layer(features))
    assert found.shape == (2, 2 * height - 2, 2 * width - 2, 3)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_residual_block_scales_and_shifts_between_its_convolutions():
    block = adain.ResidualBlock(3, reflect=True)
    x = normal(2, 6, 5, 3)
    gain, bias = normal(2, 1, 1, 3, seed=1), normal(2, 1, 1, 3, seed=2)
    found = numpy(block(x, (gain, bias)))
    inner = np.maximum(reflected_convolution(x, block.first) * (1 + gain) + bias, 0)
    np.testing.assert_allclose(found, x + reflected_convolution(inner, block.second), atol=1e-5)


@pytest.mark.parametrize("reflect", [True, False])
def test_residual_block_without_modulation_is_that_with_gain_and_bias_0(reflect):
    block = adain.ResidualBlock(3, reflect=reflect)
    x, none = normal(1, 6, 5, 3), np.zeros((1, 1, 1, 3), "float32")
    plain = numpy(block(x))
    np.testing.assert_allclose(numpy(block(x, (none, none))), plain, atol=1e-6)
    assert plain.shape == x.shape


# ---- the network ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(32, 32), (64, 40), (40, 104)])
def test_the_network_takes_trim_pixels_off_each_side(network, height, width):
    painted = network((normal(2, height, width, 3), normal(2, 24, 48, 3)))
    assert tuple(painted.shape) == (2, height - 2 * TRIM, width - 2 * TRIM, 3)


def test_features_are_at_a_quarter_and_an_eighth(network):
    quarter, eighth = network.encode(normal(1, 48, 64, 3))
    assert tuple(quarter.shape) == (1, 12, 16, 6)
    assert tuple(eighth.shape) == (1, 6, 8, 8)


def test_the_code_is_the_features_moments(network):
    features = [numpy(f) for f in network.encode(normal(2, 48, 64, 3))]
    expected = []
    for f in features:
        expected += [f.mean((1, 2)), np.sqrt(f.var((1, 2)) + adain.EPSILON)]
    code = numpy(network.code(features))
    assert code.shape == (2, network.code_size)
    np.testing.assert_allclose(code, np.concatenate(expected, axis=1), rtol=1e-4, atol=1e-5)


def test_the_modulation_deals_every_output_to_one_layer(network):
    code = normal(1, network.code_size)
    modulation = network._modulation(code)
    assert [gain.shape[-1] for gain, _ in modulation] == list(network.modulated)
    dealt = np.concatenate([numpy(p).ravel() for pair in modulation for p in pair])
    np.testing.assert_array_equal(dealt, numpy(network.style_out(network.style_hidden(code)))[0])


def test_a_batch_is_painted_one_by_one(network):
    content, style = normal(2, 32, 40, 3), normal(2, 40, 32, 3, seed=1)
    both = numpy(network((content, style)))
    for i in range(2):
        alone = numpy(network((content[i : i + 1], style[i : i + 1])))[0]
        np.testing.assert_allclose(both[i], alone, atol=1e-5)


def test_the_style_steers_the_decoder(network):
    """Not by AdaIN alone: with the modulation silenced the picture is another."""
    content, style = normal(1, 32, 40, 3), normal(1, 40, 32, 3, seed=1)
    steered = numpy(network((content, style)))
    out = network.style_out.get_weights()
    network.style_out.set_weights([0 * w for w in out])
    silent = numpy(network((content, style)))
    network.style_out.set_weights(out)
    assert np.abs(steered - silent).max() > 1e-3


def test_the_objective_is_0_in_style_and_content_for_the_same_pictures(network, tiny_backbone):
    """Painted pictures differ from the style, but against themselves the parts must vanish."""
    from nst_demo import backbones

    loss_network = backbones.truncate(backbones.load(tiny_backbone), backbones.STYLE_LAYERS)
    content = np.random.default_rng(0).random((2, 64, 64, 3)).astype("float32")

    class Perfect:
        """Gives back the photo, and its code is never used."""

        encode = staticmethod(lambda image: (image, image))
        code = staticmethod(lambda features: features[0])
        decode = staticmethod(lambda f, own, code: f[0][:, TRIM:-TRIM, TRIM:-TRIM])

    parts = adain.objective(Perfect(), loss_network, content, content[:, TRIM:-TRIM, TRIM:-TRIM])
    assert float(parts["identity"]) == 0
    assert float(parts["content"]) == pytest.approx(0, abs=1e-6)
    assert float(parts["style"]) == pytest.approx(0, abs=1e-6)
    inside = content[:, TRIM:-TRIM, TRIM:-TRIM]
    assert float(parts["variation"]) == pytest.approx(float(losses.total_variation(inside)))

    parts = adain.objective(network, loss_network, content, content)
    assert all(float(value) > 0.01 for value in parts.values())


# ---- pictures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("height", "width"), [(16, 16), (67, 101), (16, 301), (101, 17), (40, 40), (23, 24)]
)
def test_any_size_comes_back_exactly(picture, style, height, width):
    painted = adain.stylize(picture(height, width), [style], Options())
    assert painted.shape == (height, width, 3)
    assert painted.dtype == np.float32
    assert painted.min() >= 0
    assert painted.max() <= 1


@pytest.mark.parametrize(("height", "width"), [(16, 16), (301, 16), (37, 53)])
def test_a_style_of_any_size_will_do(photo, picture, height, width):
    painted = adain.stylize(photo, [picture(height, width)], Options(style_size=32))
    assert painted.shape == photo.shape
    assert np.isfinite(painted).all()


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_a_plain_photo_and_a_plain_style_give_a_picture(photo, style, level):
    """Channels without variance must not divide by 0."""
    plain = np.full((33, 47, 3), level, "float32")
    for content, painter in ((plain, style), (photo, plain), (plain, plain)):
        painted = adain.stylize(content, [painter], Options())
        assert np.isfinite(painted).all()
        assert painted.shape == content.shape


def test_the_photos_pixels_stay_in_place(photo, picture):
    """Padding and cropping match: at strength 0 a white square appears where it is."""
    dark = np.full((67, 101, 3), 0.1, "float32")
    dark[40:56, 70:90] = 0.9
    painted = adain.stylize(dark, [picture(40, 40)], Options(strength=0)).mean(2)
    bright = painted > (painted.min() + painted.max()) / 2
    rows, columns = np.nonzero(bright)
    assert abs(rows.mean() - 47.5) < 1.5
    assert abs(columns.mean() - 79.5) < 1.5


def test_the_inputs_are_left_alone_and_the_result_is_repeatable(photo, style):
    copies = photo.copy(), style.copy()
    first = adain.stylize(photo, [style], Options())
    np.testing.assert_array_equal(adain.stylize(photo, [style], Options()), first)
    np.testing.assert_array_equal(photo, copies[0])
    np.testing.assert_array_equal(style, copies[1])


def test_strength_0_is_the_photo_whatever_the_style(photo, style):
    painted = adain.stylize(photo, [style], Options(strength=0))
    np.testing.assert_allclose(painted, photo, atol=1e-5)


def test_what_the_decoder_loses_is_put_back_in_proportion(picture):
    """With the photo as its own style the code stays where it is, and only that part changes."""
    photo = picture(64, 64)
    outside = np.pad(photo, ((8, 8), (8, 8), (0, 0)), mode="reflect")  # the code of the padded
    full = adain.stylize(photo, [outside], Options(strength=1))
    assert np.abs(full - photo).mean() > 1e-3
    half = adain.stylize(photo, [outside], Options(strength=0.5))
    np.testing.assert_allclose(half, (full + photo) / 2, atol=1e-3)


def test_the_picture_moves_from_photo_to_style_with_the_strength(photo, style):
    pictures = [adain.stylize(photo, [style], Options(strength=s)) for s in (0, 0.25, 0.5, 0.75, 1)]
    distances = [float(np.sqrt(np.mean((p - pictures[0]) ** 2))) for p in pictures]
    assert distances == sorted(distances)
    assert distances[-1] > 0.01


def test_the_style_matters(photo, style):
    inverted = adain.stylize(photo, [1 - style], Options())
    assert np.abs(adain.stylize(photo, [style], Options()) - inverted).mean() > 0.01


def test_a_style_of_weight_0_has_no_part(photo, style, picture):
    other = picture(50, 50, seed=8)
    single = adain.stylize(photo, [style], Options())
    for weights, styles in (([1, 0], [style, other]), ([0, 3], [other, style])):
        blend = adain.stylize(photo, styles, Options(style_weights=weights))
        np.testing.assert_array_equal(blend, single)


def test_weights_go_with_their_styles_in_any_order(photo, style, picture):
    other = picture(50, 50, seed=8)
    one = adain.stylize(photo, [style, other], Options(style_weights=[0.7, 0.3]))
    two = adain.stylize(photo, [other, style], Options(style_weights=[3, 7]))
    np.testing.assert_allclose(one, two, atol=1e-5)
    swapped = adain.stylize(photo, [style, other], Options(style_weights=[0.3, 0.7]))
    assert np.abs(one - swapped).max() > 1e-3


def test_a_blend_is_the_convex_combination_of_codes(photo, style, picture):
    other = picture(50, 50, seed=8)
    code = 0.25 * adain.style_code(style) + 0.75 * adain.style_code(other)
    expected = adain._network().paint(photo[None], code, np.float32(1)).numpy()
    blend = adain.stylize(photo, [style, other], Options(style_weights=[1, 3]))
    np.testing.assert_allclose(blend, expected, atol=1e-5)


def test_a_photo_larger_than_size_is_painted_smaller_and_comes_back_large(picture, style):
    large = picture(90, 120)
    painted = adain.stylize(large, [style], Options(size=48))
    small = adain.stylize(images.fit(large, 48), [style], Options())
    assert small.shape == (36, 48, 3)
    np.testing.assert_allclose(painted, images.resize(small, 90, 120), atol=1e-5)


def test_a_style_larger_than_style_size_is_shrunk(photo, picture):
    large = picture(120, 90)
    np.testing.assert_allclose(
        adain.style_code(large, 45), adain.style_code(images.resize(large, 60, 45), 512), atol=1e-5
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"strength": 7}, "strength is 7; give a number from 0 to 1"),
        ({"strength": -0.1}, "strength is -0.1"),
        ({"strength": float("nan")}, "strength is nan"),
        ({"size": 15}, "size is 15; give a number from 16 to 4096"),
        ({"size": 100_000}, "size is 100000; give"),
        ({"size": float("nan")}, "size is nan"),
        ({"style_size": 0}, "style_size is 0; give"),
    ],
)
def test_options_out_of_range_are_refused(options, words):
    with pytest.raises(StyleTransferError, match=words):
        Options(**options)


@pytest.mark.parametrize(
    ("styles", "weights", "words"),
    [
        (6, [1, 1, 1, 1], "6 styles were given 4 weights"),
        (2, [-1, 2], "0 or more"),
        (2, [float("nan"), 1], "nan"),
        (2, [0, 0], "not all 0"),
    ],
)
def test_weights_that_do_not_fit_are_refused(photo, style, styles, weights, words):
    with pytest.raises(StyleTransferError, match=words):
        adain.stylize(photo, [style] * styles, Options(style_weights=weights))
    assert adain.stylize(photo, [style], Options()).shape == photo.shape  # the next one works


def test_the_expected_time_grows_with_the_pixels_up_to_the_size(photo, style):
    adain.stylize(photo, [style], Options())
    one = adain.expected_seconds(100, 200, Options())
    assert one is not None
    assert one > 0
    assert adain.expected_seconds(200, 200, Options()) == pytest.approx(2 * one)
    at_most = adain.expected_seconds(100, 200, Options(size=200))
    assert adain.expected_seconds(1000, 2000, Options(size=200)) == pytest.approx(at_most)
