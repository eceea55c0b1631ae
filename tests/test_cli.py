"""The shell: pictures out, one line on stderr for what is wrong, never half a file."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import nst_demo
from nst_demo import cli, images
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


def test_quality_mode_shows_its_progress_on_stderr_only(shell, tmp_path):
    code, out, err = shell(
        *("stylize", "photo.png", "style.png", "-o", "out.jpg", "--method", "gatys"),
        *("--iterations", "6", "--size", "48", "--seed", "3", "--init", "noise"),
        *("--style-weight", "2", "--layer-weights", "1,1,1,1,0"),
    )
    assert code == 0
    assert out.count("\n") == 1
    assert out.startswith("out.jpg: 56 x 40 px, gatys, ")
    assert "6/6" in err
    assert "loss=" in err
    assert images.open_picture("out.jpg").rgb.shape == (40, 56, 3)


def test_no_time_budget_at_all_still_writes_a_picture(shell):
    code, _, _ = shell(
        *("stylize", "photo.png", "style.png", "-o", "out.png", "--method", "gatys"),
        *("--time-budget", "0", "--init", "content"),
    )
    assert code == 0
    np.testing.assert_array_equal(
        images.open_picture("out.png").rgb, images.open_picture("photo.png").rgb
    )


PHOTO_AND_STYLE = ("photo.png", "style.png")
BAD = {
    "no arguments": ((), "required"),
    "no photo and no style": (("-o", "out.png"), "required: photo, style"),
    "no style": (("photo.png", "-o", "out.png"), "required: style"),
    "no output": (PHOTO_AND_STYLE, "required: -o"),
    "photo missing": (("gone.png", "style.png", "-o", "out.png"), "'gone.png' does not exist"),
    "style missing": (("photo.png", "gone.png", "-o", "out.png"), "'gone.png' does not exist"),
    "text renamed": (("text.png", "style.png", "-o", "out.png"), "'text.png' is not a picture"),
    "truncated": (("half.png", "style.png", "-o", "out.png"), "'half.png' is damaged"),
    "tiny": (("photo.png", "dot.png", "-o", "out.png"), "1 x 1 px"),
    "folder missing": ((*PHOTO_AND_STYLE, "-o", "gone/out.png"), "'gone' does not exist"),
    "output is a folder": ((*PHOTO_AND_STYLE, "-o", "folder.png"), "is a folder"),
    "suffix": ((*PHOTO_AND_STYLE, "-o", "out.xyz"), "'out.xyz'; end the name in .png"),
    "method": ((*PHOTO_AND_STYLE, "-o", "out.png", "--method", "magic"), "no method 'magic'"),
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
        "no backbone called 'resnet'",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_is_one_line_on_stderr_and_code_2(shell, tmp_path, case):
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "half.png").write_bytes((tmp_path / "photo.png").read_bytes()[:1500])
    (tmp_path / "folder.png").mkdir()
    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
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
        (("--steps", "10"), "required: --photos"),
    ):
        code, _, err = shell(command, *arguments)
        assert code == 2
        assert words in err
        assert err.count("\n") == 1
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
