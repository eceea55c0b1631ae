"""Stylizes every photo of a folder with every style of another: CONTENT__STYLE.png in a third.

`python -m bench.pictures PHOTOS STYLES OUT [--sheet SHEET.jpg] [--gatys] ...`: for scoring, and for
looking: the sheet has the styles on top and each photo to the left of its pictures. Prints how much
they have of what no painter paints (`losses.lattice`, `restlessness`, `streaks`), and the photos.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import nst_demo
from nst_demo import images, losses, weights

CELL = 320  # px, of the sheet
FAULTS = ("lattice", "restlessness", "streaks")


def cell(image: np.ndarray) -> np.ndarray:
    """`image` cropped to its middle square, (CELL, CELL, 3)."""
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return images.resize(image[top : top + side, left : left + side], CELL, CELL)


def faults(painted: np.ndarray, photo: np.ndarray) -> tuple[float, ...]:
    """Of two pictures (H, W, 3) of one size, in the order of FAULTS."""
    pictures = painted[None], photo[None]
    return (
        float(losses.lattice(pictures[0])),
        float(losses.restlessness(*pictures, contrast=0.02)),
        float(losses.streaks(*pictures)),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("styles", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--size", type=int, help="long side to shrink the photos to")
    parser.add_argument("--every", type=int, default=1, help="only every Nth pair")
    parser.add_argument("--strength", type=float)
    parser.add_argument("--gatys", action="store_true")
    parser.add_argument(
        "--trained", action="store_true", help="by the networks trained for these very styles"
    )
    parser.add_argument("--iterations", type=int)
    parser.add_argument("--content-weight", type=float)
    parser.add_argument("--init")
    parser.add_argument("--recipe")
    parser.add_argument("--sheet", type=Path)
    arguments = parser.parse_args()
    names = ("strength", "iterations", "content_weight", "init", "recipe")
    options = {name: getattr(arguments, name) for name in names}
    options = {name: value for name, value in options.items() if value is not None}
    method = "gatys" if arguments.gatys else "adain"
    arguments.output.mkdir(parents=True, exist_ok=True)
    trained = weights.trained_styles()
    styles = {
        f.stem: images.open_picture(f).rgb
        for f in sorted(arguments.styles.iterdir())
        if not arguments.trained or f.stem in trained
    }
    rows = [[np.ones((CELL, CELL, 3), "float32"), *map(cell, styles.values())]]
    count, found = 0, {"pictures": [], "photos": []}
    for file in sorted(arguments.photos.iterdir()):
        photo = images.open_picture(file).rgb
        if arguments.size is not None:
            photo = images.fit(photo, arguments.size)
        rows.append([cell(photo)])
        found["photos"].append(faults(photo, photo))
        for name, style in styles.items():
            count += 1
            if (count - 1) % arguments.every:
                rows[-1].append(np.ones((CELL, CELL, 3), "float32"))
                continue
            if arguments.trained:
                result = nst_demo.stylize(photo, method="feedforward", network=name, **options)
            else:
                result = nst_demo.stylize(photo, style, method=method, **options)
            images.save_image(arguments.output / f"{file.stem}__{name}.png", result)
            rows[-1].append(cell(result))
            found["pictures"].append(faults(result, photo))
    for name, values in found.items():
        means = zip(FAULTS, np.mean(values, axis=0), strict=True)
        print(f"{name}:", ", ".join(f"{fault} {mean:.4f}" for fault, mean in means))
    if arguments.sheet is not None:
        images.save_image(
            arguments.sheet, np.concatenate([np.concatenate(row, axis=1) for row in rows])
        )


if __name__ == "__main__":
    main()
