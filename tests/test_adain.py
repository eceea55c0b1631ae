"""Adaptive instance normalisation: the operation, the layers, the packaged network."""

from dataclasses import asdict
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from keras import ops

from nst_demo import images, layers, losses, strokes
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


def padded_convolution(x: np.ndarray, layer, mode) -> np.ndarray:
    kernel, bias = (numpy(w) for w in (layer.kernel, layer.bias))
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode=mode)
    return valid_convolution(padded, kernel) + bias


@pytest.fixture(scope="module")
def network() -> adain.AdaINNetwork:
    """A narrow network; the layer that steers the decoder starts at 0, here it is random too."""
    network = adain.AdaINNetwork(
        channels=(4, 6, 8, 10), blocks=(1, 1, 1, 2), experts=(2, 3, 2, 0), hidden=5
    )
    network.build()
    rng = np.random.default_rng(0)
    for weight in network.trainable_variables:
        fan_in = max(1, int(np.prod(weight.shape[:-1])))
        scale = 0.2 if weight.path.endswith("amount") else fan_in**-0.5  # of grain, as trained
        weight.assign(rng.normal(0, scale, weight.shape))
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
def test_upsample_convolution_is_nearest_upsampling_a_valid_convolution_and_relu(height, width):
    layer = layers.UpsampleConvolution(filters=3)
    features = normal(2, height, width, 4)
    layer(features)
    layer.kernel.assign(normal(3, 3, 4, 3, seed=1))
    layer.bias.assign(normal(3, seed=2))
    enlarged = features.repeat(2, axis=1).repeat(2, axis=2)
    expected = valid_convolution(enlarged, numpy(layer.kernel)) + numpy(layer.bias)
    found = numpy(layer(features))
    assert found.shape == (2, 2 * height - 2, 2 * width - 2, 3)
    tolerance = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(found, np.maximum(expected, 0), atol=tolerance)

    gain, shift = normal(2, 1, 1, 3, seed=3), normal(2, 1, 1, 3, seed=4)
    steered = np.maximum(expected * (1 + gain) + shift, 0)
    np.testing.assert_allclose(numpy(layer(features, gain, shift)), steered, atol=4 * tolerance)
    one = numpy(layer(features[:1], gain[:1], shift[:1]))
    np.testing.assert_allclose(one, steered[:1], atol=4 * tolerance)


@pytest.mark.parametrize("kind", [layers.StyledConvolution, layers.UpsampleConvolution])
@pytest.mark.parametrize("steered", [True, False])
def test_each_style_mixes_a_kernel_of_its_own(kind, steered):
    """The experts' shares add to the kernel: as a layer that has the sum for its kernel."""
    mixing, plain = kind(3, experts=2), kind(3)
    features, shares = normal(2, 6, 5, 4), normal(2, 2, seed=1)
    gain, shift = (normal(2, 1, 1, 3, seed=s) if steered else None for s in (2, 3))
    found = numpy(mixing(features, gain, shift, shares))
    kernel, experts, bias = (numpy(w) for w in (mixing.kernel, mixing.experts, mixing.bias))
    assert np.abs(experts[0] - experts[1]).max() > 0.1
    plain.build((None, None, None, 4))
    for i in range(2):
        one = slice(i, i + 1)
        plain.set_weights([kernel + np.einsum("k,khwcd->hwcd", shares[i], experts), bias])
        expected = numpy(plain(features[one], *(p if p is None else p[one] for p in (gain, shift))))
        tolerance = 1e-5 * np.abs(expected).max()
        np.testing.assert_allclose(found[one], expected, atol=tolerance)
        alone = numpy(
            mixing(features[one], *(p if p is None else p[one] for p in (gain, shift)), shares[one])
        )
        np.testing.assert_allclose(alone, expected, atol=tolerance)


