"""THE image convention: float32 RGB in [0, 1], shape (H, W, 3); a mask or alpha is (H, W).

Pictures enter through `open_picture` (any upload: file, bytes, PIL image, array) and leave
through `encode` and `save_image`, which write pixels, and our own text where one is given: no EXIF,
GPS, profile or text of the upload survives. PIL is used here and in `ui/`, nowhere else.

What `open_picture` decides:

- EXIF (or TIFF, XMP, HEIF) orientation is applied; of an animation the first frame is taken.
- A usable embedded ICC profile (Display P3 phones, CMYK, grey) is converted to sRGB; a broken or
  mismatched one is ignored. Profiles of 16-bit, integer and float grey are ignored.
- 16-bit grey keeps its 16 bits; 16-bit colour arrives with 8, as Pillow decodes it.
- Under transparency the hidden colours are replaced, see `_composite`.

Importing sets Pillow's own pixel limit and registers the HEIF decoder (60 ms, mostly loading
libheif); nothing is decoded.
"""

import contextlib
import io
import os
import re
import secrets
import stat
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal, NoReturn, get_args

import numpy as np
import pillow_heif
from PIL import Image, ImageCms, ImageDraw, ImageFilter, ImageFont, ImageOps, PngImagePlugin

from nst_demo.color import luminance
from nst_demo.errors import StyleTransferError, check_range

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"  # of a checkout: photos, styles, clips
MAX_PIXELS = 40_000_000
MIN_SIDE = 16  # px; the networks halve the picture four times
FEATHER = 0.01  # of a mask's short side: softens its edges without moving them
MAX_BYTES = 10 * MAX_PIXELS  # more than 40 megapixels of uncompressed 16-bit RGBA (8 bytes each)
# Pillow's "JPEG" opens MPO (phones' JPEG with a second picture) too, and knows no opener "MPO".
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF")

# Other code in the process decodes uploads too (gradio does): Pillow raises at twice this. Its
# warning below that is muted since open_picture refuses the same pictures in its own words.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.simplefilter("ignore", Image.DecompressionBombWarning)
pillow_heif.register_heif_opener(thumbnails=False)

ImageSource = str | os.PathLike[str] | bytes | BinaryIO | Image.Image | np.ndarray
SaveFormat = Literal["PNG", "JPEG", "WEBP"]

_SAVE_FORMATS: dict[str, SaveFormat] = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
}
_SAVE_OPTIONS: dict[SaveFormat, dict[str, Any]] = {
    "PNG": {"compress_level": 3},  # a third of the default's time for a tenth more bytes
    "JPEG": {"quality": 95, "subsampling": 0},  # 4:4:4, as brush strokes have sharp colour edges
    "WEBP": {"quality": 95},  # Pillow keeps the alpha lossless at any quality
}
_SAVE_MAX_SIDE: dict[SaveFormat, int] = {"PNG": 2**31 - 1, "JPEG": 65_500, "WEBP": 16_383}

TEXT_KEY = "nst_demo"  # of our text in a file: a PNG chunk, a JPEG comment, EXIF's in a WebP
_EXIF_IFD, _USER_COMMENT = 0x8769, 0x9286

_KNOWN = "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC"
_KNOWN_START = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n|RIFF....WEBP|GIF8[79]a|BM|II[*+]\0|MM\0[*+]|....ftyp", re.DOTALL
)
_FOREIGN_START = {
    "a PDF document": rb"%PDF",
    "a Photoshop file": rb"8BPS",
    "an SVG drawing": rb"\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*|<!DOCTYPE svg[^>]*>\s*)*<svg",
    "a JPEG XL picture": rb"\xff\x0a|\0\0\0\x0cJXL ",
    "a JPEG 2000 picture": rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51",
    "a zip archive or office document": rb"PK\x03\x04",
    "a web page": rb"\s*(<!DOCTYPE html|<html)",
}

