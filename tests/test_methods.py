"""A method is a file and a line in METHODS: tried with one that takes no style picture."""

import json
import subprocess
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import nst_demo
from nst_demo import StyleTransferError, cli, color, images, methods, settings, weights
from nst_demo.methods import METHODS, Method

ROOT = Path(nst_demo.__file__).parents[1]


@dataclass(frozen=True)
class Options:
    network: str
    strength: float = 1.0
    passes: int = 1

    def __post_init__(self):
        if self.network not in ("dark", "light"):
            raise StyleTransferError(f"There is no trained style {self.network!r}.")


def stylize(content, styles, options):
    assert len(styles) == 0
    return content * np.float32(0.5 if options.network == "dark" else 0.9) ** options.passes


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> str:
    """The method "fake"."""
    module = types.ModuleType("nst_demo.methods.fake")
    vars(module).update(
        Options=Options, stylize=stylize, expected_seconds=lambda height, width, options: 2.0
    )
    monkeypatch.setitem(sys.modules, module.__name__, module)
    networks = {"dark": Path("dark"), "light": Path("light")}
    method = Method("fake", "Fakes", "Paints dark.", styles=(0, 0), networks=lambda: networks)
    monkeypatch.setitem(METHODS, "fake", method)
    return "fake"


def test_a_method_may_take_no_style(fake, photo):
    for style in ({}, {"style": None}, {"style": []}):
        found = nst_demo.stylize(photo, method=fake, network="dark", **style)
        np.testing.assert_allclose(found, photo / 2, atol=1e-6)
    assert nst_demo.expected_seconds(fake, 40, 40, network="dark") == 2.0


def test_without_a_style_one_mask_says_where_the_photo_stays(fake, photo):
    left = np.zeros(photo.shape[:2], "float32")
    left[:, :20] = 1
    found = nst_demo.stylize(photo, method=fake, network="dark", masks=left)
    np.testing.assert_allclose(found[:, :20], photo[:, :20] / 2, atol=1e-6)
    np.testing.assert_array_equal(found[:, 20:], photo[:, 20:])
    found = nst_demo.stylize(photo, method=fake, network="dark", masks=[left])
    np.testing.assert_array_equal(found[:, 20:], photo[:, 20:])
    with pytest.raises(StyleTransferError, match="0 styles were given 2 masks; give one mask"):
        nst_demo.stylize(photo, method=fake, network="dark", masks=[left, left])


def test_without_a_style_the_painting_gets_the_photos_colours(fake, photo):
    kept = nst_demo.stylize(photo, method=fake, network="dark", keep_colors="histogram")
    np.testing.assert_allclose(kept, color.match_colors(photo / 2, photo), atol=1e-4)
    kept = nst_demo.stylize(photo, method=fake, network="dark", keep_colors="luminance")
    np.testing.assert_allclose(kept, color.with_colors_of(photo, photo / 2), atol=1e-4)


@pytest.mark.parametrize(
    ("method", "count", "words"),
    [
        ("fake", 1, "'fake' takes no style picture, not 1; leave it out"),
        ("magenta", 2, "'magenta' takes one style, not 2; blend with 'adain'"),
        ("magenta", 0, "No style was given; the method 'magenta' takes one style"),
        ("adain", 0, "No style was given; the method 'adain' takes one style or more"),
        ("gatys", 0, "No style was given"),
    ],
)
def test_a_wrong_number_of_styles_is_one_sentence(fake, photo, style, method, count, words):
    options = {"network": "dark"} if method == "fake" else {}
    with pytest.raises(StyleTransferError, match=words):
        nst_demo.stylize(photo, [style] * count, method=method, **options)


def test_the_words_for_numbers_of_styles(monkeypatch):
    found = []
    for styles in ((0, 0), (1, 1), (1, None), (0, None), (2, None), (2, 4), (3, 3)):
        monkeypatch.setitem(METHODS, "other", Method("other", "", "", styles=styles))
        found.append(methods.wanted("other"))
    assert found == [
        "no style picture",
        "one style",
        "one style or more",
        "any number of styles",
        "2 styles or more",
        "2 to 4 styles",
        "3 styles",
    ]
    with pytest.raises(StyleTransferError, match="takes 3 styles, not 2; give more"):
        methods.check_styles("other", 2)


