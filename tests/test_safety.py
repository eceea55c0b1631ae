"""What a stranger may do to the running page and its endpoints, and what not."""

import base64
import http.client
import http.server
import io
import json
import os
import re
import resource
import signal
import struct
import tempfile
import threading
import time
import tracemalloc
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from gradio import processing_utils
from gradio.state_holder import SessionState
from PIL import Image, PngImagePlugin
from PIL.TiffImagePlugin import IFDRational

from bench.server import free_port
from nst_demo.steps import Step
from nst_demo.ui import api, backend, build_demo, cache, files, server

ROOT = Path(server.__file__).parents[2]
MARK = "Top-Secret-4711"
SECRET_COLOR = (11, 222, 33)
META = {"_type": "gradio.FileData"}


class Site:
    """The page on a port of its own, with networks that only take the negative."""

    def __init__(self, folder: Path):
        self.folder, self.port = folder, free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.painted: list[np.ndarray] = []
        self.started: list[dict[str, Any]] = []
        self.go_on = threading.Event()  # what a Quality run waits for
        self.go_on.set()
        self.demo: gr.Blocks

    def stylize(self, content: np.ndarray, styles: Any = None, **options: Any) -> np.ndarray:
        styles = [styles] if isinstance(styles, np.ndarray) else styles or []
        self.painted += [content, *styles]
        return 1 - content

    def iterate(self, content: np.ndarray, styles: Any, **options: Any) -> Iterator[Step]:
        self.painted += [content, *styles]
        self.started.append(options)
        losses = dict.fromkeys(("total", "content", "style", "variation"), 1.0)
        yield Step(0, 2, losses, content, 0.0, None, None)
        assert self.go_on.wait(30)
        yield Step(2, 2, losses, 1 - content, 0.0, None, None)

    # ---- As a stranger's program --------------------------------------------------------------

    def request(
        self, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """The path goes out as it is, unlike with urllib."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        if body is not None and not isinstance(body, bytes):
            body, headers = (
                json.dumps(body).encode(),
                {"Content-Type": "application/json"} | (headers or {}),
            )
        connection.putrequest("GET" if body is None else "POST", path, skip_host=False)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        found = answer.status, answer.read()
        connection.close()
        return found

    def upload(self, data: bytes, name: str = "photo.png") -> dict[str, Any]:
        head = f'--b\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
        status, answer = self.request(
            "/gradio_api/upload",
            head.encode() + data + b"\r\n--b--\r\n",
            {"Content-Type": "multipart/form-data; boundary=b"},
        )
        assert status == 200, answer
        return {"path": json.loads(answer)[0], "meta": META}

    def call(self, name: str, *data: Any, headers: dict[str, str] | None = None) -> str:
        """What an endpoint says; "refused 413" and the like where it does not start."""
        path = f"/gradio_api/call/{name}"
        inputs = next(fn.inputs for fn in self.demo.fns.values() if fn.api_name == name)
        given = [*data, *(getattr(block, "value", None) for block in inputs[len(data) :])]
        status, answer = self.request(path, {"data": given}, headers)
        if status != 200:
            return f"refused {status} {answer.decode()}"
        return self.request(f"{path}/{json.loads(answer)['event_id']}")[1].decode()

    def fetch(self, answer: str) -> bytes:
        """The first file of an answer of `call`."""
        file = json.loads(answer.split("data: ", 1)[1].splitlines()[0])[0]
        while isinstance(file, list):
            file = file[0]
        status, data = self.request(f"/gradio_api/file={file['path']}")
        assert status == 200
        return data

    # ---- As a page -----------------------------------------------------------------------------

    def event(self, fn: int, data: list[Any], session: str) -> str:
        """All that the server sends to a page's event."""
        body = {"fn_index": fn, "data": data, "session_hash": session}
        function = self.demo.fns[fn]
        if not function.queue:
            status, answer = self.request("/gradio_api/run/predict", body)
            return answer.decode()
        status, answer = self.request("/gradio_api/queue/join", body)
        if status != 200:
            return f"refused {status} {answer.decode()}"
        return self.listen(session)

    def listen(self, session: str) -> str:
        url = f"{self.address}/gradio_api/queue/data?session_hash={session}"
        lines = []
        with urllib.request.urlopen(url, timeout=30) as answer:
            for line in answer:
                lines.append(line.decode())
                if '"msg":"close_stream"' in lines[-1]:
                    break
        return "".join(lines)

    def defaults(self, fn: int) -> list[Any]:
        """What a fresh page sends."""
        return [getattr(block, "value", None) for block in self.demo.fns[fn].inputs]

    def named(self, name: str) -> int:
        """The page's event whose function is called so."""
        return next(i for i, fn in self.demo.fns.items() if fn.fn and fn.fn.__name__ == name)

    def files(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    handler, temporary = signal.getsignal(signal.SIGTERM), tempfile.tempdir
    site = Site(folder)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("SPACE_ID", "NST_BEHIND_PROXY", "NST_MCP", "GRADIO_SERVER_NAME"):
            patch.delenv(name, raising=False)
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        patch.setenv("GRADIO_SERVER_PORT", str(site.port))
        # What `prepare` replaces is put back at the end.
        patch.setattr(processing_utils, "async_ssrf_protected_get", None)
        patch.setattr(SessionState, "__init__", SessionState.__init__)
        patch.setattr(backend, "stylize", site.stylize)
        patch.setattr(backend, "iterate", site.iterate)
        server.prepare()
        site.demo = build_demo()
        site.demo.queue(**server.queue_options())
        site.demo.launch(**server.launch_options(), prevent_thread_lock=True, quiet=True)
        yield site
        site.demo.close(verbose=False)
    signal.signal(signal.SIGTERM, handler)
    tempfile.tempdir = temporary


def png(color: tuple[int, int, int] = (90, 120, 150), side: int = 48, **options: Any) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (side, side), color).save(data, "PNG", **options)
    return data.getvalue()


@pytest.fixture
def photo(site: Site) -> dict[str, Any]:
    return site.upload(png())


@pytest.fixture(scope="module")
def secret(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of somebody else's on the server."""
    path = tmp_path_factory.mktemp("elsewhere") / "secret.png"
    path.write_bytes(png(SECRET_COLOR))
    return path


def shows_secret(picture: np.ndarray) -> bool:
    color = np.rint(picture[..., :3].reshape(-1, 3).mean(0) * 255)
    return np.abs(color - SECRET_COLOR).max() < 3


# ---- Large and hostile uploads -----------------------------------------------------------------


def test_large_bodies_are_refused_also_as_data_urls(site, photo):
    url = "data:image/png;base64," + base64.b64encode(b"x" * server.MAX_JSON).decode()
    for large in (url, {"path": url, "meta": META}, {"path": "a", "url": url, "meta": META}):
        assert site.call("stylize", large, photo).startswith("refused 413")
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    body = b"x" * (server.MAX_FORM + 1)
    assert site.request("/gradio_api/upload", body, form) == (413, server.TOO_LARGE.encode())
    small = "data:image/png;base64," + base64.b64encode(png()).decode()
    assert "was not uploaded" in site.call("stylize", {"path": small, "meta": {}}, photo)


def test_pictures_have_a_lower_limit_than_clips(site, photo):
    large = site.upload(png() + bytes(files.MAX_PICTURE), "large.png")  # Pillow would open it
    sentence = "'large.png' has 15.0 MB, at most 15 MB can be taken"
    assert f"The photo {sentence}" in site.call("stylize", large, photo)
    assert f"The style {sentence}" in site.call("quality", photo, large)
    assert f"The style {sentence}" in site.call("compare", photo, [photo, large])
    assert f"The style {sentence}" in site.call("video", photo, large)
    takers = [
        number
        for number, fn in site.demo.fns.items()
        if fn.concurrency_id == "receive" and isinstance(fn.inputs[0], files.PictureInput)
    ]
    assert len(takers) == 8  # Stylize's photo, styles and start, Compare's photo, Video's style
    for number in takers:  # told as soon as it is uploaded
        data = [large, None][: len(site.demo.fns[number].inputs)]
        assert sentence in site.event(number, data, f"large-{number}")


def test_a_clip_may_be_larger_than_a_picture(site, photo):
    head = b"\0\0\0\x18ftypisom"
    clip = site.upload(head + bytes(files.MAX_CLIP - len(head)), "clip.mp4")
    assert "'clip.mp4' cannot be decoded" in site.call("video", clip, photo)


def test_no_upload_takes_the_last_of_the_disk(site, photo, monkeypatch):
    monkeypatch.setattr(cache, "MIN_FREE", 2**80)
    form = {"Content-Type": "multipart/form-data; boundary=b"}
    assert site.request("/gradio_api/upload", b"--b", form) == (507, server.DISK_FULL.encode())
    assert "event: complete" in site.call("stylize", photo, photo)  # all else goes on


def test_bombs_are_refused_before_they_are_decoded(site, photo):
    side = 12_000  # 430 MB as RGB

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = zlib.compressobj(1)
    row = b"\0" * (1 + 3 * side)
    packed = b"".join(rows.compress(row) for _ in range(side)) + rows.flush()
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )
    assert len(bomb) < files.MAX_PICTURE
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    file = site.upload(bomb)
    assert "megapixels" in site.call("stylize", file, photo)
    assert "megapixels" in site.call("quality", photo, file)
    assert "megapixels" in site.call("compare", photo, [file])
    take = next(i for i, fn in site.demo.fns.items() if fn.concurrency_id == "receive")
    assert "megapixels" in site.event(take, [file, None], "bomber")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200_000  # kB


# ---- What the results tell ---------------------------------------------------------------------


def with_metadata(kind: str) -> bytes:
    """A picture with a place, a camera, a comment, XMP and a colour profile, each with MARK."""
    exif = Image.Exif()
    exif[0x010F] = exif[0x9286] = exif[0x013B] = MARK
    exif.get_ifd(0x8825).update({1: "N", 2: (IFDRational(48), IFDRational(8), IFDRational(1))})
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", MARK)
    options: dict[str, Any] = {"exif": exif, "xmp": MARK.encode(), "comment": MARK}
    data = io.BytesIO()
    image = Image.fromarray(np.random.default_rng(1).integers(0, 255, (64, 64, 3), "uint8"))
    image.save(data, kind, **options, **({"pnginfo": text} if kind == "PNG" else {}))
    assert MARK.encode() in data.getvalue()
    return data.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_no_metadata_of_an_upload_is_in_any_output(site, kind):
    files_before = set(site.files())
    file = site.upload(with_metadata(kind), f"holiday.{kind.lower()}")
    for answer in (
        site.call("stylize", file, file),
        site.call("quality", file, file),
        site.call("compare", file, [file]),
    ):
        assert "event: complete" in answer
        with Image.open(io.BytesIO(site.fetch(answer))) as image:
            assert not dict(image.getexif())
            assert not image.info.get("icc_profile")
    page = page_run(site, site.named("run"), file, f"metadata-{kind}")
    assert "process_completed" in page
    made = set(site.files()) - files_before - {Path(file["path"])}
    assert len(made) >= 6
    for path in made:
        assert MARK.encode() not in path.read_bytes(), path


def page_run(site: Site, fn: int, photo: dict[str, Any], session: str) -> str:
    """Press Stylize on a page that shows this photo as photo and style."""
    data = site.defaults(fn)
    data[:2] = [photo, photo]
    return site.event(fn, data, session)


# ---- Files that are none of a stranger's business ----------------------------------------------


def test_no_route_gives_a_file_that_is_not_its_own(site, secret):
    site.upload(png())
    cache = os.environ["GRADIO_TEMP_DIR"]
    link = Path(cache) / "link.png"
    link.symlink_to(secret)
    targets = [str(secret), str(ROOT / "app.py"), str(ROOT / "nst_demo/ui/server.py")]
    targets += ["/etc/passwd", "app.py", "../app.py", str(link), f"{cache}/../../.lock"]
    targets += [f"{cache}/../{'../' * 20}etc/passwd", f"{ROOT}/examples/../app.py"]
    starts = [
        "/gradio_api/file=",
        "/file=",
        "/gradio_api/file/",
        "/static/",
        "/assets/",
        "/svelte/",
    ]
    starts += ["/gradio_api/static/", "/gradio_api/proxy=file://", "/gradio_api/file=file://", "/"]
    starts += ["/gradio_api/custom_component/1/client/component/", "/gradio_api/stream/"]
    known = [secret.read_bytes(), b"root:", (ROOT / "app.py").read_bytes()[:60], b"BodyLimit"]
    for start in starts:
        for target in targets:
            for written in (target, target.replace("..", "%2e%2e"), target.replace("/", "%2f")):
                status, data = site.request(start + written)
                assert status != 200 or start == "/", start + written
                assert not any(part in data for part in known), start + written
    link.unlink()
    own = site.upload(png())["path"]
    assert site.request(f"/gradio_api/file={own}")[0] == 200


def test_a_files_name_does_not_lead_out_of_the_folder(site):
    for name in ("../../../evil.png", "/etc/evil.png", "..%2f..%2fevil.png", ".ssh/keys"):
        path = Path(site.upload(png(), name)["path"])
        assert Path(os.environ["GRADIO_TEMP_DIR"]).resolve() in path.resolve().parents


@pytest.mark.parametrize("meta", [META, {}, {"_type": "other"}])
def test_endpoints_open_only_uploads(site, photo, secret, meta):
    paths: list[Any] = [str(secret), "/etc/passwd", "app.py", "", ".", "\0", 7, None, ["a"]]
    paths += [f"{photo['path']}/../../../../{secret}", str(ROOT / "docs/stylize.webp")]
    paths += [os.environ["GRADIO_TEMP_DIR"], str(Path(photo["path"]).parent)]
    del site.painted[:]
    for path in paths:
        file = {"path": path, "meta": meta, "orig_name": "a.png", "url": str(path)}
        for answer in (
            site.call("stylize", file, photo),
            site.call("stylize", photo, file),
            site.call("quality", photo, file),
            site.call("compare", photo, [photo, file]),
            site.call("compare", file, [photo]),
        ):
            assert answer.startswith(("event: error", "refused 400")), (path, answer)
            assert "root:" not in answer
    own = np.array((90, 120, 150)) / 255
    assert all(np.abs(picture - own).max() < 0.01 for picture in site.painted)
    assert "event: error" in site.call("stylize", str(secret), photo)


@pytest.fixture(scope="module")
def listener() -> Iterator[tuple[str, list[str]]]:
    """A server inside the network, and what it was asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(png(SECRET_COLOR))

        def log_message(self, *_: Any) -> None:
            pass

    internal = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=internal.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{internal.server_port}/secret.png", asked
    internal.shutdown()


def test_the_pages_events_give_no_file_away(site, secret, listener, monkeypatch):
    """Every event of the page, with somebody else's file in each of its values."""
    places = [secret, ROOT / "app.py"]
    own = {path.read_bytes() for path in places}
    del site.painted[:]
    known = set(site.files())
    # What several events do alike is tried once.
    events = {
        (fn.fn, *(component._id for component in fn.inputs)): number
        for number, fn in site.demo.fns.items()
        if fn.fn is not None and fn.api_visibility != "public"
    }
    assert len(events) > 30
    for fn in site.demo.fns.values():
        if fn.time_limit:  # the webcam's, which waits so long for its next picture
            monkeypatch.setattr(fn, "time_limit", 0.1)
    for path in (*places, listener[0]):
        for value in ({"path": str(path), "meta": META}, {"path": str(path)}, str(path)):
            for number in events.values():
                given = [
                    value
                    if old is None or (isinstance(old, dict | str) and "/" in str(old))
                    else old
                    for old in site.defaults(number)
                ]
                site.event(number, given, "thief")
    assert not any(shows_secret(picture) for picture in site.painted)
    for file in set(site.files()) - known:
        assert file.read_bytes() not in own, file
    assert not listener[1]


@pytest.mark.parametrize(
    "address",
    [
        "{internal}",
        "http://169.254.169.254/latest/meta-data",
        "http://[::1]:1/",
        "http://example.com/a.png",
    ],
)
def test_no_address_is_fetched(site, photo, listener, address):
    """Neither a private one nor a public one, which may lead to a private one or never end."""
    address = address.format(internal=listener[0])
    started = time.monotonic()
    for file in (
        {"path": address, "meta": META},
        {"path": address},
        {"path": photo["path"] + "x", "url": address, "meta": META},
    ):
        assert "event: error" in site.call("stylize", file, photo)
        assert "event: error" in site.call("compare", photo, [file])
    assert "fetches no addresses" in site.call("quality", photo, {"path": address, "meta": META})
    for start in ("/gradio_api/file=", "/gradio_api/proxy=", "/proxy=", "/gradio_api/file/"):
        assert site.request(start + address)[0] in (403, 404)
    assert not listener[1]
    assert time.monotonic() - started < 10  # nor is anybody waited for


def test_closed_routes_are_not_there(site):
    for path in ("component_server", "process_recording", "vibe-edit", "run-history/connect"):
        assert site.request(f"/gradio_api/{path}", {})[0] == 404
    for path in ("/gradio_api/deep_link", "/monitoring", "/gradio_api/vibe-code", "/proxy=x"):
        assert site.request(path)[0] == 404


# ---- Visitors apart ----------------------------------------------------------------------------


def test_results_have_paths_that_nobody_can_guess(site, photo):
    answers = [site.call("stylize", photo, photo) for _ in range(2)]
    paths = [json.loads(answer.split("data: ")[1])[0]["path"] for answer in answers]
    folders = [Path(path).parent.name for path in paths]
    assert folders[0] != folders[1]
    assert all(len(folder) >= 32 for folder in folders)


def test_visitors_have_their_own_state(site, photo):
    """The result that "Continue" starts from is the visitor's own."""
    assert "process_completed" in page_run(site, site.named("run"), photo, "first")
    go_on = site.named("go_on")
    data = site.defaults(go_on)
    data[:3] = [None, photo, photo]
    del site.started[:]
    site.event(go_on, data, "second")
    assert site.started
    assert all("init_image" not in options for options in site.started)


def test_a_session_costs_little_memory(site):
    tracemalloc.start()
    sessions = [SessionState(site.demo) for _ in range(10)]
    size = tracemalloc.get_traced_memory()[0] / len(sessions)
    tracemalloc.stop()
    assert size < 60_000  # bytes; gradio's own has 600,000


def test_a_visitor_cannot_listen_to_another(site, photo):
    site.event(site.named("run"), site.defaults(site.named("run")), "mine")
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=30)
    connection.request("GET", "/gradio_api/queue/data?session_hash=other")
    answer = connection.getresponse()
    assert b"process_completed" not in answer.read1(100_000)
    connection.close()