@pytest.mark.parametrize("kind", [layers.StyledConvolution, layers.UpsampleConvolution])
@pytest.mark.parametrize("steered", [True, False])
def test_on_a_gpu_results_are_mixed_instead_of_kernels(kind, steered, monkeypatch):
    layer = kind(3, experts=2)
    features, shares = normal(3, 6, 5, 4), normal(3, 2, seed=1)
    gain, shift = (normal(3, 1, 1, 3, seed=s) if steered else None for s in (2, 3))
    expected = numpy(layer(features, gain, shift, shares))
    monkeypatch.setattr(layers, "on_gpu", lambda: True)
    assert isinstance(layer.mixed_kernel(shares), layers.Mixture)
    found, tolerance = numpy(layer(features, gain, shift, shares)), 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, atol=tolerance)


def test_grain_is_a_fixed_pattern_in_a_share_for_each_channel():
    grain = layers.Grain(seed=1)
    features, scale = normal(2, 6, 5, 3), np.abs(normal(2, 1, 1, 3, seed=1))
    added = numpy(grain(features, scale)) - features
    amount = numpy(grain.amount)
    expected = grain.pattern[None, :6, :5, None] * scale * amount
    np.testing.assert_allclose(added, expected, atol=1e-6)
    later = numpy(grain(features, scale, start=(126, 3))) - features
    rows, columns = np.arange(126, 132) % 128, np.arange(3, 8)
    expected = grain.pattern[rows][:, columns][None, :, :, None] * scale * amount
    np.testing.assert_allclose(later, expected, atol=1e-6)
    np.testing.assert_array_equal(layers.Grain(seed=1).pattern, grain.pattern)
    assert np.abs(layers.Grain(seed=2).pattern - grain.pattern).max() > 1


@pytest.mark.parametrize("reflect", [True, False])
@pytest.mark.parametrize("batch", [1, 2])
def test_residual_block_scales_and_shifts_between_its_convolutions(reflect, batch):
    block = adain.ResidualBlock(3, reflect=reflect)
    x = normal(batch, 6, 5, 3)
    gain, shift = normal(batch, 1, 1, 3, seed=1), normal(batch, 1, 1, 3, seed=2)
    found = numpy(block(x, adain.Steering(gain, shift, np.zeros((batch, 0), "float32"))))
    mode = "reflect" if reflect else "constant"
    inner = np.maximum(padded_convolution(x, block.first, mode) * (1 + gain) + shift, 0)
    expected = x + padded_convolution(inner, block.second, mode)
    np.testing.assert_allclose(found, expected, atol=1e-5)


# ---- the network ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(48, 48), (64, 96), (48, 112)])
def test_the_network_takes_trim_pixels_off_each_side(network, height, width):
    painted = network((normal(2, height, width, 3), normal(2, 32, 48, 3)))
    assert tuple(painted.shape) == (2, height - 2 * TRIM, width - 2 * TRIM, 3)


def test_features_are_at_a_quarter_an_eighth_and_a_sixteenth(network):
    shapes = [tuple(features.shape) for features in network.encode(normal(1, 48, 64, 3))]
    assert shapes == [(1, 12, 16, 6), (1, 6, 8, 8), (1, 3, 4, 10)]


def test_the_code_is_the_features_moments(network):
    features = [numpy(f) for f in network.encode(normal(2, 48, 64, 3))]
    expected = []
    for f in features:
        expected += [f.mean((1, 2)), np.sqrt(f.var((1, 2)) + adain.EPSILON)]
    code = numpy(network.code(features))
    assert code.shape == (2, network.code_size)
    np.testing.assert_allclose(code, np.concatenate(expected, axis=1), rtol=1e-4, atol=1e-5)


def test_the_steering_deals_every_output_to_one_layer(network):
    code = 0.1 + np.abs(normal(1, network.code_size))
    steering = network._steering(code)
    assert [(s.gain.shape[-1], s.shares.shape[-1]) for s in steering] == list(network.steered)
    dealt = np.concatenate([numpy(part).ravel() for s in steering for part in s])
    hidden = network.style_hidden(network.description(code))
    values = numpy(network.style_out(hidden))[0]
    assert np.abs(values).max() < adain.MOST_STEERED
    np.testing.assert_array_equal(dealt, values)


