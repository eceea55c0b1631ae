"""The kinds of Fast on the page, without a browser: any style, trained styles, Magenta."""

import io
import re
import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from nst_demo import images, settings, weights
from nst_demo.errors import StyleTransferError
from nst_demo.methods import METHODS, Method
from nst_demo.ui import controls, files, painter, restore, runs, stylize_tab, video_tab

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@dataclass(frozen=True)
class Options:
    network: str
    strength: float = 1.0


@pytest.fixture(autouse=True)
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two trained styles, of a method that only knows their names."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    folder = tmp_path / "package" / "styles"
    folder.mkdir(parents=True)
    for name in ("blue-night", "starry-swirl"):
        (folder / f"{name}.weights.h5").write_bytes(weights.HDF5)
    monkeypatch.setattr(weights, "PRETRAINED", tmp_path / "package")
    monkeypatch.delenv(weights.STYLES_VARIABLE, raising=False)
    module = types.ModuleType("nst_demo.methods.fake")
    vars(module).update(Options=Options, stylize=None, expected_seconds=None)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    fake = Method("fake", "Trained styles", "...", styles=(0, 0), networks=weights.trained_styles)
    monkeypatch.setitem(METHODS, "feedforward", fake)


def test_a_kind_that_cannot_be_used_is_not_offered(monkeypatch, tmp_path):
    monkeypatch.delenv("NST_ADAIN_DECODER", raising=False)
    assert list(controls.kinds()) == ["best", "adain", "feedforward", "magenta"]
    monkeypatch.setenv("NST_ADAIN_DECODER", str(tmp_path))
    monkeypatch.setattr(weights, "PRETRAINED", tmp_path / "nothing")
    assert list(controls.kinds()) == ["best", "adain", "magenta", "adain-published"]


def test_a_new_method_is_on_the_page_by_its_line_alone(monkeypatch):
    monkeypatch.setitem(METHODS, "other", Method("fake", "Other", "Paints otherwise."))
    with gr.Blocks():
        tab = stylize_tab.Tab(300)
    assert ("Other", "other") in tab.kind.choices


def test_what_a_kind_does_not_take_is_hidden():
    rules = controls.kind_rules().splitlines()
    hidden = [rule for rule in rules if "none" in rule]
    assert "label:nth-child(3).selected) .takes-style {" in "".join(hidden)  # trained styles
    assert sum(".takes-several" in rule for rule in hidden) == 2  # trained styles, Magenta
    assert "downloaded on first use (about 100 MB)" in controls.kind_words(METHODS["magenta"])


def test_trained_styles_are_shown_with_picture_and_caption():
    with gr.Blocks():
        radio = controls.network()
    assert radio.choices == [("Blue night", "blue-night"), ("Starry swirl", "starry-swirl")]
    rules = controls.network_rules()
    (address,) = re.findall(r"url\((.+?)\)", rules)  # no picture of the first is there
    assert Image.open(io.BytesIO(files.SHOWN_TO_ALL[address])).size == (160, 160)
    assert "nth-child(2)" in rules


def values(**changed: Any) -> controls.Values:
    return controls.DEFAULTS | changed


