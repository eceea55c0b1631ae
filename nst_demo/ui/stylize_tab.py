"""The Stylize tab: a photo and a style become a picture, fast or in quality.

`build` takes plain functions, lays out the tab and connects it; what happens between the button
and the picture is in runs.py. `python -m nst_demo.ui.stylize_tab` runs this tab alone.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np
import pandas as pd

from nst_demo.errors import StyleTransferError
from nst_demo.ui import files, runs

FIRST_PHOTO, FIRST_STYLE = "pagoda", "starry-swirl"
FAST, QUALITY = "Fast", "Quality"
STOP = "Stop and keep"
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
LOSS_COLOURS = {"total": "#8a817a", "style": "#e2562f", "content": "#2f86c8"}

EMPTY = """
<div class="empty-result"><div>
<svg viewBox="0 0 24 24" fill="none" stroke="#e2562f" stroke-width="1.2" stroke-linecap="round"
 stroke-linejoin="round" aria-hidden="true"><path d="M12 3a9 9 0 1 0 0 18c1.5 0 2-1 1.700-2.100-.4
-1.300.3-2.400 1.800-2.400H18a3 3 0 0 0 3-3C21 7.600 17 3 12 3Z"/><circle cx="7.500" cy="11.500"
 r="1"/><circle cx="10.500" cy="7.500" r="1"/><circle cx="15" cy="8" r="1"/></svg>
