"""Clips in and out; tiny ones, written here."""

import struct
from contextlib import closing
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from nst_demo import cli, images, temporal
from nst_demo.errors import StyleTransferError
from nst_demo.methods import adain
from nst_demo.video import painting, reading

RATE = 10


def frame(number: int, width: int, height: int) -> np.ndarray:
    """Smooth, and another one for each number: uint8 (H, W, 3)."""
    y, x = np.mgrid[:height, :width].astype("float32")
    shades = [128 + 90 * np.sin((x + 5 * number) / 17), 2 * y % 256, np.full_like(x, 16 * number)]
    return np.uint8(np.clip(np.stack(shades, 2), 0, 255))


def write(
    path: Path,
    size: tuple[int, int] = (64, 48),
    frames: int = 6,
    codec: str = "libx264",
    sound: str | None = None,
    times: list[int] | None = None,
    pictures: list[np.ndarray] | None = None,
    options: dict[str, str] | None = None,
    gop: int | None = None,
) -> Path:
    """times: of the frames, in 1/100 s. gop: frames from one that stands by itself to the next."""
    width, height = size
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.width, stream.height = size
        if gop is not None:
            stream.gop_size = gop
        stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        if times is not None:
            stream.codec_context.time_base = stream.time_base = Fraction(1, 100)
        container.metadata["title"] = "secret-title"
        noise = container.add_stream(sound, rate=48000, layout="stereo") if sound else None
        for number in range(frames):
            pixels = frame(number, width, height) if pictures is None else pictures[number]
            picture = av.VideoFrame.from_ndarray(pixels)
            if times is not None:
                picture.pts, picture.time_base = times[number], Fraction(1, 100)
            container.mux(stream.encode(picture))
            if noise is not None:
                tone = np.sin(np.arange(4800) / 20).astype("float32")
                samples = av.AudioFrame.from_ndarray(
                    np.stack([tone, tone]), format="fltp", layout="stereo"
                )
                samples.sample_rate, samples.pts = 48000, 4800 * number
                container.mux(noise.encode(samples))
        container.mux(stream.encode(None))
        if noise is not None:
            container.mux(noise.encode(None))
    return path


def write_gif(path: Path, durations: list[int], size=(40, 30), alpha: bool = False) -> Path:
    """durations: in ms."""
    made = []
    for number in range(len(durations)):
        picture = Image.fromarray(frame(number, *size))
        if alpha:
            rows = np.uint8(255 * (np.arange(30) > 9))
            picture.putalpha(Image.fromarray(rows[:, None].repeat(40, 1)))
        made.append(picture)
    options = {"disposal": 2} if alpha else {}
    made[0].save(path, save_all=True, append_images=made[1:], duration=durations, loop=0, **options)
    return path


def same(picture: np.ndarray) -> np.ndarray:
    return picture


def run(source: Path, output: Path, painter: painting.Painter = same, **options) -> list:
    return list(painting.stylize_video(source, output, painter, **options))


def shown(path: Path) -> tuple[list[np.ndarray], list[float]]:
    """Frames, and the seconds each one is shown."""
    with av.open(str(path)) as container:
        found = list(container.decode(video=0))
        return (
            [f.to_ndarray(format="rgb24") for f in found],
            [float(f.duration * f.time_base) for f in found],
        )