def test_the_perceptron_sees_moments_without_their_scale(network):
    means, deviations = np.abs(normal(2, 24)), 0.05 + np.abs(normal(2, 24, seed=1)) ** 2
    code, seen, first = [], [], 0
    for channels in network.channels[1:]:
        part = slice(first, first + channels)
        code += [means[:, part], deviations[:, part]]
        ratios = np.minimum(means[:, part] / deviations[:, part], adain.MOST_RATIO)
        seen += [ratios, np.log(deviations[:, part])]
        first += channels
    assert max(part.max() for part in seen) == adain.MOST_RATIO
    found = numpy(network.description(np.concatenate(code, axis=1)))
    np.testing.assert_allclose(found, np.concatenate(seen, axis=1), atol=1e-5)


def test_a_photos_own_code_gets_no_grain_another_does(network):
    features = network.encode(normal(1, 64, 64, 3))
    own, other = network.code(features), network.code(network.encode(normal(1, 64, 64, 3, seed=1)))
    for code, differs in ((own, False), (other, True)):
        first, second = (numpy(network.decode(features, own, code, s)) for s in ((0, 0), (9, 4)))
        assert bool(np.abs(first - second).max() > 1e-4) is differs


def test_a_batch_is_painted_one_by_one(network):
    content, style = normal(2, 48, 64, 3), normal(2, 48, 32, 3, seed=1)
    both = numpy(network((content, style)))
    for i in range(2):
        alone = numpy(network((content[i : i + 1], style[i : i + 1])))[0]
        np.testing.assert_allclose(both[i], alone, atol=3e-4)


def test_the_style_steers_the_decoder(network):
    """Not by AdaIN alone: with the modulation silenced the picture is another."""
    content, style = normal(1, 48, 64, 3), normal(1, 48, 32, 3, seed=1)
    steered = numpy(network((content, style)))
    out = network.style_out.get_weights()
    network.style_out.set_weights([0 * w for w in out])
    silent = numpy(network((content, style)))
    network.style_out.set_weights(out)
    assert np.abs(steered - silent).max() > 1e-3


def test_the_encoder_sees_no_zeros_beyond_the_border(network):
    """Of what is the same in all columns, or in all rows, it says the same: no strip at an edge."""
    rng = np.random.default_rng(0)
    line = rng.random((1, 1, 96, 3)).astype("float32")
    for axis in (1, 2):
        same = np.repeat(line if axis == 1 else line.swapaxes(1, 2), 64, axis=axis)
        for features in network.encode(same):
            found = np.asarray(features)
            assert found.std(axis=3).max() > 0.01
            np.testing.assert_allclose(found, np.roll(found, 1, axis=axis), atol=1e-5)


def test_the_objective_is_0_in_style_and_content_for_the_same_pictures(network, tiny_backbone):
    """Painted pictures differ from the style, but against themselves the parts must vanish."""
    from nst_demo import backbones
    from nst_demo.training.teachers import Teacher

    loss_network = Teacher([tiny_backbone], backbones.STYLE_LAYERS)
    content = np.random.default_rng(0).random((2, 64, 64, 3)).astype("float32")

    class Perfect:
        """Gives back the photo, and its code is never used."""

        encode = staticmethod(lambda image: (image, image))
        code = staticmethod(lambda features: features[0])
        decode = staticmethod(lambda f, own, code, start=None: f[0][:, TRIM:-TRIM, TRIM:-TRIM])

    def parts_of(painter, content, style):
        structure = adain.content_targets(loss_network, content)
        statistics, _ = loss_network.look(style)
        return adain.objective(painter, loss_network, content, style, structure, statistics)

    inside = content[:, TRIM:-TRIM, TRIM:-TRIM]
    parts = parts_of(Perfect(), content, inside)
    assert float(parts["identity"]) == 0
    assert float(parts["content"]) == pytest.approx(0, abs=1e-6)
    assert float(parts["style"]) == pytest.approx(0, abs=1e-6)
    assert float(parts["variation"]) == pytest.approx(float(losses.total_variation(inside)))
    assert float(parts["grid"]) == pytest.approx(float(losses.grid(inside[:1])))

    parts = parts_of(network, content, content)
    assert set(parts) == set(asdict(adain.ObjectiveWeights()))
    # Of pictures of 36 px no lattice is seen, of noise no streaks.
    small = ("grid", "lattice", "streaks")
    assert all(float(value) > 0.01 for name, value in parts.items() if name not in small)


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
    painted = adain.stylize(photo, [picture(height, width)], Options())
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