# ---- Turns -------------------------------------------------------------------------------------


@pytest.fixture
def held(site: Site) -> Iterator[Site]:
    """Quality runs go on until `go_on` is set."""
    site.go_on.clear()
    yield site
    site.go_on.set()
    settle(site)


def settle(site: Site) -> None:
    """Wait until nobody's run counts any more."""
    deadline = time.monotonic() + 30
    while site.demo._queue.event_ids_to_events:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def join(site: Site, fn: int, data: list[Any], session: str, **headers: str) -> tuple[int, str]:
    body = {"fn_index": fn, "data": data, "session_hash": session}
    status, answer = site.request("/gradio_api/queue/join", body, headers)
    return status, answer.decode()


def start(site: Site, photo: Any, **headers: str) -> tuple[int, str]:
    path = "/gradio_api/call/v2/quality"
    status, answer = site.request(path, {"photo": photo, "style": photo}, headers)
    return status, answer.decode()


def quality_of_page(site: Site) -> int:
    private = (i for i, fn in site.demo.fns.items() if fn.api_visibility == "private")
    return next(i for i in private if site.demo.fns[i].concurrency_id == "quality")


def test_a_program_has_one_long_run_at_a_time(held, photo):
    assert start(held, photo)[0] == 200
    assert start(held, photo) == (
        429,
        json.dumps({"detail": server.ONE_AT_A_TIME}, separators=(",", ":")),
    )
    assert "event: complete" in held.call("stylize", photo, photo)  # short ones go on
    held.go_on.set()
    deadline = time.monotonic() + 20
    while start(held, photo)[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_page_has_one_long_run_at_a_time(held, photo):
    fn = quality_of_page(held)
    data = held.defaults(fn)
    data[:2] = [photo, photo]
    assert join(held, fn, data, "one")[0] == 200
    status, answer = join(held, fn, data, "one")
    assert (status, json.loads(answer)["detail"]) == (429, server.ONE_AT_A_TIME)
    for session in ("two", "three", "four"):
        assert join(held, fn, data, session)[0] == 200
    status, answer = join(held, fn, data, "five")  # one address
    assert (status, json.loads(answer)["detail"]) == (429, server.MANY_OF_ADDRESS)


def test_behind_a_proxy_visitors_are_told_apart_and_the_line_is_bounded(held, photo, monkeypatch):
    monkeypatch.setenv("SPACE_ID", "someone/space")
    answers = [
        start(held, photo, **{"X-Forwarded-For": f"10.0.0.{n}, 10.1.1.1"}) for n in range(11)
    ]
    statuses = [status for status, _ in answers]
    assert statuses[:10] == [200] * 10  # two of them run
    assert statuses[10] == 503
    assert server.BUSY in answers[10][1]
    assert start(held, photo, **{"X-Forwarded-For": "10.0.0.1"})[0] in (429, 503)
    fn = quality_of_page(held)
    status, answer = join(held, fn, held.defaults(fn), "late", **{"X-Forwarded-For": "10.0.0.99"})
    assert (status, json.loads(answer)["detail"]) == (429, server.BUSY)  # in our words
    assert "event: complete" in held.call("stylize", photo, photo)  # Fast has its own line


def test_two_requests_at_once_do_not_share_the_last_place(held, photo):
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(start(held, photo)[0])) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [200, 429, 429, 429, 429, 429]


