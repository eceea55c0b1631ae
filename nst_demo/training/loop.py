"""What every training shares: resumable checkpoints, averaged weights, log, previews, time left."""

from __future__ import annotations

import csv
import os
import time
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import keras
import numpy as np

from nst_demo.errors import StyleTransferError
from nst_demo.images import save_image


@dataclass(frozen=True)
class RunOptions:
    """Where and how long to train.

    Attributes:
        folder: receives checkpoint.npz, log.csv, preview.png; made where missing.
        steps: length of the whole schedule, in batches.
        batch: crops a step.
        crop: side of a crop in pixels, a multiple of 16.
        learning_rate: of Adam at the start; it falls to 1/50 along a cosine.
        minutes: stop (with a checkpoint) after this much wall-clock time, None for no limit.
        averaging: decay of the exponential moving average of the weights, per 10 steps.
        checkpoint_seconds: time between checkpoints (and previews).
        seed: of the weights and the crops.
        mixed_precision: compute in bfloat16 (twice as fast on CPUs with AMX and on GPUs).
    """

    folder: Path
    steps: int
    batch: int = 8
    crop: int = 192
    learning_rate: float = 1e-3
    minutes: float | None = None
    averaging: float = 0.98
    checkpoint_seconds: float = 120.0
    seed: int = 0
    mixed_precision: bool = False

    def __post_init__(self):
        if self.steps < 1 or self.batch < 1:
            raise StyleTransferError(
                f"steps and batch must be at least 1, not {self.steps} and {self.batch}."
            )
        if self.crop < 64 or self.crop % 16:
            raise StyleTransferError(
                f"crop must be a multiple of 16, at least 64, not {self.crop}."
            )


def prepare(run: RunOptions) -> None:
    """Sets Keras' precision and seeds: before the first layer of the run is built."""
    if run.mixed_precision:
        keras.config.set_dtype_policy("mixed_bfloat16")
    keras.utils.set_random_seed(run.seed)


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an `.npz`. StyleTransferError where it is missing, damaged or none."""
    try:
        with np.load(path) as arrays:
            return {name: arrays[name] for name in arrays}
    # What NumPy and zipfile raise on damaged bytes; a lone `.npy` array is no context manager.
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise StyleTransferError(
            f"{path} cannot be read as .npz ({error}); give another or delete it."
        ) from error


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """All or nothing: written aside, then renamed over `path`."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(aside, "wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        os.replace(aside, path)
    except OSError as error:
        raise StyleTransferError(
            f"Cannot write {path} ({error.strerror}); an earlier one is kept."
        ) from error
    finally:
        aside.unlink(missing_ok=True)


class Checkpoint:
    """Weights, their average and the optimizer's state in one `.npz`."""

    def __init__(self, path: Path, model: keras.Model):
        self.path, self.model = path, model
        self.average = [np.array(w) for w in model.trainable_variables]

    def _state(self) -> list[tuple[str, keras.Variable]]:
        pairs = [("weight", w) for w in self.model.trainable_variables]
        pairs += [("optimizer", v) for v in self.model.optimizer.variables]
        return [(f"{kind}{i:03d}", v) for i, (kind, v) in enumerate(pairs)]

    def save(self) -> None:
        arrays = {name: np.array(variable) for name, variable in self._state()}
        arrays |= {f"average{i:03d}": a for i, a in enumerate(self.average)}
        write_npz(self.path, arrays)

    def restore(self) -> int:
        """The step to go on from: 0 where there is no checkpoint yet."""
        if not self.path.exists():
            return 0
        arrays, state = read_npz(self.path), self._state()
        same = all(n in arrays and arrays[n].shape == v.shape for n, v in state)
        if not same or len(arrays) != len(state) + len(self.average):
            raise StyleTransferError(
                f"{self.path} is a checkpoint of another architecture; "
                "give another folder or delete it."
            )
        for name, variable in state:
            variable.assign(arrays[name])
        self.average = [arrays[f"average{i:03d}"] for i in range(len(self.average))]
        return int(self.model.optimizer.iterations)

    def update_average(self, decay: float) -> None:
        for average, weight in zip(self.average, self.model.trainable_variables, strict=True):
            average += (1.0 - decay) * (np.array(weight) - average)

    def apply_average(self) -> list[np.ndarray]:
        """Puts the averaged weights into the model; returns the ones they replace."""
        current = [np.array(w) for w in self.model.trainable_variables]
        self.assign(self.average)
        return current

    def assign(self, values: list[np.ndarray]) -> None:
        for weight, value in zip(self.model.trainable_variables, values, strict=True):
            weight.assign(value)


