"""Training one style: it learns, resumes, keeps what it had, and says what is wrong."""

import errno
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image

from nst_demo import backbones, cli, images, weights
from nst_demo.errors import StyleTransferError
from nst_demo.methods import feedforward
from nst_demo.training import data, files, loop, teachers
from nst_demo.training import feedforward as training

SMALL = backbones.Architecture((4, 6, 8, 8, 8), (1, 1, 1, 1, 1))


@pytest.fixture(autouse=True)
def small_networks(monkeypatch):
    """Both networks a few channels wide, so that a step takes milliseconds."""
    load = backbones.build

    def build(name: str) -> keras.Model:
        network = load(name)
        rng = np.random.default_rng(3)
        network.set_weights([rng.normal(0, 0.2, w.shape) for w in network.get_weights()])
        return network

    monkeypatch.setitem(backbones.ARCHITECTURES, "lite", SMALL)
    monkeypatch.setattr(backbones, "load", build)
    monkeypatch.setattr(backbones, "readouts", lambda name: {})
    monkeypatch.setattr(feedforward, "CHANNELS", (4, 6, 8))
    feedforward._shapes.cache_clear()
    yield
    feedforward._shapes.cache_clear()


@pytest.fixture
def photos(tmp_path, picture) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(3):
        images.save_image(folder / f"{seed}.png", picture(80, 96, seed))
    return folder


@pytest.fixture
def wave(tmp_path, picture) -> Path:
    images.save_image(tmp_path / "wave.png", picture(70, 90, 11) ** 2)
    return tmp_path / "wave.png"


def run_options(folder: Path, **values: Any) -> loop.RunOptions:
    defaults = {"steps": 20, "batch": 2, "crop": 64, "learning_rate": 1e-2, "averaging": 0.5}
    return loop.RunOptions(folder, **(defaults | values))


def train(tmp_path: Path, style: Path, photos: Path, fresh: bool = False, **values: Any) -> Path:
    """Trains in tmp_path/run; the output."""
    output = tmp_path / "out.weights.h5"
    options = run_options(tmp_path / "run", **values)
    training.train(style, photos, ["lite"], output, options, fresh=fresh)
    return output


def checkpoint(tmp_path: Path) -> dict[str, np.ndarray]:
    return files.read_npz(tmp_path / "run" / "checkpoint.npz")


def steps_done(tmp_path: Path) -> int:
    state = checkpoint(tmp_path)
    return int(state[min(name for name in state if name.startswith("optimizer"))])


def total_loss(style: Path, photos: Path, output: Path | None) -> float:
    """Of the network in `output`, or of a fresh one, on a fixed batch."""
    keras.utils.set_random_seed(0)
    network = feedforward.FeedforwardNetwork()
    network.build()
    if output is not None:
        network.load_weights(output)
    loss_network = teachers.Teacher(["lite"], backbones.STYLE_LAYERS)
    picture = images.open_picture(style).rgb
    statistics = feedforward.style_statistics(loss_network, picture[None])
    folder = data.PictureFolder(photos, 64)
    (content,) = data.CropBatches([partial(folder.crop, side=64)], 4, 0, 1, seed=9)[0]
    photos = data.in_unit_range(content)
    parts = feedforward.objective(network, loss_network, photos, statistics)
    return sum(
        weight * float(parts[name])
        for name, weight in training.asdict(feedforward.ObjectiveWeights()).items()
    )


def test_training_lowers_the_loss_and_shows_what_it_does(tmp_path, wave, photos, capsys):
    before = total_loss(wave, photos, None)
    output = train(tmp_path, wave, photos, steps=40)
    assert total_loss(wave, photos, output) < 0.8 * before
    assert feedforward.fits(output)
    with Image.open(tmp_path / "run" / "preview.png") as sheet:
        side = 64 - 2 * feedforward.TRIM
        assert sheet.size == (5 * side, 2 * side)  # the style, and four photos above what they are
    told = capsys.readouterr().out
    assert "out.weights.h5: 40 steps of 2 crops" in told
    assert "nst-demo stylize PHOTO -o OUT.png --network out" in told


