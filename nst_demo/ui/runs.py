"""What happens between Stylize and the picture, as plain functions: no layout, no component."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import nst_demo
from nst_demo import images, methods, recipes, settings
from nst_demo.errors import StyleTransferError
from nst_demo.ui import chart, controls, files, painter

log = logging.getLogger(__name__)

MAX_SECONDS = 300.0  # of one Quality run of a stranger: others wait for the device
MAX_SECONDS_ALONE = 1800.0  # where the page is served to this machine only
PREVIEW_INTERVAL = 0.7  # s between two previews
PREVIEWS_KEPT = 8  # files; a slow connection may still be loading the last ones
PACE_WINDOW = 6.0  # s over which the iterations per second are counted
OUR_FAULT = "Something went wrong on our side; try again, or try another picture."
PLACES = ("first", "second", "third", "fourth")


@dataclass(frozen=True)
class Request:
    """What a visitor asks for; pictures by the path of their file.

    Attributes:
        photo: None where there is none yet.
        styles: by place; None where there is none. The first, or all, or none are looked at, as
            the method takes them.
        weights: one for each place.
        options: of `nst_demo.stylize` or `iterate`, without those of the pictures.
        drawing: the regions, see `painter`.
        start: a picture to start from.
        stop_at: the iteration at which to end.
        method: of a Fast run.
    """

    photo: str | None
    styles: Sequence[str | None]
    weights: Sequence[float] = (1.0,) * controls.STYLES
    options: Mapping[str, Any] = field(default_factory=dict)
    drawing: str | None = None
    start: str | None = None
    stop_at: int | None = None
    method: str = "adain"

    @property
    def pictures(self) -> list[str | None]:
        """Of the photo and of each style by place."""
        return [self.photo, *self.styles]


@dataclass(frozen=True)
class Update:
    """What the page shows next.

    Attributes:
        note: one line of text.
        details: a second one, for whoever wants to know.
        before_after: paths of the pictures; None leaves them as they are.
        progress: 0 to 1 while running, None when done.
        losses: HTML of the plot; None leaves it as it is.
        download, settings: paths of the result and of its settings; None where there is no result
            (yet).
        failed: whether nothing was painted, so that all stays as it was.
    """

    note: str = ""
    details: str = ""
    before_after: tuple[str, str] | None = None
    progress: float | None = None
    losses: str | None = None
    download: str | None = None
    settings: str | None = None
    failed: bool = False


Updates = Generator[Update, None, None]
FAILED = Update(failed=True)


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


# ---- Errors --------------------------------------------------------------------------------------


@contextmanager
def raised() -> Iterator[None]:
    """For programs: what goes wrong inside is raised as one sentence; bugs are logged."""
    try:
        yield
    except StyleTransferError as error:
        raise files.error(error) from error
    except Exception as error:
        log.exception("A request failed.")
        raise files.error(StyleTransferError(OUR_FAULT)) from error


@contextmanager
def told() -> Iterator[None]:
    """For the page: what goes wrong inside is a toast with one sentence, and the page goes on."""
    try:
        yield
    except StyleTransferError as error:
        files.warn(error)
    except Exception:
        log.exception("A request failed.")
        files.warn(StyleTransferError(OUR_FAULT))


# ---- The pictures of a request -------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """A request with its pictures opened.

    options: of the method, with the styles' weights.
    masks: (h, w) for each style, at the size they were drawn at.
    """

    method: str
    options: dict[str, Any]
    request: Request
    photo: images.Picture
    styles: list[np.ndarray]
    masks: list[np.ndarray] | None
    start: np.ndarray | None
    style_paths: list[str] = field(default_factory=list)

    @classmethod
    def open(cls, method: str, request: Request) -> Job:
        """StyleTransferError for a picture that is missing or cannot be opened."""
        least, most = methods.named(method).styles
        check_file(request.photo, "photo")
        if least:
            check_file(next(iter(request.styles), None), "style")
        places = request.styles[:most]
        chosen = [place for place, style in enumerate(places) if style is not None]
        if any(request.weights[place] for place in chosen):  # a share of 0 adds nothing
            chosen = [place for place in chosen if request.weights[place]]
        options = dict(request.options)
        if len(chosen) > 1:
            options["style_weights"] = tuple(request.weights[place] for place in chosen)
        photo = images.open_picture(str(request.photo), what="photo")
        styles = []
        for place in chosen:
            what = f"{PLACES[place]} style" if place else "style"
            check_file(request.styles[place], what)
            styles.append(images.open_picture(str(request.styles[place]), what=what).rgb)
        drawn = painter.labels(request.drawing)
        masks = painter.masks(drawn, [place + 1 for place in chosen] or [1])
        start = None
        if request.start is not None:
            check_file(request.start, "picture to start from")
            start = images.open_picture(request.start, what="picture to start from").rgb
            options["init"] = "content"  # instead of a fast result, which would not be used
        paths = [str(request.styles[place]) for place in chosen]
        return cls(method, options, request, photo, styles, masks, start, paths)

    def arguments(self) -> dict[str, Any]:
        """For `nst_demo.stylize` and `iterate`, but the photo and the styles."""
        given: dict[str, Any] = {"method": self.method, **self.options}
        if self.masks is not None:
            given["masks"] = self.masks
        if self.start is not None:
            given["init_image"] = self.start
        return given

    @property
    def style_name(self) -> str | None:
        """For the result's file name: of the first style picture, or of the trained style."""
        if self.style_paths:
            return self.style_paths[0]
        return self.options.get("network")

    def full_size(self, image: np.ndarray) -> np.ndarray:
        """The image of a Step at the photo's size."""
        colors = self.options.get("keep_colors", "none")
        return nst_demo.enlarge(image, self.photo.rgb, masks=self.masks, keep_colors=colors)

    def describe(self, stopped_at: int | None = None) -> settings.Settings:
        return settings.describe(
            self.method,
            self.options,
            settings.picture(self.request.photo, self.photo.rgb),
            [settings.picture(*pair) for pair in zip(self.style_paths, self.styles, strict=True)],
            masks=mask_inputs(self.masks),
            start=None if self.start is None else settings.picture(self.request.start, self.start),
            stopped_at=stopped_at,
        )


