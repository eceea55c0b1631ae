"""THE shared model module: each network is built once per process and shared by every caller.

Below the methods, which ask it by key (`shared("adain", build)`); it knows none of them. TensorFlow
is imported on first use, so that importing nst_demo, and training under another backend, stays
cheap.

One device, many visitors: work on it happens inside `device_lock`, which is fair (first come, first
served). A long optimisation takes it for a few iterations at a time, so a fast request waits for
those at most.
"""

from __future__ import annotations

import os
import re
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
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
        turn = threading.Event()
        with self._guard:
            if not self._taken:
                self._taken = True
                return
            self._waiting.append(turn)
        try:
            turn.wait()
        except BaseException:  # Ctrl-C: nobody would ever take this turn
            self._give_up(turn)
            raise

    def _give_up(self, turn: threading.Event) -> None:
        with self._guard:
            if not turn.is_set():
                self._waiting.remove(turn)
                return
        self.__exit__()  # it was just handed over

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
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if gpus:
        details = tf.config.experimental.get_device_details(gpus[0])
        return Device("GPU", details.get("device_name", "GPU"))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return Device("CPU", f"CPU, {cores} cores")


PRECISION_VARIABLE = "NST_PRECISION"
BFLOAT16_CPU_FLAGS = ("avx512_bf16", "amx_bf16", "bf16")  # Intel and AMD; Arm
BFLOAT16_CAPABILITY = (8, 0)  # of NVIDIA's GPUs


@cache
def onednn() -> bool:
    """Whether TensorFlow computes by oneDNN on a CPU: by default where there is AVX-512 or the
    like. Nothing public tells; where this is gone, yes, which is never wrong, only slower."""
    try:
        from tensorflow.python.util import _pywrap_util_port
    except ImportError:
        return True
    return bool(_pywrap_util_port.IsMklEnabled())


@cache
def precision() -> str:
    """ "bfloat16" where the device multiplies it faster than "float32"; NST_PRECISION overrides."""
    choice = os.environ.get(PRECISION_VARIABLE, "").strip()
    if choice not in ("", "float32", "bfloat16"):
        raise StyleTransferError(
            f"{PRECISION_VARIABLE} is {choice!r}; set it to float32 or bfloat16, or unset it."
        )
    if choice:
        return choice
    return "bfloat16" if _multiplies_bfloat16() else "float32"


def _multiplies_bfloat16() -> bool:
    if device().kind == "GPU":
        import tensorflow as tf

        gpu = tf.config.list_physical_devices("GPU")[0]
        details = tf.config.experimental.get_device_details(gpu)
        return details.get("compute_capability", (0, 0)) >= BFLOAT16_CAPABILITY
    try:
        words = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:  # not Linux
        return False
    return not words.isdisjoint(BFLOAT16_CPU_FLAGS)


def fast_arithmetic() -> AbstractContextManager[None]:
    """Networks built inside keep float32 weights, and compute in `precision`."""
    return arithmetic("mixed_bfloat16" if precision() == "bfloat16" else "float32")


