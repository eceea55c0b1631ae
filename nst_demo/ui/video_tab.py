"""The Video tab: a clip and a style become a painted clip.

`build` takes plain functions, lays out the tab and connects it. Frames, times and sound are the
business of `nst_demo.video`. `python -m nst_demo.ui.video_tab` runs this tab alone.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.data_classes import FileData

from nst_demo import images, temporal, weights
from nst_demo.errors import StyleTransferError
from nst_demo.ui import chart, controls, files, runs
from nst_demo.ui.stylize_tab import (
    CANCELLED,
    FAST_LINE,
    FIRST_STYLE,
    PRIVATE,
    QUICK,
    RECEIVE_LINE,
    WAITING,
    connect_end,
    connect_source,
    picker,
    scroll_to,
    source,
)
from nst_demo.video import painting, reading

CLIPS = images.EXAMPLES / "clips"
FIRST_CLIP = CLIPS / "cat-pan.mp4"
CLIP_TYPES = [".mp4", ".mov", ".webm", ".gif"]
PICTURE = ""  # the choice of no trained style
SIZES = [("As the clip", 0), ("960 px", 960), ("640 px", 640), ("480 px", 480), ("320 px", 320)]
RATES = [("As the clip", 0), ("24", 24), ("15", 15), ("12", 12), ("8", 8)]
KINDS = [("MP4, with sound", ".mp4"), ("GIF", ".gif")]
FRAME_SIZE = 480  # px, long side, of the first frame beside the clip's name
REPORT_EVERY = 0.3  # s between two updates of the page
# A line of its own: clips take minutes, and wait for each other only.
VIDEO_LINE: dict[str, Any] = PRIVATE | {"concurrency_id": "video", "concurrency_limit": 1}
EMPTY = f"""
<div class="empty-result"><div>
{files.example_html()}
<h2>Your painted clip appears here</h2>
<p>Press <b>Paint the clip</b> to try it with the example, or choose your own first.</p>
</div></div>
"""

MakePainter = Callable[..., painting.Painter]


class ClipPlayer(gr.Video, metaclass=files._NoStubFile):
    """gr.Video that sends a file as it is: gr.Video would run ffmpeg over it where there is one."""

    is_template = True  # the page shows it as gr.Video

    def postprocess(self, value: str | Path | None) -> FileData | None:
        return None if value is None else FileData(path=str(value), orig_name=Path(value).name)


@dataclass(frozen=True)
class Asked:
    """What a visitor asks for; files by their paths."""

    clip: str | None
    style: str | None
    network: str
    size: int
    frame_rate: int
    kind: str
    strength: float
    style_scale: float
    smoothing: float

    @property
    def name(self) -> str:
        """Of the result's file, such as cat-pan-starry-swirl.mp4."""
        style = self.network or Path(self.style or "style").stem
        return f"{Path(self.clip or 'clip').stem[:60]}-{style[:60]}{self.kind}"

    def painter(self, make: MakePainter, smoothing: float | None = None) -> painting.Painter:
        styles: list[Any] = []
        network: str | None = self.network
        if not network:
            styles, network = runs.style_or_network(self.style)
        return make(
            styles,
            network=network,
            smoothing=self.smoothing if smoothing is None else smoothing,
            strength=self.strength,
            style_scale=self.style_scale,
        )

    def check(self) -> None:
        if self.clip is None:
            raise StyleTransferError("There is no clip yet; upload a GIF, an MP4 or a WebM.")
        runs.check_file(self.clip, "clip")


@dataclass(frozen=True)
class Report:
    """What the page shows next of a run. progress: 0 to 1, None when done; path: of the result."""

    note: str
    details: str = ""
    progress: float | None = None
    path: str | None = None


def limits_text(limits: reading.Limits, megabytes: float | None) -> str:
    size = f", {megabytes:g} MB" if megabytes else ""
    return (
        f"GIF, MP4, MOV or WebM: up to {limits.seconds:g} s, {limits.frame_rate:g} frames a "
        f"second, {limits.long_side} x {limits.short_side} px{size}."
    )


