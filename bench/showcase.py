"""The README's picture: example photos in example styles, from above by the styles' own networks,
as Fast paints them on the page, by Quality, which begins from these there, and by Quality's bold.

`python -m bench.showcase [OUT]`
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import nst_demo
from bench.pictures import cell
from nst_demo import images

PHOTOS = ("astronaut", "pagoda")
STYLES = (
    "starry-swirl",
    "stained-glass",
    "great-waves",
    "geometric-concert",
    "crystal-facets",
    "watercolour-garden",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    default = Path(__file__).parents[1] / "docs" / "showcase.webp"
    parser.add_argument("output", type=Path, nargs="?", default=default)
    arguments = parser.parse_args()
    arguments.output.parent.mkdir(exist_ok=True)
    styles = [images.open_picture(images.EXAMPLES / f"styles/{name}.webp").rgb for name in STYLES]
    white = np.ones_like(cell(styles[0]))
    rows = [[white, *map(cell, styles)]]
    for file in PHOTOS:
        photo = images.open_picture(images.EXAMPLES / f"photos/{file}.jpg").rgb
        fast = (nst_demo.stylize(photo, method="feedforward", network=style) for style in STYLES)
        rows.append([cell(photo), *map(cell, fast)])
        slow = (
            nst_demo.stylize(photo, style, method="gatys", init_network=name)
            for style, name in zip(styles, STYLES, strict=True)
        )
        rows.append([white, *map(cell, slow)])
        bold = (nst_demo.stylize(photo, style, recipe="bold", method="gatys") for style in styles)
        rows.append([white, *map(cell, bold)])
    sheet = np.concatenate([np.concatenate(row, axis=1) for row in rows])
    images.save_image(arguments.output, images.fit(sheet, 1680))


if __name__ == "__main__":
    main()
