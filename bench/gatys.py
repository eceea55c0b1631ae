"""One evaluation of quality mode's loss and gradient, by backbone and size, against a forward pass
of VGG19 in the same run: `python -m bench.gatys`. VGG19 has random weights here."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from bench.measure import medians, random_picture, report_ratios, vgg19_forward
from nst_demo import backbones, weights
from nst_demo.methods import gatys

YARDSTICK = "VGG19 forward, 512x512"  # to block5_conv1


def evaluation(backbone: str, size: int) -> Callable[[], object]:
    photo, style = random_picture(size), random_picture(size, seed=1)
    objective = gatys.Objective(photo, [style], gatys.Options(backbone=backbone, size=size))
    return lambda: objective(photo)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--vgg19", action="store_true", help="also VGG19's own evaluation")
    arguments = parser.parse_args()
    tasks = {YARDSTICK: vgg19_forward(512)}
    for size in (320, 512):
        tasks[f"evaluation, lite, {size}x{size}"] = evaluation("lite", size)
    if arguments.vgg19:
        if weights.local_file("vgg19") is None:
            backbones.load = lambda name: backbones.build(name)  # random weights, same speed
        tasks["evaluation, vgg19, 512x512"] = evaluation("vgg19", 512)
    report_ratios("gatys", medians(tasks, arguments.rounds), YARDSTICK)


if __name__ == "__main__":
    main()
