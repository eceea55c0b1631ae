"""Keeping the photo's own colours. Gatys, Bethge, Hertzmann & Shechtman 2016, arXiv 1606.05897.

The paper's two ways, which need nothing of the method that paints:

- "luminance" (§3.2): the painted picture gives the luminance, the photo the colours, in YIQ as
  there. Strokes keep their light and dark, and every place its own colour.
- "histogram" (§3.1): before painting, the style is recoloured so that its colours have the photo's
  mean and covariance. The painting's colours are then free, but of the photo's palette.

YIQ is linear in RGB, so what leaves the range of RGB can be brought back in closed form without a
change of luminance or hue: by desaturating (as the blend mode "color" of the W3C's "Compositing
and Blending" does). Clipping each channel for itself would change both.

Pictures are float32 (H, W, 3) in [0, 1].
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from nst_demo.errors import check_choice

KeepColors = Literal["none", "luminance", "histogram"]

LUMINANCE = np.array([0.299, 0.587, 0.114], "float32")  # the Y of YIQ, of gamma-encoded RGB
# A style whose colours deviate less than this along some direction (two of 255 levels) does not
# vary along it: what there is comes of rounding and compression, and must not be amplified.
LEAST_DEVIATION = 2 / 255
CHUNK = 2**18  # pixels that are turned into float64 at once


def check_keep_colors(keep_colors: str) -> None:
    """StyleTransferError unless it is one of `KeepColors`."""
    check_choice("keep_colors", keep_colors, get_args(KeepColors))


def luminance(picture: np.ndarray) -> np.ndarray:
    """(H, W), in [0, 1]: 0 for black and 1 for white."""
    return picture @ LUMINANCE


def with_colors_of(photo: np.ndarray, painted: np.ndarray) -> np.ndarray:
    """The luminance of `painted` with the colours of `photo`, desaturated where needed (§3.2)."""
    return _into_range(luminance(painted), photo - luminance(photo)[..., None])


def match_colors(
    style: np.ndarray, photo: np.ndarray, mask: np.ndarray | None = None
) -> np.ndarray:
    """`style` with the mean and covariance of the photo's colours (eq. 1 to 3).

    The matrix is the symmetric one, Σ_photo^½ Σ_style^-½ (the paper's "image analogies", eq. 5).
    Directions along which the style's colours do not vary stay flat.

    Args:
        style: of any size.
        mask: (H, W) of the photo's size in [0, 1]: how much each of its pixels counts, with a sum
            over 0. None for all alike.
    """
    mean, covariance = _statistics(style, None)
    target_mean, target_covariance = _statistics(photo, mask)
    transform = _power(target_covariance, 0.5, 0.0) @ _power(covariance, -0.5, LEAST_DEVIATION**2)
    shift = target_mean - transform @ mean
    matched = style @ transform.T.astype("float32") + shift.astype("float32")
    bright = luminance(matched)
    return _into_range(np.clip(bright, 0.0, 1.0), matched - bright[..., None])


def _statistics(picture: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Mean (3,) and covariance (3, 3) of the colours, float64."""
    colors = picture.reshape(-1, 3)
    sums = np.zeros((4, 4))  # over pixels, of all products of 1, red, green, blue
    for start in range(0, len(colors), CHUNK):
        chunk = np.insert(colors[start : start + CHUNK].astype("float64"), 0, 1.0, axis=1)
        shares = 1.0 if weights is None else weights.reshape(-1, 1)[start : start + CHUNK]
        sums += (chunk * shares).T @ chunk
    mean = sums[0, 1:] / sums[0, 0]
    return mean, sums[1:, 1:] / sums[0, 0] - np.outer(mean, mean)


def _power(matrix: np.ndarray, exponent: float, least: float) -> np.ndarray:
    """A symmetric matrix to a power; eigenvalues of `least` or below become 0."""
    values, vectors = np.linalg.eigh(matrix)
    kept = values > least
    powers = np.where(kept, np.where(kept, values, 1.0) ** exponent, 0.0)
    return (vectors * powers) @ vectors.T


def _into_range(bright: np.ndarray, chroma: np.ndarray) -> np.ndarray:
    """Luminance (H, W) in [0, 1] plus as much of `chroma` as keeps all channels in [0, 1].

    chroma (H, W, 3) has luminance 0: what a pixel's channels differ from its luminance.
    """
    tiny = np.float32(1e-12)
    room = (1 - bright) / np.maximum(chroma.max(2), tiny)
    room = np.minimum(room, bright / np.maximum(-chroma.min(2), tiny))
    picture = bright[..., None] + np.minimum(room, 1)[..., None] * chroma
    return np.clip(picture, 0.0, 1.0, out=picture)  # rounding only