# What Pillow's decoders raise on damaged bytes (found by flipping them); warnings too, as they
# are exceptions under `-W error`.
_DECODER_ERRORS = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    RuntimeError,
    Warning,
    struct.error,
    zlib.error,
    ImageCms.PyCMSError,
)
_TIFF_BITS_PER_SAMPLE, _TIFF_PHOTOMETRIC, _TIFF_TILE_SIZE = 258, 262, (322, 323)
_ROUNDING = 1e-4  # how far outside [0, 1] float arithmetic may have put a value


@dataclass(frozen=True, eq=False)
class Picture:
    """An opened picture.

    rgb: float32 (H, W, 3) in [0, 1], sRGB, already composited where it was transparent.
    alpha: float32 (H, W) in [0, 1] to put back on a result, or None if the picture is opaque.
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None


def open_picture(source: ImageSource, *, what: str = "picture") -> Picture:
    """Open any picture a person has; `what` names it in messages ("photo", "style").

    source: a path, the bytes of a file, a binary file (read from its start where it can seek), a
        PIL image, or an array: uint8 or float in [0, 1], of shape (H, W), (H, W, 3) or (H, W, 4).

    Raises StyleTransferError if it cannot be read, is none of `FORMATS`, is damaged, has more
    than `MAX_PIXELS` (told before decoding) or a side under `MIN_SIDE`.
    """
    label = f"The {what}"
    if source is None:  # what gradio passes when nothing was uploaded
        raise StyleTransferError(f"No {what} was given; choose one.")
    if isinstance(source, np.ndarray):
        return _from_array(source, label)
    if isinstance(source, Image.Image):
        return _from_image(source, label)
    data, label = _contents(source, what)
    if not data:
        raise StyleTransferError(f"{label} is empty (0 bytes); export or download it again.")
    if len(data) > MAX_BYTES:
        _refuse_bytes(label, len(data))
    with _decoding(label):
        image = _identified(data, label)
    with image:
        return _from_image(image, label)


def open_mask(source: ImageSource, *, what: str = "mask", feather: float = FEATHER) -> np.ndarray:
    """Open any picture as a mask: float32 (H, W) in [0, 1], 1 where a style is painted.

    Of a drawing on a transparent ground that is the alpha, else the luminance: white is painted.

    source: as for `open_picture`, or a bool array (H, W).
    feather: standard deviation of the Gaussian that softens the edges, as a share (0 to 0.2) of the
        short side; 0 leaves them as they are.

    Raises StyleTransferError where `open_picture` does, and for a mask that is black all over.
    """
    check_range("feather", feather, 0, 0.2)
    if isinstance(source, np.ndarray) and source.dtype == bool:
        source = source.astype(np.float32)
    picture = open_picture(source, what=what)
    if isinstance(source, np.ndarray) and source.ndim == 2:
        mask = picture.rgb[..., 0].copy()  # as it is, without the luminance's rounding
    else:
        mask = luminance(picture.rgb) if picture.alpha is None else picture.alpha
    if mask.max() < 0.5 / 255:
        raise StyleTransferError(
            f"The {what} is black all over; paint the places white where the style should be."
        )
    if feather == 0:
        return mask
    edges = ImageFilter.GaussianBlur(feather * min(mask.shape))
    return np.asarray(Image.fromarray(_to_bytes(mask)).filter(edges), np.float32) / 255


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resample a float32 (H, W, C) image or (H, W) mask to (height, width), Lanczos, antialiased.

    Each channel goes through Pillow's float mode, so no precision is lost to 8 bits. Lanczos
    overshoots at edges: the result is clipped to [0, 1]. A picture of that size is returned itself.
    """
    if image.shape[:2] == (height, width):
        return image
    if height < 1 or width < 1:
        raise StyleTransferError(
            f"A picture cannot be resized to {width} x {height} px; give at least 1 x 1."
        )

    def resample(channel: np.ndarray) -> np.ndarray:
        plane = Image.fromarray(np.ascontiguousarray(channel, dtype=np.float32))
        return np.asarray(plane.resize((width, height), Image.Resampling.LANCZOS))

    if image.ndim == 2:
        resized = resample(image)
    else:
        resized = np.stack([resample(c) for c in np.moveaxis(image, 2, 0)], axis=2)
    return np.clip(resized, 0.0, 1.0)


