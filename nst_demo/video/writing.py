"""Writes clips: MP4 (H.264, AAC) or GIF, each frame with its own time, an MP4 with the sound.

A file is written aside, and appears under its name when it is whole.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error
import av.filter
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from nst_demo import images
from nst_demo.errors import StyleTransferError
from nst_demo.video.reading import Frame, Reader

SUFFIXES = (".mp4", ".gif")
MAX_GIF_RATE = 50.0  # browsers slow down a GIF that is faster
ENCODERS = ("libx264", "libopenh264", "libvpx-vp9")  # the first that this build of FFmpeg has
# Without B-frames decoding and showing times are the same, so that each frame keeps its duration.
ENCODER_OPTIONS = {"crf": "19", "preset": "veryfast", "bf": "0"}
COPIED_SOUND = ("aac", "mp3")  # what every browser plays in an MP4; the rest becomes AAC
SOUND_RATES = (44100, 48000, 32000, 24000, 22050, 16000)
GIF_PALETTE = "stats_mode=single"
GIF_DITHER = "new=1:dither=bayer:bayer_scale=3:diff_mode=rectangle"


def check_save_path(path: str | os.PathLike[str]) -> Path:
    """Whether a clip could be written here; StyleTransferError if not."""
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise StyleTransferError(
            f"The clip cannot be saved as {path.name!r}; end the name in {' or '.join(SUFFIXES)}."
        )
    images.check_save_path(path.with_suffix(".png"))  # the folder
    if path.is_dir():
        raise StyleTransferError(f"{str(path)!r} is a folder; give a file name inside it.")
    return path


def is_gif(path: Path) -> bool:
    return path.suffix.lower() == ".gif"


@contextlib.contextmanager
def writer(output: Path, reader: Reader) -> Iterator[Writer]:
    """Of what is painted of `reader`'s frames. Without `finish` no file is left of it."""
    aside = output.with_name(f".{secrets.token_hex(8)}.part")
    made = None
    try:
        with _saving(output):
            made = (_GifWriter if is_gif(output) else _Mp4Writer)(aside, output, reader)
        yield made
    finally:
        if made is not None:
            made.close()
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)


@contextlib.contextmanager
def _saving(path: Path) -> Iterator[None]:
    try:
        yield
    except StyleTransferError:
        raise
    except (OSError, av.error.FFmpegError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StyleTransferError(
            f"The clip cannot be saved to {str(path)!r} ({reason}); choose another place."
        ) from error


class Writer:
    """An output file; `write` takes the frames in order, `finish` ends it.

    notes: sentences on what differs from what was read.
    """

    kind = ""
    options: dict[str, str] = {}  # noqa: RUF012

    def __init__(self, aside: Path, output: Path, reader: Reader):
        self.aside, self.output, self.reader = aside, output, reader
        self.notes: list[str] = []
        self.first = reader.clip.times[0][0]
        self.rate = Fraction(max(1.0, reader.clip.frame_rate)).limit_denominator(1000)
        self.lengths: dict[int, int] = {}  # pts -> duration, in units of the time base
        self.container: Any = av.open(str(aside), "w", format=self.kind, options=self.options)

    def write(self, frame: Frame, image: np.ndarray) -> None:
        """image: the painting of `frame`, (H, W, 3) in [0, 1]."""
        with _saving(self.output):
            self._write(frame, image)

    def finish(self, sound: Sequence[Any]) -> None:
        """sound: the packets after the last frame."""
        with _saving(self.output):
            self._end(sound)
            self.container.close()
            os.replace(self.aside, self.output)

    def close(self) -> None:
        """Again after `finish`, it does no harm."""
        with contextlib.suppress(av.error.FFmpegError, OSError, ValueError):
            self.container.close()

    def _write(self, frame: Frame, image: np.ndarray) -> None:
        raise NotImplementedError

    def _end(self, sound: Sequence[Any]) -> None:
        raise NotImplementedError

    def _mux(self, packets: Sequence[Any]) -> None:
        for packet in packets:
            length = self.lengths.pop(packet.pts, None)
            if length:
                packet.duration = length
            self.container.mux(packet)


class _Mp4Writer(Writer):
    kind = "mp4"
    options = {"movflags": "+faststart"}  # noqa: RUF012

    def __init__(self, aside: Path, output: Path, reader: Reader):
        super().__init__(aside, output, reader)
        encoder = next(name for name in ENCODERS if name in av.codecs_available)
        self.stream = self.container.add_stream(encoder, rate=self.rate)
        self.stream.options = ENCODER_OPTIONS if encoder == "libx264" else {}
        self.pad = [(0, reader.height % 2), (0, reader.width % 2), (0, 0)]
        if reader.height % 2 or reader.width % 2:
            self.notes.append(
                "The last row or column was doubled, as MP4 needs even sides "
                f"({reader.width} x {reader.height} px has an odd one)."
            )
        context = self.stream.codec_context
        context.width = reader.width + reader.width % 2
        context.height = reader.height + reader.height % 2
        context.pix_fmt = "yuv420p"
        context.time_base = self.stream.time_base = reader.time_base
        context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709
        context.color_range = ColorRange.MPEG
        self.sound = None if reader.sound is None else _Sound(self, reader.sound)

    def _write(self, frame: Frame, image: np.ndarray) -> None:
        if self.sound is not None:
            self.sound.write(frame.sound)
        pixels = np.pad(np.asarray(images.to_pil(image)), self.pad, mode="edge")
        picture = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709
        )
        picture.pts = frame.pts - self.first
        picture.time_base = self.reader.time_base
        self.lengths[picture.pts] = round(frame.duration / self.reader.time_base)
        self._mux(self.stream.encode(picture))

    def _end(self, sound: Sequence[Any]) -> None:
        self._mux(self.stream.encode(None))
        if self.sound is not None:
            self.sound.write(sound)
            self.sound.finish()


