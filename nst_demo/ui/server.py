"""How the page is served to the public: limits, and nothing collected."""

from __future__ import annotations

import os
from typing import Any

from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nst_demo.ui import files, theme

MAX_UPLOAD = 15 * 2**20  # bytes of one file
MAX_FORM = MAX_UPLOAD + 100_000  # bytes of an upload request, which carries one file
MAX_JSON = 1_000_000  # bytes of any other: requests hold paths and numbers, no pictures


class BodyLimit:
    """ASGI middleware that refuses large bodies: gradio's max_file_size sees uploads only, so a
    data: URL in the JSON of an event would pass it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in ("POST", "PUT", "PATCH"):
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        form = headers.get(b"content-type", b"").startswith(b"multipart/form-data")
        limit = MAX_FORM if form and scope["path"].rstrip("/").endswith("/upload") else MAX_JSON
        refuse = PlainTextResponse(f"The request is over {limit} bytes.", status_code=413)
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


def launch_options() -> dict[str, Any]:
    """For gr.Blocks.launch."""
    return {
        "server_name": host(),
        "server_port": int(os.environ.get("GRADIO_SERVER_PORT", "7860")),
        "theme": theme.build_theme(),
        "css_paths": theme.CSS,
        "allowed_paths": [str(files.EXAMPLES)],
        "max_file_size": MAX_UPLOAD,
        "enable_monitoring": False,
        "show_error": False,
        "state_session_capacity": 500,
        "ssr_mode": False,
        "run_history": False,  # it would keep the visitors' pictures in their browsers
        "footer_links": [],
        "app_kwargs": {"middleware": [Middleware(BodyLimit)]},
    }
