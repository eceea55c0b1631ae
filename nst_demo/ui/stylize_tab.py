"""The Stylize tab: a photo and a style become a picture, fast or in quality.

`build` takes plain functions, lays out the tab and connects it; the settings are in controls.py,
and what happens between the button and the picture is in runs.py.
`python -m nst_demo.ui.stylize_tab` runs this tab alone.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from nst_demo.errors import StyleTransferError
from nst_demo.methods import METHODS
from nst_demo.ui import chart, controls, files, painter, restore, runs

FIRST_PHOTO, FIRST_STYLE = "pagoda", "starry-swirl"
FAST, QUALITY = "Fast", "Quality"
UPLOAD_TYPES = ["image", ".heic", ".heif", ".avif", ".tif", ".tiff"]  # browsers may not know these
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
QUICK: dict[str, Any] = PRIVATE | {"queue": False, "show_progress": "hidden"}
# Fast requests never stand in line behind Quality's; both share the device by the library's lock.
FAST_LINE: dict[str, Any] = PRIVATE | {"concurrency_id": "fast", "concurrency_limit": 2}
QUALITY_LINE: dict[str, Any] = PRIVATE | {"concurrency_id": "quality", "concurrency_limit": 2}
# "multiple": gradio would ignore an upload that comes while another, or a removal, is handled.
RECEIVE_LINE: dict[str, Any] = PRIVATE | {
    "concurrency_id": "receive",
    "concurrency_limit": 4,
    "trigger_mode": "multiple",
}

EMPTY = f"""
<div class="empty-result"><div>
{files.example_html()}
<h2>Your picture appears here</h2>
<p>Press <b>Stylize</b> to paint this photo in this style, or choose your own first.</p>
</div></div>
"""
ABOUT_QUALITY = """
<p>Paints the picture in many small steps. You watch it grow, and stop when you like it.</p>
"""
REOPEN = """
<p>Drop what you saved with “Settings”, or the PNG itself: the controls are set as they were, and
Stylize paints the same picture again.</p>
"""
STOP, CONTINUE, REFINE = "Stop and keep", "Continue from this result", "Refine in Quality"
NEW_SEED = "() => Math.floor(Math.random() * 1e6)"
WAITING = "Waiting for a free place …"
CANCELLED = chart.status("Cancelled.")


def scroll_to(selector: str) -> str:
    """A script: on a phone what a run shows is below the button, so go there when it starts."""
    return f"""() => {{ if (window.innerWidth < 760)
      document.querySelector('{selector}')?.scrollIntoView(
        {{behavior: 'smooth', block: 'start'}}) }}"""


SHOW_RESULT = scroll_to("#result")
BLEND = Path(__file__).with_name("blend.js")
# Changes of these kinds of Fast are painted at once where a picture is there; Magenta's download is
# not begun without a click.
AT_ONCE = [controls.BEST, *(name for name, method in METHODS.items() if not method.download)]


@dataclass(frozen=True)
class Source:
    """One picture that the visitor chooses."""

    what: str  # in sentences: "photo", "style", "second style"
    image: gr.Image
    upload: gr.UploadButton  # takes what the image's own drop zone does: kinds the browser ignores
    strip: gr.Gallery
    kept: gr.State  # the last file that could be opened, to go back to after a broken upload
    examples: list[files.Example]


def build(
    *,
    stylize: Callable[..., np.ndarray],
    iterate: Callable[..., Iterator[Any]],
    device_kind: Callable[[], str | None],
    expected_seconds: Callable[..., float | None],
    max_seconds: float = runs.MAX_SECONDS,
) -> Tab:
    """Lay out the tab in the current gr.Blocks, connect it, and return it.

    stylize, iterate: the library's.
    device_kind: "CPU" or "GPU"; None while the networks are being made ready.
    expected_seconds: (method, height, width, **options); None where nothing was measured yet.
    max_seconds: of a Quality run.
    """
    tab = Tab(max_seconds)
    tab.connect_sources()
    tab.connect_recipe()
    tab.connect_settings()
    estimate = tab.connect_machine(device_kind, expected_seconds)
    run_quality = partial(
        runs.quality, iterate=iterate, device=device_kind, max_seconds=max_seconds
    )
    for run in (*tab.connect_fast(stylize), *tab.connect_quality(run_quality)):
        run.then(estimate, tab.estimated_from, tab.machine, **QUICK)
    return tab


class Tab:
    """The components of the tab, and which events they answer.

    For other tabs: `changes` gives the updates that show a state; `settable` are their components.

    Attributes:
        photo, styles: the Sources, styles by place.
        mode: FAST or QUALITY; kind: the kind of Fast, which is `knobs["kind"]` too.
        knobs: the controls by their names in controls.py.
        start: a picture to start Quality from; painter: the regions.
        asked: what a run is asked with, in the order in which `request` takes it.
        result: the path of the result shown; painted_from: those of its photo and styles.
    """

    def __init__(self, max_seconds: float) -> None:
        with gr.Row(elem_classes="workspace"):
            with gr.Column(scale=5, min_width=320, elem_id="controls"):
                with gr.Row(elem_classes="sources"):
                    self.photo = source("photo", "Photo", "photo", FIRST_PHOTO)
                    self.style = source("style", "Style", "style", FIRST_STYLE, "takes-style")
                    with gr.Column(min_width=150, elem_classes="takes-network"):
                        network = controls.network()
                self.knobs: dict[str, Any] = {"network": network}
                self._lay_out_start()
                self._lay_out_folds(max_seconds)
            with gr.Column(scale=6, min_width=320, elem_id="result"):
                self._lay_out_result()
        self.knobs = {name: self.knobs[name] for name in controls.DEFAULTS}
        self.kind = self.knobs["kind"]
        self.styles = [self.style, *self.more]
        self.sources = [self.photo, *self.styles]
        self.pictures = [part.image for part in self.sources]
        # What a run is asked with, in the order in which `request` takes it.
        self.asked = [*self.pictures, self.painter, self.start, *self.knobs.values()]
        self.painted = gr.State(False)  # whether a Fast result follows the controls
        self.result = gr.State(None)  # path of the result shown
        self.painted_from = gr.State([])  # paths of the photo and the styles that it is of

    def _lay_out_start(self) -> None:
        self.mode = gr.Radio(
            [FAST, QUALITY],
            value=FAST,
            label="Mode",
            show_label=False,
            container=False,
            elem_id="mode",
        )
        controls.about(ABOUT_QUALITY, "in-quality")
        self.look = controls.look()
        self.kind = self.knobs["kind"] = controls.kind()
        for name, method in controls.kinds().items():
            controls.about(controls.kind_words(method), f"in-fast for-kind only-{name}")
        rules = f"<style>{controls.kind_rules()}\n{controls.network_rules()}</style>"
        gr.HTML(rules, js_on_load=None, apply_default_css=False, elem_classes="rules")
        button: dict[str, Any] = {"variant": "primary"}
        self.fast_button = gr.Button("Stylize", elem_classes="main-button in-fast", **button)
        self.quality_button = gr.Button("Stylize", elem_classes="main-button in-quality", **button)
        self.machine = gr.HTML(machine_html(None, None), elem_classes="status", padding=False)
        self.ready_timer = gr.Timer(1.0)

    def _lay_out_folds(self, max_seconds: float) -> None:
        """All but the first choices, closed."""
        with controls.fold("Adjust", "strength, strokes, colours", "adjust"):
            self.knobs |= controls.shared()
        with controls.fold("More styles", "blend two, three or four", "more", "takes-several"):
            with gr.Row(elem_classes="sources"):
                self.more = [
                    source(
                        f"{runs.PLACES[place]} style", f"Style {place + 1}", f"style-{place + 1}"
                    )
                    for place in range(1, controls.STYLES)
                ]
            self.knobs |= controls.weights()
        with controls.fold("Paint only a part", "or a style for each region", "regions"):
            self.painter = painter.build()
        with controls.fold("Recipe", "and how long it runs", "recipes", "in-quality"):
            knobs, self.network_note = controls.recipe(max_seconds)
            self.knobs |= knobs
        with controls.fold("Fine tuning", "weights, start, optimiser", "tuning", "in-quality"):
            knobs, self.start = controls.tuning()
            self.knobs |= knobs
        with controls.fold("Open settings", "of an earlier picture", "reopen"):
            self.opened = gr.File(
                label="Settings, or a PNG of this page",
                file_types=[".json", ".png", ".jpg", ".jpeg", ".webp"],
                height=140,
                elem_id="settings-file",
            )
            self.opened_note = controls.about(REOPEN)

    def _lay_out_result(self) -> None:
        with gr.Row(elem_classes="run"):
            self.status = gr.HTML(visible=False, elem_classes="status", padding=False)
            stop: dict[str, Any] = {"variant": "stop", "visible": False, "elem_classes": "stop"}
            self.stop_button = gr.Button(STOP, elem_id="stop", **stop)
            self.cancel_button = gr.Button("Cancel", elem_id="cancel", **stop)
        self.empty = gr.HTML(EMPTY, padding=False)
        self.compare = gr.ImageSlider(
            label="Before / after",
            type="filepath",
            buttons=["fullscreen"],
            interactive=False,
            visible=False,
            max_height=480,
            elem_id="compare",
        )
        hidden: dict[str, Any] = {"visible": False}
        with gr.Row(elem_classes="actions"):
            self.download = gr.DownloadButton(
                "Download PNG", elem_id="download", min_width=150, **hidden
            )
            self.save_settings = gr.DownloadButton(
                "Settings", elem_id="settings", min_width=110, **hidden
            )
            self.continue_button = gr.Button(CONTINUE, elem_id="continue", min_width=250, **hidden)
            self.again_button = gr.Button(
                "Another version", elem_id="again", min_width=170, **hidden
            )
        self.plot = gr.HTML(visible=False, padding=False, elem_id="losses")

    # ---- Events --------------------------------------------------------------------------------

    def connect_sources(self) -> None:
        for part in self.sources:
            connect_source(part)
        self._check_start()
        self._tell_painter()
        for place, name in enumerate(controls.WEIGHTS):
            self.knobs[name].input(**self._blend(place))
        for part in self.styles:
            part.image.change(**self._blend())

    def _check_start(self) -> None:
        def take(path: str) -> str | None:
            """A broken upload is told of in a toast, and goes."""
            with runs.told():
                return files.receive(path, "picture to start from")

        self.start.upload(take, self.start, self.start, show_progress="hidden", **RECEIVE_LINE)

    def _tell_painter(self) -> None:
        alone = [name for name, method in METHODS.items() if not method.several]
        script = f"""(mode, kind, photo, ...others) => {{
            const alone = mode === {FAST!r} && {alone}.includes(kind); {painter.TELL_PICTURES} }}"""
        told = [self.mode, self.kind, self.photo.image, *(part.image for part in self.more)]
        gr.on(None, None, told, js=script, **QUICK)  # on load and on every change

    def _blend(self, moved: int = -1) -> dict[str, Any]:
        """The event that keeps the styles' shares at a sum of 100 %, in the browser."""
        shares = [self.knobs[name] for name in controls.WEIGHTS]
        count = len(shares)
        script = f"""(...given) => ({BLEND.read_text("utf-8")})(
            {moved}, given.slice(0, {count}), given.slice({count}))"""
        pictures = [part.image for part in self.styles]
        return {"fn": None, "inputs": [*shares, *pictures], "outputs": shares, "js": script} | QUICK

    def connect_recipe(self) -> None:
        recipe, backbone = self.knobs["recipe"], self.knobs["backbone"]
        self._link_look(recipe)

        def show(recipe: str, backbone: str) -> dict[Any, Any]:
            updates = controls.fresh(recipe, backbone)
            shown: dict[Any, Any] = {
                self.knobs[name]: gr.update(**u) for name, u in updates.items()
            }
            return shown | {self.network_note: controls.network_html(recipe, backbone)}

        changed = [self.knobs[name] for name in controls.fresh(recipe.value, controls.OWN)]
        # .input and not .change: opened settings change the recipe too, and bring their own values.
        # "always_last": of two choices in a moment the second one counts.
        for chosen in (recipe, self.look):
            chosen.input(
                show,
                [chosen, backbone],
                [*changed, self.network_note],
                trigger_mode="always_last",
                **QUICK,
            )
        backbone.input(controls.network_html, [recipe, backbone], self.network_note, **QUICK)
        # Who types a number of steps wants them all, whatever the opened settings said.
        stop_at = self.knobs["stop_at"]
        self.knobs["iterations"].input(
            lambda: gr.update(**controls.widened("stop_at", 0)), None, stop_at, **QUICK
        )

    def _link_look(self, recipe: gr.Radio) -> None:
        """The brushwork's choice is the recipe's, in the browser and at once: or who is quick runs
        one recipe with another one's steps. Before any event that asks the server: those of one
        choice wait for each other."""
        numbers = controls.NUMBERS
        values = {}
        for name in controls.LOOKS:
            brought = controls.fresh(name, controls.OWN)
            values[name] = [name, *(brought[number]["value"] for number in numbers)]
        script = f"(look) => ({json.dumps(values)})[look]"
        set_first = [recipe, *(self.knobs[number] for number in numbers)]
        self.look.input(None, self.look, set_first, js=script, **QUICK)
        script = f"(recipe) => {list(controls.LOOKS)}.includes(recipe) ? recipe : null"
        recipe.change(None, recipe, self.look, js=script, **QUICK)

    def connect_settings(self) -> None:
        """What "Open settings" changes: every control, and pictures that can be found."""
        paths = [e.path for part in (self.photo, self.style) for e in part.examples]
        seen = [self.opened, *self.pictures, self.painter, self.start]

        def open_settings(path: str | None, photo: Any, *rest: Any) -> dict[Any, Any]:
            *styles, drawing, start = rest
            with runs.told():
                found = restore.restore(str(path), photo, styles, drawing, start, paths)
                return self.restored(found) | {self.opened: None}
            return {self.opened: None}

        self.opened.upload(
            open_settings,
            seen,
            [self.opened, self.opened_note, *self.settable],
            show_progress="minimal",
            show_progress_on=self.opened_note,
            **RECEIVE_LINE,
        )

    def connect_machine(
        self,
        device_kind: Callable[[], str | None],
        expected_seconds: Callable[..., float | None],
    ) -> Callable[..., str]:
        """Keep the line on device and expected time right; returns what writes it."""

        def estimate(photo: str | None, mode: str, *given: Any) -> str:
            if device_kind() is None:  # nothing is known yet, and the options wait for Keras
                return machine_html(None, None)
            values = dict(zip(self.knobs, given, strict=True))
            shape = files.pixel_size(photo)
            method = controls.method_name(mode == QUALITY, values)
            try:
                options = controls.options(mode == QUALITY, values)
                seconds = expected_seconds(method, *shape, **options) if shape else None
            except StyleTransferError as error:  # a setting out of its range, told at once
                return f'<div class="line">{html.escape(str(error))}</div>'
            return machine_html(device_kind(), seconds)

        def wait(*values: Any) -> tuple[str, gr.Timer]:
            """Ticks until the networks are ready."""
            return estimate(*values), gr.Timer(active=device_kind() is None)

        names = (
            "kind",
            "network",
            "recipe",
            "backbone",
            "iterations",
            "size",
            "time_budget",
            "optimizer",
        )
        triggers = [self.photo.image.change, self.mode.change]
        triggers += [self.knobs[name].change for name in names]
        gr.on(
            triggers,
            estimate,
            self.estimated_from,
            self.machine,
            trigger_mode="always_last",
            **QUICK,
        )
        gr.on([self.mode.change, self.kind.change], *self._stroke_size(), **QUICK)
        self.ready_timer.tick(wait, self.estimated_from, [self.machine, self.ready_timer], **QUICK)
        return estimate

    def _stroke_size(self) -> tuple[Any, ...]:
        """Handler, inputs and output that disable a control which the method does not have."""

        def enable(mode: str, kind: str):
            name = controls.method_name(mode == QUALITY, {"kind": kind})
            return gr.Slider(interactive="style_scale" in controls.takes(name))

        return enable, [self.mode, self.kind], self.knobs["style_scale"]

    def connect_fast(self, stylize: Callable[..., np.ndarray]) -> list[Any]:
        """Paint on the button; after that also whenever a control or an example is changed."""

        def run(*given: Any):
            request = self.request(False, given)
            # Quality goes on with the style picture, and where a trained style is chosen by name
            # there may be none.
            kind = dict(zip(self.asked, given, strict=True))[self.kind]
            go_on = REFINE if controls.kinds()[kind].styles[1] != 0 else ""
            for update in runs.fast(request, stylize=stylize):
                shown = self.show(update, request.pictures, go_on)
                yield shown | {self.painted: not update.failed}

        def follow(mode: str, painted: bool, *given: Any):
            if mode == FAST and painted:
                yield from run(*given)
            else:  # a generator that yields nothing would empty the page
                yield {self.status: gr.skip()}

        def follow_kind(mode: str, painted: bool, *given: Any):
            at_once = dict(zip(self.asked, given, strict=True))[self.kind] in AT_ONCE
            yield from follow(mode, painted and at_once, *given)

        outputs = [*self.result_parts, self.painted]
        line: dict[str, Any] = FAST_LINE | {
            "show_progress": "minimal",
            "show_progress_on": self.machine,
        }
        following: dict[str, Any] = {
            "fn": follow,
            "inputs": [self.mode, self.painted, *self.asked],
            "outputs": outputs,
            "trigger_mode": "always_last",
            **line,
        }
        chosen: dict[str, Any] = following | {"fn": follow_kind}
        self.fast_button.click(None, js=SHOW_RESULT, **PRIVATE)
        triggers = [self.knobs[name].release for name in ("strength", "style_scale")]
        triggers += [self.knobs[name].input for name in ("keep_colors", "network")]
        started = [
            self.fast_button.click(run, self.asked, outputs, **line),
            gr.on([*triggers, self.painter.change], **following),
            self.kind.input(**chosen),
        ]
        for place, name in enumerate(controls.WEIGHTS):
            started.append(self.knobs[name].release(**self._blend(place)).then(**following))
        for part in self.styles[1:]:  # one that is taken out of the blend
            started.append(part.image.clear(**self._blend()).then(**following))
        for part in self.sources:
            picked = part.strip.select(
                picker(part.examples),
                None,
                [part.image, part.kept],
                trigger_mode="multiple",
                **QUICK,
            )
            if part is not self.photo:
                picked = picked.then(**self._blend())
            started.append(picked.then(**following))
        return started

    def connect_quality(self, quality: Callable[..., runs.Updates]) -> list[Any]:
        """Paint on the button, or go on from the result; Stop keeps it, Cancel leaves the line."""
        stops = runs.Stops()

        def paint(asked: runs.Request, session: str):
            varies = asked.start is None and runs.varies(asked.options)
            with stops.run(session) as stop, closing(quality(asked, stop)) as updates:
                for update in updates:
                    state = "idle" if update.progress is None else "running"
                    shown = self.show(update, asked.pictures, CONTINUE, varies)
                    yield shown | self.run_state(state)

        def run(request: gr.Request, *given: Any):
            yield from paint(self.request(True, given), str(request.session_hash))

        def go_on(request: gr.Request, start: str | None, *given: Any):
            yield from paint(self.request(True, given, start), str(request.session_hash))

        def begin() -> dict[Any, Any]:
            """Before the run has its turn, so that it can be cancelled."""
            return self.run_state("waiting") | {
                self.status: gr.HTML(chart.status(WAITING), visible=True),
                self.continue_button: gr.Button(interactive=False),
                self.again_button: gr.Button(interactive=False),
            }

        def begin_anew() -> dict[Any, Any]:
            return begin() | {self.mode: gr.Radio(value=QUALITY, interactive=False)}

        def stop(request: gr.Request):
            stops.stop(str(request.session_hash))
            return gr.Button("Stopping …", interactive=False)

        def end() -> dict[Any, Any]:
            """Also where no run was begun: the page is ready for the next one."""
            return self.run_state("idle") | {
                button: gr.Button(interactive=True)
                for button in (self.continue_button, self.again_button)
            }

        def cancel() -> dict[Any, Any]:
            return end() | {self.status: gr.HTML(CANCELLED)}

        outputs = [*self.result_parts, *self.run_controls]
        line: dict[str, Any] = QUALITY_LINE | {
            "show_progress": "minimal",
            "show_progress_on": self.machine,
        }
        for button in (self.quality_button, self.continue_button, self.again_button):
            button.click(None, js=SHOW_RESULT, **PRIVATE)
        reseeded = self.again_button.click(None, None, self.knobs["seed"], js=NEW_SEED, **QUICK)
        started = []
        for event, first, start, inputs in (
            (self.quality_button.click, begin, run, self.asked),
            (self.continue_button.click, begin_anew, go_on, [self.result, *self.asked]),
            (reseeded.then, begin_anew, run, self.asked),
        ):
            waiting = event(first, None, [self.status, *self.run_controls], **QUICK)
            started.append(waiting.then(start, inputs, outputs, **line))
        self.stop_button.click(stop, None, self.stop_button, **QUICK)
        self.cancel_button.click(
            cancel, None, [self.status, *self.run_controls], cancels=started, **QUICK
        )
        return [connect_end(run, end, self.status, self.run_controls) for run in started]

    # ---- What the handlers take and send -------------------------------------------------------

    def request(
        self, quality: bool, given: Sequence[Any], start: str | None = None
    ) -> runs.Request:
        """What the visitor asks for, by the values of `asked`; `start` goes before the page's."""
        photo, *given = given
        styles, (drawing, page_start, *knobs) = given[: controls.STYLES], given[controls.STYLES :]
        values = controls.settled(quality, dict(zip(self.knobs, knobs, strict=True)), styles)
        return runs.Request(
            photo=photo,
            styles=styles,
            weights=[values[name] for name in controls.WEIGHTS],
            options=controls.options(quality, values),
            drawing=drawing,
            start=(start or page_start) if quality else None,
            stop_at=(values["stop_at"] or None) if quality and not start else None,
            method=values["kind"],
        )

    @property
    def estimated_from(self) -> list[Any]:
        return [self.photo.image, self.mode, *self.knobs.values()]

    @property
    def result_parts(self) -> list[Any]:
        actions = [self.download, self.continue_button, self.again_button, self.save_settings]
        results = [self.result, self.painted_from]
        return [self.status, self.empty, self.compare, *actions, self.plot, *results]

    @property
    def run_controls(self) -> list[Any]:
        begins = [self.quality_button, self.continue_button, self.again_button]
        return [*begins, self.stop_button, self.cancel_button, self.mode, self.painted]

    def show(
        self,
        update: runs.Update,
        made_of: Sequence[str | None],
        go_on: str,
        varies: bool = False,
    ) -> dict[Any, Any]:
        """Updates of `result_parts`.

        made_of: paths of the photo and of each style by place.
        go_on: what the button says that continues from the result; "" for no such button.
        varies: whether another seed paints another version.
        """
        if update.failed:
            return {self.status: gr.HTML(visible=False)}
        line = chart.status(update.note, update.progress, update.details)
        changes: dict[Any, Any] = {self.status: gr.HTML(line, visible=True)}
        if update.losses is not None:
            changes[self.plot] = gr.HTML(update.losses, visible=bool(update.losses))
        if update.before_after:
            there = update.download is not None
            changes |= {
                self.empty: gr.HTML(visible=False),
                self.compare: gr.ImageSlider(update.before_after, visible=True),
                self.download: gr.DownloadButton(value=update.download, visible=there),
                self.save_settings: gr.DownloadButton(value=update.settings, visible=there),
                self.continue_button: gr.Button(
                    go_on, visible=there and bool(go_on), interactive=True
                ),
                self.again_button: gr.Button(visible=there and varies, interactive=True),
                self.result: update.download,
                self.painted_from: list(made_of),
            }
        return changes

    def run_state(self, state: str) -> dict[Any, Any]:
        """While a run is "waiting", "running" or, none being there, "idle"."""
        idle = state == "idle"
        label = {"idle": "Stylize", "waiting": "Waiting …", "running": "Painting …"}[state]
        return {
            self.quality_button: gr.Button(label, interactive=idle),
            self.stop_button: gr.Button(STOP, visible=state == "running", interactive=True),
            self.cancel_button: gr.Button(visible=state == "waiting"),
            self.mode: gr.Radio(interactive=idle),
            self.painted: False,
        }

    @property
    def settable(self) -> list[Any]:
        """What `changes` gives updates for."""
        kept = [part.kept for part in self.sources]
        others = [self.mode, self.painter, self.start, self.network_note]
        return [*self.pictures, *kept, *others, *self.knobs.values()]

    def changes(
        self, quality: bool, values: controls.Values, pictures: Sequence[str | None]
    ) -> dict[Any, Any]:
        """Updates that show a state: of all of `settable`, without regions and picture to start.

        values: of all controls, by their names in controls.py.
        pictures: paths of the photo and of each style by place; None for no picture.
        """
        updates = {name: controls.widened(name, value) for name, value in values.items()}
        for name, update in controls.labels(values["recipe"]).items():
            updates[name] = update | updates[name]
        changes: dict[Any, Any] = {self.knobs[name]: gr.update(**u) for name, u in updates.items()}
        for part, path in zip(self.sources, pictures, strict=True):
            changes |= {part.image: path, part.kept: path}
        return changes | {
            self.mode: QUALITY if quality else FAST,
            self.painter: "",
            self.start: None,
            self.network_note: controls.network_html(values["recipe"], values["backbone"]),
        }

    def restored(self, found: restore.Restored) -> dict[Any, Any]:
        changes = self.changes(found.quality, found.values, [found.photo, *found.styles])
        if found.keep_drawing:
            changes[self.painter] = gr.skip()
        return changes | {self.start: found.start, self.opened_note: restored_html(found)}


