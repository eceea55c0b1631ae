"""What an iterative method tells while it runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Step:
    """One report of a run.

    Attributes:
        iteration: loss evaluations done, 0 at the start.
        iterations: evaluations planned.
        losses: weighted losses of `image` by part: total, content, style,
            variation, and range (values outside [0, 1]).
        image: the best image so far at the size worked at, float32 (h, w, 3) in [0, 1]. Coarse to
            fine, that size grows in the course of the run.
        seconds: since the start.
        seconds_left: expected until the end; None before it can be told.
        note: what a person should know of this run, such as "tiled in 4"; None for nothing.
    """

    iteration: int
    iterations: int
    losses: dict[str, float]
    image: np.ndarray
    seconds: float
    seconds_left: float | None = None
    note: str | None = None

    @property
    def scale(self) -> tuple[int, int]:
        """(h, w) worked at."""
        height, width = self.image.shape[:2]
        return height, width
