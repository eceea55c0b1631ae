"""The pictures that stand for the page: `python -m bench.previews`.

nst_demo/ui/preview.jpg (1200 x 630) is what other sites show of a link to it; example.webp beside
it is what the tabs show before there is a result. The photo is in the public domain, so both may be
shown without a name.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

import nst_demo
from nst_demo import images
from nst_demo.ui import files, preview

PHOTO = "cat"
STYLES = ("starry-swirl", "stained-glass", "great-waves")
SIZE = 1200, 630  # px, as link previews have it
GAP = 3  # px, white between two slices
SLANT = 90  # px by which a cut leans


def slices(pictures: list[np.ndarray]) -> np.ndarray:
    """Slanted slices of pictures of one size beside each other, as a fan of the same scene."""
    height, width = pictures[0].shape[:2]
    rows, columns = np.mgrid[:height, :width]
    place = (columns + SLANT * (rows / height - 0.5)) * len(pictures) / width
    number = np.clip(place.astype(int), 0, len(pictures) - 1)
    page = np.choose(number[..., None], pictures)
    distance = np.abs(place - np.round(place)) * width / len(pictures)
    cut = (distance < GAP) & (np.round(place) > 0) & (np.round(place) < len(pictures))
    page[cut] = 1
    return page


def main() -> None:
    photo = images.open_picture(images.EXAMPLES / f"photos/{PHOTO}.jpg").rgb
    photo = photo[:, round(0.13 * photo.shape[1]) :]  # one eye in the first slice
    width, height = SIZE
    scale = width / photo.shape[1]
    photo = images.resize(photo, round(photo.shape[0] * scale), width)
    top = (len(photo) - height) // 2
    photo = photo[top : top + height]
    painted = (nst_demo.stylize(photo, method="feedforward", network=name) for name in STYLES)
    page = slices([photo, *painted])
    picture = images.to_pil(page)
    picture.save(preview.CARD, "JPEG", quality=76)
    small = picture.resize((720, 378), Image.Resampling.LANCZOS)
    small.save(files.EXAMPLE, "WEBP", quality=62)
    for path in (preview.CARD, files.EXAMPLE):
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
