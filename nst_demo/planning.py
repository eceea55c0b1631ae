"""What a run of image optimisation takes, before it runs: its sizes, its memory, its time."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np

from nst_demo import backbones, images, models, optimizers
from nst_demo.errors import StyleTransferError
from nst_demo.objective import Structure
from nst_demo.recipes import Recipe
from nst_demo.tiling import CELL, grid, smallest_tile

MAX_SIZE = 4096  # px

# ---- Memory --------------------------------------------------------------------------------------

# Measured with `bench.memory` on a CPU (TensorFlow 2.21), 384 ... 1448 px: the default recipe on
# lite and VGG19 takes between 0.92 and 1.01 of what is said here, published ones 0.87 ... 0.96, and
# all without oneDNN 0.87 ... 1.10.
PROGRAM_BYTES = 0.74e9  # Python, TensorFlow, and the code that it compiles
WEIGHT_COPIES = 2
FEATURE_BYTES = {"float32": 4.8, "bfloat16": 4.4}  # of an evaluation, for each of all features
NEIGHBOURS_BYTES = 350  # for each pixel, that convolutions take without oneDNN
EVALUATED = 4  # copies of the picture in an evaluation,
BUFFERS = 10  # and around it; L-BFGS' memory comes on top
FREE_SHARE = 0.8  # of what is free that a run may take unless told otherwise


@dataclass(frozen=True)
class Memory:
    """Bytes that a run takes on the device, by size."""

    settings: Recipe
    structure: Structure

    def per_pixel(self) -> float:
        """Of a window that is evaluated."""
        network = backbones.architecture(self.structure.backbone)
        features = network.floats_per_pixel(self.structure.layers)
        needed = FEATURE_BYTES[self.structure.precision] * features + 4 * 3 * EVALUATED
        if models.device().kind == "CPU" and not models.onednn():
            needed += NEIGHBOURS_BYTES
        return needed

    def whole(self, pixels: float) -> float:
        """Of what has the picture's full size whether or not it is tiled."""
        network = backbones.architecture(self.structure.backbone)
        kept = sum(
            network.width(n) / backbones.stride(n) ** 2 for n in self.structure.content_layers
        )
        buffers = 4
        if models.device().kind == "CPU":  # else the optimiser works in another memory
            buffers = BUFFERS
            if self.settings.optimizer == "lbfgs":
                buffers += 2 * optimizers.pairs(round(3 * pixels), self.settings.scaling)
        return PROGRAM_BYTES + WEIGHT_COPIES * self.weights() + 4 * pixels * (3 * buffers + kept)

    def weights(self) -> float:
        """Of the network: kernels of 3x3."""
        network = backbones.architecture(self.structure.backbone)
        widths = [3, *(network.width(layer) for layer in network.layers)]
        return 4 * 9 * sum(a * b for a, b in pairwise(widths))

    def untiled(self, height: int, width: int) -> float:
        """Of a picture of this size, in one piece."""
        pixels = math.prod(_evaluated(height, width, self.settings))
        return self.whole(pixels) + pixels * self.per_pixel()

    def tile_pixels(self, pixels: float, budget: float) -> float:
        """The largest window that leaves room for the rest of a picture of this many pixels."""
        return (budget - self.whole(pixels)) / self.per_pixel()


def _budget(max_memory: float | None) -> float | None:
    """Bytes; None where it is not known what is free."""
    if max_memory is not None:
        return 1e9 * max_memory
    free = models.free_memory()
    return None if free is None else FREE_SHARE * free + PROGRAM_BYTES


# ---- Sizes ---------------------------------------------------------------------------------------


class Scale(NamedTuple):
    """One size of a run, coarse to fine."""

    height: int
    width: int
    until: int  # the iteration at which it ends
    tile_pixels: float | None


def worked_size(height: int, width: int, settings: Recipe) -> tuple[int, int]:
    """(h, w) of the finest scale: `Recipe.fit`."""
    size = settings.size
    if settings.fit == "square":
        return size, size
    factor = size / height if settings.fit == "rows" else min(1.0, size / max(height, width))
    factor = min(factor, MAX_SIZE / max(height, width))
    least_height, least_width = (min(side, images.MIN_SIDE) for side in (height, width))
    return max(round(height * factor), least_height), max(round(width * factor), least_width)


def _evaluated(height: int, width: int, settings: Recipe) -> tuple[int, int]:
    """(h, w) with the margin: of small pictures a good part."""
    return height + 2 * settings.margin, width + 2 * settings.margin


