"""Quality mode's speed.

`python -m bench.gatys`: one evaluation of the loss and its gradient by backbone and size, against
a forward pass of VGG19 in the same run (random weights for VGG19 unless a file is given), and
against the same computation in PyTorch where that is installed.

`python -m bench.gatys --reach PHOTO STYLE [PHOTO STYLE ...]`: the time in which a recipe reaches
the loss that plain L-BFGS from the photo, at one scale, has after 200 evaluations on `lite`: with
our line search, with the textbooks', in which the loss never rises, and, where PyTorch is
installed, in the usual implementation.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import nst_demo
from bench import usual
from bench.measure import (
    allow_random_vgg19,
    medians,
    random_picture,
    report,
    report_ratios,
    vgg19_forward,
)
from nst_demo import images, optimizers, recipes
from nst_demo.methods import gatys
from nst_demo.objective import Objective

YARDSTICK = "VGG19 forward, 512x512"  # to block5_conv1
PLAIN_EVALUATIONS = 200
USUAL = "PyTorch"
PATIENCE = {"plain": 10, "plain, monotone": 1}  # of the line search
# The loss of the default recipe, with the gradient that it has.
PLAIN = dataclasses.replace(recipes.DEFAULT, name="plain", softness=0.0)
REACH_SIZE = 512  # px, long side


def evaluation(backbone: str, photo: np.ndarray, style: np.ndarray) -> Callable[[], object]:
    objective = gatys.objective(photo, [style], gatys.Options(backbone=backbone))
    return lambda: objective(photo)


def evaluations(rounds: int) -> None:
    allow_random_vgg19()
    tasks = {YARDSTICK: vgg19_forward(512)}
    for backbone, size in (("lite", 320), ("lite", 512), ("vgg19", 512)):
        what = f"{backbone}, {size}x{size}"
        pictures = random_picture(size), random_picture(size, seed=1)
        tasks[f"evaluation, {what}"] = evaluation(backbone, *pictures)
        if usual.here():
            tasks[f"the same in PyTorch, {what}"] = usual.evaluation(backbone, *pictures)
    report_ratios("gatys", medians(tasks, rounds), YARDSTICK)


def plain(
    evaluate: Callable[[], Objective], photo: np.ndarray, patience: int
) -> tuple[float, float]:
    """The least loss of L-BFGS from the photo, at one size, and the seconds to its last evaluation.

    evaluate: prepares the loss, in that time; patience: 1 for the search of the textbooks, in which
    the loss never rises.
    """
    started, loss = time.perf_counter(), np.inf
    objective = evaluate()
    search = optimizers.lbfgs(objective, photo, patience=patience)
    for evaluated in itertools.islice(search, PLAIN_EVALUATIONS):
        loss = min(loss, evaluated.loss)
    return loss, time.perf_counter() - started


def reach(photo: np.ndarray, style: np.ndarray, options: gatys.Options) -> dict[str, Any]:
    """Seconds of plain runs, and of the recipe until it has their least loss."""
    photo = images.fit(photo, options.settings.size)

    def evaluate() -> Objective:
        return gatys.objective(photo, [style], dataclasses.replace(options, recipe=PLAIN.name))

    evaluate()(photo)  # compile
    runs = {name: plain(evaluate, photo, patience) for name, patience in PATIENCE.items()}
    if usual.here():
        fitted = gatys.fit_style(style, options.settings, photo.shape[:2], options.style_scale)
        backbone = options.settings.backbone
        runs[USUAL] = usual.lbfgs(backbone, photo, fitted, PLAIN_EVALUATIONS)
    list(nst_demo.iterate(photo, style, iterations=5, size=REACH_SIZE))  # compile
    started = time.perf_counter()
    seconds, least = dict.fromkeys(runs, float("inf")), np.inf
    iterations = options.settings.iterations
    run = nst_demo.iterate(photo, style, iterations=iterations, size=REACH_SIZE, save_every=1)
    for step in run:
        if step.image.shape == photo.shape:
            least = min(least, step.losses["total"])
            for name, (loss, _) in runs.items():
                if least <= loss:
                    seconds[name] = min(seconds[name], time.perf_counter() - started)
            if max(seconds.values()) < float("inf"):
                break
    found: dict[str, Any] = {"recipe's loss": float(least)}
    for name, (loss, needed) in runs.items():
        found |= {f"{name}: loss": float(loss), f"{name}: seconds": needed}
        reached = np.isfinite(seconds[name])
        found[f"{name}: ratio"] = seconds[name] / needed if reached else None
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--reach", nargs="+", metavar="PICTURE", help="PHOTO STYLE pairs")
    parser.add_argument("--iterations", type=int, help="of the recipe, with --reach")
    arguments = parser.parse_args()
    if not arguments.reach:
        evaluations(arguments.rounds)
        return
    recipes.RECIPES[PLAIN.name] = PLAIN
    options = gatys.Options(iterations=arguments.iterations, size=REACH_SIZE)
    opened = [images.open_picture(path).rgb for path in arguments.reach]
    rows = [
        {"pair": f"{number}", **reach(photo, style, options)}
        for number, (photo, style) in enumerate(zip(opened[::2], opened[1::2], strict=True), 1)
    ]
    report("gatys-reach", rows)
    for name in [*PATIENCE, USUAL] if usual.here() else PATIENCE:
        ratios = [row[f"{name}: ratio"] for row in rows]
        ratio = statistics.median(float("inf") if r is None else r for r in ratios)
        print(f"median ratio, {name}: {ratio:.3f}")  # inf: not reached


if __name__ == "__main__":
    main()
