"""What a Hugging Face Space does with this folder, and what its README must say."""

import gzip
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from httpx import Response
from packaging.requirements import Requirement
from packaging.version import Version
from PIL import Image
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

import nst_demo
from bench.server import free_port
from nst_demo.ui import controls, picker, preview, server

ROOT = Path(nst_demo.__file__).parents[1]
START_SECONDS = 120
# As root every folder can be written to, unless these are given up.
DROP = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--"]


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """`python app.py` in a read-only copy, with no home; its address, and the place for files."""
    folder = tmp_path_factory.mktemp("space")
    code, storage = folder / "code", folder / "storage"
    storage.mkdir()
    skip = shutil.ignore_patterns("__pycache__", "*.pyi")
    for name in ("nst_demo", "examples"):
        shutil.copytree(ROOT / name, code / name, ignore=skip)
    for name in ("app.py", "requirements.txt", "README.md"):
        shutil.copy(ROOT / name, code / name)
    for path in (*code.rglob("*"), code):
        path.chmod(0o555 if path.is_dir() else 0o444)
    port = free_port()
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    environment = kept | {
        "SPACE_ID": "someone/neural-style-transfer",
        "GRADIO_SERVER_PORT": str(port),
        "HOME": "/nonexistent",
        "TMPDIR": str(storage),
    }
    drop = DROP if os.name == "posix" and os.getuid() == 0 and shutil.which("setpriv") else []
    with open(folder / "log", "w+b") as log:
        server = subprocess.Popen(
            [*drop, sys.executable, "app.py"], cwd=code, env=environment, stdout=log, stderr=log
        )
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(url, server, folder / "log")
            before = sorted(code.rglob("*"))
            yield url, storage
            assert sorted(code.rglob("*")) == before
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                pytest.fail("SIGTERM did not end the server.")
            for path in (code, *(p for p in code.rglob("*") if p.is_dir())):
                path.chmod(0o755)  # so that pytest can remove it
    left = [path for path in storage.rglob("*") if path.is_file() or path.name.startswith("run-")]
    assert not left, "An ordinary end removes uploads and results."


