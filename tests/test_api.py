"""The public functions: every kind of input, options by name, refusals in a sentence."""

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import nst_demo
from nst_demo import StyleTransferError, color, images
from nst_demo.errors import check_range
from nst_demo.methods import METHODS, adain

ROOT = Path(nst_demo.__file__).parents[1]


def rounded(image: np.ndarray) -> np.ndarray:
    """What a PNG keeps of it."""
    return np.rint(image * 255).astype("uint8")


@pytest.fixture
def expected(photo, style) -> np.ndarray:
    photo, style = (rounded(image).astype("float32") / 255 for image in (photo, style))
    return adain.stylize(photo, [style], adain.Options())


KINDS = ["path", "str", "PIL", "bytes", "file", "uint8", "float32", "float64"]


@pytest.fixture
def as_kind(tmp_path):
    def convert(kind: str, image: np.ndarray, name: str):
        pixels = rounded(image)
        path = tmp_path / f"{name}.png"
        Image.fromarray(pixels).save(path)
        return {
            "path": path,
            "str": str(path),
            "PIL": Image.fromarray(pixels),
            "bytes": path.read_bytes(),
            "file": io.BytesIO(path.read_bytes()),
            "uint8": pixels,
            "float32": pixels.astype("float32") / 255,
            "float64": pixels / 255,
        }[kind]

    return convert


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_picture_gives_the_same_result(as_kind, photo, style, expected, kind):
    result = nst_demo.stylize(as_kind(kind, photo, "photo"), as_kind(kind, style, "style"))
    assert result.dtype == np.float32
    assert result.shape == photo.shape
    np.testing.assert_allclose(result, expected, atol=1e-4)


@pytest.mark.parametrize("several", [list, tuple])
def test_several_styles_of_different_kinds_are_blended(as_kind, photo, style, several):
    styles = several([as_kind("path", style, "a"), as_kind("float32", 1 - style, "b")])
    blend = nst_demo.stylize(photo, styles, style_weights=[0.7, 0.3])
    first, second = (rounded(s).astype("float32") / 255 for s in (style, 1 - style))
    direct = adain.stylize(photo, [first, second], adain.Options(style_weights=[0.7, 0.3]))
    np.testing.assert_allclose(blend, direct, atol=1e-4)


def test_a_list_of_one_is_one(photo, style):
    np.testing.assert_array_equal(nst_demo.stylize(photo, [style]), nst_demo.stylize(photo, style))


def test_options_reach_the_method(photo, style):
    by_name = nst_demo.stylize(photo, style, strength=0.3, size=32)
    direct = adain.stylize(photo, [style], adain.Options(strength=0.3, size=32))
    np.testing.assert_array_equal(by_name, direct)


def test_a_transparent_photo_comes_back_opaque_in_three_channels(photo, style):
    alpha = np.ones((*photo.shape[:2], 1), "float32")
    alpha[:20] = 0
    result = nst_demo.stylize(np.concatenate([photo, alpha], axis=2), style)
    assert result.shape == photo.shape
    assert np.isfinite(result).all()


def test_a_grey_photo_will_do(photo, style):
    assert nst_demo.stylize(photo.mean(2), style).shape == photo.shape


# ---- quality mode --------------------------------------------------------------------------------


def test_iterate_yields_the_steps_that_stylize_consumes(photo, style, tiny_backbone):
    options = {"backbone": tiny_backbone, "iterations": 6, "size": 32}
    shown = []
    result = nst_demo.stylize(photo, style, method="gatys", on_step=shown.append, **options)
    steps = list(nst_demo.iterate(photo, style, **options))
    assert [s.iteration for s in steps] == [s.iteration for s in shown] == [0, 5, 6]
    assert result.shape == photo.shape
    assert steps[-1].image.shape == (23, 32, 3)
    np.testing.assert_allclose(images.resize(steps[-1].image, 40, 56), result, atol=1e-3)


