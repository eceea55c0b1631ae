"""One photo painted in many ways: in many styles, at many strengths, by many methods.

    from nst_demo import compare
    entries = compare.of_styles({"waves": "waves.jpg", "mosaic": "mosaic.jpg"}, strength=0.8)
    pictures = list(compare.paint("photo.jpg", entries))
    page = compare.sheet([photo, *pictures], ["Photo", *(e.caption for e in entries)])

The photo is opened and shrunk once. Its features are not kept between the styles: at 512 px that
would save 5 of 40 ms a picture, and tie this to one method.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import nst_demo
from nst_demo import images, recipes
from nst_demo.errors import StyleTransferError, check_range
from nst_demo.images import ImageSource

MAX_PICTURES = 16  # of a comparison
STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
SIZE = 512  # px, long side of a picture
MAX_SIZE = 2048  # px: larger ones are for a single picture
SHEET_SIDE = 8192  # px of a contact sheet, beyond which its pictures are shrunk
SHEET_SHAPE = 1.5  # width by height that a sheet comes close to
GAP = 0.03  # of a picture's width, around it on a sheet
CAPTION = 0.075  # of the width, height of a line of text


@dataclass(frozen=True)
class Entry:
    """One picture of a comparison.

    Attributes:
        caption: a few words for a person.
        style: None for a method that needs none.
        options: of `nst_demo.stylize`, with the method.
    """

    caption: str
    style: ImageSource | None
    options: Mapping[str, Any] = field(default_factory=dict)


def of_styles(styles: Mapping[str, ImageSource], **options: Any) -> list[Entry]:
    """An Entry for each style, by its caption. StyleTransferError for none and for too many."""
    if not styles:
        raise StyleTransferError("There is no style to compare; choose at least one.")
    if len(styles) > MAX_PICTURES:
        raise StyleTransferError(
            f"There are {len(styles)} styles to compare; choose at most {MAX_PICTURES}."
        )
    return [Entry(caption, style, options) for caption, style in styles.items()]


def of_strengths(
    style: ImageSource | None, strengths: Sequence[float] = STRENGTHS, **options: Any
) -> list[Entry]:
    """One style (None with a method that needs none), weak to strong, captioned in per cent."""
    for strength in strengths:
        check_range("strength", strength, 0, 1)
    return [Entry(f"{s:.0%}", style, {**options, "strength": s}) for s in strengths]


def of_methods(
    style: ImageSource, network: str | None = None, *, slow: Mapping[str, Any], **options: Any
) -> list[Entry]:
    """A style by the fast network, by a network trained for it alone, by optimisation, which is
    near the photo once, and bold once.

    network: name of the trained one, from whose painting the first starts; None for neither.
    slow: options of "gatys" beside those that all take.
    """
    entries = [Entry("Fast, any style", style, options)]
    close = {**options, "method": "gatys", **slow}
    bold = {**close, "recipe": recipes.BOLD.name}
    if network is not None:
        trained = {"method": "feedforward", "network": network}
        entries.append(Entry("Fast, trained style", None, {**options, **trained}))
        if options.get("keep_colors", "none") == "none":  # the network has the style's own
            close["init_network"] = network
    return [*entries, Entry("Quality", style, close), Entry("Quality, bold", style, bold)]


def open_photo(photo: ImageSource, size: int = SIZE) -> images.Picture:
    """The photo as a comparison paints it: with a long side of at most `size` px (16 to 2048)."""
    check_range("size", size, images.MIN_SIDE, MAX_SIZE)
    opened = images.open_picture(photo, what="photo")
    rgb, alpha = images.fit(opened.rgb, size), opened.alpha
    if alpha is not None:
        alpha = images.resize_mask(alpha, *rgb.shape[:2])
    return images.Picture(rgb, alpha)


def paint(
    photo: ImageSource,
    entries: Sequence[Entry],
    *,
    size: int = SIZE,
    stylize: Callable[..., np.ndarray] = nst_demo.stylize,
) -> Iterator[np.ndarray]:
    """The picture of each entry in turn: float32 (H, W, 3) in [0, 1], long side at most `size` px.

    StyleTransferError for what cannot be painted, when its turn comes.
    """
    shown = open_photo(photo, size).rgb
    for entry in entries:
        yield paint_entry(shown, entry, stylize)


def paint_entry(
    photo: np.ndarray, entry: Entry, stylize: Callable[..., np.ndarray] = nst_demo.stylize
) -> np.ndarray:
    """`photo` (H, W, 3), already at the size to paint, as the entry says."""
    if entry.style is None:
        return stylize(photo, **entry.options)
    style = entry.style
    if not isinstance(style, np.ndarray):
        style = images.open_picture(style, what="style").rgb
    return stylize(photo, style, **entry.options)


# ---- Results together ----------------------------------------------------------------------------


def columns(count: int, height: int, width: int) -> int:
    """In how many columns `count` pictures of that size make a sheet of about SHEET_SHAPE."""
    rows = max(1, round((count * width / height / SHEET_SHAPE) ** 0.5))
    return -(-count // rows)


def sheet(
    pictures: Sequence[np.ndarray], captions: Sequence[str], *, in_row: bool = False
) -> np.ndarray:
    """The pictures (H, W, 3), all of one size, on white with their captions: (h, w, 3) in [0, 1].

    in_row: all beside each other, for a series.
    """
    if not pictures or len(pictures) != len(captions):
        raise StyleTransferError(
            f"A sheet of {len(pictures)} pictures has {len(captions)} captions; give one each."
        )
    height, width = pictures[0].shape[:2]
    across = len(pictures) if in_row else columns(len(pictures), height, width)
    rows = -(-len(pictures) // across)
    width = min(width, SHEET_SIDE // across, round(SHEET_SIDE / rows * width / height))
    pictures = [images.fit(p, max(1, round(width * max(p.shape) / p.shape[1]))) for p in pictures]
    height, width = pictures[0].shape[:2]
    gap, line = max(6, round(GAP * width)), max(16, round(CAPTION * width))
    step_down, step_right = height + line + gap, width + gap
    page = np.ones((gap + rows * step_down, gap + across * step_right, 3), "float32")
    for place, (picture, caption) in enumerate(zip(pictures, captions, strict=True)):
        top, left = gap + place // across * step_down, gap + place % across * step_right
        page[top : top + height, left : left + width] = picture
        page[top + height : top + height + line, left : left + width] = images.caption(
            caption, line, width
        )
    return page


def archive(files: Mapping[str, bytes]) -> bytes:
    """A ZIP of these files by name. Not compressed: pictures are already."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as zipped:
        for name, data in files.items():
            # A fixed date: equal files give an equal archive, and it tells nothing of the server.
            zipped.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
    return buffer.getvalue()