def blocks(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    return picture.reshape(height // 4, 4, width // 4, 4, 3).astype(float).mean(axis=(1, 3))


def leftovers(folder: Path) -> list[Path]:
    return list(folder.glob(".*.part"))


# ---- What comes out ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["clip.mp4", "clip.gif", "clip.webm"])
@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_keeps_frames_times_size_and_colours(tmp_path, name, suffix):
    codec = {"mp4": "libx264", "gif": "gif", "webm": "libvpx-vp9"}[name[-4:].lstrip(".")]
    source = write(tmp_path / name, codec=codec)
    reports = run(source, tmp_path / f"out{suffix}")
    frames, durations = shown(tmp_path / f"out{suffix}")
    originals, _ = shown(source)
    assert [report.frame for report in reports] == [1, 2, 3, 4, 5, 6]
    assert {report.frames for report in reports} == {6}
    assert reports[-1].seconds_left == 0
    assert durations == pytest.approx([0.1] * 6, abs=0.002)
    for one, other in zip(frames, originals, strict=True):
        assert one.shape == (48, 64, 3)
        assert np.abs(blocks(one) - blocks(other)).mean() < 4  # without dither and fine chroma
    assert b"secret" not in (tmp_path / f"out{suffix}").read_bytes()
    assert not leftovers(tmp_path)


def test_mp4_is_what_browsers_play_and_starts_fast(tmp_path):
    run(write(tmp_path / "a.mp4", sound="aac"), tmp_path / "b.mp4")
    with av.open(str(tmp_path / "b.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
    data = (tmp_path / "b.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize(("name", "codec", "sound"), [
    ("a.mp4", "libx264", "aac"), ("a.webm", "libvpx-vp9", "libopus"), ("a.mp4", "libx264", "ac3"),
])  # fmt: skip
def test_sound_is_kept(tmp_path, name, codec, sound):
    source = write(tmp_path / name, codec=codec, sound=sound)
    run(source, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.audio[0]
        assert stream.codec_context.name == "aac"
        frames = [f.to_ndarray() for f in container.decode(stream)]
    heard = np.concatenate(frames, axis=1)[0]
    assert len(heard) / 48000 == pytest.approx(0.6, abs=0.05)
    assert np.sqrt(np.mean(heard[4800:24000] ** 2)) == pytest.approx(np.sqrt(0.5), abs=0.05)


def test_a_gif_says_that_it_has_no_sound(tmp_path):
    reports = run(write(tmp_path / "a.mp4", sound="aac"), tmp_path / "out.gif")
    assert any("sound was left out" in note for note in reports[-1].notes)


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_uneven_durations_of_a_gif_are_kept(tmp_path, suffix):
    source = write_gif(tmp_path / "a.gif", [100, 40, 500, 200])
    run(source, tmp_path / f"out{suffix}")
    assert shown(tmp_path / f"out{suffix}")[1] == pytest.approx([0.1, 0.04, 0.5, 0.2], abs=0.001)


def test_variable_frame_rate_is_kept(tmp_path):
    source = write(tmp_path / "a.mp4", times=[0, 10, 15, 40, 45, 60])
    run(source, tmp_path / "out.mp4")
    assert shown(tmp_path / "out.mp4")[1][:5] == pytest.approx([0.1, 0.05, 0.25, 0.05, 0.15])


def test_lower_frame_rate_and_size(tmp_path):
    source = write(tmp_path / "a.mp4", frames=8)
    reports = run(source, tmp_path / "out.mp4", frame_rate=5, size=32)
    frames, durations = shown(tmp_path / "out.mp4")
    assert len(frames) == len(reports) == reports[0].frames == 4
    assert durations == pytest.approx([0.2] * 4)
    assert frames[0].shape == (24, 32, 3)
    originals, _ = shown(source)
    second = np.asarray(Image.fromarray(originals[2]).resize((32, 24), Image.Resampling.BOX))
    assert np.abs(frames[1].astype(float) - second).mean() < 5


def test_odd_sides_are_made_even_for_mp4_and_kept_in_a_gif(tmp_path):
    source = write_gif(tmp_path / "a.gif", [100, 100], (41, 31))
    reports = run(source, tmp_path / "out.mp4")
    assert shown(tmp_path / "out.mp4")[0][0].shape == (32, 42, 3)
    assert any("even sides (41 x 31 px" in note for note in reports[0].notes)
    run(source, tmp_path / "out.gif")
    assert shown(tmp_path / "out.gif")[0][0].shape == (31, 41, 3)


def test_transparent_places_get_one_ground_for_the_clip(tmp_path):
    source = write_gif(tmp_path / "a.gif", [100, 100, 100], alpha=True)
    seen = []
    reports = run(source, tmp_path / "out.mp4", lambda f: (seen.append(f), f)[1])
    assert any("transparent" in note for note in reports[0].notes)
    ground = seen[0][0, 0]
    assert 0.05 < ground.mean() < 0.95
    for picture in seen:
        np.testing.assert_allclose(picture[:8], np.broadcast_to(ground, (8, 40, 3)), atol=0.01)


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_phones_rotation_is_applied(tmp_path, turns):
    data = bytearray(write(tmp_path / "a.mp4").read_bytes())
    plain, _ = shown(tmp_path / "a.mp4")
    # The track's matrix in 16.16 numbers: x' = a x + c y, y' = b x + d y, clockwise turns.
    matrix = {1: (0, 1, -1, 0), 2: (-1, 0, 0, -1), 3: (0, -1, 1, 0)}[turns]
    at = data.index(b"tkhd") + 4 + 40
    for place, value in zip((0, 1, 3, 4), matrix, strict=True):
        data[at + 4 * place : at + 4 * place + 4] = struct.pack(">i", value << 16)
    (tmp_path / "turned.mp4").write_bytes(data)
    clip = reading.probe(tmp_path / "turned.mp4")
    upright = np.rot90(plain[0], -turns)
    assert (clip.height, clip.width) == upright.shape[:2]
    run(tmp_path / "turned.mp4", tmp_path / "out.mp4")
    painted = shown(tmp_path / "out.mp4")[0][0]
    assert np.abs(painted.astype(float) - upright).mean() < 5
    first = reading.first_frame(tmp_path / "turned.mp4")
    assert np.abs(255 * first - upright).mean() < 3


def test_a_time_budget_ends_the_clip_where_it_is(tmp_path):
    reports = run(write(tmp_path / "a.mp4"), tmp_path / "out.mp4", time_budget=0.0)
    assert len(reports) == len(shown(tmp_path / "out.mp4")[0]) == 1
    assert "after 1 of 6 frames" in reports[-1].notes[-1]


# ---- What is refused -----------------------------------------------------------------------------


def refused(source: Path, limits: reading.Limits = reading.STRANGERS, **options) -> str:
    output = source.parent / "refused.mp4"
    with pytest.raises(StyleTransferError) as caught:
        run(source, output, limits=limits, **options)
    assert not output.exists()
    assert not leftovers(source.parent)
    assert str(caught.value).count("\n") == 0
    return str(caught.value)


SMALL = reading.Limits(seconds=0.3, frame_rate=100, long_side=1280, short_side=720)


def test_too_long_is_told_from_the_header(tmp_path):
    assert "lasts 0.6 s, at most 0.3 s" in refused(write(tmp_path / "a.mp4"), SMALL)


def test_too_long_without_a_header_is_told_by_its_frames(tmp_path):
    source = write(tmp_path / "a.webm", codec="libvpx-vp9", frames=8, options={"live": "1"})
    with av.open(str(source)) as container:
        assert container.duration is None
    assert "lasts over 0.6 s, at most 0.3 s" in refused(source, SMALL)


def test_too_many_frames_a_second(tmp_path):
    limits = reading.Limits(seconds=20, frame_rate=5, long_side=1280, short_side=720)
    assert "has 10 frames a second, at most 5" in refused(write(tmp_path / "a.mp4"), limits)


def test_too_large_and_too_small(tmp_path):
    write(tmp_path / "a.mp4", (1290, 64), frames=2)
    assert "is 1290 x 64 px, at most 1280 x 720" in refused(tmp_path / "a.mp4")
    write(tmp_path / "b.mp4", (730, 722), frames=2)
    assert "is 730 x 722 px, at most 1280 x 720" in refused(tmp_path / "b.mp4")
    write(tmp_path / "c.mp4", (64, 8), frames=2)
    assert "needs at least 16" in refused(tmp_path / "c.mp4")
    write(tmp_path / "d.mp4", (720, 1280), frames=1)
    reading.probe(tmp_path / "d.mp4", reading.STRANGERS)  # 720p on its side


def test_a_bomb_is_refused_before_it_is_decoded(tmp_path):
    """A GIF of 65000 x 65000 px in 800 bytes, and one whose frame is larger than its header."""
    data = bytearray(write_gif(tmp_path / "a.gif", [100, 100]).read_bytes())
    data[6:10] = struct.pack("<HH", 65000, 65000)
    (tmp_path / "bomb.gif").write_bytes(data)
    assert refused(tmp_path / "bomb.gif")
    small = write(tmp_path / "small.mp4", (64, 48), frames=3).read_bytes()
    large = write(tmp_path / "large.mp4", (2048, 2048), frames=3).read_bytes()
    lying = bytearray(large)  # the header says 64 x 48, the H.264 stream 2048 x 2048
    for box, offset in ((b"avc1", 28), (b"tkhd", 80)):
        at, other = large.index(box), small.index(box)
        lying[at + offset : at + offset + 8] = small[other + offset : other + offset + 8]
    (tmp_path / "lying.mp4").write_bytes(lying)
    assert "2048 px, at most 1280 x 720" in refused(tmp_path / "lying.mp4")


def test_sound_only(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=48000, layout="mono")
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 4800), "float32"), "fltp", "mono")
        samples.sample_rate = 48000
        container.mux(stream.encode(samples))
        container.mux(stream.encode(None))
    assert "'a.mp4' has sound only" in refused(tmp_path / "a.mp4")


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("name", ["a.mp4", "a.webm"])
def test_cut_off(tmp_path, name, share):
    codec = "libx264" if name == "a.mp4" else "libvpx-vp9"
    pictures = list(np.random.default_rng(0).integers(0, 255, (12, 48, 64, 3), np.uint8))
    whole = write(tmp_path / name, codec=codec, frames=12, pictures=pictures)
    data = whole.read_bytes()
    (tmp_path / name).write_bytes(data[: int(share * len(data))])
    sentence = refused(tmp_path / name)
    assert any(words in sentence for words in ("cut off", "damaged", "no frames"))


def test_cut_off_with_its_index_in_front(tmp_path):
    run(write(tmp_path / "a.mp4", frames=12), tmp_path / "front.mp4")
    data = (tmp_path / "front.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: -len(data) // 6])
    assert "'cut.mp4' is cut off after" in refused(tmp_path / "cut.mp4")


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_a_clip_trimmed_without_loss_is_whole(tmp_path, suffix):
    """As phones cut: all packets are there, an edit list says which of them are shown."""
    source, trimmed = write(tmp_path / "a.mp4", frames=60, gop=5), tmp_path / f"trimmed{suffix}"
    with av.open(str(source)) as whole, av.open(str(trimmed), "w") as container:
        copied = container.add_stream_from_template(whole.streams.video[0])
        start = round(0.5 / whole.streams.video[0].time_base)
        for packet in whole.demux(video=0):
            if packet.size:
                packet.pts, packet.dts, packet.stream = (
                    packet.pts - start,
                    packet.dts - start,
                    copied,
                )
                container.mux(packet)
    assert reading.probe(trimmed).frames == 55
    data = bytearray(trimmed.read_bytes())
    struct.pack_into(">I", data, data.index(b"elst") + 12, 400)  # ms that are shown
    trimmed.write_bytes(data)
    with av.open(str(trimmed)) as container:
        stream = container.streams.video[0]
        assert len(stream.index_entries) < stream.frames == 60
    assert len(run(trimmed, tmp_path / "out.mp4")) == 4
    frames, _ = shown(tmp_path / "out.mp4")
    wanted = shown(source)[0][5:9]
    assert all(
        np.abs(blocks(a) - blocks(b)).mean() < 4 for a, b in zip(frames, wanted, strict=True)
    )


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("a.mp4", b"", "is empty"),
        ("a.mp4", b"no video at all, but some words", "is not a video that can be read"),
        ("a.m3u8", b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n", "is not a video"),
        ("a.mp4", b"\0\0\0\x18ftypisom" + bytes(400), "damaged"),
        ("a.gif", b"GIF89a" + bytes(40), ""),
        ("a.webm", b"\x1aE\xdf\xa3" + bytes(400), "damaged"),
    ],
)
def test_what_is_no_video(tmp_path, name, data, sentence):
    (tmp_path / name).write_bytes(data)
    assert sentence in refused(tmp_path / name)


def test_a_picture_without_frames(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        container.add_stream("libx264", rate=10).width = 64
        container.streams.video[0].height = 48
        container.streams.video[0].pix_fmt = "yuv420p"
        container.start_encoding()
    assert refused(tmp_path / "a.mp4")


def test_damage_in_the_middle_never_hangs_or_crashes(tmp_path):
    data = write(tmp_path / "a.mp4", sound="aac", frames=8).read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(25):
        broken = bytearray(data)
        for at in rng.integers(0, len(data), 12):
            broken[at] = rng.integers(0, 255)
        (tmp_path / "broken.mp4").write_bytes(broken)
        try:
            run(tmp_path / "broken.mp4", tmp_path / "out.mp4", limits=reading.STRANGERS)
        except StyleTransferError:
            assert not leftovers(tmp_path)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"frame_rate": 0}, "The frame rate is 0"),
        ({"size": 4}, "The size is 4"),
    ],
)
def test_options_are_checked(tmp_path, options, sentence):
    assert sentence in refused(write(tmp_path / "a.mp4"), **options)