@pytest.mark.usefixtures("untraced")
def test_a_run_in_parts_ends_where_an_uninterrupted_one_does(tmp_path, wave, photos):
    """Stopped after each step by its time: the checkpoint holds all that counts."""
    parts, whole = tmp_path / "parts", tmp_path / "whole"
    for done in (1, 2):
        train(parts, wave, photos, steps=2, minutes=0)
        assert steps_done(parts) == done
    train(whole, wave, photos, steps=2)
    one, other = checkpoint(parts), checkpoint(whole)
    for name in one:
        if name != "seconds":
            if one[name].dtype.kind == "f":
                np.testing.assert_allclose(one[name], other[name], rtol=1e-3, atol=1e-4)
            else:
                assert (one[name] == other[name]).all(), name


def test_by_time_the_rate_falls_as_the_minutes_go(tmp_path, wave, photos, monkeypatch):
    """Over all parts of the run; once they are over there is nothing to do."""
    rates = []
    clock = iter(range(10**6))
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: 0.25 * next(clock)))
    monkeypatch.setattr(loop, "WARM_UP", 1)
    set_rate = loop.Checkpoint.set_learning_rate

    def watched(self, rate):
        rates.append(rate)
        set_rate(self, rate)
        assert float(self._model.optimizer.learning_rate) == pytest.approx(rate)

    monkeypatch.setattr(loop.Checkpoint, "set_learning_rate", watched)
    train(tmp_path, wave, photos, steps=None, minutes=0.2)
    first = steps_done(tmp_path)
    train(tmp_path, wave, photos, steps=None, minutes=0.4)
    assert steps_done(tmp_path) > first > 10
    assert float(checkpoint(tmp_path)["seconds"]) == pytest.approx(24, abs=1)
    half = len(rates) // 2
    assert rates[:half] == sorted(rates[:half], reverse=True)
    assert rates[-1] < 0.1 * rates[0]
    before = (tmp_path / "out.weights.h5").read_bytes()
    train(tmp_path, wave, photos, steps=None, minutes=0.4)
    assert (tmp_path / "out.weights.h5").read_bytes() == before


