"""What every training shares: resumable checkpoints, averaged weights, log, previews, time left."""

from __future__ import annotations

import io
import math
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from nst_demo.errors import StyleTransferError
from nst_demo.images import save_image
from nst_demo.layers import on_gpu
from nst_demo.training import files
from nst_demo.training.log import Log

REPORT = 50  # steps between lines of the log
LOOK = 10  # steps between looks at the losses, on a GPU
END_RATE = 0.02  # of the learning rate is left at the end
WARM_UP = 100  # steps, where the schedule goes by time
ENDLESS = 10**6  # steps, where time ends the run


@dataclass(frozen=True)
class RunOptions:
    """Where and how long to train.

    Attributes:
        folder: receives checkpoint.npz, log.csv, losses.png, preview.png; made where missing.
        steps: length of the whole schedule, in batches; None for as many as go into `minutes`.
        batch: crops a step.
        crop: side of a crop in pixels, a multiple of 16.
        learning_rate: at the start; it falls to 1/50 along a cosine.
        minutes: stop (with a checkpoint) after this much wall-clock time, None for no limit. It
            begins with the first step: what teachers compute before that is not counted.
            Without `steps` it is the length of the whole schedule, over all parts of a resumed run.
        averaging: decay of the exponential moving average of the weights, per 10 steps.
        checkpoint_seconds: time between checkpoints (and previews).
        seed: of the weights and the crops.
        mixed_precision: compute in bfloat16 (twice as fast on CPUs with AMX and on GPUs).
    """

    folder: Path
    steps: int | None = None
    batch: int = 8
    crop: int = 192
    learning_rate: float = 1e-3
    minutes: float | None = None
    averaging: float = 0.98
    checkpoint_seconds: float = 120.0
    seed: int = 0
    mixed_precision: bool = False

    def __post_init__(self):
        if self.steps is None and self.minutes is None:
            raise StyleTransferError("Give the length of the training: steps or minutes.")
        if self.steps is None and not 0 < (self.minutes or 0) < math.inf:
            raise StyleTransferError(f"minutes must be above 0, not {self.minutes:g}.")
        if (self.steps is not None and self.steps < 1) or self.batch < 1:
            raise StyleTransferError(
                f"steps and batch must be at least 1, not {self.steps} and {self.batch}."
            )
        if self.crop < 64 or self.crop % 16:
            raise StyleTransferError(
                f"crop must be a multiple of 16, at least 64, not {self.crop}."
            )


class prepare:
    """Sets Keras' precision, seeds and devices: before the first layer of the run is built.

    As a context manager it puts precision and devices back at the end, for whatever else the
    process does.
    """

    def __init__(self, run: RunOptions):
        self.before = keras.config.dtype_policy()
        if run.mixed_precision:
            keras.config.set_dtype_policy("mixed_bfloat16")
        keras.utils.set_random_seed(run.seed)
        self.distribution = _shared_out(run)
        if self.distribution is not None:
            keras.distribution.set_distribution(self.distribution)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        keras.config.set_dtype_policy(self.before)
        if self.distribution is not None:
            keras.distribution.set_distribution(None)


def _shared_out(run: RunOptions) -> Any:
    """Each batch over all devices, where there are several and Keras can: that is with JAX."""
    if keras.backend.backend() != "jax":
        return None
    devices = keras.distribution.list_devices()
    if len(devices) < 2:
        return None
    if run.batch % len(devices):
        raise StyleTransferError(
            f"batch is {run.batch}; give a multiple of {len(devices)}, one part for each device."
        )
    return keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False)