def test_a_slow_answer_keeps_nobody_else_waiting(site, photo, monkeypatch):
    """Of the events that stand in no line."""
    number = next(i for i, fn in site.demo.fns.items() if fn.fn and not fn.queue)
    began, go_on = threading.Event(), threading.Event()

    def slow(*_: Any) -> None:
        began.set()
        go_on.wait(20)

    monkeypatch.setattr(site.demo.fns[number], "fn", slow)
    waiting = threading.Thread(target=site.event, args=(number, site.defaults(number), "slow"))
    waiting.start()
    assert began.wait(20)
    assert "event: complete" in site.call("stylize", photo, photo)
    assert waiting.is_alive()
    go_on.set()
    waiting.join()


def test_the_lines_cannot_be_passed_by(site, photo):
    body = {"data": [photo, photo], "fn_index": site.named("run")}
    assert site.request("/gradio_api/run/stylize", {"data": [photo, photo]})[0] == 404
    assert site.request("/gradio_api/run/predict", body)[0] == 404
    assert site.request("/gradio_api/api/quality", {"data": [photo, photo]})[0] == 404


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{", b'{"fn_index": []}', b'{"fn_index": 99999}', b"7"]
)
def test_nonsense_is_refused_by_gradio(site, body):
    headers = {"Content-Type": "application/json"}
    for path in ("queue/join", "call/stylize", "call/nothing"):
        status, _ = site.request(f"/gradio_api/{path}", body, headers)
        assert 400 <= status <= 500