def wait_for(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    """By the health check of the Dockerfile."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/gradio_api/queue/status", timeout=5) as answer:
                assert answer.status == 200
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    pytest.fail(f"app.py did not answer at {url}:\n{log.read_text(errors='replace')[-4000:]}")


def run(*command: str) -> bytes:
    return subprocess.run(command, capture_output=True, check=True, timeout=120).stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_page_and_the_endpoint_work_on_a_space(space, tmp_path):
    """With the very commands that the README gives for curl."""
    url, storage = space
    page = run("curl", "-s", f"{url}/").decode()
    assert "Stylize" in page
    assert "Duplicate this Space" in page
    paths = {}
    for kind, name in (("photo", "photos/cat.jpg"), ("style", "styles/great-waves.webp")):
        form = f"files=@{ROOT / 'examples' / name}"
        (path,) = json.loads(run("curl", "-s", "-F", form, f"{url}/gradio_api/upload"))
        assert storage in Path(path).parents
        paths[kind] = {"path": path, "meta": {"_type": "gradio.FileData"}}
    call = f"{url}/gradio_api/call/v2/stylize"
    asked = json.dumps(paths | {"strength": 0.8})
    event = json.loads(run("curl", "-s", call, "--json", asked))["event_id"]
    answer = run("curl", "-sN", f"{url}/gradio_api/call/stylize/{event}").decode()
    (result,) = json.loads(re.findall(r"event: complete\ndata: (.*)", answer)[0])
    (tmp_path / "out.png").write_bytes(run("curl", "-s", result["url"]))
    with (
        Image.open(tmp_path / "out.png") as image,
        Image.open(ROOT / "examples/photos/cat.jpg") as photo,
    ):
        assert (image.format, image.size) == ("PNG", photo.size)


def test_the_page_comes_compressed_and_its_scripts_are_kept(space):
    url, _ = space
    asked = urllib.request.Request(f"{url}/", headers={"Accept-Encoding": "gzip"})
    with urllib.request.urlopen(asked) as answer:
        assert answer.headers["Content-Encoding"] == "gzip"
        sent = answer.read()
    page = gzip.decompress(sent)
    assert len(sent) < 80_000  # no picture is in it
    (tile, *_) = re.findall(rb"pictures/\w+\.webp", page)
    with urllib.request.urlopen(f"{url}/{tile.decode()}") as answer:
        assert answer.headers["Content-Type"] == "image/webp"
        assert answer.headers["Cache-Control"] == preview.KEPT
        assert Image.open(io.BytesIO(answer.read())).size in (
            (picker.TILE,) * 2,
            (controls.NETWORK_TILE,) * 2,
        )
    (script,) = re.findall(rb'src="\.?/?(assets/[^"]+\.js)"', page)[:1]
    with urllib.request.urlopen(f"{url}/{script.decode()}") as answer:
        assert "immutable" in answer.headers["Cache-Control"]
    with pytest.raises(urllib.error.HTTPError) as none:
        urllib.request.urlopen(f"{url}/assets/none.js")
    assert "immutable" not in none.value.headers.get("Cache-Control", "")


def test_scripts_are_read_and_compressed_once():
    reads: list[str] = []

    def script(request: Request) -> PlainTextResponse:
        name = request.path_params["name"]
        reads.append(name)
        return PlainTextResponse(f"{name};" * 1000, 404 if name == "none.js" else 200)

    routes = [Route("/assets/{name:path}", script)]
    middleware = [Middleware(CORSMiddleware, allow_origins=["*"]), Middleware(server.Assets)]
    client = TestClient(Starlette(routes=routes, middleware=middleware))

    def get(name: str, encoding: str = "br") -> Response:
        return client.get(f"/assets/{name}", headers={"Accept-Encoding": encoding, "Origin": "a"})

    first, again = get("a.js"), get("a.js")
    assert (again.content, again.headers) == (first.content, first.headers)
    assert again.text == "a.js;" * 1000
    assert again.headers["content-encoding"] == "br"
    assert again.headers["cache-control"] == preview.KEPT
    assert get("a.js", "gzip").headers["content-encoding"] == "gzip"
    plain = get("a.js", "identity")
    assert "content-encoding" not in plain.headers
    assert reads == ["a.js"] * 3  # one for each encoding
    for name in ("none.js", "none.js", "b/a.js", "b/a.js"):
        get(name)
    assert len(reads) == 7  # nothing is kept of what is not there, nor under a second address


# ---- The README's front matter -----------------------------------------------------------------


@pytest.fixture(scope="module")
def front_matter() -> dict[str, str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    _, front, _ = text.split("---\n", 2)
    lines = re.findall(r"^(\w+): *(.*)$", front, re.MULTILINE)
    return {name: value.strip("\"'") for name, value in lines}


def requirement(name: str) -> Requirement:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    wanted = (Requirement(line.split("#")[0]) for line in lines if line.split("#")[0].strip())
    return next(found for found in wanted if found.name == name)


def test_front_matter_is_what_a_space_needs(front_matter):
    assert front_matter["sdk"] == "gradio"
    assert (ROOT / front_matter["app_file"]).is_file()
    assert len(front_matter["short_description"]) <= 60
    assert front_matter["python_version"] == "3.11"  # the default, 3.10, is too old for Keras
    assert front_matter["license"] == "mit"
    colors = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {front_matter["colorFrom"], front_matter["colorTo"]} <= colors


def test_the_space_runs_the_gradio_that_is_tested(front_matter):
    declared, installed = Version(front_matter["sdk_version"]), Version(metadata.version("gradio"))
    assert declared.release[:2] == installed.release[:2]
    assert requirement("gradio").specifier.contains(declared)


def test_the_thumbnail_is_there(front_matter):
    """A path in the repository, or its address there."""
    name = front_matter["thumbnail"].rsplit("/main/", 1)[-1]
    with Image.open(ROOT / name) as image:
        assert image.width >= 600


# ---- The Dockerfile ----------------------------------------------------------------------------


def test_the_image_holds_what_the_page_needs_and_runs_as_nobody_special():
    text = (ROOT / "Dockerfile").read_text()
    assert text.index("USER ") < text.index('CMD ["python", "app.py"]')
    assert "HEALTHCHECK" in text
    kept = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    assert kept >= {"app.py", "requirements.txt", "nst_demo", "examples"}
    assert all((ROOT / name).exists() for name in kept)