class _Progress(keras.callbacks.Callback):
    """Logs, checkpoints, previews; stops on time or on a loss that is not finite."""

    def __init__(self, run: RunOptions, checkpoint: Checkpoint, first: int, export: Callable):
        super().__init__()
        self.run, self.checkpoint, self.export = run, checkpoint, export
        self.step = self.first = first
        self.started = self.saved = time.monotonic()
        self.failure: str | None = None

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        losses = {name: float(value) for name, value in (logs or {}).items()}
        if not all(np.isfinite(value) for value in losses.values()):
            self.failure = f"The loss is not finite at step {self.step}: {losses}"
            self.model.stop_training = True
            return
        if self.step % 10 == 0:
            # A short memory at first, so that the average is not held back by the random start.
            self.checkpoint.update_average(min(self.run.averaging, self.step / (self.step + 100)))
        now = time.monotonic()
        if self.step % 50 == 0:
            self._log(losses, now)
            self.model.reset_metrics()
        if now - self.saved > self.run.checkpoint_seconds:
            self.saved = now
            self._save()
        limit = self.run.minutes
        if limit is not None and now - self.started > 60 * limit:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        if self.failure is None:
            self._save()

    def _save(self):
        if not all(np.isfinite(np.array(w)).all() for w in self.model.trainable_variables):
            self.failure = f"The weights are not finite at step {self.step}"
            self.model.stop_training = True
            return
        self.checkpoint.save()
        current = self.checkpoint.apply_average()
        self.export()
        self.checkpoint.assign(current)

    def _log(self, losses: dict[str, float], now: float):
        pace = (now - self.started) / (self.step - self.first)
        left = pace * (self.run.steps - self.step) / 60
        text = "  ".join(f"{name} {value:.4f}" for name, value in losses.items())
        print(
            f"step {self.step}/{self.run.steps}  {text}  {pace:.3f} s/step  {left:.0f} min left",
            flush=True,
        )
        log = self.run.folder / "log.csv"
        fresh = not log.exists()
        with open(log, "a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            if fresh:
                writer.writerow(["step", "seconds_a_step", *losses])
            writer.writerow([self.step, f"{pace:.4f}", *(f"{v:.6f}" for v in losses.values())])


def train(
    model: keras.Model,
    batches: Callable[[int, int], keras.utils.PyDataset],
    run: RunOptions,
    export: Callable[[], None],
) -> None:
    """Trains a built `model` (with `compute_loss`) by Adam, from its last checkpoint if any.

    Args:
        batches: (first, last) -> the batches of those steps.
        export: called with the averaged weights in place at each checkpoint: saves the network,
            writes previews.
    """
    schedule = keras.optimizers.schedules.CosineDecay(
        0.05 * run.learning_rate,
        run.steps,
        alpha=0.02,
        warmup_target=run.learning_rate,
        warmup_steps=min(500, run.steps // 20),
    )
    model.compile(optimizer=keras.optimizers.Adam(schedule, global_clipnorm=1.0))
    model.optimizer.build(model.trainable_variables)
    try:
        run.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StyleTransferError(
            f"The folder {run.folder} cannot be made ({error.strerror}); choose another."
        ) from error
    checkpoint = Checkpoint(run.folder / "checkpoint.npz", model)
    first = checkpoint.restore()
    if first >= run.steps:
        print(f"Nothing to do: {first} of {run.steps} steps are done.")
        return
    progress = _Progress(run, checkpoint, first, export)
    model.fit(batches(first, run.steps), epochs=1, verbose=0, callbacks=[progress], shuffle=False)
    if progress.failure:
        raise StyleTransferError(
            f"{progress.failure}; stopped. The last good checkpoint is {checkpoint.path}."
        )


def save_weights(network: keras.Model, path: Path) -> None:
    """`network`'s weights as a float16 `.weights.h5`, written aside and renamed."""
    aside = path.with_name(f"part-{os.getpid()}-{path.name}")
    half = aside.with_suffix(".half")
    try:
        network.save_weights(aside)
        with h5py.File(aside) as full, h5py.File(half, "w") as file:
            full.visititems(lambda name, item: _copy_half(file, name, item))
        os.replace(half, path)
    except OSError as error:
        raise StyleTransferError(f"Cannot write {path} ({error}).") from error
    finally:
        for rest in (aside, half):
            rest.unlink(missing_ok=True)


def _copy_half(file: h5py.File, name: str, item: h5py.Group | h5py.Dataset) -> None:
    if isinstance(item, h5py.Dataset):
        file[name] = item[()].astype("float16")
    else:
        file.require_group(name).attrs.update(item.attrs)


def preview_sheet(path: Path, rows: list[list[np.ndarray]]) -> None:
    """Saves equally sized pictures (H, W, 3) as one grid."""
    save_image(path, np.concatenate([np.concatenate(row, axis=1) for row in rows], axis=0))
