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
        image: the best image so far, float32 (h, w, 3) in [0, 1], at the size worked at.
        seconds: since the start.
    """

    iteration: int
    iterations: int
    losses: dict[str, float]
    image: np.ndarray
    seconds: float
