"""How the page is served to the public: limits, turns, and nothing collected."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from types import SimpleNamespace
from typing import Any, NoReturn

import gradio as gr
from gradio import processing_utils
from gradio.brotli_middleware import BrotliMiddleware
from gradio.state_holder import SessionState
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nst_demo import images, memory
from nst_demo.errors import StyleTransferError
from nst_demo.ui import cache, files, preview, theme

# Gradio has one limit for all uploads, that of clips; `files.check_size` holds pictures to theirs.
MAX_UPLOAD = files.MAX_CLIP  # bytes of one file
MAX_FORM = MAX_UPLOAD + 100_000  # bytes of an upload request
MAX_JSON = 1_000_000  # bytes of any other: requests hold paths and numbers, no pictures
MAX_MCP = 2 * files.MAX_PICTURE  # bytes of a tool's call, which may hold pictures as data: URLs

MAX_WAITING = 60  # events in one line (gradio's concurrency_id); more hear that we are busy
MAX_WAITING_LONG = 8  # in a line of runs that take minutes
LONG_LINES = {"quality", "video"}
# In the long lines together, running or waiting. One for each page and each program; several
# pages may share an address, as the people of one school do.
LONG_OF_SESSION, LONG_OF_PROGRAMS, LONG_OF_ADDRESS = 1, 1, 4
ASSET = re.compile(r"/assets/[\w.-]+")  # one address for each file: what is kept has an end
RETURN_EVERY = 10  # s between two times that freed memory goes back to the system: 0.03 s of work
TOO_LARGE = f"The file is over {MAX_UPLOAD >> 20} MB; save or export it smaller."
NOT_INLINE = "The request is too large; upload files instead of writing them into it."
DISK_FULL = "This demo's disk is full; please try again in an hour."
BUSY = "This demo is busy: too many others are waiting. Please try again in a minute."
ONE_AT_A_TIME = "You have a long run already; stop it, or wait until it has ended."
MANY_OF_ADDRESS = (
    f"{LONG_OF_ADDRESS} long runs are going from your network already; try again in a few minutes."
)

# Routes of gradio that this page does not use: they fetch addresses for anybody, keep pictures,
# run ffmpeg on any upload, or reach into components and development tools.
CLOSED = re.compile(
    r"(/gradio_api)?/(file(=|/)\s*[a-z][a-z0-9+.-]*:/|proxy=|process_recording|deep_link"
    r"|component_server|vibe|undo-vibe|run-history|runs|monitoring|profiling|dev/)",
    re.IGNORECASE,
)
# `line`: those that may begin to wait in one. Gradio refuses the others for whatever has a line.
EVENT = re.compile(
    r"/gradio_api/((?P<line>queue/join|call/(v2/)?(?P<name>[^/]+))|(run|api|stream)/.*)/?"
)


class Closed:
    """ASGI middleware: CLOSED routes are not there."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and CLOSED.match(scope["path"]):
            await PlainTextResponse("Not found.", 404)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


