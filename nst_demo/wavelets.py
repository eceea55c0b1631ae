"""An orthonormal basis for pictures: Haar wavelets (Mallat 1989) of opponent colours.

Pixels of natural pictures go together, and so does the curvature of losses of their features:
coarse and fine detail, brightness and colour differ in it by orders of magnitude. In this basis
each coefficient has one place, one size and one colour, and can be scaled by itself.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

LEVELS = 5  # detail of 2, 4 ... 32 px; what is coarser stays together
# Lengths of brightness (1, 1, 1), red against blue (1, 0, -1), and green against both (-1, 2, -1):
# near the principal axes of photos (Ohta, Kanade & Sakai, "Color information for region
# segmentation", 1980).
_BRIGHTNESS, _RED_BLUE, _GREEN = np.sqrt(np.array([1 / 3, 1 / 2, 1 / 6])).astype("float32")
_HALF = np.float32(np.sqrt(0.5))


def _detailed(height: int, width: int) -> Iterator[tuple[int, int]]:
    """(height, width) of what is split at each level. Of an odd side the last stays coarse."""
    for _ in range(LEVELS):
        yield height, width
        height, width = -(-height // 2), -(-width // 2)


def _split(x: np.ndarray, out: np.ndarray) -> None:
    """Sums of neighbours in the last axis, then their differences; orthonormal."""
    half = x.shape[-1] // 2
    coarse = x.shape[-1] - half
    first, second = x[..., 0 : 2 * half : 2], x[..., 1 : 2 * half : 2]
    np.add(first, second, out=out[..., :half])
    np.subtract(first, second, out=out[..., coarse:])
    out[..., :half] *= _HALF
    out[..., coarse:] *= _HALF
    out[..., half:coarse] = x[..., 2 * half :]


def _join(x: np.ndarray, out: np.ndarray) -> None:
    """The inverse of `_split`."""
    half = x.shape[-1] // 2
    coarse = x.shape[-1] - half
    sums, differences = x[..., :half], x[..., coarse:]
    np.add(sums, differences, out=out[..., 0 : 2 * half : 2])
    np.subtract(sums, differences, out=out[..., 1 : 2 * half : 2])
    out[..., : 2 * half] *= _HALF
    out[..., 2 * half :] = x[..., half:coarse]


def _turned(x: np.ndarray) -> np.ndarray:
    return x.swapaxes(1, 2)


def _opponent(picture: np.ndarray) -> np.ndarray:
    """(H, W, 3) -> (3, H, W).

    Written out, as is its inverse: NumPy's product of matrices is by threads that go on waiting for
    more, and take a sixth of the next evaluation's time from TensorFlow's.
    """
    red, green, blue = np.moveaxis(picture, 2, 0)
    found = np.empty((3, *picture.shape[:2]), picture.dtype)
    both = red + blue
    np.add(both, green, out=found[0])
    np.subtract(red, blue, out=found[1])
    np.add(green, green, out=found[2])
    found[2] -= both
    for part, length in zip(found, (_BRIGHTNESS, _RED_BLUE, _GREEN), strict=True):
        part *= length
    return found


def _primary(opponent: np.ndarray) -> np.ndarray:
    """(3, H, W), which is used up -> (H, W, 3): the inverse of `_opponent`."""
    brightness, red_blue, green = opponent
    for part, length in zip(opponent, (_BRIGHTNESS, _RED_BLUE, _GREEN), strict=True):
        part *= length
    found = np.empty((*opponent.shape[1:], 3), opponent.dtype)
    brightness -= green
    np.add(brightness, red_blue, out=found[..., 0])
    np.subtract(brightness, red_blue, out=found[..., 2])
    green *= np.float32(3)
    np.add(brightness, green, out=found[..., 1])
    return found


def analysed(picture: np.ndarray) -> np.ndarray:
    """Coefficients (3, H, W) of a picture (H, W, 3) of any size and range, float32.

    Mallat's layout: the coarse picture at the top left, each level's detail around it. Lengths
    and scalar products are those of the pictures.
    """
    x = _opponent(picture)
    aside = np.empty_like(x)
    for height, width in _detailed(*x.shape[1:]):
        part, other = x[:, :height, :width], aside[:, :height, :width]
        _split(part, other)
        _split(_turned(other), _turned(part))
    return x


def synthesised(coefficients: np.ndarray) -> np.ndarray:
    """The picture (H, W, 3) of these coefficients (3, H, W): the inverse of `analysed`."""
    x, aside = coefficients.copy(), np.empty_like(coefficients)
    for height, width in reversed(list(_detailed(*x.shape[1:]))):
        part, other = x[:, :height, :width], aside[:, :height, :width]
        _join(_turned(part), _turned(other))
        _join(other, part)
    return _primary(x)


def bands(coefficients: np.ndarray) -> Iterator[np.ndarray]:
    """Views of `coefficients` that cover them: each has one size and direction of detail.

    Those of a side of 1 px are empty.
    """
    rest = coefficients
    for height, width in _detailed(*coefficients.shape[1:]):
        tall, wide = -(-height // 2), -(-width // 2)
        yield from (rest[:, :tall, wide:], rest[:, tall:, :wide], rest[:, tall:, wide:])
        rest = rest[:, :tall, :wide]
    yield rest