class _Sound:
    """Copies the packets of sound where an MP4 can hold them, else makes AAC of them."""

    def __init__(self, writer: _Mp4Writer, source: Any):
        self.writer, self.source = writer, source
        self.origin, self.seconds = writer.reader.origin, writer.reader.clip.seconds
        self.copied = source.codec_context.name in COPIED_SOUND
        self._samples: int | None = None  # decoded so far, from the clip's start
        if self.copied:
            self.stream = writer.container.add_stream_from_template(source)
            self.stream.metadata.clear()
            return
        rate = source.codec_context.sample_rate
        mono = source.codec_context.channels == 1
        self.stream = writer.container.add_stream(
            "aac", rate=rate if rate in SOUND_RATES else 48000, layout="mono" if mono else "stereo"
        )
        self.stream.bit_rate = 128_000

    def write(self, packets: Sequence[Any]) -> None:
        for packet in packets:
            at = packet.pts * packet.time_base - self.origin
            if not -1 <= at < self.seconds:
                continue
            if not self.copied:
                self._encode(packet, at)
                continue
            shift = round(self.origin / packet.time_base)
            packet.pts -= shift
            packet.dts = packet.pts
            packet.stream = self.stream
            self.writer.container.mux(packet)

    def _encode(self, packet: Any, at: Fraction) -> None:
        try:
            frames = packet.decode()
        except av.error.InvalidDataError:  # a damaged packet: what follows comes a little early
            return
        for frame in frames:
            if self._samples is None:
                self._samples = max(0, round(at * frame.sample_rate))
            frame.pts, frame.time_base = self._samples, Fraction(1, frame.sample_rate)
            self._samples += frame.samples
            self.writer.container.mux(self.stream.encode(frame))

    def finish(self) -> None:
        if not self.copied:
            self.writer.container.mux(self.stream.encode(None))


class _GifWriter(Writer):
    """Each frame with a palette of its own; ordered dither, which stands still where they do."""

    kind = "gif"
    BASE = Fraction(1, 100)

    def __init__(self, aside: Path, output: Path, reader: Reader):
        super().__init__(aside, output, reader)
        self.stream = self.container.add_stream("gif", rate=self.rate)
        context = self.stream.codec_context
        context.width, context.height, context.pix_fmt = reader.width, reader.height, "pal8"
        context.time_base = self.stream.time_base = self.BASE
        if reader.clip.sound:
            self.notes.append("The sound was left out, as a GIF has none.")
        self.graph = av.filter.Graph()
        source = self.graph.add_buffer(
            width=reader.width,
            height=reader.height,
            format=av.VideoFormat("rgb24"),
            time_base=self.BASE,
        )
        split = self.graph.add("split")
        palette = self.graph.add("palettegen", GIF_PALETTE)
        use = self.graph.add("paletteuse", GIF_DITHER)
        source.link_to(split)
        split.link_to(palette, 0, 0)
        split.link_to(use, 1, 0)
        palette.link_to(use, 0, 1)
        use.link_to(self.graph.add("buffersink"))
        self.graph.configure()
        self.last = -2

    def _write(self, frame: Frame, image: np.ndarray) -> None:
        picture = av.VideoFrame.from_ndarray(np.asarray(images.to_pil(image)), format="rgb24")
        at = (frame.pts - self.first) * self.reader.time_base
        picture.pts = self.last = max(round(at / self.BASE), self.last + 2)
        picture.time_base = self.BASE
        end = round((at + Fraction(frame.duration)) / self.BASE)
        self.lengths[picture.pts] = max(2, end - picture.pts)
        self.graph.push(picture)
        self._drain()

    def _drain(self) -> None:
        while True:
            try:
                picture = self.graph.pull()
            except (av.error.BlockingIOError, av.error.EOFError):
                return
            picture.time_base = self.BASE
            self._mux(self.stream.encode(picture))

    def _end(self, sound: Sequence[Any]) -> None:
        self.graph.push(None)
        self._drain()
        self._mux(self.stream.encode(None))
