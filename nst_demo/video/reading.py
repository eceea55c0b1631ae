"""Reads clips: what they are, told before anything is decoded, and then their frames.

PyAV (FFmpeg's libraries) reads. A clip is a stranger's file: its kind is told by its first bytes
and given to FFmpeg, which would else open playlists, and its header is believed only until a frame
says otherwise.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av.video.reformatter import Colorspace, Interpolation

from nst_demo import images
from nst_demo.errors import StyleTransferError, check_range

KNOWN = "GIF, MP4, MOV or WebM"
MAX_DECODED = 4096 * 2304  # px of a frame that is decoded at all, whatever the limits

Times = Sequence[tuple[int, float, float]]
"""Of frames in order: (pts, seconds since the first, seconds it is shown)."""


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
        times: of the shown frames.
    """

    width: int
    height: int
    frames: int
    seconds: float
    frame_rate: float
    sound: bool
    times: Times = field(repr=False)


@dataclass
class Frame:
    """A decoded frame, or with no pixels the end; `sound`: the packets before it."""

    rgb: np.ndarray | None = None
    pts: int = 0
    duration: float = 0.0
    sound: list[Any] = field(default_factory=list)


def probe(source: str | os.PathLike[str], limits: Limits = ALONE) -> Clip:
    """Reads a clip's header and counts its packets, without decoding them.

    Raises StyleTransferError for what is no clip, is damaged, or is beyond the limits.
    """
    path = Path(source)
    with _opened(path) as container:
        stream = _picture_stream(container, path)
        width, height = _shown_size(stream)
        _check_size(width, height, limits, path)
        length = _told_length(container, stream)
        _check_seconds(length, limits)
        found, packets = _scan(container, stream, limits, path)
        times = _times(found, stream)
        seconds = times[-1][1] + times[-1][2]
        sound = bool(container.streams.audio)
        # The pictures may end before the sound; some frames lost at the end do not matter.
        least = 0.7 * length - 0.5 if sound else 0.95 * length - 0.3
        # A clip trimmed without loss has all its frames still: those before its edit list are not
        # shown, and FFmpeg takes those after it out of the index.
        planned = min(stream.frames, len(stream.index_entries))
        if packets < planned or seconds < least:
            raise StyleTransferError(
                f"The video {path.name!r} is cut off after {seconds:.1f} s; download or export it "
                "again."
            )
        rate = len(times) / seconds
        _check_rate(rate, limits)
        if _rotation(container, stream, path) % 180:
            width, height = height, width
        return Clip(width, height, len(times), seconds, rate, sound, tuple(times))


def first_frame(
    source: str | os.PathLike[str], *, size: int | None = None, limits: Limits = ALONE
) -> np.ndarray:
    """The first frame as it would be painted, float32 (H, W, 3) in [0, 1]."""
    clip = probe(source, limits)
    with Reader(source, clip, clip.times[:1], size, limits) as reader:
        frame = next(reader.frames())
    if frame.rgb is None:
        raise damaged(reader.path)
    return frame.rgb


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
        raise damaged(path) from error


def damaged(path: Path) -> StyleTransferError:
    return StyleTransferError(
        f"The video {path.name!r} cannot be decoded, it may be damaged or incomplete; export it "
        f"again as {KNOWN}."
    )


def _picture_stream(container: Any, path: Path) -> Any:
    for stream in container.streams.video:
        if not int(stream.disposition) & 0x400:  # a cover picture of a song
            if stream.codec_context is None or not stream.codec_context.width:
                raise damaged(path)
            return stream
    what = "has sound only" if container.streams.audio else "has no pictures"
    raise StyleTransferError(f"The video {path.name!r} {what}; choose one with pictures.")


def _shown_size(stream: Any) -> tuple[int, int]:
    """(width, height) with square pixels, before rotation."""
    aspect = stream.sample_aspect_ratio or 1
    if not Fraction(1, 4) <= aspect <= 4:
        aspect = 1
    return max(1, round(stream.codec_context.width * aspect)), stream.codec_context.height


