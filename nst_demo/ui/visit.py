"""The results of this visit: small pictures under the result, of which a click brings one back.

They are remembered by the paths of their files, which are gone an hour later as all others.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from nst_demo import images, settings
from nst_demo.errors import StyleTransferError
from nst_demo.ui import controls, files, restore, runs
from nst_demo.ui.stylize_tab import CONTINUE, PRIVATE, QUICK, REFINE, Tab

SCRIPT = Path(__file__).with_suffix(".js")
# In the queue, unlike other quick events: outside it gradio tells the page of no change of a State.
LINE: dict[str, Any] = PRIVATE | {"concurrency_limit": 4, "show_progress": "hidden"}
MOST = 12  # results that are remembered
TILE = 160  # px, long side


@dataclass(frozen=True)
class Kept:
    """A result.

    full: path of the PNG, which carries its settings. tile: of the small picture.
    pictures: of the photo and of each style by place, as the page showed them then.
    caption: for a person.
    """

    full: str
    tile: str
    pictures: tuple[str | None, ...]
    caption: str


def connect(tab: Tab) -> None:
    """Put the strip under the tab's result."""
    if tab.plot.parent is None:
        raise RuntimeError("the tab is not laid out")
    with tab.plot.parent:
        strip = gr.HTML(
            "",
            visible=False,
            js_on_load=SCRIPT.read_text("utf-8"),
            apply_default_css=False,
            elem_id="visit",
        )
    kept = gr.State([])

    def remember(full: str | None, known: list[Kept], pictures: list[str | None]):
        if full is None or any(result.full == full for result in known):
            return {strip: strip_html(known, full)}
        try:
            known = [result_of(full, pictures), *known][:MOST]
        except (StyleTransferError, OSError):  # the file is gone already
            return {strip: gr.skip()}
        return {kept: known, strip: gr.HTML(strip_html(known, full), visible=len(known) > 1)}

    def bring(known: list[Kept], event: gr.EventData) -> dict[Any, Any]:
        place = (event._data or {}).get("place")
        with runs.told():
            if isinstance(place, int) and 0 <= place < len(known):
                return shown(tab, known[place])
        return {tab.status: gr.skip()}

    tab.result.change(remember, [tab.result, kept, tab.painted_from], [kept, strip], **QUICK)
    strip.bring(bring, kept, [*tab.settable, *tab.result_parts, tab.painted], **LINE)


def result_of(full: str, pictures: Sequence[str | None]) -> Kept:
    made = settings.read(full)
    small = images.fit(images.open_picture(full, what="result").rgb, TILE)
    tile = files.cache_file("tile.jpg", images.encode(small, None, "JPEG"))
    name = Path(full).stem.replace("-", " ")
    quality = made.method == "gatys"
    return Kept(full, tile, tuple(pictures), f"{name}, {'Quality' if quality else 'Fast'}")


def shown(tab: Tab, result: Kept) -> dict[Any, Any]:
    """Updates that show a result again, with the controls that made it."""
    runs.check_file(result.full, "result")
    made = settings.read(result.full)
    picture = images.open_picture(result.full, what="result").rgb
    quality = made.method == "gatys"
    values = controls.values(made.method, made.options) | restore.shares(made)
    values["stop_at"] = made.stopped_at or 0
    pictures = [p if p is None or Path(p).exists() else None for p in result.pictures]
    after = files.display_file(picture, "result")
    before = after
    if pictures[0] is not None:
        before = files.display_file(images.open_picture(pictures[0], what="photo").rgb, "photo")
    text = settings.to_json(made)
    update = runs.Update(
        f"From this visit · {picture.shape[1]} x {picture.shape[0]} px",
        before_after=(before, after),
        losses="",
        download=result.full,
        settings=files.cache_file(f"{Path(result.full).stem}.json", f"{text}\n".encode("ascii")),
    )
    changes = tab.changes(quality, values, pictures)
    go_on, again = (CONTINUE, runs.varies(made.options)) if quality else (REFINE, False)
    return changes | tab.show(update, pictures, go_on, again) | {tab.painted: False}


def strip_html(known: Sequence[Kept], chosen: str | None) -> str:
    tiles = "".join(
        f'<button type="button" data-place="{place}" title="{html.escape(result.caption)}" '
        f'aria-pressed="{"true" if result.full == chosen else "false"}">'
        f'<img src="{html.escape(f"gradio_api/file={result.tile}")}" '
        f'alt="{html.escape(result.caption)}"></button>'
        for place, result in enumerate(known)
    )
    return (
        f'<section class="visit" aria-label="Results of this visit"><h2>This visit</h2>'
        f'<div class="visit-tiles">{tiles}</div></section>'
    )