def test_best_is_the_gallerys_own_network_and_adain_for_all_else(tmp_path, style_file):
    swirl = images.EXAMPLES / "styles" / "starry-swirl.webp"
    copied = tmp_path / swirl.name  # gradio's cache has a copy
    copied.write_bytes(swirl.read_bytes())
    other = images.EXAMPLES / "styles" / "linocut.webp"  # has no network here

    def settled(*styles: Path | None, **changed: Any) -> tuple[str, str | None]:
        paths = [style and str(style) for style in styles]
        paths += [None] * (controls.STYLES - len(paths))
        found = controls.settled(False, values(**changed), paths)
        assert found.keys() == controls.DEFAULTS.keys()
        return found["kind"], found["network"] if found["kind"] == "feedforward" else None

    trained = ("feedforward", "starry-swirl")
    assert settled(swirl) == settled(copied) == trained
    assert settled(swirl, kind="adain") == ("adain", None)
    assert settled(swirl, kind="magenta") == ("magenta", None)
    assert settled(other) == settled(style_file) == settled(None) == ("adain", None)
    assert settled(swirl, other, weight_1=60, weight_2=40) == ("adain", None)
    assert settled(swirl, other, weight_1=100, weight_2=0) == trained
    assert settled(other, swirl, weight_1=0, weight_2=100) == trained
    assert settled(swirl, weight_1=0) == trained  # alone, whatever its share
    copied.write_bytes(other.read_bytes())  # an upload that is only called so
    assert settled(copied) == ("adain", None)
    assert settled(tmp_path / "gone" / swirl.name) == ("adain", None)

    chosen = values(kind="feedforward", network="starry-swirl", strength=0.5)
    assert controls.as_chosen(chosen, []) == (values(strength=0.5), [str(swirl)])
    for other_kind in (
        values(kind="feedforward", network="blue-night"),  # is not in the gallery
        values(kind="adain"),
        values(kind="magenta"),
        values(),
    ):
        assert controls.as_chosen(other_kind, [str(swirl)]) == (other_kind, [str(swirl)])
    blend = values(kind="adain", weight_1=60, weight_2=40)
    both = [str(swirl), str(other)]
    assert controls.as_chosen(blend, both) == (blend | {"kind": "best"}, both)
    assert controls.method_name(False, values()) == "adain"
    assert controls.method_name(True, values()) == "gatys"


def test_quality_starts_from_the_gallerys_own_network(style_file):
    swirl = str(images.EXAMPLES / "styles" / "starry-swirl.webp")

    def start(style: str, **changed: Any) -> str | None:
        settled = controls.settled(True, values(**changed), [style])
        options = controls.options(True, settled)
        kept = {name: value for name, value in options.items() if name != "time_budget"}
        shown, _ = controls.as_chosen(controls.values("gatys", kept), [style])
        assert controls.options(True, controls.settled(True, shown, [style])) == options
        return options.get("init_network")

    assert start(swirl) == start(swirl, iterations=9) == "starry-swirl"
    assert start(swirl, kind="feedforward", network="blue-night") == "starry-swirl"
    assert start(swirl, kind="magenta") == "starry-swirl"
    assert start(swirl, kind="adain") is None
    assert start(str(style_file)) is None
    assert start(swirl, init="noise") is None
    assert start(swirl, recipe="keras") is None  # starts from the photo
    assert start(swirl, keep_colors="histogram") is None  # the network has the style's own


def test_a_clip_is_painted_by_the_gallerys_own_network_too(style_file):
    made: dict[str, Any] = {}

    def painted_with(style: str, network: str = "") -> tuple[int, str | None]:
        asked = video_tab.Asked("clip.mp4", style, network, 0, 0, ".mp4", 1.0, 1.0, 0.5)
        asked.painter(lambda styles, **options: made.update(options, styles=styles))
        return len(made["styles"]), made["network"]

    swirl = str(images.EXAMPLES / "styles" / "starry-swirl.webp")
    assert painted_with(swirl) == (0, "starry-swirl")
    assert painted_with(swirl, "blue-night") == (0, "blue-night")
    assert painted_with(str(style_file)) == (1, None)
    with pytest.raises(StyleTransferError, match="no longer on the server"):
        painted_with(f"{swirl}.gone")


def test_options_are_those_that_the_kind_has():
    options = controls.options(False, values(kind="feedforward", network="blue-night"))
    assert options == {"strength": 1, "keep_colors": "none", "network": "blue-night"}
    assert "style_scale" not in controls.options(False, values(kind="magenta"))
    with pytest.raises(StyleTransferError, match="No trained style is chosen"):
        controls.options(False, values(kind="feedforward", network=None))
    assert "network" not in controls.options(True, values(kind="feedforward"))


def painted(request: runs.Request) -> tuple[dict[str, Any], runs.Update]:
    given: dict[str, Any] = {}

    def stylize(content: np.ndarray, styles: Any, **options: Any) -> np.ndarray:
        given.update(options, styles=styles)
        return content

    *_, last = runs.fast(request, stylize=stylize)
    return given, last