@pytest.mark.parametrize("weights", [None, (1, 3)])
def test_the_fast_start_is_half_fast_picture_half_photo(photo, style, tiny_backbone, weights):
    styles = [style] if weights is None else [style, 1 - style]
    options = {"backbone": tiny_backbone, "init": "fast", "style_weights": weights}
    start = next(nst_demo.iterate(photo, styles, **options)).image
    fast = adain.stylize(photo, styles, adain.Options(style_weights=weights))
    colors = [color.match_colors(photo, one) for one in styles]
    palette = colors[0] if weights is None else 0.25 * colors[0] + 0.75 * colors[1]
    np.testing.assert_allclose(start, 0.5 * fast + 0.5 * palette, atol=1e-5)


def test_the_start_may_be_the_painting_of_a_trained_style(photo, style, tiny_backbone):
    options = {"backbone": tiny_backbone, "init": "fast", "init_network": "linocut"}
    start = next(nst_demo.iterate(photo, style, strength=0.5, **options)).image
    painted = nst_demo.stylize(photo, method="feedforward", network="linocut", strength=0.5)
    np.testing.assert_allclose(start, painted, atol=1e-5)


def test_the_fast_start_of_a_large_photo_is_of_the_size_worked_at(picture, style, tiny_backbone):
    photo = picture(80, 112)
    options = {"backbone": tiny_backbone, "init": "fast", "size": 56}
    start = next(nst_demo.iterate(photo, style, **options)).image
    small = next(nst_demo.iterate(images.resize(photo, 40, 56), style, **options)).image
    assert start.shape == (40, 56, 3)
    np.testing.assert_allclose(start, small, atol=1e-5)


def test_iterate_checks_its_arguments_before_the_first_step(photo, style):
    for content, painter, options in (
        (None, style, {}),
        (photo, None, {}),
        (photo, style, {"iterations": 0}),
        (photo, style, {"strength": 1.5}),
        (photo, style, {"keep_colors": "some"}),
        (photo, style, {"masks": [np.ones((40, 56))] * 2}),
        (photo, style, {"init_image": "missing.png"}),
        (photo, [style] * 6, {"style_weights": [1, 1, 1, 1]}),
        (photo, style, {"init_network": "none such"}),
        (photo, [style] * 2, {"init_network": "linocut"}),
    ):
        with pytest.raises(StyleTransferError):
            nst_demo.iterate(content, painter, **options)


def test_fast_mode_has_no_steps(photo, style):
    with pytest.raises(StyleTransferError, match="'adain' has no steps; use stylize"):
        nst_demo.iterate(photo, style, method="adain")


# ---- controls that both modes have ---------------------------------------------------------------


@pytest.fixture(params=["adain", "gatys"])
def mode(request, tiny_backbone) -> dict[str, Any]:
    quick = {"backbone": tiny_backbone, "iterations": 3, "size": 32}
    return {"method": request.param} | (quick if request.param == "gatys" else {})


def test_the_shared_controls_go_together(photo, style, mode):
    seam = np.linspace(1, 0, 56)[None].repeat(40, 0)
    result = nst_demo.stylize(
        photo,
        [style, 1 - style],
        strength=0.7,
        style_scale=0.5,
        keep_colors="luminance",
        masks=[seam, 1 - seam],
        style_weights=[2, 1],
        seed=3,
        **mode,
    )
    assert result.shape == photo.shape
    assert result.dtype == np.float32
    assert np.isfinite(result).all()
    assert np.abs(result - photo).max() > 0.01


def test_luminance_is_all_that_is_painted(photo, style, mode):
    steps = []
    plain = nst_demo.stylize(photo, style, **mode)
    kept = nst_demo.stylize(photo, style, keep_colors="luminance", on_step=steps.append, **mode)
    np.testing.assert_allclose(kept, color.with_colors_of(photo, plain), atol=1e-4)
    for step in steps:
        small = images.resize(photo, *step.image.shape[:2])
        again = color.with_colors_of(small, step.image)
        np.testing.assert_allclose(step.image, again, atol=1e-5)


def test_histogram_recolours_the_style_before(photo, style, mode):
    kept = nst_demo.stylize(photo, style, keep_colors="histogram", **mode)
    matched = nst_demo.stylize(photo, color.match_colors(style, photo), **mode)
    np.testing.assert_allclose(kept, matched, atol=1e-4)
    assert np.abs(kept - nst_demo.stylize(photo, style, **mode)).max() > 0.01


