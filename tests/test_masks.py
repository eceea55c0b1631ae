"""Masks: opening, fitting, sharing the picture; and what the public functions make of them."""

import numpy as np
import pytest
from PIL import Image

import nst_demo
from nst_demo import color, images, masks
from nst_demo.errors import StyleTransferError
from nst_demo.methods import gatys

HEIGHT, WIDTH = 40, 56  # of the photo


def left(columns: int = WIDTH // 2, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """1 in the first columns."""
    mask = np.zeros((height, width), "float32")
    mask[:, :columns] = 1
    return mask


# ---- opening and fitting -------------------------------------------------------------------------


def test_no_masks_are_none_and_one_needs_no_list():
    assert masks.open_masks(None, 1, HEIGHT, WIDTH) is None
    for given in (left(), [left()], (left(),)):
        (mask,) = masks.open_masks(given, 1, HEIGHT, WIDTH)
        np.testing.assert_array_equal(mask, left())


def test_a_float_array_is_taken_as_it_is_and_a_drawing_gets_soft_edges():
    soft = np.linspace(0, 1, HEIGHT * WIDTH, dtype="float32").reshape(HEIGHT, WIDTH)
    np.testing.assert_array_equal(masks.open_masks(soft, 1, HEIGHT, WIDTH)[0], soft)
    drawing = Image.fromarray(np.uint8(255 * left(100, 200, 280)))
    (mask,) = masks.open_masks(drawing, 1, 200, 280)
    np.testing.assert_array_equal(mask, images.open_mask(drawing))
    assert len(np.unique(mask)) > 5


@pytest.mark.parametrize("scale", [0.5, 2, 3.3])
def test_a_mask_of_another_size_is_resized_without_ripples(scale):
    large = left(round(28 * scale), round(HEIGHT * scale), round(WIDTH * scale))
    (mask,) = masks.open_masks(large, 1, HEIGHT, WIDTH)
    assert mask.shape == (HEIGHT, WIDTH)
    assert (mask[:, :25] == 1).all()
    assert (mask[:, 31:] == 0).all()


def test_none_stands_for_what_the_others_leave():
    a, rest, b = masks.open_masks([left(20), None, 0.25 * left()], 3, HEIGHT, WIDTH)
    np.testing.assert_allclose(a + b + rest, np.maximum(1, a + b))
    np.testing.assert_allclose(rest[0, [0, 25, 50]], [0, 0.75, 1])
    np.testing.assert_array_equal(masks.open_masks([None], 1, HEIGHT, WIDTH)[0], 1)


@pytest.mark.parametrize(
    ("given", "styles", "words"),
    [
        ([left(), left()], 1, "1 style was given 2 masks; give one mask for each style"),
        (left(), 2, "2 styles were given 1 mask;"),
        ([], 1, "given 0 masks"),
        (np.zeros((HEIGHT, WIDTH), "float32"), 1, "The mask is black all over"),
        ([left(), np.zeros((HEIGHT, WIDTH), "uint8")], 2, "The mask 2 is black all over"),
        (left(height=WIDTH, width=HEIGHT), 1, "The mask has 40 x 56 px, another shape than .* 56"),
        ([left(), left(height=44)], 2, "The mask 2 has 56 x 44 px"),
        ([np.ones((HEIGHT, WIDTH)), None], 2, "no place for mask 2"),
        (np.full((HEIGHT, WIDTH), np.nan), 1, "The mask holds values that are not numbers"),
        (left() * 7, 1, "The mask has values from 0 to 7"),
        ("missing.png", 1, "The mask 'missing.png' does not exist"),
        (b"hello, I am text", 1, "The mask is not a picture"),
    ],
)
def test_bad_masks_are_refused_in_a_sentence(given, styles, words):
    with pytest.raises(StyleTransferError, match=words) as caught:
        masks.open_masks(given, styles, HEIGHT, WIDTH)
    assert "\n" not in str(caught.value)


def test_an_aspect_within_2_percent_will_do():
    assert masks.open_masks(left(height=100, width=142), 1, HEIGHT, WIDTH)[0].shape == (40, 56)
    with pytest.raises(StyleTransferError, match="another shape"):
        masks.open_masks(left(height=100, width=144), 1, HEIGHT, WIDTH)


# ---- sharing the picture -------------------------------------------------------------------------


def test_coverage_shares_and_normalised_masks():
    given = [np.float32([[0, 0.25, 0.5, 1, 1]]), np.float32([[0, 0, 0.5, 1, 0.5]])]
    np.testing.assert_allclose(masks.coverage(given), [[0, 0.25, 1, 1, 1]])
    first, second = masks.normalised(given)
    np.testing.assert_allclose(first, [[0, 0.25, 0.5, 0.5, 2 / 3]])
    np.testing.assert_allclose(second, [[0, 0, 0.5, 0.5, 1 / 3]])
    first, second = masks.shares(given, [1, 1])
    np.testing.assert_allclose(first, [[0, 1, 0.5, 0.5, 2 / 3]])
    np.testing.assert_allclose(second, [[0, 0, 0.5, 0.5, 1 / 3]])
    first, second = masks.shares(given, [3, 1])
    np.testing.assert_allclose(first, [[0, 1, 0.75, 0.75, 6 / 7]])


# ---- painting with masks -------------------------------------------------------------------------


def test_the_photo_stays_exactly_where_the_mask_is_black(photo, style):
    mask = left(30)
    mask[:, 25:30] = 0.5
    full = nst_demo.stylize(photo, style)
    result = nst_demo.stylize(photo, style, masks=mask)
    np.testing.assert_array_equal(result[:, 30:], photo[:, 30:])
    np.testing.assert_allclose(result[:, :25], full[:, :25], atol=1e-6)
    half = (photo + full) / 2
    np.testing.assert_allclose(result[:, 25:30], half[:, 25:30], atol=1e-6)


def test_a_mask_of_the_whole_photo_changes_nothing(photo, style):
    result = nst_demo.stylize(photo, style, masks=np.ones((HEIGHT, WIDTH)))
    np.testing.assert_allclose(result, nst_demo.stylize(photo, style), atol=1e-6)


def test_each_half_has_its_own_styles_picture(photo, style):
    other = 1 - style
    one, two = (nst_demo.stylize(photo, s) for s in (style, other))
    seam = np.clip((np.arange(WIDTH, dtype="float32") - 22) / 10, 0, 1)[None].repeat(HEIGHT, 0)
    result = nst_demo.stylize(photo, [style, other], masks=[1 - seam, seam])
    np.testing.assert_allclose(result[:, :22], one[:, :22], atol=1e-6)
    np.testing.assert_allclose(result[:, 33:], two[:, 33:], atol=1e-6)
    blend = (1 - seam[..., None]) * one + seam[..., None] * two
    np.testing.assert_allclose(result, blend, atol=1e-6)
    rest = nst_demo.stylize(photo, [style, other], masks=[None, seam])
    np.testing.assert_allclose(rest, result, atol=1e-6)


def test_weights_tip_the_balance_only_where_masks_overlap(photo, style):
    styles, given = [style, 1 - style], [left(40), 1 - left(20)]
    one, two = (nst_demo.stylize(photo, s) for s in styles)
    result = nst_demo.stylize(photo, styles, masks=given, style_weights=[3, 1])
    np.testing.assert_allclose(result[:, :20], one[:, :20], atol=1e-6)
    np.testing.assert_allclose(result[:, 40:], two[:, 40:], atol=1e-6)
    mixed = 0.75 * one + 0.25 * two
    np.testing.assert_allclose(result[:, 20:40], mixed[:, 20:40], atol=1e-6)
    with pytest.raises(StyleTransferError, match="Style 2 has the weight 0 but a mask"):
        nst_demo.stylize(photo, styles, masks=given, style_weights=[1, 0])


def test_a_masked_photo_painted_small_keeps_its_detail(picture, style):
    large = picture(90, 120)
    mask = left(60, 90, 120)
    result = nst_demo.stylize(large, style, size=48, masks=mask)
    np.testing.assert_array_equal(result[:, 60:], large[:, 60:])


def test_a_mask_in_a_file(tmp_path, picture, style):
    photo = picture(120, 168)
    Image.fromarray(np.uint8(255 * left(84, 120, 168))).save(tmp_path / "mask.png")
    result = nst_demo.stylize(photo, style, masks=tmp_path / "mask.png")
    np.testing.assert_array_equal(result[:, 100:], photo[:, 100:])
    np.testing.assert_allclose(result[:, :70], nst_demo.stylize(photo, style)[:, :70], atol=1e-6)


# ---- quality mode --------------------------------------------------------------------------------


@pytest.fixture
def quick(tiny_backbone):
    return {"method": "gatys", "backbone": tiny_backbone, "iterations": 3, "size": 40}


def test_quality_mode_keeps_the_photo_outside_the_mask_in_every_step(photo, style, quick):
    steps, mask = [], left(20)
    result = nst_demo.stylize(photo, style, masks=mask, on_step=steps.append, **quick)
    np.testing.assert_array_equal(result[:, 20:], photo[:, 20:])
    assert np.abs(result[:, :20] - photo[:, :20]).max() > 0.01
    for step in steps:
        small = images.resize(photo, *step.image.shape[:2])
        np.testing.assert_array_equal(step.image[:, 16:], small[:, 16:])


def test_quality_mode_gets_the_masks_normalised(monkeypatch, photo, style, quick):
    seen = []

    def iterate(content, styles, options, init_image=None, masks=None):
        seen.append((masks, init_image))
        yield nst_demo.Step(0, 1, {"total": 0.0}, content, 0.0)

    monkeypatch.setattr(gatys, "iterate", iterate)
    list(nst_demo.iterate(photo, [style, 1 - style], masks=[left(40), np.ones_like(left())]))
    given, start = seen[0]
    np.testing.assert_allclose(given[0] + given[1], 1)
    np.testing.assert_allclose(given[0][0, [0, 50]], [0.5, 0])
    fast = nst_demo.stylize(photo, [style, 1 - style], masks=[left(40), np.ones_like(left())])
    palettes = [color.match_colors(photo, one) for one in (style, 1 - style)]
    palette = sum(place[..., None] * one for place, one in zip(given, palettes, strict=True))
    np.testing.assert_allclose(start, 0.5 * (fast + palette), atol=1e-5)


def test_enlarge_gives_a_step_the_photos_size_and_detail(picture):
    photo = picture(90, 120)
    mask = np.clip((np.arange(120, dtype="float32") - 40) / 40, 0, 1)[None].repeat(90, 0)
    painted = 1 - picture(90, 120, seed=3)  # soft: resampling a mask shows beside sharp strokes
    small = images.resize(painted, 60, 80)
    # What `iterate` yields: composited at the size worked at.
    share = images.resize_mask(mask, 60, 80)[..., None]
    step = share * small + (1 - share) * images.resize(photo, 60, 80)
    result = nst_demo.enlarge(step, photo, masks=mask)
    assert result.shape == photo.shape
    np.testing.assert_allclose(result[:, :36], photo[:, :36], atol=1e-5)
    large = images.resize(small, 90, 120)
    expected = mask[..., None] * large + (1 - mask[..., None]) * photo
    np.testing.assert_allclose(result, expected, atol=0.03)
    np.testing.assert_array_equal(nst_demo.enlarge(painted, photo), painted)
    np.testing.assert_allclose(nst_demo.enlarge(small, photo), large, atol=1e-6)
