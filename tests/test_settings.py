"""A result's settings: there and back, in files and in pictures; and what strangers may write."""

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import nst_demo
from nst_demo import images, settings
from nst_demo.errors import StyleTransferError

PHOTO = settings.Input("photo.png", "0" * 64)
STYLE = settings.Input("style.jpg", "1" * 64)


@pytest.fixture
def made() -> settings.Settings:
    """As after a run in quality mode that was stopped and continued a result."""
    return settings.describe(
        "gatys",
        {"iterations": 40, "init": "noise", "layer_weights": (1, 0.5, 1, 1, 0), "seed": 7},
        PHOTO,
        [STYLE, dataclasses.replace(STYLE, name="other.jpg")],
        masks=[settings.Input("mask.png", "2" * 64)],
        start=settings.Input("earlier.png", "3" * 64),
        stopped_at=25,
    )


def as_data(made: settings.Settings) -> dict:
    return json.loads(settings.to_json(made))


# ---- There and back ------------------------------------------------------------------------------


def test_settings_survive_json(made):
    text = settings.to_json(made)
    found = settings.from_json(text)
    assert settings.to_json(found) == text
    assert (found.photo, found.styles, found.start) == (made.photo, made.styles, made.start)
    assert found.stopped_at == 25
    assert found.options["seed"] == 7
    assert settings.from_json(text.encode()) == found


def test_the_json_is_ascii_with_the_version_first(made):
    made = dataclasses.replace(made, photo=settings.Input("日没 Ø.png", "0" * 64))
    text = settings.to_json(made)
    assert text.isascii()
    assert list(json.loads(text)) == [field.name for field in dataclasses.fields(made)]
    assert json.loads(text)["version"] == 1
    assert settings.from_json(text).photo.name == "日没 Ø.png"


def test_every_option_that_defines_the_result_is_kept_and_no_other():
    made = settings.describe("gatys", {"time_budget": 3.0, "iterations": 9}, PHOTO, [STYLE])
    assert made.options["iterations"] == 9
    assert made.options["content_weight"] == 1.0  # a default, which may change
    assert "time_budget" not in made.options
    adains = settings.describe("adain", {"strength": 0.5, "keep_colors": "luminance"}, PHOTO, [])
    assert adains.options["strength"] == 0.5
    assert adains.options["keep_colors"] == "luminance"
    assert adains.recipe is None


def test_options_that_the_method_does_not_take_are_refused():
    with pytest.raises(StyleTransferError, match="'adain' has no option 'iterations'"):
        settings.describe("adain", {"iterations": 9}, PHOTO, [STYLE])


def test_running_the_json_again_gives_the_same_picture(photo, style, tiny_backbone):
    given = {"backbone": "tiny", "init": "noise", "iterations": 6, "size": 40, "seed": 5}
    first = nst_demo.stylize(photo, style, method="gatys", **given)
    made = settings.describe("gatys", given, PHOTO, [STYLE])
    found = settings.from_json(settings.to_json(made))
    again = nst_demo.stylize(photo, style, method=found.method, **found.options)
    np.testing.assert_array_equal(again, first)


# ---- Pictures ------------------------------------------------------------------------------------


def test_a_fingerprint_is_of_the_pixels_and_the_shape(photo):
    pixels = images.open_picture(photo).rgb
    assert settings.fingerprint(pixels) == settings.fingerprint(pixels.astype("float64"))
    assert len(settings.fingerprint(pixels)) == 64
    changed = pixels.copy()
    changed[3, 4, 1] += 1 / 255
    turned = pixels.reshape(pixels.shape[1], pixels.shape[0], 3)
    assert len({settings.fingerprint(p) for p in (pixels, changed, turned)}) == 3


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("/home/anna/My photos/sea.jpg", "sea.jpg"),
        (Path("folder") / "sea.jpg", "sea.jpg"),
        ("C:\\Users\\anna\\sea.jpg", "sea.jpg"),
        ("two\nlines\x1b.png", "two?lines?.png"),
        ("\udc80.png", "?.png"),
        ("x" * 200 + ".png", "x" * 96 + ".png"),
        (None, "picture"),
    ],
)
def test_a_picture_is_named_by_its_file_alone(source, name, photo):
    assert settings.picture(source, photo).name == name


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_a_picture_carries_its_settings(suffix, made, photo, tmp_path):
    path = tmp_path / f"out{suffix}"
    images.save_image(path, photo, text=settings.to_json(made))
    assert settings.read(path) == settings.from_json(settings.to_json(made))
    assert images.open_picture(path).rgb.shape == photo.shape