def check_file(path: str | None, what: str) -> None:
    if path is None:
        raise StyleTransferError(
            f"There is no {what} yet; upload one, or pick an example below it."
        )
    if not Path(path).exists():  # swept; the library's own words would show the path
        raise StyleTransferError(f"The {what} is no longer on the server; choose it again.")


def style_or_network(path: str | None) -> tuple[list[np.ndarray], str | None]:
    """For a painter of clips: the style's picture, or the network trained for it. As `check_file`,
    and StyleTransferError for no picture."""
    check_file(path, "style")
    network = controls.network_for(str(path))
    return [] if network else [images.open_picture(str(path), what="style").rgb], network


def mask_inputs(masks: Sequence[np.ndarray] | None) -> list[settings.Input]:
    return [
        settings.Input(f"region {number}", settings.fingerprint(mask))
        for number, mask in enumerate(masks or (), 1)
    ]


# ---- Runs ----------------------------------------------------------------------------------------


def fast(request: Request, *, stylize: Callable[..., np.ndarray]) -> Updates:
    """The picture as soon as it is there, then its download."""
    done = False
    with told():
        job = Job.open(request.method, request)
        method = methods.named(request.method)
        if method.download:
            words = f"{method.title} is downloaded first ({method.download}) where it has not been."
            yield Update("Painting …", words, progress=0.0)
        started = time.monotonic()
        result = stylize(job.photo.rgb, job.styles, **job.arguments())
        note = f"Painted in {seconds_text(time.monotonic() - started)}"
        own = "By the network trained for this style." if method.networks else ""
        before = files.display_file(job.photo.rgb, "photo")
        done = True
        yield from finished(job, result, before, Update(note, own, losses=""))
    if not done:
        yield FAILED


def quality(
    request: Request,
    stop: threading.Event,
    *,
    iterate: Callable[..., Iterator[Any]],
    device: Callable[[], str | None] = lambda: None,
    max_seconds: float = MAX_SECONDS,
) -> Updates:
    """Previews while it runs; then, finished or stopped, the best picture in the photo's size.

    Closing it, as gradio does when the visitor leaves, closes the library's run too. What goes
    wrong on the way loses nothing: the best picture so far is the result.
    """
    run = None
    with told():
        yield Update("Starting …", download_note(request.options), progress=0.0)
        budget = min(request.options.get("time_budget") or max_seconds, max_seconds)
        job = Job.open(
            "gatys", replace(request, options={**request.options, "time_budget": budget})
        )
        run = _Run(job, stop, device)
        yield from run.previews(iterate)
    if run is None or run.step is None:
        yield FAILED
        return
    with told():
        yield from run.finished()