# ---- Parts of the layout -----------------------------------------------------------------------


def source(what: str, label: str, name: str, first: str | None = None, classes: str = "") -> Source:
    """A picture to upload or drop, with a strip of examples.

    what: in sentences: "photo", "style", "second style".
    name: of the elements.
    first: the example that comes first and is chosen; None to choose none.
    classes: of the column.
    """
    kind = "photo" if what == "photo" else "style"
    examples = files.list_examples(f"{kind}s", first or "")
    value = str(examples[0].path) if examples and first is not None else None
    limit = f"(up to {files.MAX_PICTURE >> 20} MB)"
    invitation = f"Drop a {kind} here\nor click to choose\n{limit}" if value else "Drop or click"
    with gr.Column(min_width=150, elem_classes=classes):
        image = files.PictureInput(
            value=value,
            label=label,
            type="filepath",
            sources=["upload"],
            buttons=[],
            height=220,
            placeholder=invitation,
            elem_id=name,
            elem_classes="picture",
        )
        upload = gr.UploadButton(
            f"Upload a {what}", file_types=UPLOAD_TYPES, size="sm", elem_id=f"{name}-upload"
        )
        strip = gr.Gallery(
            files.thumbnails(examples),
            label=f"{label} examples",
            show_label=False,
            container=False,
            allow_preview=False,
            interactive=False,
            object_fit="cover",
            buttons=[],
            format="webp",
            elem_id=f"{name}-examples",
            elem_classes="strip",
        )
    return Source(what, image, upload, strip, gr.State(value), examples)


