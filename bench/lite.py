"""How much of its teacher the packaged `lite` holds: relative error per layer.

`python -m bench.lite --fit FOLDER --test FOLDER --teacher NAME_OR_NPZ ...`: the 1x1 maps from
lite's features to the teacher's are fitted to the first folder by least squares (such maps are
shipped as its readouts, but these are fitted anew), the error |map(f) - t| / |t| is measured on the
second, mean over its pictures.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from bench.measure import report
from nst_demo import backbones, images
from nst_demo.training.distill import LinearFit
from nst_demo.training.teachers import Teacher


def pictures(folder: Path, limit: int):
    files = sorted(f for f in folder.rglob("*") if f.is_file())
    for file in files[:: max(1, len(files) // limit)][:limit]:
        yield images.open_picture(file).rgb[None]


def fit_maps(student, teacher, folder: Path, limit: int) -> dict[str, np.ndarray]:
    fits: dict[str, LinearFit] = defaultdict(LinearFit)
    for picture in pictures(folder, limit):
        targets = teacher(picture)
        for layer, features in student(picture).items():
            fits[layer].add(features, targets[layer])
    return {layer: fit.solve() for layer, fit in fits.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fit", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    parser.add_argument("--teacher", nargs="+", required=True)
    parser.add_argument("--pictures", type=int, default=60, help="pictures to fit to")
    arguments = parser.parse_args()
    student = backbones.truncate(backbones.load("lite"), backbones.STYLE_LAYERS)
    teacher = Teacher(arguments.teacher, backbones.STYLE_LAYERS)
    maps = fit_maps(student, teacher, arguments.fit, arguments.pictures)
    errors: dict[str, list[float]] = {layer: [] for layer in maps}
    for picture in pictures(arguments.test, 1000):
        targets = teacher(picture)
        for layer, features in student(picture).items():
            target = np.asarray(targets[layer], "float64").reshape(-1, targets[layer].shape[-1])
            guess = LinearFit.apply(maps[layer], features)
            errors[layer].append(float(np.linalg.norm(guess - target) / np.linalg.norm(target)))
    report(
        "lite",
        [
            {"layer": layer, "relative error": float(np.mean(values))}
            for layer, values in errors.items()
        ],
    )


if __name__ == "__main__":
    main()