def test_a_json_file_is_read_too(made, tmp_path):
    path = tmp_path / "made.json"
    path.write_text("\n " + settings.to_json(made))
    assert settings.read(path) == settings.from_json(settings.to_json(made))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_the_text_is_all_that_a_picture_carries(format, photo):
    plain = images.encode(photo, None, format)
    assert images.read_text(plain) is None
    data = images.encode(photo, None, format, "some text")
    assert images.read_text(data) == "some text"
    assert images.read_text(io.BytesIO(data)) == "some text"
    with Image.open(io.BytesIO(data)) as found, Image.open(io.BytesIO(plain)) as bare:
        extra = set(found.info) - set(bare.info)
        np.testing.assert_array_equal(np.asarray(found), np.asarray(bare))
        assert not found.getexif().get_ifd(0x8825)  # GPS
    assert extra == {{"PNG": "nst_demo", "JPEG": "comment", "WEBP": "exif"}[format]}


def test_no_other_text_of_a_picture_is_taken_for_ours(photo):
    buffer = io.BytesIO()
    images.to_pil(photo).save(buffer, "JPEG", comment="{}")
    assert images.read_text(buffer) is None
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0{}"
    buffer = io.BytesIO()
    images.to_pil(photo).save(buffer, "WEBP", exif=exif)
    assert images.read_text(buffer) is None
    buffer = io.BytesIO()
    images.to_pil(photo).save(buffer, "GIF", comment=b"nst_demo {}")
    assert images.read_text(buffer) is None


def test_a_result_that_is_painted_again_does_not_hand_on_its_text(made, photo, tmp_path):
    images.save_image(tmp_path / "first.png", photo, text=settings.to_json(made))
    again = images.open_picture(tmp_path / "first.png")
    images.save_image(tmp_path / "second.png", again.rgb, again.alpha)
    assert images.read_text(tmp_path / "second.png") is None


# ---- Changes -------------------------------------------------------------------------------------


def test_the_same_run_has_no_changes(made):
    assert settings.changes(settings.from_json(settings.to_json(made)), made) == []


def test_another_picture_is_told(made):
    now = dataclasses.replace(
        made,
        photo=settings.Input("sea.png", "9" * 64),
        styles=(settings.Input("renamed.jpg", "1" * 64), made.styles[1]),
    )
    (told,) = settings.changes(made, now)
    assert told == (
        "The photo 'sea.png' is another picture than 'photo.png' of the settings: the result will "
        "differ."
    )


def test_missing_pictures_are_told(made):
    now = dataclasses.replace(made, styles=made.styles[:1], masks=(), start=None)
    told = settings.changes(made, now)
    assert len(told) == 3
    assert told[0].startswith(
        "The settings have 2 styles ('style.jpg', 'other.jpg'), this run has 1"
    )
    assert "1 masks ('mask.png'), this run has 0" in told[1]
    assert "continue from ('earlier.png')" in told[2]


def test_another_nst_demo_and_a_changed_recipe_are_told(made):
    recipe = {"name": "default", "iterations": 150}
    then = dataclasses.replace(made, nst_demo="0.0.9", recipe=recipe)
    now = dataclasses.replace(made, recipe=recipe | {"iterations": 200})
    version, changed = settings.changes(then, now)
    assert "'0.0.9'" in version
    assert "'default' has changed since (iterations)" in changed


# ---- Strangers -----------------------------------------------------------------------------------


def refusal(text: str | bytes) -> str:
    with pytest.raises(StyleTransferError) as told:
        settings.from_json(text)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 400
    return str(told.value)


@pytest.mark.parametrize("version", [2, 0, -1, "1", 1.0, True, None, [1], "x" * 10_000])
def test_another_version_is_refused(made, version):
    told = refusal(json.dumps(as_data(made) | {"version": version}))
    assert "are of version" in told
    assert "this nst-demo reads version 1" in told