def _told_length(container: Any, stream: Any) -> float:
    """Seconds by the header, 0 where it does not say."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return float(container.duration / av.time_base) if container.duration else 0.0


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


def _check_seconds(seconds: float, limits: Limits, over: str = "") -> None:
    if seconds > limits.seconds + 0.25:  # a rounded 20 s clip is one of 20 s
        raise StyleTransferError(
            f"The video lasts {over}{seconds:.1f} s, at most {limits.seconds:g} s can be taken; "
            "cut it shorter."
        )


def _check_rate(rate: float, limits: Limits) -> None:
    if rate > limits.frame_rate * 1.02 + 0.01:
        raise StyleTransferError(
            f"The video has {rate:.3g} frames a second, at most {limits.frame_rate:g} can be "
            "taken; export it with fewer."
        )


def _scan(
    container: Any, stream: Any, limits: Limits, path: Path
) -> tuple[list[tuple[int, int]], int]:
    """(pts, duration) of all packets that are shown, sorted, one at least; and how many there are,
    shown or not."""
    found: list[tuple[int, int]] = []
    packets = 0
    base = float(stream.time_base or 1)
    for packet in container.demux(stream):
        if packet.size == 0:
            continue
        packets += 1
        if packet.is_discard:
            continue
        if packet.pts is None:
            raise damaged(path)
        found.append((packet.pts, packet.duration or 0))
        _check_seconds((packet.pts - found[0][0]) * base, limits, "over ")
        _check_count(len(found), limits)
    if not found:
        raise StyleTransferError(f"The video {path.name!r} has no frames; choose another one.")
    return sorted(set(found)), packets


def _check_count(count: int, limits: Limits) -> None:
    # A clip with a few frames too many is told by its rate, when all were counted.
    if count > 2 * limits.frames:
        raise StyleTransferError(
            f"The video has over {count - 1} frames, at most {limits.frames} can be taken; cut it "
            "shorter, or export it with fewer frames a second."
        )


def _times(found: Sequence[tuple[int, int]], stream: Any) -> Times:
    """The last frame is shown as long as it says, or as the one before."""
    base = stream.time_base or Fraction(1, 1000)
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
    raise damaged(path)


class Reader:
    """Decodes frames of a clip to upright RGB, and hands on the packets of sound.

    Attributes:
        frames_planned, height, width: of what comes out.
        notes: sentences on what differs from the source.
        sound: the stream of it, None without or where it is not wanted.
        time_base, origin: of the frames' pts, and the first one's in seconds of the source's time.
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        clip: Clip,
        times: Times,
        size: int | None,
        limits: Limits,
        sound: bool = False,
    ):
        """times: of the frames to read. size: their long side in px at most."""
        if size is not None:
            check_range("size", size, images.MIN_SIDE, 4096)
        self.path, self.clip, self.limits = Path(source), clip, limits
        self.frames_planned = len(times)
        self.notes: list[str] = []
        scale = 1.0 if size is None else min(1.0, size / max(clip.width, clip.height))
        sides = [max(2, round(side * scale)) for side in (clip.width, clip.height)]
        if scale < 1:  # at once to even sides, as MP4 needs them
            sides = [side + side % 2 for side in sides]
        self.width, self.height = sides
        self._lengths = {pts: length for pts, _, length in times}
        self._wants_sound = sound
        self._background: np.ndarray | None = None

    def __enter__(self) -> Reader:
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

    def frames(self) -> Iterator[Frame]:
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
                    length = self._lengths.pop(frame.pts, None)
                    if length is None:  # left out for a lower rate
                        continue
                    yield Frame(self._rgb(frame), frame.pts, length, sound)
                    sound = []
        while True:
            yield Frame(sound=sound)

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