def test_histogram_takes_each_masks_part_of_the_photo(photo, style):
    mask = np.zeros((40, 56), "float32")
    mask[:, :20] = 1
    kept = nst_demo.stylize(photo, style, keep_colors="histogram", masks=mask)
    matched = nst_demo.stylize(photo, color.match_colors(style, photo[:, :20]), masks=mask)
    np.testing.assert_allclose(kept, matched, atol=1e-4)


def test_the_fast_start_has_the_same_controls(photo, style, tiny_backbone):
    mask = np.ones((40, 56), "float32")
    mask[:, 30:] = 0
    shared = {"strength": 0.6, "style_scale": 0.5, "masks": mask}
    quality = {"backbone": tiny_backbone, "init": "fast", "iterations": 1, "size": 56}
    start = next(nst_demo.iterate(photo, style, **shared, **quality)).image
    fast = nst_demo.stylize(photo, style, **shared)
    palette = photo + 0.6 * mask[..., None] * (color.match_colors(photo, style) - photo)
    np.testing.assert_allclose(start, 0.5 * fast + 0.5 * palette, atol=1e-5)


def test_an_earlier_result_is_gone_on_from(photo, style, tiny_backbone):
    earlier = 1 - photo
    options = {"backbone": tiny_backbone, "iterations": 1, "size": 56, "init_image": earlier}
    start = next(nst_demo.iterate(photo, style, **options)).image
    np.testing.assert_allclose(start, earlier, atol=1e-6)
    painted = nst_demo.stylize(photo, style, method="gatys", **options)
    assert np.abs(painted - photo).mean() > np.abs(painted - earlier).mean()


def test_enlarge_gives_a_step_the_photos_own_colours_in_full(photo, style):
    painted = nst_demo.stylize(photo, style)
    small = images.resize(painted, 20, 28)
    kept = nst_demo.enlarge(small, photo, keep_colors="luminance")
    expected = color.with_colors_of(photo, images.resize(small, 40, 56))
    np.testing.assert_allclose(kept, expected, atol=1e-6)
    with pytest.raises(StyleTransferError, match="keep_colors is 'all'"):
        nst_demo.enlarge(small, photo, keep_colors="all")


@pytest.mark.parametrize("keep_colors", ["none", "luminance"])
def test_enlarge_gives_the_photo_back_in_full_where_nothing_is_painted(photo, style, keep_colors):
    """The detail and the chroma that the small size lost are put back once, not twice."""
    mask = np.zeros(photo.shape[:2], "float32")
    mask[:, :28] = 1.0
    painted = nst_demo.stylize(photo, style, masks=mask, keep_colors=keep_colors)
    small = images.resize(painted, 20, 28)
    kept = nst_demo.enlarge(small, photo, masks=mask, keep_colors=keep_colors)
    np.testing.assert_allclose(kept[:, 36:], photo[:, 36:], atol=0.02)


# ---- refusals ------------------------------------------------------------------------------------

BAD_PICTURES = [
    (None, "No {what} was given"),
    ("missing.png", "{what} 'missing.png' does not exist"),
    (b"", "The {what} is empty"),
    (b"hello, I am text", "The {what} is not a picture"),
    (np.zeros((1, 1, 3), "float32"), "The {what} has 1 x 1 px"),
    (np.zeros((40, 40, 3, 2), "float32"), "The {what} has the shape"),
    (np.full((40, 40, 3), np.nan, "float32"), "The {what} holds values that are not numbers"),
    (np.full((40, 40, 3), 200.0), "The {what} has values from 200"),
    (np.zeros((40, 40, 3), "int64"), "The {what} has the number type int64"),
]


@pytest.mark.parametrize(("bad", "words"), BAD_PICTURES)
def test_a_bad_photo_or_style_is_refused_and_the_next_request_works(photo, style, bad, words):
    with pytest.raises(StyleTransferError, match=words.format(what="photo")):
        nst_demo.stylize(bad, style)
    for styles in (bad, [style, bad]):
        with pytest.raises(StyleTransferError, match=words.format(what="style")):
            nst_demo.stylize(photo, styles)
    assert nst_demo.stylize(photo, style).shape == photo.shape


