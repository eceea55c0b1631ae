"""Every kind of upload in, the right pixels out, and one clear sentence for the rest."""

import errno
import io
import itertools
import os
import random
import re
import stat
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, ImageFile, features

from nst_demo import images
from nst_demo.errors import StyleTransferError
from nst_demo.images import (
    MAX_PIXELS,
    Picture,
    check_save_path,
    encode,
    fit,
    open_picture,
    resize,
    save_image,
    to_pil,
)

HEIGHT, WIDTH = 40, 60
RED, GREEN, BLUE, BLACK = [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]
GPS = {1: "N", 2: (48.0, 51.0, 29.0), 3: "E", 4: (2.0, 17.0, 40.0)}

needs_avif = pytest.mark.skipif(not features.check("avif"), reason="Pillow built without AVIF")


def quadrants() -> Image.Image:
    """Red top left, green top right, blue bottom left, black bottom right: no symmetry."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[:20, :30, 0] = 255
    pixels[:20, 30:, 1] = 255
    pixels[20:, :30, 2] = 255
    return Image.fromarray(pixels)


def with_alpha() -> Image.Image:
    """The quadrants under an alpha that takes all 256 levels."""
    image = quadrants()
    image.putalpha(Image.fromarray(np.resize(np.arange(256, dtype=np.uint8), (HEIGHT, WIDTH))))
    return image


def file_bytes(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def corners(rgb: np.ndarray) -> np.ndarray:
    """The centres of the quadrants, (4, 3): top left, top right, bottom left, bottom right."""
    height, width = rgb.shape[:2]
    rows, columns = (height // 4, 3 * height // 4), (width // 4, 3 * width // 4)
    return np.array([rgb[row, column] for row in rows for column in columns])


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, bits: int, colour: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG put together by hand, for what Pillow does not write."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + pixels + chunk(b"IEND", b"")


def tiff(tags: dict[int, int], data: bytes) -> bytes:
    """A little-endian TIFF with LONG tags; `data` follows them at offset 8 + 6 + 12 n."""
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, tags[tag]) for tag in sorted(tags))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + b"\0" * 4 + data


def icc(space: bytes, connection: bytes, kind: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC v2 profile from its tags."""
    d50 = struct.pack(">3i", 63190, 65536, 54061)
    tags = {b"wtpt": b"XYZ \0\0\0\0" + d50, **tags}
    tags = {name: data + b"\0" * (-len(data) % 4) for name, data in tags.items()}
    offsets = itertools.accumulate(map(len, tags.values()), initial=128 + 4 + 12 * len(tags))
    table = b"".join(
        name + struct.pack(">2I", offset, len(data))
        for (name, data), offset in zip(tags.items(), offsets, strict=False)
    )
    body = struct.pack(">I", len(tags)) + table + b"".join(tags.values())
    head = struct.pack(
        ">I4sI4s4s4s", 128 + len(body), b"\0" * 4, 0x02400000, kind, space, connection
    )
    head += b"\0" * 12 + b"acsp" + b"\0" * 28 + d50
    return head + b"\0" * (128 - len(head)) + body


def gamma_curve(gamma: float) -> bytes:
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"


# Columns: the XYZ of red, green and blue, adapted to D50.
DISPLAY_P3 = np.array(
    [[0.51512, 0.29198, 0.15710], [0.24120, 0.69225, 0.06657], [-0.00105, 0.04189, 0.78407]]
)
SRGB = np.array(
    [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.71410]]
)


