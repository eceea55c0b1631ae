"""The page without a browser: plain handlers, and the limits of the server."""

import io
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from gradio.data_classes import ImageData
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from nst_demo import images
from nst_demo.errors import StyleTransferError
from nst_demo.steps import Step
from nst_demo.ui import build_demo, files, runs, server, stylize_tab


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Gradio's cache folder, so that a test can look into it."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    return folder


@pytest.fixture
def rgba_file(tmp_path: Path) -> Path:
    """67 x 101 px, half of it transparent."""
    pixels = np.full((101, 67, 4), 200, np.uint8)
    pixels[..., 3] = 255
    pixels[:, :30, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "cut out.png")
    return tmp_path / "cut out.png"


def negative(content: np.ndarray, style: Any, **options: Any) -> np.ndarray:
    return 1 - content


class FakeRun:
    """An `iterate` of ten steps that takes no time, and notes how it was called and ended."""

    def __init__(self, fail_at: int | None = None):
        self.options: dict[str, Any] = {}
        self.closed, self.given, self.fail_at = False, 0, fail_at

    def __call__(self, content: Any, style: Any, **options: Any) -> Iterator[Step]:
        self.options = options
        try:
            for number in range(11):
                if number == self.fail_at:
                    raise StyleTransferError("The picture needs more memory than is free.")
                self.given = number
                loss = 2.0 / (1 + number)
                losses = {"total": loss, "content": loss, "style": loss, "variation": 0.0}
                yield Step(
                    number, 10, losses, np.full((20, 30, 3), number / 10, "f4"), number * 1.0
                )
        finally:
            self.closed = True


def pixels(path: str | None) -> np.ndarray:
    assert path is not None
    with Image.open(path) as image:
        return np.asarray(image)


# ---- Runs --------------------------------------------------------------------------------------


def test_fast_keeps_size_and_alpha_in_the_download(rgba_file, style_file):
    updates = list(runs.fast(str(rgba_file), str(style_file), 0.5, stylize=negative))
    assert [update.download is None for update in updates] == [True, False]
    result = pixels(updates[-1].download)
    assert result.shape == (101, 67, 4)
    assert (result[:, :30, 3] == 0).all()
    assert (result[:, 30:] == [55, 55, 55, 255]).all()
    assert Path(str(updates[-1].download)).name == "cut out-style.png"
    assert updates[-1].progress is None


def test_two_visitors_share_no_file(photo_file, style_file):
    pairs = [
        list(runs.fast(str(photo_file), str(style_file), 1, stylize=negative))[-1] for _ in range(2)
    ]
    paths = [{*(p.before_after or ()), p.download} for p in pairs]
    assert not paths[0] & paths[1]


def test_quality_runs_to_the_end(photo_file, style_file, photo, monkeypatch):
    monkeypatch.setattr(runs, "PREVIEW_INTERVAL", 0)
    run, stop = FakeRun(), threading.Event()
    options = runs.QualityOptions(seed=3, time_budget=1e9)
    updates = list(runs.quality(str(photo_file), str(style_file), options, stop, iterate=run))
    assert run.options["seed"] == 3
    assert run.options["time_budget"] == runs.MAX_SECONDS
    assert [u.progress for u in updates[1:-2]] == pytest.approx([i / 10 for i in range(11)])
    assert "Step 4 of 10 · 6.0 s left" in [u.note for u in updates]
    assert updates[-1].note.startswith("Finished at step 10 of 10")
    assert pixels(updates[-1].download).shape == photo.shape  # enlarged to the photo
    rows = [row for row in updates[-1].losses if row["part"] == "total"]
    assert [row["step"] for row in rows] == list(range(11))
    assert [row["loss"] for row in rows[:2]] == pytest.approx([np.log10(2), 0])


def test_quality_limits_the_rate_of_previews(photo_file, style_file):
    updates = list(
        runs.quality(
            str(photo_file),
            str(style_file),
            runs.QualityOptions(),
            threading.Event(),
            iterate=FakeRun(),
        )
    )
    assert len(updates) <= 5  # the start, one preview, the result, its download


