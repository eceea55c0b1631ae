"""Pictures between gradio and the library: uploads in, examples, results out.

Uploads stay the files they were, so that our own opener sees their orientation, depth, alpha and
size. Results are written once per request into gradio's cache, in a folder of their own, where
`cache` removes them within the hour.
"""

from __future__ import annotations

import contextlib
import hashlib
import html
import io
import os
import secrets
from abc import ABCMeta
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import gradio as gr
import numpy as np
from gradio.component_meta import ComponentMeta
from gradio.data_classes import ImageData
from gradio.utils import get_upload_folder
from PIL import ExifTags, Image

from nst_demo import images
from nst_demo.errors import StyleTransferError

EXAMPLE = Path(__file__).with_name("example.webp")
MAX_PICTURE = 15 * 2**20  # bytes of an uploaded picture
MAX_CLIP = 40 * 2**20  # bytes of an uploaded clip: 20 s of 720p from a phone
PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
SHOWN_BY_BROWSERS = {"JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "AVIF"}
DISPLAY_SIZE = 1600  # px, long side of what the page shows; the download has every pixel
THUMBNAIL_SIZE = 192  # px, twice what the page shows, for sharp screens


class _NoStubFile(ComponentMeta):
    """Gradio's metaclass writes a .pyi beside the source of every subclass; this one does not."""

    def __new__(cls, name, bases, attrs):
        return ABCMeta.__new__(cls, name, bases, attrs)


class PictureInput(gr.Image, metaclass=_NoStubFile):
    """gr.Image that hands over the very file that was uploaded, and decodes nothing.

    gr.Image opens an upload with Pillow before any handler runs, so a broken one ends in a toast
    that says only "Error", and some kinds arrive re-encoded.
    """

    is_template = True  # the page shows it as gr.Image

    def preprocess(self, payload: ImageData | None) -> str | None:
        return payload.path if payload else None


@dataclass(frozen=True)
class Example:
    path: Path

    @cached_property
    def caption(self) -> str:
        return self.path.stem.replace("-", " ").replace("_", " ")

    def thumbnail(self) -> Image.Image:
        return _thumbnail(self.path)


@cache  # three strips show the same styles
def _thumbnail(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.thumbnail((2 * THUMBNAIL_SIZE, 2 * THUMBNAIL_SIZE))
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        square = image.convert("RGB").crop((left, top, left + side, top + side))
        return square.resize((THUMBNAIL_SIZE, THUMBNAIL_SIZE), Image.Resampling.LANCZOS)


def tile(path: Path, side: int) -> str:
    """The address of the middle of a picture of ours, as a WebP of `side` px."""
    buffer = io.BytesIO()
    small = _thumbnail(path).resize((side, side), Image.Resampling.LANCZOS)
    small.save(buffer, "WEBP", quality=78)
    return shown_to_all(buffer.getvalue(), "webp")


# What the page shows to everybody, by its address; `preview.Preview` serves it. Written into the
# page itself, these were four fifths of what a visitor had to load before seeing anything, also of
# the tabs that nobody opens. And unlike gradio's files they do not go within the hour.
SHOWN_TO_ALL: dict[str, bytes] = {}


def shown_to_all(data: bytes, kind: str) -> str:
    """The address, from the page's own, of a small picture of ours ("webp" or "jpeg"). It says what
    is in it, so that browsers may keep it."""
    address = f"pictures/{hashlib.sha256(data).hexdigest()[:20]}.{kind}"
    SHOWN_TO_ALL[address] = data
    return address


@cache
def example_html() -> str:
    """The picture that stands where a result will be."""
    return (
        '<img class="example" alt="A photo of a cat in four slices: as it is, and in three styles" '
        f'width="720" height="378" src="{shown_to_all(EXAMPLE.read_bytes(), "webp")}">'
    )


def trained_picture(weights: Path) -> Path | None:
    """The picture of a trained style: beside its weights under its name, or among the examples."""
    name = weights.name.split(".weights", 1)[0]
    for folder in (weights.parent, images.EXAMPLES / "styles"):
        for suffix in sorted(PICTURE_SUFFIXES):
            if (folder / f"{name}{suffix}").is_file():
                return folder / f"{name}{suffix}"
    return None


def list_examples(kind: str, first: str = "") -> list[Example]:
    """The pictures of examples/<kind>/ by name, with the one named `first` moved to the front."""
    folder = images.EXAMPLES / kind
    paths = sorted(p for p in folder.glob("*") if p.suffix.lower() in PICTURE_SUFFIXES)
    return [Example(p) for p in sorted(paths, key=lambda p: p.stem != first)]


@cache
def gallery(kind: str) -> dict[str, str]:
    """The paths of the gallery's "photos" or "styles", by their names, as in a link."""
    return {example.path.stem: str(example.path) for example in list_examples(kind)}


def cache_file(name: str, data: bytes) -> str:
    """Write `data` where gradio serves it from, under a path nobody can guess; returns the path."""
    path = new_path(name)
    path.write_bytes(data)
    return str(path)


def new_path(name: str) -> Path:
    """Of a file to be written where gradio serves it from, in a new folder; see `remove`."""
    folder = Path(get_upload_folder()) / secrets.token_hex(16)
    folder.mkdir(parents=True)
    return folder / name


def uploaded(path: object) -> bool:
    """Whether it is in gradio's folder, where uploads and results are, links followed."""
    folder = os.path.realpath(get_upload_folder())
    if not isinstance(path, str) or "\0" in path:
        return False
    return os.path.realpath(path).startswith(folder + os.sep)


def display_file(rgb: np.ndarray, name: str) -> str:
    """A JPEG of (H, W, 3) for the page, shrunk to what a screen shows."""
    return cache_file(f"{name}.jpg", images.encode(images.fit(rgb, DISPLAY_SIZE), None, "JPEG"))


def download_name(photo: str | None, style: str | None) -> str:
    """Such as pagoda-starry-swirl.png."""
    return f"{Path(photo or 'photo').stem[:60]}-{Path(style or 'style').stem[:60]}.png"


def check_size(path: str, what: str) -> None:
    """StyleTransferError for an uploaded picture over MAX_PICTURE, which is not opened."""
    try:
        size = os.path.getsize(path)
    except OSError:  # told by who opens it
        return
    if size > MAX_PICTURE:
        raise StyleTransferError(
            f"The {what} {Path(path).name!r} has {size / 2**20:.1f} MB, at most "
            f"{MAX_PICTURE >> 20} MB can be taken; save it smaller, or as a JPEG."
        )


def receive(path: str | None, what: str) -> str | None:
    """Check an upload; returns what the page can show: the upload itself, or a copy as WebP or PNG.

    Raises StyleTransferError if it is no picture that can be used.
    """
    if path is None:
        return None
    check_size(path, what)
    picture = images.open_picture(path, what=what)
    with Image.open(path) as image:
        if image.format in SHOWN_BY_BROWSERS and image.mode in ("RGB", "RGBA", "L", "P", "LA", "1"):
            return path
    kind = "WEBP" if max(picture.rgb.shape) <= 16_383 else "PNG"
    data = images.encode(picture.rgb, picture.alpha, kind)
    return cache_file(f"{Path(path).stem}.{kind.lower()}", data)


def pixel_size(file: str | io.BytesIO | None) -> tuple[int, int] | None:
    """(height, width) as it is shown, by the file's header; None if it cannot be told."""
    if file is None:
        return None
    try:
        with Image.open(file, formats=images.FORMATS) as image:
            lies = image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
            if lies and image.format != "TIFF":  # which Pillow turns by itself
                return image.width, image.height
            return image.height, image.width
    except (*images._DECODER_ERRORS, Image.DecompressionBombError):
        return None


def remove(path: str) -> None:
    """Undo `cache_file`."""
    Path(path).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # gone already
        Path(path).parent.rmdir()


def error(error: StyleTransferError) -> gr.Error:
    """For programs: the sentence as gradio's error; clients may render HTML, and it may hold a
    file's name."""
    return gr.Error(_escaped(error), title="Please check", print_exception=False)


def warn(error: StyleTransferError) -> None:
    """The sentence as a toast, after which the handler goes on."""
    gr.Warning(_escaped(error), title="Please check")


def _escaped(error: StyleTransferError) -> str:
    """Gradio renders HTML in toasts."""
    return html.escape(str(error), quote=False)


def thumbnails(examples: Sequence[Example]) -> list[tuple[Image.Image, str]]:
    return [(example.thumbnail(), example.caption) for example in examples]