def p3_profile(gamma: float = 2.2) -> bytes:
    def xyz(column: np.ndarray) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(value * 65536) for value in column))

    primaries = {name: xyz(DISPLAY_P3[:, i]) for i, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ"))}
    curves = {name: gamma_curve(gamma) for name in (b"rTRC", b"gTRC", b"bTRC")}
    return icc(b"RGB ", b"XYZ ", b"mntr", primaries | curves)


def srgb_encode(linear: np.ndarray) -> np.ndarray:
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


# ---- Formats -----------------------------------------------------------------------------------

LOSSLESS = {
    "png": file_bytes(quadrants(), "PNG"),
    "palette png": file_bytes(quadrants().quantize(8), "PNG"),
    "webp": file_bytes(quadrants(), "WEBP", lossless=True),
    "gif": file_bytes(quadrants().quantize(8), "GIF"),
    "bmp": file_bytes(quadrants(), "BMP"),
    "tiff": file_bytes(quadrants(), "TIFF"),
    "lzw tiff": file_bytes(quadrants(), "TIFF", compression="tiff_lzw"),
}
LOSSY = {
    "jpeg": file_bytes(quadrants(), "JPEG", quality=95),
    "progressive jpeg": file_bytes(quadrants(), "JPEG", quality=95, progressive=True),
    "mpo": file_bytes(quadrants(), "MPO", save_all=True, append_images=[quadrants().rotate(180)]),
    "cmyk jpeg": file_bytes(quadrants().convert("CMYK"), "JPEG", quality=95),
    "webp": file_bytes(quadrants(), "WEBP", quality=95),
    "heic": file_bytes(quadrants(), "HEIF", quality=95),
}
if features.check("avif"):
    LOSSY["avif"] = file_bytes(quadrants(), "AVIF", quality=95)


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_formats_give_exact_pixels(name: str) -> None:
    picture = open_picture(LOSSLESS[name])
    assert picture.rgb.dtype == np.float32
    assert picture.alpha is None
    np.testing.assert_array_equal(picture.rgb, np.asarray(quadrants(), np.float32) / 255)


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_formats_give_the_colours(name: str) -> None:
    picture = open_picture(LOSSY[name])
    assert picture.rgb.shape == (HEIGHT, WIDTH, 3)
    np.testing.assert_allclose(corners(picture.rgb), [RED, GREEN, BLUE, BLACK], atol=0.04)


def test_every_kind_of_source_gives_the_same(tmp_path: Path) -> None:
    data = LOSSLESS["png"]
    path = tmp_path / "a.png"
    path.write_bytes(data)
    stream = io.BytesIO(data)
    stream.seek(50)
    expected = open_picture(data).rgb
    with Image.open(path) as lazy, path.open("rb") as file:
        for source in (path, str(path), stream, file, lazy, quadrants(), np.asarray(quadrants())):
            np.testing.assert_array_equal(open_picture(source).rgb, expected)


def test_the_extension_is_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "really_a_png.jpg"
    path.write_bytes(LOSSLESS["png"])
    np.testing.assert_array_equal(corners(open_picture(path).rgb)[0], RED)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("1", (20, 20), 1), 1.0),
        (Image.new("L", (20, 20), 51), 0.2),
        (Image.new("LA", (20, 20), (51, 255)), 0.2),
        (Image.new("CMYK", (20, 20), (0, 0, 0, 204)), 0.2),
        (Image.new("YCbCr", (20, 20), (51, 128, 128)), 0.2),
        (Image.new("HSV", (20, 20), (0, 0, 51)), 0.2),
        (Image.new("RGB", (20, 20), (51, 51, 51)).convert("LAB"), 0.2),
        (Image.new("RGBX", (20, 20), (51, 51, 51, 0)), 0.2),
        (Image.new("I;16", (20, 20), 13107), 0.2),
        (Image.fromarray(np.full((20, 20), 13107, ">u2")), 0.2),
        (Image.fromarray(np.full((20, 20), 13107, np.int32)), 0.2),
        (Image.fromarray(np.full((20, 20), 51, np.int32)), 0.2),
        (Image.fromarray(np.full((20, 20), 51, np.float32)), 0.2),
        (Image.fromarray(np.full((20, 20), 0.2, np.float32)), 0.2),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else "",
)
def test_every_pil_mode_is_scaled(image: Image.Image, expected: float) -> None:
    picture = open_picture(image)
    assert picture.alpha is None
    np.testing.assert_allclose(picture.rgb, expected, atol=0.006)


def test_first_frame_of_a_gif() -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue", "lime")]
    data = file_bytes(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(open_picture(data).rgb, np.broadcast_to(RED, (20, 20, 3)))


# ---- Depth -------------------------------------------------------------------------------------

RAMP16 = np.linspace(0, 65535, 400).astype(np.uint16).reshape(20, 20)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
@pytest.mark.parametrize("order", ["<u2", ">u2"])
def test_16_bit_grey_keeps_its_precision(format: str, order: str) -> None:
    data = file_bytes(Image.fromarray(RAMP16.astype(order)), format)
    for channel in np.moveaxis(open_picture(data).rgb, 2, 0):
        np.testing.assert_allclose(channel, RAMP16 / 65535, atol=1e-6)


def test_16_bit_colour_is_scaled_not_clipped() -> None:
    row = b"\0" + struct.pack(">HHH", 32768, 65535, 6554) * 20
    rgb = open_picture(png(20, 20, 16, 2, row * 20)).rgb
    np.testing.assert_allclose(rgb[3, 5], [0.5, 1, 0.1], atol=0.004)


def test_16_bit_grey_alpha_png() -> None:
    row = b"\0" + struct.pack(">HH", 32768, 65535) * 10 + struct.pack(">HH", 65535, 0) * 10
    picture = open_picture(png(20, 20, 16, 4, row * 20))
    np.testing.assert_allclose(picture.rgb, 0.5, atol=0.003)
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.alpha[0], [1] * 10 + [0] * 10)


def test_16_bit_transparent_colour() -> None:
    hidden, seen = (40000, 1000, 300), (32768, 32768, 32768)
    row = b"\0" + struct.pack(">HHH", *hidden) * 10 + struct.pack(">HHH", *seen) * 10
    trns = chunk(b"tRNS", struct.pack(">HHH", *hidden))
    colour = open_picture(png(20, 20, 16, 2, row * 20, trns))
    row = b"\0" + struct.pack(">H", 40000) * 10 + struct.pack(">H", 32768) * 10
    grey = open_picture(png(20, 20, 16, 0, row * 20, chunk(b"tRNS", struct.pack(">H", 40000))))
    for picture in (colour, grey):
        assert picture.alpha is not None
        np.testing.assert_array_equal(picture.alpha[0], [0] * 10 + [1] * 10)
        np.testing.assert_allclose(picture.rgb, 0.5, atol=0.003)


def test_tiff_where_white_is_zero() -> None:
    data = file_bytes(Image.fromarray(RAMP16), "TIFF", tiffinfo={262: 0})
    np.testing.assert_allclose(open_picture(data).rgb[..., 0], 1 - RAMP16 / 65535, atol=1e-6)


