"""The shell: pictures out, one line on stderr for what is wrong, never half a file."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import nst_demo
from nst_demo import cli, images, recipes, settings
from nst_demo.errors import StyleTransferError
from nst_demo.methods import adain

ROOT = Path(nst_demo.__file__).parents[1]


@pytest.fixture
def shell(tmp_path, monkeypatch, photo_file, style_file, capfd):
    """Runs a command line in a folder with photo.png and style.png: (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = 0
        try:
            cli.main(arguments)
        except SystemExit as exit:
            code = exit.code
        return code, *capfd.readouterr()

    return run


def test_a_picture_of_the_photos_size_is_written(shell, photo, style, tmp_path):
    code, out, err = shell("stylize", "photo.png", "style.png", "-o", "out.png")
    assert (code, err) == (0, "")
    assert out.startswith("out.png: 56 x 40 px, adain, ")
    assert out.count("\n") == 1
    assert " s on " in out  # the device
    opened = [images.open_picture(tmp_path / name).rgb for name in ("photo.png", "style.png")]
    expected = adain.stylize(opened[0], opened[1:], adain.Options())
    found = images.open_picture(tmp_path / "out.png").rgb
    np.testing.assert_allclose(found, expected, atol=0.6 / 255)


def test_options_and_weights_reach_the_method(shell, tmp_path, photo_file, style_file):
    images.save_image("other.png", 1 - images.open_picture(style_file).rgb)
    code, _, _ = shell(
        *("stylize", "photo.png", "style.png", "other.png", "-o", "out.png"),
        *("--weights", "0.7,0.3", "--strength", "0.8", "--size", "40"),
    )
    assert code == 0
    expected = nst_demo.stylize(
        photo_file, [style_file, "other.png"], strength=0.8, size=40, style_weights=(0.7, 0.3)
    )
    found = images.open_picture("out.png").rgb
    np.testing.assert_allclose(found, expected, atol=0.6 / 255)


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_transparency_is_kept(shell, photo, tmp_path, suffix):
    alpha = np.tile(np.linspace(0, 1, 56, dtype="float32"), (40, 1))
    images.save_image("cut out.png", photo, alpha)
    code, _, _ = shell("stylize", "cut out.png", "style.png", "-o", f"out{suffix}")
    assert code == 0
    with Image.open(f"out{suffix}") as out, Image.open("cut out.png") as cut_out:
        np.testing.assert_array_equal(out.getchannel("A"), cut_out.getchannel("A"))
        assert out.size == (56, 40)


QUALITY = ("stylize", "photo.png", "style.png", "-o", "out.png", "--method", "gatys")
NOISE = ("--init", "noise", "--size", "40")


def test_quality_mode_shows_its_progress_on_stderr_only(shell, tmp_path):
    code, out, err = shell(
        *("stylize", "photo.png", "style.png", "-o", "out.jpg", "--method", "gatys"),
        *("--iterations", "6", "--size", "48", "--seed", "3", "--init", "noise"),
        *("--style-weight", "2", "--layer-weights", "1,1,1,1,0"),
    )
    assert code == 0
    assert out.count("\n") == 1
    assert out.startswith("out.jpg: 56 x 40 px, gatys, ")
    for words in ("6/6", "it/s", "loss ", "content ", "style ", "variation ", "0:00 left"):
        assert words in err
    assert images.open_picture("out.jpg").rgb.shape == (40, 56, 3)


def test_the_recipes_are_listed_with_a_line_each(shell):
    code, out, err = shell("recipes")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == list(recipes.RECIPES)
    assert all(20 < len(line) < 100 for line in lines)


def test_a_recipe_implies_quality_mode_and_keeps_pictures_with_their_iteration(shell, tmp_path):
    code, out, err = shell(
        *("stylize", "photo.png", "style.png", "-o", "out.png", "--recipe", "keras"),
        *("--backbone", "lite", "--iterations", "7", "--save-every", "3", "--size", "32"),
        # The published rate is too high for so small a picture: at first no step lowers the loss.
        *("--learning-rate", "0.01"),
    )
    assert code == 0
    assert "gatys keras, " in out
    assert "block5_conv1 of lite stands for block5_conv2" in err
    kept = ["out-000003.png", "out-000006.png"]
    assert sorted(path.name for path in tmp_path.glob("out*")) == [*kept, "out.png"]
    pictures = [images.open_picture(name).rgb for name in (*kept, "out.png")]
    assert all(picture.shape == (40, 56, 3) for picture in pictures)
    assert not np.array_equal(pictures[0], pictures[1])
    assert settings.read(kept[0]).stopped_at == 3
    assert settings.read("out.png").stopped_at is None


def test_a_similarity_and_weights_reach_the_recipe(shell):
    code, _, _ = shell(
        *("stylize", "photo.png", "style.png", "-o", "out.png", "--recipe", "zandian"),
        *("--similarity", "style", "--backbone", "lite", "--iterations", "2", "--size", "32"),
        *("--seed", "4", "--content-weight", "0.5"),
    )
    assert code == 0
    options = settings.read("out.png").options
    assert options["similarity"] == "style"
    assert (options["seed"], options["content_weight"]) == (4, 0.5)


@pytest.fixture
def mask(tmp_path) -> np.ndarray:
    """White on the left, in mask.png, as images.open_mask softens it."""
    Image.fromarray(np.repeat(np.uint8([[255] * 28 + [0] * 28]), 40, axis=0)).save("mask.png")
    return images.open_mask("mask.png")


@pytest.mark.parametrize(
    "mode", [(), ("--method", "gatys", "--iterations", "3", "--init", "content")]
)
def test_a_mask_and_kept_colours_reach_either_mode(shell, mode, mask):
    code, _, _ = shell(
        *("stylize", "photo.png", "style.png", "-o", "out.png", *mode),
        *("--mask", "mask.png", "--keep-colors", "luminance", "--style-scale", "0.5"),
    )
    assert code == 0
    photo, found = (images.open_picture(name).rgb for name in ("photo.png", "out.png"))
    kept = mask == 0
    np.testing.assert_allclose(found[kept], photo[kept], atol=1.5 / 255)
    assert np.abs(found - photo)[:, :20].max() > 0.02
    made = settings.read("out.png")
    assert made.options["keep_colors"] == "luminance"
    assert made.options["style_scale"] == 0.5
    assert made.masks == (settings.picture("mask.png", mask),)
    code, _, err = shell(
        *("stylize", "photo.png", "style.png", "-o", "again.png", "--settings", "out.png"),
        *("--mask", "mask.png"),
    )
    assert code == 0
    assert "differ" not in err
    assert Path("again.png").read_bytes() == Path("out.png").read_bytes()


def test_a_mask_for_each_style(shell, mask):
    images.to_pil(np.repeat(1 - mask[..., None], 3, axis=2)).save("rest.png")
    images.save_image("other.png", 1 - images.open_picture("style.png").rgb)
    code, _, _ = shell(
        *("stylize", "photo.png", "style.png", "other.png", "-o", "out.png"),
        *("--mask", "mask.png", "--mask", "rest.png"),
    )
    assert code == 0
    expected = nst_demo.stylize(
        "photo.png", ["style.png", "other.png"], masks=["mask.png", "rest.png"]
    )
    found = images.open_picture("out.png").rgb
    np.testing.assert_allclose(found, expected, atol=0.6 / 255)


def test_a_run_can_go_on_from_a_result(shell):
    shell(*QUALITY, *NOISE, "--iterations", "20")
    code, _, err = shell(
        *("stylize", "photo.png", "style.png", "-o", "more.png", "--method", "gatys"),
        *("--init", "out.png", "--size", "40", "--iterations", "2"),
    )
    assert code == 0
    start, more = (images.open_picture(name).rgb for name in ("out.png", "more.png"))
    photo = images.open_picture("photo.png").rgb
    assert np.abs(more - start).mean() < 0.3 * np.abs(more - photo).mean()
    assert settings.read("more.png").start == settings.picture("out.png", start)
    assert "no fast result" not in err


# ---- Settings ------------------------------------------------------------------------------------


def test_a_result_carries_its_settings_and_can_be_run_again(shell, tmp_path):
    code, _, _ = shell(
        *QUALITY, *NOISE, "--iterations", "7", "--seed", "9", "--write-settings", "made.json"
    )
    assert code == 0
    made = settings.read("made.json")
    assert settings.read("out.png") == made
    assert (made.photo.name, made.styles[0].name) == ("photo.png", "style.png")
    assert str(tmp_path) not in Path("made.json").read_text()
    first = Path("out.png").read_bytes()
    for source in ("made.json", "out.png"):
        code, _, err = shell(
            *("stylize", "photo.png", "style.png", "-o", "again.png", "--settings", source)
        )
        assert code == 0
        assert "nst-demo:" not in err
        assert Path("again.png").read_bytes() == first


def test_the_fast_mode_carries_its_settings_too(shell):
    shell("stylize", "photo.png", "style.png", "-o", "out.png", "--strength", "0.6")
    code, _, _ = shell(
        *("stylize", "photo.png", "style.png", "-o", "again.png", "--settings", "out.png")
    )
    assert code == 0
    assert Path("again.png").read_bytes() == Path("out.png").read_bytes()
    assert settings.read("again.png").options["strength"] == 0.6


def test_flags_come_before_the_settings(shell):
    shell("stylize", "photo.png", "style.png", "-o", "out.png", "--strength", "0.6")
    code, _, _ = shell(
        *("stylize", "photo.png", "style.png", "-o", "again.png", "--settings", "out.png"),
        *("--strength", "0.2"),
    )
    assert code == 0
    assert settings.read("again.png").options["strength"] == 0.2


def test_another_photo_than_the_settings_is_told(shell, style_file):
    shell("stylize", "photo.png", "style.png", "-o", "out.png")
    code, _, err = shell(
        *("stylize", "style.png", "style.png", "-o", "again.png", "--settings", "out.png")
    )
    assert code == 0
    assert err == (
        "nst-demo: The photo 'style.png' is another picture than 'photo.png' of the settings: the "
        "result will differ.\n"
    )


# ---- Interrupted ---------------------------------------------------------------------------------


def interrupt_at(monkeypatch, iteration: int) -> None:
    """As Ctrl-C while the evaluation after this step is under way."""
    iterate = nst_demo.iterate

    def interrupted(*arguments, **options):
        for step in iterate(*arguments, **options):
            yield step
            if step.iteration >= iteration:
                raise KeyboardInterrupt

    monkeypatch.setattr(nst_demo, "iterate", interrupted)


def test_an_interrupted_run_keeps_the_best_picture_so_far(shell, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt_at(patch, 5)
        code, out, err = shell(*QUALITY, *NOISE, "--iterations", "50")
    assert code == 130
    assert out.startswith("out.png: 56 x 40 px, gatys, ")
    told = "nst-demo: interrupted at iteration 5 of 50; the best picture so far was written.\n"
    assert err.endswith(told)
    assert settings.read("out.png").stopped_at == 5
    # Its settings give the same picture again, without being interrupted.
    code, _, _ = shell(
        *("stylize", "photo.png", "style.png", "-o", "again.png", "--settings", "out.png")
    )
    assert code == 0
    assert Path("again.png").read_bytes() == Path("out.png").read_bytes()
    # Another recipe is another run: it ends at its own end, and nothing has "changed since".
    code, _, err = shell(
        *("stylize", "photo.png", "style.png", "-o", "other.png", "--settings", "out.png"),
        *("--recipe", "bold", "--time-budget", "2", "--size", "40"),
    )
    assert code == 0
    assert "changed since" not in err
    assert settings.read("other.png").stopped_at is None


def test_a_run_that_fails_half_way_keeps_the_best_picture_so_far(shell, monkeypatch):
    iterate = nst_demo.iterate

    def failing(*arguments, **options):
        for step in iterate(*arguments, **options):
            yield step
            if step.iteration >= 5:
                raise StyleTransferError("The picture needs more memory than is free.")

    monkeypatch.setattr(nst_demo, "iterate", failing)
    code, out, err = shell(*QUALITY, *NOISE, "--iterations", "50")
    assert code == 2
    assert out.startswith("out.png: 56 x 40 px, gatys, ")
    assert err.endswith(
        "nst-demo: The picture needs more memory than is free.\n"
        "nst-demo: ended at iteration 5 of 50; the best picture so far was written.\n"
    )
    assert settings.read("out.png").stopped_at == 5


def test_interrupted_before_the_first_step_nothing_is_written(shell, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(nst_demo, "iterate", interrupted)
    code, out, err = shell(*QUALITY, *NOISE)
    assert (code, out) == (130, "")
    assert err == "nst-demo: interrupted; nothing was written.\n"
    assert not (tmp_path / "out.png").exists()


# ---- Bad input -----------------------------------------------------------------------------------

PHOTO_AND_STYLE = ("photo.png", "style.png")
BAD = {
    "no arguments": ((), "required"),
    "no photo and no style": (("-o", "out.png"), "required: photo"),
    "no style": (("photo.png", "-o", "out.png"), "No style was given; the method 'adain' takes"),
    "no output": (PHOTO_AND_STYLE, "required: -o"),
    "photo missing": (("gone.png", "style.png", "-o", "out.png"), "'gone.png' does not exist"),
    "style missing": (("photo.png", "gone.png", "-o", "out.png"), "'gone.png' does not exist"),
    "text renamed": (("text.png", "style.png", "-o", "out.png"), "'text.png' is not a picture"),
    "truncated": (("half.png", "style.png", "-o", "out.png"), "'half.png' is damaged"),
    "tiny": (("photo.png", "dot.png", "-o", "out.png"), "1 x 1 px"),
    "folder missing": ((*PHOTO_AND_STYLE, "-o", "gone/out.png"), "'gone' does not exist"),
    "output is a folder": ((*PHOTO_AND_STYLE, "-o", "folder.png"), "is a folder"),
    "suffix": ((*PHOTO_AND_STYLE, "-o", "out.xyz"), "'out.xyz'; end the name in .png"),
    "method": ((*PHOTO_AND_STYLE, "-o", "out.png", "--method", "magic"), "method is 'magic'"),
    "two styles for one": (
        (*PHOTO_AND_STYLE, "style.png", "-o", "out.png", "--method", "magenta"),
        "'magenta' takes one style, not 2",
    ),
    "no network": (
        ("photo.png", "-o", "out.png", "--method", "feedforward"),
        "needs the option 'network'",
    ),
    "an option without a value": (
        (*PHOTO_AND_STYLE, "-o", "out.png", "--option", "strength"),
        "write it as NAME=VALUE",
    ),
    "an option that is an argument": (
        (*PHOTO_AND_STYLE, "-o", "out.png", "--option", "content=1"),
        "'adain' has no option 'content'",
    ),
    "an option that is the method": (
        (*PHOTO_AND_STYLE, "-o", "out.png", "--option", "method=gatys"),
        "'adain' has no option 'method'",
    ),
    "strength 7": ((*PHOTO_AND_STYLE, "-o", "out.png", "--strength", "7"), "strength is 7"),
    "strength nan": ((*PHOTO_AND_STYLE, "-o", "out.png", "--strength", "nan"), "strength is nan"),
    "strength text": ((*PHOTO_AND_STYLE, "-o", "out.png", "--strength", "x"), "invalid float"),
    "weights text": ((*PHOTO_AND_STYLE, "-o", "out.png", "--weights", "a,b"), "write them as"),
    "weights nan": ((*PHOTO_AND_STYLE, "-o", "out.png", "--weights", "nan"), "0 or more"),
    "six and four": (
        ("photo.png", *["style.png"] * 6, "-o", "out.png", "--weights", "1,1,1,1"),
        "6 styles were given 4 weights",
    ),
    "option of the other method": (
        (*PHOTO_AND_STYLE, "-o", "out.png", "--iterations", "5"),
        "'adain' has no option 'iterations'",
    ),
    "backbone": (
        (*PHOTO_AND_STYLE, "-o", "out.png", "--method", "gatys", "--backbone", "resnet"),
        "backbone is 'resnet'",
    ),
    "recipe": ((*PHOTO_AND_STYLE, "-o", "out.png", "--recipe", "magic"), "recipe is 'magic'"),
    "recipe of the other method": (
        (*PHOTO_AND_STYLE, "-o", "out.png", "--recipe", "keras", "--method", "adain"),
        "'adain' has no option 'recipe'",
    ),
    "similarity": (
        (*PHOTO_AND_STYLE, "-o", "out.png", "--recipe", "keras", "--similarity", "style"),
        "'keras' has no similarity",
    ),
    "no time": (
        (*PHOTO_AND_STYLE, "-o", "out.png", "--method", "gatys", "--time-budget", "0"),
        "time_budget is 0",
    ),
    "no weights": (
        (
            *(*PHOTO_AND_STYLE, "-o", "out.png", "--method", "gatys"),
            *("--content-weight", "0", "--style-weight", "0"),
        ),
        "both 0; raise one",
    ),
    "no layer weights": (
        (*PHOTO_AND_STYLE, "-o", "out.png", "--method", "gatys", "--layer-weights", "0,0,0,0,0"),
        "not all 0",
    ),
    "init": (
        (*PHOTO_AND_STYLE, "-o", "out.png", "--method", "gatys", "--init", "magic"),
        "'magic' is neither a picture nor one of fast, content, noise, content+noise",
    ),
    "init is no picture": (
        (*PHOTO_AND_STYLE, "-o", "out.png", "--method", "gatys", "--init", "text.png"),
        "'text.png' is not a picture",
    ),
    "init of the other method": (
        (*PHOTO_AND_STYLE, "-o", "out.png", "--init", "style.png"),
        "'adain' has no option 'init'",
    ),
    "keep colours": (
        (*PHOTO_AND_STYLE, "-o", "out.png", "--keep-colors", "all"),
        "keep_colors is 'all'; choose one of none, luminance, histogram",
    ),
    "mask missing": (
        (*PHOTO_AND_STYLE, "-o", "out.png", "--mask", "gone.png"),
        "mask 'gone.png' does not exist",
    ),
    "mask black": (
        (*PHOTO_AND_STYLE, "-o", "out.png", "--mask", "black.png"),
        "is black all over",
    ),
    "mask of another shape": (
        (*PHOTO_AND_STYLE, "-o", "out.png", "--mask", "style.png"),
        "40 x 48 px, another shape than the photo's 56 x 40",
    ),
    "two masks for a style": (
        (*PHOTO_AND_STYLE, "-o", "out.png", "--mask", "photo.png", "--mask", "photo.png"),
        "1 style was given 2 masks",
    ),
    "settings missing": (
        (*PHOTO_AND_STYLE, "-o", "out.png", "--settings", "gone.json"),
        "'gone.json' does not exist",
    ),
    "settings of another version": (
        (*PHOTO_AND_STYLE, "-o", "out.png", "--settings", "newer.json"),
        "are of version 2; this nst-demo reads version 1",
    ),
    "no settings": (
        (*PHOTO_AND_STYLE, "-o", "out.png", "--settings", "photo.png"),
        "'photo.png' carries no settings",
    ),
    "settings suffix": (
        (*PHOTO_AND_STYLE, "-o", "out.png", "--write-settings", "made.txt"),
        "end the name in .json",
    ),
    "settings folder": (
        (*PHOTO_AND_STYLE, "-o", "out.png", "--write-settings", "gone/made.json"),
        "'gone' does not exist",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_one_line_on_stderr_and_code_2(shell, tmp_path, case):
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "half.png").write_bytes((tmp_path / "photo.png").read_bytes()[:1500])
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "newer.json").write_text('{"version": 2, "method": "gatys"}')
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    Image.new("RGB", (56, 40)).save(tmp_path / "black.png")
    before = sorted(tmp_path.rglob("*"))
    arguments, words = BAD[case]
    code, out, err = shell("stylize", *arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("nst-demo")
    assert err.count("\n") == 1
    assert words in err
    assert sorted(tmp_path.rglob("*")) == before


def test_an_earlier_result_survives_a_failing_run(shell, tmp_path):
    (tmp_path / "out.png").write_bytes(b"earlier")
    code, _, _ = shell("stylize", "photo.png", "style.png", "-o", "out.png", "--strength", "7")
    assert code == 2
    assert (tmp_path / "out.png").read_bytes() == b"earlier"


def test_a_failing_disk_leaves_no_half_file(shell, tmp_path, monkeypatch):
    def full(self, data):
        with open(self, "wb") as file:
            file.write(data[:100])
        raise OSError(28, "No space left on device")

    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(Path, "write_bytes", full)
    code, _, err = shell("stylize", "photo.png", "style.png", "-o", "out.png")
    assert code == 2
    assert "No space left on device" in err
    assert sorted(tmp_path.rglob("*")) == before


def test_an_interrupt_is_told_and_writes_nothing(shell, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(nst_demo, "stylize", interrupted)
    code, out, err = shell("stylize", "photo.png", "style.png", "-o", "out.png")
    assert (code, out) == (130, "")
    assert err == "nst-demo: interrupted; nothing was written.\n"
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize("command", ["train-lite", "train-adain"])
def test_a_training_checks_its_options(shell, command):
    common = ("--photos", ".", "--styles", ".", "--run", "run", "--steps")
    for arguments, words in (
        ((*common, "10", "-o", "out.h5"), "end its name in .weights.h5"),
        ((*common, "0", "-o", "out.weights.h5"), "steps and batch must be at least 1"),
        ((*common, "10", "-o", "o.weights.h5", "--crop", "70"), "crop must be a multiple of 16"),
        ((*common[:-1], "-o", "o.weights.h5"), "Give the length of the training"),
        (("--steps", "10"), "required: --photos"),
    ):
        code, _, err = shell(command, *arguments)
        assert code == 2
        assert words in err
        assert err.count("\n") == 1
    assert not Path("run").exists()


def test_styles_with_a_dot_in_their_names_have_a_run_folder_each(shell, monkeypatch):
    folders = []
    monkeypatch.setattr(
        "nst_demo.training.feedforward.train", lambda *given, **_: folders.append(given[4].folder)
    )
    for name in ("van.gogh", "van.dyck"):
        shell("train-style", "style.png", "--photos", ".", "-o", f"{name}.weights.h5")
    assert [folder.name for folder in folders] == ["van.gogh.run", "van.dyck.run"]


def test_a_style_is_trained_on_the_examples_photos_unless_others_are_given(shell, monkeypatch):
    photos = []
    monkeypatch.setattr(
        "nst_demo.training.feedforward.train", lambda *given, **_: photos.append(given[1])
    )
    for given in ((), ("--photos", "mine")):
        shell("train-style", "style.png", "-o", "a.weights.h5", *given)
    assert photos == [images.EXAMPLES / "photos", Path("mine")]
    monkeypatch.setattr(images, "EXAMPLES", Path("none"))
    code, _, err = shell("train-style", "style.png", "-o", "a.weights.h5")
    assert code == 2
    assert err.endswith("has no example photos; give a folder of photos with --photos.\n")
    assert len(photos) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--backbone", "lite", "--shown", "2"), "--shown is of the packaged network"),
        (("--backbone", "lite", "--crops", "20"), "--crops is of the packaged network"),
        (("--style-weight", "-1"), "The style weight is -1.0; give a number of 0 or more."),
        (("--backbone", "lite", "--style-weight", "nan"), "The style weight is nan; give"),
    ],
)
def test_train_adain_takes_options_of_one_network(shell, arguments, words):
    common = ("--photos", ".", "--styles", ".", "--run", "run", "--steps", "2", "-o")
    code, _, err = shell("train-adain", *common, "o.weights.h5", *arguments)
    assert code == 2
    assert words in err
    assert not Path("run").exists()


def environment() -> dict[str, str]:
    """As in a person's shell: without the variable that silences TensorFlow in the tests."""
    kept = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    return kept | {"PYTHONPATH": str(ROOT)}


@pytest.mark.parametrize(
    ("strength", "code", "lines"), [("0.5", 0, []), ("7", 2, ["nst-demo: The strength is 7.0"])]
)
def test_a_real_process_prints_nothing_but_its_own_words(
    tmp_path, photo_file, style_file, strength, code, lines
):
    """TensorFlow writes a page to stderr while it is loaded; none of it may come through."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "nst_demo", "stylize", photo_file.name, style_file.name),
            *("-o", "out.png", "--strength", strength),
        ],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == code
    found = done.stderr.splitlines()
    assert [line[: len(start)] for line, start in zip(found, lines, strict=True)] == lines
    assert (tmp_path / "out.png").exists() == (code == 0)
    assert len(done.stdout.splitlines()) == (code == 0)


def test_the_version_is_the_packages(shell):
    assert shell("--version") == (0, f"{nst_demo.__version__}\n", "")
