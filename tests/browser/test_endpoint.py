"""The endpoint for programs, on the running server: gradio_client, and raw HTTP as a stranger."""

import json
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from nst_demo import images, settings
from nst_demo.methods import feedforward


@pytest.fixture(scope="module")
def client(url: str) -> Client:
    return Client(url, verbose=False)


@pytest.fixture
def style_file(tmp_path: Path, picture) -> Path:
    images.save_image(tmp_path / "style.png", picture(64, 64))
    return tmp_path / "style.png"


def call(url: str, **given: object) -> str:
    """What the server says to a hand-written call of /stylize."""
    address = f"{url}gradio_api/call/v2/stylize"
    headers = {"Content-Type": "application/json"}
    body = json.dumps(given).encode()
    request = urllib.request.Request(address, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            event = json.load(answer)["event_id"]
        with urllib.request.urlopen(f"{address}/{event}", timeout=60) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        return f"event: error {error.code}"


def test_returns_a_png_of_the_photos_size_with_its_alpha(client, tmp_path, picture, style_file):
    alpha = np.ones((101, 67), "float32")
    alpha[:, :30] = 0
    images.save_image(tmp_path / "photo.png", picture(101, 67), alpha)
    photo, style = handle_file(tmp_path / "photo.png"), handle_file(style_file)
    path = client.predict(photo, style, 0.8, api_name="/stylize")
    with Image.open(path) as result:
        assert (result.format, result.size, result.mode) == ("PNG", (67, 101), "RGBA")
        np.testing.assert_array_equal(np.asarray(result)[..., 3], np.uint8(255 * alpha))


def test_bad_input_is_one_sentence_and_the_next_request_works(client, tmp_path, style_file):
    (tmp_path / "note.png").write_text("no picture")
    note = handle_file(tmp_path / "note.png")
    with pytest.raises(AppError, match="is not a picture") as caught:
        client.predict(note, handle_file(style_file), 1.0, api_name="/stylize")
    assert "\n" not in str(caught.value)
    style = handle_file(style_file)
    with pytest.raises(AppError, match="strength is 7"):
        client.predict(style, style, 7, api_name="/stylize")
    assert client.predict(style, style, 1.0, api_name="/stylize")


def test_quality_takes_the_controls_and_tells_its_settings(client, style_file):
    picture = handle_file(style_file)
    shared = {"strength": 0.9, "style_scale": 1.5, "keep_colors": "luminance", "seed": 3}
    path = client.predict(picture, picture, iterations=5, **shared, api_name="/quality")
    made = settings.read(path)
    assert made.method == "gatys"
    assert (shared | {"iterations": 5}).items() <= made.options.items()
    with pytest.raises(AppError, match="The recipe is 'none'"):
        client.predict(picture, picture, recipe="none", api_name="/quality")


def test_a_trained_style_needs_no_picture(client, style_file):
    for name in list(feedforward.trained_styles())[:1]:
        path = client.predict(handle_file(style_file), network=name, api_name="/stylize")
        assert settings.read(path).method == "feedforward"
    with pytest.raises(AppError, match="There is no style"):
        client.predict(handle_file(style_file), api_name="/stylize")
    with pytest.raises(AppError, match="/etc/passwd"):
        client.predict(handle_file(style_file), network="/etc/passwd", api_name="/stylize")


def test_compare_gives_a_sheet_and_each_picture(client, style_file):
    picture = handle_file(style_file)
    found = client.predict(picture, [picture, picture], size=48, api_name="/compare")
    with Image.open(found[0]) as sheet:
        assert sheet.width > 2 * 48
    for path in found[1:]:
        with Image.open(path) as image:
            assert image.size == (48, 48)
    assert len(found) == 3


def test_video_gives_a_clip(client, style_file, tmp_path):
    frames = [Image.new("RGB", (32, 32), (40 * n, 90, 120)) for n in range(3)]
    frames[0].save(tmp_path / "clip.gif", save_all=True, append_images=frames[1:], duration=100)
    clip, style = handle_file(tmp_path / "clip.gif"), handle_file(style_file)
    path = client.predict(clip, style, kind="gif", api_name="/video")
    with Image.open(path) as made:
        assert (made.format, made.n_frames) == ("GIF", 3)


@pytest.mark.parametrize("path", ["/etc/hostname", str(Path(__file__))])
def test_files_of_the_server_are_out_of_reach(url, path):
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    assert "event: error" in call(url, photo=file, style=file)


def test_private_addresses_are_not_fetched(url):
    file = {"path": f"{url}config", "meta": {"_type": "gradio.FileData"}}
    assert "event: error" in call(url, photo=file, style=file)
