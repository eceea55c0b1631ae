"""What happens between Compare and its pictures, as plain functions: no layout, no component."""

from __future__ import annotations

import html
import json
import re
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import nst_demo
from nst_demo import compare, images
from nst_demo.errors import StyleTransferError, check_choice
from nst_demo.ui import files, runs
from nst_demo.ui.picker import Pick

STYLES, STRENGTHS, METHODS = "styles", "strengths", "methods"
KINDS = {STYLES: "Many styles", STRENGTHS: "Strengths", METHODS: "Fast or Quality"}
SIZES = (512, 768, 1024)  # px, long side
QUALITY_SECONDS = 60.0  # of a Quality picture
QUALITY: dict[str, Any] = {"backbone": "lite", "time_budget": QUALITY_SECONDS}
PREVIEW_INTERVAL = 1.5  # s
PHOTO = "Photo"


@dataclass(frozen=True, eq=False)  # gradio hashes what a State holds
class Asked:
    """What a visitor wants to see side by side.

    kind: one of KINDS. photo: path, None where there is none yet.
    options: that all pictures share, of `nst_demo.stylize`. size: px, one of SIZES.
    """

    kind: str
    photo: str | None
    picks: Sequence[Pick]
    options: Mapping[str, Any] = field(default_factory=dict)
    size: int = compare.SIZE


@dataclass(frozen=True, eq=False)
class Tile:
    """One picture of the grid.

    pick: its style; None for the photo itself. options: as in `compare.Entry`.
    shown, full: paths of what the page shows and of the PNG; None until it is painted.
    """

    caption: str
    pick: Pick | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    shown: str | None = None
    full: str | None = None

    @property
    def slow(self) -> bool:
        return self.options.get("method") == "gatys"


@dataclass(frozen=True)
class Progress:
    """The grid so far; done: 0 to 1 while a Quality picture is painted, else None."""

    tiles: list[Tile]
    note: str
    done: float | None = None


# ---- What is painted -----------------------------------------------------------------------------


def plan(asked: Asked) -> list[Tile]:
    """The tiles of a comparison, none painted. StyleTransferError for what cannot be compared."""
    check_choice("kind of comparison", asked.kind, KINDS)
    check_choice("size", asked.size, SIZES)
    runs.check_file(asked.photo, "photo")
    if not asked.picks:
        raise StyleTransferError("There is no style to compare; choose at least one.")
    first = asked.picks[0]
    if asked.kind == STRENGTHS:
        entries = compare.of_strengths(None, **_options(first, asked.options))
        return [Tile(entry.caption, first, entry.options) for entry in entries]
    if asked.kind == METHODS:
        if first.path is None:
            raise StyleTransferError(
                f"The style {first.caption!r} has no picture for the other methods; choose another."
            )
        entries = compare.of_methods(first.path, first.network, slow=QUALITY, **asked.options)
        tiles = [Tile(entry.caption, first, entry.options) for entry in entries]
    else:
        tiles = [Tile(p.caption, p, _options(p, asked.options)) for p in asked.picks]
    return [Tile(PHOTO), *tiles]


def _options(pick: Pick, shared: Mapping[str, Any]) -> dict[str, Any]:
    if pick.network is None:
        return dict(shared)
    return {**shared, "method": "feedforward", "network": pick.network}


# ---- Painting ------------------------------------------------------------------------------------


def fast(
    asked: Asked, tiles: Sequence[Tile], *, stylize: Callable[..., np.ndarray]
) -> Iterator[Progress]:
    """All but the Quality pictures, one after another."""
    started = time.monotonic()
    photo = compare.open_photo(str(asked.photo), asked.size)
    tiles = list(tiles)
    wanted = [place for place, tile in enumerate(tiles) if tile.pick and not tile.slow]
    for place, tile in enumerate(tiles):
        if tile.pick is None:
            tiles[place] = _filled(tile, photo.rgb, photo)
    for count, place in enumerate(wanted, 1):
        tile = tiles[place]
        picture = compare.paint_entry(photo.rgb, _entry(tile), stylize)
        tiles[place] = _filled(tile, picture, photo)
        took = runs.seconds_text(time.monotonic() - started)
        height, width = picture.shape[:2]
        note = f"{count} of {len(wanted)} …"
        if count == len(wanted):
            many = f"{count} pictures" if count > 1 else "One picture"
            note = f"{many} in {took} · {width} x {height} px each"
        yield Progress(list(tiles), note)


def slow(
    asked: Asked,
    tiles: Sequence[Tile],
    stop: threading.Event,
    *,
    iterate: Callable[..., Iterator[Any]],
) -> Generator[Progress, None, None]:
    """The Quality pictures, with previews; `stop` ends the one and leaves out those after it.
    Closing it closes the library's run."""
    photo = compare.open_photo(str(asked.photo), asked.size)
    tiles = list(tiles)
    for place, tile in enumerate(tiles):
        if tile.slow and not stop.is_set():
            yield from _gradually(photo, tiles, place, stop, iterate)


