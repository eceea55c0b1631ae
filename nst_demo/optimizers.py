"""L-BFGS (TensorFlow and Keras have none) and Adam, for one tensor and a costly gradient.

Both are written as `minimise(evaluate, start, ...)` generators that yield after every evaluation,
so that a caller can preview, stop, or release the device between two evaluations.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

Evaluate = Callable[[np.ndarray], tuple[float, np.ndarray]]


@dataclass(frozen=True)
class Evaluation:
    """One point that was tried: x and its gradient are float32 arrays of one shape."""

    x: np.ndarray
    loss: float
    gradient: np.ndarray


def _dot(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.dot(a.ravel(), b.ravel()))


class _InverseHessian:
    """The two-loop recursion over the last `memory` steps (Nocedal & Wright 2006, alg. 7.4)."""

    def __init__(self, memory: int):
        self.pairs: deque[tuple[np.ndarray, np.ndarray, float]] = deque(maxlen=memory)

    def update(self, step: np.ndarray, change: np.ndarray) -> None:
        """Learns from a step and the gradient's change over it, where curvature is positive."""
        curvature = _dot(step, change)
        if curvature > 1e-10 * _dot(change, change):
            self.pairs.append((step, change, 1.0 / curvature))

    def times(self, gradient: np.ndarray) -> np.ndarray:
        q, scaled = gradient.copy(), np.empty_like(gradient)
        alphas = []
        for step, change, rho in reversed(self.pairs):
            alphas.append(alpha := rho * _dot(step, q))
            q -= np.multiply(change, np.float32(alpha), out=scaled)
        _, change, rho = self.pairs[-1]
        q *= np.float32(1.0 / (rho * _dot(change, change)))  # eq. 7.20
        for (step, change, rho), alpha in zip(self.pairs, reversed(alphas), strict=True):
            q += np.multiply(step, np.float32(alpha - rho * _dot(change, q)), out=scaled)
        return q


def lbfgs(
    evaluate: Evaluate,
    start: np.ndarray,
    *,
    memory: int = 10,
    first_step: float = 1e-2,
    armijo: float = 1e-4,
    max_step: float = 0.5,
) -> Iterator[Evaluation]:
    """Limited-memory BFGS with a backtracking line search; yields every evaluation, without end.

    Liu & Nocedal 1989. With a good Hessian estimate the unit step is nearly always accepted, so a
    step costs one evaluation; a step that does not lower the loss enough (Armijo) is shortened by
    quadratic interpolation. Where even that fails, the memory is dropped and the search goes on
    along the gradient. Ends (the generator returns) where no descent is found there either.

    Args:
        evaluate: x -> (loss, gradient); a loss that is not finite counts as too long a step.
        start: float32 array of any shape.
        memory: pairs kept.
        first_step: largest change of an element in the first step, in units of x.
        max_step: largest change of an element in any step, in units of x.
    """
    x = start.astype(np.float32)
    loss, gradient = evaluate(x)
    yield Evaluation(x, loss, gradient)
    hessian = _InverseHessian(memory)
    while np.any(gradient):
        steepest = not hessian.pairs
        direction = -gradient if steepest else -hessian.times(gradient)
        slope = _dot(direction, gradient)
        if not slope < 0:
            if steepest:  # gradients so small that their squares vanish, or NaN
                return
            hessian.pairs.clear()
            continue
        longest = float(np.abs(direction).max())
        scale = first_step / longest if steepest else min(1.0, max_step / longest)
        accepted = None
        for _ in range(8):
            trial = x + np.float32(scale) * direction
            trial_loss, trial_gradient = evaluate(trial)
            yield Evaluation(trial, trial_loss, trial_gradient)
            if np.isfinite(trial_loss) and trial_loss <= loss + armijo * scale * slope:
                accepted = trial
                break
            excess = trial_loss - loss - scale * slope
            best = -slope * scale**2 / (2.0 * excess) if np.isfinite(excess) and excess > 0 else 0.0
            scale = float(np.clip(best, 0.1 * scale, 0.5 * scale))
        if accepted is None:
            if steepest:
                return
            hessian.pairs.clear()
            continue
        hessian.update(accepted - x, trial_gradient - gradient)
        x, loss, gradient = accepted, trial_loss, trial_gradient


def adam(
    evaluate: Evaluate,
    start: np.ndarray,
    *,
    learning_rate: float = 0.02,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-8,
    clip: tuple[float, float] | None = None,
) -> Iterator[Evaluation]:
    """Adam (Kingma & Ba, arXiv 1412.6980, alg. 1); yields every evaluation, without end.

    `clip` keeps x in a range after every step. Ends where the loss is no longer finite.
    """
    x = start.astype(np.float32)
    first, second = np.zeros_like(x), np.zeros_like(x)
    step = 0
    while True:
        loss, gradient = evaluate(x)
        yield Evaluation(x, loss, gradient)
        if not np.isfinite(loss):
            return
        step += 1
        first += np.float32(1 - beta_1) * (gradient - first)
        second += np.float32(1 - beta_2) * (np.square(gradient) - second)
        rate = learning_rate * np.sqrt(1 - beta_2**step) / (1 - beta_1**step)
        x = x - np.float32(rate) * first / (np.sqrt(second) + np.float32(epsilon))
        if clip is not None:
            x = np.clip(x, *clip)