@contextmanager
def arithmetic(chosen: str) -> Iterator[None]:
    """Networks built inside have this policy of Keras; it is global, but of this thread only."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(chosen)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)


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


def free_memory() -> int | None:
    """Bytes that the device has free: of the GPU where there is one, else of the machine.

    None where neither can be told.
    """
    return _free_on_gpu() if device().kind == "GPU" else free_on_machine()


def free_on_machine() -> int | None:
    """The lesser of what the system can give without swapping and what is left below the limit of
    the process' control group (a container's). None where neither can be told.
    """
    known = [free for free in (_available(), _below_cgroup_limit()) if free is not None]
    return min(known, default=None)


def _available() -> int | None:
    """MemAvailable of Linux, elsewhere the free pages."""
    try:
        found = re.search(r"^MemAvailable:\s*(\d+) kB", Path("/proc/meminfo").read_text(), re.M)
        if found:
            return int(found[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows, macOS
        return None


# (controller in /proc/self/cgroup, folder, limit, usage, pages of files that can be dropped)
_CGROUPS = (
    ("", "", "memory.max", "memory.current", "inactive_file"),
    ("memory", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)


def _below_cgroup_limit(root: Path = Path("/"), least: int = 2**60) -> int | None:
    """Bytes to the memory limit of this process' group (version 2 or 1); None without a limit."""
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    for controller, folder, limit_file, usage_file, droppable in _CGROUPS:
        paths = [line.split(":", 2)[2] for line in groups if line.split(":")[1] == controller]
        base = root / "sys/fs/cgroup" / folder
        # Inside a container the path is often that of the host, and its limit is at the top.
        for group in [base / path.lstrip("/") for path in paths] + [base]:
            try:
                limit = int((group / limit_file).read_text())
                usage = int((group / usage_file).read_text())
                stat = (group / "memory.stat").read_text()
            except (OSError, ValueError):  # ValueError: "max"
                continue
            found = re.search(rf"^{droppable} (\d+)", stat, re.M)
            if limit < least:
                return max(0, limit - usage + (int(found[1]) if found else 0))
    return None


def _free_on_gpu() -> int | None:
    """What CUDA has free, and what TensorFlow holds of it but does not use now."""
    import ctypes

    import tensorflow as tf

    used = tf.config.experimental.get_memory_info("GPU:0")
    free, total, context = ctypes.c_size_t(), ctypes.c_size_t(), ctypes.c_void_p()
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
        failed = (
            cuda.cuInit(0)
            or cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0)
            or cuda.cuCtxPushCurrent_v2(context)
            or cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
            or cuda.cuCtxPopCurrent_v2(ctypes.byref(context))
            or cuda.cuDevicePrimaryCtxRelease_v2(0)
        )
    except (OSError, AttributeError):  # no driver of NVIDIA's
        return None
    return None if failed else free.value + used["peak"] - used["current"]


class Pace:
    """Seconds that a unit of work takes on this machine, by key and by size.

    A key's sizes are apart because a small picture costs more by the pixel. The fastest of the last
    runs of a size counts: the others waited for a compilation, or for other visitors.
    """

    RUNS = 5
    SIZES = 32  # of a key; the oldest are forgotten

    def __init__(self):
        self._runs: dict[Hashable, OrderedDict[float, deque[float]]] = {}
        self._guard = threading.Lock()

    def record(self, key: Hashable, units: float, seconds: float) -> None:
        with self._guard:
            sizes = self._runs.setdefault(key, OrderedDict())
            sizes.setdefault(units, deque(maxlen=self.RUNS)).append(seconds)
            sizes.move_to_end(units)
            if len(sizes) > self.SIZES:
                sizes.popitem(last=False)

    def expected(self, key: Hashable, units: float, fixed: float = 0.0) -> float | None:
        """Seconds for `units`, None before the first record.

        Between two known sizes on a line; beyond them in proportion to the nearest, but for
        `fixed` seconds that do not grow with the size.
        """
        with self._guard:
            known = sorted((u, min(runs)) for u, runs in self._runs.get(key, {}).items())
        if not known:
            return None
        below = [pair for pair in known if pair[0] <= units]
        above = [pair for pair in known if pair[0] > units]
        if below and above:
            (u, low), (v, high) = below[-1], above[0]
            return low + (high - low) * (units - u) / (v - u)
        u, seconds = below[-1] if below else above[0]
        fixed = min(fixed, 0.9 * seconds)
        return fixed + (seconds - fixed) * units / u

    def expected_for(
        self, key: Hashable, height: int, width: int, size: int, passes: int = 1
    ) -> float | None:
        """Seconds for `passes` over a photo worked at a long side of at most `size` px.

        For keys whose unit is one value of the picture (three a pixel).
        """
        scale = min(1.0, size / max(height, width))
        seconds = self.expected(key, 3 * height * width * scale**2)
        return None if seconds is None else passes * seconds


pace = Pace()
