"""The Webcam tab: live pictures of the visitor's camera, painted as they come.

Gradio sends each picture as a data: URL in the JSON of a stream's request; it is decoded, painted
and sent back as a data: URL in memory. Nothing is stored. `python -m nst_demo.ui.webcam_tab` runs
this tab alone.
"""

from __future__ import annotations

import base64
import binascii
import io
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from gradio.data_classes import ImageData

from nst_demo import images
from nst_demo.errors import StyleTransferError
from nst_demo.ui import controls, files, runs
from nst_demo.ui.stylize_tab import FIRST_STYLE, PRIVATE, QUICK
from nst_demo.video import painting

SIZES = (256, 320)  # px, long side of what is painted
SECONDS = 60  # of one stream; press the button again for more
EVERY = 0.05  # s between two pictures, at least
MAX_PICTURE = 900_000  # characters of a data: URL
PAUSE = 2.0  # s without a picture, after which another stream begins
VISITORS = 32  # whose painters are kept
SMOOTHING = 0.6
QUALITY = 88  # of the JPEG that is sent back
STREAM_LINE: dict[str, Any] = PRIVATE | {"concurrency_id": "webcam", "concurrency_limit": 4}
SCRIPT = Path(__file__).with_suffix(".js")
ABOUT = f"""
<p>For up to {SECONDS} s at a time. Pictures are painted in memory and sent back to you alone: none
is kept, not on this server, not anywhere.</p>
"""
EMPTY = f"""
<div class="empty-result"><div>
{files.example_html()}
<h2>You appear here, painted live</h2>
<p>Allow the camera and press <b>Record</b>: you are painted as you move, and no picture is
kept.</p>
<p class="trouble" role="alert"></p>
</div></div>
"""


class Camera(gr.Image, metaclass=files._NoStubFile):
    """gr.Image whose pictures pass as data: URLs: gr.Image writes each one to a file."""

    is_template = True  # the page shows it as gr.Image

    def preprocess(self, payload: ImageData | None) -> str | None:
        return payload.url if payload else None

    def postprocess(self, value: str | None) -> ImageData | None:
        return None if value is None else ImageData(url=value, orig_name="painted.jpg")


@dataclass
class Stream:
    """One visitor's: its settings, the painter that knows the frames before, and its times."""

    began: float
    last: float
    settings: tuple[str, float] | None = None
    painter: painting.Painter | None = None


class Streams:
    """The streams of the visitors seen last, and their bounds.

    Gradio's time_limit counts the seconds of work only, and a place is held for all of them.
    """

    def __init__(self, make_painter: Callable[..., painting.Painter]):
        self._make = make_painter
        self._kept: OrderedDict[str, Stream] = OrderedDict()
        self._guard = threading.Lock()

    def painter(self, session: str, style: str, strength: float) -> painting.Painter:
        """StyleTransferError when the visitor's time is up."""
        stream = self._seen(session, time.monotonic())
        if stream.painter is None or stream.settings != (style, strength):
            styles, network = runs.style_or_network(style)
            stream.painter = self._make(
                styles, network=network, smoothing=SMOOTHING, strength=strength
            )
            stream.settings = style, strength
        return stream.painter

    def _seen(self, session: str, now: float) -> Stream:
        with self._guard:
            stream = self._kept.get(session)
            if stream is None or now - stream.last > PAUSE:
                stream = self._kept[session] = Stream(now, now)
            self._kept.move_to_end(session)
            while len(self._kept) > VISITORS:
                self._kept.popitem(last=False)
            if now - stream.began > SECONDS:
                raise StyleTransferError(f"These were {SECONDS} s; press Record for more.")
            stream.last = now
            return stream


def decoded(url: str, size: int) -> np.ndarray:
    """A data: URL from a camera as (h, w, 3) in [0, 1] with a long side of at most `size`."""
    header, _, data = url.partition(",")
    if not header.startswith("data:image/") or len(url) > MAX_PICTURE:
        raise StyleTransferError("The camera sent no picture that can be used; try another one.")
    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise StyleTransferError("The camera's picture is damaged; try again.") from None
    return images.fit(images.open_picture(raw, what="camera's picture").rgb, size)


def encoded(rgb: np.ndarray) -> str:
    buffer = io.BytesIO()  # not images.encode: its 4:4:4 takes longer and is larger
    images.to_pil(rgb).save(buffer, "JPEG", quality=QUALITY)
    data = buffer.getvalue()
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode('ascii')}"


def build(*, make_painter: Callable[..., painting.Painter]) -> Tab:
    """Lay out the tab in the current gr.Blocks, connect it, and return it.

    make_painter: `painting.painter`.
    """
    tab = Tab()
    tab.connect(Streams(make_painter))
    return tab


class Tab:
    """The components of the tab, and which events they answer."""

    def __init__(self) -> None:
        self.examples = files.list_examples("styles", FIRST_STYLE)
        with gr.Row(elem_classes="workspace"):
            with gr.Column(scale=5, min_width=300, elem_id="webcam-controls"):
                self.camera = Camera(
                    label="Your camera",
                    sources=["webcam"],
                    streaming=True,
                    type="filepath",
                    buttons=[],
                    height=300,
                    webcam_options=gr.WebcamOptions(
                        mirror=True,
                        constraints={"video": {"width": {"ideal": 320}, "height": {"ideal": 240}}},
                    ),
                    elem_id="camera",
                )
                controls.about(ABOUT)
                self.strip = gr.Gallery(
                    files.thumbnails(self.examples),
                    label="Style",
                    container=False,
                    allow_preview=False,
                    interactive=False,
                    object_fit="cover",
                    selected_index=0,
                    buttons=[],
                    format="webp",
                    elem_id="webcam-styles",
                    elem_classes="strip",
                )
                self.strength = gr.Slider(0, 1, value=1, step=0.05, label="Strength")
                self.size = gr.Radio(
                    [(f"{size} px", size) for size in SIZES],
                    value=SIZES[0],
                    label="Size",
                    elem_classes="cards",
                )
            with gr.Column(scale=6, min_width=300, elem_id="webcam-result"):
                gr.HTML(  # until the first painting, see style.css
                    EMPTY,
                    js_on_load=SCRIPT.read_text("utf-8"),
                    padding=False,
                    elem_id="webcam-empty",
                )
                self.painted = Camera(
                    label="Painted live",
                    interactive=False,
                    buttons=["fullscreen"],
                    height=480,
                    elem_id="painted-live",
                )
        self.style = gr.State(str(self.examples[0].path))

    def connect(self, streams: Streams) -> None:
        def paint(request: gr.Request, url: str | None, style: str, strength: float, size: int):
            if url is None:
                return gr.skip()
            with runs.raised():  # an error ends the stream
                painter = streams.painter(str(request.session_hash), style, strength)
                return encoded(painter(decoded(url, size if size in SIZES else SIZES[0])))

        self.camera.stream(
            paint,
            [self.camera, self.style, self.strength, self.size],
            self.painted,
            time_limit=SECONDS,
            stream_every=EVERY,
            show_progress="hidden",
            **STREAM_LINE,
        )

        def pick(event: gr.SelectData) -> str:
            return str(self.examples[event.index].path)

        self.strip.select(pick, None, self.style, trigger_mode="multiple", **QUICK)


if __name__ == "__main__":
    from nst_demo.ui import backend, theme

    with gr.Blocks() as demo:
        build(make_painter=painting.painter)
    backend.warm_up()
    demo.launch(theme=theme.build_theme(), css_paths=theme.CSS, ssr_mode=False, server_port=7863)