def test_12_bit_tiff_white_is_white() -> None:
    tags = {256: 20, 257: 20, 258: 12, 259: 1, 262: 1, 273: 8 + 6 + 12 * 8, 278: 20, 279: 600}
    assert open_picture(tiff(tags, b"\xff" * 600)).rgb.min() == 1


@pytest.mark.parametrize(
    ("low", "high"), [(-3.0, 5.0), (0.0, 1e6), (-3e38, 3e38)], ids=["signed", "large", "extreme"]
)
def test_float_tiff_without_a_usual_range_is_stretched(low: float, high: float) -> None:
    values = np.linspace(low, high, 400, dtype=np.float32).reshape(20, 20)
    rgb = open_picture(file_bytes(Image.fromarray(values), "TIFF")).rgb
    np.testing.assert_allclose(rgb[..., 0], np.linspace(0, 1, 400).reshape(20, 20), atol=1e-5)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_float_tiff_with_nan_is_refused(value: float) -> None:
    image = Image.fromarray(np.full((20, 20), value, np.float32))
    with pytest.raises(StyleTransferError, match="not numbers"):
        open_picture(file_bytes(image, "TIFF"))


# ---- Orientation and colour --------------------------------------------------------------------

# Where the picture stored as red, green / blue, black is to be shown, by EXIF orientation.
ORIENTED = {
    1: [RED, GREEN, BLUE, BLACK],
    2: [GREEN, RED, BLACK, BLUE],
    3: [BLACK, BLUE, GREEN, RED],
    4: [BLUE, BLACK, RED, GREEN],
    5: [RED, BLUE, GREEN, BLACK],
    6: [BLUE, RED, BLACK, GREEN],
    7: [BLACK, GREEN, BLUE, RED],
    8: [GREEN, BLACK, RED, BLUE],
}


def orientation_exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif


@pytest.mark.parametrize("orientation", ORIENTED)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied(format: str, orientation: int) -> None:
    data = file_bytes(quadrants(), format, exif=orientation_exif(orientation), quality=95)
    rgb = open_picture(data).rgb
    assert rgb.shape == ((60, 40, 3) if orientation >= 5 else (40, 60, 3))
    np.testing.assert_allclose(corners(rgb), ORIENTED[orientation], atol=0.04)


@pytest.mark.parametrize("orientation", ORIENTED)
def test_heic_orientation_is_applied(orientation: int) -> None:
    image = quadrants()  # pillow_heif writes HEIF's own rotation, beside EXIF, from `info` only
    image.info["exif"] = orientation_exif(orientation).tobytes()
    data = file_bytes(image, "HEIF", quality=95)
    np.testing.assert_allclose(corners(open_picture(data).rgb), ORIENTED[orientation], atol=0.04)


@needs_avif
def test_avif_orientation_is_applied() -> None:
    data = file_bytes(quadrants(), "AVIF", exif=orientation_exif(6), quality=95)
    np.testing.assert_allclose(corners(open_picture(data).rgb), ORIENTED[6], atol=0.04)


def test_orientation_of_a_pil_image_leaves_it_alone() -> None:
    with Image.open(io.BytesIO(file_bytes(quadrants(), "PNG", exif=orientation_exif(6)))) as image:
        np.testing.assert_array_equal(corners(open_picture(image).rgb), ORIENTED[6])
        assert image.size == (WIDTH, HEIGHT)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_does_not_refuse_the_picture() -> None:
    data = file_bytes(quadrants(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01\x12broken")
    assert open_picture(data).rgb.shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "HEIF"])
def test_display_p3_is_converted_to_srgb(format: str) -> None:
    colour = np.array([180, 140, 100])
    image = Image.new("RGB", (32, 32), tuple(colour))
    data = file_bytes(image, format, icc_profile=p3_profile(), quality=100)
    expected = srgb_encode(np.linalg.inv(SRGB) @ DISPLAY_P3 @ (colour / 255) ** 2.2)
    assert np.abs(expected - colour / 255).max() > 0.02  # ignoring the profile would be seen
    rgb = open_picture(data).rgb
    np.testing.assert_allclose(rgb, np.broadcast_to(expected, rgb.shape), atol=0.015)


def test_profile_of_a_picture_with_alpha_and_of_a_palette() -> None:
    image = Image.new("RGBA", (32, 32), (180, 140, 100, 128))
    expected = open_picture(file_bytes(image.convert("RGB"), "PNG", icc_profile=p3_profile())).rgb
    see_through = open_picture(file_bytes(image, "PNG", icc_profile=p3_profile()))
    np.testing.assert_allclose(see_through.rgb, expected, atol=1e-5)
    assert see_through.alpha is not None
    np.testing.assert_allclose(see_through.alpha, 128 / 255)
    palette = image.convert("RGB").quantize(4)
    rgb = open_picture(file_bytes(palette, "PNG", icc_profile=p3_profile())).rgb
    np.testing.assert_array_equal(rgb, expected)


def test_grey_profile() -> None:
    profile = icc(b"GRAY", b"XYZ ", b"mntr", {b"kTRC": gamma_curve(1.0)})
    data = file_bytes(Image.new("L", (20, 20), 55), "PNG", icc_profile=profile)
    expected = srgb_encode(np.array(55 / 255))
    np.testing.assert_allclose(open_picture(data).rgb, expected, atol=0.01)