# ---- Handlers that need no component -----------------------------------------------------------


def connect_source(part: Source) -> None:
    """Its uploads are checked; a picture that is taken away is forgotten."""
    outputs = [part.image, part.kept, part.strip]
    take = taker(part.what)
    gr.on(
        [part.image.upload, part.image.clear],
        take,
        [part.image, part.kept],
        outputs,
        show_progress="hidden",
        **RECEIVE_LINE,
    )
    part.upload.upload(
        lambda path, kept: take(path, kept, new=True),
        [part.upload, part.kept],
        outputs,
        show_progress="minimal",
        show_progress_on=part.image,
        **RECEIVE_LINE,
    )


def connect_end(run: Any, end: Callable[[], Any], status: gr.HTML, controls: list[Any]) -> Any:
    """`end` gives what `controls` show after a run, also after one that the server refused: no
    `then` follows that in gradio 6.31, but a `failure`."""
    # A `failure` follows a cancelled run too, after the status was told so, and after the last
    # report of the run. Only one that was refused is still waiting.
    clear = f"""(shown) =>
      (shown ?? '').includes({json.dumps(WAITING)}) ? '' : {json.dumps(CANCELLED)}"""
    run.failure(None, status, status, js=clear, **QUICK)
    run.failure(end, None, controls, **QUICK)
    return run.then(end, None, controls, **QUICK)