def resize_mask(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resample a mask (H, W) to (height, width), bilinear, antialiased.

    Not Lanczos as in `resize`, whose ripples would paint a little beside an edge.
    """
    plane = Image.fromarray(np.ascontiguousarray(mask, dtype=np.float32))
    resized = plane.resize((width, height), Image.Resampling.BILINEAR)
    return np.clip(np.asarray(resized), 0.0, 1.0)


def fit(image: np.ndarray, size: int) -> np.ndarray:
    """Shrink (H, W, C) or (H, W), keeping the aspect, so that the long side is at most `size` px.

    Never enlarges. The short side stays at least `MIN_SIDE`, which bends the aspect of very long
    strips. Raises StyleTransferError for a size under `MIN_SIDE`.
    """
    if size < MIN_SIDE:
        raise StyleTransferError(f"The size {size} px is too small; give {MIN_SIDE} or more.")
    height, width = image.shape[:2]
    scale = size / max(height, width)
    if scale >= 1:
        return image
    return resize(
        image,
        max(round(height * scale), min(height, MIN_SIDE)),
        max(round(width * scale), min(width, MIN_SIDE)),
    )


def fit_short(image: np.ndarray, size: int) -> np.ndarray:
    """As `fit`, but so that the short side is at most `size` px."""
    height, width = image.shape[:2]
    scale = size / min(height, width)
    return image if scale >= 1 else resize(image, round(height * scale), round(width * scale))


def caption(text: str, height: int, width: int) -> np.ndarray:
    """A line of text in the middle of white paper: float32 (height, width, 3) in [0, 1].

    Shortened with an ellipsis where it is too long. Pillow's own font: Latin letters only.
    """
    paper = Image.new("L", (width, height), 255)
    draw, font = ImageDraw.Draw(paper), ImageFont.load_default(max(8, 0.62 * height))
    shown = text
    while len(shown) > 1 and draw.textlength(shown, font) > width:
        shown = shown[:-2].rstrip() + "…"
    draw.text((width / 2, height / 2), shown, 40, font, anchor="mm")
    return np.repeat(np.asarray(paper, np.float32)[..., None] / 255, 3, axis=2)


def to_pil(rgb: np.ndarray, alpha: np.ndarray | None = None) -> Image.Image:
    """An 8-bit PIL image, RGB or (with alpha) RGBA, that carries no metadata.

    rgb (H, W, 3) and alpha (H, W) are clipped to [0, 1] and rounded to the nearest of 256 levels.
    Raises StyleTransferError for other shapes and for values that are not numbers.
    """
    if rgb.ndim != 3 or rgb.shape[2] != 3:
        raise StyleTransferError(
            f"The picture to save has the shape {rgb.shape}; give (height, width, 3)."
        )
    if alpha is None:
        return Image.fromarray(_to_bytes(rgb))
    if alpha.shape != rgb.shape[:2]:
        raise StyleTransferError(
            f"The alpha has the shape {alpha.shape}; resize it to the picture's {rgb.shape[:2]}."
        )
    return Image.fromarray(np.dstack([_to_bytes(rgb), _to_bytes(alpha)]))


def encode(
    rgb: np.ndarray, alpha: np.ndarray | None, format: SaveFormat, text: str | None = None
) -> bytes:
    """The bytes of a file with these pixels, `text`, and nothing else: no EXIF, GPS or profile.

    rgb (H, W, 3) and alpha (H, W) or None, in [0, 1]. PNG is lossless; JPEG has quality 95 at
    4:4:4 and, as it has no alpha, is composited over white; WebP has quality 95 and exact alpha.
    `text`, ASCII of at most 60,000 characters, is what `read_text` gives back. Raises
    StyleTransferError where `to_pil` does and for sides the format cannot hold.
    """
    if format not in get_args(SaveFormat):
        raise StyleTransferError(f"The format {format!r} is not known; give PNG, JPEG or WEBP.")
    if alpha is not None and format == "JPEG":
        rgb, alpha = rgb * alpha[..., None] + (1 - alpha[..., None]), None
    image = to_pil(rgb, alpha)
    if max(image.size) > _SAVE_MAX_SIDE[format]:
        raise StyleTransferError(
            f"The picture of {image.width} x {image.height} px is too long for {format} (at most "
            f"{_SAVE_MAX_SIDE[format]} px a side); save it as PNG."
        )
    buffer = io.BytesIO()
    with_text = {} if text is None else _text_options(format, text)
    image.save(buffer, format, **_SAVE_OPTIONS[format], **with_text)
    return buffer.getvalue()


def read_text(
    source: str | os.PathLike[str] | bytes | BinaryIO, *, what: str = "picture"
) -> str | None:
    """The text that `encode` put into the file, None where there is none; decodes no pixels.

    source: a path, the bytes of a file, or a binary file. Whoever wrote it may be a stranger.
    Raises StyleTransferError if it cannot be read or is no picture.
    """
    data, label = _contents(source, what)
    with _decoding(label), _identified(data, label) as image:
        return _text_of(image)


def check_save_path(path: str | os.PathLike[str]) -> Path:
    """Whether `save_image` could write here, told before a long run instead of after it.

    Returns the path. Raises StyleTransferError for a suffix other than .png, .jpg, .jpeg and
    .webp, and for a folder that is missing or not writable.
    """
    path = Path(path)
    if path.suffix.lower() not in _SAVE_FORMATS:
        raise StyleTransferError(
            f"The picture cannot be saved as {path.name!r}; end the name in "
            f"{', '.join(_SAVE_FORMATS)}."
        )
    with _writing(path):
        if os.path.isdir(path):
            raise StyleTransferError(f"{str(path)!r} is a folder; give a file name inside it.")
        if not os.path.isdir(path.parent):
            raise StyleTransferError(
                f"The folder {str(path.parent)!r} does not exist; create it or choose another."
            )
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise StyleTransferError(
                f"The folder {str(path.parent)!r} cannot be written to; choose another."
            )
        with contextlib.suppress(FileNotFoundError):
            path.stat()  # tells of a name that is too long or holds a null character
    return path


def save_image(
    path: str | os.PathLike[str],
    rgb: np.ndarray,
    alpha: np.ndarray | None = None,
    text: str | None = None,
) -> None:
    """Write rgb (H, W, 3), alpha (H, W) in [0, 1] and text to `path`, in the format of its suffix.

    The file appears whole or not at all: it is written aside in the same folder and then renamed.
    Raises StyleTransferError where `check_save_path` and `encode` do, and if the disk refuses.
    """
    path = check_save_path(path)
    data = encode(rgb, alpha, _SAVE_FORMATS[path.suffix.lower()], text)
    # Not tempfile: its files are private (0600), and the picture would stay so after the rename.
    aside = path.with_name(f".{secrets.token_hex(8)}.part")
    with _writing(path):
        try:
            aside.write_bytes(data)
            os.replace(aside, path)
        finally:
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)


# ---- Reading -----------------------------------------------------------------------------------


def read_file(source: str | os.PathLike[str], what: str) -> bytes:
    """The bytes of a regular file of at most MAX_BYTES; devices and pipes may never end.

    `what` names it in messages. Raises StyleTransferError where it cannot be read.
    """
    name = f"The {what} {os.fspath(source)!r}"
    try:
        status = os.stat(source)
        if stat.S_ISDIR(status.st_mode):
            raise StyleTransferError(f"{name} is a folder; give the picture file inside it.")
        if not stat.S_ISREG(status.st_mode):
            raise StyleTransferError(f"{name} is a device or a pipe; give a picture file.")
        if status.st_size > MAX_BYTES:
            _refuse_bytes(name, status.st_size)
        return Path(source).read_bytes()
    except FileNotFoundError:
        raise StyleTransferError(f"{name} does not exist; check the path.") from None
    except OSError as error:
        raise StyleTransferError(
            f"{name} cannot be read ({error.strerror}); check the path and its permissions."
        ) from error
    except ValueError as error:  # a null character in the path, or our own words from above
        if isinstance(error, StyleTransferError):
            raise
        raise StyleTransferError(f"{name} is not a valid path; check it.") from error


def _contents(source: str | os.PathLike[str] | bytes | BinaryIO, what: str) -> tuple[bytes, str]:
    """The bytes of a file and how messages call it."""
    if isinstance(source, str | os.PathLike):
        return read_file(source, what), f"The {what} {Path(source).name!r}"
    return _read_stream(source), f"The {what}"


def _identified(data: bytes, label: str) -> Image.Image:
    """The picture in `data`, its pixels not decoded yet."""
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.UnidentifiedImageError as error:
        raise _unidentified(data, label) from error


def _read_stream(source: bytes | BinaryIO) -> bytes:
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if not hasattr(source, "read"):
        raise TypeError(f"open_picture takes no {type(source).__name__}")
    with contextlib.suppress(OSError, AttributeError):  # pipes cannot seek
        source.seek(0)
    data = source.read(MAX_BYTES + 1)
    if not isinstance(data, bytes):
        raise TypeError("open_picture needs a file opened in binary mode")
    return data


def _refuse_bytes(label: str, size: int) -> NoReturn:
    raise StyleTransferError(
        f"{label} has {size / 1e6:.0f} megabytes or more, over the limit of {MAX_BYTES / 1e6:.0f}; "
        "save it as JPEG or PNG."
    )


def _unidentified(data: bytes, label: str) -> StyleTransferError:
    """Say what the file is instead, judged by its first bytes and never by its name."""
    head = data[:1024]
    for kind, start in _FOREIGN_START.items():
        if re.match(start, head, re.DOTALL | re.IGNORECASE):
            return StyleTransferError(f"{label} is {kind}; export it as PNG or JPEG.")
    if _KNOWN_START.match(head):
        return StyleTransferError(
            f"{label} is damaged or of an unusual kind; open it in a picture editor and export "
            "it as PNG or JPEG."
        )
    return StyleTransferError(f"{label} is not a picture that can be read; give a {_KNOWN} file.")


@contextlib.contextmanager
def _decoding(label: str) -> Iterator[None]:
    """Turn whatever Pillow raises inside into a StyleTransferError."""
    try:
        yield
    except StyleTransferError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        pixels = re.search(r"\d+", str(error))  # "Image size (110000000 pixels) exceeds ..."
        _refuse_pixels(label, int(pixels[0]) if pixels else 2 * MAX_PIXELS)
    except MemoryError as error:
        raise StyleTransferError(
            f"{label} needs more memory than is free; make it smaller first."
        ) from error
    except _DECODER_ERRORS as error:
        raise StyleTransferError(
            f"{label} is damaged or incomplete; export or download it again."
        ) from error


def _check_size(width: int, height: int, label: str) -> None:
    if width * height > MAX_PIXELS:
        _refuse_pixels(label, width * height, f" ({width} x {height} px)")
    if min(width, height) < MIN_SIDE:
        raise StyleTransferError(
            f"{label} has {width} x {height} px; give one with at least {MIN_SIDE} px a side."
        )


def _refuse_pixels(label: str, pixels: int, sides: str = "") -> NoReturn:
    raise StyleTransferError(
        f"{label} has {pixels / 1e6:.4g} megapixels{sides}, over the limit of "
        f"{MAX_PIXELS / 1e6:.0f}; make it smaller first."
    )


def _from_image(image: Image.Image, label: str) -> Picture:
    """Decode a PIL image, opened but perhaps not loaded, of any mode."""
    with _decoding(label):
        _check_size(*image.size, label)
        tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
        tile_width, tile_height = (tags.get(tag, 1) for tag in _TIFF_TILE_SIZE)
        if tile_width * tile_height > MAX_PIXELS:  # allocated whole, whatever the picture's size
            _refuse_pixels(label, tile_width * tile_height, " in one tile")
        bits = tags.get(_TIFF_BITS_PER_SAMPLE, (16,))[0]
        negative = tags.get(_TIFF_PHOTOMETRIC) == 0
        image.load()
        _check_size(*image.size, label)  # HEIF may turn out otherwise than its header said
        image = _upright(image)
        if image.mode in ("I", "F") or image.mode.startswith("I;16"):
            rgb, alpha = _deep_grey(image, bits, negative, label)
        else:
            rgb, alpha = _eight_bit(image)
    return _composite(rgb, alpha)


def _upright(image: Image.Image) -> Image.Image:
    """A copy turned as its EXIF says; damaged EXIF is no reason to refuse a picture."""
    try:
        return ImageOps.exif_transpose(image)
    except _DECODER_ERRORS:
        return image.copy()


def _deep_grey(
    image: Image.Image, bits: int, negative: bool, label: str
) -> tuple[np.ndarray, np.ndarray | None]:
    """Grey with more than 8 bits -> float32 (H, W, 3) in [0, 1], and alpha (H, W) or None.

    "I;16" spans its `bits` (16; 12 in some TIFF). "I" and "F" have no declared range: they are
    taken to span the first of [0, 1], [0, 255] and [0, 65535] that holds their values, and
    are stretched from their minimum to their maximum if none does.
    """
    values = np.asarray(image).astype(np.float64)  # (H, W); float32 overflows in high - low
    if not np.isfinite(values).all():
        raise StyleTransferError(
            f"{label} holds values that are not numbers (NaN or infinite); export it as PNG."
        )
    alpha = None
    hidden = image.info.get("transparency")
    if isinstance(hidden, int):
        alpha = (values != hidden).astype(np.float32)
    low, high = 0.0, float(2**bits - 1)
    if not image.mode.startswith("I;16"):
        low, high = float(values.min()), float(values.max())
        if low >= 0 and high <= 65535:
            low, high = 0.0, min(top for top in (1.0, 255.0, 65535.0) if top >= high)
    values = np.clip((values - low) / max(high - low, 1e-12), 0.0, 1.0)
    if negative:  # Pillow inverts "white is zero" for 8 bits only
        values = 1 - values
    return np.repeat(values[..., None].astype(np.float32), 3, axis=2), alpha


def _eight_bit(image: Image.Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Any 8-bit mode -> sRGB float32 (H, W, 3) in [0, 1], and alpha (H, W) or None."""
    profile = image.info.get("icc_profile")
    hidden = image.info.get("transparency")
    if image.mode == "RGB" and isinstance(hidden, tuple) and max(hidden) > 255:
        # Pillow reduces the pixels of a 16-bit PNG to 8 bits, but not its transparent colour.
        image.info["transparency"] = tuple(value >> 8 for value in hidden)
    if image.has_transparency_data:
        image = image.convert("LA" if image.mode in ("LA", "La") else "RGBA")
        alpha = np.asarray(image.getchannel("A"), dtype=np.float32) / 255
        image = image.convert(image.mode[:-1])  # drops the alpha, leaves the colours
    else:
        alpha = None
    rgb = np.array(_srgb(image, profile), dtype=np.float32)  # (H, W, 3)
    rgb /= 255
    return rgb, alpha


def _srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert to "RGB" mode in sRGB, by the ICC profile where it is sound and fits the picture."""
    if image.mode == "1":
        image = image.convert("L")
    elif image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("RGB")
    if profile:
        # A broken profile raises, and so does one made for another colour space than the mode's.
        with contextlib.suppress(*_DECODER_ERRORS):
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            target = ImageCms.createProfile("sRGB")
            converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
            return converted or image.convert("RGB")
    return image.convert("RGB")


def _composite(rgb: np.ndarray, alpha: np.ndarray | None) -> Picture:
    """Composite rgb (H, W, 3) over its mean visible colour, by alpha (H, W), in place.

    Colours hidden under alpha 0 are leftovers that must not reach a network. The mean, weighted
    by alpha, disturbs the statistics that style transfer works on less than white would, and
    leaves no bright rim. A picture with nothing visible becomes white.
    """
    if alpha is None or alpha.min() == 1:
        return Picture(rgb)
    weight = float(alpha.sum(dtype=np.float64))
    mean = np.tensordot(alpha, rgb, 2) / weight if weight else np.ones(3)  # (3,)
    rgb -= mean
    rgb *= alpha[..., None]
    rgb += mean
    return Picture(np.clip(rgb, 0.0, 1.0, out=rgb), alpha)


def _from_array(array: np.ndarray, label: str) -> Picture:
    """Validate and copy (H, W), (H, W, 3) or (H, W, 4), uint8 or float in [0, 1]."""
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)):
        raise StyleTransferError(
            f"{label} has the shape {array.shape}; give (height, width, 3) or (height, width)."
        )
    _check_size(array.shape[1], array.shape[0], label)
    if array.dtype != np.uint8 and not np.issubdtype(array.dtype, np.floating):
        raise StyleTransferError(
            f"{label} has the number type {array.dtype}; give uint8 in 0..255 or float in 0..1."
        )
    values = array.astype(np.float32)
    if array.dtype == np.uint8:
        values /= 255
    low, high = float(values.min()), float(values.max())
    if not np.isfinite([low, high]).all():
        raise StyleTransferError(
            f"{label} holds values that are not numbers (NaN or infinite); replace them."
        )
    if low < -_ROUNDING or high > 1 + _ROUNDING:
        raise StyleTransferError(
            f"{label} has values from {low:g} to {high:g}; scale them to lie in 0 to 1."
        )
    np.clip(values, 0.0, 1.0, out=values)
    if values.ndim == 2:
        return Picture(np.repeat(values[..., None], 3, axis=2))
    if values.shape[2] == 4:
        return _composite(values[..., :3].copy(), values[..., 3].copy())
    return Picture(values)


# ---- Writing -----------------------------------------------------------------------------------


def _to_bytes(values: np.ndarray) -> np.ndarray:
    """Float in [0, 1] -> uint8, clipped and rounded to nearest (casting alone would floor)."""
    if not np.isfinite(values).all():
        raise StyleTransferError(
            "The picture to save holds values that are not numbers (NaN or infinite); run again "
            "with weaker settings."
        )
    return np.rint(np.clip(values, 0.0, 1.0) * 255).astype(np.uint8)


def _text_options(format: SaveFormat, text: str) -> dict[str, Any]:
    """What makes Pillow write our text."""
    named = f"{TEXT_KEY} {text}".encode("ascii")
    if format == "PNG":
        chunk = PngImagePlugin.PngInfo()
        chunk.add_text(TEXT_KEY, text)
        return {"pnginfo": chunk}
    if format == "JPEG":
        return {"comment": named}
    exif = Image.Exif()
    exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = b"ASCII\0\0\0" + named
    return {"exif": exif.tobytes()}


def _text_of(image: Image.Image) -> str | None:
    if image.format == "PNG":
        text = image.info.get(TEXT_KEY)
        return text if isinstance(text, str) else None
    named = image.info.get("comment") if image.format == "JPEG" else None
    if image.format == "WEBP":
        named = image.getexif().get_ifd(_EXIF_IFD).get(_USER_COMMENT, b"")
        named = named[8:] if isinstance(named, bytes) else None
    start = f"{TEXT_KEY} ".encode()
    if not isinstance(named, bytes) or not named.startswith(start):
        return None
    return named[len(start) :].decode("ascii", "replace")


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn what the file system refuses into a StyleTransferError."""
    try:
        yield
    except StyleTransferError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise StyleTransferError(
            f"The picture cannot be saved to {str(path)!r} ({reason}); choose another place."
        ) from error