def frame_html(clip: str, limits: reading.Limits) -> str:
    """A clip's first frame, for the page; StyleTransferError for a clip that is refused."""
    frame = images.encode(reading.first_frame(clip, size=FRAME_SIZE, limits=limits), None, "JPEG")
    if clip == str(FIRST_CLIP):  # a visitor's own is nobody else's
        source = files.shown_to_all(frame, "jpeg")
    else:
        source = f"data:image/jpeg;base64,{base64.b64encode(frame).decode('ascii')}"
    return f'<img alt="First frame of the clip" loading="lazy" src="{source}">'


# ---- Runs, as plain functions --------------------------------------------------------------------


def preview_pair(
    asked: Asked, *, make_painter: MakePainter, limits: reading.Limits
) -> tuple[str, str]:
    """Paths of the clip's first frame and of its painting, at the size asked for."""
    asked.check()
    frame = reading.first_frame(str(asked.clip), size=asked.size or None, limits=limits)
    painted = asked.painter(make_painter, smoothing=0.0)(frame)
    return files.display_file(frame, "frame"), files.display_file(painted, "painted")


def paint(
    asked: Asked, *, make_painter: MakePainter, limits: reading.Limits, max_seconds: float
) -> Iterator[Report]:
    """Reports while the clip is painted; the last one has the result. Closing it leaves no file."""
    asked.check()
    yield Report("Reading the clip …", progress=0.0)
    output = files.new_path(asked.name)
    done = False
    try:
        steps = painting.stylize_video(
            str(asked.clip),
            output,
            asked.painter(make_painter),
            frame_rate=asked.frame_rate or None,
            size=asked.size or None,
            limits=limits,
            time_budget=max_seconds,
        )
        told, step = 0.0, None
        with closing(steps):  # type: ignore[type-var]  # a generator
            for step in steps:
                if time.monotonic() - told > REPORT_EVERY:
                    yield running(step)
                    told = time.monotonic()
        if step is None:
            raise RuntimeError("stylize_video() ended without a frame")
        done = True
        height, width = step.image.shape[:2]
        note = (
            f"Painted {step.frame} frames in {runs.seconds_text(step.seconds)} · {width} x {height}"
            f" px · {output.stat().st_size / 2**20:.1f} MB"
        )
        yield Report(note, " ".join(step.notes), path=str(output))
    finally:
        if not done:
            files.remove(str(output))


def running(step: painting.Progress) -> Report:
    left = f" · {runs.seconds_text(step.seconds_left)} left" if step.frame > 1 else ""
    note = f"Frame {step.frame} of {step.frames}{left}"
    return Report(note, " ".join(step.notes), progress=step.frame / step.frames)


# ---- The tab -------------------------------------------------------------------------------------


def build(
    *,
    make_painter: MakePainter,
    limits: reading.Limits = reading.STRANGERS,
    max_seconds: float = runs.MAX_SECONDS,
    megabytes: float | None = None,
) -> Tab:
    """Lay out the tab in the current gr.Blocks, connect it, and return it.

    make_painter: `painting.painter`.
    limits, max_seconds: of a clip, and of painting it. megabytes: of an upload, to be told.
    """
    tab = Tab(limits, megabytes)
    tab.connect_sources(limits)
    tab.connect_preview(partial(preview_pair, make_painter=make_painter, limits=limits))
    tab.connect_run(
        partial(paint, make_painter=make_painter, limits=limits, max_seconds=max_seconds)
    )
    return tab