def test_cmyk_profile() -> None:
    """A look-up table in which all mixed inks are L*=50 grey tells whether it was used."""
    identity = bytes(range(256))
    paper, mixed, black = (bytes([lightness, 128, 128]) for lightness in (255, 128, 0))
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + struct.pack(">9i", *([65536, 0, 0, 0] * 2), 65536)
    lut += identity * 4 + paper + mixed * 14 + black + identity * 3
    profile = icc(b"CMYK", b"Lab ", b"prtr", {b"A2B0": lut})
    image = quadrants().convert("CMYK")  # two inks or three, everywhere
    rgb = open_picture(file_bytes(image, "JPEG", icc_profile=profile, quality=95)).rgb
    np.testing.assert_allclose(rgb, 0.466, atol=0.01)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "RGBA", "P"])
@pytest.mark.parametrize(
    "profile",
    [b"not a profile", p3_profile()[:200], ImageCms.createProfile("LAB"), b""],
    ids=["rubbish", "cut", "mismatched", "empty"],
)
def test_unusable_profile_is_ignored(mode: str, profile: object) -> None:
    if not isinstance(profile, bytes):
        profile = ImageCms.ImageCmsProfile(profile).tobytes()  # pyright: ignore[reportArgumentType]
    image = Image.new("RGB", (20, 20), (51, 51, 51)).convert(mode)
    plain = open_picture(image).rgb
    image.info["icc_profile"] = profile
    np.testing.assert_array_equal(open_picture(image).rgb, plain)


def test_rgb_profile_on_a_cmyk_picture_is_ignored() -> None:
    data = file_bytes(quadrants().convert("CMYK"), "JPEG", icc_profile=p3_profile(), quality=95)
    np.testing.assert_allclose(
        corners(open_picture(data).rgb), [RED, GREEN, BLUE, BLACK], atol=0.04
    )


# ---- Transparency ------------------------------------------------------------------------------


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_hidden_colours_do_not_appear(format: str) -> None:
    pixels = np.zeros((20, 20, 4), np.uint8)
    pixels[:, :10] = [255, 0, 255, 0]  # magenta that nobody was meant to see
    pixels[:, 10:] = [51, 102, 153, 255]
    options = {"WEBP": {"lossless": True, "exact": True}}.get(format, {})
    picture = open_picture(file_bytes(Image.fromarray(pixels), format, **options))
    expected = np.broadcast_to([0.2, 0.4, 0.6], (20, 20, 3))
    np.testing.assert_allclose(picture.rgb, expected, atol=1e-5)
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.alpha, pixels[..., 3] / 255)


def test_composite_over_the_mean_visible_colour() -> None:
    pixels = np.zeros((20, 20, 4), np.float32)
    pixels[:10] = [1, 0, 0, 1]
    pixels[10:] = [0, 0, 1, 0.5]
    picture = open_picture(pixels)  # the mean weighs red twice as much as blue
    np.testing.assert_allclose(picture.rgb[0, 0], [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(picture.rgb[-1, 0], [1 / 3, 0, 2 / 3], atol=1e-6)


def test_fully_transparent_picture_is_white() -> None:
    picture = open_picture(Image.new("RGBA", (20, 20), (255, 0, 0, 0)))
    assert picture.rgb.min() == 1
    assert picture.alpha is not None
    assert picture.alpha.max() == 0


def test_opaque_alpha_is_dropped() -> None:
    image = quadrants()
    image.putalpha(255)
    assert open_picture(image).alpha is None


@pytest.mark.parametrize("format", ["PNG", "GIF"])
def test_palette_transparency(format: str) -> None:
    image = Image.new("P", (20, 20), 1)
    image.putpalette([255, 0, 255, 51, 102, 153])
    image.paste(0, (0, 0, 10, 20))
    picture = open_picture(file_bytes(image, format, transparency=0))
    expected = np.broadcast_to([0.2, 0.4, 0.6], (20, 20, 3))
    np.testing.assert_allclose(picture.rgb, expected, atol=1e-5)
    assert picture.alpha is not None
    np.testing.assert_array_equal(picture.alpha[0], [0] * 10 + [1] * 10)


def test_palette_with_an_alpha_for_each_colour() -> None:
    image = Image.new("P", (20, 20), 1)
    image.putpalette([255, 0, 255, 51, 102, 153])
    picture = open_picture(file_bytes(image, "PNG", transparency=bytes([0, 102])))
    assert picture.alpha is not None
    np.testing.assert_allclose(picture.alpha, 0.4)


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_alpha_round_trip_is_exact(tmp_path: Path, suffix: str) -> None:
    first = open_picture(with_alpha())
    save_image(tmp_path / f"a{suffix}", first.rgb, first.alpha)
    again = open_picture(tmp_path / f"a{suffix}")
    assert first.alpha is not None
    assert again.alpha is not None
    np.testing.assert_array_equal(again.alpha, first.alpha)
    np.testing.assert_array_equal(again.alpha, np.asarray(with_alpha())[..., 3] / np.float32(255))


# ---- Arrays ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float_array(dtype: type) -> None:
    array = np.full((20, 30, 3), 0.25, dtype)
    picture = open_picture(array)
    assert picture.rgb.dtype == np.float32
    assert picture.alpha is None
    np.testing.assert_array_equal(picture.rgb, 0.25)


def test_array_is_copied() -> None:
    array = np.full((20, 30, 3), 0.25, np.float32)
    open_picture(array).rgb[:] = 1
    assert array.max() == 0.25


def test_byte_arrays() -> None:
    colour = open_picture(np.full((20, 30, 3), 51, np.uint8))
    grey = open_picture(np.full((20, 30), 51, np.uint8))
    np.testing.assert_allclose(colour.rgb, 0.2)
    np.testing.assert_array_equal(grey.rgb, colour.rgb)
    see_through = open_picture(np.full((20, 30, 4), 51, np.uint8))
    assert see_through.alpha is not None
    np.testing.assert_allclose(see_through.alpha, 0.2)


def test_rounding_of_an_array_is_forgiven_and_clipped() -> None:
    array = np.full((20, 30, 3), 1 + 1e-6, np.float64)
    array[0] = -1e-6
    rgb = open_picture(array).rgb
    assert (rgb.min(), rgb.max()) == (0, 1)


def spoiled(value: float) -> np.ndarray:
    array = np.full((20, 30, 3), 0.5, np.float32)
    array[3, 4, 1] = value
    return array


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (spoiled(np.nan), "not numbers"),
        (spoiled(-np.inf), "not numbers"),
        (spoiled(255), "from 0.5 to 255"),
        (spoiled(-0.25), "from -0.25 to 0.5"),
        (np.zeros((20, 30, 3), np.int64), "int64"),
        (np.zeros((20, 30, 2), np.float32), r"\(20, 30, 2\)"),
        (np.zeros((1, 20, 30, 3), np.float32), r"\(1, 20, 30, 3\)"),
        (np.zeros((20, 15, 3), np.float32), "15 x 20 px"),
        (np.zeros((0, 20, 3), np.float32), "20 x 0 px"),
        (np.broadcast_to(np.float32(0), (8000, 5001, 3)), "40.01 megapixels"),
    ],
)
def test_bad_arrays_are_refused(array: np.ndarray, message: str) -> None:
    with pytest.raises(StyleTransferError, match=f"^The style .*{message}"):
        open_picture(array, what="style")