@pytest.mark.parametrize("options", [{"size": 32}, {"style_scale": 4}])
def test_strength_0_is_the_photo_also_where_it_is_painted_smaller(monkeypatch, picture, options):
    monkeypatch.setattr(adain, "LEAST_SIZE", 16)
    photo = picture(67, 101)
    painted = adain.stylize(photo, [picture(40, 40)], Options(strength=0, **options))
    np.testing.assert_allclose(painted, photo, atol=1e-5)


def test_what_the_decoder_loses_is_put_back_in_proportion(picture):
    """With the photo as its own style the code stays where it is, and only that part changes."""
    photo = picture(64, 64)
    margin = (adain.MARGIN, adain.MARGIN)
    outside = np.pad(photo, (margin, margin, (0, 0)), mode="reflect")  # the code of the padded
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
    expected = adain.paint(photo, code)
    blend = adain.stylize(photo, [style, other], Options(style_weights=[1, 3]))
    np.testing.assert_allclose(blend, expected, atol=1e-5)


def test_a_photo_larger_than_size_is_painted_smaller_and_comes_back_large(picture, style):
    large = picture(90, 120)
    painted = adain.stylize(large, [style], Options(size=48))
    small = adain.stylize(images.fit(large, 48), [style], Options())
    assert small.shape == (36, 48, 3)
    np.testing.assert_allclose(painted, images.resize(small, 90, 120), atol=1e-5)


def test_a_style_is_looked_at_in_the_size_of_its_scale(monkeypatch, picture):
    monkeypatch.setattr(adain, "STYLE_SIZE", 60)
    large = picture(120, 90)
    half = adain.style_code(images.resize(large, 40, 30))
    np.testing.assert_allclose(adain.style_code(large, 0.5), half, atol=1e-5)
    for scale in (1.5, 4):  # it is never enlarged
        np.testing.assert_allclose(adain.style_code(large, scale), adain.style_code(large, 1.5))
    assert np.abs(adain.style_code(large, 1) - half).max() > 1e-3


def test_the_seed_changes_nothing(photo, style):
    one, other = (adain.stylize(photo, [style], Options(seed=s)) for s in (0, 2**40))
    np.testing.assert_array_equal(one, other)


# ---- large pictures and large strokes ------------------------------------------------------------


