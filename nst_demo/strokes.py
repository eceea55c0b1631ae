"""Strokes of one size in pictures of any size: painting at two sizes, for networks of one pass."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

LEAST_SHRINK = 1.4  # by less it is not worth the time


def paint_at_two_sizes(
    paint: Callable[[np.ndarray], np.ndarray],
    content: np.ndarray,
    stroke_size: float,
    least_side: int,
) -> np.ndarray:
    """`paint` of `content`, (H, W, 3) in [0, 1] both, with strokes as large as at `stroke_size`.

    A network's strokes are so many pixels large, so the larger a picture the finer they look. One
    that is much larger than `stroke_size` (px, long side) is painted at that size too: it takes
    all that can be seen there from that painting, and the finer detail from its own (a Laplacian
    pyramid of two levels: Burt & Adelson, "A Multiresolution Spline", 1983). `least_side`: px, no
    side is painted smaller.
    """
    painted = paint(content)
    height, width = content.shape[:2]
    shrink = max(height, width) / stroke_size
    if shrink > LEAST_SHRINK:
        small = max(least_side, round(height / shrink)), max(least_side, round(width / shrink))
        coarse = paint(resized(content, small))
        painted += resized(coarse - resized(painted, small), (height, width))
        np.clip(painted, 0.0, 1.0, out=painted)
    return painted


def mirrored(content: np.ndarray, margin: int, stride: int) -> np.ndarray:
    """`content` (H, W, 3) with `margin` px mirrored around it, and more at the right and bottom.

    So that the sides become multiples of `stride`; 2 `margin` is one.
    """
    margins = [(margin, margin + -side % stride) for side in content.shape[:2]]
    return np.pad(content, [*margins, (0, 0)], mode="reflect")


def resized(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, C) of any range; faster than `images.resize`, and good enough between two levels."""
    import tensorflow as tf

    return tf.image.resize(values, size, antialias=True).numpy()
