"""The server's own folder: swept, removed at the end, and cleaned up after a kill."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nst_demo.ui import cache, server

SERVER = """
import runpy, sys, tempfile
use_own_folder = runpy.run_path(sys.argv[1])["use_own_folder"]  # without the time gradio takes
folder = use_own_folder()
(folder / "cache").mkdir()
(folder / "cache" / "upload.png").write_text("a visitor's")
tempfile.NamedTemporaryFile(delete=False).close()
print(folder, flush=True)
sys.stdin.readline()
"""

Start = Callable[[], tuple["subprocess.Popen[str]", Path]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a process with a folder of its own; returns both."""
    with contextlib.ExitStack() as stack:

        def run() -> tuple[subprocess.Popen[str], Path]:
            process = subprocess.Popen(
                [sys.executable, "-c", SERVER, cache.__file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=os.environ | {"GRADIO_TEMP_DIR": str(tmp_path)},
            )
            stack.enter_context(process)
            stack.callback(process.kill)
            assert process.stdout is not None
            return process, Path(process.stdout.readline().strip())

        yield run


def test_a_killed_server_leaves_nothing_for_the_next_and_a_living_one_loses_nothing(
    start, tmp_path
):
    killed, left = start()
    living, kept = start()
    assert left != kept
    killed.send_signal(signal.SIGKILL)
    killed.wait(10)
    assert (left / "cache/upload.png").exists()
    last, own = start()
    assert not left.exists()
    assert sorted(tmp_path.iterdir()) == sorted([kept, own])
    assert (kept / "cache/upload.png").read_text() == "a visitor's"
    for process in (living, last):
        process.communicate("\n", timeout=10)
    assert not list(tmp_path.iterdir())  # an ordinary end removes the folder


def test_temporary_files_are_in_the_folder_too(start):
    _, folder = start()
    assert len(list((folder / "tmp").iterdir())) == 1


def test_sweeping_deletes_what_is_old(tmp_path, monkeypatch):
    for name in ("old/a.png", "new/b.png", "kept/c.png", "both/old.png", "both/new.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("picture")
    (tmp_path / "link").symlink_to(tmp_path / "new")
    # What a file's ctime is cannot be set: the clock goes on instead.
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 4000)
    for name in ("new/b.png", "both/new.png"):
        os.utime(tmp_path / name, (now + 3900,) * 2)
    cache.sweep(tmp_path, 3600, kept={tmp_path / "kept/c.png"})
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert found == {"new", "new/b.png", "kept", "kept/c.png", "both", "both/new.png"}


def test_no_file_outlives_an_hour(tmp_path, monkeypatch):
    """While the server runs, also what gradio knows nothing of; what the page shows stays."""
    run = tmp_path / "run-1"
    (run / "cache").mkdir(parents=True)
    (run / "tmp").mkdir()
    (run / ".lock").touch()
    (run / "cache/thumbnail.webp").write_text("of the page")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(run / "cache"))
    monkeypatch.setattr(cache, "SWEEP_EVERY", 0.02)
    monkeypatch.setattr(cache, "MAX_AGE", 0.3)

    async def serve() -> None:
        async with cache.swept(None):
            for name in ("cache/upload.png", "tmp/part.bin"):
                (run / name).write_text("a visitor's")
            deadline = time.monotonic() + 10
            while (run / "cache/upload.png").exists() or (run / "tmp/part.bin").exists():
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)

    with ThreadPoolExecutor(1) as thread:  # Playwright leaves a loop running in this one
        thread.submit(asyncio.run, serve()).result()
    assert (run / "cache/thumbnail.webp").exists()
    assert (run / "tmp").exists()


def test_freed_memory_goes_back_while_the_server_runs(monkeypatch):
    given = asyncio.Event()
    monkeypatch.setattr(server, "RETURN_EVERY", 0.01)

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(
            server.memory, "return_freed", lambda: loop.call_soon_threadsafe(given.set)
        )
        async with server.launch_options()["app_kwargs"]["lifespan"](None):
            await asyncio.wait_for(given.wait(), 10)

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, serve()).result()


def test_an_hour_is_the_limit_by_the_two_sweepers():
    every, known = cache.DELETE_CACHE
    assert known + every < cache.MAX_AGE
    assert cache.MAX_AGE == 3600


def test_a_folder_that_another_user_made_is_not_used(tmp_path, monkeypatch):
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    monkeypatch.setattr(cache.tempfile, "tempdir", str(tmp_path))
    base = cache._base()
    assert base.parent == tmp_path
    assert base.stat().st_mode & 0o077 == 0
    base.rmdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    base.symlink_to(elsewhere)
    assert cache._base() != base