@pytest.mark.usefixtures("untraced")
def test_a_killed_training_goes_on_from_its_last_checkpoint(tmp_path, wave, photos):
    """Killed for good, in the middle of a step or of writing a file."""
    script = tmp_path / "kill.py"
    script.write_text(
        f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
import test_training_feedforward as t
from nst_demo.training import files, loop
class Patch:
    def setitem(self, mapping, key, value): mapping[key] = value
    def setattr(self, owner, name, value): setattr(owner, name, value)
next(t.small_networks.__wrapped__(Patch()) if hasattr(t.small_networks, "__wrapped__") else
     t.small_networks._get_wrapped_function()(Patch()))
replace, count = os.replace, [0]
def dying(aside, path):
    count[0] += str(path).endswith("checkpoint.npz")
    if count[0] == 2: os._exit(9)
    replace(aside, path)
files.os.replace = dying
t.train(Path({str(tmp_path)!r}), Path({str(wave)!r}), Path({str(photos)!r}),
        checkpoint_seconds=0.0)
"""
    )
    environment = os.environ | {"PYTHONPATH": str(Path(loop.__file__).parents[2])}
    killed = subprocess.run([sys.executable, script], env=environment, capture_output=True)
    assert killed.returncode == 9, killed.stderr.decode()[-2000:]
    assert steps_done(tmp_path) == 1
    output = train(tmp_path, wave, photos)
    assert steps_done(tmp_path) == 20
    assert feedforward.fits(output)
    assert not [f for f in tmp_path.rglob(".part-*")]


@pytest.mark.usefixtures("untraced")
def test_a_checkpoint_of_another_style_is_refused_and_kept(tmp_path, wave, photos, style_file):
    output = train(tmp_path, wave, photos, steps=2)
    kept = {f: f.read_bytes() for f in (output, tmp_path / "run" / "checkpoint.npz")}
    with pytest.raises(StyleTransferError, match=r"checkpoint of wave\.png, not of style\.png"):
        train(tmp_path, style_file, photos, steps=4)
    assert {f: f.read_bytes() for f in kept} == kept
    train(tmp_path, style_file, photos, steps=1, fresh=True)
    assert steps_done(tmp_path) == 1


def test_it_is_the_picture_that_a_checkpoint_is_of(wave, tmp_path):
    """Not its name, nor the format of its file."""
    picture = images.open_picture(wave).rgb
    images.save_image(tmp_path / "other.bmp.png", picture)
    again = images.open_picture(tmp_path / "other.bmp.png").rgb
    path = tmp_path / "checkpoint.npz"
    one = training.subject(picture, "wave.png")
    loop.check_subject(path, one, training.subject(again, "other.png"))
    with pytest.raises(StyleTransferError, match=r"of wave\.png, not of other\.png"):
        loop.check_subject(path, one, training.subject(1 - again, "other.png"))
    with pytest.raises(StyleTransferError, match=r"of something else, not of wave\.png"):
        loop.check_subject(path, "", one)


@pytest.mark.usefixtures("untraced")
def test_a_checkpoint_of_another_network_is_refused(tmp_path, wave, photos, monkeypatch):
    train(tmp_path, wave, photos, steps=1)
    (tmp_path / "out.weights.h5").unlink()
    monkeypatch.setattr(feedforward, "CHANNELS", (4, 6, 10))
    with pytest.raises(StyleTransferError, match="checkpoint of another architecture"):
        train(tmp_path, wave, photos, steps=2)


def test_an_output_with_other_weights_is_refused_and_kept(tmp_path, wave, photos):
    output = tmp_path / "out.weights.h5"
    loop.save_weights(backbones.build_network(SMALL, "unit", "small"), output)
    before = output.read_bytes()
    with pytest.raises(StyleTransferError, match=r"out\.weights\.h5 holds no weights of this"):
        train(tmp_path, wave, photos)
    assert output.read_bytes() == before


@pytest.mark.usefixtures("untraced")
def test_another_style_can_be_begun_with(tmp_path, wave, photos, style_file):
    first = train(tmp_path / "a", wave, photos, steps=5)
    output = tmp_path / "b.weights.h5"
    options = run_options(tmp_path / "run", steps=1, learning_rate=1e-9)
    training.train(style_file, photos, ["lite"], output, options, start=first)
    found = []
    for file in (first, output):
        network = feedforward.FeedforwardNetwork()
        network.build()
        network.load_weights(file)
        found.append(network.get_weights())
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)
    for none in (tmp_path / "none.weights.h5", wave):
        with pytest.raises(StyleTransferError, match="holds no weights of this network"):
            training.train(wave, photos, ["lite"], output, options, start=none)


def weights_in(file: Path) -> list[np.ndarray]:
    network = feedforward.FeedforwardNetwork()
    network.build()
    network.load_weights(file)
    return network.get_weights()


@pytest.mark.usefixtures("untraced")
def test_without_a_checkpoint_it_goes_on_from_the_output(tmp_path, wave, photos):
    """But not where it is to begin again."""
    output = train(tmp_path, wave, photos, steps=5)
    before = weights_in(output)
    (tmp_path / "run" / "checkpoint.npz").unlink()
    train(tmp_path, wave, photos, steps=1, learning_rate=1e-9)
    for one, other in zip(before, weights_in(output), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)
    train(tmp_path, wave, photos, steps=1, learning_rate=1e-9, seed=5, fresh=True)
    after = weights_in(output)
    assert any(np.abs(a - b).max() > 0.05 for a, b in zip(before, after, strict=True))


def test_chens_loss_is_numpys(picture):
    """Of two pictures, on a backbone with features in VGG's size, but without its block4_conv2."""
    trim = feedforward.TRIM
    backbone = backbones.load("lite")
    teacher = teachers.LikeVGG("lite", feedforward.LOSSES["chen"].layers)
    content = np.stack([picture(80, 80, seed) for seed in (1, 2)])
    painted = np.stack([picture(64, 64, seed) for seed in (3, 4)])
    style = picture(48, 56, 5)[None]
    statistics = feedforward.style_statistics(teacher, style)
    paint: Any = lambda _: ops.convert_to_tensor(painted)  # noqa: E731
    found = feedforward.chen_objective(paint, teacher, content, statistics)

    def features(image: np.ndarray, layer: str) -> np.ndarray:
        return 150.0 * np.asarray(backbone(image)[layer], "float64")

    def gram(x: np.ndarray) -> np.ndarray:
        return np.einsum("hwc,hwd->cd", x, x) / x.size

    def mean_square(difference: np.ndarray) -> float:
        return float((difference**2).mean())

    of_style, of_content = 0.0, 0.0
    for number in range(2):
        for layer in backbones.STYLE_LAYERS:
            own, wanted = features(painted, layer)[number], features(style, layer)[0]
            of_style += mean_square(gram(own) - gram(wanted)) / 2
        inside = content[:, trim:-trim, trim:-trim]
        own, wanted = (features(image, "block4_conv1")[number] for image in (painted, inside))
        of_content += mean_square(own - wanted) / 2
    pixels = 255.0 * painted.astype("float64")
    variation = mean_square(np.diff(pixels, axis=1)) + mean_square(np.diff(pixels, axis=2))
    expected = {"style": of_style, "content": of_content, "variation": variation}
    assert found.keys() == expected.keys()
    for part, value in expected.items():
        assert float(found[part]) == pytest.approx(value, rel=1e-3)
    assert training.asdict(feedforward.ChenWeights()) == {
        "style": 100, "content": 7.5, "variation": 200,
    }  # fmt: skip


def test_a_style_can_be_trained_by_chens_loss(tmp_path, wave, photos, capsys):
    command = ["train-style", str(wave), "--photos", str(photos), "--loss", "chen", "--steps", "60"]
    command += ["-o", str(tmp_path / "wave.weights.h5"), "--crop", "64", "--batch", "2"]
    cli.main([*command, "--learning-rate", "1e-2"])
    rows = (tmp_path / "wave.run" / "log.csv").read_text().splitlines()
    assert set(rows[0].split(",")) >= {"style", "content", "variation"}
    assert feedforward.fits(tmp_path / "wave.weights.h5")
    with pytest.raises(SystemExit):
        cli.main([*command, "--loss", "ours"])
    assert "is a checkpoint of wave.png by chen, not of wave.png;" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main([*command, "--fresh", "--loss-network", "a.npz"])
    assert "backbone of the loss chen is 'a.npz'; choose one of" in capsys.readouterr().err


@pytest.mark.usefixtures("untraced")
def test_broken_photos_are_skipped_and_counted(tmp_path, wave, photos, capsys):
    for number in range(3):
        (photos / f"broken{number}.jpg").write_bytes(b"\xff\xd8 no picture")
    train(tmp_path, wave, photos, steps=10)
    assert capsys.readouterr().out.count("3 of 6 files") == 1


def test_a_folder_without_photos_or_a_style_that_is_none_is_one_sentence(tmp_path, wave, photos):
    empty, text = tmp_path / "empty", tmp_path / "text.png"
    empty.mkdir()
    text.write_text("no picture")
    for style, folder, words in (
        (wave, empty, "empty; put pictures"),
        (wave, tmp_path / "missing", "no folder"),
        (text, photos, "style"),
        (tmp_path / "missing.png", photos, "missing.png"),
    ):
        with pytest.raises(StyleTransferError, match=words) as error:
            train(tmp_path, style, folder)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "out.weights.h5").exists()