def test_output_names_are_checked_before_anything_runs(tmp_path):
    source = write(tmp_path / "a.mp4")
    with pytest.raises(StyleTransferError, match=r"'b.avi'; end the name in .mp4 or .gif"):
        painting.stylize_video(source, tmp_path / "b.avi", same)
    with pytest.raises(StyleTransferError, match="does not exist"):
        painting.stylize_video(source, tmp_path / "nowhere" / "b.mp4", same)
    with pytest.raises(StyleTransferError, match="No such file"):
        painting.stylize_video(tmp_path / "none.mp4", tmp_path / "b.mp4", same)


# ---- Endings -------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_closing_leaves_no_file_and_the_old_one_stays(tmp_path, suffix):
    output = tmp_path / f"out{suffix}"
    output.write_bytes(b"old")
    source = write(tmp_path / "a.mp4")
    with closing(painting.stylize_video(source, output, same)) as run:
        next(run)
        next(run)
    assert output.read_bytes() == b"old"
    assert not leftovers(tmp_path)


def test_an_error_or_ctrl_c_in_the_painter_leaves_no_file(tmp_path):
    def painter(picture):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(write(tmp_path / "a.mp4"), tmp_path / "out.mp4", painter)
    assert {path.name for path in tmp_path.iterdir()} == {"a.mp4"}