def _affordable(
    height: int, width: int, settings: Recipe, structure: Structure, budget: float | None
) -> tuple[int, int, float | None, list[str]]:
    """The size that fits into the budget, its largest tile, and what to tell of it."""
    if budget is None:
        return height, width, None, []
    memory = Memory(settings, structure)
    long = max(height, width)
    needed = memory.untiled(height, width)
    for side in (long, *range((long - 1) // CELL * CELL, 0, -CELL)):
        rows, columns = round(height * side / long), round(width * side / long)
        if min(rows, columns) < min(height, width, images.MIN_SIDE):
            break
        whole = _evaluated(rows, columns, settings)
        room = memory.tile_pixels(math.prod(whole), budget)
        cut = grid(*whole, structure.border, room)
        if cut and room >= min(math.prod(whole), smallest_tile(structure.border)):
            notes = [f"done at {side} px: {long} needs {needed / 1e9:.1f} GB"] * (side < long)
            notes += [f"tiled in {math.prod(cut)}"] * (cut != (1, 1))
            return rows, columns, room, notes
    least = memory.untiled(images.MIN_SIDE, long)
    raise StyleTransferError(
        f"{budget / 1e9:.2f} GB of memory are too little for any size; allow "
        f"{(least + 1e7) / 1e9:.2f} GB or more."
    )


def _wished_scales(settings: Recipe, long: int) -> Sequence[tuple[float, float]]:
    """(fraction, share of the iterations) pairs of a picture with this long side."""
    first = settings.grows_from
    if first is None or first >= long:
        return settings.scales
    steps = math.ceil(math.log2(long / first))
    return [((first / long) ** (1 - step / steps), 1 / (steps + 1)) for step in range(steps + 1)]


def scales(
    height: int, width: int, settings: Recipe, structure: Structure, max_memory: float | None
) -> tuple[list[Scale], list[str]]:
    """The scales of a photo (height, width), and what to tell of them.

    max_memory: GB; None for what is free.
    """
    worked = worked_size(height, width, settings)
    height, width, tile_pixels, notes = _affordable(
        *worked, settings, structure, _budget(max_memory)
    )
    wished = _wished_scales(settings, max(height, width))
    kept = [
        (fraction, share)
        for fraction, share in wished[:-1]
        if fraction * min(height, width) >= settings.coarsest
    ] + [wished[-1]]
    shares = np.array([share for _, share in kept]) / sum(share for _, share in kept)
    ends = [round(settings.iterations * done) for done in accumulate(map(float, shares))]
    found, before = [], 0
    for (fraction, _), until in zip(kept, ends, strict=True):
        last = fraction == kept[-1][0]
        if last or before < until < settings.iterations:
            rows, columns = round(height * fraction), round(width * fraction)
            found.append(Scale(rows, columns, until, tile_pixels))
            before = until
    return found, notes


# ---- Time ----------------------------------------------------------------------------------------

# Seconds of an evaluation that do not depend on the size: calls into TensorFlow.
FIXED_SECONDS = 0.010
# Of a tiled evaluation before one was measured: a forward pass more, and the borders.
TILED_FACTOR = 1.8
# Evaluations that a new size costs on top: the photo's and styles' statistics, new buffers.
SETTING_UP = 2.0


def _pixels(settings: Recipe, scale: Scale) -> int:
    """That are evaluated."""
    return math.prod(_evaluated(scale.height, scale.width, settings))


def _pace_key(settings: Recipe, scale: Scale) -> tuple[Any, ...]:
    tiled = scale.tile_pixels is not None and _pixels(settings, scale) > scale.tile_pixels
    return "gatys", settings.backbone, settings.optimizer, tiled


def evaluation_seconds(settings: Recipe, scale: Scale) -> float | None:
    """From earlier evaluations in this process, at this or another size."""
    pixels = _pixels(settings, scale)
    expected = models.pace.expected(_pace_key(settings, scale), pixels, FIXED_SECONDS)
    if expected is None and scale.tile_pixels is not None:
        whole = evaluation_seconds(settings, scale._replace(tile_pixels=None))
        expected = None if whole is None else TILED_FACTOR * whole
    return expected


def record(settings: Recipe, scale: Scale, seconds: float) -> None:
    """What an evaluation took, for `evaluation_seconds`."""
    models.pace.record(_pace_key(settings, scale), _pixels(settings, scale), seconds)


def expected_seconds(settings: Recipe, scales: Sequence[Scale]) -> float | None:
    """Of a run over the scales, on this machine; None before the first run."""
    seconds, before = 0.0, -1
    for scale in scales:
        one = evaluation_seconds(settings, scale)
        if one is None:
            return None
        seconds += one * (scale.until - before + (SETTING_UP if before >= 0 else 0))
        before = scale.until
    return seconds


class Clock:
    """The time of a run: what is left of it, and when its budget is used up."""

    def __init__(
        self, started: float, settings: Recipe, scales: Sequence[Scale], budget: float | None
    ):
        """started: as `time.monotonic` gives it; budget: seconds, None for no limit."""
        self.started, self.settings, self.scales = started, settings, scales
        self.budget = math.inf if budget is None else budget
        self.index = 0

    def seconds(self) -> float:
        return time.monotonic() - self.started

    def spent(self) -> bool:
        return self.seconds() >= self.budget

    def enter(self, index: int, iteration: int) -> None:
        """The first evaluation of a scale is done, which waited for compilation and the like."""
        self.index, self.first, self.entered = index, iteration, self.seconds()
        self.rate: float | None = None  # seconds per evaluation, measured at this scale

    def evaluated(self, iteration: int) -> None:
        self.rate = (self.seconds() - self.entered) / (iteration - self.first)

    def _work(self, iteration: int) -> list[float]:
        """What is left at this scale and at each one after it, in evaluations at this scale."""
        scale = self.scales[self.index]
        here = evaluation_seconds(self.settings, scale)
        work = [float(scale.until - iteration)]
        for before, after in pairwise(self.scales[self.index :]):
            there = evaluation_seconds(self.settings, after)
            by_size = _pixels(self.settings, after) / _pixels(self.settings, scale)
            ratio = there / here if there and here else by_size
            work.append(ratio * (after.until - before.until + SETTING_UP))
        return work

    def left(self, iteration: int) -> float | None:
        """Seconds expected until the end of the run; None before anything is known."""
        rate = self.rate or evaluation_seconds(self.settings, self.scales[self.index])
        within = max(0.0, self.budget - self.seconds())
        if rate is None:
            return None if math.isinf(within) else within
        return min(rate * sum(self._work(iteration)), within)
