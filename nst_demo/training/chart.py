"""A small line chart with a logarithmic y axis, as a picture.

The one module besides `images.py` and `ui/` that imports PIL: for lines and letters, not pictures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from nst_demo import images

WIDTH, HEIGHT = 960, 540  # px
PLOT = (64, 24, 730, 492)  # left, top, right, bottom of the plotting area; the legend is beside it
SHARPNESS = 2  # drawn so much larger, then shrunk: smooth lines
INK, GRID = (60, 60, 60), (225, 225, 225)
# Okabe & Ito's colours, which colour-blind people can tell apart.
COLOURS = (
    (0, 114, 178),
    (213, 94, 0),
    (0, 158, 115),
    (204, 121, 167),
    (230, 159, 0),
    (86, 180, 233),
    (120, 120, 120),
)


def save(path: Path, steps: Sequence[float], curves: Mapping[str, Sequence[float]]) -> None:
    """Writes the curves over `steps`; values that are not positive and finite leave a gap."""
    paper = _Paper(steps, [v for values in curves.values() for v in values if _drawable(v)])
    paper.axes()
    for number, (name, values) in enumerate(curves.items()):
        paper.curve(COLOURS[number % len(COLOURS)], steps, values)
        paper.legend(COLOURS[number % len(COLOURS)], number, name, values[-1])
    images.save_image(path, paper.pixels())


class _Paper:
    """The drawing, with the scales of its axes."""

    def __init__(self, steps: Sequence[float], values: Sequence[float]):
        self.first, self.last = min(steps), max(steps)
        low, high = math.log10(min(values, default=0.1)), math.log10(max(values, default=1.0))
        room = 0.04 * (high - low) + 0.01
        self.low, self.high = low - room, high + room
        self.image = Image.new("RGB", (SHARPNESS * WIDTH, SHARPNESS * HEIGHT), "white")
        self.pen = ImageDraw.Draw(self.image)
        self.font = ImageFont.load_default(13 * SHARPNESS)

    def x(self, step: float) -> float:
        share = (step - self.first) / max(self.last - self.first, 1)
        return SHARPNESS * (PLOT[0] + share * (PLOT[2] - PLOT[0]))

    def y(self, value: float) -> float:
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return SHARPNESS * (PLOT[3] - share * (PLOT[3] - PLOT[1]))

    def axes(self) -> None:
        left, top, right, bottom = (SHARPNESS * side for side in PLOT)
        for value in _log_ticks(self.low, self.high):
            self.pen.line((left, self.y(value), right, self.y(value)), GRID, SHARPNESS)
            self.text((left - 8 * SHARPNESS, self.y(value)), f"{value:g}", "rm")
        for step in _even_ticks(self.first, self.last):
            self.pen.line((self.x(step), top, self.x(step), bottom), GRID, SHARPNESS)
            self.text((self.x(step), bottom + 8 * SHARPNESS), f"{step:,.0f}", "ma")
        self.pen.rectangle((left, top, right, bottom), outline=INK, width=SHARPNESS)
        self.text(((left + right) / 2, bottom + 26 * SHARPNESS), "steps", "ma")

    def curve(
        self, colour: tuple[int, int, int], steps: Sequence[float], values: Sequence[float]
    ) -> None:
        points: list[tuple[float, float]] = []
        for step, value in [*zip(steps, values, strict=True), (0.0, math.nan)]:
            if _drawable(value):
                points.append((self.x(step), self.y(value)))
                continue
            self.pen.line(points, colour, 2 * SHARPNESS, joint="curve")
            points = []

    def legend(self, colour: tuple[int, int, int], row: int, name: str, value: float) -> None:
        left, y = SHARPNESS * (PLOT[2] + 16), SHARPNESS * (PLOT[1] + 14 + 22 * row)
        self.pen.line((left, y, left + 20 * SHARPNESS, y), colour, 3 * SHARPNESS)
        self.text((left + 28 * SHARPNESS, y), f"{name}  {value:.4g}", "lm")

    def text(self, place: tuple[float, float], words: str, anchor: str) -> None:
        self.pen.text(place, words, INK, self.font, anchor)

    def pixels(self) -> np.ndarray:
        small = self.image.resize((WIDTH, HEIGHT), Image.Resampling.BOX)
        return np.asarray(small, "float32") / 255.0


def _drawable(value: float) -> bool:
    return math.isfinite(value) and value > 0


def _log_ticks(low: float, high: float) -> Iterator[float]:
    """1, 2, 5, 10, ... within 10^low to 10^high; finer where that leaves fewer than two."""
    for mantissas in ((1, 2, 5), range(1, 10), np.arange(1, 10, 0.1)):
        exponents = range(math.floor(low), math.ceil(high) + 1)
        ticks = [float(f"{m}e{e}") for e in exponents for m in mantissas]
        ticks = [tick for tick in ticks if low <= math.log10(tick) <= high]
        if len(ticks) > 1:
            break
    yield from ticks[:: math.ceil(len(ticks) / 12) or 1]


def _even_ticks(first: float, last: float) -> Iterator[float]:
    """About six round numbers from `first` to `last`."""
    rough = max(last - first, 1) / 6
    power = 10 ** math.floor(math.log10(rough))
    step = max(1, next(m * power for m in (1, 2, 5, 10) if m * power >= rough))
    tick = math.ceil(first / step) * step
    while tick <= last:
        yield tick
        tick += step