def test_the_command_line(tmp_path, capsys, style_file):
    source = write(tmp_path / "a.mp4", frames=3)
    output = tmp_path / "out.gif"
    flags = ["-o", str(output), "--size", "32", "--fps", "5", "--smoothing", "1"]
    cli.main(["video", str(source), str(style_file), *flags])
    assert "2 frames, 32 x 24 px" in capsys.readouterr().out
    assert len(shown(output)[0]) == 2
    for arguments, sentence in (
        ([str(source), "-o", str(output)], "Give the clip a style"),
        ([str(source), str(style_file), "-o", "a.avi"], "end the name in .mp4 or .gif"),
        ([str(source), "--network", "none", "-o", str(output)], "no trained style 'none'"),
    ):
        with pytest.raises(SystemExit) as caught:
            cli.main(["video", *arguments])
        assert caught.value.code == 2
        assert sentence in capsys.readouterr().err


# ---- Stillness -----------------------------------------------------------------------------------


def noisy(frames: int, size: int = 64, seed: int = 0) -> list[np.ndarray]:
    """A photo that stands still under grain."""
    photo = images.fit_short(images.open_picture("examples/photos/cat.jpg").rgb, size)
    rng = np.random.default_rng(seed)
    grain = rng.normal(0, 4 / 255, (frames, *photo.shape[:2], 1)).astype("float32")
    return [np.clip(photo + g, 0, 1) for g in grain]


