"""One photo in many ways: what is painted, the sheet, the ZIP, and the page's plain functions."""

import gc
import io
import json
import threading
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest

from nst_demo import cli, compare, images
from nst_demo.errors import StyleTransferError
from nst_demo.steps import Step
from nst_demo.ui import compare_tab, comparisons, links, picker

GREY = np.full((20, 30, 3), 0.5, "float32")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))


def fake(photo, style=None, **options):
    """Paints with the style's mean colour, as strongly as asked."""
    colour = style.mean((0, 1)) if style is not None else 0.0
    strength = options.get("strength", 1.0)
    return ((1 - strength) * photo + strength * colour).astype("float32")


def test_styles_are_painted_in_turn_at_the_size_asked_for(style_file, photo_file):
    entries = compare.of_styles({"one": style_file, "two": np.zeros_like(GREY)}, strength=1.0)
    pictures = list(compare.paint(photo_file, entries, size=28, stylize=fake))
    assert [p.shape for p in pictures] == [(20, 28, 3)] * 2
    mean = images.open_picture(style_file).rgb.mean((0, 1))
    assert pictures[0][0, 0] == pytest.approx(mean, abs=1e-5)
    assert pictures[1].max() == 0
    assert [entry.caption for entry in entries] == ["one", "two"]


def test_strengths_end_at_the_photo_and_the_style():
    entries = compare.of_strengths(np.ones_like(GREY))
    pictures = list(compare.paint(GREY, entries, stylize=fake))
    assert [p.mean() for p in pictures] == pytest.approx([0.5, 0.625, 0.75, 0.875, 1.0])
    assert [e.caption for e in entries] == ["0%", "25%", "50%", "75%", "100%"]


def test_methods_leave_out_a_network_that_there_is_not():
    with_network = compare.of_methods(GREY, "waves", slow={"iterations": 3}, strength=0.5)
    methods = [entry.options.get("method", "adain") for entry in with_network]
    assert methods == ["adain", "feedforward", "gatys", "gatys"]
    assert with_network[1].style is None
    quality = {"method": "gatys", "iterations": 3, "strength": 0.5, "init_network": "waves"}
    assert with_network[2].options == quality
    bold = {"method": "gatys", "iterations": 3, "strength": 0.5, "recipe": "bold"}
    assert with_network[3].options == bold
    recoloured = compare.of_methods(GREY, "waves", slow={}, keep_colors="luminance")
    assert "init_network" not in recoloured[2].options
    assert len(compare.of_methods(GREY, slow={})) == 3


def test_limits_are_sentences(photo_file):
    with pytest.raises(StyleTransferError, match="choose at least one"):
        compare.of_styles({})
    with pytest.raises(StyleTransferError, match="There are 17 styles"):
        compare.of_styles({str(n): GREY for n in range(17)})
    with pytest.raises(StyleTransferError, match="The strength is 2"):
        compare.of_strengths(GREY, [2.0])
    with pytest.raises(StyleTransferError, match="The size is 4096"):
        compare.open_photo(photo_file, 4096)


def test_a_sheet_has_every_picture_over_its_caption():
    pictures = [np.full((60, 90, 3), n / 10, "float32") for n in range(1, 8)]
    page = compare.sheet(pictures, [f"picture {n}" for n in range(1, 8)])
    for n in range(1, 8):  # each grey is there as a block of its own
        assert (np.abs(page - n / 10) < 1e-6).all(-1).sum() >= 60 * 90
    assert page.shape[1] > page.shape[0]
    assert (page[0] == 1).all()
    strip = compare.sheet(pictures[:5], ["a"] * 5, in_row=True)
    assert strip.shape[1] > 5 * 90
    assert strip.shape[0] < 2 * 60
    with pytest.raises(StyleTransferError, match="captions"):
        compare.sheet(pictures, ["one"])


def test_a_long_caption_is_shortened_inside_its_line():
    line = images.caption("a very long caption that has no room at all", 20, 90)
    assert line.shape == (20, 90, 3)
    assert line.min() < 0.4  # there are letters
    assert (line[:, 0] == 1).all()


def test_a_large_sheet_is_shrunk():
    tall = [np.zeros((2048, 300, 3), "float32")] * 16
    page = compare.sheet(tall, ["x"] * 16)
    assert max(page.shape) < 1.2 * compare.SHEET_SIDE


def test_equal_files_give_an_equal_archive():
    packed = compare.archive({"a.png": b"one", "b.png": b"two"})
    assert packed == compare.archive({"a.png": b"one", "b.png": b"two"})
    with zipfile.ZipFile(io.BytesIO(packed)) as opened:
        assert opened.read("b.png") == b"two"