def test_stop_keeps_the_best_picture(photo_file, style_file, monkeypatch):
    monkeypatch.setattr(runs, "PREVIEW_INTERVAL", 0)
    run, stops = FakeRun(), runs.Stops()
    with stops.run("visitor") as stop:
        updates = runs.quality(
            str(photo_file), str(style_file), runs.QualityOptions(), stop, iterate=run
        )
        for update in updates:
            if update.note.startswith("Step 4"):
                assert stops.stop("visitor")
                assert not stops.stop("another visitor")
    assert update.note.startswith("Stopped at step 5 of 10")
    assert run.closed
    assert run.given == 5
    assert pixels(update.download)[..., 0] == pytest.approx(128)
    assert not stops.stop("visitor")


def test_a_visitor_who_leaves_ends_the_run(photo_file, style_file):
    run = FakeRun()
    updates = runs.quality(
        str(photo_file), str(style_file), runs.QualityOptions(), threading.Event(), iterate=run
    )
    next(updates)
    next(updates)
    assert not run.closed
    updates.close()
    assert run.closed


# ---- Errors ------------------------------------------------------------------------------------


def test_errors_are_sentences(photo_file, style_file, tmp_path):
    def message(photo: Any, style: Any, stylize: Any = negative) -> str:
        with pytest.raises(gr.Error) as caught:
            list(runs.fast(photo, style, 1, stylize=stylize))
        assert not caught.value.print_exception
        return caught.value.message

    def broken(*_: Any, **__: Any) -> np.ndarray:
        raise ZeroDivisionError("internals")

    assert message(None, str(style_file)).startswith("There is no photo yet")
    assert message(str(photo_file), None).startswith("There is no style yet")
    assert message(str(photo_file), str(style_file), broken) == runs.OUR_FAULT
    gone = message(str(tmp_path / "old.png"), str(style_file))
    assert gone == "The photo is no longer on the server; choose it again."
    evil = tmp_path / "<img src=x>.png"
    evil.write_text("no picture")
    assert "&lt;img src=x&gt;.png" in message(str(evil), str(style_file))


def test_error_in_a_quality_run(photo_file, style_file):
    run = FakeRun(fail_at=3)
    with pytest.raises(gr.Error, match="more memory"):
        list(
            runs.quality(
                str(photo_file),
                str(style_file),
                runs.QualityOptions(),
                threading.Event(),
                iterate=run,
            )
        )
    assert run.closed


@pytest.mark.filterwarnings("ignore:The photo")
def test_a_broken_upload_brings_the_old_picture_back(tmp_path, photo_file):
    fake = tmp_path / "text.png"
    fake.write_text("no picture")
    take = stylize_tab.taker("photo")
    image, kept, _ = take(str(fake), str(photo_file))
    assert (image, kept) == (str(photo_file), str(photo_file))
    assert take(None, str(photo_file))[1] is None


# ---- Uploads -----------------------------------------------------------------------------------


def test_an_upload_stays_the_file_it_was(photo_file):
    assert files.receive(str(photo_file), "photo") == str(photo_file)
    component = files.PictureInput(type="filepath")
    payload = ImageData(path=str(photo_file), orig_name="photo.heic")
    assert component.preprocess(payload) == str(photo_file)
    assert component.get_block_name() == "image"
    assert not Path(files.__file__).with_suffix(".pyi").exists()


@pytest.mark.parametrize("suffix", [".heic", ".tiff"])
def test_what_browsers_cannot_show_is_converted(tmp_path, photo, suffix):
    path = tmp_path / f"holiday{suffix}"
    images.to_pil(photo).save(path)
    shown = files.receive(str(path), "photo")
    assert shown is not None
    assert Path(shown).name == "holiday.webp"
    assert pixels(shown).shape == photo.shape


def test_sixteen_bits_are_scaled_for_the_page(tmp_path):
    deep = np.linspace(0, 65535, 32 * 32).reshape(32, 32).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    shown = files.receive(str(tmp_path / "deep.png"), "photo")
    assert pixels(shown).mean() == pytest.approx(127.5, abs=3)


# ---- The page ----------------------------------------------------------------------------------