# ---- Refusals ----------------------------------------------------------------------------------


def refusal(source: object, what: str = "photo") -> str:
    """The message with which `source` is refused; checks that it is one sentence."""
    with pytest.raises(StyleTransferError) as caught:
        open_picture(source, what=what)  # pyright: ignore[reportArgumentType]
    message = str(caught.value)
    assert re.fullmatch(r"(The|No) photo .*[^.]\.", message), message
    assert ";" in message  # ... and what to do
    return message


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "'upload.png' is empty"),
        (b"Dear diary, this is no picture.", "not a picture that can be read; give a JPEG"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"8BPS\0\1" + b"\0" * 40, "a Photoshop file"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"<?xml version='1.0'?>\n<!-- x -->\n<svg width='9'/>", "an SVG drawing"),
        (b"PK\x03\x04\x14\0", "a zip archive"),
        (b"<!doctype html><p>404", "a web page"),
        (b"\x89PNG\r\n\x1a\n", "damaged"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "damaged"),
        (b"BM", "damaged"),
        (file_bytes(quadrants(), "ICO"), "not a picture that can be read"),
        (file_bytes(quadrants(), "PPM"), "not a picture that can be read"),
    ],
)
def test_no_picture(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "upload.png"
    path.write_bytes(data)
    assert message in refusal(path)
    assert "upload.png" in refusal(path)
    assert "upload" not in refusal(data)


def test_nothing_given() -> None:
    assert refusal(None) == "No photo was given; choose one."


def test_what_is_no_source_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="list"):
        open_picture([1, 2, 3])  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="binary"):
        open_picture(io.StringIO("text"))  # pyright: ignore[reportArgumentType]


def test_unreadable_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file.png"
    file.write_bytes(LOSSLESS["png"])
    assert "missing.jpg' does not exist" in refusal(tmp_path / "missing.jpg")
    assert "is a folder" in refusal(tmp_path)
    assert "cannot be read (Not a directory)" in refusal(file / "x.png")
    assert "cannot be read (File name too long)" in refusal("x" * 5000)
    assert "not a valid path" in refusal("a\0b.png")

    def denied(_: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", denied)  # chmod does not bind root
    assert "cannot be read (Permission denied)" in refusal(file)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_pipe_is_refused_rather_than_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert "a device or a pipe" in refusal(tmp_path / "pipe.png")


def test_huge_file_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_BYTES", 1_000_000)
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.truncate(3_000_000)
    assert "3 megabytes" in refusal(path)
    assert "over the limit of 1;" in refusal(io.BytesIO(b"x" * 3_000_000))


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "HEIF", "AVIF"])
def test_truncated_file(format: str, share: float) -> None:
    if format == "AVIF" and not features.check("avif"):
        pytest.skip("Pillow built without AVIF")
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = file_bytes(Image.fromarray(noise), format)
    assert "damaged" in refusal(data[: int(len(data) * share)])


@pytest.mark.parametrize("size", [(1, 1), (15, 400), (400, 15)])
def test_small_picture(size: tuple[int, int]) -> None:
    image = Image.new("RGB", size)
    for source in (image, file_bytes(image, "PNG"), np.asarray(image)):
        assert f"{size[0]} x {size[1]} px" in refusal(source)
        assert "at least 16 px" in refusal(source)