def taker(what: str) -> Callable[..., tuple[Any, Any, Any]]:
    def take(path: str | None, kept: str | None, new: bool = False):
        """A broken upload is told of in a toast, and the picture before it comes back.

        new: the page does not show `path` yet.
        """
        try:
            shown = files.receive(path, what)
        except StyleTransferError as error:
            files.warn(error)
            return kept, kept, gr.skip()
        image = gr.skip() if shown == path and not new else shown
        return image, shown, gr.Gallery(selected_index=None)

    return take


def picker(examples: list[files.Example]) -> Callable[[gr.SelectData], tuple[str, str]]:
    def pick(event: gr.SelectData):
        path = str(examples[event.index].path)
        return path, path

    return pick


def restored_html(found: restore.Restored) -> str:
    what = controls.summary(found.quality, found.values)
    if not found.todo:
        return f"<p><b>Opened: {what}.</b> Press Stylize to paint the same picture again.</p>"
    todo = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in found.todo)
    return f"<p><b>Opened: {what}.</b> For the same picture:</p><ul>{todo}</ul>"


def machine_html(device: str | None, seconds: float | None) -> str:
    if device is None:
        text = "Getting ready … (you can press Stylize already)"
    elif seconds:
        text = f"<b>{device}</b> · about {runs.seconds_text(seconds)} for this photo"
    else:
        text = f"<b>{device}</b> · ready"
    return f'<div class="line">{text}</div>'


if __name__ == "__main__":
    from nst_demo.ui import backend, theme

    with gr.Blocks() as demo:
        build(
            stylize=backend.stylize,
            iterate=backend.iterate,
            device_kind=backend.device_kind,
            expected_seconds=backend.expected_seconds,
        )
    backend.warm_up()
    demo.launch(theme=theme.build_theme(), css_paths=theme.CSS, ssr_mode=False)
