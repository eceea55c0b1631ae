"""Tiles cover a picture once, with the least work."""

import numpy as np
import pytest

from nst_demo import tiling


@pytest.mark.parametrize(("height", "width"), [(67, 101), (160, 96), (333, 200)])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 2), (2, 3)])
def test_what_counts_of_the_tiles_covers_the_picture_once(height, width, rows, columns):
    covered = np.zeros((1, height, width, 1))
    for tile in tiling.tiles(height, width, rows, columns, border=32):
        top, left, bottom, right = tile.inner
        tile.window(covered)[:, top:bottom, left:right] += 1
        tile.counted(covered, 1)[:] += 1
        assert tile.top % 16 == tile.left % 16 == 0
        assert top in (0, 32)  # read with its border, or at the picture's own edge
        assert tile.bottom - tile.top - bottom in range(33)
    assert np.all(covered == 2)


def test_a_grid_keeps_to_the_pixels_with_the_least_work():
    assert tiling.grid(500, 700, 80, None) == (1, 1)
    assert tiling.grid(500, 700, 80, 350_000) == (1, 1)
    assert tiling.grid(1024, 512, 80, 400_000) == (2, 1)
    rows, columns = tiling.grid(2000, 3000, 80, 500_000) or (0, 0)
    windows = tiling.tiles(2000, 3000, rows, columns, 80)
    areas = [(tile.bottom - tile.top) * (tile.right - tile.left) for tile in windows]
    assert 300_000 < max(areas) <= 500_000
    assert sum(areas) < 1.6 * 2000 * 3000
    assert tiling.grid(2000, 3000, 80, 10_000) is None