def test_page_starts_with_a_photo_and_a_style_and_no_tensorflow_call():
    config: Any = build_demo().get_config_file()
    props = {c["props"].get("elem_id"): c["props"] for c in config["components"]}
    assert props["photo"]["value"]["path"].endswith(f"{stylize_tab.FIRST_PHOTO}.jpg")
    assert props["style"]["value"]["path"].endswith(f"{stylize_tab.FIRST_STYLE}.webp")
    assert len(props["photo-examples"]["value"]) >= 6
    assert len(props["style-examples"]["value"]) >= 10
    public = [d["api_name"] for d in config["dependencies"] if d["api_visibility"] != "private"]
    assert public == ["stylize"]


def test_knobs_become_options():
    with gr.Blocks():
        _, knobs = stylize_tab.advanced()
    options = stylize_tab.quality_options({name: knob.value for name, knob in knobs.items()})
    assert options == runs.QualityOptions()
    values = {name: knob.value for name, knob in knobs.items()} | {"layer_2": 0, "seed": None}
    assert stylize_tab.quality_options(values) == replace(options, layer_weights=(1, 0, 1, 1, 1))


def test_every_option_of_the_page_is_known_to_the_method():
    from nst_demo.methods import gatys

    page = runs.QualityOptions()
    library = gatys.Options(**{name: getattr(page, name) for name in page.__dataclass_fields__})
    assert library.iterations == page.iterations


def test_device_line():
    assert "Getting ready" in stylize_tab.machine_html(None, None)
    assert "about 0.2 s" in stylize_tab.machine_html("CPU", 0.21)
    assert "about 40 s" in stylize_tab.machine_html("GPU", 40.2)
    assert "about 2 min" in stylize_tab.machine_html("GPU", 130)


# ---- The server --------------------------------------------------------------------------------


@pytest.fixture
def client() -> TestClient:
    async def length(request: Request) -> PlainTextResponse:
        return PlainTextResponse(str(len(await request.body())))

    paths = ("/gradio_api/upload", "/gradio_api/queue/join")
    app = Starlette(routes=[Route(path, length, methods=["POST"]) for path in paths])
    return TestClient(server.BodyLimit(app))


def test_bodies_are_limited(client, monkeypatch):
    monkeypatch.setattr(server, "MAX_JSON", 1000)
    monkeypatch.setattr(server, "MAX_FORM", 5000)

    def post(path: str, size: int, **kinds: Any) -> int:
        return client.post(f"/gradio_api/{path}", content=b"x" * size, **kinds).status_code

    form = {"headers": {"content-type": "multipart/form-data; boundary=b"}}
    assert post("queue/join", 1000) == 200
    assert post("queue/join", 1001) == 413
    assert post("queue/join", 3000, **form) == 413  # a form elsewhere than at the upload
    assert post("upload", 5000, **form) == 200
    assert post("upload", 5001, **form) == 413
    chunks = (b"x" * 400 for _ in range(4))  # no content-length
    assert client.post("/gradio_api/queue/join", content=chunks).status_code == 413


def test_launch_options_suit_a_public_demo(monkeypatch):
    for name in ("GRADIO_SERVER_NAME", "GRADIO_SERVER_PORT", "SPACE_ID"):
        monkeypatch.delenv(name, raising=False)
    options = server.launch_options()
    assert (options["server_name"], options["server_port"]) == ("127.0.0.1", 7860)
    assert not any(options[n] for n in ("enable_monitoring", "show_error", "run_history"))
    monkeypatch.setenv("SPACE_ID", "someone/space")
    monkeypatch.setenv("GRADIO_SERVER_PORT", "7999")
    options = server.launch_options()
    assert (options["server_name"], options["server_port"]) == ("0.0.0.0", 7999)


def test_examples_come_first_named_then_sorted(monkeypatch, tmp_path):
    (tmp_path / "styles").mkdir()
    for name in ("deep-swirl.webp", "a.png", "notes.txt"):
        data = io.BytesIO()
        Image.new("RGB", (40, 20)).save(data, "PNG")
        (tmp_path / "styles" / name).write_bytes(data.getvalue())
    monkeypatch.setattr(files, "EXAMPLES", tmp_path)
    found = files.list_examples("styles", "deep-swirl")
    assert [example.caption for example in found] == ["deep swirl", "a"]
    assert found[0].thumbnail().size == (files.THUMBNAIL_SIZE, files.THUMBNAIL_SIZE)
    assert files.list_examples("none") == []
