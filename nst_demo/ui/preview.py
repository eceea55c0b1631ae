"""What stands in the page's head: what other sites show of a link to it (Open Graph), its icon,
and the scripts it will ask for; and the pictures that the page shows to everybody.

Gradio 6.31 writes its own og: tags into the page, with its own title and picture, and adds
`launch(head=...)` by a script in the browser, which no link preview runs. So the tags are put right
in the answer itself, for the title of the very link that is asked for.

Gradio's scripts ask for one another, four deep. Where each answer takes a tenth of a second, as on
a phone, the page is there a quarter sooner if its head names them all.
"""

from __future__ import annotations

import functools
import html
import os
import re
from pathlib import Path

import gradio as gr
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import FileResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nst_demo.errors import StyleTransferError
from nst_demo.ui import files, links

TITLE = "Neural Style Transfer"
DESCRIPTION = (
    "Your photo, repainted in the style of any picture: in a moment, or stroke by stroke. Compare "
    "styles, mix them, and send the result as a link."
)
CARD = Path(__file__).with_name("preview.jpg")
ICON = Path(__file__).with_name("icon.svg")
KEPT = "public, max-age=31536000, immutable"  # for what has another address when it changes
CARD_PATH = "/preview.jpg"
# Of gradio 6.31; `python -m bench.page --write` renews it.
SCRIPTS = Path(__file__).with_name("scripts.txt")
ASSETS = Path(gr.__file__).parent / "templates" / "frontend" / "assets"
# Gradio's tags; a value may hold ">".
TAGS = re.compile(rb"""<meta\s+(property="og:|name="twitter:)[^"]*"\s+content="[^"]*"\s*/?>\s*""")
HOST = re.compile(r"[A-Za-z0-9.\[\]:-]{1,120}")


class Preview:
    """ASGI middleware: the page with our tags, the picture they name, and those shown to all."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        # Gradio compresses only what has a file's name: not the page, which is 0.7 MB.
        self.page = GZipMiddleware(self._rewritten, compresslevel=6)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self.app(scope, receive, send)
        elif scope["path"] == CARD_PATH:
            headers = {"Cache-Control": "public, max-age=86400"}
            await FileResponse(CARD, headers=headers)(scope, receive, send)
        elif (picture := files.SHOWN_TO_ALL.get(scope["path"][1:])) is not None:
            kind = "image/" + scope["path"].rpartition(".")[2]
            answer = Response(picture, headers={"Cache-Control": KEPT}, media_type=kind)
            await answer(scope, receive, send)
        elif scope["path"] in ("", "/"):
            await self.page(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _rewritten(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, _Rewriter(scope, send))


class _Rewriter:
    """Holds an HTML answer back until it is whole, and sends it with our tags."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope, self.send = scope, send
        self.start: Message | None = None
        self.body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = Headers(raw=message["headers"])
            html_type = headers.get("content-type", "").startswith("text/html")
            if html_type and "content-encoding" not in headers:
                self.start = message
                return
        if self.start is None or message["type"] != "http.response.body":
            await self.send(message)
            return
        self.body += message.get("body", b"")
        if message.get("more_body"):
            return
        body = with_tags(self.body, tags(self.scope))
        if self.scope["method"] == "GET":
            MutableHeaders(raw=self.start["headers"])["content-length"] = str(len(body))
        await self.send(self.start)
        await self.send({"type": "http.response.body", "body": body})


def with_tags(page: bytes, ours: str) -> bytes:
    """The page with our tags in place of gradio's."""
    head, found, rest = page.partition(b"</head>")
    if not found:
        return page
    head = TAGS.sub(b"", head)
    return head.replace(b"<head>", b"<head>" + ours.encode("utf-8"), 1) + found + rest


def tags(scope: Scope) -> str:
    """For the page at this address."""
    base = origin(scope)
    title = _title(scope.get("query_string", b"").decode("latin-1"))
    pairs = {
        "og:type": "website",
        "og:site_name": TITLE,
        "og:title": title,
        "og:description": DESCRIPTION,
        "og:image": f"{base}{CARD_PATH}",
        "og:image:width": "1200",
        "og:image:height": "630",
        "og:image:alt": "One photo of a cat in four slices: as it is, and in three styles.",
    }
    lines = [f'<meta property="{name}" content="{html.escape(v)}" />' for name, v in pairs.items()]
    lines += [
        '<meta name="twitter:card" content="summary_large_image" />',
        f'<meta name="description" content="{html.escape(DESCRIPTION)}" />',
        *_named_scripts(),
    ]
    return "\n".join(["", *lines, ""])


@functools.cache
def _named_scripts() -> list[str]:
    """Their names say what is in them: another gradio's files have others, and are not named."""
    names = [n for n in SCRIPTS.read_text("utf-8").split() if (ASSETS / n).is_file()]
    return [f'<link rel="modulepreload" crossorigin href="./assets/{name}" />' for name in names]


def origin(scope: Scope) -> str:
    """Where this page is reached from outside, such as https://owner-space.hf.space."""
    if host := os.environ.get("SPACE_HOST"):
        return f"https://{host}"
    headers = Headers(scope=scope)
    host = headers.get("x-forwarded-host") or headers.get("host") or ""
    if not HOST.fullmatch(host):
        return ""
    scheme = headers.get("x-forwarded-proto", scope.get("scheme", "http")).split(",")[0].strip()
    root = scope.get("root_path", "").rstrip("/")
    return f"{'https' if scheme == 'https' else 'http'}://{host}{root}"


def _title(query: str) -> str:
    """Of a link, what it shows; what is no link of ours has the page's own."""
    try:
        found = links.parsed(query)
    except StyleTransferError:
        found = None
    return TITLE if found is None else f"{links.title(found)} · {TITLE}"
