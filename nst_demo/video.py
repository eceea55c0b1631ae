"""Clips: frames in, any method's per-frame painter, frames out, with their times and their sound.

PyAV (FFmpeg's libraries) reads and writes. A clip is a stranger's file: its kind is told by its
first bytes and given to FFmpeg, which would else open playlists, and its header is believed only
until a frame says otherwise.
"""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import av.error
import av.filter
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation

from nst_demo import images, temporal
from nst_demo.errors import StyleTransferError, check_range

Painter = Callable[[np.ndarray], np.ndarray]
"""(H, W, 3) in [0, 1] -> a picture of that size; called on the frames of one clip in order."""

SUFFIXES = (".mp4", ".gif")
KNOWN = "GIF, MP4, MOV or WebM"
MAX_DECODED = 4096 * 2304  # px of a frame that is decoded at all, whatever the limits
MAX_GIF_RATE = 50.0  # browsers slow down a GIF that is faster
ENCODERS = ("libx264", "libopenh264", "libvpx-vp9")  # the first that this build of FFmpeg has
# Without B-frames decoding and showing times are the same, so that each frame keeps its duration.
ENCODER_OPTIONS = {"crf": "19", "preset": "veryfast", "bf": "0"}
COPIED_SOUND = ("aac", "mp3")  # what every browser plays in an MP4; the rest becomes AAC
SOUND_RATES = (44100, 48000, 32000, 24000, 22050, 16000)
GIF_PALETTE = "stats_mode=single"
GIF_DITHER = "new=1:dither=bayer:bayer_scale=3:diff_mode=rectangle"


@dataclass(frozen=True)
class Limits:
    """What a clip may have at most.

    seconds: of the clip. frame_rate: frames per second, on average. long_side, short_side: px.
    """

    seconds: float
    frame_rate: float
    long_side: int
    short_side: int

    @property
    def frames(self) -> int:
        return math.ceil(self.seconds * self.frame_rate) + 1


STRANGERS = Limits(seconds=20, frame_rate=30, long_side=1280, short_side=720)
ALONE = Limits(seconds=600, frame_rate=120, long_side=3840, short_side=2160)


@dataclass(frozen=True)
class Clip:
    """What is known of a clip before it is painted.

    Attributes:
        width, height: in px as it is shown, that is upright and with square pixels.
        frames, seconds, frame_rate: counted, not taken from its header; the rate is the average.
        sound: whether it has any.
        times: of the shown frames, (pts, seconds since the first, seconds it is shown), in order.
    """

    width: int
    height: int
    frames: int
    seconds: float
    frame_rate: float
    sound: bool
    times: tuple[tuple[int, float, float], ...] = field(repr=False)


@dataclass(frozen=True)
class Progress:
    """One painted frame.

    Attributes:
        frame, frames: done, and planned.
        image: the frame, float32 (H, W, 3) in [0, 1].
        seconds: since the start.
        seconds_left: expected until the end.
        notes: sentences on what differs from the source, such as a side that was made even.
    """

    frame: int
    frames: int
    image: np.ndarray
    seconds: float
    seconds_left: float
    notes: tuple[str, ...] = ()


@dataclass
class _Frame:
    """A decoded frame, or with no pixels the end; `sound`: the packets before it."""

    rgb: np.ndarray | None = None
    pts: int = 0
    duration: float = 0.0
    sound: list[Any] = field(default_factory=list)