def test_smallest_picture() -> None:
    assert open_picture(Image.new("RGB", (16, 16))).rgb.shape == (16, 16, 3)


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(_: Image.Image) -> None:
        pytest.fail("the picture was decoded")

    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    monkeypatch.setattr(Image.Image, "load", load)


@pytest.mark.usefixtures("no_decoding")
@pytest.mark.parametrize(
    ("width", "height", "megapixels"),
    [(11_000, 10_000, "110"), (10_000, 5_000, "50"), (8_000, 5_001, "40.01")],
)
@pytest.mark.parametrize("bits", [1, 8])
def test_bomb_is_refused_from_its_header(
    width: int, height: int, megapixels: str, bits: int
) -> None:
    rows = b"\0" * ((width * bits // 8 + 1) * height)
    data = png(width, height, bits, 0, rows)
    assert len(data) < 120_000
    for raised in ("ignore", "error"):  # whether Pillow warns, or its warning is an exception
        with warnings.catch_warnings():
            warnings.simplefilter(raised, Image.DecompressionBombWarning)
            assert f"has {megapixels} megapixels" in refusal(data)


def test_bomb_given_as_an_open_pil_image() -> None:
    image = Image.new("1", (8_000, 5_001))
    assert "(8000 x 5001 px), over the limit of 40;" in refusal(image)


def test_40_megapixels_are_allowed() -> None:
    assert MAX_PIXELS == 8_000 * 5_000
    images._check_size(8_000, 5_000, "The photo")


def test_tiff_with_a_huge_tile() -> None:
    """libtiff would allocate the tile whole: 1.6 GB for these 64 x 64 px."""
    pixels = zlib.compress(b"\0" * 4096)
    tags = {256: 64, 257: 64, 258: 8, 259: 8, 262: 1, 322: 40_000, 323: 40_000}
    tags |= {324: 8 + 6 + 12 * 9, 325: len(pixels)}
    assert "1600 megapixels in one tile" in refusal(tiff(tags, pixels))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*LOSSLESS, *LOSSY])
def test_damaged_bytes_give_a_picture_or_a_sentence(name: str) -> None:
    """Overwrite bytes of a valid file: nothing but StyleTransferError may come out."""
    data = (LOSSLESS | LOSSY)[name]
    generator = random.Random(name)
    for _ in range(25):
        damaged = bytearray(data)
        for _ in range(generator.choice([1, 2, 5, 20])):
            end = generator.choice([len(damaged), min(len(damaged), 150)])
            damaged[generator.randrange(end)] = generator.choice([0, 1, 255, 128, 77])
        try:
            picture = open_picture(bytes(damaged))
        except StyleTransferError:
            continue
        assert picture.rgb.dtype == np.float32
        assert 0 <= picture.rgb.min() <= picture.rgb.max() <= 1


# ---- Resizing ----------------------------------------------------------------------------------


def test_resize_shapes_and_type() -> None:
    image = np.random.default_rng(0).random((67, 101, 3), dtype=np.float32)
    assert resize(image, 20, 30).shape == (20, 30, 3)
    assert resize(image[..., 0], 20, 30).shape == (20, 30)
    assert resize(image, 20, 30).dtype == np.float32
    np.testing.assert_array_equal(resize(image, 67, 101), image)
    np.testing.assert_array_equal(resize(image, 20, 30)[..., 1], resize(image[..., 1], 20, 30))


def test_resize_does_not_round_to_bytes() -> None:
    value = np.float32(0.123456)
    np.testing.assert_allclose(resize(np.full((32, 32, 3), value), 20, 50), value, atol=1e-6)


def test_resize_averages_on_the_way_down_and_does_not_shift() -> None:
    stripes = np.tile(np.array([0, 1], np.float32), (64, 32))
    np.testing.assert_allclose(resize(stripes, 16, 16)[2:-2, 2:-2], 0.5, atol=0.01)
    ramp = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1))
    expected = ramp.reshape(64, 32, 2).mean(axis=2)[::2]
    np.testing.assert_allclose(resize(ramp, 32, 32)[:, 4:-4], expected[:, 4:-4], atol=1e-3)


def test_resize_clips_overshoot() -> None:
    edge = np.zeros((32, 32), np.float32)
    edge[:, 16:] = 1
    larger = resize(edge, 64, 64)
    assert (larger.min(), larger.max()) == (0, 1)


def test_resize_to_nothing() -> None:
    with pytest.raises(StyleTransferError, match="10 x 0 px"):
        resize(np.zeros((32, 32, 3), np.float32), 0, 10)


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((100, 200, 3), 50, (25, 50, 3)),
        ((200, 100, 3), 50, (50, 25, 3)),
        ((67, 101, 3), 60, (40, 60, 3)),
        ((100, 200), 50, (25, 50)),
        ((100, 200, 3), 200, (100, 200, 3)),
        ((100, 200, 3), 4096, (100, 200, 3)),
        ((20, 2000, 3), 64, (16, 64, 3)),
        ((2000, 20, 3), 64, (64, 16, 3)),
    ],
)
def test_fit(shape: tuple[int, ...], size: int, expected: tuple[int, ...]) -> None:
    assert fit(np.zeros(shape, np.float32), size).shape == expected