@pytest.mark.usefixtures("untraced")
def test_a_full_disk_is_one_sentence_and_keeps_the_earlier_files(
    tmp_path, wave, photos, monkeypatch
):
    output = train(tmp_path, wave, photos, steps=2)
    kept = {f: f.read_bytes() for f in (output, tmp_path / "run" / "checkpoint.npz")}

    def replace(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "replace", replace)
    with pytest.raises(StyleTransferError, match="No space left on device"):
        train(tmp_path, wave, photos, steps=4)
    assert {f: f.read_bytes() for f in kept} == kept


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"steps": None}, "length of the training|minutes"),
        ({"steps": None, "minutes": 0}, "minutes must be above 0"),
        ({"steps": None, "minutes": float("nan")}, "minutes must be above 0"),
    ],
)
def test_a_training_without_length_is_refused(tmp_path, values, words):
    with pytest.raises(StyleTransferError, match=words):
        run_options(tmp_path, **values)


@pytest.mark.usefixtures("untraced")
def test_bfloat16_trains_the_same_network(tmp_path, wave, photos):
    output = train(tmp_path, wave, photos, steps=3, mixed_precision=True)
    assert keras.config.dtype_policy().name == "float32"
    network = feedforward.FeedforwardNetwork()
    network.build()
    network.load_weights(output)
    assert all(np.isfinite(ops.convert_to_numpy(w)).all() for w in network.weights)


def saved_network(path: Path, seed: int) -> list[np.ndarray]:
    """Random weights, as they are read from the file."""
    keras.utils.set_random_seed(seed)
    network = feedforward.FeedforwardNetwork()
    network.build()
    path.parent.mkdir(parents=True, exist_ok=True)
    loop.save_weights(network, path)
    network.load_weights(path)  # in float16
    return network.get_weights()