def test_a_trained_style_takes_no_picture_and_comes_back(photo_file, style_file):
    chosen = values(kind="feedforward", network="blue-night", strength=0.5)
    shown = [str(style_file), None, None, None]
    request = runs.Request(
        str(photo_file), shown, options=controls.options(False, chosen), method="feedforward"
    )
    given, last = painted(request)
    assert given["styles"] == []
    assert (given["method"], given["network"]) == ("feedforward", "blue-night")
    assert Path(str(last.download)).name == "photo-blue-night.png"
    made = settings.read(str(last.settings))
    assert made.styles == ()
    found = restore.restore(str(last.download), str(photo_file), shown, None, None, [])
    assert (found.quality, found.todo) == (False, [])
    assert found.values == chosen
    assert found.styles == tuple(shown)  # stay for the other kinds
    assert "trained style Blue night" in stylize_tab.restored_html(found)


def test_magenta_takes_the_first_style_alone_and_tells_of_its_download(photo_file, style_file):
    styles = [str(style_file), str(photo_file), None, None]
    request = runs.Request(str(photo_file), styles, [50, 50, 0, 0], method="magenta")
    updates = list(runs.fast(request, stylize=lambda photo, styles, **_: photo))
    assert "downloaded first (about 100 MB)" in updates[0].details
    assert updates[-1].progress is None
    assert len(settings.read(str(updates[-1].settings)).styles) == 1


def test_a_region_without_a_style_picture(photo_file):
    labels = np.zeros((60, 84), np.uint8)
    labels[:, :40] = 1
    masks = painter.masks(labels, [1])
    assert masks is not None
    labels[:, 60:] = painter.KEEP_PHOTO
    assert painter.masks(labels, [1, 2, 3, 4]) is not None


def test_a_share_of_nothing_is_left_out(photo_file, style_file):
    styles = [str(style_file), str(photo_file), str(style_file), None]
    given, _ = painted(runs.Request(str(photo_file), styles, [70, 0, 30, 0]))
    assert len(given["styles"]) == 2
    assert given["style_weights"] == (70, 30)


@pytest.mark.parametrize(
    ("weights", "shares"),
    [((70, 30), (70, 30)), ((0.5, 1.5), (25, 75)), (None, (50, 50)), ((0, 0), (0, 0))],
)
def test_opened_weights_are_shown_in_percent(weights, shares):
    two = (settings.Input("a", "0" * 64),) * 2
    options = {} if weights is None else {"style_weights": weights}
    found = settings.Settings(1, "", "adain", options, None, two[0], two)
    assert restore.shares(found) == {
        "weight_1": shares[0], "weight_2": shares[1], "weight_3": 0, "weight_4": 0
    }  # fmt: skip


def test_the_tab_shows_a_state(photo_file, style_file):
    with gr.Blocks():
        tab = stylize_tab.Tab(300)
    chosen = values(kind="magenta", strength=0.4)
    paths = [str(photo_file), str(style_file), None, None, None]
    changes = tab.changes(False, chosen, paths)
    assert set(changes) == set(tab.settable)
    assert changes[tab.kind]["value"] == "magenta"
    assert changes[tab.mode] == stylize_tab.FAST
    assert changes[tab.styles[0].image] == str(style_file)


def test_four_styles_have_a_colour_each():
    assert [name for name, _ in painter.REGIONS[: controls.STYLES]] == [
        f"Style {place}" for place in range(1, controls.STYLES + 1)
    ]
    assert len({colour for _, colour in painter.REGIONS}) == controls.STYLES + 1
    assert len(runs.PLACES) == controls.STYLES


def test_a_run_that_went_on_from_a_picture_opens_with_the_style_it_was_in():
    """Its settings name a start of its own beside the trained style, whose forms it kept."""
    asked = controls.values("gatys", {"init_network": "starry-swirl", "init": "content"})
    assert asked["network"] == "starry-swirl"
    assert controls.options(True, asked)["init_network"] == "starry-swirl"
