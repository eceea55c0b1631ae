"""The folder of this server for uploads, results and temporary files: what is in it lives an hour.

Each server has one of its own, locked while it lives. What a killed one left behind is removed by
the next that starts; two that live never touch each other's files.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Set
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

MAX_AGE = 3600.0  # s that a file lives at most
SWEEP_EVERY = 300  # s
MIN_FREE = 10**9  # bytes of the disk that uploads leave to results, and to everything else
# What gradio's own delete_cache takes: it forgets the names of what it deletes, so it goes first;
# it knows neither the folders nor the files that no component was given, so `sweep` follows.
DELETE_CACHE = (SWEEP_EVERY, int(MAX_AGE) - 2 * SWEEP_EVERY)

_LOCK = ".lock"


def use_own_folder() -> Path:
    """Make gradio and `tempfile` of this process write into a new folder, removed at its end.

    The folder is in GRADIO_TEMP_DIR where that is set, else in the system's temporary folder. Call
    it before the page is built.
    """
    base = _base()
    for other in [*base.glob("run-*"), *base.glob("new-*")]:
        if not _alive(other):
            shutil.rmtree(other, ignore_errors=True)
    folder = _locked_folder(base)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    (folder / "tmp").mkdir()
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "cache")
    tempfile.tempdir = str(folder / "tmp")
    return folder


def _base() -> Path:
    given = os.environ.get("GRADIO_TEMP_DIR")
    if given:
        Path(given).mkdir(parents=True, exist_ok=True)
        return Path(given).resolve()
    user = os.getuid() if hasattr(os, "getuid") else "user"
    base = Path(tempfile.gettempdir()).resolve() / f"nst-demo-{user}"
    with contextlib.suppress(FileExistsError):
        base.mkdir(mode=0o700)
    # Anyone may make folders in the system's: one that another user made is not to be trusted.
    if base.is_symlink() or (isinstance(user, int) and base.stat().st_uid != user):
        return Path(tempfile.mkdtemp(prefix="nst-demo-"))
    return base


def _locked_folder(base: Path) -> Path:
    """A new run-*; it gets that name when it is locked, so that nobody takes it for a dead one."""
    name = secrets.token_hex(8)
    folder = base / f"new-{name}"
    folder.mkdir(mode=0o700)
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT)  # closed by the end of the process
    if fcntl:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return folder.rename(base / f"run-{name}")


def _alive(folder: Path) -> bool:
    """Whether the server lives whose folder this is."""
    try:
        if folder.name.startswith("new-") and time.time() - folder.stat().st_mtime < SWEEP_EVERY:
            return True
        if fcntl is None:  # its sweeps touch the lock
            return time.time() - (folder / _LOCK).stat().st_mtime < 3 * SWEEP_EVERY
        with open(folder / _LOCK) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def disk_full() -> bool:
    """Whether there is no room for an upload."""
    return shutil.disk_usage(Path(tempfile.gettempdir())).free < MIN_FREE


def sweep(folder: Path, max_age: float, kept: Set[Path] = frozenset()) -> None:
    """Delete what has not been written for `max_age` seconds, but what is `kept`."""
    oldest = time.time() - max_age
    for path in sorted(folder.rglob("*"), reverse=True):  # what is in a folder before the folder
        with contextlib.suppress(OSError):  # deleted by others, or not empty
            status = path.lstat()
            if max(status.st_mtime, status.st_ctime) > oldest or path in kept:
                continue
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()


@contextlib.asynccontextmanager
async def repeated(every: float, work: Callable[[], Any]) -> AsyncIterator[None]:
    """Does `work` in a thread every so many seconds, while this context lasts."""

    async def again_and_again() -> None:
        while True:
            await asyncio.sleep(every)
            await asyncio.to_thread(work)

    task = asyncio.create_task(again_and_again())
    try:
        yield
    finally:
        task.cancel()


@contextlib.asynccontextmanager
async def swept(_app: Any) -> AsyncIterator[None]:
    """The `lifespan` of the server: sweeps while it runs, and spares what the page itself shows,
    which is there before the first visitor."""
    folder = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()).parent
    if not (folder / _LOCK).exists():  # no folder of its own: a tab for development
        yield
        return
    kept = frozenset({folder / _LOCK, *folder.iterdir(), *(folder / "cache").rglob("*")})

    def work() -> None:
        (folder / _LOCK).touch()
        sweep(folder, MAX_AGE - SWEEP_EVERY, kept)

    async with repeated(SWEEP_EVERY, work):
        yield
