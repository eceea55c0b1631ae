"""The search for a picture of low loss, at one size: it keeps the best, and mends divergence."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from nst_demo import optimizers
from nst_demo.objective import Objective
from nst_demo.recipes import Recipe

STEP_CUTS = (1.0, 0.1, 1e-2, 1e-3, 1e-4)  # of the step size: the next one where a run diverges
OPENING = 0.2  # share of the iterations in which `Recipe.opening` may hold
DIVERGED = 1e3  # times the loss at the start


class Search:
    """The optimisation at one scale: each iteration is an evaluation; keeps the best, mends
    divergence. No picture but the best outlives its evaluation.

    Attributes:
        first: the iteration of its first evaluation.
        first_loss: of the first evaluation.
        best: where the loss was lowest; None where not even the first is a number.
        improved: whether that was the last one.
        at_minimum: whether it ended because nothing lowers the loss any more.
    """

    def __init__(
        self,
        evaluate: Objective,
        start: np.ndarray,
        settings: Recipe,
        first: int,
        notes: list[str],
    ):
        """`notes`: what happens is told there."""
        self.evaluate, self.settings = evaluate, settings
        self.first, self.notes = first, notes
        self.first_loss, self.least = math.nan, math.inf
        self.best: np.ndarray | None = start
        self.improved = self.at_minimum = False

    def __iter__(self) -> Iterator[None]:
        done = self.first
        self.evaluate.emphasis = self.settings.opening if self._opens(done) else 1.0
        for cut in STEP_CUTS:
            if cut == STEP_CUTS[1]:
                self.notes.append("the step size was cut")
            evaluations, diverged = self._evaluations(done, cut), False
            if cut < 1:  # the best once more
                diverged = self._diverged(next(evaluations))
            for evaluation in evaluations:
                self._keep(evaluation, first=done == self.first)
                diverged = self._diverged(evaluation)
                del evaluation
                yield
                done += 1
                parts = self.evaluate.losses()
                if parts["style"] <= parts["content"] or not self._opens(done):
                    self.evaluate.emphasis = 1.0
                if self.best is None:
                    return
                if self.settings.optimizer != "lbfgs" and diverged:
                    break
            if not diverged:
                self.at_minimum = True
                return
        self.notes.append("the loss went on growing, so this is the best picture met")

    def _opens(self, done: int) -> bool:
        return done < OPENING * self.settings.iterations

    def _evaluations(self, done: int, cut: float) -> Iterator[optimizers.Evaluation]:
        start: Any = self.best
        pairs = optimizers.pairs(start.size, self.settings.scaling)
        return optimizers.minimise(
            self.evaluate, start, self.settings, first=done, cut=cut, memory=pairs
        )

    def _keep(self, evaluation: optimizers.Evaluation, first: bool) -> None:
        if first:
            self.first_loss, self.best = evaluation.loss, None
        self.improved = evaluation.loss < self.least
        if self.improved:
            self.best, self.least = evaluation.x, evaluation.loss

    def _diverged(self, last: optimizers.Evaluation) -> bool:
        """L-BFGS shortens its own steps, and diverges only where it ends on what is no number."""
        grew = self.settings.optimizer != "lbfgs" and last.loss > DIVERGED * abs(self.first_loss)
        return grew or not np.isfinite(last.loss) or not np.isfinite(last.gradient).all()
