"""The Video tab on the real page: the example clip, an own one, a broken one, Cancel."""

import re
from pathlib import Path

import av
import numpy as np
import pytest
from playwright.sync_api import Page, expect

expect.set_options(timeout=60_000)


@pytest.fixture
def tab(page: Page) -> Page:
    page.get_by_role("tab", name="Video").click()
    expect(page.locator("#paint-clip")).to_be_visible()
    return page


def choose(page: Page, path: Path) -> None:
    page.locator("#clip").get_by_role("button", name=re.compile("Clear|Remove")).first.click()
    page.locator("#clip input[type=file]").set_input_files(path)


def small_clip(
    path: Path, frames: int, sound: bool = False, size: tuple[int, int] = (64, 48)
) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        (stream.width, stream.height), stream.pix_fmt = size, "yuv420p"
        tone = container.add_stream("aac", rate=48000, layout="mono") if sound else None
        for number in range(frames):
            pixels = np.full((size[1], size[0], 3), 10 * number % 256, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
            if tone is not None:
                wave = np.sin(np.arange(4800, dtype="float32") / 20)[None]
                samples = av.AudioFrame.from_ndarray(wave, format="fltp", layout="mono")
                samples.sample_rate = 48000
                samples.pts = 4800 * number
                container.mux(tone.encode(samples))
        container.mux(stream.encode(None))
        if tone is not None:
            container.mux(tone.encode(None))
    return path


def test_the_example_clip_is_painted_and_plays(tab):
    expect(tab.get_by_text("up to 20 s").or_(tab.get_by_text("up to 600 s"))).to_be_visible()
    tab.locator("#preview-frame").click()
    expect(tab.locator("#first-frame img")).to_have_count(2)
    tab.locator("#paint-clip").click()
    expect(tab.get_by_text(re.compile("Painted 60 frames"))).to_be_visible(timeout=120_000)
    tab.wait_for_function("document.querySelector('#painted-clip video')?.currentTime > 0.2")
    with tab.expect_download() as started:
        tab.locator("#download-clip").click()
    assert started.value.suggested_filename == "cat-pan-starry-swirl.mp4"
    with av.open(str(started.value.path())) as container:
        assert container.streams.video[0].frames == 60
    expect(tab.locator("#paint-clip")).to_be_enabled()


def test_an_own_clip_keeps_its_sound(tab, tmp_path):
    choose(tab, small_clip(tmp_path / "own.mp4", 6, sound=True))
    expect(tab.locator("#first-frame img")).to_have_count(2)  # at once, before the whole run
    tab.locator("#paint-clip").click()
    expect(tab.get_by_text(re.compile("Painted 6 frames"))).to_be_visible()
    with tab.expect_download() as started:
        tab.locator("#download-clip").click()
    with av.open(str(started.value.path())) as container:
        assert len(container.streams.audio) == 1


def test_a_broken_clip_is_a_sentence_and_the_page_goes_on(tab, tmp_path):
    (tmp_path / "broken.mp4").write_text("no clip")
    choose(tab, tmp_path / "broken.mp4")
    expect(tab.get_by_text("is not a video that can be read").first).to_be_visible()
    tab.locator("#paint-clip").click()
    expect(tab.get_by_text("There is no clip yet")).to_be_visible()
    expect(tab.locator("#paint-clip")).to_be_enabled()


def test_cancel_ends_the_run(tab, tmp_path):
    choose(tab, small_clip(tmp_path / "long.mp4", 400, size=(640, 480)))
    expect(tab.locator("#first-frame img")).to_have_count(2)
    tab.locator("#paint-clip").click()
    expect(tab.get_by_text(re.compile(r"Frame \d+ of 400"))).to_be_visible()
    tab.locator("#cancel-clip").click()
    expect(tab.get_by_text("Cancelled.")).to_be_visible()
    expect(tab.locator("#paint-clip")).to_be_enabled()
    tab.wait_for_timeout(1000)  # gradio ends the run after the note, which must not go then
    expect(tab.get_by_text("Cancelled.")).to_be_visible()
    expect(tab.locator("#painted-clip")).to_be_hidden()