def test_fit_to_too_little() -> None:
    with pytest.raises(StyleTransferError, match="size 15 px"):
        fit(np.zeros((32, 32, 3), np.float32), 15)


# ---- Masks -------------------------------------------------------------------------------------


def half(height: int = 100, width: int = 160) -> np.ndarray:
    """uint8, white in the left half."""
    mask = np.zeros((height, width), np.uint8)
    mask[:, : width // 2] = 255
    return mask


def test_the_mask_of_an_opaque_picture_is_its_luminance() -> None:
    colours = np.zeros((20, 40, 3), np.uint8)
    colours[:, :10], colours[:, 10:20], colours[:, 20:30] = 255, (255, 0, 0), (0, 255, 0)
    mask = images.open_mask(Image.fromarray(colours), feather=0)
    assert mask.dtype == np.float32
    np.testing.assert_allclose(mask[0, [5, 15, 25, 35]], [1, 0.299, 0.587, 0], atol=1e-6)


def test_the_mask_of_a_drawing_is_its_alpha_whatever_its_colour() -> None:
    drawing = np.zeros((20, 40, 4), np.uint8)  # black ink on nothing
    drawing[:, :20, 3] = 255
    drawing[:, 20:30, 3] = 51
    mask = images.open_mask(Image.fromarray(drawing), feather=0)
    np.testing.assert_allclose(mask[0, [5, 25, 35]], [1, 0.2, 0], atol=1e-6)


def test_an_opaque_rgba_picture_is_a_mask_by_its_luminance() -> None:
    opaque = np.dstack([half()] * 3 + [np.full((100, 160), 255, np.uint8)])
    np.testing.assert_array_equal(images.open_mask(opaque), images.open_mask(half()))


def test_a_mask_is_softened_at_its_edges_only() -> None:
    mask = images.open_mask(half(200, 320))  # deviation: 2 px
    assert (mask[:, :150] == 1).all()
    assert (mask[:, 170:] == 0).all()
    edge = mask[100, 150:170]
    assert (np.diff(edge) <= 0).all()
    np.testing.assert_allclose(edge + edge[::-1], 1, atol=0.02)  # where it was
    steps = -np.diff(mask[100].astype(float))
    positions = np.arange(1, 320)
    deviation = np.sqrt(steps @ (positions - 160.0) ** 2)
    assert abs(deviation - 0.01 * 200) < 0.3
    np.testing.assert_array_equal(images.open_mask(half(), feather=0), half() / 255)


def test_float_and_bool_arrays_are_masks() -> None:
    ramp = np.linspace(0, 1, 400, dtype=np.float32).reshape(20, 20)
    np.testing.assert_array_equal(images.open_mask(ramp, feather=0), ramp)
    np.testing.assert_array_equal(images.open_mask(half() > 0), images.open_mask(half()))


@pytest.mark.parametrize(
    ("source", "feather", "words"),
    [
        (np.zeros((20, 20), np.uint8), 0.01, "The mask is black all over; paint"),
        (np.zeros((20, 20, 4), np.uint8), 0.01, "black all over"),
        (None, 0.01, "No mask was given"),
        (half(), -1, "feather is -1; give a number from 0 to 0.2"),
        (half(), float("nan"), "feather is nan"),
        (np.zeros((20, 20, 2), np.uint8), 0.01, "The mask has the shape"),
    ],
)
def test_bad_masks_are_refused(source: np.ndarray | None, feather: float, words: str) -> None:
    with pytest.raises(StyleTransferError, match=words):
        images.open_mask(source, feather=feather)


def test_resizing_a_mask_leaves_no_ripples() -> None:
    large = images.resize_mask(half(40, 64) / 255, 101, 163)
    assert large.shape == (101, 163)
    assert large.dtype == np.float32
    assert set(np.unique(large[:, :78])) == {1}
    assert set(np.unique(large[:, 85:])) == {0}
    small = images.resize_mask(half() / 255, 10, 16)
    np.testing.assert_allclose(small[:, [0, 5, 10, 15]], [[1, 1, 0, 0]] * 10)


# ---- Writing -----------------------------------------------------------------------------------


def test_to_pil_rounds_and_clips() -> None:
    rgb = np.array([[[0.2, 0.5, 1.0], [-3, 7, 0.9999]]], np.float32)
    image = to_pil(rgb)
    assert image.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(image), [[[51, 128, 255], [0, 255, 255]]])
    assert to_pil(rgb, np.array([[0.5, 1]], np.float32)).getpixel((0, 0)) == (51, 128, 255, 128)


def test_256_levels_survive() -> None:
    levels = np.resize(np.arange(256, dtype=np.uint8), (16, 16, 3))
    rgb = open_picture(levels).rgb
    np.testing.assert_array_equal(open_picture(encode(rgb, None, "PNG")).rgb, rgb)


@pytest.mark.parametrize(
    ("rgb", "alpha", "message"),
    [
        (spoiled(np.nan), None, "not numbers"),
        (np.zeros((20, 30), np.float32), None, r"\(20, 30\)"),
        (np.zeros((20, 30, 3), np.float32), np.zeros((10, 15), np.float32), r"alpha .*\(10, 15\)"),
    ],
)
def test_to_pil_refuses(rgb: np.ndarray, alpha: np.ndarray | None, message: str) -> None:
    with pytest.raises(StyleTransferError, match=message):
        to_pil(rgb, alpha)


