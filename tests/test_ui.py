"""The page without a browser: plain handlers, and the limits of the server."""

import base64
import io
import json
import threading
import tracemalloc
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

import gradio as gr
import numpy as np
import pytest
from gradio.data_classes import ImageData
from PIL import ExifTags, Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from nst_demo import images, recipes, settings
from nst_demo.errors import StyleTransferError
from nst_demo.steps import Step
from nst_demo.ui import (
    api,
    build_demo,
    chart,
    controls,
    files,
    painter,
    restore,
    runs,
    server,
    stylize_tab,
)

# Outside an event, gradio's toasts are warnings.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


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


def negative(content: np.ndarray, styles: Any, **options: Any) -> np.ndarray:
    return 1 - content


class FakeRun:
    """An `iterate` of ten steps that takes no time, and notes how it was called and ended."""

    def __init__(self, fail_at: int | None = None):
        self.options: dict[str, Any] = {}
        self.closed, self.given, self.fail_at = False, 0, fail_at

    def __call__(self, content: Any, styles: Any, **options: Any) -> Iterator[Step]:
        self.options = options
        try:
            for number in range(11):
                if number == self.fail_at:
                    raise StyleTransferError("The picture needs more memory than is free.")
                self.given = number
                loss = 2.0 / (1 + number)
                losses = {"total": loss, "content": loss, "style": loss, "variation": 0.0}
                image = np.full((20, 30, 3), number / 10, "f4")
                yield Step(number, 10, losses, image, number * 0.5, 5 - number / 2, "tiled in 4")
        finally:
            self.closed = True


def pixels(path: str | None) -> np.ndarray:
    assert path is not None
    with Image.open(path) as image:
        return np.asarray(image)


def asked(photo: Any, *styles: Any, **others: Any) -> runs.Request:
    paths = [None if path is None else str(path) for path in (photo, *styles)]
    return runs.Request(paths[0], [*paths[1:], *[None] * (4 - len(styles))], **others)