def equal(found: list[np.ndarray], expected: list[np.ndarray]) -> bool:
    return all(np.array_equal(*pair) for pair in zip(found, expected, strict=True))


def test_a_new_style_begins_with_the_nearest_packaged_one(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(weights, "PRETRAINED", tmp_path)
    names = ("far", "near", "further")
    ours = {n: saved_network(tmp_path / f"styles/{n}.weights.h5", i) for i, n in enumerate(names)}
    network = feedforward.FeedforwardNetwork()
    network.build()
    before, photos, reset = network.get_weights(), np.zeros((1, 8, 8, 3)), []

    def loss(pictures: np.ndarray) -> float:
        assert pictures is photos
        (is_now,) = [name for name, own in ours.items() if equal(network.get_weights(), own)]
        return {"far": 2.0, "near": 1.0, "further": 3.0}[is_now]

    model: Any = SimpleNamespace(
        network=network, compute_loss=loss, reset_metrics=lambda: reset.append(True)
    )
    training._begin_with_nearest(model, photos)
    assert equal(network.get_weights(), ours["near"])
    assert reset
    assert "begins with near," in capsys.readouterr().out
    monkeypatch.setattr(feedforward, "fits", lambda path: False)
    network.set_weights(before)
    training._begin_with_nearest(model, photos)
    assert equal(network.get_weights(), before)
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("untraced")
def test_the_nearest_is_looked_for_unless_weights_are_there(tmp_path, wave, photos, monkeypatch):
    looked = []
    monkeypatch.setattr(training, "_begin_with_nearest", lambda *_: looked.append(True))
    output, options = tmp_path / "out.weights.h5", run_options(tmp_path / "run", steps=1)
    for start, fresh, expected in (
        (None, False, 0),
        ("packaged", False, 0),
        ("packaged", True, 1),
        (output, True, 1),
    ):
        training.train(wave, photos, ["lite"], output, options, start=start, fresh=fresh)
        assert len(looked) == expected
    output.unlink()
    training.train(wave, photos, ["lite"], output, options, start="packaged")
    assert len(looked) == 2


def test_what_a_style_begins_with(tmp_path):
    def begun(output: Path, start: Path | None, fresh: bool) -> list[np.ndarray]:
        return training._begun(output, start, fresh).get_weights()

    new, other, output = (tmp_path / f"{name}.weights.h5" for name in ("new", "other", "output"))
    theirs, own = saved_network(other, 1), saved_network(output, 2)
    assert equal(begun(output, None, False), own)
    assert equal(begun(output, other, False), theirs)
    for found in (begun(output, None, True), begun(new, None, False)):
        assert not equal(found, own)
        assert not equal(found, theirs)
    assert cli._start_of_style(None, "ours") == "packaged"
    assert cli._start_of_style(None, "chen") is None
    assert cli._start_of_style("none", "ours") is None
    assert cli._start_of_style("a.weights.h5", "chen") == Path("a.weights.h5")


@pytest.mark.usefixtures("untraced")
def test_the_command_trains_a_style_that_can_be_used(
    tmp_path, wave, photos, photo_file, monkeypatch, capsys
):
    output = tmp_path / "mine" / "wave.weights.h5"
    arguments = ["train-style", str(wave), "--photos", str(photos), "-o", str(output)]
    more = ["--steps", "2", "--crop", "64", "--batch", "2", "--content-weight", "2"]
    cli.main([*arguments, *more])
    assert (tmp_path / "mine" / "wave.run" / "preview.png").exists()
    cli.main([*arguments, *more])
    assert "Nothing to do: 2 of 2 steps are done." in capsys.readouterr().out
    monkeypatch.setenv(weights.STYLES_VARIABLE, str(output.parent))
    assert "wave" in feedforward.trained_styles()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-o", "x.h5"], "end its name in .weights.h5"),
        (["-o", "x.weights.h5", "--backbone", "resnet"], "resnet"),
        (["-o", "x.weights.h5", "--minutes", "-1"], "minutes must be above 0"),
        (["-o", "x.weights.h5", "--style-weight", "-1"], "style weight is -1.0"),
    ],
)
def test_a_wrong_command_is_one_sentence(
    tmp_path, wave, photos, arguments, words, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        cli.main(["train-style", str(wave), "--photos", str(photos), *arguments])
    assert end.value.code == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert len(told) == 1
    assert words in told[0]