def test_jpeg_is_composited_over_white_at_full_chroma() -> None:
    rgb = np.zeros((32, 32, 3), np.float32)
    alpha = np.ones((32, 32), np.float32)
    alpha[:, :16] = 0.5
    data = encode(rgb, alpha, "JPEG")
    np.testing.assert_allclose(open_picture(data).rgb[:, 4:12], 0.5, atol=0.02)
    np.testing.assert_allclose(open_picture(data).rgb[:, 20:], 0.0, atol=0.02)
    with Image.open(io.BytesIO(data)) as image:
        assert {layer[1:3] for layer in getattr(image, "layer", [])} == {(1, 1)}  # 4:4:4


@pytest.mark.parametrize("format", ["JPEG", "WEBP"])
def test_side_too_long_for_the_format(format: images.SaveFormat) -> None:
    with pytest.raises(StyleTransferError, match=f"70000 x 1 px is too long for {format}"):
        encode(np.zeros((1, 70_000, 3), np.float32), None, format)


def test_encode_refuses_other_formats() -> None:
    with pytest.raises(StyleTransferError, match="'GIF'"):
        encode(np.zeros((16, 16, 3)), None, "GIF")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_no_metadata_leaves(format: images.SaveFormat) -> None:
    exif = orientation_exif(6)
    exif[ExifTags.Base.Make] = "SecretPhone"
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(GPS)
    upload = file_bytes(
        quadrants(), "JPEG", exif=exif, icc_profile=p3_profile(), comment=b"SecretComment"
    )
    with Image.open(io.BytesIO(upload)) as image:
        assert image.getexif().get_ifd(ExifTags.IFD.GPSInfo)[3] == "E"
        pictures = [open_picture(upload), open_picture(image)]
    for picture in pictures:
        data = encode(picture.rgb, picture.alpha, format)
        assert b"Secret" not in data
        assert not any(
            mark in data for mark in (b"Exif", b"eXIf", b"EXIF", b"iCCP", b"ICC", b"tEXt")
        )
        with Image.open(io.BytesIO(data)) as image:
            assert image.format == format
            assert len(image.getexif()) == 0
            assert not {"exif", "icc_profile", "comment", "xmp"} & set(image.info)


RGB = np.full((20, 30, 3), 0.25, np.float32)


@pytest.mark.parametrize(
    ("name", "format"),
    [("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.JPEG", "JPEG"), ("a.b.WebP", "WEBP")],
)
def test_save_by_suffix(tmp_path: Path, name: str, format: str) -> None:
    save_image(tmp_path / name, RGB)
    save_image(str(tmp_path / name), RGB)  # over the first
    assert [path.name for path in tmp_path.iterdir()] == [name]
    with Image.open(tmp_path / name) as image:
        assert image.format == format
    np.testing.assert_allclose(open_picture(tmp_path / name).rgb, 0.25, atol=0.01)


def test_saved_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    save_image(tmp_path / "a.png", RGB)
    (tmp_path / "other").touch()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


@pytest.mark.parametrize("save", [check_save_path, lambda path: save_image(path, RGB)])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.gif", r"'a\.gif'; end the name in \.png, \.jpg, \.jpeg, \.webp\.$"),
        ("a", r"'a'; end the name in"),
        ("missing/a.png", "missing' does not exist"),
        ("file/a.png", "file' does not exist"),
        ("folder.png", r"folder\.png' is a folder"),
        ("x" * 300 + ".png", "File name too long"),
        ("a\0.png", "null"),
    ],
)
def test_bad_save_paths(
    tmp_path: Path, save: Callable[[Path], object], name: str, message: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.png").mkdir()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(StyleTransferError, match=message):
        save(tmp_path / name)
    assert sorted(tmp_path.iterdir()) == before


def test_check_save_path_returns_the_path_and_writes_nothing(tmp_path: Path) -> None:
    assert check_save_path(str(tmp_path / "a.png")) == tmp_path / "a.png"
    assert list(tmp_path.iterdir()) == []


def test_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # chmod does not bind root
    with pytest.raises(StyleTransferError, match="cannot be written to"):
        check_save_path(tmp_path / "a.png")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc here")
def test_folder_that_only_seems_writable() -> None:
    with pytest.raises(StyleTransferError, match=r"/proc/a\.png|/proc' cannot be written"):
        save_image("/proc/a.png", RGB)


@pytest.mark.parametrize("before", [None, b"the earlier picture"])
@pytest.mark.parametrize("step", ["write", "replace"])
def test_full_disk_leaves_things_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, before: bytes | None
) -> None:
    path = tmp_path / "a.png"
    if before:
        path.write_bytes(before)

    def half_written(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if step == "write":
        monkeypatch.setattr(Path, "write_bytes", half_written)
    else:
        monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StyleTransferError, match=r"a\.png' \(No space left on device\)"):
        save_image(path, RGB)
    monkeypatch.undo()
    assert [file.read_bytes() for file in tmp_path.iterdir()] == ([before] if before else [])


def test_picture_of_an_upload_can_be_saved(tmp_path: Path) -> None:
    picture: Picture = open_picture(LOSSY["heic"])
    save_image(tmp_path / "a.png", fit(picture.rgb, 30))
    assert open_picture(tmp_path / "a.png").rgb.shape == (20, 30, 3)
