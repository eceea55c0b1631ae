"""The Compare tab: one photo in many styles, at many strengths, or by each method, side by side.

`build` takes plain functions, lays out the tab and connects it; what happens between the button and
the grid is in comparisons.py. `python -m nst_demo.ui.compare_tab` runs this tab alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import gradio as gr
import numpy as np

from nst_demo import compare
from nst_demo.errors import StyleTransferError
from nst_demo.ui import chart, comparisons, controls, files, picker, runs
from nst_demo.ui.comparisons import Tile
from nst_demo.ui.stylize_tab import (
    FAST_LINE,
    FIRST_PHOTO,
    FIRST_STYLE,
    PRIVATE,
    QUALITY_LINE,
    QUICK,
    RECEIVE_LINE,
    UPLOAD_TYPES,
    connect_source,
    scroll_to,
    source,
)
from nst_demo.ui.stylize_tab import (
    picker as photo_picker,
)

SCRIPT = Path(__file__).with_suffix(".js")
FIRST_PICKS = (FIRST_STYLE, "great-waves", "stained-glass", "watercolour-garden", "linocut",
               "byzantine-mosaic")  # fmt: skip
EMPTY = f"""
<div class="empty-result"><div>
{files.example_html()}
<h2>Your comparison appears here</h2>
<p>Choose styles and press <b>Compare</b>: the same photo in each of them, side by side.</p>
</div></div>
"""
ABOUT = {
    comparisons.STYLES: "The photo in every chosen style.",
    comparisons.STRENGTHS: "One style, from the photo itself to its full strength.",
    comparisons.METHODS: (
        "One style by the fast network, by a network trained for this style alone, where there is "
        "one, and by Quality, near the photo and bold (up to a minute each)."
    ),
}
SHOW_CLOSER = """() => setTimeout(() => document.querySelector('#closer')
  ?.scrollIntoView({behavior: 'smooth', block: 'nearest'}), 150)"""


@dataclass(frozen=True, eq=False)  # gradio hashes what a State holds
class Done:
    """What the page remembers of a comparison."""

    asked: comparisons.Asked
    tiles: list[Tile]


def build(
    *,
    stylize: Callable[..., np.ndarray],
    iterate: Callable[..., Iterator[Any]],
) -> Tab:
    """Lay out the tab in the current gr.Blocks, connect it, and return it.

    stylize, iterate: the library's.
    """
    tab = Tab(stylize, iterate)
    tab.connect_sources()
    tab.connect_compare()
    tab.connect_closer()
    return tab


class Tab:
    """The components of the tab, and which events they answer."""

    def __init__(
        self, stylize: Callable[..., np.ndarray], iterate: Callable[..., Iterator[Any]]
    ) -> None:
        self.stylize, self.iterate = stylize, iterate
        self.stops = runs.Stops()
        # By session: what Quality is painting for, as long as the visitor's State has it.
        self.turns = WeakValueDictionary[str, comparisons.Asked]()
        self.choices = picker.for_everybody()
        with gr.Row(elem_classes="workspace"):
            with gr.Column(scale=5, min_width=320, elem_id="compare-controls"):
                self._lay_out_controls()
            with gr.Column(scale=8, min_width=320, elem_id="compared"):
                self._lay_out_results()
        self.uploads = gr.State([])  # paths of the visitor's own styles, each with its thumbnail's
        self.done = gr.State(None)  # a Done
        self.pending = gr.State(None)  # what Quality is still to paint: a Done, or None

    def _lay_out_controls(self) -> None:
        self.photo = source("photo", "Photo", "compare-photo", FIRST_PHOTO)
        self.kind = gr.Radio(
            [(label, kind) for kind, label in comparisons.KINDS.items()],
            value=comparisons.STYLES,
            label="Compare",
            show_label=False,
            container=False,
            elem_id="compare-kind",
            elem_classes="cards",
        )
        self.about = controls.about(f"<p>{ABOUT[comparisons.STYLES]}</p>")
        self.picks = picker.build(self.choices, FIRST_PICKS)
        self.upload = gr.UploadButton(
            "Upload styles", file_count="multiple", file_types=UPLOAD_TYPES, size="sm",
            elem_id="picks-upload",
        )  # fmt: skip
        self.button = gr.Button(
            "Compare", variant="primary", elem_classes="main-button", elem_id="compare-button"
        )
        with controls.fold("Adjust", "strength, strokes, colours, size", "compare-adjust"):
            self.knobs = controls.shared()
            self.size = gr.Radio(
                [(f"{size} px", size) for size in comparisons.SIZES],
                value=compare.SIZE,
                label="Size",
                info="Long side of each picture. Stylize paints at the photo's own size.",
                elem_classes="cards",
            )

    def _lay_out_results(self) -> None:
        with gr.Row(elem_classes="run"):
            self.status = gr.HTML(visible=False, elem_classes="status", padding=False)
            self.stop_button = gr.Button(
                "Stop and keep", variant="stop", visible=False, elem_classes="stop",
                elem_id="compare-stop",
            )  # fmt: skip
        self.grid = gr.HTML(
            EMPTY,
            js_on_load=SCRIPT.read_text("utf-8"),
            apply_default_css=False,
            padding=False,
            elem_id="grid",
        )
        small: dict[str, Any] = {"visible": False, "min_width": 110}
        with gr.Row(elem_classes="actions"):
            self.sheet = gr.DownloadButton("Contact sheet (PNG)", elem_id="sheet", **small)
            self.archive = gr.DownloadButton("All as ZIP", elem_id="archive", **small)
        with gr.Column(visible=False, elem_id="closer") as self.closer:
            with gr.Row(elem_classes="numbers"):
                self.left = gr.Dropdown([], label="Left", min_width=120, elem_id="left")
                self.right = gr.Dropdown([], label="Right", min_width=120, elem_id="right")
            self.slider = gr.ImageSlider(
                label="Left / right",
                type="filepath",
                buttons=["fullscreen"],
                interactive=False,
                max_height=520,
                elem_id="closer-slider",
            )

    # ---- Events --------------------------------------------------------------------------------

    def connect_sources(self) -> None:
        photo = self.photo
        connect_source(photo)
        photo.strip.select(
            photo_picker(photo.examples), None, [photo.image, photo.kept],
            trigger_mode="multiple", **QUICK,
        )  # fmt: skip
        self.upload.upload(
            self.receive,
            [self.upload, self.uploads, self.picks, self.kind],
            [self.uploads, self.picks],
            show_progress="minimal",
            show_progress_on=self.picks,
            **RECEIVE_LINE,
        )
        self.kind.change(None, self.kind, None, js=picker.TELL_KIND, **QUICK)
        self.kind.change(
            lambda kind: f"<p>{ABOUT.get(kind, '')}</p>", self.kind, self.about, **QUICK
        )

    def connect_compare(self) -> None:
        """Paint on the button; Quality afterwards, in its own line."""
        outputs = [
            *(self.status, self.grid, self.done, self.pending, self.stop_button),
            *(self.sheet, self.archive, self.closer, self.left, self.right, self.slider),
        ]
        line: dict[str, Any] = {"show_progress": "hidden"}
        self.asked = [
            self.photo.image, self.kind, self.picks, self.uploads, self.size, *self.knobs.values()
        ]  # fmt: skip
        self.button.click(None, js=scroll_to("#compared"), **PRIVATE)
        fast = self.button.click(self.paint_fast, self.asked, outputs, **FAST_LINE, **line)
        slow = self.pending.change(self.paint_slow, self.pending, outputs, **QUALITY_LINE, **line)
        slow.failure(self.refused, self.pending, outputs, **QUICK)
        self.runs = [fast, slow]
        self.stop_button.click(self.stop, None, self.stop_button, **QUICK)

    def connect_closer(self) -> None:
        """A picture of the grid, or of the two lists, in the slider."""

        def look(done: Done | None, left: Any, event: gr.EventData) -> dict[Any, Any]:
            place = _place(done, event)
            if done is None or place is None:
                return {self.slider: gr.skip()}
            return self.closer_shown(done, left if isinstance(left, int) else 0, place)

        def choose(done: Done | None, left: Any, right: Any) -> Any:
            if done is None or not all(isinstance(place, int) for place in (left, right)):
                return {self.slider: gr.skip()}
            return self.closer_shown(done, left, right)

        outputs = [self.grid, self.closer, self.left, self.right, self.slider]
        self.grid.look(look, [self.done, self.left], outputs, **QUICK).then(
            None, js=SHOW_CLOSER, **PRIVATE
        )
        gr.on(
            [self.left.input, self.right.input],
            choose,
            [self.done, self.left, self.right],
            outputs,
            **QUICK,
        )

    # ---- Painting ------------------------------------------------------------------------------

    def paint_fast(
        self,
        request: gr.Request,
        photo: Any,
        kind: str,
        value: str,
        uploads: list[tuple[str, str]],
        size: Any,
        *knobs: Any,
    ):
        """All but what Quality paints; that is left in `pending`."""
        session = str(request.session_hash)
        with runs.told():
            picks = self.choices.picked(value, [path for path, _ in uploads])
            options = dict(zip(self.knobs, knobs, strict=True))
            asked = comparisons.Asked(kind, photo, picks, options, size)
            tiles = comparisons.plan(asked)
            self.turns.pop(session, None)  # ends earlier Quality pictures
            yield self.begun(asked, tiles)
            for progress in comparisons.fast(asked, tiles, stylize=self.stylize):
                tiles = progress.tiles
                yield self.shown(Done(asked, tiles), progress)
            done = Done(asked, tiles)
            if not any(tile.slow for tile in tiles):
                yield self.finished(done)
                return
            self.turns[session] = asked
            note = comparisons.Progress(tiles, "Quality: waiting for a free place …", 0.0)
            yield self.shown(done, note) | {self.pending: done}
            return
        yield {self.status: gr.HTML(visible=False)}

    def paint_slow(self, request: gr.Request, pending: Done | None):
        """Quality's pictures, unless the visitor has begun another comparison since."""
        session = str(request.session_hash)

        def overtaken() -> bool:
            return pending is None or self.turns.get(session) is not pending.asked

        if pending is None or overtaken():
            yield {self.status: gr.skip()}  # a generator that yields nothing empties the page
            return
        tiles = pending.tiles
        with runs.told(), self.stops.run(session) as stop:
            steps = comparisons.slow(pending.asked, tiles, stop, iterate=self.iterate)
            with closing(steps):
                for progress in steps:
                    if overtaken():
                        yield {self.status: gr.skip()}
                        return
                    tiles = progress.tiles
                    going = gr.Button(visible=progress.done is not None, interactive=True)
                    yield self.shown(Done(pending.asked, tiles), progress) | {
                        self.stop_button: going
                    }
        self.turns.pop(session, None)
        yield self.finished(_painted(pending.asked, tiles)) | {
            self.stop_button: gr.Button(visible=False),
        }

    def refused(self, pending: Done) -> dict[Any, Any]:
        """Quality's line is full: what is painted already is the comparison."""
        done = _painted(pending.asked, pending.tiles)
        return self.finished(done) | {self.status: gr.HTML(visible=False)}

    def stop(self, request: gr.Request) -> Any:
        self.stops.stop(str(request.session_hash))
        return gr.Button(interactive=False)

    # ---- What the handlers take and send -------------------------------------------------------

    @property
    def settable(self) -> list[Any]:
        """What `changes` gives updates for."""
        photo = self.photo
        return [photo.image, photo.kept, self.kind, self.picks, self.size, *self.knobs.values()]

    def changes(
        self, photo: str, kind: str, ids: Sequence[str], size: int, values: Mapping[str, Any]
    ) -> dict[Any, Any]:
        """Updates that show a comparison's settings: of all of `settable`.

        ids: as of `picker`; values: of the controls, defaults where they are missing.
        """
        knobs = {
            knob: values.get(name, controls.DEFAULTS[name]) for name, knob in self.knobs.items()
        }
        chosen = picker.to_value(ids)
        return knobs | {
            self.photo.image: photo, self.photo.kept: photo, self.kind: kind, self.picks: chosen,
            self.size: size,
        }  # fmt: skip

    def receive(
        self, paths: list[str] | None, uploads: list[tuple[str, str]], value: str, kind: str
    ) -> tuple[list[tuple[str, str]], str]:
        """Check uploads; those that can be used are added, and chosen."""
        uploads, new = list(uploads), []
        for path in paths or []:
            with runs.told():
                if len(uploads) == compare.MAX_PICTURES:
                    raise StyleTransferError(
                        f"There are {len(uploads)} styles of your own already, the most; load the "
                        "page again for others."
                    )
                shown = str(files.receive(path, "style"))
                tile = picker.thumbnail(shown)
                new.append(f"{picker.UPLOAD}{len(uploads)}")
                uploads.append((shown, tile))
        chosen: list[str] = []
        with runs.told():
            chosen = self.choices.ids(value)
        many = kind == comparisons.STYLES
        chosen = [*new, *chosen][: compare.MAX_PICTURES] if many else [*new, *chosen][:1]
        tiles = [(Path(path).stem[:60], tile) for path, tile in uploads]
        return uploads, picker.to_value(chosen, tiles)

    def begun(self, asked: comparisons.Asked, tiles: list[Tile]) -> dict[Any, Any]:
        progress = comparisons.Progress(tiles, "Painting …")
        gone = gr.DownloadButton(visible=False)
        return self.shown(Done(asked, tiles), progress) | {
            self.stop_button: gr.Button(visible=False),
            self.sheet: gone,
            self.archive: gone,
            self.closer: gr.Column(visible=False),
        }

    def shown(self, done: Done, progress: comparisons.Progress) -> dict[Any, Any]:
        return {
            self.status: gr.HTML(chart.status(progress.note, progress.done), visible=True),
            self.grid: self.grid_html(done),
            self.done: done,
        }

    def finished(self, done: Done) -> dict[Any, Any]:
        """The downloads, and a closer look at the first and the last picture."""
        sheet, archive = comparisons.together(done.tiles, str(done.asked.photo))
        right = 1 if done.asked.kind == comparisons.STYLES else len(done.tiles) - 1
        left = 1 if done.asked.kind == comparisons.METHODS and right > 1 else 0
        return self.closer_shown(done, left, right) | {
            self.sheet: gr.DownloadButton(value=sheet, visible=True),
            self.archive: gr.DownloadButton(value=archive, visible=True),
            self.done: done,
        }

    def closer_shown(self, done: Done, left: int, right: int) -> dict[Any, Any]:
        tiles = done.tiles
        shown = [tile.shown for tile in tiles]
        if not (0 <= left < len(tiles) and 0 <= right < len(tiles)):
            left, right = 0, 0
        if not all(path and Path(path).exists() for path in (shown[left], shown[right])):
            return {self.slider: gr.skip()}  # not painted yet, or swept
        choices = [(tile.caption, place) for place, tile in enumerate(tiles) if tile.shown]
        return {
            self.grid: self.grid_html(done, right),
            self.closer: gr.Column(visible=True),
            self.left: gr.Dropdown(choices, value=left),
            self.right: gr.Dropdown(choices, value=right),
            self.slider: gr.ImageSlider(
                (shown[left], shown[right]),
                label=f"{tiles[left].caption} / {tiles[right].caption}",
            ),
        }

    def grid_html(self, done: Done, chosen: int | None = None) -> str:
        shape = files.pixel_size(done.asked.photo) or (3, 4)
        return comparisons.grid_html(done.tiles, shape, chosen)


def _painted(asked: comparisons.Asked, tiles: list[Tile]) -> Done:
    """Without what was not painted."""
    return Done(asked, [tile for tile in tiles if tile.full])


def _place(done: Done | None, event: gr.EventData) -> int | None:
    """Where a click in the grid went; None for what a stranger made up."""
    place = (event._data or {}).get("place")
    if done is None or not isinstance(place, int) or not 0 <= place < len(done.tiles):
        return None
    return place


def opened(done: Done | None, event: gr.EventData) -> Tile | None:
    """The tile whose "Stylize" was clicked."""
    place = _place(done, event)
    if done is None or place is None or done.tiles[place].pick is None:
        return None
    return done.tiles[place]


if __name__ == "__main__":
    from nst_demo.ui import backend, theme

    with gr.Blocks() as demo:
        build(stylize=backend.stylize, iterate=backend.iterate)
    backend.warm_up()
    demo.launch(theme=theme.build_theme(), css_paths=theme.CSS, ssr_mode=False)