def flicker(frames: list[np.ndarray]) -> float:
    return float(np.mean([np.abs(b - a).mean() for a, b in pairwise(frames)]))


@pytest.fixture(scope="module")
def style() -> np.ndarray:
    return images.open_picture("examples/styles/pointillist-harbour.webp").rgb


def test_what_stands_still_does_not_flicker(style):
    frames = noisy(10)
    painter = adain.frame_painter([style], adain.Options())
    plain = adain.frame_painter([style], adain.Options(), 0.0)
    assert flicker([plain(f) for f in frames]) > 1.3 * flicker(frames)
    assert flicker([painter(f) for f in frames]) < 1.3 * flicker(frames)


def test_without_smoothing_a_frame_is_the_still_picture(style):
    frames = noisy(3)
    painter = adain.frame_painter([style], adain.Options(strength=0.7), 0.0)
    for picture in frames:
        expected = adain.stylize(picture, [style], adain.Options(strength=0.7))
        np.testing.assert_allclose(painter(picture), expected, atol=2e-3)


def test_a_scene_cut_starts_afresh(style):
    dark = images.fit_short(images.open_picture("examples/photos/rocket.jpg").rgb, 64)[:64, :64]
    bright = 1 - dark
    painter = adain.frame_painter([style], adain.Options())
    for _ in range(3):
        painter(dark)
    fresh = adain.frame_painter([style], adain.Options())
    np.testing.assert_array_equal(painter(bright), fresh(bright))


def test_motion_leaves_no_ghost():
    """A square that jumps: the painting is that of the frame wherever anything moved."""
    still = temporal.Stillness(1.0)
    ground = np.full((96, 96, 3), 0.4, "float32")
    for place in (8, 40, 56):
        picture = ground.copy()
        picture[place : place + 24, place : place + 24] = 0.9
        shown = still.steady(1 - still.calm(picture))
        np.testing.assert_allclose(shown, 1 - picture, atol=1e-6)


def test_still_painter_smooths_any_function():
    frames = noisy(10)
    sharpen = lambda f: np.clip(0.5 + 4 * (f - 0.5), 0, 1)  # noqa: E731
    painter = painting.still_painter(sharpen)
    assert flicker([sharpen(f) for f in frames]) > 2 * flicker(frames)
    assert flicker([painter(f) for f in frames]) < 1.3 * flicker(frames)
    with pytest.raises(StyleTransferError, match="smoothing is 2"):
        painting.still_painter(sharpen, 2)