BAD_VALUES = {
    "unknown key": ({"path": "/etc/passwd"}, "unknown key 'path'"),
    "method unknown": ({"method": "magic"}, "method is 'magic'"),
    "method no text": ({"method": 3}, "3 of 'method'"),
    "method long": ({"method": "x" * 5000}, "not of the right kind"),
    "options no object": ({"options": [1]}, "'options'"),
    "option unknown": ({"options": {"__class__": 1}}, "'__class__', which 'gatys' does not have"),
    "option not kept": ({"options": {"time_budget": 1}}, "'time_budget'"),
    "option text": ({"options": {"iterations": "many"}}, "'many' of the option 'iterations'"),
    "option bool": ({"options": {"iterations": True}}, "True of the option 'iterations'"),
    "option float": ({"options": {"iterations": 2.5}}, "2.5 of the option 'iterations'"),
    "option huge": ({"options": {"size": 10**12}}, "size is 1000000000000"),
    "option huger": ({"options": {"size": 10**400}}, "'size'"),
    "option infinite": ({"options": {"content_weight": 1e999}}, "Infinity is no number"),
    "option list": ({"options": {"content_weight": [1]}}, "[1] of the option"),
    "option long list": ({"options": {"layer_weights": [1] * 1000}}, "'layer_weights'"),
    "option list of text": ({"options": {"layer_weights": ["1"] * 5}}, "'1' of the option"),
    "option choice": ({"options": {"init": "nothing"}}, "'nothing'"),
    "option shared": ({"options": {"keep_colors": "all"}}, "'all' of the option 'keep_colors'"),
    "photo": ({"photo": "photo.png"}, "'photo.png' of 'photo'"),
    "photo lacks": ({"photo": {"name": "x"}}, "lack the key 'sha256'"),
    "photo more": ({"photo": {"name": "x", "sha256": "y", "url": "z"}}, "unknown key 'url'"),
    "photo control": ({"photo": {"name": "\x1b[2J", "sha256": "y"}}, "'name'"),
    "styles": ({"styles": 3}, "3 of 'styles'"),
    "many styles": ({"styles": [{"name": "", "sha256": ""}] * 200}, "'styles'"),
    "stopped": ({"stopped_at": "x"}, "'stopped_at'"),
    "stopped before the start": ({"stopped_at": -5}, "'stopped_at' of the settings is -5"),
}


@pytest.mark.parametrize("case", BAD_VALUES)
def test_an_unknown_key_or_a_wrong_type_is_one_sentence(made, case):
    values, words = BAD_VALUES[case]
    assert words in refusal(json.dumps(as_data(made) | values))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no valid JSON"),
        ("{", "no valid JSON"),
        ("[" * 20_000, "no valid JSON"),
        ('{"a":' * 9000 + "1" + "}" * 9000, "no valid JSON"),
        ("9" * 10_000, "no valid JSON"),
        (b"\xff\xfe\x00", "no valid JSON"),
        ('{"version": NaN}', "no valid JSON"),
        ("[]", "not those of a picture"),
        ("{}", "not those of a picture"),
        ('{"version": 1}', "not those of a picture"),
        ('{"version": 1, "method": "adain"}', "lack the key"),
        (" " * 70_000, "70000 characters, over the limit"),
    ],
)
def test_what_is_no_settings_is_one_sentence(text, words):
    assert words in refusal(text)


def test_files_without_settings_are_one_sentence_each(photo_file, tmp_path):
    (tmp_path / "empty.json").write_text("")
    (tmp_path / "note.txt").write_text("a note")
    for path, words in (
        (photo_file, "'photo.png' carries no settings"),
        (tmp_path / "gone.json", "does not exist"),
        (tmp_path, "is a folder"),
        (tmp_path / "note.txt", "is not a picture"),
        (tmp_path / "empty.json", "is not a picture"),
    ):
        with pytest.raises(StyleTransferError, match=words):
            settings.read(path)


def test_a_strangers_chunk_in_a_picture_is_refused_as_any_json(photo, tmp_path):
    images.save_image(tmp_path / "odd.png", photo, text='{"version": 9, "method": "gatys"}')
    with pytest.raises(StyleTransferError, match="are of version 9"):
        settings.read(tmp_path / "odd.png")