class Tab:
    """The components of the tab, and which events they answer."""

    def __init__(self, limits: reading.Limits, megabytes: float | None) -> None:
        with gr.Row(elem_classes="workspace"):
            with gr.Column(scale=5, min_width=320, elem_id="video-controls"):
                self._lay_out_controls(limits, megabytes)
            with gr.Column(scale=6, min_width=320, elem_id="video-result"):
                self._lay_out_result()
        self.kept = gr.State(str(FIRST_CLIP))  # the last clip that could be read
        self.asked = [
            *(self.clip, self.style.image, self.network, self.size, self.rate, self.kind),
            *(self.strength, self.style_scale, self.smoothing),
        ]

    def _lay_out_controls(self, limits: reading.Limits, megabytes: float | None) -> None:
        with gr.Row(elem_classes="sources"):
            with gr.Column(min_width=150):
                self.clip = gr.File(
                    str(FIRST_CLIP),
                    label="Clip",
                    file_types=CLIP_TYPES,
                    height=128,
                    elem_id="clip",
                )
                self.frame = gr.HTML(
                    frame_html(str(FIRST_CLIP), limits), padding=False, elem_id="clip-frame"
                )
                self.facts = controls.about(f"<p>{limits_text(limits, megabytes)}</p>", "limits")
            self.style = source("style", "Style", "video-style", FIRST_STYLE)
        names = [n for n in weights.trained_styles() if n not in files.gallery("styles")]
        self.network = gr.Dropdown(
            [("The picture above", PICTURE), *((controls.caption(n), n) for n in names)],
            value=PICTURE,
            label="Style, or a network trained for one",
            visible=bool(names),
            elem_id="video-network",
        )
        self.button = gr.Button(
            "Paint the clip", variant="primary", elem_classes="main-button", elem_id="paint-clip"
        )
        self.preview_button = gr.Button(
            "Preview the first frame", elem_id="preview-frame", elem_classes="second-button"
        )
        with controls.fold("Size and speed", "smaller is faster", "video-size"):
            self.size = _cards(SIZES, 640, "Long side")
            self.rate = _cards(RATES, 0, "Frames a second, at most")
            self.kind = _cards(KINDS, ".mp4", "Result")
        with controls.fold("Adjust", "strength, strokes, stillness", "video-adjust"):
            shared = controls.shared()
            self.strength, self.style_scale = shared["strength"], shared["style_scale"]
            shared["keep_colors"].visible = False
            self.smoothing = gr.Slider(
                0, 1, value=temporal.SMOOTHING, step=0.05, label="Smoothing",
                info="How still the painting stands where the clip does; 0 for each frame by "
                "itself.",
            )  # fmt: skip

    def _lay_out_result(self) -> None:
        with gr.Row(elem_classes="run"):
            self.status = gr.HTML(visible=False, elem_classes="status", padding=False)
            self.cancel_button = gr.Button(
                "Cancel", variant="stop", visible=False, elem_classes="stop", elem_id="cancel-clip"
            )
        self.empty = gr.HTML(EMPTY, padding=False)
        self.player = ClipPlayer(
            label="Painted clip", interactive=False, visible=False, autoplay=True, loop=True,
            buttons=[], height=420, elem_id="painted-clip",
        )  # fmt: skip
        self.picture = files.PictureInput(
            label="Painted clip", type="filepath", interactive=False, visible=False, buttons=[],
            height=420, elem_id="painted-gif",
        )  # fmt: skip
        self.first = gr.ImageSlider(
            label="First frame, before / after", type="filepath", interactive=False,
            visible=False, buttons=["fullscreen"], max_height=420, elem_id="first-frame",
        )  # fmt: skip
        with gr.Row(elem_classes="actions"):
            self.download = gr.DownloadButton(
                "Download", visible=False, min_width=110, elem_id="download-clip"
            )

    # ---- Events --------------------------------------------------------------------------------

    def connect_sources(self, limits: reading.Limits) -> None:
        def take(path: str | None, kept: str | None):
            """A clip that cannot be taken is told of, and the one before it comes back."""
            if path is None:
                return gr.skip(), None, gr.HTML(visible=False)
            with runs.told():
                return gr.skip(), path, gr.HTML(frame_html(path, limits), visible=True)
            return kept, kept, gr.HTML(visible=kept is not None)

        gr.on(
            [self.clip.upload, self.clip.clear],
            take,
            [self.clip, self.kept],
            [self.clip, self.kept, self.frame],
            show_progress="hidden",
            **RECEIVE_LINE,
        )
        style = self.style
        connect_source(style)
        # A style that is picked is the one that is meant.
        for event in (style.strip.select, style.image.upload, style.upload.upload):
            event(lambda: PICTURE, None, self.network, **QUICK)

    def connect_preview(self, pair: Callable[[Asked], tuple[str, str]]) -> None:
        """The first frame, on its button and whenever the clip, the style or a slider changes."""

        def show(*given: Any) -> dict[Any, Any]:
            with runs.told():
                before_after = pair(Asked(*given))
                return {
                    self.empty: gr.HTML(visible=False),
                    self.first: gr.ImageSlider(before_after, visible=True),
                }
            return {self.first: gr.skip()}

        def follow(kept: str | None, *given: Any) -> dict[Any, Any]:
            return {self.first: gr.skip()} if kept is None else show(*given)

        shown: dict[str, Any] = {
            "fn": show,
            "inputs": self.asked,
            "outputs": [self.empty, self.first],
            "trigger_mode": "always_last",
            "show_progress": "minimal",
            "show_progress_on": self.preview_button,
            **FAST_LINE,
        }
        sliders = [self.strength.release, self.style_scale.release]
        gr.on([self.preview_button.click, self.network.input, *sliders], **shown)
        # Not its upload: a clip that is refused would be told of twice.
        self.kept.change(**shown | {"fn": follow, "inputs": [self.kept, *self.asked]})
        picked = self.style.strip.select(
            picker(self.style.examples),
            None,
            [self.style.image, self.style.kept],
            trigger_mode="multiple",
            **QUICK,
        )
        picked.then(**shown)

    def connect_run(self, paint: Callable[[Asked], Iterator[Report]]) -> None:
        def run(*given: Any):
            with runs.told(), closing(paint(Asked(*given))) as reports:  # type: ignore[type-var]
                for report in reports:
                    yield self.shown(report)
                return
            yield {self.status: gr.HTML(visible=False)}

        def begin() -> dict[Any, Any]:
            return {
                self.status: gr.HTML(chart.status(WAITING), visible=True),
                self.button: gr.Button("Painting …", interactive=False),
                self.cancel_button: gr.Button(visible=True),
            }

        def end() -> dict[Any, Any]:
            """Also where no run was begun: the page is ready for the next one."""
            return {
                self.button: gr.Button("Paint the clip", interactive=True),
                self.cancel_button: gr.Button(visible=False),
            }

        def cancel() -> dict[Any, Any]:
            return end() | {self.status: gr.HTML(CANCELLED, visible=True)}

        state = [self.button, self.cancel_button]
        outputs = [
            *(self.status, self.empty, self.player, self.picture, self.first, self.download),
        ]
        self.button.click(None, js=scroll_to("#video-result"), **PRIVATE)
        waiting = self.button.click(begin, None, [self.status, *state], **QUICK)
        started = waiting.then(run, self.asked, outputs, show_progress="hidden", **VIDEO_LINE)
        connect_end(started, end, self.status, state)
        self.cancel_button.click(cancel, None, [self.status, *state], cancels=started, **QUICK)

    # ---- What the handlers send ----------------------------------------------------------------

    def shown(self, report: Report) -> dict[Any, Any]:
        line = chart.status(report.note, report.progress, report.details)
        changes: dict[Any, Any] = {self.status: gr.HTML(line, visible=True)}
        if report.path is None:
            return changes
        gif = report.path.endswith(".gif")
        return changes | {
            self.empty: gr.HTML(visible=False),
            self.first: gr.ImageSlider(visible=False),
            self.player: ClipPlayer(None if gif else report.path, visible=not gif),
            self.picture: files.PictureInput(report.path if gif else None, visible=gif),
            self.download: gr.DownloadButton(
                f"Download {'GIF' if gif else 'MP4'}", value=report.path, visible=True
            ),
        }


def _cards(choices: Sequence[tuple[str, Any]], value: Any, label: str) -> gr.Radio:
    return gr.Radio(list(choices), value=value, label=label, elem_classes="cards")


if __name__ == "__main__":
    from nst_demo.ui import backend, theme

    with gr.Blocks() as demo:
        build(make_painter=painting.painter)
    backend.warm_up()
    demo.launch(
        theme=theme.build_theme(), css_paths=theme.CSS, ssr_mode=False, server_port=7863,
        allowed_paths=[str(images.EXAMPLES)],
    )  # fmt: skip
