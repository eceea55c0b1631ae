"""Thirty visitors at once: is any lost, how long do they wait, does the memory grow.

`python -m bench.load` starts `app.py` on a free port; each visitor is a program with a connection
and a session of its own, which uploads its photo, asks for it in Fast, and fetches the result.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.measure import random_picture, report
from bench.server import running_app, wait_for
from nst_demo.images import encode
from nst_demo.ui import server

TRIES = 3


def megabytes(pid: int) -> float:
    """The resident memory of the process now (Linux)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def at_rest(pid: int) -> float:
    """As `megabytes`, once the server has given back what it does not need any more."""
    time.sleep(2 * server.RETURN_EVERY)
    return megabytes(pid)


def post(url: str, body: bytes, kind: str) -> object:
    request = urllib.request.Request(url, body, {"Content-Type": kind})
    with urllib.request.urlopen(request, timeout=600) as answer:
        return json.load(answer)


def upload(url: str, picture: bytes) -> dict[str, object]:
    head = b'--b\r\nContent-Disposition: form-data; name="files"; filename="photo.jpg"\r\n\r\n'
    body = head + picture + b"\r\n--b--\r\n"
    (path,) = post(f"{url}/gradio_api/upload", body, "multipart/form-data; boundary=b")  # type: ignore[misc]
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def visit(url: str, photo: bytes, style: dict[str, object]) -> float:
    """One visitor from upload to download: seconds. Raises whatever goes wrong."""
    started = time.perf_counter()
    asked = json.dumps({"photo": upload(url, photo), "style": style}).encode()
    call = f"{url}/gradio_api/call"
    event = post(f"{call}/v2/stylize", asked, "application/json")
    with urllib.request.urlopen(f"{call}/stylize/{event['event_id']}", timeout=600) as answer:  # type: ignore[index]
        said = answer.read().decode()
    if "event: complete" not in said:
        raise RuntimeError(said[-300:])
    (result,) = json.loads(said.split("event: complete\ndata: ")[1].splitlines()[0])
    with urllib.request.urlopen(result["url"], timeout=600) as answer:
        if not answer.read().startswith(b"\x89PNG"):
            raise RuntimeError("The result is no PNG.")
    return time.perf_counter() - started


def attempt(url: str, photo: bytes, style: dict[str, object]) -> float | None:
    """As `visit`; None for a visitor who was lost."""
    try:
        return visit(url, photo, style)
    except (OSError, RuntimeError, ValueError) as error:  # URLError is an OSError
        print(f"lost: {error}")
        return None


def together(
    url: str, photos: Sequence[bytes], style: dict[str, object], visitors: int
) -> list[float | None]:
    with ThreadPoolExecutor(visitors) as pool:
        return list(pool.map(lambda photo: attempt(url, photo, style), photos))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visitors", type=int, default=30)
    parser.add_argument("--requests", type=int, default=300, help="after which memory is compared")
    parser.add_argument("--size", type=int, default=512)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        started = time.monotonic()
        with running_app() as (pid, url):
            wait_for(url, started)
            measure(pid, url, arguments.size, arguments.visitors, arguments.requests)


def measure(pid: int, url: str, size: int, visitors: int, requests: int) -> None:
    # Each photo is another, so that nothing is served from a cache.
    photos = [encode(random_picture(size, seed=n), None, "JPEG") for n in range(visitors)]
    style = upload(url, encode(random_picture(256, seed=9), None, "JPEG"))
    for photo in photos[:3]:  # compiles
        visit(url, photo, style)
    single = statistics.median(visit(url, photo, style) for photo in photos[:TRIES])
    rounds = [together(url, photos, style, visitors) for _ in range(2)]  # buffers grow at first
    before = at_rest(pid)
    while sum(map(len, rounds)) - 2 * visitors < requests:
        rounds.append(together(url, photos, style, visitors))
    after = at_rest(pid)
    waited = [seconds for found in rounds for seconds in found if seconds is not None]
    asked = sum(map(len, rounds))
    rows = [
        {"what": f"one request ({size}x{size}), s", "value": single},
        {"what": f"median of {visitors} at once, s", "value": statistics.median(waited)},
        {"what": "the same / one request", "value": statistics.median(waited) / single},
        {"what": "longest wait, s", "value": max(waited)},
        {"what": f"lost of {asked}", "value": asked - len(waited)},
        {"what": f"memory before {asked - 2 * visitors} of them, MB", "value": before},
        {"what": "memory growth, %", "value": 100 * (after / before - 1)},
    ]
    report("load", rows)


if __name__ == "__main__":
    main()
