"""L-BFGS (TensorFlow and Keras have none), Adam and SGD, for one tensor and a costly gradient.

All are generators, `optimizer(evaluate, start, ...)`, that yield after every evaluation, so that a
caller can preview, stop, or release the device between two evaluations. `minimise` takes the one
that a recipe names.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

import numpy as np

from nst_demo import wavelets
from nst_demo.recipes import Recipe, Scaling

FIRST_STEP, MAX_STEP = 1e-2, 0.5  # of L-BFGS, in units of x
ARMIJO = 1e-4  # share of the slope by which a step has to lower the loss
TRIALS = 8  # of a line search
REMEMBERED = 0.8  # of the sums of `_WaveletScaling`, with each step
COMMON = 0.1  # of a band's mean in each of its coefficients' sums: one alone may be near 0
LARGEST_SCALE = 1e3  # by how much a coefficient's curvature may differ from that of the last step
# Least and most steps that L-BFGS remembers, by its scaling. In wavelets ten lead no lower than
# five, and reading them takes time.
PAIRS = {"secant": (4, 10), "wavelets": (2, 5)}
PAIR_BYTES = 75e6  # that they may take: ten of 559 x 559 px, two of 1024 x 1024

Evaluate = Callable[[np.ndarray], tuple[float, np.ndarray]]


@dataclass(frozen=True)
class Evaluation:
    """One point that was tried: x and its gradient are float32 arrays of one shape."""

    x: np.ndarray
    loss: float
    gradient: np.ndarray


def _dot(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.dot(a.ravel(), b.ravel()))


class _WaveletScaling:
    """The size of each wavelet coefficient's inverse curvature, from the steps so far.

    It is √(Σ s² / Σ y²) of the coefficient's part s of each step and y of the gradient's change.
    Unlike s·y / y² it needs no s·y, which for single coefficients is mostly noise.
    """

    def __init__(self) -> None:
        self.steps = self.changes = np.zeros(0, "float32")

    def update(self, step: np.ndarray, change: np.ndarray) -> None:
        steps, changes = np.square(step), np.square(change)
        if self.steps.size:
            steps += np.float32(REMEMBERED) * self.steps
            changes += np.float32(REMEMBERED) * self.changes
        self.steps, self.changes = steps, changes

    def times(self, coefficients: np.ndarray, common: float) -> np.ndarray:
        """common: what it is for all where their curvature is the same."""
        scale = np.empty_like(coefficients)
        every = zip(*map(wavelets.bands, (scale, self.steps, self.changes)), strict=True)
        for band, steps, changes in every:
            if band.size:
                shared = np.float32(COMMON) * steps.mean((1, 2), keepdims=True)
                np.add(steps, shared, out=band)
                shared = np.float32(COMMON) * changes.mean((1, 2), keepdims=True)
                band /= np.maximum(changes + shared, np.float32(1e-30))
        np.sqrt(scale, out=scale)
        np.clip(scale, common / LARGEST_SCALE, common * LARGEST_SCALE, out=scale)
        scale *= coefficients
        return scale


class _InverseHessian:
    """The two-loop recursion over the last `memory` steps (Nocedal & Wright 2006, alg. 7.4)."""

    def __init__(self, memory: int, in_wavelets: bool):
        self.pairs: deque[tuple[np.ndarray, np.ndarray, float]] = deque(maxlen=memory)
        self.in_wavelets = in_wavelets
        self.forget()

    def forget(self) -> None:
        self.pairs.clear()
        self.scaling = _WaveletScaling()

    def update(self, step: np.ndarray, change: np.ndarray) -> None:
        """Learns from a step and the gradient's change over it, where curvature is positive."""
        curvature = _dot(step, change)
        if curvature > 1e-10 * _dot(change, change):
            self.pairs.append((step, change, 1.0 / curvature))
            if self.in_wavelets:
                self.scaling.update(step, change)

    def times(self, gradient: np.ndarray) -> np.ndarray:
        q, scaled = gradient.copy(), np.empty_like(gradient)
        alphas = []
        for step, change, rho in reversed(self.pairs):
            alphas.append(alpha := rho * _dot(step, q))
            q -= np.multiply(change, np.float32(alpha), out=scaled)
        _, change, rho = self.pairs[-1]
        common = 1.0 / (rho * _dot(change, change))  # eq. 7.20
        q = self.scaling.times(q, common) if self.in_wavelets else np.float32(common) * q
        for (step, change, rho), alpha in zip(self.pairs, reversed(alphas), strict=True):
            q += np.multiply(step, np.float32(alpha - rho * _dot(change, q)), out=scaled)
        return q