# ---- What programs are told --------------------------------------------------------------------


def test_the_docs_name_and_describe_every_parameter(site):
    info = json.loads(site.request("/gradio_api/info")[1])
    assert set(info["named_endpoints"]) == {"/stylize", "/quality", "/compare", "/video"}
    assert not info["unnamed_endpoints"]
    for name, endpoint in info["named_endpoints"].items():
        assert len(endpoint["description"]) > 30, name
        for parameter in [*endpoint["parameters"], *endpoint["returns"]]:
            assert parameter["python_type"]["type"] != "Any", (name, parameter)
            assert len(parameter["type"]["additional_description"]) > 10, (name, parameter)


def test_programs_are_told_what_is_wrong(site, photo):
    assert "megapixels" not in (answer := site.call("stylize", photo, photo, 7.0))
    assert "event: error" in site.call("compare", photo, [photo] * 17)
    assert "choose at most 16" in site.call("compare", photo, [photo] * 17)
    assert "time_budget is 600" in site.call("quality", photo, photo, "default", 0, 600)
    assert "not a list" in site.call("compare", photo, photo)
    assert "'magic' is not one of" in site.call(
        "stylize", photo, photo, 1.0, 1.0, "none", 0, "", "magic"
    )
    assert api.MAX_SECONDS == 60
    assert answer


def test_programs_are_told_of_what_is_no_number(site, photo):
    clip = site.upload((ROOT / "examples/clips/cat-pan.mp4").read_bytes(), "clip.mp4")
    for name, *call in (
        ("strength", "stylize", photo, photo, "0.5"),
        ("time_budget", "quality", photo, photo, "default", 0, "60"),
        ("size", "compare", photo, [photo], 1.0, 1.0, "none", "64"),
        ("frame rate", "video", clip, photo, "", 1.0, 1.0, 0.0, "8"),
        ("size", "video", clip, photo, "", 1.0, 1.0, 0.0, 8, "64"),
    ):
        settle(site)
        answer = site.call(*call)
        assert re.search(f"The {name} is [0-9.]+; give a number from", answer), answer


def test_the_kind_of_a_clip_leads_nowhere(site, photo):
    clip = site.upload((ROOT / "examples/clips/cat-pan.mp4").read_bytes(), "clip.mp4")
    settle(site)
    answer = site.call("video", clip, photo, "", 1.0, 1.0, 0.0, 0, 0, "./a/b.mp4")
    assert "The kind is './a/b.mp4'; choose one of mp4, gif." in answer
    assert str(site.folder) not in answer