# ---- The page's plain functions ------------------------------------------------------------------


def asked(photo_file, kind=comparisons.STYLES, names=("linocut", "great-waves"), **others):
    choices = picker.for_everybody()
    picks = choices.picked(picker.to_value(names), ())
    return comparisons.Asked(kind, str(photo_file), picks, {"strength": 1.0}, **others)


def test_the_grid_fills_and_all_come_together(photo_file):
    job = asked(photo_file)
    tiles = comparisons.plan(job)
    assert [tile.caption for tile in tiles] == ["Photo", "Linocut", "Great waves"]
    steps = list(comparisons.fast(job, tiles, stylize=fake))
    assert [sum(bool(t.shown) for t in step.tiles) for step in steps] == [2, 3]
    assert steps[-1].note.startswith("2 pictures in")
    sheet, archive = comparisons.together(steps[-1].tiles, str(photo_file))
    with zipfile.ZipFile(archive) as opened:
        names = ["photo-compared.png", "00-photo.png", "01-linocut.png", "02-great-waves.png"]
        assert opened.namelist() == names
        assert opened.read(names[0]) == Path(sheet).read_bytes()
    page = comparisons.grid_html(steps[0].tiles, (40, 56), chosen=1)
    assert page.count("shimmer") == 1
    assert page.count('class="open"') == 1
    assert 'aria-pressed="true"' in page


def test_quality_comes_after_the_fast_ones_and_can_be_stopped(photo_file):
    job = asked(photo_file, comparisons.METHODS)
    tiles = comparisons.plan(job)
    assert [tile.options.get("network") for tile in tiles] == [None, None, "linocut", None, None]
    assert tiles[-2].options["init_network"] == "linocut"
    tiles = [tile for tile in tiles if "network" not in tile.options]
    *_, last = comparisons.fast(job, tiles, stylize=fake)
    assert [tile.full is not None for tile in last.tiles] == [True, True, False, False]
    closed, stop = [], threading.Event()

    def iterate(content, style, **options):
        assert options["backbone"] == "lite"
        try:
            for n in range(10):
                yield Step(n, 9, {"total": 1.0}, np.full((20, 28, 3), n / 10, "f4"), n, 9 - n)
        finally:
            closed.append(True)

    steps = comparisons.slow(job, last.tiles, stop, iterate=iterate)
    assert next(steps).note == "Quality: step 0 of 9, 9.0 s left"
    stop.set()
    (end,) = steps
    assert end.note.startswith("Quality stopped at step 1")
    assert closed == [True]
    assert images.open_picture(str(end.tiles[-2].full)).rgb.shape == (40, 56, 3)
    assert end.tiles[-1].full is None  # the bold one was not begun
    stop.clear()
    notes = [step.note for step in comparisons.slow(job, last.tiles, stop, iterate=iterate)]
    assert notes[-1].startswith("Quality, bold finished at step 9")


def test_a_series_is_in_one_row_without_the_photo(photo_file):
    job = asked(photo_file, comparisons.STRENGTHS)
    tiles = comparisons.plan(job)
    assert [tile.options["strength"] for tile in tiles] == list(compare.STRENGTHS)
    *_, last = comparisons.fast(job, tiles, stylize=fake)
    sheet, _ = comparisons.together(last.tiles, str(photo_file))
    height, width = images.open_picture(sheet).rgb.shape[:2]
    assert width > 3 * height


def test_what_a_stranger_asks_for_is_checked(photo_file):
    for wrong, words in (
        (asked(photo_file, "evil"), "The kind of comparison is 'evil'"),
        (asked(photo_file, size=100_000), "The size is 100000"),
        (asked(photo_file, names=()), "There is no style to compare"),
        (asked("/etc/nothing.png"), "no longer on the server"),
    ):
        with pytest.raises(StyleTransferError, match=words):
            comparisons.plan(wrong)


# ---- The tab -------------------------------------------------------------------------------------


class Handlers:
    """The tab, and what a visitor's page calls of it."""

    def __init__(self):
        with gr.Blocks():
            self.tab = compare_tab.build(stylize=fake, iterate=steps)
        self._visitor: Any = SimpleNamespace(session_hash="visitor")

    def run(self, photo_file):
        knobs = [knob.value for knob in self.tab.knobs.values()]
        value = picker.to_value(["linocut"])
        kind = comparisons.METHODS
        return self.tab.paint_fast(self._visitor, str(photo_file), kind, value, [], 512, *knobs)

    def run_slow(self, pending):
        return self.tab.paint_slow(self._visitor, pending)

    @property
    def turns(self):
        return self.tab.turns