@pytest.mark.parametrize(("rows", "row_pixels"), [(1, 1), (7, 30), (100, 9), (540, 4 * 3840)])
def test_bands_follow_each_other_and_keep_to_the_limit(monkeypatch, rows, row_pixels):
    for limit in (1, 100, 10_000, 10**9):
        monkeypatch.setattr(adain, "TILE_PIXELS", limit)
        found = adain.bands(rows, row_pixels)
        assert found[0][0] == 0
        assert found[-1][1] == rows
        assert all(one[1] == two[0] for one, two in pairwise(found))
        assert all(0 < stop - start <= max(1, limit // row_pixels) for start, stop in found)


@pytest.mark.parametrize("strength", [1.0, 0.4])
@pytest.mark.parametrize(("height", "width"), [(64, 48), (131, 97), (96, 208)])
def test_a_tiled_picture_is_that_of_one_piece(
    monkeypatch, network, picture, height, width, strength
):
    """Everywhere: the bands' halos leave no seam, and the statistics are the whole picture's.

    On a network of random weights, which hides nothing, with blocks at every level.
    """
    compiled = adain._Compiled(network)
    photo, style = picture(height, width), picture(64, 64, seed=3)
    monkeypatch.setattr(adain, "_network", lambda: compiled)
    code = adain.style_code(style)
    whole = adain.paint(photo, code, strength)
    assert whole.std() > 0.05
    for limit in (1, 3000, 6000):
        monkeypatch.setattr(adain, "TILE_PIXELS", limit)
        np.testing.assert_allclose(adain.style_code(style), code, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(adain.paint(photo, code, strength), whole, atol=1e-4)


def test_a_tiled_picture_of_the_packaged_network(monkeypatch, picture, style):
    photo = picture(150, 133)
    whole = adain.stylize(photo, [style], Options())
    monkeypatch.setattr(adain, "TILE_PIXELS", 4000)
    np.testing.assert_allclose(adain.stylize(photo, [style], Options()), whole, atol=1e-4)


def test_large_strokes_come_from_a_smaller_painting_and_detail_from_the_full_one(picture, style):
    photo, code = picture(160, 240), adain.style_code(style)
    paint = partial(adain.paint, code=code, strength=0.5)  # little is cut at black and white
    full, both = paint(photo), paint(photo, stroke_size=80)
    small = paint(strokes.resized(photo, (53, 80)))
    before, after = (np.abs(strokes.resized(x, (53, 80)) - small).mean() for x in (full, both))
    assert after < 0.5 * before
    one, other = (
        x - strokes.resized(strokes.resized(x, (53, 80)), (160, 240)) for x in (full, both)
    )
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.85


def test_strokes_grow_with_the_picture_and_with_the_scale(monkeypatch, picture):
    sizes = []

    def paint(content, code, strength, stroke_size):
        sizes.append(stroke_size)
        return content

    monkeypatch.setattr(adain, "paint", paint)
    monkeypatch.setattr(adain, "style_code", lambda style, scale: 0)
    for height, side, scale in (
        (400, 512, 1),
        (3000, 512, 1),
        (3000, 512, 0.5),
        (3000, 512, 2),
        (3000, 1024, 2),
        (400, 512, 2),
        (400, 512, 4),
    ):
        adain.stylize(
            np.zeros((height, 40, 3), "float32"),
            [np.zeros((side, side, 3), "float32")],
            Options(style_scale=scale),
        )
    assert sizes == [400, 1536, 3072, 768, 1536, 256, 256]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"strength": 7}, "strength is 7; give a number from 0 to 1"),
        ({"strength": -0.1}, "strength is -0.1"),
        ({"strength": float("nan")}, "strength is nan"),
        ({"size": 15}, "size is 15; give a number from 16 to 4096"),
        ({"size": 100_000}, "size is 100000; give"),
        ({"size": float("nan")}, "size is nan"),
        ({"style_scale": 0}, "style_scale is 0; give a number from 0.25 to 4"),
        ({"style_scale": 5}, "style_scale is 5"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 0.5}, "seed is 0.5; give a whole number"),
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


def test_the_expected_time_grows_with_the_pixels_up_to_the_size(monkeypatch, photo, style):
    monkeypatch.setattr(adain.models, "pace", adain.models.Pace())
    adain.stylize(photo, [style], Options())
    one = adain.expected_seconds(100, 200, Options())
    assert one is not None
    assert one > 0
    assert adain.expected_seconds(200, 200, Options()) == pytest.approx(2 * one)
    at_most = adain.expected_seconds(100, 200, Options(size=200))
    assert adain.expected_seconds(1000, 2000, Options(size=200)) == pytest.approx(at_most)
