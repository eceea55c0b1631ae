"""The running app: seconds to answer, seconds to the first picture, memory over many pictures.

`python -m bench.server` starts `app.py` on a free port and asks it over HTTP, as a page does.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gradio_client import Client, handle_file

from bench.measure import peak_megabytes, random_picture, report
from nst_demo.images import save_image

ROOT = Path(__file__).parents[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running_app() -> Iterator[tuple[int, str]]:
    """app.py in a process of its own: its number and its address, which may not answer yet."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "app.py"], cwd=ROOT, env=os.environ | {"GRADIO_SERVER_PORT": str(port)}
    )
    try:
        yield server.pid, f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def wait_for(url: str, started: float) -> float:
    while time.monotonic() - started < 120:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return time.monotonic() - started
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise SystemExit(f"{url} did not answer within 120 s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=50)
    parser.add_argument("--size", type=int, default=1024)
    arguments = parser.parse_args()
    started = time.monotonic()
    with running_app() as (pid, url), tempfile.TemporaryDirectory() as folder:
        measure(pid, url, started, Path(folder), arguments.size, arguments.pictures)


def measure(pid: int, url: str, started: float, folder: Path, size: int, pictures: int) -> None:
    rows = [{"what": "answers on its port, s", "value": wait_for(url, started)}]
    photo, style = folder / "photo.png", folder / "style.png"
    save_image(photo, random_picture(size))
    save_image(style, random_picture(512, seed=1))
    client = Client(url, verbose=False)
    before = time.monotonic()
    for number in range(1, pictures + 1):
        client.predict(handle_file(photo), handle_file(style), 1.0, api_name="/stylize")
        if number == 1:
            seconds = time.monotonic() - before
            rows.append({"what": f"first picture ({size}x{size}), s", "value": seconds})
        if number in (5, pictures):
            rows.append(
                {"what": f"peak memory after {number} pictures, MB", "value": peak_megabytes(pid)}
            )
    report("server", rows)


if __name__ == "__main__":
    main()