def steps(content, style, **options):
    for n in range(10):
        yield Step(n, 9, {"total": 1.0}, content, n, 9 - n)


@pytest.fixture
def handlers(monkeypatch):
    monkeypatch.setattr(comparisons, "PREVIEW_INTERVAL", 0.0)
    return Handlers()


def test_another_comparison_ends_the_quality_picture_of_the_one_before(handlers, photo_file):
    tab = handlers.tab
    *_, last = handlers.run(photo_file)
    slow = handlers.run_slow(last[tab.pending])
    assert tab.grid in next(slow)
    next(handlers.run(photo_file))
    (end,) = slow
    assert end == {tab.status: gr.skip()}  # all stays as the new one has it
    (end,) = handlers.run_slow(last[tab.pending])
    assert end == {tab.status: gr.skip()}


def test_a_visitor_who_left_leaves_nothing(handlers, photo_file):
    state = list(handlers.run(photo_file))
    assert len(handlers.turns) == 1
    del state
    gc.collect()
    assert len(handlers.turns) == 0


def test_an_upload_is_taken_when_earlier_ones_are_gone(handlers, style_file, tmp_path):
    first = tmp_path / "first.png"
    first.write_bytes(style_file.read_bytes())
    uploads, _ = handlers.tab.receive([str(first)], [], "", comparisons.STYLES)
    first.unlink()
    uploads, value = handlers.tab.receive([str(style_file)], uploads, "", comparisons.STYLES)
    assert [Path(path).stem for path, _ in uploads] == ["first", "style"]
    shown = json.loads(value)
    assert shown["chosen"] == ["upload:1"]
    assert shown["uploads"] == [["first", uploads[0][1]], ["style", uploads[1][1]]]


def test_a_closer_look_at_what_is_gone_changes_nothing(handlers, photo_file):
    tab, job = handlers.tab, asked(photo_file)
    *_, last = comparisons.fast(job, comparisons.plan(job), stylize=fake)
    done = compare_tab.Done(job, last.tiles)
    assert tab.grid in tab.closer_shown(done, 0, 1)
    Path(str(last.tiles[1].shown)).unlink()
    assert tab.closer_shown(done, 0, 1) == {tab.slider: gr.skip()}


def test_a_picture_whose_photo_is_gone_is_not_opened_in_stylize(photo_file):
    tile = comparisons.plan(asked(photo_file))[1]
    photo_file.unlink()
    with pytest.raises(StyleTransferError, match="The photo is no longer on the server"):
        links.tile_changes(None, str(photo_file), tile, None)


# ---- The picker ----------------------------------------------------------------------------------


def test_choices_are_looked_up_and_never_a_path(style_file):
    choices = picker.for_everybody()
    (own,) = choices.picked(picker.to_value(["upload:0"]), [str(style_file)])
    assert own.path == str(style_file)
    for value in ("/etc/passwd", "upload:1", "upload:-1", "../linocut", "trained:../x"):
        with pytest.raises(StyleTransferError, match="There is no style"):
            choices.picked(picker.to_value([value]), [str(style_file)])


@pytest.mark.parametrize("value", ["[", "[1]", '"x"', '{"chosen": 3}', "x" * 30_000, "[" * 5000])
def test_a_broken_choice_is_a_sentence(value):
    with pytest.raises(StyleTransferError, match="cannot be read"):
        picker.for_everybody().picked(value, ())


def test_at_most_sixteen_are_chosen(style_file):
    value = json.dumps({"chosen": [f"upload:{n}" for n in range(17)]})
    with pytest.raises(StyleTransferError, match="There are 17 styles"):
        picker.for_everybody().picked(value, [str(style_file)] * 17)


# ---- The shell -----------------------------------------------------------------------------------


def test_the_command_writes_a_sheet(photo_file, style_file, tmp_path, capsys):
    output = tmp_path / "sheet.png"
    arguments = ["compare", str(photo_file), str(style_file), str(photo_file), "-o", str(output)]
    cli.main([*arguments, "--size", "48", "--strength", "0.5"])
    assert "sheet.png: " in capsys.readouterr().out
    assert images.open_picture(output).rgb.shape[1] > 2 * 48
    with pytest.raises(SystemExit):
        cli.main([*arguments, "--strengths"])
    assert "--strengths takes one style" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main([*arguments, "--size", "0"])
    assert "The size is 0" in capsys.readouterr().err
