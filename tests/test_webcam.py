"""The Webcam tab without a page: what passes between the camera and the painter."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from gradio.data_classes import ImageData
from PIL import Image

from nst_demo import images
from nst_demo.errors import StyleTransferError
from nst_demo.ui import files, webcam_tab


def data_url(width: int = 320, height: int = 240) -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (200, 100, 50)).save(buffer, "JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def test_pictures_come_and_go_in_memory():
    rgb = webcam_tab.decoded(data_url(), 256)
    assert rgb.shape == (192, 256, 3)
    np.testing.assert_allclose(rgb[50, 50], np.array([200, 100, 50]) / 255, atol=0.02)
    url = webcam_tab.encoded(rgb)
    again = images.open_picture(base64.b64decode(url.partition(",")[2])).rgb
    np.testing.assert_allclose(again, rgb, atol=0.02)


def test_the_component_writes_no_file():
    camera = webcam_tab.Camera(sources=["webcam"], streaming=True)
    url = data_url()
    assert camera.preprocess(ImageData(url=url)) == url
    answer = camera.postprocess(url)
    assert answer is not None
    assert (answer.url, answer.path) == (url, None)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://example.org/a.jpg",
        "file:///etc/passwd",
        "data:text/html;base64,PGI+",
        "data:image/jpeg;base64,%%%",
        "data:image/jpeg;base64,AAAA",
        "data:image/jpeg;base64," + "A" * 1_000_000,
    ],
)
def test_anything_else_is_refused(url):
    with pytest.raises(StyleTransferError):
        webcam_tab.decoded(url, 256)


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(webcam_tab.time, "monotonic", lambda: now[0])
    return now


def test_a_painter_lives_as_long_as_its_settings_and_its_stream(clock):
    made = []
    streams = webcam_tab.Streams(lambda styles, **options: made.append(options) or object())
    one, other = (str(example.path) for example in files.list_examples("styles")[:2])
    first = streams.painter("a", one, 1.0)
    assert streams.painter("a", one, 1.0) is first
    assert streams.painter("b", one, 1.0) is not first
    assert streams.painter("a", other, 1.0) is not first
    clock[0] += webcam_tab.PAUSE + 1
    again = streams.painter("a", other, 1.0)
    assert streams.painter("a", other, 0.5) is not again
    for visitor in range(2 * webcam_tab.VISITORS):
        streams.painter(f"visitor {visitor}", one, 1.0)
    assert len(streams._kept) == webcam_tab.VISITORS
    own = {"network": Path(one).stem}  # a style of the gallery is painted by its own network
    assert made[0] == {"smoothing": webcam_tab.SMOOTHING, "strength": 1.0, **own}


def test_a_stream_ends_after_its_time_and_another_may_begin(clock):
    streams = webcam_tab.Streams(lambda styles, **options: object())
    style = str(files.list_examples("styles")[0].path)
    for _ in range(webcam_tab.SECONDS):
        streams.painter("a", style, 1.0)
        clock[0] += 1
    clock[0] += 0.5
    with pytest.raises(StyleTransferError, match="press Record for more"):
        streams.painter("a", style, 1.0)
    clock[0] += webcam_tab.PAUSE + 1
    streams.painter("a", style, 1.0)
