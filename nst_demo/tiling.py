"""Windows of a picture that together cover it: what is too large for the memory is done in them."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

CELL = 16  # px; tiles begin at multiples of it, so that pooling falls on the whole picture's cells


class Tile(NamedTuple):
    """A part of a picture: the window that is read, and in it the part that counts (px)."""

    top: int
    left: int
    bottom: int
    right: int
    inner: tuple[int, int, int, int]  # top, left, bottom, right in the window

    def window(self, array):
        """The window of a (1, H, W, C) array."""
        return array[:, self.top : self.bottom, self.left : self.right]

    def counted(self, features, stride: int):
        """The part that counts of features (1, H/stride, W/stride, C) of the whole picture."""
        top, left, bottom, right = self.inner
        rows = slice((self.top + top) // stride, (self.top + bottom) // stride)
        columns = slice((self.left + left) // stride, (self.left + right) // stride)
        return features[:, rows, columns]


def _cuts(length: int, parts: int, border: int) -> list[tuple[int, int, int, int]]:
    """A side in `parts`: (start, end) of each window, (start, end) of what counts in it."""
    edges = [round(length * i / parts / CELL) * CELL for i in range(parts)] + [length]
    cuts = []
    for start, end in pairwise(edges):
        low, high = max(0, start - border), min(length, end + border)
        cuts.append((low, high, start - low, end - low))
    return cuts


def tiles(height: int, width: int, rows: int, columns: int, border: int) -> list[Tile]:
    """The picture in rows x columns; what counts of each covers the picture once."""
    return [
        Tile(top, left, bottom, right, (in_top, in_left, in_bottom, in_right))
        for top, bottom, in_top, in_bottom in _cuts(height, rows, border)
        for left, right, in_left, in_right in _cuts(width, columns, border)
    ]


def smallest_tile(border: int) -> int:
    """Pixels of the smallest window worth it: half of each of its sides is border."""
    return (4 * border) ** 2


def grid(height: int, width: int, border: int, pixels: float | None) -> tuple[int, int] | None:
    """(rows, columns) whose windows hold at most `pixels`, with the least work in all.

    None where windows worth it are larger than that; `pixels` None: no limit.
    """
    if pixels is None or height * width <= pixels:
        return 1, 1

    def extents(length: int) -> list[tuple[int, int]]:
        """For 1, 2, ... parts: (longest window, sum of all)."""
        most = max(1, length // 64)
        cuts = [_cuts(length, parts, border) for parts in range(1, most + 1)]
        sizes = [[high - low for low, high, _, _ in cut] for cut in cuts]
        return [(max(size), sum(size)) for size in sizes]

    best, least = None, np.inf
    for rows, (tall, all_rows) in enumerate(extents(height), 1):
        for columns, (wide, all_columns) in enumerate(extents(width), 1):
            if tall * wide <= pixels and all_rows * all_columns < least:
                best, least = (rows, columns), all_rows * all_columns
    return best
