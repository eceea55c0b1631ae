"""Trained styles: the network, the files, strokes, strength and sizes."""

import functools
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from nst_demo import images, layers, losses, models, strokes, weights
from nst_demo.errors import StyleTransferError
from nst_demo.methods import feedforward
from nst_demo.training import loop


def network(seed: int = 0) -> feedforward.FeedforwardNetwork:
    keras.utils.set_random_seed(seed)
    made = feedforward.FeedforwardNetwork()
    made.build()
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Two styles: random weights."""
    folder = tmp_path_factory.mktemp("styles")
    for seed, name in enumerate(("blots", "dots")):
        loop.save_weights(network(seed), folder / f"{name}.weights.h5")
    return folder


@pytest.fixture
def styles(folder, monkeypatch) -> Path:
    monkeypatch.setenv(weights.STYLES_VARIABLE, str(folder))
    return folder


# ---- grain ---------------------------------------------------------------------------------------


def test_grain_is_the_same_each_time_faint_and_repeats_without_a_seam():
    grain = feedforward.grain()
    np.testing.assert_array_equal(grain, feedforward.grain.__wrapped__())
    sizes = len(feedforward.GRAIN_SIZES)
    assert grain.std() == pytest.approx(sizes**0.5 * feedforward.GRAIN, rel=0.1)
    inside = np.abs(np.diff(grain, axis=0)).mean()
    seam = np.abs(grain[0] - grain[-1]).mean()
    assert seam == pytest.approx(inside, rel=0.3)
    twice = ops.convert_to_numpy(layers.repeated(grain, np.zeros((2, 600, 520, 3), "float32")))
    assert twice.shape == (1, 600, 520, 3)
    np.testing.assert_array_equal(twice[0, 512:, 512:], grain[:88, :8])


def test_a_smooth_sky_gets_strokes_and_no_lattice(monkeypatch):
    ramp = np.linspace(0.4, 0.7, 384, dtype="float32")[None, :, None, None]
    photo = np.tile(ramp, (1, 1, 192, 3))
    photo[:, 350:, ::8] = 0  # further away than the network sees
    painter = network()
    painter.load_weights(weights.trained_styles()["pointillist-harbour"])

    def sky() -> np.ndarray:
        found = ops.convert_to_numpy(painter(photo))[0, 24:120, 24:-24].mean(2)
        return found - found.mean(axis=1, keepdims=True)

    dots = sky()
    assert dots.std() > 0.05
    for period in (8, 16, 24):
        assert np.corrcoef(dots[:, period:].ravel(), dots[:, :-period].ravel())[0, 1] < 0.3
    monkeypatch.setattr(feedforward, "grain", lambda: np.zeros((8, 8, 3), "float32"))
    assert sky().std() < 0.02


# ---- layers --------------------------------------------------------------------------------------


def test_instance_normalisation_gives_every_picture_the_learnt_moments(picture):
    features = np.stack([picture(30, 20, 0), 3 * picture(30, 20, 1) - 1])
    layer = layers.InstanceNormalisation()
    layer.build(features.shape)
    layer.deviation.assign([1.0, 2.0, 3.0])
    layer.mean.assign([0.0, -1.0, 5.0])
    found = ops.convert_to_numpy(layer(features))
    np.testing.assert_allclose(found.mean((1, 2)), [[0, -1, 5]] * 2, atol=1e-4)
    np.testing.assert_allclose(found.std((1, 2)), [[1, 2, 3]] * 2, rtol=1e-2)


@pytest.mark.parametrize("batch", [1, 2])
def test_a_normalisations_scale_may_go_into_the_next_kernel(picture, batch):
    rng = np.random.default_rng(0)
    features = rng.normal(2, 3, (batch, 9, 7, 3)).astype("float32")
    kernel = rng.normal(size=(3, 3, 3, 4)).astype("float32")
    layer = layers.InstanceNormalisation()
    layer.build(features.shape)
    layer.deviation.assign([0.3, 2.0, 0.0])
    layer.mean.assign([0.4, -1.0, 0.5])
    x, scale = layer.rectified(features)
    assert float(ops.min(x)) == 0 < float(ops.min(scale))
    np.testing.assert_allclose(x * scale, ops.relu(layer(features)), atol=5e-3)
    expected = ops.conv(x * scale, kernel, padding="valid")
    found = ops.conv(*layers.rescaled(x, scale, kernel), padding="valid")
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_deviation_stays_positive_in_training():
    layer = layers.InstanceNormalisation()
    layer.build((None, None, None, 2))
    optimizer = keras.optimizers.SGD(1.0)
    optimizer.apply([ops.convert_to_tensor([0.5, 3.0])], [layer.deviation])
    np.testing.assert_allclose(layer.deviation, [0.5, 0.0])


def test_a_linear_upsampling_is_the_other_without_bias_and_relu(picture):
    features = picture(6, 7)[None] - 0.5
    plain, linear = (layers.UpsampleConvolution(4, linear=flag) for flag in (False, True))
    expected = plain(features)
    linear.build(features.shape)
    linear.set_weights(plain.get_weights()[:1])
    np.testing.assert_allclose(ops.relu(linear(features)), expected, atol=1e-5)
    assert len(linear.weights) == 1


def test_a_gram_matrix_is_numpys(picture):
    features = np.stack([picture(5, 7, seed) for seed in range(2)])
    expected = np.einsum("bhwi,bhwj->bij", features, features) / 35
    np.testing.assert_allclose(losses.gram_matrix(features), expected, rtol=1e-5)


# ---- the network ---------------------------------------------------------------------------------


def test_the_network_is_compact(folder):
    assert network().count_params() <= 300_000
    assert (folder / "dots.weights.h5").stat().st_size <= 1_000_000


@pytest.mark.parametrize("dilation", [1, 2, 4])
def test_a_residual_block_is_numpys(picture, dilation):
    """Each convolution reads neighbours `dilation` apart, mirrored beyond the border."""
    block, features = feedforward.ResidualBlock(3, dilation), picture(9, 12)[None]
    found = ops.convert_to_numpy(block(features))[0]

    def normalised(kernel: np.ndarray, x: np.ndarray) -> np.ndarray:
        padded = np.pad(x, [(dilation, dilation)] * 2 + [(0, 0)], mode="reflect")
        rows, columns = x.shape[:2]
        taps = [
            padded[dilation * i : dilation * i + rows, dilation * j : dilation * j + columns]
            @ kernel[i, j]
            for i in range(3)
            for j in range(3)
        ]
        total = np.sum(taps, axis=0)
        return (total - total.mean((0, 1))) / np.sqrt(total.var((0, 1)) + 1e-5)

    first, second = (ops.convert_to_numpy(layer.kernel) for layer in block.convolutions)
    inner = np.maximum(normalised(first, features[0]), 0)
    np.testing.assert_allclose(found, features[0] + normalised(second, inner), atol=2e-4)


def test_the_network_trims_its_margins_and_stays_in_range(picture):
    found = network()(picture(64, 80)[None])
    trim = 2 * feedforward.TRIM
    assert tuple(found.shape) == (1, 64 - trim, 80 - trim, 3)
    assert 0 <= float(ops.min(found)) < float(ops.max(found)) <= 1


def test_a_fresh_network_has_no_checkerboard(picture):
    """The four pixels made from one position are alike before any training."""
    found = ops.convert_to_numpy(network()(picture(64, 64)[None]))[0]
    np.testing.assert_allclose(found[0::2, 0::2], found[1::2, 1::2], atol=1e-5)


def test_the_objective_is_least_style_for_the_style_itself(picture, tiny_backbone):
    from nst_demo import backbones
    from nst_demo.training.teachers import Teacher

    loss_network = Teacher([tiny_backbone], backbones.STYLE_LAYERS)
    style = picture(64, 64, 3)[None]
    statistics = feedforward.style_statistics(loss_network, style)
    trim = feedforward.TRIM
    padded = np.pad(style, [(0, 0), (trim, trim), (trim, trim), (0, 0)], mode="reflect")

    def identity(content):
        return content[:, trim:-trim, trim:-trim]

    same = feedforward.objective(identity, loss_network, padded, statistics)  # pyright: ignore
    assert float(same["style"]) == pytest.approx(0, abs=1e-6)
    assert float(same["content"]) == pytest.approx(0, abs=1e-6)
    other = feedforward.objective(identity, loss_network, 0.3 * padded, statistics)  # pyright: ignore
    assert float(other["style"]) > 0.1


def test_grid_is_the_energy_of_a_checkerboard(picture):
    """And none of a slope; of noise, what the windows' means leave of it."""
    slope = np.broadcast_to(np.linspace(0, 1, 100)[:, None, None], (1, 100, 76, 3))
    assert float(losses.grid(slope.astype("float32"))) == pytest.approx(0, abs=1e-9)
    dots = slope.copy()
    dots[:, ::2, ::2] += 0.2
    expected = 0.2**2 * 3 / 16
    assert float(losses.grid(dots.astype("float32"))) == pytest.approx(expected, rel=1e-3)
    noise = np.random.default_rng(0).random((1, 100, 100, 3)).astype("float32")
    assert float(losses.grid(noise)) < 0.05 * noise.var()


