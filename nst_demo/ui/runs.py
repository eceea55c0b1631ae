"""What happens between Stylize and the picture, as plain functions: no layout, no component."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from nst_demo import images
from nst_demo.errors import StyleTransferError
from nst_demo.ui import files

log = logging.getLogger(__name__)

MAX_SECONDS = 300.0  # of one Quality run, whatever the request says: others wait for the device
PREVIEW_INTERVAL = 0.4  # s between two previews
MIN_LOSS = 1e-4  # the photo's own content loss is 0
OUR_FAULT = "Something went wrong on our side; try again, or try another picture."


@dataclass(frozen=True)
class QualityOptions:
    """What the page offers of Gatys' options; the weights multiply the tuned defaults."""

    style_weight: float = 1.0
    content_weight: float = 1.0
    tv_weight: float = 1.0
    layer_weights: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0, 1.0)
    init: str = "fast"
    optimizer: str = "lbfgs"
    backbone: str = "lite"
    iterations: int = 150
    size: int = 512
    seed: int = 0
    time_budget: float = 120.0


@dataclass(frozen=True)
class Update:
    """What the page shows next; None leaves a part as it is."""

    before_after: tuple[str, str] | None = None
    download: str | None = None
    note: str = ""  # one line of text
    progress: float | None = None  # 0 to 1 while running, None when done
    losses: list[dict[str, Any]] = field(default_factory=list)  # rows: step, part, loss


Updates = Generator[Update, None, None]


class Stops:
    """One stop signal per visitor, set by the Stop button and watched by that visitor's run."""

    def __init__(self) -> None:
        self._events: dict[str, threading.Event] = {}

    @contextmanager
    def run(self, session: str) -> Iterator[threading.Event]:
        event = self._events[session] = threading.Event()
        try:
            yield event
        finally:
            if self._events.get(session) is event:
                del self._events[session]

    def stop(self, session: str) -> bool:
        """Whether there was a run to stop."""
        event = self._events.get(session)
        if event is not None:
            event.set()
        return event is not None


@contextmanager
def sentences() -> Iterator[None]:
    """Whatever goes wrong inside becomes a toast with one sentence; bugs are logged, not shown."""
    try:
        yield
    except StyleTransferError as error:
        raise files.toast(error) from error
    except Exception as error:
        log.exception("A request failed.")
        raise files.toast(StyleTransferError(OUR_FAULT)) from error


def open_photo(photo: str | None, style: str | None) -> images.Picture:
    for what, path in (("photo", photo), ("style", style)):
        if path is None:
            raise StyleTransferError(
                f"There is no {what} yet; upload one, or pick an example below it."
            )
        if not Path(path).exists():  # after a day; the library's own words would show the path
            raise StyleTransferError(f"The {what} is no longer on the server; choose it again.")
    return images.open_picture(str(photo), what="photo")


def fast(
    photo: str | None, style: str | None, strength: float, *, stylize: Callable[..., np.ndarray]
) -> Updates:
    """The picture as soon as it is there, then its download."""
    with sentences():
        picture = open_photo(photo, style)
        started = time.monotonic()
        result = stylize(picture.rgb, style, method="adain", strength=strength)
        note = f"Painted in {seconds_text(time.monotonic() - started)}"
        before = files.display_file(picture.rgb, "photo")
        name = files.download_name(photo, style)
        yield from finished(result, picture.alpha, before, note, name, [])


def quality(
    photo: str | None,
    style: str | None,
    options: QualityOptions,
    stop: threading.Event,
    *,
    iterate: Callable[..., Iterator[Any]],
) -> Updates:
    """Previews while it runs; then, finished or stopped, the best picture in the photo's size.

    Closing it, as gradio does when the visitor leaves, closes the library's run too.
    """
    with sentences():
        picture = open_photo(photo, style)
        yield Update(note="Starting …", progress=0.0)
        budget = min(options.time_budget, MAX_SECONDS)
        settings = asdict(replace(options, time_budget=budget))
        before = files.display_file(picture.rgb, "photo")
        rows: list[dict[str, Any]] = []
        step, shown_at = None, -PREVIEW_INTERVAL
        steps = iterate(picture.rgb, style, method="gatys", **settings)
        with closing(steps):  # type: ignore[type-var]  # a generator
            for step in steps:
                rows += loss_rows(step)
                if stop.is_set():
                    break
                if time.monotonic() - shown_at >= PREVIEW_INTERVAL:
                    yield preview(before, step, rows, budget)
                    shown_at = time.monotonic()
        if step is None:
            raise RuntimeError("iterate() ended without a step")
        result = images.resize(step.image, *picture.rgb.shape[:2])
        how = "Stopped" if stop.is_set() else "Finished"
        note = f"{how} at step {step.iteration} of {step.iterations}, {seconds_text(step.seconds)}"
        name = files.download_name(photo, style)
        yield from finished(result, picture.alpha, before, note, name, rows)


def finished(
    result: np.ndarray,
    alpha: np.ndarray | None,
    before: str,
    note: str,
    name: str,
    rows: list[dict[str, Any]],
) -> Updates:
    """First the picture, then its download: a large PNG takes a moment to write."""
    note = f"{note} · {result.shape[1]} x {result.shape[0]} px"
    shown = Update((before, files.display_file(result, "result")), note=note, losses=rows)
    yield shown
    yield replace(shown, download=files.cache_file(name, images.encode(result, alpha, "PNG")))


def preview(before: str, step: Any, rows: list[dict[str, Any]], budget: float) -> Update:
    left = ""
    if step.iteration:
        pace = step.seconds / step.iteration
        seconds = min(pace * (step.iterations - step.iteration), budget - step.seconds)
        left = f" · {seconds_text(max(seconds, 0.0))} left"
    return Update(
        before_after=(before, files.display_file(step.image, "preview")),
        note=f"Step {step.iteration} of {step.iterations}{left}",
        progress=step.iteration / max(step.iterations, 1),
        losses=list(rows),
    )


def loss_rows(step: Any) -> list[dict[str, Any]]:
    """Plot rows of one step. The plot has no logarithmic axis, so they hold log10 of the loss."""
    return [
        {"step": step.iteration, "part": part, "loss": math.log10(max(step.losses[part], MIN_LOSS))}
        for part in ("total", "style", "content")
    ]


def seconds_text(seconds: float) -> str:
    if seconds < 10:
        return f"{max(seconds, 0.1):.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min"