def _gradually(
    photo: images.Picture,
    tiles: list[Tile],
    place: int,
    stop: threading.Event,
    iterate: Callable[..., Iterator[Any]],
) -> Generator[Progress, None, None]:
    """One of them, painted into `tiles`."""
    tile, step, shown_at = tiles[place], None, 0.0
    style = images.open_picture(str(_entry(tile).style), what="style").rgb
    steps = iterate(photo.rgb, style, **tile.options, save_every=1)
    with closing(steps):  # type: ignore[type-var]  # a generator
        for step in steps:
            if stop.is_set():
                break
            if time.monotonic() - shown_at < PREVIEW_INTERVAL:
                continue
            old = tiles[place].shown
            tiles[place] = replace(tile, shown=files.display_file(step.image, "preview"))
            left = f", {runs.seconds_text(step.seconds_left)} left" if step.seconds_left else ""
            yield Progress(
                list(tiles),
                f"{tile.caption}: step {step.iteration} of {step.iterations}{left}",
                step.iteration / max(1, step.iterations),
            )
            shown_at = time.monotonic()
            if old is not None:
                files.remove(old)
    if step is None:
        raise RuntimeError("iterate() ended without a step")
    colors = tile.options.get("keep_colors", "none")
    picture = nst_demo.enlarge(step.image, photo.rgb, keep_colors=colors)
    tiles[place] = _filled(tile, picture, photo)
    how = "stopped" if stop.is_set() else "finished"
    took = runs.seconds_text(step.seconds)
    yield Progress(list(tiles), f"{tile.caption} {how} at step {step.iteration}, {took}")


def _entry(tile: Tile) -> compare.Entry:
    if tile.pick is None:
        raise ValueError("the photo itself is not painted")
    path = None if "network" in tile.options else tile.pick.path
    if path is not None:
        runs.check_file(path, "style")
    return compare.Entry(tile.caption, path, tile.options)


def _filled(tile: Tile, picture: np.ndarray, photo: images.Picture) -> Tile:
    data = images.encode(picture, photo.alpha, "PNG")
    name = f"{file_name(tile.caption)}.png"
    return replace(
        tile, shown=files.display_file(picture, "picture"), full=files.cache_file(name, data)
    )


# ---- All together --------------------------------------------------------------------------------


def together(tiles: Sequence[Tile], photo: str) -> tuple[str, str]:
    """Paths of the contact sheet and of the ZIP with it and every picture."""
    painted = [tile for tile in tiles if tile.full]
    opened = [images.open_picture(str(tile.full)) for tile in painted]
    pictures = [p.rgb if p.alpha is None else _on_white(p) for p in opened]
    in_row = all(tile.pick for tile in painted)  # a series has no photo before it
    page = compare.sheet(pictures, [tile.caption for tile in painted], in_row=in_row)
    stem = f"{Path(photo).stem[:60]}-compared"
    sheet = images.encode(page, None, "PNG")
    packed = {f"{stem}.png": sheet}
    for number, tile in enumerate(painted):
        name = f"{number:02d}-{file_name(tile.caption)}.png"
        packed[name] = Path(str(tile.full)).read_bytes()
    archive = compare.archive(packed)
    return files.cache_file(f"{stem}.png", sheet), files.cache_file(f"{stem}.zip", archive)


def _on_white(picture: images.Picture) -> np.ndarray:
    alpha = np.asarray(picture.alpha)[..., None]
    return picture.rgb * alpha + (1 - alpha)


def file_name(caption: str) -> str:
    """Such as "fast-any-style"."""
    return re.sub(r"\W+", "-", caption.lower()).strip("-")[:60] or "picture"


# ---- The grid as HTML ----------------------------------------------------------------------------


def grid_html(tiles: Sequence[Tile], shape: tuple[int, int], chosen: int | None = None) -> str:
    """Buttons that compare_tab.js listens to; a shimmer for what is still painted.

    shape: (height, width) of the pictures. chosen: place of the picture that is looked at.
    """
    height, width = shape
    ratio = f"aspect-ratio:{width}/{height}"
    cells = []
    for place, tile in enumerate(tiles):
        caption = html.escape(tile.caption)
        picture = f'<i class="shimmer" style="{ratio}"></i>'
        if tile.shown is not None:
            address = html.escape(f"gradio_api/file={tile.shown}")
            picture = (
                f'<button type="button" class="look" data-place="{place}" '
                f'aria-pressed="{json.dumps(place == chosen)}" aria-label="Look closer: {caption}">'
                f'<img src="{address}" alt="{caption}" style="{ratio}" loading="lazy"></button>'
            )
        opener = ""
        if tile.pick is not None and tile.full is not None:
            opener = (
                f'<button type="button" class="open" data-place="{place}" '
                f'aria-label="Stylize with {caption}" title="Open in Stylize">Stylize</button>'
            )
        cells.append(
            f"<figure>{picture}<figcaption><span>{caption}</span>{opener}</figcaption></figure>"
        )
    return f'<div class="cells">{"".join(cells)}</div>'
