"""What the benchmarks share: fair timing, VGG19 as the yardstick, tables and JSON."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from nst_demo import backbones, memory, weights

FOLDER = Path(__file__).parent

memory.keep_freed()  # as the app and the command line do


def medians(tasks: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Median seconds of each task; the tasks take turns, so that noise hits all alike."""
    for task in tasks.values():
        task()  # compile
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            started = time.perf_counter()
            task()
            times[name].append(time.perf_counter() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def vgg19_forward(size: int) -> Callable[[], Any]:
    """Keras' VGG19 (random weights) up to block5_conv1 on a (size, size) picture."""
    import tensorflow as tf

    network = keras.applications.VGG19(include_top=False, weights=None)
    cut = keras.Model(network.input, network.get_layer("block5_conv1").output)
    forward = tf.function(cut, input_signature=[tf.TensorSpec([1, None, None, 3])])
    image = tf.constant(random_picture(size)[None])
    return lambda: forward(image).numpy()


def allow_random_vgg19() -> None:
    """Has VGG19 loaded with random weights where there is no file of it."""
    if weights.local_file("vgg19") is None:
        load = backbones.load
        backbones.load = lambda name: backbones.build(name) if name == "vgg19" else load(name)


def peak_megabytes(pid: int) -> float:
    """The most resident memory the process has had (Linux)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def random_picture(size: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((size, size, 3), dtype="float32")


def report(name: str, rows: list[dict[str, Any]]) -> None:
    """Prints the rows as a table and writes them to bench/NAME.json."""
    columns = list(rows[0])
    texts = [columns] + [[_text(row[column]) for column in columns] for row in rows]
    widths = [max(len(text[i]) for text in texts) for i in range(len(columns))]
    for line in (texts[0], ["-" * width for width in widths], *texts[1:]):
        print("| " + " | ".join(t.ljust(w) for t, w in zip(line, widths, strict=True)) + " |")
    (FOLDER / f"{name}.json").write_text(json.dumps(rows, indent=1) + "\n")


def report_ratios(name: str, seconds: dict[str, float], yardstick: str) -> None:
    """As `report`, with each time also as a share of the yardstick's."""
    report(
        name,
        [
            {"what": what, "seconds": value, f"/ {yardstick}": value / seconds[yardstick]}
            for what, value in seconds.items()
        ],
    )


def _text(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