class _Run:
    """A Quality run; `step` is its last one, None before the first."""

    def __init__(self, job: Job, stop: threading.Event, device: Callable[[], str | None]):
        self.job, self.stop, self.device = job, stop, device
        self.step: Any = None
        self.losses, self.previews_shown = chart.Losses(), deque[str]()
        self.pace: deque[tuple[int, float]] = deque()

    def previews(self, iterate: Callable[..., Iterator[Any]]) -> Updates:
        job, shown_at = self.job, -PREVIEW_INTERVAL
        self.before = files.display_file(job.photo.rgb, "photo")
        # A step at every iteration: for Stop, for the settings' stop, and where steps are slow.
        steps = iterate(job.photo.rgb, job.styles, **job.arguments(), save_every=1)
        with closing(steps):  # type: ignore[type-var]  # a generator
            for self.step in steps:
                self.losses.add(self.step.iteration, self.step.losses)
                self._count()
                if self.stop.is_set() or self._at_end():
                    break
                if time.monotonic() - shown_at >= PREVIEW_INTERVAL:
                    yield self._preview()
                    shown_at = time.monotonic()
        if self.step is None:
            raise RuntimeError("iterate() ended without a step")

    def _at_end(self) -> bool:
        end = self.job.request.stop_at
        return end is not None and self.step.iteration >= end

    def _count(self) -> None:
        self.pace.append((self.step.iteration, self.step.seconds))
        while self.pace[-1][1] - self.pace[0][1] > PACE_WINDOW and len(self.pace) > 2:
            self.pace.popleft()

    def _preview(self) -> Update:
        step = self.step
        path = files.display_file(step.image, "preview")
        self.previews_shown.append(path)
        if len(self.previews_shown) > PREVIEWS_KEPT:
            files.remove(self.previews_shown.popleft())
        parts = [f"Step {step.iteration} of {step.iterations}"]
        if step.seconds_left is not None:
            parts.append(f"{seconds_text(step.seconds_left)} left")
        (first, began), (last, now) = self.pace[0], self.pace[-1]
        if last > first and now > began:
            parts.append(pace_text((last - first) / (now - began)))
        if device := self.device():
            parts.append(device)
        return Update(
            " · ".join(parts),
            _told(step.note),
            (self.before, path),
            progress=step.iteration / max(step.iterations, 1),
            losses=self.losses.html(),
        )

    def finished(self) -> Updates:
        step = self.step
        result = self.job.full_size(step.image)
        how = "Stopped" if self.stop.is_set() else "Finished"
        note = f"{how} at step {step.iteration} of {step.iterations}, {seconds_text(step.seconds)}"
        ended = step.iteration if step.iteration < step.iterations else None
        details = _told(step.note)
        if ended is not None and self._at_end():
            details = f"{details} Ended where the opened settings say.".strip()
        shown = Update(note, details, losses=self.losses.html())
        yield from finished(self.job, result, self.before, shown, ended)


def finished(
    job: Job, result: np.ndarray, before: str, update: Update, stopped_at: int | None = None
) -> Updates:
    """First the picture, then its downloads: a large PNG takes a moment to write."""
    height, width = result.shape[:2]
    update = replace(
        update,
        note=f"{update.note} · {width} x {height} px",
        before_after=(before, files.display_file(result, "result")),
    )
    yield update
    text = settings.to_json(job.describe(stopped_at))
    name = files.download_name(job.request.photo, job.style_name)
    yield replace(
        update,
        download=files.cache_file(name, images.encode(result, job.photo.alpha, "PNG", text)),
        settings=files.cache_file(f"{Path(name).stem}.json", f"{text}\n".encode("ascii")),
    )


def download_note(options: Mapping[str, Any]) -> str:
    """What is to be known before a network is loaded for the first time."""
    backbone = options.get("backbone", _recipe(options).backbone)
    if backbone not in controls.DOWNLOADS:
        return ""
    name, size = controls.BACKBONES[backbone], controls.DOWNLOADS[backbone]
    return f"{name} is downloaded first ({size}) where it has not been yet."


def varies(options: Mapping[str, Any]) -> bool:
    """Whether Quality paints another picture with another seed: it starts from noise."""
    return "noise" in options.get("init", _recipe(options).init)


def _recipe(options: Mapping[str, Any]) -> recipes.Recipe:
    return recipes.named(options.get("recipe", recipes.DEFAULT.name))


# ---- Words ---------------------------------------------------------------------------------------


def seconds_text(seconds: float) -> str:
    if seconds < 10:
        return f"{max(seconds, 0.1):.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min"


def pace_text(per_second: float) -> str:
    if per_second < 1:
        return f"{1 / per_second:.1f} s a step"
    return f"{per_second:.{0 if per_second >= 10 else 1}f} steps a second"


def _told(note: str | None) -> str:
    return f"Note: {note}." if note else ""