def stylize_video(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    painter: Painter,
    *,
    frame_rate: float | None = None,
    size: int | None = None,
    limits: Limits = ALONE,
    time_budget: float | None = None,
) -> Iterator[Progress]:
    """Paints a clip frame by frame; yields after each one.

    `output` appears whole when the last frame was taken from this generator, and never where that
    one is closed or fails before. Times of frames are kept (of a GIF's too), and the sound in an
    MP4; nothing else of the source's metadata.

    Args:
        output: .mp4 (H.264, AAC) or .gif.
        painter: `still_painter(...)`, `methods.adain.frame_painter(...)`: a new one for each clip.
        frame_rate: frames per second at most; of a faster clip frames are left out.
        size: long side in px at most.
        limits: of the source.
        time_budget: seconds after which the clip is ended as far as it is painted.

    Raises:
        StyleTransferError: one sentence for anything that the caller can mend. What can be told
            from the arguments and from the source's header is told before the first frame.
    """
    output = check_save_path(output)
    _check_options(frame_rate, size)
    clip = probe(source, limits)
    return _painted(Path(source), output, clip, painter, frame_rate, size, limits, time_budget)


def painter(
    styles: Sequence[np.ndarray],
    *,
    network: str | None = None,
    smoothing: float = temporal.SMOOTHING,
    **options: Any,
) -> Painter:
    """A painter of one clip: in the blend of `styles`, or by the trained style `network`.

    options: of `methods.adain.Options` or `methods.feedforward.Options`, such as strength.
    """
    check_range("smoothing", smoothing, 0, 1)
    if network is None:
        from nst_demo.methods import adain

        if not styles:
            raise StyleTransferError("There is no style; give a picture, or a trained style.")
        return adain.frame_painter(styles, adain.Options(**options), smoothing)
    from nst_demo.methods import feedforward

    values = feedforward.Options(network=network, **options)
    return still_painter(lambda frame: feedforward.stylize(frame, [], values), smoothing)


def still_painter(
    stylize: Callable[[np.ndarray], np.ndarray], smoothing: float = temporal.SMOOTHING
) -> Painter:
    """A painter of a function that paints each frame by itself, such as a trained style's."""
    check_range("smoothing", smoothing, 0, 1)
    still = temporal.Stillness(smoothing)

    def paint(frame: np.ndarray) -> np.ndarray:
        return still.steady(stylize(still.calm(frame)))

    return paint


def first_frame(
    source: str | os.PathLike[str], *, size: int | None = None, limits: Limits = ALONE
) -> np.ndarray:
    """The first frame as it would be painted, float32 (H, W, 3) in [0, 1]."""
    _check_options(None, size)
    clip = probe(source, limits)
    with _Reader(Path(source), clip, clip.times[:1], size, limits) as reader:
        frame = next(reader.frames())
    if frame.rgb is None:
        raise _damaged(Path(source))
    return frame.rgb


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


def _check_options(frame_rate: float | None, size: int | None) -> None:
    if frame_rate is not None:
        check_range("frame rate", frame_rate, 1, 120)
    if size is not None:
        check_range("size", size, images.MIN_SIDE, 4096)


def _painted(
    source: Path,
    output: Path,
    clip: Clip,
    painter: Painter,
    frame_rate: float | None,
    size: int | None,
    limits: Limits,
    time_budget: float | None,
) -> Iterator[Progress]:
    """While one frame is painted, the next one is read and the last one is written."""
    gif = output.suffix.lower() == ".gif"
    if gif:
        frame_rate = min(frame_rate or MAX_GIF_RATE, MAX_GIF_RATE)
    times = _kept(clip.times, frame_rate)
    aside = output.with_name(f".{secrets.token_hex(8)}.part")
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
        stack.callback(_remove, aside)
        reader = stack.enter_context(_Reader(source, clip, times, size, limits, sound=not gif))
        with _writing(output):
            writer = stack.enter_context((_GifWriter if gif else _Mp4Writer)(aside, reader, clip))
        pool = stack.enter_context(ThreadPoolExecutor(2, "video"))  # left first: it may be at work
        frames = reader.frames()
        ahead: Future[_Frame] = pool.submit(next, frames)
        written: Future[None] | None = None
        done, ended, first = 0, False, 0.0
        while (frame := ahead.result()).rgb is not None:
            ahead = pool.submit(next, frames)
            image = painter(frame.rgb)
            _waited(written, output)
            written = pool.submit(writer.write, frame, image)
            done += 1
            seconds = time.monotonic() - started
            ended = time_budget is not None and seconds > time_budget and done < len(times)
            notes = [*reader.notes, *writer.notes]
            if ended:
                notes.append(
                    f"The time limit of {time_budget:g} s ended it after {done} of {len(times)} "
                    "frames; choose a smaller size or a lower frame rate for all of them."
                )
            if done == 1:
                first = seconds  # longer than the others: networks are loaded and compiled in it
            each = (seconds - first) / (done - 1) if done > 1 else seconds
            left = 0.0 if ended else each * (len(times) - done)
            yield Progress(done, len(times), image, seconds, left, tuple(notes))
            if ended:
                break
        _waited(written, output)
        if not done:
            raise _damaged(source)
        with _writing(output):
            writer.finish([] if ended else ahead.result().sound)
            os.replace(aside, output)


