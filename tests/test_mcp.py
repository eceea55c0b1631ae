"""The endpoints as tools: a real MCP client, and the page with `--mcp`. Needs the extra `mcp`."""

import asyncio
import base64
import io
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import nst_demo
from bench.server import free_port

ROOT = Path(nst_demo.__file__).parents[1]
TOOLS = {"stylize", "quality", "compare", "video"}
needs_mcp = pytest.mark.skipif(find_spec("mcp") is None, reason="the extra mcp is not installed")


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("mcp")
    port = free_port()
    environment = os.environ | {
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_SERVER_NAME": "127.0.0.1",
        "GRADIO_TEMP_DIR": str(folder / "cache"),
    }
    with open(folder / "log", "w+b") as log:
        server = subprocess.Popen(
            [sys.executable, "app.py", "--mcp"], cwd=ROOT, env=environment, stdout=log, stderr=log
        )
        address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"{address}/gradio_api/queue/status", timeout=5).close()
                break
            except OSError:
                assert time.monotonic() < deadline, (folder / "log").read_text()[-3000:]
                assert server.poll() is None, (folder / "log").read_text()[-3000:]
                time.sleep(0.1)
        yield address
        server.terminate()
        server.wait(20)


def picture(color: tuple[int, int, int]) -> str:
    data = io.BytesIO()
    Image.new("RGB", (64, 48), color).save(data, "PNG")
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode()


def ask(url: str, tool: str, **arguments: Any) -> tuple[set[str], Any]:
    """The names of the tools, and what one of them answers."""
    from mcp import ClientSession  # type: ignore[import-not-found]
    from mcp.client.streamable_http import (  # type: ignore[import-not-found]
        streamablehttp_client,
    )

    async def talk() -> tuple[set[str], Any]:
        async with (
            streamablehttp_client(f"{url}/gradio_api/mcp/") as (read, write, _),
            ClientSession(read, write) as session,
        ):
            await session.initialize()
            tools = (await session.list_tools()).tools
            assert all(tool.description and len(tool.description) > 30 for tool in tools)
            return {tool.name for tool in tools}, await session.call_tool(tool, arguments)

    with ThreadPoolExecutor(1) as thread:  # Playwright leaves a loop running in this one
        return thread.submit(asyncio.run, asyncio.wait_for(talk(), 90)).result()


@needs_mcp
def test_the_tools_are_the_endpoints_and_paint(url):
    names, answer = ask(
        url, "stylize", photo=picture((200, 90, 30)), style=picture((20, 30, 160)), strength=0.8
    )
    assert names == TOOLS  # none of the page's own events
    assert not answer.isError, answer
    (shown,) = [part for part in answer.content if part.type == "image"]
    with Image.open(io.BytesIO(base64.b64decode(shown.data))) as image:
        assert image.size == (64, 48)


@needs_mcp
def test_tools_open_no_file_of_the_server_and_fetch_nothing(url):
    for photo in (
        "/etc/passwd",
        str(ROOT / "docs/stylize.webp"),
        f"{url}/config",
        "http://[::1]/a",
    ):
        _, answer = ask(url, "stylize", photo=photo, style=picture((1, 2, 3)))
        assert answer.isError, photo
        assert not [part for part in answer.content if part.type == "image"]


@pytest.mark.skipif(find_spec("mcp") is not None, reason="the extra mcp is installed")
def test_without_the_extra_one_sentence_says_what_to_install():
    done = subprocess.run(
        [sys.executable, "app.py", "--mcp"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("Tools need the extra mcp;")
    assert "Traceback" not in done.stderr
