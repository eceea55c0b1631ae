"""Keeping the photo's colours: luminance and hue, mean and covariance."""

import numpy as np
import pytest

from nst_demo import color
from nst_demo.errors import StyleTransferError

# The matrix of YIQ (NTSC 1953): an independent reference for luminance and hue.
YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])


def noise(height=40, width=30, seed=0, low=0.0, high=1.0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(low, high, (height, width, 3)).astype("float32")


def statistics(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    colors = picture.reshape(-1, 3).astype("float64")
    return colors.mean(0), np.cov(colors.T, bias=True)


# ---- luminance -----------------------------------------------------------------------------------


def test_the_luminance_is_the_paintings():
    photo, painted = noise(), noise(seed=1)
    kept = color.with_colors_of(photo, painted)
    np.testing.assert_allclose(kept @ YIQ[0], painted @ YIQ[0], atol=1e-6)
    assert kept.dtype == np.float32
    assert kept.min() >= 0
    assert kept.max() <= 1


def test_the_chroma_is_the_photos_where_there_is_room_for_it():
    photo, painted = noise(low=0.45, high=0.55), noise(seed=1, low=0.3, high=0.7)
    kept = color.with_colors_of(photo, painted)
    np.testing.assert_allclose(kept @ YIQ[1:].T, photo @ YIQ[1:].T, atol=1e-6)


def test_what_leaves_the_range_loses_saturation_but_keeps_hue_and_luminance():
    red, dark = np.float32([[[0.9, 0.1, 0.1]]]), np.float32([[[0.1, 0.1, 0.1]]])
    kept = color.with_colors_of(red, dark)[0, 0]
    assert kept @ YIQ[0] == pytest.approx(0.1)
    assert kept.min() == pytest.approx(0)  # as much of the colour as there is room for
    (i, q), (i_red, q_red) = (YIQ[1:] @ kept, YIQ[1:] @ red[0, 0])
    assert np.arctan2(q, i) == pytest.approx(np.arctan2(q_red, i_red))
    assert np.hypot(i, q) < np.hypot(i_red, q_red)


def test_a_photo_keeps_its_own_colours_and_black_and_white_have_none():
    photo = noise()
    np.testing.assert_allclose(color.with_colors_of(photo, photo), photo, atol=1e-6)
    for level in (0.0, 1.0):
        plain = np.full_like(photo, level)
        np.testing.assert_allclose(color.with_colors_of(photo, plain), plain, atol=1e-6)


def test_the_colours_of_a_grey_photo_are_grey():
    kept = color.with_colors_of(np.full((40, 30, 3), 0.3, "float32"), noise())
    np.testing.assert_allclose(kept, np.repeat(kept[..., :1], 3, axis=2), atol=1e-6)


# ---- histogram -----------------------------------------------------------------------------------


def correlated(seed: int, mean: float = 0.5) -> np.ndarray:
    """A picture whose channels depend on each other, well within [0, 1]."""
    rng = np.random.default_rng(seed)
    mix = np.eye(3) + rng.uniform(-0.4, 0.4, (3, 3))
    colors = np.clip(rng.normal(0, 0.04, (50, 60, 3)), -0.1, 0.1) @ mix
    return (mean + colors).astype("float32")


@pytest.mark.parametrize("chunk", [700, 10**6])
def test_the_matched_style_has_the_photos_mean_and_covariance(monkeypatch, chunk):
    monkeypatch.setattr(color, "CHUNK", chunk)
    photo, style = correlated(0, 0.4), correlated(1, 0.6)
    matched = color.match_colors(style, photo)
    for found, expected in zip(statistics(matched), statistics(photo), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)
    assert matched.dtype == np.float32


def test_the_matrix_is_the_symmetric_roots():
    """Σ_photo^½ Σ_style^-½ by SciPy, on the style's colours."""
    from scipy.linalg import inv, sqrtm

    photo, style = correlated(0), correlated(1)
    (mean, covariance), (style_mean, style_covariance) = statistics(photo), statistics(style)
    matrix = sqrtm(covariance) @ inv(sqrtm(style_covariance))
    expected = (style - style_mean) @ matrix.T + mean
    np.testing.assert_allclose(color.match_colors(style, photo), expected, atol=1e-5)


def test_a_mask_weighs_the_photos_pixels():
    photo, style = correlated(0), correlated(1)
    mask = np.zeros(photo.shape[:2], "float32")
    mask[:20, 10:] = 1
    by_mask = color.match_colors(style, photo, mask)
    np.testing.assert_allclose(by_mask, color.match_colors(style, photo[:20, 10:]), atol=1e-5)


def test_a_style_in_the_photos_colours_stays_as_it_is():
    photo = correlated(0)
    np.testing.assert_allclose(color.match_colors(photo, photo), photo, atol=1e-5)


@pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
def test_plain_and_grey_pictures_give_numbers_in_range(level):
    plain = np.full((20, 20, 3), level, "float32")
    grey = np.repeat(noise()[..., :1], 3, axis=2)
    for photo in (plain, grey, noise()):
        for style in (plain, grey, noise(seed=1)):
            matched = color.match_colors(style, photo)
            assert np.isfinite(matched).all()
            assert matched.min() >= 0
            assert matched.max() <= 1
    np.testing.assert_allclose(color.match_colors(noise(), plain), level, atol=1e-5)


def test_rounding_of_a_grey_style_is_not_taken_for_colour():
    """A grey style saved with 8 bits has colours of half a level, which stay invisible."""
    grey = np.repeat(noise()[..., :1], 3, axis=2)
    rounded = grey + np.random.default_rng(2).uniform(-0.5, 0.5, grey.shape) / 255
    clean, noisy = (color.match_colors(s.astype("float32"), noise(seed=1)) for s in (grey, rounded))
    assert np.abs(clean - noisy).max() < 0.02


# ---- the choice ----------------------------------------------------------------------------------


def test_the_choices():
    for choice in ("none", "luminance", "histogram"):
        color.check_keep_colors(choice)
    for wrong in ("all", "", None, True, 1, ["none"]):
        with pytest.raises(StyleTransferError, match="choose one of none, luminance, histogram"):
            color.check_keep_colors(wrong)