def _waited(written: Future[None] | None, output: Path) -> None:
    if written is not None:
        with _writing(output):
            written.result()


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _kept(
    times: Sequence[tuple[int, float, float]], frame_rate: float | None
) -> list[tuple[int, float, float]]:
    """`times` with at most one frame in each 1 / frame_rate seconds, shown until the next."""
    if frame_rate is None:
        return list(times)
    kept, last = [], -1
    for entry in times:
        tick = math.floor(entry[1] * frame_rate + 0.02)  # 0.02: times are rounded in files
        if tick > last:
            kept.append(entry)
            last = tick
    end = times[-1][1] + times[-1][2]
    starts = [start for _, start, _ in kept[1:]] + [end]
    return [(pts, at, until - at) for (pts, at, _), until in zip(kept, starts, strict=True)]


# ---- Reading -------------------------------------------------------------------------------------


def probe(source: str | os.PathLike[str], limits: Limits = ALONE) -> Clip:
    """Reads a clip's header and counts its packets, without decoding them.

    Raises StyleTransferError for what is no clip, is damaged, or is beyond the limits.
    """
    path = Path(source)
    with _opened(path) as container:
        stream = _picture_stream(container, path)
        _check_size(*_shown_size(stream), limits, path)
        length = float(container.duration / av.time_base) if container.duration else 0.0
        if stream.duration and stream.time_base:
            length = float(stream.duration * stream.time_base)
        _check_seconds(length, limits, path)
        found = _scan(container, stream, limits, path)
        if not found:
            raise StyleTransferError(f"The video {path.name!r} has no frames; choose another one.")
        base = stream.time_base or Fraction(1, 1000)
        times = _times(found, base, stream)
        seconds = times[-1][1] + times[-1][2]
        # The pictures may end before the sound; some frames lost at the end do not matter.
        least = 0.7 * length - 0.5 if container.streams.audio else 0.95 * length - 0.3
        if len(found) < stream.frames or seconds < least:
            raise StyleTransferError(
                f"The video {path.name!r} is cut off after {seconds:.1f} s; download or export it "
                "again."
            )
        rate = len(times) / seconds
        if rate > limits.frame_rate * 1.02 + 0.01:
            raise StyleTransferError(
                f"The video has {rate:.3g} frames a second, at most {limits.frame_rate:g} can be "
                "taken; export it with fewer."
            )
        width, height = _shown_size(stream)
        if _rotation(container, stream, path) % 180:
            width, height = height, width
        sound = bool(container.streams.audio)
        return Clip(width, height, len(times), seconds, rate, sound, tuple(times))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The container of a clip, as the kind that its first bytes tell."""
    try:
        with open(path, "rb") as file:
            head = file.read(12)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StyleTransferError(
            f"The video {path.name!r} cannot be read ({reason}); check the path."
        ) from error
    kind = _kind(head)
    if kind is None:
        what = "is empty (0 bytes)" if not head else "is not a video that can be read"
        raise StyleTransferError(f"The video {path.name!r} {what}; choose a {KNOWN} file.")
    options = {"max_pixels": str(MAX_DECODED), "protocol_whitelist": "file"}
    with _decoding(path), av.open(str(path), format=kind, options=options) as container:
        yield container


def _kind(head: bytes) -> str | None:
    if head[:4] == b"GIF8":
        return "gif"
    if head[:4] == b"\x1aE\xdf\xa3":
        return "matroska"
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return "mov"
    return None


@contextlib.contextmanager
def _decoding(path: Path) -> Iterator[None]:
    """What FFmpeg raises on damaged bytes becomes one sentence."""
    try:
        yield
    except (av.error.FFmpegError, MemoryError, OverflowError, ValueError) as error:
        if isinstance(error, StyleTransferError):
            raise
        raise _damaged(path) from error


def _damaged(path: Path) -> StyleTransferError:
    return StyleTransferError(
        f"The video {path.name!r} cannot be decoded, it may be damaged or incomplete; export it "
        f"again as {KNOWN}."
    )


def _picture_stream(container: Any, path: Path) -> Any:
    for stream in container.streams.video:
        if not int(stream.disposition) & 0x400:  # a cover picture of a song
            if stream.codec_context is None or not stream.codec_context.width:
                raise _damaged(path)
            return stream
    what = "has sound only" if container.streams.audio else "has no pictures"
    raise StyleTransferError(f"The video {path.name!r} {what}; choose one with pictures.")


def _shown_size(stream: Any) -> tuple[int, int]:
    """(width, height) with square pixels, before rotation."""
    aspect = stream.sample_aspect_ratio or 1
    if not Fraction(1, 4) <= aspect <= 4:
        aspect = 1
    return max(1, round(stream.codec_context.width * aspect)), stream.codec_context.height


def _check_size(width: int, height: int, limits: Limits, path: Path) -> None:
    if max(width, height) > limits.long_side or min(width, height) > limits.short_side:
        raise StyleTransferError(
            f"The video is {width} x {height} px, at most {limits.long_side} x "
            f"{limits.short_side} can be taken; export it smaller."
        )
    if min(width, height) < images.MIN_SIDE:
        raise StyleTransferError(
            f"The video {path.name!r} is {width} x {height} px; each side needs at least "
            f"{images.MIN_SIDE}."
        )


def _check_seconds(seconds: float, limits: Limits, path: Path, over: str = "") -> None:
    if seconds > limits.seconds + 0.25:  # a rounded 20 s clip is one of 20 s
        raise StyleTransferError(
            f"The video lasts {over}{seconds:.1f} s, at most {limits.seconds:g} s can be taken; "
            "cut it shorter."
        )


def _scan(container: Any, stream: Any, limits: Limits, path: Path) -> list[tuple[int, int]]:
    """(pts, duration) of all packets that are shown, sorted."""
    found: list[tuple[int, int]] = []
    base = float(stream.time_base or 1)
    for packet in container.demux(stream):
        if packet.size == 0 or packet.is_discard:
            continue
        if packet.pts is None:
            raise _damaged(path)
        found.append((packet.pts, packet.duration or 0))
        _check_seconds((packet.pts - found[0][0]) * base, limits, path, "over ")
        _check_count(len(found), limits)
    return sorted(set(found))


def _check_count(count: int, limits: Limits) -> None:
    # A clip with a few frames too many is told by its rate, when all were counted.
    if count > 2 * limits.frames:
        raise StyleTransferError(
            f"The video has over {count - 1} frames, at most {limits.frames} can be taken; cut it "
            "shorter, or export it with fewer frames a second."
        )


def _times(
    found: Sequence[tuple[int, int]], base: Fraction, stream: Any
) -> list[tuple[int, float, float]]:
    """Times of `Clip`; the last frame is shown as long as it says, or as the one before."""
    usual = float(1 / stream.average_rate) if stream.average_rate else 0.1
    starts = [pts for pts, _ in found]
    lengths = [float((b - a) * base) for a, b in pairwise(starts)]
    last = float(found[-1][1] * base)
    lengths.append(last if last > 0 else (lengths[-1] if lengths else usual))
    return [
        (pts, float((pts - starts[0]) * base), length)
        for pts, length in zip(starts, lengths, strict=True)
    ]


def _rotation(container: Any, stream: Any, path: Path) -> int:
    """Degrees counterclockwise by which frames are to be turned: 0, 90, 180 or 270."""
    container.seek(0)
    for frame in container.decode(stream):
        return round(frame.rotation / 90) * 90 % 360
    raise _damaged(path)


class _Reader:
    """Decodes the frames of `times` to upright RGB of `size`, and hands on the packets of sound."""

    def __init__(
        self,
        path: Path,
        clip: Clip,
        times: Sequence[tuple[int, float, float]],
        size: int | None,
        limits: Limits,
        sound: bool = False,
    ):
        self.path, self.clip, self.limits = path, clip, limits
        self.times = {pts: length for pts, _, length in times}
        self.notes: list[str] = []
        scale = 1.0 if size is None else min(1.0, size / max(clip.width, clip.height))
        sides = [max(2, round(side * scale)) for side in (clip.width, clip.height)]
        if scale < 1:  # at once to even sides, as MP4 needs them
            sides = [side + side % 2 for side in sides]
        self.width, self.height = sides
        self._wants_sound = sound
        self._background: np.ndarray | None = None

    def __enter__(self) -> _Reader:
        self._stack = contextlib.ExitStack()
        self._container = self._stack.enter_context(_opened(self.path))
        self._stream = _picture_stream(self._container, self.path)
        self._stream.codec_context.options = {"max_pixels": str(MAX_DECODED)}
        self._stream.thread_type = "AUTO"
        self.time_base = self._stream.time_base or Fraction(1, 1000)
        self.sound = None
        if self._wants_sound and self._container.streams.audio:
            self.sound = self._container.streams.audio[0]
        self.origin = self.clip.times[0][0] * self.time_base  # seconds in the source's time
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def frames(self) -> Iterator[_Frame]:
        """Frame by frame, then one without pixels."""
        sound: list[Any] = []
        streams = [self._stream] if self.sound is None else [self._stream, self.sound]
        first, last = self.clip.times[0][0], self.clip.times[-1][0]
        with _decoding(self.path):
            for packet in self._container.demux(*streams):
                if packet.stream is self.sound:
                    if packet.size and packet.pts is not None:
                        sound.append(packet)
                    continue
                for frame in packet.decode():
                    if frame.pts is None or not first <= frame.pts <= last:
                        continue
                    length = self.times.pop(frame.pts, None)
                    if length is None:  # left out for a lower rate
                        continue
                    yield _Frame(self._rgb(frame), frame.pts, length, sound)
                    sound = []
        while True:
            yield _Frame(sound=sound)

    def _rgb(self, frame: Any) -> np.ndarray:
        """(height, width, 3) in [0, 1], upright, on the clip's own ground where transparent."""
        if frame.width * frame.height > self.limits.long_side * self.limits.short_side:
            raise StyleTransferError(
                f"A frame of the video is {frame.width} x {frame.height} px, at most "
                f"{self.limits.long_side} x {self.limits.short_side} can be taken; export it "
                "smaller."
            )
        turn = round(frame.rotation / 90) % 4
        size = (self.height, self.width) if turn % 2 else (self.width, self.height)
        alpha = "rgba" if _has_alpha(frame) else "rgb24"
        space = None
        if frame.colorspace == 2 and frame.height >= 720:  # not said: as players take it
            space = Colorspace.ITU709
        pixels = frame.reformat(
            *size, format=alpha, src_colorspace=space, interpolation=Interpolation.AREA
        ).to_ndarray()
        rgb = np.rot90(pixels, turn).astype(np.float32) / 255
        return rgb if rgb.shape[2] == 3 else self._on_ground(rgb)

    def _on_ground(self, rgba: np.ndarray) -> np.ndarray:
        """Over the mean visible colour of the first frame: one for the clip, lest it flicker."""
        rgb, alpha = rgba[..., :3], rgba[..., 3:]
        if alpha.min() == 1:
            return np.ascontiguousarray(rgb)
        if self._background is None:
            weight = float(alpha.sum())
            total = np.sum(rgb * alpha, axis=(0, 1))
            self._background = (
                (total / weight).astype("float32") if weight else np.ones(3, "float32")
            )
            self.notes.append("The transparent places were filled with the clip's mean colour.")
        return self._background + alpha * (rgb - self._background)