class Checkpoint:
    """Weights, their average, the optimizer's state and the seconds spent in one `.npz`.

    `subject`: what was learnt, such as "<fingerprint> <name>" of a style; a checkpoint of another
    is refused.

    Under JAX `fit` takes the values out of the variables and passes them along itself; it puts
    them back on request, and then goes on from whatever they hold. Hence `_model`.
    """

    def __init__(self, path: Path, model: keras.Model, subject: str = ""):
        self.path, self._unsynced, self.subject = path, model, subject
        self.seconds = 0.0
        self.average = self.weights()

    @property
    def _model(self) -> Any:
        """The model with its values in its variables."""
        if hasattr(self._unsynced, "jax_state_sync"):
            self._unsynced.jax_state_sync()
        return self._unsynced

    def weights(self) -> list[np.ndarray]:
        return [_copy(w) for w in self._model.trainable_variables]

    def _state(self) -> list[tuple[str, Any]]:
        pairs = [("weight", w) for w in self._model.trainable_variables]
        # The rate is a variable only where time ends the run, and is always set anew.
        variables = [v for v in self._model.optimizer.variables if v.name != "learning_rate"]
        pairs += [("optimizer", v) for v in variables]
        return [(f"{kind}{i:03d}", v) for i, (kind, v) in enumerate(pairs)]

    def save(self) -> None:
        arrays = {name: _copy(variable) for name, variable in self._state()}
        arrays |= {f"average{i:03d}": a for i, a in enumerate(self.average)}
        arrays |= {"seconds": np.array(self.seconds), "subject": np.array(self.subject)}
        files.write_npz(self.path, arrays)

    def restore(self) -> int:
        """The step to go on from: 0 where there is no checkpoint yet."""
        if not self.path.exists():
            return 0
        state = self._state()
        arrays = _without_rate(files.read_npz(self.path), [name for name, _ in state])
        seconds = float(arrays.pop("seconds", 0.0))  # older checkpoints have none
        check_subject(self.path, str(arrays.pop("subject", "")), self.subject)
        averages = [(f"average{i:03d}", a) for i, a in enumerate(self.average)]
        expected = {name: tuple(v.shape) for name, v in [*state, *averages]}
        if {name: array.shape for name, array in arrays.items()} != expected:
            raise StyleTransferError(
                f"{self.path} is a checkpoint of another architecture; "
                "give another folder or delete it."
            )
        for name, variable in state:
            variable.assign(arrays[name])
        self.average = [arrays[name] for name, _ in averages]
        self.seconds = seconds
        return self.step

    @property
    def step(self) -> int:
        """Steps done."""
        return int(self._model.optimizer.iterations)

    def set_learning_rate(self, rate: float) -> None:
        """Of an optimizer without a schedule of its own."""
        self._model.optimizer.learning_rate = rate

    def update_average(self, decay: float) -> None:
        for average, weight in zip(self.average, self.weights(), strict=True):
            average += (1.0 - decay) * (weight - average)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The model has its averaged weights inside, and those of the training again after."""
        current = self.weights()
        self._assign(self.average)
        try:
            yield
        finally:
            self._assign(current)

    def _assign(self, values: list[np.ndarray]) -> None:
        for weight, value in zip(self._model.trainable_variables, values, strict=True):
            weight.assign(value)


def _without_rate(arrays: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """`arrays` of a checkpoint with what `_state` names; older ones may hold the rate as well."""
    wanted = [name for name in names if name.startswith("optimizer")]
    found = [name for name in arrays if name.startswith("optimizer")]
    if len(found) != len(wanted) + 1 or arrays[found[1]].shape != ():
        return arrays
    kept = [arrays[name] for name in found if name != found[1]]
    others = {name: array for name, array in arrays.items() if name not in found}
    return others | dict(zip(wanted, kept, strict=True))


def check_subject(path: Path, found: str, wanted: str) -> None:
    """Refuses a checkpoint of another subject; only the fingerprints count, not the names."""
    if found.partition(" ")[0] != wanted.partition(" ")[0]:
        names = (text.partition(" ")[2] or "something else" for text in (found, wanted))
        raise StyleTransferError(
            "{} is a checkpoint of {}, not of {}; give another folder or delete it.".format(
                path, *names
            )
        )


def _copy(variable: Any) -> np.ndarray:
    """Its value; a copy, as PyTorch and JAX write the next step's into the same memory."""
    return np.array(keras.ops.convert_to_numpy(variable))


