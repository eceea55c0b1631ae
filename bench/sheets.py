"""Sheets to look at: every photo of a folder in every style of another, in fast mode.

`python -m bench.sheets PHOTOS STYLES OUT [--sizes 512 1024 2048] [--weights FILE]` writes
OUT/PHOTO-SIZE.png: the photo first, then its pictures, each over its style and the style's name.
Where a picture is larger than its cell it is shrunk, and OUT/PHOTO-SIZE-detail.png shows its
middle pixel by pixel. Smaller photos are enlarged to the size, which their name then says.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import nst_demo
from bench.pictures import cell
from nst_demo import images, weights

COLUMNS = 4
STRIP = 64  # px under each picture, for the style and its name


def strip(width: int, name: str, style: np.ndarray | None = None) -> np.ndarray:
    """(STRIP, width, 3): the style small on the left, its name beside it, on white."""
    paper = Image.new("RGB", (width, STRIP), "white")
    left = 8 if style is None else STRIP + 8
    ImageDraw.Draw(paper).text(
        (left, STRIP // 2), name, "black", ImageFont.load_default(22), anchor="lm"
    )
    pixels = np.asarray(paper, "float32") / 255.0
    if style is not None:
        pixels[:, :STRIP] = images.resize(cell(style), STRIP, STRIP)[:, :width]
    return pixels


def whole(picture: np.ndarray, side: int) -> np.ndarray:
    return images.fit(picture, side)


def detail(picture: np.ndarray, side: int) -> np.ndarray:
    """The middle of (H, W, 3), at most `side` px a side, at its own resolution."""
    top, left = (max(0, (length - side) // 2) for length in picture.shape[:2])
    return picture[top : top + side, left : left + side]


def sheet(cells: list[np.ndarray]) -> np.ndarray:
    """Equally sized pictures in rows of COLUMNS, the last one filled up with white."""
    cells = cells + [np.ones_like(cells[0])] * (-len(cells) % COLUMNS)
    rows = [np.concatenate(cells[i : i + COLUMNS], 1) for i in range(0, len(cells), COLUMNS)]
    return np.concatenate(rows)


def at_size(photo: np.ndarray, size: int) -> np.ndarray:
    """`photo` shrunk or enlarged to a long side of `size` px."""
    scale = size / max(photo.shape[:2])
    return images.resize(photo, *(round(side * scale) for side in photo.shape[:2]))


def paint(
    photo: np.ndarray,
    name: str,
    styles: dict[str, np.ndarray],
    views: dict[str, Callable[[np.ndarray], np.ndarray]],
    options: dict[str, Any],
) -> dict[str, np.ndarray]:
    """A sheet for each view of the pictures; they are not kept at their full size."""
    cells = {view: [_over(show(photo), name)] for view, show in views.items()}
    for title, style in styles.items():
        picture = nst_demo.stylize(photo, style, **options)
        for view, show in views.items():
            cells[view].append(_over(show(picture), title, style))
    return {view: sheet(shown) for view, shown in cells.items()}


def _over(picture: np.ndarray, name: str, style: np.ndarray | None = None) -> np.ndarray:
    return np.concatenate([picture, strip(picture.shape[1], name, style)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("styles", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[512, 1024, 2048])
    parser.add_argument("--cell", type=int, default=768, help="px; larger pictures are shrunk")
    parser.add_argument("--format", choices=("png", "jpg", "webp"), default="png")
    parser.add_argument("--strength", type=float, default=1.0)
    parser.add_argument("--weights", type=Path, help="of another network than the packaged one")
    arguments = parser.parse_args()
    if arguments.weights is not None:
        weights.PACKAGED["adain"] = str(arguments.weights.resolve())
    arguments.output.mkdir(parents=True, exist_ok=True)
    styles = {f.stem: images.open_picture(f).rgb for f in sorted(arguments.styles.iterdir())}
    for size in arguments.sizes:
        views = {"": lambda picture: whole(picture, arguments.cell)}
        if size > arguments.cell:
            views["-detail"] = lambda picture: detail(picture, arguments.cell)
        options = {"strength": arguments.strength, "size": size}
        for file in sorted(arguments.photos.iterdir()):
            photo = images.open_picture(file).rgb
            note = "" if max(photo.shape[:2]) >= size else f" (enlarged to {size})"
            shown = paint(at_size(photo, size), file.stem + note, styles, views, options)
            for view, pixels in shown.items():
                path = arguments.output / f"{file.stem}-{size}{view}.{arguments.format}"
                images.save_image(path, pixels)
                print(path)


if __name__ == "__main__":
    main()