def _has_alpha(frame: Any) -> bool:
    return frame.format.has_palette or any(part.is_alpha for part in frame.format.components)


# ---- Writing -------------------------------------------------------------------------------------


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except StyleTransferError:
        raise
    except (OSError, av.error.FFmpegError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise StyleTransferError(
            f"The clip cannot be saved to {str(path)!r} ({reason}); choose another place."
        ) from error


class _Writer:
    """An output file; `write` takes the frames in order, `finish` ends it."""

    kind = ""
    options: dict[str, str] = {}  # noqa: RUF012

    def __init__(self, path: Path, reader: _Reader, clip: Clip):
        self.reader, self.notes = reader, []
        self.first = clip.times[0][0]
        self.rate = Fraction(max(1.0, clip.frame_rate)).limit_denominator(1000)
        self.lengths: dict[int, int] = {}  # pts -> duration, in units of the time base
        self.container: Any = av.open(str(path), "w", format=self.kind, options=self.options)

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(av.error.FFmpegError, OSError, ValueError):
            self.container.close()  # no harm where it was closed by finish()

    def write(self, frame: _Frame, image: np.ndarray) -> None:
        raise NotImplementedError

    def finish(self, sound: list[Any]) -> None:
        """What is left, then the file's end."""
        raise NotImplementedError

    def _mux(self, packets: Sequence[Any]) -> None:
        for packet in packets:
            length = self.lengths.pop(packet.pts, None)
            if length:
                packet.duration = length
            self.container.mux(packet)


class _Mp4Writer(_Writer):
    kind = "mp4"
    options = {"movflags": "+faststart"}  # noqa: RUF012

    def __init__(self, path: Path, reader: _Reader, clip: Clip):
        super().__init__(path, reader, clip)
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
        self.sound = None if reader.sound is None else _Sound(self, reader.sound, clip.seconds)

    def write(self, frame: _Frame, image: np.ndarray) -> None:
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

    def finish(self, sound: list[Any]) -> None:
        self._mux(self.stream.encode(None))
        if self.sound is not None:
            self.sound.write(sound)
            self.sound.finish()
        self.container.close()


class _Sound:
    """Copies the packets of sound where an MP4 can hold them, else makes AAC of them."""

    def __init__(self, writer: _Mp4Writer, source: Any, seconds: float):
        self.writer, self.source = writer, source
        self.origin, self.seconds = writer.reader.origin, seconds
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


class _GifWriter(_Writer):
    """Each frame with a palette of its own; ordered dither, which stands still where they do."""

    kind = "gif"
    BASE = Fraction(1, 100)

    def __init__(self, path: Path, reader: _Reader, clip: Clip):
        super().__init__(path, reader, clip)
        self.stream = self.container.add_stream("gif", rate=self.rate)
        context = self.stream.codec_context
        context.width, context.height, context.pix_fmt = reader.width, reader.height, "pal8"
        context.time_base = self.stream.time_base = self.BASE
        if clip.sound:
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

    def write(self, frame: _Frame, image: np.ndarray) -> None:
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

    def finish(self, sound: list[Any]) -> None:
        self.graph.push(None)
        self._drain()
        self._mux(self.stream.encode(None))
        self.container.close()