def test_a_missing_network_is_told_with_those_there_are(fake, photo):
    with pytest.raises(StyleTransferError, match="'network': one of dark, light"):
        nst_demo.stylize(photo, method=fake)


def test_the_shell_knows_it(fake, photo_file, photo, tmp_path, capsys):
    out = tmp_path / "out.png"
    command = ["stylize", str(photo_file), "-o", str(out), "--method", fake, "--network", "dark"]
    cli.main(command)
    assert "fake dark" in capsys.readouterr().out
    np.testing.assert_allclose(images.open_picture(out).rgb, photo / 2, atol=0.01)
    found = settings.read(out)
    assert (found.method, found.styles, found.options["network"]) == (fake, (), "dark")
    again = tmp_path / "again.png"
    cli.main(["stylize", str(photo_file), "-o", str(again), "--settings", str(out)])
    assert out.read_bytes() == again.read_bytes()
    cli.main([*command, "--option", "passes=2"])  # no flag of its own
    np.testing.assert_allclose(images.open_picture(out).rgb, photo / 4, atol=0.01)


def test_settings_with_a_wrong_number_of_styles_are_refused(fake):
    made = settings.describe(fake, {"network": "dark"}, settings.Input("a", "0" * 64), [])
    data = json.loads(settings.to_json(made))
    assert settings.from_json(json.dumps(data)) == made
    data["styles"] = [{"name": "b", "sha256": "0" * 64}]
    with pytest.raises(StyleTransferError, match="takes no style picture, not 1"):
        settings.from_json(json.dumps(data))


def test_the_methods_are_listed_with_a_line_each(fake, capsys):
    cli.main(["methods"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(METHODS)
    line = next(line for line in lines if line.startswith("fake"))
    assert line.endswith("Paints dark. Takes no style picture. There are: dark, light.")
    assert any("Downloaded on first use" in line for line in lines)


def test_every_method_has_what_its_line_says():
    for method in METHODS.values():
        assert callable(method.stylize)
        assert callable(method.expected_seconds)
        assert (method.iterate is not None) == method.gradual
        assert method.title
        assert method.about.endswith(".")


def test_the_list_of_methods_loads_no_keras():
    code = (
        "import sys\nfrom nst_demo.methods import METHODS\n"
        "[m.available for m in METHODS.values()]\n"
        "print([m for m in ('tensorflow', 'keras', 'h5py') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == "[]"


def test_trained_styles_are_those_of_the_package_and_of_a_folder(monkeypatch, tmp_path, caplog):
    packaged, own = tmp_path / "package" / "styles", tmp_path / "own"
    for folder, names in ((packaged, "ab"), (own, "bc")):
        folder.mkdir(parents=True)
        for name in names:
            (folder / f"{name}.weights.h5").write_bytes(weights.HDF5 + b"...")
    (own / "broken.weights.h5").write_text("no weights")
    (own / ".part-c.weights.h5").write_text("being written")
    monkeypatch.setattr(weights, "PRETRAINED", tmp_path / "package")
    monkeypatch.delenv(weights.STYLES_VARIABLE, raising=False)
    assert list(weights.trained_styles()) == ["a", "b"]
    monkeypatch.setenv(weights.STYLES_VARIABLE, str(own))
    assert weights.trained_styles() == {
        "a": packaged / "a.weights.h5",
        "b": own / "b.weights.h5",
        "c": own / "c.weights.h5",
    }
    assert [record.getMessage() for record in caplog.records] == [
        f"The trained style {own / 'broken.weights.h5'} is no weights file; it is left out."
    ]
    monkeypatch.setenv(weights.STYLES_VARIABLE, str(tmp_path / "gone"))
    assert list(weights.trained_styles()) == ["a", "b"]