<h2>Your picture appears here</h2>
<p>Press <b>Stylize</b> to paint this photo in this style, or choose your own first.</p>
</div></div>
"""
ABOUT_QUALITY = """
<p>Paints the picture in many small steps, with finer strokes than Fast. You watch it grow, and
stop when you like it.</p>
"""
# On a phone the picture is below the button: go there when a run starts.
SHOW_RESULT = """() => { if (window.innerWidth < 760)
  document.querySelector('#result')?.scrollIntoView({behavior: 'smooth', block: 'start'}) }"""


@dataclass(frozen=True)
class Source:
    """One picture that the visitor chooses."""

    what: str  # "photo" or "style"
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
) -> None:
    """Lay out the tab in the current gr.Blocks.

    stylize, iterate: the library's.
    device_kind: "CPU" or "GPU"; None while the networks are being made ready.
    expected_seconds: (method, height, width, **options); None where nothing was measured yet.
    """
    tab = Tab()
    tab.connect_sources()
    tab.connect_mode()
    estimate = tab.connect_machine(device_kind, expected_seconds)
    for run in (*tab.connect_fast(stylize), tab.connect_quality(iterate)):
        run.then(estimate, tab.estimated_from, tab.machine, **QUICK)


class Tab:
    """The components of the tab, and which events they answer."""

    def __init__(self) -> None:
        with gr.Row(elem_classes="workspace"):
            with gr.Column(scale=5, min_width=320):
                with gr.Row(elem_classes="sources"):
                    self.photo = source("photo", "Photo", FIRST_PHOTO)
                    self.style = source("style", "Style", FIRST_STYLE)
                self._lay_out_controls()
            with gr.Column(scale=6, min_width=320, elem_id="result"):
                self._lay_out_result()
        self.painted = gr.State(False)  # whether a Fast result follows the strength slider

    def _lay_out_controls(self) -> None:
        self.mode = gr.Radio(
            [FAST, QUALITY],
            value=FAST,
            label="Mode",
            show_label=False,
            container=False,
            elem_id="mode",
        )
        self.strength = gr.Slider(
            0, 1, value=1, step=0.05, label="Strength", info="0 keeps the photo, 1 is all style."
        )
        self.about_quality = gr.HTML(ABOUT_QUALITY, visible=False, elem_classes="about")
        button: dict[str, Any] = {"variant": "primary", "elem_classes": "main-button"}
        self.fast_button = gr.Button("Stylize", **button)
        self.quality_button = gr.Button("Stylize", visible=False, **button)
        self.machine = gr.HTML(machine_html(None, None), elem_classes="status", padding=False)
        self.ready_timer = gr.Timer(1.0)
        self.advanced, self.knobs = advanced()

    def _lay_out_result(self) -> None:
        with gr.Row(elem_classes="run"):
            self.status = gr.HTML(visible=False, elem_classes="status", padding=False)
            self.stop_button = gr.Button(STOP, variant="stop", visible=False, elem_id="stop")
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
        self.download = gr.DownloadButton("Download PNG", visible=False, elem_id="download")
        self.plot = gr.LinePlot(
            x="step",
            y="loss",
            color="part",
            title="Loss by step, log10: lower is closer to the goal",
            x_title=" ",
            y_title=" ",
            color_title=" ",
            color_map=LOSS_COLOURS,
            height=190,
            buttons=[],
            visible=False,
            elem_id="losses",
        )

    # ---- Events --------------------------------------------------------------------------------

    def connect_sources(self) -> None:
        for part in (self.photo, self.style):
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
                lambda path, kept, take=take: take(path, kept, new=True),
                [part.upload, part.kept],
                outputs,
                show_progress="minimal",
                show_progress_on=part.image,
                **RECEIVE_LINE,
            )

    def connect_mode(self) -> None:
        self.mode.change(
            show_mode,
            self.mode,
            [
                self.strength,
                self.about_quality,
                self.fast_button,
                self.quality_button,
                self.advanced,
            ],
            **QUICK,
        )

    def connect_machine(
        self,
        device_kind: Callable[[], str | None],
        expected_seconds: Callable[..., float | None],
    ) -> Callable[..., str]:
        """Keep the line on device and expected time right; returns what writes it."""

        def estimate(photo: str | None, mode: str, *values: Any) -> str:
            names = ("iterations", "size", "backbone")
            options = {} if mode == FAST else dict(zip(names, values, strict=True))
            shape = files.pixel_size(photo)
            method = "adain" if mode == FAST else "gatys"
            seconds = expected_seconds(method, *shape, **options) if shape else None
            return machine_html(device_kind(), seconds)

        def wait(*values: Any) -> tuple[str, gr.Timer]:
            """Ticks until the networks are ready."""
            return estimate(*values), gr.Timer(active=device_kind() is None)

        gr.on(  # without triggers: on load and on every change of an input
            None,
            estimate,
            self.estimated_from,
            self.machine,
            trigger_mode="always_last",
            **QUICK,
        )
        self.ready_timer.tick(wait, self.estimated_from, [self.machine, self.ready_timer], **QUICK)
        return estimate

    def connect_fast(self, stylize: Callable[..., np.ndarray]) -> list[Any]:
        """Paint on the button; after that also whenever strength or an example is changed."""

        def run(photo: str | None, style: str | None, strength: float):
            for update in runs.fast(photo, style, strength, stylize=stylize):
                yield self.show(update) | {self.painted: True}

        def follow(mode: str, painted: bool, *values: Any):
            if mode == FAST and painted:
                yield from run(*values)

        inputs = [self.photo.image, self.style.image, self.strength]
        outputs = [*self.result_parts, self.painted]
        line: dict[str, Any] = FAST_LINE | {
            "show_progress": "minimal",
            "show_progress_on": self.machine,
        }
        follow_line: dict[str, Any] = line | {"trigger_mode": "always_last"}
        follow_inputs = [self.mode, self.painted, *inputs]

        self.fast_button.click(None, js=SHOW_RESULT, **PRIVATE)
        started = [
            self.fast_button.click(run, inputs, outputs, **line),
            self.strength.release(follow, follow_inputs, outputs, **follow_line),
        ]
        for part in (self.photo, self.style):
            picked = part.strip.select(
                picker(part.examples),
                None,
                [part.image, part.kept],
                trigger_mode="multiple",
                **QUICK,
            )
            started.append(picked.then(follow, follow_inputs, outputs, **follow_line))
        return started

    def connect_quality(self, iterate: Callable[..., Iterator[Any]]) -> Any:
        stops = runs.Stops()

        def run(request: gr.Request, photo: str | None, style: str | None, *values: Any):
            options = quality_options(dict(zip(self.knobs, values, strict=True)))
            with (
                stops.run(str(request.session_hash)) as stop,
                closing(runs.quality(photo, style, options, stop, iterate=iterate)) as updates,
            ):
                for update in updates:
                    yield self.show(update) | self.running(update.progress is not None)

        def stop(request: gr.Request):
            stops.stop(str(request.session_hash))
            return gr.Button("Stopping …", interactive=False)

        def end():
            """Also after an error: the page is ready for the next run."""
            return self.running(False)

        controls = [self.quality_button, self.stop_button, self.mode, self.painted]
        self.quality_button.click(None, js=SHOW_RESULT, **PRIVATE)
        started = self.quality_button.click(
            run,
            [self.photo.image, self.style.image, *self.knobs.values()],
            [*self.result_parts, *controls],
            show_progress="minimal",
            show_progress_on=self.machine,
            **QUALITY_LINE,
        )
        self.stop_button.click(stop, None, self.stop_button, **QUICK)
        return started.then(end, None, controls, **QUICK)

    # ---- What the handlers send ----------------------------------------------------------------

    @property
    def estimated_from(self) -> list[Any]:
        knobs = [self.knobs[name] for name in ("iterations", "size", "backbone")]
        return [self.photo.image, self.mode, *knobs]

    @property
    def result_parts(self) -> list[Any]:
        return [self.status, self.empty, self.compare, self.download, self.plot]

    def show(self, update: runs.Update) -> dict[Any, Any]:
        changes: dict[Any, Any] = {
            self.status: gr.HTML(status_html(update.note, update.progress), visible=True),
            self.download: gr.DownloadButton(
                value=update.download, visible=update.download is not None
            ),
        }
        if update.before_after:
            changes[self.empty] = gr.HTML(visible=False)
            changes[self.compare] = gr.ImageSlider(update.before_after, visible=True)
        frame = pd.DataFrame(update.losses, columns=["step", "part", "loss"])
        changes[self.plot] = gr.LinePlot(frame, visible=bool(update.losses))
        return changes

    def running(self, runs_now: bool) -> dict[Any, Any]:
        label = "Painting …" if runs_now else "Stylize"
        return {
            self.quality_button: gr.Button(label, interactive=not runs_now),
            self.stop_button: gr.Button(STOP, visible=runs_now, interactive=True),
            self.mode: gr.Radio(interactive=not runs_now),
            self.painted: False,
        }


# ---- Parts of the layout -----------------------------------------------------------------------


def source(what: str, label: str, first: str) -> Source:
    """A picture to upload or drop, with a strip of examples, the first of them chosen."""
    examples = files.list_examples(f"{what}s", first)
    value = str(examples[0].path) if examples else None
    with gr.Column(min_width=150):
        image = files.PictureInput(
            value=value,
            label=label,
            type="filepath",
            sources=["upload"],
            buttons=[],
            height=220,
            placeholder=f"Drop a {what} here\nor click to choose",
            elem_id=what,
            elem_classes="picture",
        )
        upload = gr.UploadButton(
            f"Upload a {what}", file_types=UPLOAD_TYPES, size="sm", elem_id=f"{what}-upload"
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
            elem_id=f"{what}-examples",
            elem_classes="strip",
        )
    return Source(what, image, upload, strip, gr.State(value), examples)


def advanced() -> tuple[gr.Accordion, dict[str, Any]]:
    """Quality's settings, by the names that `quality_options` reads."""
    knobs: dict[str, Any] = {}
    with gr.Accordion("Advanced", open=False, visible=False, elem_id="advanced") as accordion:
        knobs["style_weight"] = weight("Style", "How strongly the style's texture pulls.")
        knobs["content_weight"] = weight("Content", "How closely the photo's shapes are kept.")
        knobs["tv_weight"] = weight("Smoothness", "More removes specks, and fine strokes too.")
        with gr.Accordion("What to take from the style", open=False):
            for number, label in enumerate(LAYERS, 1):
                knobs[f"layer_{number}"] = weight(label)
        knobs["iterations"] = gr.Slider(
            10, 500, value=150, step=10, label="Steps", info="More is finer, and takes longer."
        )
        knobs["size"] = gr.Slider(
            128, 1024, value=512, step=32, label="Working size",
            info="Long side in px it is painted at; the result has the photo's size anyway.",
        )  # fmt: skip
        knobs["time_budget"] = gr.Slider(
            10, runs.MAX_SECONDS, value=120, step=10, label="Time limit (seconds)",
            info="The best picture so far is the result.",
        )  # fmt: skip
        knobs["init"] = gr.Radio(
            [("Fast result", "fast"), ("Photo", "content"), ("Noise", "noise")],
            value="fast", label="Start from",
            info="The photo keeps more of its own colours; noise is the freest and the slowest.",
        )  # fmt: skip
        knobs["optimizer"] = gr.Radio(
            [("L-BFGS", "lbfgs"), ("Adam", "adam")], value="lbfgs", label="Optimiser",
            info="L-BFGS gets there in fewer steps.",
        )  # fmt: skip
        knobs["backbone"] = gr.Radio(
            [("Lite (included)", "lite"), ("VGG16", "vgg16"), ("VGG19", "vgg19")],
            value="lite", label="Network that judges the picture",
            info="VGG is far slower on a CPU, and is downloaded on first use (58 or 80 MB).",
        )  # fmt: skip
        knobs["seed"] = gr.Number(
            value=0, precision=0, minimum=0, maximum=2**31 - 1, label="Seed",
            info="Same seed and settings, same picture.",
        )  # fmt: skip
    return accordion, knobs


LAYERS = ("Colours and grain", "Fine texture", "Brush strokes", "Patterns", "Large shapes")


def weight(label: str, info: str | None = None) -> gr.Slider:
    """A multiplier of the library's tuned default."""
    return gr.Slider(0, 4, value=1, step=0.1, label=label, info=info)


def quality_options(values: dict[str, Any]) -> runs.QualityOptions:
    layers = tuple(values.pop(f"layer_{number}") for number in range(1, len(LAYERS) + 1))
    whole = {name: int(values.pop(name) or 0) for name in ("iterations", "size", "seed")}
    return runs.QualityOptions(layer_weights=layers, **whole, **values)


# ---- Handlers that need no component -----------------------------------------------------------


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


def show_mode(mode: str):
    fast = mode == FAST
    return (
        gr.Slider(visible=fast),
        gr.HTML(visible=not fast),
        gr.Button(visible=fast),
        gr.Button(visible=not fast),
        gr.Accordion(visible=not fast),
    )


def status_html(note: str, progress: float | None) -> str:
    bar = ""
    if progress is not None:
        bar = f'<div class="bar"><i style="width:{100 * progress:.1f}%"></i></div>'
    return f'<div class="line" role="status">{bar}{html.escape(note)}</div>'


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
