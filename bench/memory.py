"""Peak memory of quality mode, each run in a process of its own, and what is planned for it.

`python -m bench.memory`: a recipe on `lite` and on VGG19 (random weights unless a file is given).
NST_PRECISION and TF_ENABLE_ONEDNN_OPTS hold for its processes too.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.measure import allow_random_vgg19, peak_megabytes, random_picture, report
from nst_demo import images, iterate, planning
from nst_demo.methods import gatys

ITERATIONS = 15  # enough for L-BFGS to remember all that it may


def run(recipe: str, backbone: str, size: int, max_memory: float | None) -> dict[str, Any]:
    """In this process. Memory in GB."""
    allow_random_vgg19()
    options: Any = {
        "recipe": recipe,
        "backbone": backbone,
        "size": size,
        "iterations": ITERATIONS,
        "max_memory": max_memory,
    }
    with tempfile.TemporaryDirectory() as folder:
        photo, style = Path(folder) / "photo.png", Path(folder) / "style.png"
        images.save_image(photo, random_picture(size))
        images.save_image(style, random_picture(min(size, 768), seed=1))
        *_, last = iterate(photo, style, method="gatys", **options)
    settings = gatys.Options(**options).settings
    structure, _ = gatys.structure_of(settings)
    return {
        "what": f"{backbone}, {size}x{size}",
        "at most": max_memory or "",
        "planned": planning.Memory(settings, structure).untiled(size, size) / 1e9,
        "peak": peak_megabytes(os.getpid()) / 1e3,
        "notes": last.note or "",
    }


def in_own_process(recipe: str, *values: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.memory", "--recipe", recipe, "--one", *values],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", nargs="+", metavar="VALUE", help="backbone, size, GB: here")
    parser.add_argument("--recipe", default="default")
    parser.add_argument("--lite", nargs="*", default=["512", "1024"], metavar="SIZE")
    parser.add_argument("--vgg19", nargs="*", default=["512", "1024"], metavar="SIZE")
    parser.add_argument("--max-memory", nargs="*", default=[], metavar="GB", help="of lite, tiled")
    arguments = parser.parse_args()
    if arguments.one:
        backbone, size, *most = arguments.one
        limit = float(most[0]) if most else None
        print(json.dumps(run(arguments.recipe, backbone, int(size), limit)))
        return
    runs = [("lite", size) for size in arguments.lite]
    runs += [("lite", "1024", most) for most in arguments.max_memory]
    runs += [("vgg19", size) for size in arguments.vgg19]
    report("memory", [in_own_process(arguments.recipe, *values) for values in runs])


if __name__ == "__main__":
    main()
