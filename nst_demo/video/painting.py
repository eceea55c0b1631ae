"""Paints clips: frames in, any method's per-frame painter, frames out."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nst_demo import temporal
from nst_demo.errors import StyleTransferError, check_range
from nst_demo.video import reading, writing

Painter = Callable[[np.ndarray], np.ndarray]
"""(H, W, 3) in [0, 1] -> a picture of that size; called on the frames of one clip in order."""


@dataclass(frozen=True)
class Progress:
    """One painted frame.

    Attributes:
        frame, frames: done, and planned.
        image: the frame, float32 (H, W, 3) in [0, 1].
        seconds: since the start.
        seconds_left: expected until the end.
        notes: sentences on what differs from the source, such as a side that was made even.
    """

    frame: int
    frames: int
    image: np.ndarray
    seconds: float
    seconds_left: float
    notes: tuple[str, ...] = ()


def stylize_video(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    painter: Painter,
    *,
    frame_rate: float | None = None,
    size: int | None = None,
    limits: reading.Limits = reading.ALONE,
    time_budget: float | None = None,
) -> Iterator[Progress]:
    """Paints a clip frame by frame; yields after each one.

    `output` appears whole when the last frame was taken from this generator, and never where that
    one is closed or fails before. Times of frames are kept (of a GIF's too), and the sound in an
    MP4; nothing else of the source's metadata.

    Args:
        output: .mp4 (H.264, AAC) or .gif.
        painter: `still_painter(...)`, `methods.adain.frame_painter(...)`: a new one for each clip.
        frame_rate: frames per second at most; of a faster clip frames are left out.
        size: long side in px at most.
        limits: of the source.
        time_budget: seconds after which the clip is ended as far as it is painted.

    Raises:
        StyleTransferError: one sentence for anything that the caller can mend. What can be told
            from the arguments and from the source's header is told before the first frame.
    """
    output = writing.check_save_path(output)
    if frame_rate is not None:
        check_range("frame rate", frame_rate, 1, 120)
    clip = reading.probe(source, limits)
    gif = writing.is_gif(output)
    if gif:
        frame_rate = min(frame_rate or writing.MAX_GIF_RATE, writing.MAX_GIF_RATE)
    times = _kept(clip.times, frame_rate)
    reader = reading.Reader(source, clip, times, size, limits, sound=not gif)
    return _painted(reader, output, painter, time_budget)


def _painted(
    reader: reading.Reader, output: Path, painter: Painter, time_budget: float | None
) -> Iterator[Progress]:
    """While one frame is painted, the next one is read and the last one is written."""
    pace = _Pace(reader.frames_planned, time_budget)
    with (
        reader,
        writing.writer(output, reader) as writer,
        ThreadPoolExecutor(2, "video") as pool,  # left first: it may be at work
    ):
        frames = reader.frames()
        ahead = pool.submit(next, frames)
        written: Future[None] | None = None
        while not pace.ended and (frame := ahead.result()).rgb is not None:
            ahead = pool.submit(next, frames)
            image = painter(frame.rgb)
            if written is not None:
                written.result()
            written = pool.submit(writer.write, frame, image)
            yield pace.progress(image, [*reader.notes, *writer.notes])
        if written is None:
            raise reading.damaged(reader.path)
        written.result()
        writer.finish([] if pace.ended else ahead.result().sound)


@dataclass
class _Pace:
    """Counts painted frames, and the seconds done and left.

    ended: whether the budget is used up before the last frame.
    """

    frames: int
    budget: float | None
    started: float = field(default_factory=time.monotonic)
    done: int = 0
    first: float = 0.0  # seconds of the first frame: networks are loaded and compiled in it
    ended: bool = False

    def progress(self, image: np.ndarray, notes: Sequence[str]) -> Progress:
        """After one more frame."""
        self.done += 1
        seconds = time.monotonic() - self.started
        if self.done == 1:
            self.first = seconds
        left = self.frames - self.done
        self.ended = self.budget is not None and seconds > self.budget and left > 0
        if self.ended:
            cut = (
                f"The time limit of {self.budget:g} s ended it after {self.done} of {self.frames} "
                "frames; choose a smaller size or a lower frame rate for all of them."
            )
            return Progress(self.done, self.frames, image, seconds, 0.0, (*notes, cut))
        each = (seconds - self.first) / (self.done - 1) if self.done > 1 else seconds
        return Progress(self.done, self.frames, image, seconds, each * left, tuple(notes))


def _kept(times: reading.Times, frame_rate: float | None) -> reading.Times:
    """`times` with at most one frame in each 1 / frame_rate seconds, shown until the next."""
    if frame_rate is None:
        return times
    kept, last = [], -1
    for entry in times:
        tick = math.floor(entry[1] * frame_rate + 0.02)  # 0.02: times are rounded in files
        if tick > last:
            kept.append(entry)
            last = tick
    end = times[-1][1] + times[-1][2]
    starts = [start for _, start, _ in kept[1:]] + [end]
    return [(pts, at, until - at) for (pts, at, _), until in zip(kept, starts, strict=True)]


def painter(
    styles: Sequence[np.ndarray],
    *,
    network: str | None = None,
    smoothing: float = temporal.SMOOTHING,
    **options: Any,
) -> Painter:
    """A painter of one clip: in the blend of `styles`, or by the trained style `network`.

    options: of `methods.adain.Options` or `methods.feedforward.Options`, such as strength.
    """
    check_range("smoothing", smoothing, 0, 1)
    if network is None:
        from nst_demo.methods import adain

        if not styles:
            raise StyleTransferError("There is no style; give a picture, or a trained style.")
        return adain.frame_painter(styles, adain.Options(**options), smoothing)
    from nst_demo.methods import feedforward

    values = feedforward.Options(network=network, **options)
    return still_painter(lambda frame: feedforward.stylize(frame, [], values), smoothing)


def still_painter(
    stylize: Callable[[np.ndarray], np.ndarray], smoothing: float = temporal.SMOOTHING
) -> Painter:
    """A painter of a function that paints each frame by itself, such as a trained style's."""
    check_range("smoothing", smoothing, 0, 1)
    still = temporal.Stillness(smoothing)

    def paint(frame: np.ndarray) -> np.ndarray:
        return still.steady(stylize(still.calm(frame)))

    return paint
