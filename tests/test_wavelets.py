"""The basis against its definition: orthonormal for every size, one place, size and colour each."""

import numpy as np
import pytest

from nst_demo import wavelets

SIZES = [(32, 48), (37, 21), (17, 16), (5, 1), (1, 1)]


def random(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(height, width, 3)).astype("float32")


@pytest.mark.parametrize("size", SIZES)
def test_it_is_orthonormal(size):
    first, second = random(*size), random(*size, seed=1)
    one, other = wavelets.analysed(first), wavelets.analysed(second)
    assert one.dtype == np.float32
    assert np.vdot(one, other) == pytest.approx(np.vdot(first, second), rel=1e-4, abs=1e-3)
    np.testing.assert_allclose(wavelets.synthesised(one), first, atol=1e-5)
    np.testing.assert_allclose(wavelets.analysed(wavelets.synthesised(one)), one, atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_bands_cover_the_coefficients_once(size):
    seen = np.zeros((3, *size), int)
    for band in wavelets.bands(seen):
        band += 1
    assert seen.min() == seen.max() == 1


def test_neither_picture_nor_coefficients_are_written_to():
    picture = random(8, 8)
    before = picture.copy()
    coefficients = wavelets.analysed(picture)
    kept = coefficients.copy()
    wavelets.synthesised(coefficients)
    np.testing.assert_array_equal(picture, before)
    np.testing.assert_array_equal(coefficients, kept)


def test_a_level_grey_picture_is_coarse_brightness_alone():
    coefficients = wavelets.analysed(np.full((64, 96, 3), 0.5, "float32"))
    *detail, coarse = wavelets.bands(coefficients)
    assert all(np.abs(band).max() < 1e-6 for band in detail)
    side = 2**wavelets.LEVELS  # px of a coarse coefficient
    np.testing.assert_allclose(coarse[0], 0.5 * 3**0.5 * side, rtol=1e-5)
    np.testing.assert_allclose(coarse[1:], 0, atol=1e-5)


@pytest.mark.parametrize("level", range(wavelets.LEVELS))
@pytest.mark.parametrize(("step", "band"), [((0, 1), 0), ((1, 0), 1), ((1, 1), 2)])
def test_stripes_are_of_one_band(level, step, band):
    """Pairs of 2^level px, across, down, and both ways."""
    place = np.indices((64, 64)) // 2**level
    stripes = 1 - 2.0 * ((step[0] * place[0] + step[1] * place[1]) % 2)
    picture = np.repeat(stripes[..., None], 3, axis=2).astype("float32")
    energies = [np.vdot(b, b) for b in wavelets.bands(wavelets.analysed(picture))]
    assert energies[3 * level + band] == pytest.approx(np.vdot(picture, picture), rel=1e-4)