def _unchanged(x: np.ndarray) -> np.ndarray:
    return x


def _line_search(
    evaluate: Evaluate,
    start: tuple[np.ndarray, float],
    direction: np.ndarray,
    slope: float,
    highest: float,
) -> Generator[Evaluation, None, tuple[float, Evaluation] | None]:
    """Yields each trial; returns (step length, the trial that stays), or None where none of eight
    does.

    A trial stays where its loss is (Armijo) below `highest`; else the step is shortened by
    quadratic interpolation.

    Args:
        start: x and its loss.
        slope: of the loss along `direction`, below 0.
    """
    (x, loss), length = start, 1.0
    for _ in range(TRIALS):
        trial = x + np.float32(length) * direction
        found = Evaluation(trial, *evaluate(trial))
        yield found
        if np.isfinite(found.loss) and found.loss <= highest + ARMIJO * length * slope:
            return length, found
        excess = found.loss - loss - length * slope
        best = -slope * length**2 / (2.0 * excess) if np.isfinite(excess) and excess > 0 else 0.0
        length = float(np.clip(best, 0.1 * length, 0.5 * length))
    return None


def lbfgs(
    evaluate: Evaluate,
    start: np.ndarray,
    *,
    memory: int = 10,
    first_step: float = FIRST_STEP,
    max_step: float = MAX_STEP,
    patience: int = 10,
    scaling: Scaling = "secant",
) -> Iterator[Evaluation]:
    """Limited-memory BFGS with a non-monotone line search; yields every evaluation, without end.

    Liu & Nocedal 1989; the search by Grippo, Lampariello & Lucidi 1986. With a good Hessian
    estimate the unit step is nearly always accepted, so a step costs one evaluation. It may raise
    the loss, but has to stay below the largest of the last `patience` losses. A search that lets no
    step raise the loss needs several evaluations a step in the kinks of a ReLU network, learns from
    ever shorter steps, and gets stuck: see `bench.gatys`. Where no length will do, the memory is
    dropped and the search goes on along the gradient. Ends (the generator returns) where no descent
    is found there either, or none in the last `patience` steps.

    Args:
        evaluate: x -> (loss, gradient); a loss that is not finite counts as too long a step.
        start: float32 array of any shape.
        memory: pairs kept.
        first_step: largest change of an element in the first step, in units of x.
        max_step: largest change of an element in any step, in units of x; larger ones are cut.
        patience: how many losses a new one is held against; 1 for a loss that never rises.
        scaling: the inverse Hessian before the pairs change it: the same for all elements, from
            the last pair ("secant"), or one for each wavelet coefficient of a picture (h, w, 3)
            ("wavelets"), which halves the evaluations that a picture takes: `bench.gatys --reach`.
    """
    in_wavelets = scaling == "wavelets"
    analysed, synthesised = (
        (wavelets.analysed, wavelets.synthesised) if in_wavelets else (_unchanged, _unchanged)
    )
    x = start.astype(np.float32, copy=False)  # nothing is written to
    del start
    loss, gradient = evaluate(x)
    yield Evaluation(x, loss, gradient)
    gradient = analysed(gradient)  # from here on coefficients, as are the Hessian's pairs
    hessian, losses = _InverseHessian(memory, in_wavelets), deque([loss], maxlen=patience)
    while np.any(gradient):
        # The direction: in coefficients (towards) and in x.
        steepest = not hessian.pairs
        towards = -gradient if steepest else -hessian.times(gradient)
        direction = synthesised(towards)
        largest = np.abs(direction).max()
        if steepest:
            direction, towards = (
                part * np.float32(first_step / largest) for part in (direction, towards)
            )
        elif largest > max_step:
            direction = np.clip(direction, -max_step, max_step)
            towards = analysed(direction)
        # How far: where it leads nowhere, once more along the gradient.
        slope = _dot(towards, gradient)
        found = None
        if slope < 0:
            found = yield from _line_search(evaluate, (x, loss), direction, slope, max(losses))
        if found is None:
            if steepest:  # also of gradients so small that their squares vanish, or NaN
                return
            hessian.forget()
            continue
        # What the step teaches.
        length, reached = found
        x, loss, before, gradient = reached.x, reached.loss, gradient, analysed(reached.gradient)
        del found, reached
        hessian.update(np.float32(length) * towards, gradient - before)
        del before
        losses.append(loss)
        if len(losses) == patience > 1 and max(losses) == min(losses):
            return