class _Progress(keras.callbacks.Callback):
    """Logs, checkpoints, previews; stops on time or on a loss that is not finite."""

    def __init__(
        self,
        run: RunOptions,
        checkpoint: Checkpoint,
        log: Log,
        first: int,
        export: Callable,
        by_time: bool = False,
    ):
        """`by_time`: the rate falls with the time spent; else the optimizer has a schedule."""
        super().__init__()
        self.run, self.checkpoint, self.log, self.export = run, checkpoint, log, export
        self.step, self.by_time = first, by_time
        self.started = self.saved = time.monotonic()
        self.spent = checkpoint.seconds  # by the parts of the run before this one
        self.bar = _bar(run)
        # (step, time) of the last reports: the pace is that of the last 1,000 steps, less the
        # first of this run, which waits for the compiler.
        self.reports: deque[tuple[int, float]] = deque(maxlen=1 + 1000 // REPORT)
        # To read the losses is to wait for the step, and a GPU had better have the next by then.
        self.every = LOOK if on_gpu() else 1
        self.failure: str | None = None

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        if self.reports and self.step % self.every:
            return
        losses = {name: float(value) for name, value in (logs or {}).items()}
        if not all(np.isfinite(value) for value in losses.values()):
            values = ", ".join(f"{name} {value:g}" for name, value in losses.items())
            self._fail(f"The loss is not finite at step {self.step} ({values})")
            return
        now = time.monotonic()
        self.checkpoint.seconds = self.spent + now - self.started
        if self.step % 10 == 0:
            if self.by_time:
                self.checkpoint.set_learning_rate(self._rate())
            # A short memory at first, so that the average is not held back by the random start.
            self.checkpoint.update_average(min(self.run.averaging, self.step / (self.step + 100)))
        if not self.reports:
            self.reports.append((self.step, now))
        elif self.step % REPORT == 0:
            self._report(losses, now)
            self.model.reset_metrics()
        if now - self.saved > self.run.checkpoint_seconds:
            self._save()
            self.saved = time.monotonic()
        if self._seconds_allowed(now) <= 0:
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        if self.bar is not None:
            self.bar.close()
        if self.failure is None:
            self._save()

    def _fail(self, failure: str) -> None:
        self.failure = failure
        self.model.stop_training = True

    def _save(self) -> None:
        if not all(np.isfinite(weight).all() for weight in self.checkpoint.weights()):
            self._fail(f"The weights are not finite at step {self.step}")
            return
        self.checkpoint.save()
        with self.checkpoint.averaged():
            self.export()
        self.log.draw()

    def _seconds_allowed(self, now: float) -> float:
        """Until `minutes` are over."""
        minutes = math.inf if self.run.minutes is None else self.run.minutes
        before = self.spent if self.run.steps is None else 0.0
        return 60 * minutes - before - (now - self.started)

    def _rate(self) -> float:
        """As the schedule by steps (see `train`), but by the time spent."""
        share = min(1.0, self.checkpoint.seconds / (60 * (self.run.minutes or math.inf)))
        cosine = END_RATE + (1 - END_RATE) * 0.5 * (1 + math.cos(math.pi * share))
        return self.run.learning_rate * cosine * min(1.0, self.step / WARM_UP)

    def _report(self, losses: dict[str, float], now: float) -> None:
        self.reports.append((self.step, now))
        (earlier, then), done = self.reports[0], self.step
        pace = (now - then) / (done - earlier)
        left = self._seconds_allowed(now)
        of = ""
        if self.run.steps is not None:
            left, of = min(pace * (self.run.steps - done), left), f"/{self.run.steps}"
        text = "  ".join(f"{name} {value:.4f}" for name, value in losses.items())
        text = f"step {done}{of}  {text}  {pace:.3f} s/step  "
        if self.bar is None:
            print(f"{text}{left / 60:.0f} min left", flush=True)
        else:
            share = (now - self.started) / max(now - self.started + left, 1e-9)
            self.bar.n = round(100 * share)
            self.bar.set_description_str(f"{text}{left // 60:.0f}:{left % 60:02.0f} left")
        self.log.add({"step": done, "seconds_a_step": pace, **losses})


def _bar(run: RunOptions) -> Any:
    """A progress bar on a terminal, None elsewhere: a log gets lines."""
    if not sys.stdout.isatty():
        return None
    from tqdm import tqdm

    layout = "{percentage:3.0f}% |{bar}| {desc}"
    return tqdm(total=100, bar_format=layout, dynamic_ncols=True, file=sys.stdout)


def train(
    model: keras.Model,
    batches: Callable[[int, int], keras.utils.PyDataset],
    run: RunOptions,
    export: Callable[[], None],
    output: Path,
    subject: str = "",
    fresh: bool = False,
    optimizer: keras.optimizers.Optimizer | None = None,
    family: Callable[..., keras.optimizers.Optimizer] = keras.optimizers.Adam,
) -> Checkpoint:
    """Trains a built `model` (with `compute_loss`) from its last checkpoint if any.

    Args:
        batches: (first, last) -> the batches of those steps.
        export: called with the averaged weights in place at each checkpoint: saves the network,
            writes previews.
        output: what `export` writes; done again where it is gone and there is nothing to train.
        subject: see `Checkpoint`.
        fresh: go on from no checkpoint; the first new one replaces what is there.
        optimizer: instead of one of `family` with a warm-up and a cosine.
        family: (learning rate, global_clipnorm=...) -> an optimizer.

    Returns the last checkpoint.
    """
    rate: Any = 0.05 * run.learning_rate
    if run.steps is not None:
        warm_up = min(500, run.steps // 20)
        rate = keras.optimizers.schedules.CosineDecay(
            rate,
            run.steps - warm_up,
            alpha=END_RATE,
            warmup_target=run.learning_rate,
            warmup_steps=warm_up,
        )
    model.compile(optimizer=optimizer or family(rate, global_clipnorm=1.0))
    model.optimizer.build(model.trainable_variables)
    checkpoint = Checkpoint(run.folder / "checkpoint.npz", model, subject)
    files.check_output(checkpoint.path)
    first = 0 if fresh else checkpoint.restore()
    done = None
    if run.steps is not None and first >= run.steps:
        done = f"{first} of {run.steps} steps are done"
    if run.steps is None and checkpoint.seconds >= 60 * (run.minutes or math.inf):
        done = f"{checkpoint.seconds / 60:.1f} of {run.minutes:g} minutes are over"
    if done is not None:
        print(f"Nothing to do: {done}.")
        if not output.exists():
            with checkpoint.averaged():
                export()
        return checkpoint
    last = first + ENDLESS if run.steps is None else run.steps
    by_time = run.steps is None and optimizer is None
    progress = _Progress(run, checkpoint, Log(run.folder, first), first, export, by_time)
    model.fit(batches(first, last), epochs=1, verbose=0, callbacks=[progress], shuffle=False)
    if progress.failure:
        raise StyleTransferError(f"{progress.failure}; stopped. {_advice(checkpoint.path, run)}")
    return checkpoint


def _advice(checkpoint: Path, run: RunOptions) -> str:
    lower = f"with a learning rate lower than {run.learning_rate:g}"
    if checkpoint.exists():
        return (
            f"The last good checkpoint is {checkpoint}: the same command goes on from it {lower}."
        )
    return f"There is no checkpoint in {run.folder} yet: begin again {lower}."


class _WeightsInMemory(io.BytesIO):
    """What `save_weights` writes to; Keras asks for a name that ends so."""

    def __str__(self) -> str:
        return "memory.weights.h5"


def save_weights(network: keras.Model, path: Path) -> None:
    """`network`'s weights as a float16 `.weights.h5`.

    Made in memory: on a full disk HDF5 does not just fail, it may crash the process.
    StyleTransferError for weights that float16 cannot hold; what was in the file is kept.
    """
    largest = np.max([np.abs(weight).max() for weight in network.get_weights()])
    if not largest <= float(np.finfo("float16").max):  # so NaN is refused, too
        raise StyleTransferError(
            f"The weights of {path.name} are up to {largest:g}, more than half precision holds; "
            "train with a lower learning rate."
        )
    memory, half = _WeightsInMemory(), io.BytesIO()
    network.save_weights(memory)
    with h5py.File(memory) as full, h5py.File(half, "w") as file:
        full.visititems(lambda name, item: _copy_half(file, name, item))
    files.replace(path, lambda aside: aside.write_bytes(half.getbuffer()))


def _copy_half(file: h5py.File, name: str, item: h5py.Group | h5py.Dataset) -> None:
    if isinstance(item, h5py.Dataset):
        file[name] = item[()].astype("float16")
    else:
        file.require_group(name).attrs.update(item.attrs)


def preview_sheet(path: Path, rows: list[list[np.ndarray]]) -> None:
    """Saves equally sized pictures (H, W, 3) as one grid."""
    save_image(path, np.concatenate([np.concatenate(row, axis=1) for row in rows], axis=0))