# ---- files ---------------------------------------------------------------------------------------


def test_names_come_from_the_files_and_others_are_refused_with_the_list(styles):
    assert {"blots", "dots"} <= set(feedforward.trained_styles())
    with pytest.raises(StyleTransferError, match=r"no trained style 'wave'; choose .*blots, dots"):
        feedforward.Options("wave")
    for name in ("../blots", str(styles / "blots"), ""):
        with pytest.raises(StyleTransferError, match="There is no trained style"):
            feedforward.Options(name)


def test_without_any_style_the_sentence_says_how_to_train_one(monkeypatch):
    monkeypatch.setattr(feedforward, "trained_styles", dict)
    with pytest.raises(StyleTransferError, match="'wave'; train one"):
        feedforward.Options("wave")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"strength": 1.5}, "strength"),
        ({"style_scale": 5}, "style_scale"),
        ({"size": 10_000}, "size"),
        ({"seed": 0.5}, "seed"),
        ({"seed": -1}, "seed"),
    ],
)
def test_options_out_of_range_are_refused(styles, values, words):
    with pytest.raises(StyleTransferError, match=words):
        feedforward.Options("dots", **values)


def test_a_file_of_other_weights_is_one_sentence(styles, tmp_path, monkeypatch, photo):
    other = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    loop.save_weights(other, tmp_path / "other.weights.h5")
    whole = (styles / "dots.weights.h5").read_bytes()
    (tmp_path / "half.weights.h5").write_bytes(whole[: len(whole) // 2])
    monkeypatch.setenv(weights.STYLES_VARIABLE, str(tmp_path))
    for name in ("other", "half"):
        with pytest.raises(StyleTransferError, match=rf"{name}\.weights\.h5 holds no weights"):
            feedforward.stylize(photo, [], feedforward.Options(name))


def test_a_thumbnail_lies_beside_the_weights_or_among_the_examples(
    styles, tmp_path, monkeypatch, photo
):
    assert feedforward.thumbnail("dots") is None
    assert feedforward.thumbnail("nothing") is None
    images.save_image(styles / "dots.png", photo)
    assert feedforward.thumbnail("dots") == styles / "dots.png"
    packaged = tmp_path / "styles"
    packaged.mkdir()
    (packaged / "linocut.weights.h5").write_bytes((styles / "dots.weights.h5").read_bytes())
    monkeypatch.setattr(weights, "PRETRAINED", tmp_path)
    assert feedforward.thumbnail("linocut") == images.EXAMPLES / "styles" / "linocut.webp"


# ---- painting ------------------------------------------------------------------------------------


def paint(photo: np.ndarray, name: str = "dots", **options) -> np.ndarray:
    return feedforward.stylize(photo, [], feedforward.Options(name, **options))


@pytest.mark.parametrize("shape", [(67, 101), (16, 16), (130, 33)])
def test_the_result_has_the_photos_own_size(styles, picture, shape):
    painted = paint(picture(*shape))
    assert (painted.shape, painted.dtype) == ((*shape, 3), np.float32)
    assert 0 <= painted.min() < painted.max() <= 1


def test_each_style_paints_with_its_own_weights(styles, photo):
    """And the network, which all share, takes them again when the style comes back."""
    first, other, again = (paint(photo, name) for name in ("dots", "blots", "dots"))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 0.01
    padded = strokes.mirrored(photo, feedforward.MARGIN, feedforward.STRIDE)
    alone = network(1)
    edge = feedforward.MARGIN - feedforward.TRIM
    found = ops.convert_to_numpy(alone(padded[None]))[0, edge:, edge:][: len(photo)]
    np.testing.assert_allclose(found[:, : photo.shape[1]], first, atol=0.02)  # float16 weights


def test_a_style_that_is_trained_again_is_read_again(styles, tmp_path, monkeypatch, photo):
    monkeypatch.setenv(weights.STYLES_VARIABLE, str(tmp_path))
    file = tmp_path / "mine.weights.h5"
    file.write_bytes((styles / "dots.weights.h5").read_bytes())
    before = paint(photo, "mine")
    file.write_bytes((styles / "blots.weights.h5").read_bytes())
    assert np.abs(paint(photo, "mine") - before).mean() > 0.01


def test_only_so_many_styles_stay_in_memory(styles, photo, monkeypatch):
    monkeypatch.setattr(models, "_built", {})
    monkeypatch.setattr(feedforward, "KEPT_STYLES", 1)
    for name in ("dots", "blots", "dots"):
        paint(photo, name)
    assert feedforward._network().read.cache_info().currsize == 1


def test_strength_blends_pixels(styles, photo):
    full = paint(photo)
    np.testing.assert_array_equal(paint(photo, strength=0.0), photo)
    np.testing.assert_allclose(paint(photo, strength=0.5), (full + photo) / 2, atol=1e-6)


def test_a_large_photo_is_painted_at_the_size_and_enlarged(styles, picture):
    photo = picture(120, 180)
    expected = images.resize(paint(images.fit(photo, 90)), 120, 180)
    np.testing.assert_allclose(paint(photo, size=90), expected, atol=1e-5)


def test_strokes_scale_with_style_scale(styles, picture, monkeypatch):
    """Larger ones come from a painting at a smaller size, finer ones from one of a larger."""
    sizes = []
    forward = feedforward._Compiled.paint

    def watched(self, content):
        sizes.append(content.shape[:2])
        return forward(self, content)

    monkeypatch.setattr(feedforward._Compiled, "paint", watched)
    monkeypatch.setattr(feedforward, "LEAST_SIZE", 64)
    photo = picture(100, 200)
    for scale, expected in (
        (1.0, [(100, 200)]),
        (2.0, [(100, 200), (50, 100)]),
        (0.5, [(200, 400)]),
        (4.0, [(100, 200), (32, 64)]),
    ):
        sizes.clear()
        assert paint(photo, style_scale=scale).shape == photo.shape
        assert sizes == expected


def test_a_photo_larger_than_the_stroke_size_is_painted_at_two_sizes(styles, picture, monkeypatch):
    monkeypatch.setattr(feedforward, "STROKE_SIZE", 64)
    photo = picture(128, 120)
    both = paint(photo)
    small = feedforward.paint(strokes.resized(photo, (64, 60)), "dots")
    off = strokes.resized(both, (64, 60)) - small
    assert np.abs(off).mean() < 0.05
    assert np.abs(
        strokes.resized(feedforward.paint(photo, "dots", 999), (64, 60)) - small
    ).mean() > (2 * np.abs(off).mean())


def test_a_style_picture_is_refused(styles, photo, style):
    with pytest.raises(StyleTransferError, match="takes no style picture, but 1 came"):
        feedforward.stylize(photo, [style], feedforward.Options("dots"))


def test_the_time_is_known_after_the_first_picture(styles, photo, monkeypatch):
    monkeypatch.setattr(models, "pace", models.Pace())
    options = feedforward.Options("dots")
    assert feedforward.expected_seconds(40, 56, options) is None
    paint(photo)
    assert feedforward.expected_seconds(40, 56, options) == pytest.approx(0.5, abs=0.5)


def test_borders_are_like_the_inside(styles):
    """A level photo of one colour gives a level picture: no frame."""
    level = np.full((64, 64, 3), 0.4, "float32")
    level[::2] += 0.01
    painted = paint(level)
    assert painted[8:-8, 8:-8].std(axis=(0, 1)).max() < 0.2
    functools.partial(np.testing.assert_allclose, atol=0.25)(
        painted[:2].mean((0, 1)), painted[8:-8].mean((0, 1))
    )