class Assets:
    """ASGI middleware: gradio's own scripts and styles, a hundred files whose names change with
    what is in them. Browsers keep them, and need not ask again; and so do we, as they went out
    first: reading and compressing each anew was half of what a visit cost the server."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        # Gradio's own compression stands before us, and passes what is compressed already.
        self.compressed = BrotliMiddleware(app, quality=9)
        self.sent: dict[tuple[str, bool, bool], list[Message]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asset = scope["type"] == "http" and ASSET.fullmatch(scope["path"])
        if not asset or scope["method"] != "GET":
            await self.app(scope, receive, send)
            return
        encodings = Headers(scope=scope).get("accept-encoding", "")
        asked = scope["path"], "br" in encodings, "gzip" in encodings  # as the compression asks
        if asked in self.sent:
            for message in self.sent[asked]:
                await send(_copy(message))
            return
        sent: list[Message] = []

        async def send_kept(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] == 200:
                MutableHeaders(scope=message)["Cache-Control"] = preview.KEPT
            sent.append(_copy(message))
            await send(message)

        await self.compressed(scope, receive, send_kept)
        if sent and sent[0].get("status") == 200 and not sent[-1].get("more_body"):
            self.sent[asked] = sent


def _copy(message: Message) -> Message:
    """Whoever sends it on may add headers."""
    return {**message, "headers": [*message["headers"]]} if "headers" in message else {**message}


class Events:
    """ASGI middleware in front of gradio's events, which bounds their lines, gives each visitor one
    long run at a time, and lets nobody name a file that was not uploaded.

    Gradio's own max_size is one for all lines: a few long runs would fill it for everybody. And it
    checks the path of a file only where the visitor writes that it is one.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.lock = asyncio.Lock()  # two requests at once must not both find the last place free

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match = EVENT.fullmatch(scope["path"]) if scope["type"] == "http" else None
        if match is None or scope["method"] != "POST":
            await self.app(scope, receive, send)
            return
        body = await Request(scope, receive).body()  # BodyLimit has bounded it
        try:
            asked = json.loads(body)
        except (ValueError, RecursionError):
            asked = None  # gradio says what is wrong
        if not all(map(files.uploaded, _paths(asked))):
            refuse = JSONResponse({"detail": "A file was not uploaded to this server."}, 400)
            await refuse(scope, receive, send)
            return
        if match["line"] is None:  # it is answered when it is done: nobody is to wait for that
            await self.app(scope, _replay(body, receive), send)
            return
        async with self.lock:
            answer = self._refusal(scope, match["name"], asked) or self.app
            await answer(scope, _replay(body, receive), send)

    def _refusal(self, scope: Scope, name: str | None, asked: Any) -> JSONResponse | None:
        blocks: gr.Blocks = scope["app"].get_blocks()
        fn = _function(blocks, name, asked)
        if fn is None:
            return None
        queue, session = blocks._queue, asked.get("session_hash")
        line = queue.event_queue_per_concurrency_id.get(fn.concurrency_id)
        long = fn.concurrency_id in LONG_LINES
        program = fn.api_visibility == "public"
        if line and len(line.queue) >= (MAX_WAITING_LONG if long else MAX_WAITING):
            # For a 503 gradio's page has words of its own, which do not say what to do.
            return JSONResponse({"detail": BUSY}, 503 if program else 429)
        if not long:
            return None
        events = [e for e in queue.event_ids_to_events.values() if e.concurrency_id in LONG_LINES]
        here = [e for e in events if address(e.request.scope) == address(scope)]
        programs = [e for e in here if e.fn.api_visibility == "public"]
        if sum(e.session_hash == session for e in events) >= LONG_OF_SESSION or (
            program and len(programs) >= LONG_OF_PROGRAMS
        ):
            return JSONResponse({"detail": ONE_AT_A_TIME}, 429)
        if len(here) >= LONG_OF_ADDRESS:
            return JSONResponse({"detail": MANY_OF_ADDRESS}, 429)
        return None


def _function(blocks: gr.Blocks, name: str | None, asked: Any) -> Any:
    """The function of the event asked for; None if there is no such."""
    if not isinstance(asked, dict):
        return None
    if name is not None:
        return next((fn for fn in blocks.fns.values() if fn.api_name == name), None)
    number = asked.get("fn_index")
    return blocks.fns.get(number) if isinstance(number, int) else None


def _paths(value: Any) -> Iterator[Any]:
    """Whatever stands as a file's path in JSON. An address passes: it is refused with a sentence
    where gradio would fetch it."""
    if isinstance(value, dict):
        path = value.get("path")
        if path and not (isinstance(path, str) and path.startswith(("http://", "https://"))):
            yield path
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _paths(part)


def _replay(body: bytes, receive: Receive) -> Callable[[], Any]:
    rest = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return rest.pop() if rest else await receive()

    return replayed


def address(scope: Scope) -> str:
    """The visitor's. Behind the proxy of a Space all requests come from the proxy, which says for
    whom; elsewhere that header is whatever the visitor writes."""
    if behind_proxy():
        forwarded = Headers(scope=scope).get("x-forwarded-for", "")
        if forwarded.strip():
            return forwarded.split(",")[0].strip()
    return scope["client"][0] if scope.get("client") else ""