def sentences(updates: Iterator[runs.Update]) -> tuple[list[runs.Update], list[str]]:
    """All updates of a run, and what the visitor was told."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        found = list(updates)
    return found, [str(w.message) for w in caught if w.category is UserWarning]


# ---- Runs --------------------------------------------------------------------------------------


def test_fast_keeps_size_and_alpha_in_the_download(rgba_file, style_file):
    request = asked(rgba_file, style_file, options={"strength": 0.5})
    updates = list(runs.fast(request, stylize=negative))
    assert [update.download is None for update in updates] == [True, False]
    result = pixels(updates[-1].download)
    assert result.shape == (101, 67, 4)
    assert (result[:, :30, 3] == 0).all()
    assert (result[:, 30:] == [55, 55, 55, 255]).all()
    assert Path(str(updates[-1].download)).name == "cut out-style.png"
    assert Path(str(updates[-1].settings)).name == "cut out-style.json"
    assert updates[-1].progress is None


def test_two_visitors_share_no_file(photo_file, style_file):
    pairs = [list(runs.fast(asked(photo_file, style_file), stylize=negative))[-1] for _ in range(2)]
    paths = [{*(p.before_after or ()), p.download, p.settings} for p in pairs]
    assert not paths[0] & paths[1]


def test_several_styles_come_with_their_weights(photo_file, style_file, style):
    given: dict[str, Any] = {}

    def stylize(content: np.ndarray, styles: Sequence[np.ndarray], **options: Any) -> np.ndarray:
        given.update(options, styles=styles)
        return content

    request = runs.Request(
        str(photo_file), [str(style_file), None, str(photo_file)], [0.5, 1, 0.25]
    )
    list(runs.fast(request, stylize=stylize))
    assert [s.shape for s in given["styles"]] == [style.shape, (40, 56, 3)]
    assert given["style_weights"] == (0.5, 0.25)
    list(runs.fast(asked(photo_file, style_file, weights=[0, 1, 1]), stylize=stylize))
    assert len(given["styles"]) == 1


def test_quality_runs_to_the_end(photo_file, style_file, photo, monkeypatch):
    monkeypatch.setattr(runs, "PREVIEW_INTERVAL", 0)
    run, stop = FakeRun(), threading.Event()
    request = asked(photo_file, style_file, options={"seed": 3, "time_budget": 1e9})
    updates = list(runs.quality(request, stop, iterate=run, device=lambda: "CPU"))
    assert run.options["seed"] == 3
    assert run.options["time_budget"] == runs.MAX_SECONDS
    assert run.options["save_every"] == 1
    assert [u.progress for u in updates[1:-2]] == pytest.approx([i / 10 for i in range(11)])
    note = next(u for u in updates if u.note.startswith("Step 4")).note
    assert note == "Step 4 of 10 · 3.0 s left · 2.0 steps a second · CPU"
    assert updates[-1].note.startswith("Finished at step 10 of 10")
    assert updates[-1].details == "Note: tiled in 4."
    assert pixels(updates[-1].download).shape == photo.shape  # enlarged to the photo
    assert updates[-1].losses is not None
    assert "step 10" in updates[-1].losses


def test_previews_are_few_and_do_not_stay(photo_file, style_file, cache, monkeypatch):
    request = asked(photo_file, style_file)
    updates = list(runs.quality(request, threading.Event(), iterate=FakeRun()))
    assert len(updates) <= 5  # the start, one preview, the result, its download
    monkeypatch.setattr(runs, "PREVIEW_INTERVAL", 0)
    monkeypatch.setattr(runs, "PREVIEWS_KEPT", 2)
    list(runs.quality(request, threading.Event(), iterate=FakeRun()))
    assert len(list(cache.rglob("preview.jpg"))) <= 3


def test_stop_keeps_the_best_picture(photo_file, style_file, monkeypatch):
    monkeypatch.setattr(runs, "PREVIEW_INTERVAL", 0)
    run, stops = FakeRun(), runs.Stops()
    with stops.run("visitor") as stop:
        for update in runs.quality(asked(photo_file, style_file), stop, iterate=run):
            if update.note.startswith("Step 4"):
                assert stops.stop("visitor")
                assert not stops.stop("another visitor")
    assert update.note.startswith("Stopped at step 5 of 10")
    assert run.closed
    assert run.given == 5
    assert pixels(update.download)[..., 0] == pytest.approx(128)
    assert settings.read(str(update.settings)).stopped_at == 5
    assert not stops.stop("visitor")


def test_a_visitor_who_leaves_ends_the_run(photo_file, style_file):
    run = FakeRun()
    updates = runs.quality(asked(photo_file, style_file), threading.Event(), iterate=run)
    next(updates)
    next(updates)
    assert not run.closed
    updates.close()
    assert run.closed


def test_continue_starts_from_the_result(photo_file, style_file, rgba_file):
    run = FakeRun()
    trained = {"init_network": "linocut"}
    request = asked(photo_file, style_file, start=str(rgba_file), options=trained)
    *_, last = runs.quality(request, threading.Event(), iterate=run)
    assert run.options["init_image"].shape == (101, 67, 3)
    assert run.options["init"] == "content"  # no fast result is made for nothing
    assert run.options["init_network"] == "linocut"  # the loss is still that of its large forms
    start = settings.read(str(last.settings)).start
    assert start is not None
    assert start.name == "cut out.png"


def test_download_is_announced():
    assert runs.download_note({"recipe": "keras"}).startswith("VGG19 is downloaded first (80 MB)")
    assert runs.download_note({"recipe": "keras", "backbone": "lite"}) == ""
    assert runs.download_note({}) == ""


# ---- Errors ------------------------------------------------------------------------------------


def test_errors_are_sentences_and_nothing_changes(photo_file, style_file, tmp_path):
    def told(photo: Any, style: Any, stylize: Any = negative) -> str:
        updates, sentence = sentences(runs.fast(asked(photo, style), stylize=stylize))
        assert updates == [runs.FAILED]
        (only,) = sentence
        return only

    def broken(*_: Any, **__: Any) -> np.ndarray:
        raise ZeroDivisionError("internals")

    assert told(None, style_file).startswith("There is no photo yet")
    assert told(photo_file, None).startswith("There is no style yet")
    assert told(photo_file, style_file, broken) == runs.OUR_FAULT
    gone = told(tmp_path / "old.png", style_file)
    assert gone == "The photo is no longer on the server; choose it again."
    evil = tmp_path / "<img src=x>.png"
    evil.write_text("no picture")
    assert "&lt;img src=x&gt;.png" in told(evil, style_file)


def test_programs_get_errors():
    with pytest.raises(gr.Error, match="There is no photo") as caught, runs.raised():
        runs.Job.open("adain", asked(None, None))
    assert not caught.value.print_exception
    assert caught.value.title != "Error"


def test_error_in_a_quality_run_keeps_what_there_is(photo_file, style_file):
    run = FakeRun(fail_at=3)
    request = asked(photo_file, style_file)
    updates, told = sentences(runs.quality(request, threading.Event(), iterate=run))
    assert told == ["The picture needs more memory than is free."]
    assert updates[-1].note.startswith("Finished at step 2 of 10")
    assert pixels(updates[-1].download)[..., 0] == pytest.approx(51)
    assert run.closed
    run = FakeRun(fail_at=0)
    updates, told = sentences(runs.quality(request, threading.Event(), iterate=run))
    assert updates[-1] == runs.FAILED
    assert len(told) == 1


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


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "PNG", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_the_size_of_a_photo_is_that_of_the_photo_upright(tmp_path, kind, orientation):
    image, path = Image.new("RGB", (60, 40)), tmp_path / f"phone.{kind.lower()}"
    exif = image.getexif()
    exif[ExifTags.Base.Orientation] = orientation
    image.save(path, kind, exif=exif)
    assert files.pixel_size(str(path)) == images.open_picture(path).rgb.shape[:2]
    assert files.pixel_size(str(path)) == ((60, 40) if orientation > 4 else (40, 60))


def test_sixteen_bits_are_scaled_for_the_page(tmp_path):
    deep = np.linspace(0, 65535, 32 * 32).reshape(32, 32).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    shown = files.receive(str(tmp_path / "deep.png"), "photo")
    assert pixels(shown).mean() == pytest.approx(127.5, abs=3)


# ---- Controls ----------------------------------------------------------------------------------


def test_a_fresh_page_asks_for_the_default():
    assert controls.options(False, controls.DEFAULTS) == {
        "strength": 1,
        "style_scale": 1,
        "keep_colors": "none",
    }
    options = controls.options(True, controls.DEFAULTS)
    assert options.pop("time_budget") == 120
    described = settings.describe("gatys", options, INPUT, [INPUT])
    assert dict(described.options) == dict(
        settings.describe("gatys", {}, INPUT, [INPUT]).options
    ) | {"keep_colors": "none"}


INPUT = settings.Input("photo.png", "0" * 64)
CHANGED = {
    "strength": 0.6,
    "style_scale": 1.5,
    "keep_colors": "luminance",
    "recipe": "zandian",
    "similarity": "style",
    "backbone": "lite",
    "iterations": 77,
    "size": 200,
    "style_weight": 2.5,
    "layer_1": 1.7,
    "layer_5": 0.3,
    "init": "noise",
    "optimizer": "lbfgs",
    "seed": 5,
}


@pytest.mark.parametrize("changed", [{}, CHANGED, {"recipe": "keras", "learning_rate": 50.0}])
def test_settings_and_controls_undo_each_other(changed):
    shown = controls.DEFAULTS | controls.values(
        "gatys", {"recipe": changed.get("recipe", "default")}
    )
    shown |= changed
    options = controls.options(True, shown)
    written = settings.to_json(settings.describe("gatys", options, INPUT, [INPUT]))
    read = settings.from_json(written)
    again = controls.values(read.method, read.options)
    assert again == shown
    assert controls.options(True, again) == options


def test_settings_that_the_page_cannot_show_are_a_sentence():
    with pytest.raises(StyleTransferError, match="max_memory = 2"):
        controls.values("gatys", {"max_memory": 2})
    with pytest.raises(StyleTransferError, match="size = 300"):
        controls.values("adain", {"size": 300})
    with pytest.raises(StyleTransferError, match="seed"):
        controls.values("gatys", {"seed": 2**60})


def test_a_recipe_brings_its_own_values():
    updates = controls.fresh("zandian", "lite")
    assert updates["similarity"]["visible"]
    assert updates["iterations"]["value"] == recipes.ZANDIAN.iterations
    assert updates["backbone"]["value"] == "lite"
    assert updates["backbone"]["choices"][0] == ("VGG19 (the recipe's)", controls.OWN)
    assert not controls.fresh("default", "lite")["similarity"]["visible"]
    assert controls.fresh("default", "lite")["backbone"]["value"] == controls.OWN
    assert "downloaded" in controls.network_html("keras", controls.OWN)
    assert "stands in for VGG19" in controls.network_html("keras", "lite")
    assert controls.network_html("default", controls.OWN).startswith("<p>Lite is included")


def test_sliders_grow_for_opened_settings():
    assert controls.widened("style_weight", 9) == {"value": 9, "maximum": 9}
    assert controls.widened("style_weight", 3) == {"value": 3}
    assert controls.widened("stop_at", 12) == {"value": 12, "visible": True}


# ---- Regions -----------------------------------------------------------------------------------


def drawing(labels: np.ndarray) -> str:
    """What painter.js sends for uint8 labels (h, w)."""
    rgba = np.zeros((*labels.shape, 4), np.uint8)
    for number, colour in enumerate(painter.COLOURS, 1):
        rgba[labels == number] = [*colour, 255]
    data = io.BytesIO()
    Image.fromarray(rgba).save(data, "PNG")
    return painter.PREFIX + base64.b64encode(data.getvalue()).decode()


@pytest.fixture
def halves() -> np.ndarray:
    """Nothing on the left, style 1 in the middle, style 2 on the right."""
    labels = np.zeros((60, 90), np.uint8)
    labels[:, 30:60], labels[:, 60:] = 1, 2
    return labels


def test_a_drawing_comes_back_as_labels(halves):
    found = painter.labels(drawing(halves))
    assert found is not None
    np.testing.assert_array_equal(found, halves)
    assert painter.labels("") is None
    assert painter.labels(None) is None
    assert painter.labels(drawing(np.zeros((40, 40), np.uint8))) is None


def test_a_large_drawing_takes_little_memory():
    side = painter.MAX_SIDE
    sent = drawing(np.ones((side, side), np.uint8))
    assert len(sent) < painter.MAX_CHARACTERS
    tracemalloc.start()
    found = painter.labels(sent)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found is not None
    assert (found == 1).all()
    assert peak < 60 * side**2  # bytes; the pixels themselves have 16
    with pytest.raises(StyleTransferError, match="over 2048 px a side"):
        painter.labels(drawing(np.ones((16, side + 1), np.uint8)))


def test_regions_become_masks(halves):
    one = painter.masks(halves, [1])  # style 2 is not there: its region is as if not drawn
    assert one is not None
    assert (one[0][:, 40:50] > 0.99).all()
    assert (one[0][:, :20] < 0.01).all()
    first, second = painter.masks(halves, [1, 2]) or ()
    assert second[:, 70:].min() > 0.99
    np.testing.assert_allclose(first + second, (halves > 0) * 1.0, atol=0.6)  # soft at the edges
    third = (painter.masks(halves, [1, 2, 3]) or ())[2]
    assert third[:, :20].min() > 0.99  # without a region: it fills the rest
    assert painter.masks(np.where(halves == 2, 2, 0), [1]) is None


def test_what_keeps_the_photo_is_left_out(halves):
    labels = np.where(halves == 2, painter.KEEP_PHOTO, 0)
    (mask,) = painter.masks(labels, [1]) or ()
    assert mask[:, :50].min() > 0.99
    assert mask[:, 70:].max() < 0.01


def test_no_place_for_a_style_is_a_sentence():
    with pytest.raises(StyleTransferError, match="no place for style 2"):
        painter.masks(np.ones((40, 40), np.uint8), [1, 2])


@pytest.mark.parametrize(
    "text", ["data:text/html,x", painter.PREFIX + "%%%", painter.PREFIX + "AAAA", "x" * 10**6]
)
def test_no_drawing_is_a_sentence(text):
    with pytest.raises(StyleTransferError, match=r"draw"):
        painter.labels(text)


def test_a_run_is_given_its_masks(photo_file, style_file, halves):
    run = FakeRun()
    labels = np.asarray(Image.fromarray(halves).resize((84, 60), Image.Resampling.NEAREST))
    request = asked(photo_file, style_file, drawing=drawing(labels))
    *_, last = runs.quality(request, threading.Event(), iterate=run)
    (mask,) = run.options["masks"]
    assert mask.shape == labels.shape
    assert len(settings.read(str(last.settings)).masks) == 1


# ---- Opening settings --------------------------------------------------------------------------


def finished(request: runs.Request, options: dict[str, Any]) -> runs.Update:
    run, event = FakeRun(), threading.Event()
    request = runs.Request(**(vars(request) | {"options": options}))
    return list(runs.quality(request, event, iterate=run))[-1]


@pytest.mark.parametrize("kind", ["settings", "download"])
def test_json_and_png_restore_the_page(photo_file, style_file, kind):
    options = controls.options(True, controls.DEFAULTS | CHANGED)
    done = finished(asked(photo_file, style_file, stop_at=4), options)
    path = str(getattr(done, kind))
    styles = [str(style_file), None, None, None]
    found = restore.restore(path, str(photo_file), styles, None, None, [])
    assert found.quality
    assert found.todo == []
    assert found.values | {"time_budget": 120} == controls.DEFAULTS | CHANGED | {"stop_at": 4}
    # Running them again is the very same call.
    again = controls.options(True, found.values)
    second = finished(asked(photo_file, style_file, stop_at=4), again)
    np.testing.assert_array_equal(pixels(done.download), pixels(second.download))
    first, last = (Path(str(u.settings)).read_text() for u in (done, second))
    assert first == last


def test_pictures_are_found_or_asked_for(photo_file, style_file, tmp_path):
    done = finished(asked(photo_file, style_file), {})
    path = str(done.settings)
    other = str(tmp_path / "other.png")
    images.save_image(other, np.zeros((40, 40, 3), "float32"))
    found = restore.restore(path, other, [other, None, other, None], None, None, [style_file])
    assert found.styles == (str(style_file), None, None, None)  # an example by name and pixels
    assert found.photo == other  # nothing better is known
    assert found.todo == ["Choose the photo 'photo.png'."]
    found = restore.restore(
        path, str(photo_file), [other, str(style_file), None, None], None, None, []
    )
    assert found.styles[0] == str(style_file)
    assert found.todo == []


def test_regions_are_kept_or_asked_for(photo_file, style_file, halves):
    done = finished(asked(photo_file, style_file, drawing=drawing(halves[:, :84])), {})
    given = (str(done.settings), str(photo_file), [str(style_file), None, None, None])
    kept = restore.restore(*given, drawing(halves[:, :84]), None, [])
    assert kept.keep_drawing
    assert kept.todo == []
    lost = restore.restore(*given, drawing(halves[:, 6:]), None, [])
    assert not lost.keep_drawing
    assert lost.todo[0].startswith("Draw the regions again")


def change(path: str, **others: Any) -> None:
    file = Path(path)
    file.write_text(json.dumps(json.loads(file.read_text()) | others))


def test_a_strangers_settings_are_a_sentence(photo_file, style_file, tmp_path):
    def told(**others: Any) -> str:
        done = finished(asked(photo_file, style_file), {})
        change(str(done.settings), **others)
        with pytest.raises(StyleTransferError) as caught:
            restore.restore(str(done.settings), None, [None] * 4, None, None, [])
        return str(caught.value)

    assert "version 7" in told(version=7)
    assert "takes no style picture" in told(method="feedforward", options={}, recipe=None)
    assert "5 styles" in told(styles=[vars(INPUT)] * 5)
    assert "2 style_weights for 1 style" in told(options={"style_weights": [1, 2]})
    assert told(photo="<script>")
    junk = tmp_path / "junk.json"
    junk.write_text("{" * 5000)
    with pytest.raises(StyleTransferError):
        restore.restore(str(junk), None, [None] * 4, None, None, [])


def test_what_was_opened_is_told_without_html():
    found = restore.Restored(True, dict(controls.DEFAULTS), None, (), None, False, ["<b>"])
    assert "&lt;b&gt;" in stylize_tab.restored_html(found)


# ---- The losses --------------------------------------------------------------------------------


def test_losses_are_lines_on_a_logarithmic_axis():
    losses = chart.Losses()
    assert losses.html() == ""
    for i in range(1000):
        losses.add(i, {"total": 10.0 ** -(i / 250), "content": 0.5, "style": 0.0})
    drawn = losses.html()
    assert drawn.count("<polyline") == 2  # a part that is 0 has no logarithm, and no line
    assert "step 999" in drawn
    assert len(drawn) < 10_000
    line = drawn.split('points="')[1].split('"')[0]
    points = np.array([[float(x) for x in p.split(",")] for p in line.split()])
    assert points[-1][0] == chart.WIDTH
    steps = np.diff(points[:, 1])
    assert steps == pytest.approx(np.full(len(steps), steps.mean()), abs=0.2)  # straight
    losses.add(1000, {"total": float("nan")})
    assert "nan" not in losses.html()


def test_status_shows_words_as_text():
    assert chart.status("<i>", 0.5, "<b>").count("&lt;") == 2


def test_only_the_start_and_the_end_of_a_run_are_read_aloud():
    for told in (chart.status("Starting …", 0.0), chart.status("Painted in 1 s")):
        assert 'role="status"' in told
    step = chart.status("Step 3 of 12", 0.25)
    assert 'role="status"' not in step
    assert 'role="progressbar"' in step
    assert 'aria-valuenow="25"' in step


# ---- The page ----------------------------------------------------------------------------------


def test_page_starts_with_a_photo_and_a_style_and_no_tensorflow_call():
    config: Any = build_demo().get_config_file()
    props = {c["props"].get("elem_id"): c["props"] for c in config["components"]}
    assert props["photo"]["value"]["path"].endswith(f"{stylize_tab.FIRST_PHOTO}.jpg")
    assert props["style"]["value"]["path"].endswith(f"{stylize_tab.FIRST_STYLE}.webp")
    assert len(props["photo-examples"]["value"]) >= 6
    assert len(props["style-examples"]["value"]) >= 10
    public = [d["api_name"] for d in config["dependencies"] if d["api_visibility"] != "private"]
    assert "stylize" in public


def test_programs_may_ask_for_every_recipe():
    assert get_args(api.Recipe) == tuple(recipes.RECIPES)


def test_an_uploaded_clip_is_looked_at_once():
    """A preview of it as well would tell of a broken one a second time."""
    demo = build_demo()
    clip = next(i for i, block in demo.blocks.items() if getattr(block, "elem_id", "") == "clip")
    takers = [fn.fn.__name__ for fn in demo.fns.values() if (clip, "upload") in fn.targets]
    assert takers == ["take"]


def test_the_knobs_show_the_defaults():
    with gr.Blocks():
        tab = stylize_tab.Tab(300)
    assert list(tab.knobs) == list(controls.DEFAULTS)
    assert {name: knob.value for name, knob in tab.knobs.items()} == controls.DEFAULTS
    given = ["p", "s", None, None, None, "", None, *controls.DEFAULTS.values()]
    request = tab.request(True, given)
    assert request == runs.Request(
        "p", ["s", None, None, None], [100, 0, 0, 0], controls.options(True, controls.DEFAULTS), ""
    )
    assert tab.request(True, given, start="r").start == "r"


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
    assert not server.public()
    options = server.launch_options()
    assert (options["server_name"], options["server_port"]) == ("127.0.0.1", 7860)
    assert not any(options[n] for n in ("enable_monitoring", "show_error", "run_history"))
    monkeypatch.setenv("SPACE_ID", "someone/space")
    monkeypatch.setenv("GRADIO_SERVER_PORT", "7999")
    assert server.public()
    options = server.launch_options()
    assert (options["server_name"], options["server_port"]) == ("0.0.0.0", 7999)


def test_examples_come_first_named_then_sorted(monkeypatch, tmp_path):
    (tmp_path / "styles").mkdir()
    for name in ("deep-swirl.webp", "a.png", "notes.txt"):
        data = io.BytesIO()
        Image.new("RGB", (40, 20)).save(data, "PNG")
        (tmp_path / "styles" / name).write_bytes(data.getvalue())
    monkeypatch.setattr(images, "EXAMPLES", tmp_path)
    found = files.list_examples("styles", "deep-swirl")
    assert [example.caption for example in found] == ["deep swirl", "a"]
    assert found[0].thumbnail().size == (files.THUMBNAIL_SIZE, files.THUMBNAIL_SIZE)
    assert files.list_examples("none") == []