def rate_at(step: int, learning_rate: float, decay: float, decay_steps: int) -> float:
    """The learning rate of step 0, 1, ...: times `decay` after every `decay_steps` steps."""
    return learning_rate * decay ** (step // decay_steps)


def adam(
    evaluate: Evaluate,
    start: np.ndarray,
    *,
    learning_rate: float = 0.02,
    decay: float = 1.0,
    decay_steps: int = 1,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-8,
    pixel_range: float = 1.0,
    clip: tuple[float, float] | None = None,
    first: int = 0,
) -> Iterator[Evaluation]:
    """Adam (Kingma & Ba, arXiv 1412.6980); yields every evaluation, without end.

    As TensorFlow and Keras write it (the end of §2): epsilon is added before the correction of the
    moments. Ends where the loss is no longer finite.

    Args:
        pixel_range: x is in [0, 1], but the steps are those of `pixel_range` times x: the learning
            rate is in its units, and epsilon is compared with its gradient.
        clip: the range in which x is kept after every step.
        first: steps of the schedule that an earlier part of the run has taken.
    """
    x = start.astype(np.float32)
    first_moment, second_moment = np.zeros_like(x), np.zeros_like(x)
    step = 0
    while True:
        loss, gradient = evaluate(x)
        yield Evaluation(x, loss, gradient)
        if not np.isfinite(loss):
            return
        rate = rate_at(first + step, learning_rate, decay, decay_steps) / pixel_range
        step += 1
        first_moment += np.float32(1 - beta_1) * (gradient - first_moment)
        second_moment += np.float32(1 - beta_2) * (np.square(gradient) - second_moment)
        rate *= np.sqrt(1 - beta_2**step) / (1 - beta_1**step)
        # The gradient by pixels of the range is smaller by it: so epsilon is larger by it here.
        floor = np.float32(epsilon * pixel_range)
        x = x - np.float32(rate) * first_moment / (np.sqrt(second_moment) + floor)
        if clip is not None:
            x = np.clip(x, *clip)


def sgd(
    evaluate: Evaluate,
    start: np.ndarray,
    *,
    learning_rate: float,
    decay: float = 1.0,
    decay_steps: int = 1,
    pixel_range: float = 1.0,
    clip: tuple[float, float] | None = None,
    first: int = 0,
) -> Iterator[Evaluation]:
    """Gradient descent without momentum; yields every evaluation, without end.

    Arguments as `adam`. With y = pixel_range x, y -= rate dL/dy is x -= rate / pixel_range² dL/dx.
    Ends where the loss is no longer finite.
    """
    x = start.astype(np.float32)
    step = first
    while True:
        loss, gradient = evaluate(x)
        yield Evaluation(x, loss, gradient)
        if not np.isfinite(loss):
            return
        rate = rate_at(step, learning_rate, decay, decay_steps) / pixel_range**2
        x = x - np.float32(rate) * gradient
        if clip is not None:
            x = np.clip(x, *clip)
        step += 1


def minimise(
    evaluate: Evaluate,
    start: np.ndarray,
    recipe: Recipe,
    *,
    first: int = 0,
    cut: float = 1.0,
    memory: int = 10,
) -> Iterator[Evaluation]:
    """The optimiser that the recipe names, with its settings, at step `first` of its schedule.

    cut: multiplies its steps, where they proved to be too long.
    memory: of L-BFGS.
    """
    if recipe.optimizer == "lbfgs":
        return lbfgs(
            evaluate,
            start,
            memory=memory,
            first_step=cut * FIRST_STEP,
            max_step=cut * MAX_STEP,
            scaling=recipe.scaling,
        )
    schedule = {
        "learning_rate": cut * recipe.learning_rate,
        "decay": recipe.decay,
        "decay_steps": recipe.decay_steps,
        "pixel_range": recipe.pixel_range,
        "clip": (0.0, 1.0) if recipe.clip else None,
        "first": first,
    }
    if recipe.optimizer == "sgd":
        return sgd(evaluate, start, **schedule)
    return adam(
        evaluate,
        start,
        beta_1=recipe.beta_1,
        beta_2=recipe.beta_2,
        epsilon=recipe.epsilon,
        **schedule,
    )


def pairs(values: int, scaling: Scaling) -> int:
    """Steps that L-BFGS is to remember of an x of so many values: fewer of a large one."""
    return int(np.clip(PAIR_BYTES / (8 * values), *PAIRS[scaling]))