class BodyLimit:
    """ASGI middleware that refuses large bodies: gradio's max_file_size sees uploads only, so a
    data: URL in the JSON of an event would pass it. And uploads that there is no room for."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in ("POST", "PUT", "PATCH"):
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        form = headers.get(b"content-type", b"").startswith(b"multipart/form-data")
        upload = form and scope["path"].rstrip("/").endswith("/upload")
        if upload and cache.disk_full():
            await PlainTextResponse(DISK_FULL, 507)(scope, receive, send)
            return
        limit = MAX_FORM if upload else MAX_JSON
        if mcp() and scope["path"].startswith("/gradio_api/mcp/"):
            limit = MAX_MCP
        refuse = PlainTextResponse(TOO_LARGE if upload else NOT_INLINE, 413)
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > limit:
            await refuse(scope, receive, send)
            return
        received, refused = 0, False

        async def counting_receive() -> Message:
            nonlocal received, refused
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit and not refused:
                refused = True
                await refuse(scope, receive, send)
            return {"type": "http.disconnect"} if refused else message

        async def send_unless_refused(message: Message) -> None:
            if not refused:
                await send(message)

        try:
            await self.app(scope, counting_receive, send_unless_refused)
        except ClientDisconnect:
            if not refused:
                raise


def host() -> str:
    """Where the page listens."""
    # Spaces set GRADIO_SERVER_NAME; without it, gradio's own default is this machine only.
    return os.environ.get("GRADIO_SERVER_NAME") or (
        "0.0.0.0" if os.environ.get("SPACE_ID") else "127.0.0.1"
    )


def public() -> bool:
    """Whether others than this machine's user may come."""
    return host() not in ("127.0.0.1", "localhost", "::1") or "SPACE_ID" in os.environ


def behind_proxy() -> bool:
    """Whether X-Forwarded-For can be believed."""
    return "SPACE_ID" in os.environ or os.environ.get("NST_BEHIND_PROXY") == "1"


def mcp() -> bool:
    """Whether the endpoints are offered as tools too: `python app.py --mcp`, or NST_MCP=1."""
    return "--mcp" in sys.argv[1:] or os.environ.get("NST_MCP") == "1"


async def _refuse_address(*_: Any, **__: Any) -> NoReturn:
    raise gr.Error("This server fetches no addresses; upload the file.", print_exception=False)


_new_session = SessionState.__init__


def _lean_session(self: SessionState, blocks: gr.Blocks) -> None:
    """Without the description of the whole page that gradio keeps for each session, 0.6 MB: it is
    for deep links, which are closed here."""
    stand_in: Any = SimpleNamespace(default_config=blocks.default_config, blocks=())
    _new_session(self, stand_in)
    config: Any = self.blocks_config
    config.config_for_block = lambda *_: {}


def prepare() -> None:
    """Before the page is built: files in a folder of our own, and no way to make this server
    fetch an address for a stranger, whose answer may be private or endless."""
    if mcp() and importlib.util.find_spec("mcp") is None:
        raise StyleTransferError("Tools need the extra mcp; run pip install '.[mcp]' first.")
    memory.keep_freed()
    cache.use_own_folder()
    processing_utils.async_ssrf_protected_get = _refuse_address
    SessionState.__init__ = _lean_session
    # Gradio keeps 10,000 events, and sums them up with pandas after each; nobody sees the sums.
    os.environ["GRADIO_ANALYTICS_MAX_EVENTS"] = "1"
    os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = "1000000000"
    # As the first process of a container Python ignores SIGTERM, and elsewhere it cleans nothing.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))


@contextlib.asynccontextmanager
async def _tended(app: Any) -> AsyncIterator[None]:
    """The `lifespan` of the server: neither its files nor its memory pile up."""
    async with cache.swept(app), cache.repeated(RETURN_EVERY, memory.return_freed):
        yield


def queue_options() -> dict[str, Any]:
    """For gr.Blocks.queue: `Events` bounds each line; and no way around the lines."""
    return {"max_size": 2 * MAX_WAITING, "api_open": False}


def launch_options() -> dict[str, Any]:
    """For gr.Blocks.launch."""
    return {
        "server_name": host(),
        "server_port": int(os.environ.get("GRADIO_SERVER_PORT", "7860")),
        "theme": theme.build_theme(),
        "css_paths": theme.CSS,
        "favicon_path": preview.ICON,
        "allowed_paths": [str(images.EXAMPLES)],
        "max_file_size": MAX_UPLOAD,
        "enable_monitoring": False,
        "show_error": False,
        "state_session_capacity": 500,
        "ssr_mode": False,
        "run_history": False,  # it would keep the visitors' pictures in their browsers
        "footer_links": ["api"],
        "mcp_server": mcp(),
        "app_kwargs": {
            "middleware": [
                Middleware(Closed),
                Middleware(preview.Preview),
                Middleware(Assets),
                Middleware(BodyLimit),
                Middleware(Events),
            ],
            "lifespan": _tended,
        },
    }