def test_no_style_at_all_is_refused(photo):
    with pytest.raises(StyleTransferError, match="No style was given"):
        nst_demo.stylize(photo, [])


@pytest.mark.parametrize("call", [nst_demo.stylize, nst_demo.iterate])
def test_an_unknown_method_is_refused_with_the_choice(photo, style, call):
    with pytest.raises(StyleTransferError, match="'magic'; choose one of adain, gatys"):
        call(photo, style, method="magic")


def test_numbers_of_numpy_are_numbers():
    for number in (np.float32(0.5), np.float64(0.5), np.int64(1)):
        check_range("strength", number, 0, 1)


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        ("adain", {"iterations": 5}, "no option 'iterations'; it has strength"),
        ("gatys", {"similarities": 1}, "no option 'similarities'; it has recipe"),
        ("adain", {"init_image": np.zeros((40, 40, 3))}, "'adain' takes no init_image"),
        ("adain", {"keep_colors": "hue"}, "keep_colors is 'hue'; choose one of none, luminance"),
        ("gatys", {"keep_colors": None}, "keep_colors is None"),
        ("magenta", {"style_scale": 2}, "no option 'style_scale'; it has strength"),
        ("adain", {"strength": 7}, "strength is 7"),
        ("adain", {"strength": "much"}, "strength is much; give a number from 0 to 1"),
        ("adain", {"strength": None}, "strength is None; give a number"),
        ("adain", {"strength": True}, "strength is True; give a number"),
        ("adain", {"strength": np.array([0.1, 0.2])}, "strength is .*; give a number"),
        ("gatys", {"layer_weights": 5}, "given 1 weights"),
        ("gatys", {"layer_weights": "abcde"}, "given 1 weights"),
        ("gatys", {"layer_weights": list("abcde")}, "must be numbers"),
        ("gatys", {"iterations": "many"}, "whole number"),
        ("gatys", {"style_weight": float("nan")}, "style_weight is nan"),
        ("adain", {"style_weights": 0.5}, None),
        ("adain", {"style_weights": ["a", "b"]}, "2 weights|must be numbers"),
    ],
)
def test_wrong_options_are_refused(photo, style, method, options, words):
    if words is None:  # a lone number is the weight of a lone style
        assert nst_demo.stylize(photo, style, method=method, **options).shape == photo.shape
        return
    with pytest.raises(StyleTransferError, match=words) as caught:
        nst_demo.stylize(photo, [style, style], method=method, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_defaults_and_knows_its_pace_or_none(method, monkeypatch):
    if METHODS[method].networks is not None:
        with pytest.raises(StyleTransferError, match="needs the option 'network'"):
            nst_demo.expected_seconds(method, 256, 256)
        return
    seconds = nst_demo.expected_seconds(method, 256, 256)
    assert seconds is None or seconds > 0


def test_expected_seconds_are_known_after_a_picture(photo, style):
    nst_demo.stylize(photo, style)
    assert nst_demo.expected_seconds("adain", 100, 100) > 0
    with pytest.raises(StyleTransferError, match="no option"):
        nst_demo.expected_seconds("adain", 100, 100, iterations=3)
    one = nst_demo.expected_seconds("adain", 100, 100, keep_colors="luminance", masks=photo[..., 0])
    two = nst_demo.expected_seconds("adain", 100, 100, masks=[photo[..., 0]] * 2)
    assert two == pytest.approx(2 * one)


def test_warm_up_leaves_the_network_ready_and_its_pace_known(monkeypatch):
    monkeypatch.setattr(adain.models, "pace", adain.models.Pace())
    assert nst_demo.expected_seconds("adain", 256, 256) is None
    nst_demo.warm_up()
    assert nst_demo.expected_seconds("adain", 256, 256) > 0
    assert nst_demo.expected_seconds("feedforward", 256, 256, network="linocut") > 0


def test_importing_is_cheap():
    """Neither TensorFlow nor Keras nor gradio is loaded by the import, by the CLI's neither."""
    code = (
        "import sys, nst_demo, nst_demo.cli\n"
        "print([m for m in ('tensorflow', 'keras', 'gradio', 'h5py') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == "[]"
