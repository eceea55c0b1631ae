"""THE shared model module: each network is built once per process and shared by every caller.

Below the methods, which ask it by key (`shared("adain", build)`); it knows none of them. TensorFlow
is imported on first use, so that importing nst_demo, and training under another backend, stays
cheap.

One device, many visitors: work on it happens inside `device_lock`, which is fair (first come, first
served). A long optimisation takes it for a few iterations at a time, so a fast request waits for
those at most.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import keras

from nst_demo.errors import StyleTransferError

T = TypeVar("T")


class FairLock:
    """A lock whose waiters are served in the order in which they came.

    `threading.Lock` lets a loop that releases and takes it again starve everyone else.
    """

    def __init__(self):
        self._guard = threading.Lock()
        self._waiting: deque[threading.Event] = deque()
        self._taken = False

    def __enter__(self) -> None:
        with self._guard:
            if not self._taken:
                self._taken = True
                return
            turn = threading.Event()
            self._waiting.append(turn)
        turn.wait()

    def __exit__(self, *_: object) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().set()  # stays taken: handed over
            else:
                self._taken = False


device_lock = FairLock()


@dataclass(frozen=True)
class Device:
    """kind is "GPU" or "CPU"; name is for people, such as "NVIDIA H200" or "CPU, 2 cores"."""

    kind: str
    name: str


@cache
def device() -> Device:
    """The device on which everything runs: the first GPU that TensorFlow sees, else the CPU.

    On the first call GPU memory is set to grow as needed (TensorFlow takes all of it otherwise).
    """
    import os

    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        return Device("GPU", details.get("device_name", "GPU"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Device("CPU", f"CPU, {cores} cores")


_built: dict[Hashable, Any] = {}
_building: dict[Hashable, threading.Lock] = {}
_registry = threading.Lock()


def shared(key: Hashable, build: Callable[[], T]) -> T:
    """What `build` returned for this key: called once per process, whoever asks first.

    Others who ask for the same key meanwhile wait; other keys are not held up. Where `build`
    raises, nothing is kept, and the next caller tries again.
    """
    if key in _built:
        return _built[key]
    with _registry:
        lock = _building.setdefault(key, threading.Lock())
    with lock:
        if key not in _built:
            if keras.backend.backend() != "tensorflow":
                raise StyleTransferError(
                    f"Keras runs on {keras.backend.backend()}, but pictures are made with "
                    "TensorFlow; unset KERAS_BACKEND (only training runs on other backends)."
                )
            device()
            _built[key] = build()
        return _built[key]


@contextmanager
def on_device() -> Iterator[None]:
    """Holds the device; out of memory becomes a StyleTransferError."""
    import tensorflow as tf

    with device_lock:
        try:
            yield
        except (tf.errors.ResourceExhaustedError, MemoryError) as error:
            raise StyleTransferError(
                "The picture needs more memory than is free; choose a smaller size."
            ) from error


class Pace:
    """Seconds that a unit of work takes on this machine, by key.

    The fastest of the last runs counts: the others waited for a compilation at a new size.
    """

    RUNS = 5

    def __init__(self):
        self._runs: dict[Hashable, deque[float]] = {}

    def record(self, key: Hashable, units: float, seconds: float) -> None:
        self._runs.setdefault(key, deque(maxlen=self.RUNS)).append(seconds / units)

    def expected(self, key: Hashable, units: float) -> float | None:
        """Seconds for `units`, None before the first record."""
        runs = self._runs.get(key)
        return min(runs) * units if runs else None

    def expected_for(
        self, key: Hashable, height: int, width: int, size: int, passes: int = 1
    ) -> float | None:
        """Seconds for `passes` over a photo worked at a long side of at most `size` px.

        For keys whose unit is one value of the picture (three a pixel).
        """
        scale = min(1.0, size / max(height, width))
        return self.expected(key, 3 * height * width * scale**2 * passes)


pace = Pace()
