"""The loss by part while a run goes on, as light HTML that the page patches in place.

gr.LinePlot draws itself anew at each update: it flickers, and takes the CPU that the run needs.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping

PARTS = ("total", "content", "style", "variation")
COLOURS = {"total": "#8a817a", "content": "#2f86c8", "style": "#e2562f", "variation": "#3d9a50"}
MAX_POINTS = 160  # of a line: a phone shows no more
WIDTH, HEIGHT = 1000, 100  # of the drawing's own coordinates, stretched to the page
LEAST_SPAN = 0.5  # decades that the axis shows at least


class Losses:
    """The losses of a run so far."""

    def __init__(self) -> None:
        self._rows: list[tuple[int, Mapping[str, float]]] = []

    def add(self, iteration: int, losses: Mapping[str, float]) -> None:
        self._rows.append((iteration, losses))

    def html(self) -> str:
        """Lines over the iterations with a logarithmic y axis; "" until there are two points."""
        every = max(1, math.ceil(len(self._rows) / MAX_POINTS))
        rows = self._rows[::-every][::-1]  # with the newest
        curves = {
            part: points
            for part in PARTS
            if len(points := [(i, x[part]) for i, x in rows if _drawable(x.get(part))]) > 1
        }
        if not curves:
            return ""
        logs = [math.log10(value) for points in curves.values() for _, value in points]
        low, high = _span(logs)
        first, last = rows[0][0], rows[-1][0]

        def place(iteration: int, value: float) -> str:
            x = WIDTH * (iteration - first) / max(last - first, 1)
            y = HEIGHT * (high - math.log10(value)) / (high - low)
            return f"{x:.0f},{y:.1f}"

        lines = "".join(
            f'<polyline stroke="{COLOURS[part]}" points="{" ".join(place(*p) for p in points)}"/>'
            for part, points in curves.items()
        )
        ticks = [(tick, 100 * (high - tick) / (high - low)) for tick in _ticks(low, high)]
        grid = "".join(f'<path d="M0 {y:.1f}H{WIDTH}"/>' for _, y in ticks)
        names = "".join(f'<span style="top:{y:.1f}%">{10**tick:.2g}</span>' for tick, y in ticks)
        legend = "".join(
            f'<span><i style="background:{COLOURS[part]}"></i>{part} <b>{points[-1][1]:.3g}</b>'
            "</span>"
            for part, points in curves.items()
        )
        return (
            '<figure class="chart" aria-label="Loss by part">'
            f"<figcaption><strong>Loss</strong>{legend}</figcaption>"
            f'<div class="paper">{names}<svg viewBox="0 0 {WIDTH} {HEIGHT}" '
            f'preserveAspectRatio="none" aria-hidden="true">{grid}{lines}</svg></div>'
            f'<div class="steps"><span>step {first}</span><span>lower is closer to the goal</span>'
            f"<span>step {last}</span></div></figure>"
        )


def _drawable(value: float | None) -> bool:
    return value is not None and math.isfinite(value) and value > 0


def _span(logs: list[float]) -> tuple[float, float]:
    """Ends of the y axis. The highest lines count in full, the lowest down to four decades."""
    high = max(logs)
    low = max(min(logs), high - 4)
    middle, half = (low + high) / 2, max(high - low, LEAST_SPAN) / 2
    return middle - 1.06 * half, middle + 1.06 * half


def _ticks(low: float, high: float) -> list[float]:
    """Decades; also 2 and 5 where there is room for them."""
    steps = (0.0,) if high - low > 2 else (0.0, math.log10(2), math.log10(5))
    marks = [d + s for d in range(math.floor(low), math.ceil(high)) for s in steps]
    return [mark for mark in marks if low <= mark <= high]


def status(note: str, progress: float | None = None, details: str = "") -> str:
    """The line above the picture: how far a run is, and what should be known of it."""
    bar = ""
    if progress is not None:
        bar = (
            '<div class="bar" role="progressbar" aria-label="Progress" aria-valuemin="0" '
            f'aria-valuemax="100" aria-valuenow="{100 * progress:.0f}">'
            f'<i style="width:{100 * progress:.1f}%"></i></div>'
        )
    more = f'<div class="details">{html.escape(details)}</div>' if details else ""
    # A screen reader says the start and the end by itself, but not every step between them.
    role = "" if progress else ' role="status"'
    return f'<div class="line"{role}>{bar}{html.escape(note)}{more}</div>'
