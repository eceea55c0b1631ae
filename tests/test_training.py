"""The trainings: data, the loop with its checkpoints, and both networks for a few steps."""

import ast
import errno
import functools
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops
from PIL import Image

import nst_demo
from nst_demo import backbones, images, losses, models
from nst_demo.errors import StyleTransferError
from nst_demo.methods import adain, gatys
from nst_demo.training import adain as train_adain
from nst_demo.training import chart, data, distill, files, loop, store, teachers
from nst_demo.training.log import Log

# These also run under JAX, where that is installed: see the test that names them.
UNDER_JAX = (
    "test_the_loop_learns_and_exports_the_averaged_weights",
    "test_a_run_that_is_stopped_again_and_again_ends_where_an_uninterrupted_one_does",
    "test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint",
    "test_train_adain_resumes_with_other_crops_batches_and_precision",
)


def numpy(value) -> np.ndarray:
    return ops.convert_to_numpy(value)


# ---- data ----------------------------------------------------------------------------------------


def noise(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype="uint8")


@pytest.fixture
def mixed_folder(tmp_path) -> Path:
    """Four usable pictures, of unusual kinds and in a subfolder, and five that are not."""
    folder = tmp_path / "mixed"
    (folder / "deeper").mkdir(parents=True)
    Image.fromarray(noise(0, 90, 70, 3)).save(folder / "colour.jpg")
    Image.fromarray(noise(1, 80, 100)).save(folder / "grey.png")
    Image.fromarray(noise(2, 64, 64, 4)).save(folder / "deeper" / "transparent.webp")
    deep = noise(3, 70, 70).astype("uint16") * 257
    Image.fromarray(deep).save(folder / "sixteen bits.png")
    Image.fromarray(noise(4, 20, 300, 3)).save(folder / "too low.png")
    Image.fromarray(noise(5, 1, 1, 3)).save(folder / "dot.png")
    whole = (folder / "colour.jpg").read_bytes()
    (folder / "broken.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "notes.txt").write_text("no picture")
    (folder / "empty.png").touch()
    (folder / ".hidden").write_text("not even tried")
    return folder


@pytest.fixture
def pictures(tmp_path) -> tuple[Path, Path]:
    """A folder of three photos and one of three paintings."""
    folders = tmp_path / "photos", tmp_path / "styles"
    rng = np.random.default_rng(0)
    for folder in folders:
        folder.mkdir()
        for i in range(3):
            soft = images.resize(rng.random((6, 6, 3)).astype("float32"), 80, 96)
            images.save_image(folder / f"{i}.png", soft)
    return folders


def test_unusable_files_are_skipped_and_counted_once(mixed_folder, capsys):
    folder = data.PictureFolder(mixed_folder, 64)
    assert len(folder.files) == 9  # the hidden one is not looked at
    for _ in range(2):
        usable = {folder.files[i].name for i in range(9) if folder.picture(i) is not None}
        assert usable == {"colour.jpg", "grey.png", "transparent.webp", "sixteen bits.png"}
        assert folder.skipped == 5
    assert capsys.readouterr().out == (
        f"5 of 9 files in {mixed_folder} were skipped: not pictures, or under 64 px.\n"
    )


def test_all_files_are_read_from_the_first_crop_on(mixed_folder, capsys):
    """Which files are no pictures is then known before chance has drawn them all."""
    folder = data.PictureFolder(mixed_folder, 64)
    folder.crop(np.random.default_rng(0), 64)
    folder._reader.join(10)
    assert folder.skipped == 5
    assert capsys.readouterr().out.count("5 of 9 files") == 1


def test_nothing_is_said_of_a_folder_of_pictures(pictures, capsys):
    folder = data.PictureFolder(pictures[0], 64)
    folder.crop(np.random.default_rng(0), 64)
    folder._reader.join(10)
    assert capsys.readouterr().out == ""


def test_reading_ahead_ends_where_memory_does(pictures, monkeypatch):
    monkeypatch.setattr(models, "free_on_machine", lambda: 6 * 80 * 96 * 4)
    folder = data.PictureFolder(pictures[0], 64)
    folder._read_all()
    assert (list(folder._cache), folder._tried) == ([0], {0, 1})


def test_every_kind_becomes_three_channels_of_8_bits(mixed_folder):
    folder = data.PictureFolder(mixed_folder, 64)
    found = {file.name: folder.picture(i) for i, file in enumerate(folder.files)}
    assert {p.mode for p in found.values() if p is not None} == {"RGB"}
    grey, deep = (np.asarray(found[name]) for name in ("grey.png", "sixteen bits.png"))
    np.testing.assert_array_equal(grey[..., 1], noise(1, 80, 100))
    np.testing.assert_array_equal(deep[..., 2], noise(3, 70, 70))


def test_crops_are_windows_of_the_pictures(tmp_path):
    """A picture of one size only: every crop is it, or its mirror image."""
    pixels = noise(6, 64, 64, 3)
    Image.fromarray(pixels).save(tmp_path / "only.png")
    folder = data.PictureFolder(tmp_path, 64)
    rng = np.random.default_rng(0)
    found = [folder.crop(rng, 64) for _ in range(20)]
    plain = [np.array_equal(crop, pixels) for crop in found]
    mirrored = [np.array_equal(crop, pixels[:, ::-1]) for crop in found]
    assert all(a or b for a, b in zip(plain, mirrored, strict=True))
    assert any(plain)
    assert any(mirrored)


def test_pictures_are_decoded_once_while_they_fit_and_again_when_not(pictures, monkeypatch):
    decoded = []
    decode = data.PictureFolder._decode
    monkeypatch.setattr(
        data.PictureFolder, "_decode", lambda self, i: decoded.append(i) or decode(self, i)
    )
    for room, times in ((1 << 30, 1), (1, 3)):
        monkeypatch.setattr(models, "free_on_machine", lambda room=room: room)
        decoded.clear()
        folder = data.PictureFolder(pictures[0], 64)
        for _ in range(3):
            folder.picture(0)
        assert decoded == [0] * times


@pytest.mark.parametrize(
    ("files", "words"),
    [(None, "is no folder"), ([], "is empty; put pictures"), (["notes.txt"], "1 were tried")],
)
def test_a_folder_without_pictures_is_refused(tmp_path, files, words):
    folder = tmp_path / "photos"
    if files is not None:
        folder.mkdir()
        for name in files:
            (folder / name).write_text("no picture")
    with pytest.raises(StyleTransferError, match=words):
        data.PictureFolder(folder, 64).crop(np.random.default_rng(0), 64)


def batches(folders, first: int, last: int, seed: int = 0) -> data.CropBatches:
    cutters = [partial(data.PictureFolder(f, 64).crop, side=64) for f in folders]
    return data.CropBatches(cutters, 2, first, last, seed)


def test_a_batch_has_crops_of_each_folder(pictures):
    ((content, style),) = batches(pictures, 0, 5)[3]
    for crops in (content, style):
        assert crops.shape == (2, 64, 64, 3)
        assert crops.dtype == np.uint8
        in_unit = numpy(data.in_unit_range(crops))
        np.testing.assert_allclose(in_unit, crops / 255, rtol=1e-6)
    assert not np.array_equal(content, style)
    (alone,) = batches(pictures[:1], 0, 5)[3]
    assert alone.shape == (2, 64, 64, 3)


def test_the_batch_of_a_step_does_not_depend_on_where_the_run_began(pictures):
    whole, resumed = batches(pictures, 0, 10), batches(pictures, 6, 10)
    assert (len(whole), len(resumed)) == (10, 4)
    for expected, found in ((whole[6], resumed[0]), (whole[9], resumed[3])):
        np.testing.assert_array_equal(expected[0], found[0])


def test_steps_and_seeds_give_different_batches(pictures):
    first = batches(pictures, 0, 10)[0][0][0]
    assert not np.array_equal(first, batches(pictures, 0, 10)[1][0][0])
    assert not np.array_equal(first, batches(pictures, 0, 10, seed=1)[0][0][0])


# ---- teachers ------------------------------------------------------------------------------------


def write_teacher(path: Path, channels=(4, 6, 6, 8, 8), seed: int = 0, **changes: Any) -> Path:
    """Random weights in the documented format, conv1_1 ... conv5_1; `changes` replace arrays."""
    rng = np.random.default_rng(seed)
    arrays = {"conv0/kernel": 2 * np.eye(3)[None, None], "conv0/bias": -np.ones(3)}
    incoming = 3
    for block, outgoing in enumerate(channels, 1):
        spread = (2 / (9 * incoming)) ** 0.5
        arrays[f"conv{block}_1/kernel"] = rng.normal(0, spread, (3, 3, incoming, outgoing))
        arrays[f"conv{block}_1/bias"] = rng.normal(0, 0.1, outgoing)
        incoming = outgoing
    np.savez(path, **(arrays | changes))
    return path


@pytest.fixture
def teacher(tmp_path) -> Path:
    return write_teacher(tmp_path / "teacher.npz")


def test_an_npz_teacher_computes_what_its_format_says(teacher):
    arrays = np.load(teacher)
    image = np.random.default_rng(1).random((1, 32, 37, 3)).astype("float32")
    found = teachers.from_npz(teacher)(image)
    x = np.einsum("hwc,cd->hwd", image[0], arrays["conv0/kernel"][0, 0]) + arrays["conv0/bias"]
    for block in range(1, 6):
        if block > 1:
            height, width = (side // 2 * 2 for side in x.shape[:2])
            x = x[:height, :width].reshape(height // 2, 2, width // 2, 2, -1).max((1, 3))
        padded = np.pad(x, ((1, 1), (1, 1), (0, 0)), mode="reflect")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))
        kernel, bias = (arrays[f"conv{block}_1/{part}"] for part in ("kernel", "bias"))
        x = np.maximum(np.einsum("hwcde,deco->hwo", windows, kernel) + bias, 0)
        np.testing.assert_allclose(numpy(found[f"block{block}_conv1"])[0], x, atol=1e-5)


def test_each_layer_comes_from_the_first_teacher_that_has_it(tmp_path, teacher):
    """Another one up to conv2_1, then the deeper layers of the whole one."""
    short = write_teacher(tmp_path / "short.npz", channels=(5, 7), seed=1)
    image = np.random.default_rng(1).random((1, 64, 64, 3)).astype("float32")
    found = teachers.Teacher([short, teacher], backbones.STYLE_LAYERS)(image)
    assert [found[layer].shape[-1] for layer in backbones.STYLE_LAYERS] == [5, 7, 6, 8, 8]
    assert list(found) == list(backbones.STYLE_LAYERS)


def test_a_teacher_is_not_trained(teacher):
    assert teachers.Teacher([teacher], backbones.STYLE_LAYERS).trainable_variables == []


def test_a_teacher_without_a_layer_is_refused(tmp_path):
    short = write_teacher(tmp_path / "short.npz", channels=(5, 7))
    with pytest.raises(StyleTransferError, match=r"short\.npz has a layer block3_conv1"):
        teachers.Teacher([short], backbones.STYLE_LAYERS)


@pytest.mark.parametrize("content", [None, b"", b"text", b"PK\x03\x04 half a zip"])
def test_a_teacher_that_cannot_be_read_is_refused(tmp_path, content):
    path = tmp_path / "teacher.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StyleTransferError, match=r"teacher\.npz cannot be read as \.npz"):
        teachers.from_npz(path)


def test_an_npz_of_something_else_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", values=np.ones(3))
    with pytest.raises(StyleTransferError, match="has no arrays conv0/kernel"):
        teachers.from_npz(tmp_path / "other.npz")


# ---- the loop, on a model of four numbers --------------------------------------------------------


class Line(keras.Model):
    """y = w.x, fitted to y = sum(x)."""

    def __init__(self, width: int = 4):
        super().__init__()
        self.dense = keras.layers.Dense(1, kernel_initializer="zeros", name="dense")
        self.dense.build((None, width))
        self.built = True

    def call(self, x):
        return self.dense(x)

    def compute_loss(self, x=None, y=None, y_pred: Any = None, sample_weight=None, training=True):
        return ops.mean(ops.square(y_pred[:, 0] - ops.sum(x, axis=1)))


class Numbers(keras.utils.PyDataset):
    """Batch i is drawn from i; `bad` holds the steps whose batch is NaN."""

    def __init__(self, first: int, last: int, width: int = 4, bad=()):
        super().__init__()
        self.first, self.last, self.width, self.bad = first, last, width, bad

    def __len__(self):
        return self.last - self.first

    def __getitem__(self, index):
        rng = np.random.default_rng(self.first + index)
        x = rng.normal(size=(8, self.width)).astype("float32")
        return (x * np.nan if self.first + index in self.bad else x,)


def options(folder: Path, **values: Any) -> loop.RunOptions:
    return loop.RunOptions(folder, **{"steps": 40, "learning_rate": 0.1, **values})


def fit(run: loop.RunOptions, width: int = 4, bad=(), model: keras.Model | None = None):
    """Trains a line in `run.folder`: (the model, (first, last) of its batches, exports)."""
    keras.utils.set_random_seed(0)
    model = model or Line(width)
    asked, exported = [], []

    def numbers(first: int, last: int) -> Numbers:
        asked.append((first, last))
        return Numbers(first, last, width, bad)

    def export() -> None:
        exported.append([np.array(numpy(w)) for w in model.trainable_variables])
        (run.folder / "output").touch()

    loop.train(model, numbers, run, export, run.folder / "output")
    return model, asked, exported


def read(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays}


def test_the_loop_learns_and_exports_the_averaged_weights(tmp_path):
    model, asked, exported = fit(options(tmp_path / "new" / "run", steps=150))
    assert asked == [(0, 150)]
    np.testing.assert_allclose(numpy(model.dense.kernel)[:, 0], 1, atol=0.1)
    state = read(tmp_path / "new" / "run" / "checkpoint.npz")
    np.testing.assert_array_equal(state["weight000"], numpy(model.dense.kernel))
    np.testing.assert_array_equal(state["average000"], exported[-1][0])
    assert not np.array_equal(exported[-1][0], numpy(model.dense.kernel))


def test_a_run_that_is_stopped_again_and_again_ends_where_an_uninterrupted_one_does(tmp_path):
    """Weights, Adam's moments, schedule and batches: all go on where they were."""
    whole, _, exported = fit(options(tmp_path / "whole", steps=12))
    asked = []
    for _ in range(2):
        asked += fit(options(tmp_path / "parts", steps=12, minutes=0))[1]
    assert asked == [(0, 12), (1, 12)]
    parts, last, exported_in_parts = fit(options(tmp_path / "parts", steps=12))
    assert last == [(2, 12)]
    for a, b in zip(whole.trainable_variables, parts.trainable_variables, strict=True):
        np.testing.assert_allclose(numpy(a), numpy(b), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(exported[-1][0], exported_in_parts[-1][0], rtol=1e-5, atol=1e-7)
    assert int(parts.optimizer.iterations) == 12


class Elsewhere(Line):
    """As under JAX's `fit`: its variables hold nothing useful until it is asked to sync."""

    syncs = 0

    def jax_state_sync(self):
        self.syncs += 1
        self.dense.kernel.assign(np.full((4, 1), 7))


def test_a_checkpoint_first_asks_for_the_values_that_fit_holds(tmp_path):
    model = Elsewhere()
    model.compile(optimizer=keras.optimizers.Adam())
    model.optimizer.build(model.trainable_variables)
    checkpoint = loop.Checkpoint(tmp_path / "checkpoint.npz", model)
    checkpoint.average = [0 * w for w in checkpoint.average]

    def lost() -> int:
        model.dense.kernel.assign(np.full((4, 1), -1))
        return model.syncs

    before = lost()
    checkpoint.update_average(0.5)
    assert model.syncs > before
    np.testing.assert_array_equal(checkpoint.average[0], 3.5)
    lost()
    checkpoint.save()
    np.testing.assert_array_equal(read(checkpoint.path)["weight000"], 7)
    lost()
    with checkpoint.averaged():
        np.testing.assert_array_equal(numpy(model.dense.kernel), 3.5)
    np.testing.assert_array_equal(numpy(model.dense.kernel), 7)


def test_the_time_left_is_that_of_the_steps_of_this_run(monkeypatch, tmp_path, capsys):
    """Resumed at step 400; the first step takes 100 s (it compiles), the others take 2 s."""
    now = [0.0]
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: now[0]))
    checkpoint: Any = SimpleNamespace(seconds=0.0, update_average=lambda decay: None)
    for minutes, words in ((None, "2.000 s/step  18 min left"), (5, "2.000 s/step  2 min left")):
        run = options(tmp_path, steps=1000, minutes=minutes, checkpoint_seconds=1e9)
        progress = loop._Progress(run, checkpoint, Log(tmp_path, 0), 400, lambda: None)
        progress.set_model(Line())
        for step in range(50):
            now[0] += 2 if step else 100
            progress.on_train_batch_end(step, {"loss": 1.0})
        assert words in capsys.readouterr().out


def test_precision_is_put_back(tmp_path):
    before = keras.config.dtype_policy()
    with loop.prepare(options(tmp_path, mixed_precision=True)):
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert keras.config.dtype_policy() == before


def test_a_finished_run_does_nothing_more(tmp_path, capsys):
    fit(options(tmp_path, steps=5))
    before = (tmp_path / "checkpoint.npz").read_bytes()
    _, asked, exported = fit(options(tmp_path, steps=5))
    assert (asked, exported) == ([], [])
    assert "Nothing to do: 5 of 5 steps" in capsys.readouterr().out
    assert (tmp_path / "checkpoint.npz").read_bytes() == before


def test_an_output_that_is_gone_is_made_anew_from_a_finished_run(tmp_path):
    _, _, exported = fit(options(tmp_path, steps=5))
    (tmp_path / "output").unlink()
    model, asked, again = fit(options(tmp_path, steps=5))
    assert asked == []
    (weights,) = again  # the averaged ones, and the run's own are in the model after it
    for found, expected, own in zip(weights, exported[-1], model.trainable_variables, strict=True):
        np.testing.assert_array_equal(found, expected)
        assert not np.array_equal(numpy(own), expected)


def test_the_rate_falls_to_a_fiftieth_at_the_last_step(tmp_path):
    model, _, _ = fit(options(tmp_path, steps=40))
    assert float(model.optimizer.learning_rate) == pytest.approx(0.1 / 50)


def test_by_time_an_optimizers_own_schedule_is_left_alone(tmp_path, monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: float(next(clock))))
    model = Line()
    rate = keras.optimizers.schedules.InverseTimeDecay(0.1, 1, 0.5)
    loop.train(
        model,
        Numbers,
        options(tmp_path, steps=None, minutes=0.5),
        lambda: None,
        tmp_path / "output",
        optimizer=keras.optimizers.Adam(rate),
    )
    steps = int(model.optimizer.iterations)
    assert steps > 10
    assert float(model.optimizer.learning_rate) == pytest.approx(0.1 / (1 + 0.5 * steps))


@pytest.mark.parametrize("by_time_first", [True, False])
def test_a_run_may_go_on_by_time_or_by_steps_instead(tmp_path, monkeypatch, by_time_first):
    lengths = [{"steps": None, "minutes": 0.2}, {"steps": 60, "minutes": 0.2}]
    done = []
    for values in lengths if by_time_first else reversed(lengths):
        clock = iter(range(10**6))
        monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda c=clock: float(next(c))))
        minutes = values["minutes"] * (1 + len(done))
        model, asked, _ = fit(options(tmp_path, **(values | {"minutes": minutes})))
        assert asked[0][0] == sum(done)
        done.append(int(model.optimizer.iterations) - sum(done))
    assert min(done) > 3


def test_a_checkpoint_that_holds_the_rate_can_be_gone_on_from(tmp_path):
    """As they did where time ended the run: the second of the optimizer's variables."""
    fit(options(tmp_path / "older", steps=5))
    path = tmp_path / "older" / "checkpoint.npz"
    shutil.copytree(tmp_path / "older", tmp_path / "newer")
    state = read(path)
    names = [name for name in state if name.startswith("optimizer")]
    values = [state.pop(name) for name in names]
    values.insert(1, np.array(0.5, "float32"))
    first = int(names[0].removeprefix("optimizer"))
    older = {f"optimizer{first + i:03d}": value for i, value in enumerate(values)}
    files.write_npz(path, state | older)
    found, asked, _ = fit(options(tmp_path / "older", steps=6))
    assert asked == [(5, 6)]
    expected, _, _ = fit(options(tmp_path / "newer", steps=6))
    np.testing.assert_allclose(numpy(found.dense.kernel), numpy(expected.dense.kernel), rtol=1e-5)


def test_a_checkpoint_of_another_architecture_is_refused_and_left_alone(tmp_path):
    fit(options(tmp_path, steps=5))
    before = (tmp_path / "checkpoint.npz").read_bytes()
    with pytest.raises(StyleTransferError, match="another architecture; give another folder"):
        fit(options(tmp_path, steps=10), width=5)
    assert (tmp_path / "checkpoint.npz").read_bytes() == before


@pytest.mark.parametrize("keep", [0, 100, -10])
def test_a_damaged_checkpoint_is_told(tmp_path, keep):
    fit(options(tmp_path, steps=5))
    path = tmp_path / "checkpoint.npz"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(StyleTransferError, match=r"checkpoint\.npz"):
        fit(options(tmp_path, steps=10))


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(tmp_path):
    """The third step is NaN, and there is a checkpoint after every step."""
    run = options(tmp_path, steps=10, checkpoint_seconds=-1)
    with pytest.raises(StyleTransferError, match=r"not finite at step 3 \(loss nan\)") as error:
        fit(run, bad={2})
    assert f"last good checkpoint is {tmp_path / 'checkpoint.npz'}" in str(error.value)
    assert "a learning rate lower than 0.1" in str(error.value)
    state = read(tmp_path / "checkpoint.npz")
    assert all(np.isfinite(array).all() for array in state.values() if array.dtype.kind == "f")
    for _ in range(2):
        good, _, _ = fit(options(tmp_path / "good", steps=10, minutes=0))
    np.testing.assert_allclose(state["weight000"], numpy(good.dense.kernel), rtol=1e-5)
    _, asked, _ = fit(run)  # with sound data it goes on from there
    assert asked == [(2, 10)]


class Poisoned(Line):
    """Its loss is finite, its gradient is NaN: the square root's slope at 0, times 0."""

    def compute_loss(self, *inputs, **named):
        return super().compute_loss(*inputs, **named) + ops.sum(ops.sqrt(0.0 * self.dense.kernel))


@pytest.mark.parametrize("checkpoint_seconds", [-1, 1000])
def test_weights_that_are_not_finite_never_become_a_checkpoint(tmp_path, checkpoint_seconds):
    with pytest.raises(StyleTransferError, match=r"not finite at step 1\b.*There is no checkpoint"):
        fit(options(tmp_path, steps=1, checkpoint_seconds=checkpoint_seconds), model=Poisoned())
    assert not (tmp_path / "checkpoint.npz").exists()


@pytest.mark.parametrize("failing", ["savez", "replace"])
def test_a_full_disk_leaves_the_earlier_checkpoint(tmp_path, monkeypatch, failing):
    fit(options(tmp_path, steps=5))
    before = (tmp_path / "checkpoint.npz").read_bytes()
    full = OSError(errno.ENOSPC, "No space left on device")

    def savez(file, **_):
        file.write(b"half")
        raise full

    def replace(*_):
        raise full

    if failing == "savez":
        monkeypatch.setattr(files.np, "savez", savez)
    else:
        monkeypatch.setattr(files.os, "replace", replace)
    with pytest.raises(StyleTransferError, match="No space left on device"):
        fit(options(tmp_path, steps=10))
    monkeypatch.undo()
    assert (tmp_path / "checkpoint.npz").read_bytes() == before
    assert sorted(f.name for f in tmp_path.iterdir()) == ["checkpoint.npz", "output"]
    assert fit(options(tmp_path, steps=10))[1] == [(5, 10)]


def test_a_full_disk_leaves_the_earlier_weights(tmp_path, monkeypatch):
    path = tmp_path / "lite.weights.h5"
    path.write_bytes(b"earlier")

    def replace(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files.os, "replace", replace)
    network = backbones.build_network(backbones.Architecture((2,), (1,)), "unit", "small")
    with pytest.raises(StyleTransferError, match="No space left on device"):
        loop.save_weights(network, path)
    assert path.read_bytes() == b"earlier"
    assert [f.name for f in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("file", ["checkpoint.npz", "log.csv", "losses.png"])
def test_a_full_disk_stops_with_one_sentence(tmp_path, monkeypatch, file):
    """At the first report that is (step 50), and at the checkpoint at the end."""
    write = os.replace

    def replace(aside, path):
        if Path(path).name == file:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(aside, path)

    monkeypatch.setattr(files.os, "replace", replace)
    with pytest.raises(StyleTransferError, match=f"{file}.*No space left on device") as error:
        fit(options(tmp_path, steps=100))
    assert "\n" not in str(error.value)
    assert not (tmp_path / file).exists()


def test_a_place_that_cannot_be_written_to_is_told_at_once(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    files.check_output(tmp_path / "new" / "folder" / "o.weights.h5")  # is made
    assert list((tmp_path / "new" / "folder").iterdir()) == []
    for path in (tmp_path / "file" / "o.weights.h5", tmp_path / "new"):
        with pytest.raises(StyleTransferError, match="cannot be written"):
            files.check_output(path)

    def write_bytes(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    with pytest.raises(StyleTransferError, match="No space left on device"):
        files.check_output(tmp_path / "o.weights.h5")


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StyleTransferError, match="file"):
        fit(options(tmp_path / "file" / "run"))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"steps": 0}, "at least 1, not 0 and 8"),
        ({"batch": 0}, "at least 1, not 40 and 0"),
        ({"crop": 70}, "multiple of 16, at least 64, not 70"),
        ({"crop": 48}, "not 48"),
    ],
)
def test_run_options_out_of_range_are_refused(tmp_path, values, words):
    with pytest.raises(StyleTransferError, match=words):
        options(tmp_path, **values)


# ---- the log and its chart ----------------------------------------------------------------------


def rows(folder: Path) -> list[str]:
    return (folder / "log.csv").read_text().splitlines()


def test_a_log_is_a_table_that_goes_on(tmp_path):
    log = Log(tmp_path, 0)
    for step in (50, 100, 150):
        log.add({"step": step, "seconds_a_step": 0.25, "loss": 1 / step})
    assert rows(tmp_path)[:2] == ["step,seconds_a_step,loss", "50,0.25,0.02"]
    with open(tmp_path / "log.csv", "a") as file:
        file.write("200,0.25,0.0")  # killed here
    resumed = Log(tmp_path, 120)
    resumed.add({"step": 150, "seconds_a_step": 0.25, "loss": 1.0})
    assert [row.split(",")[0] for row in rows(tmp_path)] == ["step", "50", "100", "150"]
    assert rows(tmp_path)[-1] == "150,0.25,1"


def test_a_log_takes_new_columns_and_mends_an_older_one(tmp_path):
    """Rows that were written twice, garbage, and a loss that did not exist before."""
    (tmp_path / "log.csv").write_text("step,loss\n50,3\n100,2\n100,2.5\n50,4\nx,y\n\n100,2\n")
    log = Log(tmp_path, 100)
    log.add({"step": 150, "loss": 1.0, "style": 0.5})
    assert rows(tmp_path) == ["step,loss,style", "50,4,", "100,2,", "150,1,0.5"]


def test_steps_that_are_done_again_replace_their_rows(tmp_path):
    fit(options(tmp_path, steps=60))
    earlier = (tmp_path / "checkpoint.npz").read_bytes()
    assert not (tmp_path / "losses.png").exists()  # one row is no curve
    fit(options(tmp_path, steps=120))
    assert [row.split(",")[0] for row in rows(tmp_path)] == ["step", "50", "100"]
    with Image.open(tmp_path / "losses.png") as picture:
        assert picture.size == (chart.WIDTH, chart.HEIGHT)
    (tmp_path / "checkpoint.npz").write_bytes(earlier)
    fit(options(tmp_path, steps=120))
    assert [row.split(",")[0] for row in rows(tmp_path)] == ["step", "50", "100"]


def found(path: Path, colour: tuple[int, int, int]) -> np.ndarray:
    """(row, column) of the pixels of that colour in the plot."""
    left, top, right, bottom = chart.PLOT
    with Image.open(path) as picture:
        plot = np.asarray(picture.convert("RGB"))[top:bottom, left:right]
    return np.argwhere((plot == colour).all(axis=2))


def test_the_chart_shows_each_curve_on_a_logarithmic_axis(tmp_path):
    path, steps = tmp_path / "losses.png", [50.0 * i for i in range(1, 40)]
    falling = [10 ** (-step / 500) for step in steps]
    chart.save(path, steps, {"loss": falling, "style": [0.1] * 39})
    first, second = (found(path, colour) for colour in chart.COLOURS[:2])
    rows, columns = first.T
    assert np.corrcoef(rows, columns)[0, 1] > 0.999  # an exponential is a straight line
    assert columns.max() - columns.min() > 600
    assert np.ptp(second[:, 0]) <= 2  # a constant is a level one


@pytest.mark.parametrize(
    "values", [[1.0, 1.0], [np.nan, np.nan], [0.0, -1.0], [1e-12, 1e12], [2.0, np.inf], [3.1, 3.2]]
)
def test_a_chart_of_anything_can_be_drawn(tmp_path, values):
    chart.save(tmp_path / "losses.png", [50.0, 100.0], {"a loss": values, "other": [0.5, 0.4]})
    chart.save(tmp_path / "losses.png", [50.0, 51.0], {"a loss": values})
    assert (tmp_path / "losses.png").exists()


# ---- balancing channels --------------------------------------------------------------------------


@pytest.fixture
def student() -> keras.Model:
    keras.utils.set_random_seed(1)
    return backbones.build_network(backbones.Architecture((4, 6, 6), (2, 1, 1)), "unit", "small")


@pytest.fixture
def crops(picture) -> np.ndarray:
    return np.stack([picture(64, 64, seed) for seed in range(2)])


def test_balance_scales_channels_and_changes_nothing_else(student, crops):
    before = {k: numpy(v) for k, v in student(crops).items()}
    distill.balance(student, crops)
    for layer, features in student(crops).items():
        found, loudest = numpy(features), before[layer].mean((0, 1, 2)).max()
        means = before[layer].mean((0, 1, 2))
        for channel, mean in enumerate(means):
            if mean < 0.01 * loudest:
                continue
            assert found[..., channel].mean() == pytest.approx(1, rel=1e-3)
            np.testing.assert_allclose(
                found[..., channel], before[layer][..., channel] / mean, rtol=1e-2, atol=1e-3
            )


def test_balance_of_a_silent_network_stays_finite(student, crops):
    layer = student.get_layer("block2_conv1")
    kernel, bias = layer.get_weights()
    layer.set_weights([0 * kernel, 0 * bias - 1])
    distill.balance(student, crops)
    assert all(np.isfinite(w).all() for w in student.get_weights())


# ---- reviving channels ---------------------------------------------------------------------------


def test_revived_channels_are_active(student, crops):
    silenced = {"block1_conv1": [1, 2], "block2_conv1": [0], "block3_conv1": [3, 5]}
    for layer, channels in silenced.items():
        kernel, bias = student.get_layer(layer).get_weights()
        bias[channels] = -1e3
        student.get_layer(layer).set_weights([kernel, bias])
    assert distill.revive(student, crops) >= 5
    for features in student(crops).values():
        active = (numpy(features) > 0).mean((0, 1, 2))
        assert active.min() >= distill.LEAST_ACTIVE


def test_reviving_changes_nothing_but_scales_where_nothing_is_silent(student, crops):
    distill.normalise_activations(student, crops)
    for layer in ("block1_conv2", "block3_conv1"):  # loud ones
        kernel, bias = student.get_layer(layer).get_weights()
        student.get_layer(layer).set_weights([7 * kernel, 7 * bias])
    before = {layer: numpy(features) for layer, features in student(crops).items()}
    assert distill.revive(student, crops) == 0
    for layer, features in student(crops).items():
        found, earlier = numpy(features), before[layer]
        factors = found.sum((0, 1, 2)) / earlier.sum((0, 1, 2))
        assert factors.min() > 0
        np.testing.assert_allclose(found, earlier * factors, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("checkpoint", [True, False])
def test_channels_are_revived_only_where_no_checkpoint_replaces_them(
    tmp_path, pictures, teacher, small_networks, capsys, checkpoint
):
    output, run = tmp_path / "lite.weights.h5", tmp_path / "run"
    for steps in (1, 2):
        distill.distill(*pictures, [teacher], output, run_options(run, steps=steps), crops=6)
        if not checkpoint:
            (run / "checkpoint.npz").unlink()
    assert ("silent channels begin anew" in capsys.readouterr().out) != checkpoint


# ---- the two networks ----------------------------------------------------------------------------


@pytest.fixture
def small_networks(monkeypatch):
    """Both networks a few channels wide, so that a step takes milliseconds."""
    small = backbones.Architecture((4, 6, 8, 8, 8), (1, 1, 1, 1, 1))
    monkeypatch.setitem(backbones.ARCHITECTURES, "lite", small)
    network = functools.partial(
        adain.AdaINNetwork, channels=(4, 6, 8, 8), experts=(2, 2, 2, 0), hidden=6
    )
    monkeypatch.setattr(adain, "AdaINNetwork", network)
    monkeypatch.setattr(train_adain, "PREVIEW", (2, 2))


def steps_done(folder: Path) -> int:
    """Adam's count, the first of the optimizer's variables."""
    state = read(folder / "checkpoint.npz")
    return int(state[min(name for name in state if name.startswith("optimizer"))])


def run_options(folder: Path, **values: Any) -> loop.RunOptions:
    return loop.RunOptions(
        folder, **{"steps": 30, "batch": 2, "crop": 64, "learning_rate": 3e-3, **values}
    )


def test_train_adain_lowers_its_objective_and_writes_what_fast_mode_loads(
    tmp_path, pictures, teacher, small_networks, monkeypatch, photo, style, recwarn
):
    output, run = tmp_path / "adain.weights.h5", tmp_path / "run"

    def objective() -> float:
        network = adain.AdaINNetwork()
        keras.utils.set_random_seed(0)
        network.build()
        if output.exists():
            network.load_weights(output)
        content, style = map(data.in_unit_range, batches(pictures, 100, 101)[0][0])
        loss_network = teachers.Teacher([teacher], backbones.STYLE_LAYERS)
        structure = adain.content_targets(loss_network, content)
        statistics = loss_network.look(style)[0]
        parts = adain.objective(network, loss_network, content, style, structure, statistics)
        weights = train_adain.asdict(adain.ObjectiveWeights())
        return sum(weights[name] * float(value) for name, value in parts.items())

    before = objective()
    train_adain.train(*pictures, [teacher], output, run_options(run))
    assert steps_done(run) == 30
    assert [str(w.message) for w in recwarn if "build()" in str(w.message)] == []
    assert objective() < 0.9 * before
    with Image.open(run / "preview.png") as sheet:
        assert sheet.size == (3 * (64 - 2 * adain.TRIM), 3 * (64 - 2 * adain.TRIM))

    monkeypatch.setattr(adain.weights, "packaged", lambda name: output)
    monkeypatch.setattr(models, "_built", {})
    painted = adain.stylize(photo, [style], adain.Options())
    assert painted.shape == photo.shape
    assert np.isfinite(painted).all()


@pytest.mark.usefixtures("untraced")
def test_train_adain_resumes_with_other_crops_batches_and_precision(
    tmp_path, pictures, teacher, small_networks
):
    output, run = tmp_path / "adain.weights.h5", tmp_path / "run"
    for steps, crop, batch, mixed in ((2, 64, 2, False), (3, 80, 3, True)):
        values = {"steps": steps, "crop": crop, "batch": batch, "mixed_precision": mixed}
        train_adain.train(*pictures, [teacher], output, run_options(run, **values))
        assert steps_done(run) == steps
    assert keras.config.dtype_policy().name == "float32"
    exported = adain.AdaINNetwork()
    exported.build()
    exported.load_weights(output)
    state = read(run / "checkpoint.npz")
    assert {a.dtype for n, a in state.items() if n[0] in "wa"} == {np.dtype("float32")}
    for i, weight in enumerate(exported.trainable_variables):
        np.testing.assert_allclose(
            numpy(weight), state[f"average{i:03d}"], rtol=1e-3, atol=1e-4, err_msg=weight.path
        )


@pytest.mark.usefixtures("untraced")
def test_train_adain_may_show_its_teacher_a_part_of_each_batch(
    tmp_path, pictures, teacher, small_networks
):
    options, output = run_options(tmp_path / "run", steps=1), tmp_path / "adain.weights.h5"
    train_adain.train(*pictures, [teacher], output, options, shown=1)
    assert steps_done(tmp_path / "run") == 1


@pytest.mark.usefixtures("untraced")
def test_train_adain_may_draw_new_crops_in_every_step(tmp_path, pictures, teacher, small_networks):
    options, output = run_options(tmp_path / "run", steps=3), tmp_path / "adain.weights.h5"
    train_adain.train(*pictures, [teacher], output, options, shown=1, crops=0)
    assert steps_done(tmp_path / "run") == 3
    assert not list((tmp_path / "run").glob("*.npy"))


def test_targets_are_the_same_computed_in_the_step_or_before(
    teacher, small_networks, crops, monkeypatch
):
    same_grain = np.array([3, 5], "int32")
    monkeypatch.setattr(keras.random, "randint", lambda *_, **__: same_grain)
    network = adain.AdaINNetwork()
    network.build()
    loss_network = teachers.Teacher([teacher], backbones.STYLE_LAYERS)
    model = train_adain.AdaINTraining(network, loss_network, adain.ObjectiveWeights(), 2)
    pixels = np.round(np.stack(crops[:2]) * 255).astype("uint8")
    content, style = pixels / np.float32(255), pixels[::-1] / np.float32(255)
    before = (
        (content, adain.content_targets(loss_network, content)),
        (style, train_adain.style_targets(loss_network, style)),
    )
    values = []
    for x in ((pixels, pixels[::-1]), before):
        model.compute_loss(x)
        values.append({name: float(t.result()) for name, t in model.trackers.items()})
        model.reset_metrics()
    for name in ("style", "content", "identity"):
        assert values[0][name] == pytest.approx(values[1][name], rel=1e-3)


def test_a_photo_may_have_the_margin_that_fast_mode_gives_it():
    crop = np.random.default_rng(0).integers(0, 256, (96, 96, 3), "uint8")
    rng = np.random.default_rng(1)
    for _ in range(5):
        found = train_adain._with_margin(crop, rng)
        assert found.shape == crop.shape
        m = adain.MARGIN
        np.testing.assert_array_equal(found[:m], found[2 * m : m : -1])
        np.testing.assert_array_equal(found[:, :m], found[:, 2 * m : m : -1])
        for turned in (found, found.swapaxes(0, 1)):
            widths = [
                width
                for width in range(m, m + adain.STRIDE)
                if np.array_equal(turned[-width:], turned[-width - 2 : -2 * width - 2 : -1])
            ]
            assert len(widths) == 1
        np.testing.assert_array_equal(found[m:64, m:64], crop[m:64, m:64])


@pytest.mark.parametrize("shown", [1, 2])
def test_the_objective_is_of_the_pictures_that_are_shown(teacher, small_networks, crops, shown):
    """The content part is then theirs alone, whatever the others are."""
    network = adain.AdaINNetwork()
    network.build()
    content, style = np.stack([crops[0], crops[1], 1 - crops[0]]), np.stack([crops[1]] * 3)
    full = teachers.Teacher([teacher], backbones.STYLE_LAYERS)
    structure = adain.content_targets(full, content)
    statistics = full.look(style)[0]
    part = teachers.Teacher([teacher], backbones.STYLE_LAYERS, shown)
    found = adain.objective(network, part, content, style, structure, statistics)
    few = slice(shown)
    expected = adain.objective(
        network,
        full,
        content[few],
        style[few],
        {layer: value[few] for layer, value in structure.items()},
        {layer: tuple(v[few] for v in values) for layer, values in statistics.items()},
    )
    for name in ("content", "style"):
        assert float(found[name]) == pytest.approx(float(expected[name]), rel=1e-3)


def test_the_output_is_tried_before_the_pictures_are(tmp_path):
    (tmp_path / "file").touch()
    output = tmp_path / "file" / "adain.weights.h5"
    with pytest.raises(StyleTransferError, match="cannot be written"):
        train_adain.train("no", "folders", ["no teacher"], output, run_options(tmp_path / "run"))


def test_distillation_resumes_lowers_its_loss_and_writes_loadable_weights(
    tmp_path, pictures, teacher, small_networks, monkeypatch
):
    output, run = tmp_path / "lite.weights.h5", tmp_path / "run"
    for minutes, steps in ((0, 1), (None, 100)):
        options = run_options(run, steps=100, learning_rate=1e-2, minutes=minutes)
        distill.distill(*pictures, [teacher], output, options, crops=6)
        assert steps_done(run) == steps
        monkeypatch.delattr(store.Store, "_compute", raising=False)  # not needed again
    lines = [line.split(",") for line in (run / "log.csv").read_text().splitlines()]
    assert {"loss", *backbones.STYLE_LAYERS} <= set(lines[0])
    column = lines[0].index("loss")
    assert float(lines[2][column]) < 0.9 * float(lines[1][column])

    network = backbones.build("lite")
    fresh = network.get_weights()
    network.load_weights(output)
    with np.load(tmp_path / "lite.readouts.npz") as readouts:
        shapes = {name: readouts[name].shape for name in readouts}
    for layer in backbones.STYLE_LAYERS:
        channels = shapes[f"{layer}/bias"][0]
        width = network.output[layer].shape[-1]
        assert shapes[f"{layer}/kernel"] == (width, channels)
    assert any(not np.array_equal(a, b) for a, b in zip(fresh, network.get_weights(), strict=True))
    ((sample, _),) = batches(pictures, 0, 1)[0]
    for features in network(sample).values():
        assert np.isfinite(numpy(features)).all()
        assert numpy(features).max() > 0


def test_readouts_turn_the_students_features_into_the_teachers():
    """A teacher that is a linear map of the student: the map is found, but for its size."""
    shape = backbones.Architecture((4,) * 5, (1,) * 5)
    network = backbones.build_network(shape, "unit", "small")
    rng = np.random.default_rng(0)
    kernel, bias = rng.uniform(0.2, 1, (4, 6)), rng.uniform(0.1, 1, 6)
    crops = [(rng.random((2, 64, 64, 3), "float32"),) for _ in range(2)]

    def teacher(batch):
        return {layer: 3 * (numpy(f) @ kernel + bias) for layer, f in network(batch[0]).items()}

    arrays = distill.fit_readouts(network, crops, teacher)
    for layer in backbones.STYLE_LAYERS:
        target = np.concatenate([teacher(batch)[layer] for batch in crops])
        features = np.concatenate([numpy(network(batch[0])[layer]) for batch in crops])
        found = features @ arrays[f"{layer}/kernel"] + arrays[f"{layer}/bias"]
        np.testing.assert_allclose(found, target / target.mean(), atol=0.02)


def test_stored_features_are_the_teachers(tmp_path, pictures, teacher):
    """In batches that depend on the step and the seed alone."""
    stores = [store.Store(tmp_path, name, 6, 64) for name in ("photos", "styles")]
    network = teachers.Teacher([teacher], distill.STORED)
    for kept, folder in zip(stores, pictures, strict=True):
        opened = data.PictureFolder(folder, 64)
        kept.fill(lambda rng, _, f=opened: f.crop(rng, 64), network, seed=0)
    (both,) = store.StoredBatches(stores, 3, 2, 5, seed=0)[1]
    for crops, stored in both:
        assert (crops.shape, crops.dtype) == ((3, 64, 64, 3), np.float32)
        for layer, features in network(crops).items():
            np.testing.assert_allclose(stored[layer], numpy(features), rtol=2e-3, atol=1e-3)
    (again,) = store.StoredBatches(stores, 3, 0, 5, seed=0)[3]
    np.testing.assert_array_equal(both[1][0], again[1][0])
    (single,) = store.StoredBatches(stores[:1], 3, 0, 5, seed=0)[3]
    np.testing.assert_array_equal(single[0], again[0][0])


def test_a_store_that_was_killed_goes_on_where_it_was(tmp_path, monkeypatch, capsys):
    """With the same crops as if it had not been."""
    monkeypatch.setattr(store, "NOTED", 8)
    looked = []

    def picture(rng, index):
        return rng.integers(0, 256, (64, 64, 3), dtype="uint8")

    def look(crops):
        looked.append(len(crops))
        if len(looked) == 6:
            raise KeyboardInterrupt
        return {"mean": crops.mean((1, 2))}

    whole, parts = (store.Store(tmp_path, name, 30, 64) for name in ("whole", "parts"))
    with pytest.raises(KeyboardInterrupt):
        parts.fill(picture, look, seed=0)
    looked.extend([0] * 6)
    del looked[:6]
    parts.fill(picture, look, seed=0)
    assert looked[6:] == [4, 4, 4, 2]  # from crop 16 on
    assert "16/30 parts" in capsys.readouterr().out
    whole.fill(picture, look, seed=0)
    np.testing.assert_array_equal(parts.crops, whole.crops)
    np.testing.assert_array_equal(parts.found["mean"], whole.found["mean"])
    np.testing.assert_allclose(
        whole.found["mean"], whole.crops.mean((1, 2)) / 255, rtol=2e-3, atol=1e-3
    )


def test_a_store_without_a_sound_end_is_computed_and_a_damaged_one_told(tmp_path):
    def fill() -> store.Store:
        made = store.Store(tmp_path, "photos", 6, 64)
        made.fill(
            lambda rng, _: rng.integers(0, 256, (64, 64, 3), dtype="uint8"),
            lambda crops: {"mean": crops.mean((1, 2))},
            seed=0,
        )
        return made

    expected = np.array(fill().crops)
    (complete,) = tmp_path.glob("photos-complete-*.npy")
    complete.write_bytes(b"")  # as a kill left it, when it was not written whole or not at all
    np.testing.assert_array_equal(fill().crops, expected)
    assert np.load(complete).tolist() == ["crops", "mean"]
    (array,) = tmp_path.glob("photos-mean-*.npy")
    array.write_bytes(array.read_bytes()[:100])
    with pytest.raises(StyleTransferError, match=r"are damaged .* delete its photos-\*\.npy"):
        fill()


def test_lite_teaches_in_vgg19s_channels(crops):
    found = teachers.Teacher(["lite"], backbones.STYLE_LAYERS)(crops)
    features, readouts = backbones.load("lite")(crops), backbones.readouts("lite")
    for layer, (kernel, bias) in readouts.items():
        expected = numpy(features[layer]) @ kernel + bias
        np.testing.assert_allclose(numpy(found[layer]), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("shown", [None, 1])
def test_a_teacher_tells_statistics_as_if_of_its_features(crops, shown):
    teacher = teachers.Teacher(["lite"], backbones.STYLE_LAYERS, shown)
    features, halved = teacher(crops), teacher(ops.average_pool(crops, 2, 2))
    features |= {f"{layer}_half": halved[layer] for layer in teachers.FORM_LAYERS}
    statistics, whole = teacher.look(crops, ["block4_conv1"])
    assert list(statistics) == list(features)
    for layer, found in statistics.items():
        for part, expected in zip(found, losses.statistics(features[layer]), strict=True):
            scale = np.abs(numpy(expected)).max()
            np.testing.assert_allclose(numpy(part), numpy(expected), atol=1e-3 * scale)
    assert list(whole) == ["block4_conv1"]
    np.testing.assert_allclose(numpy(whole["block4_conv1"]), numpy(features["block4_conv1"]))


def test_a_costly_teacher_is_shown_a_part_of_each_batch(teacher, crops):
    """Its layers are of the first pictures; those of the other teachers of all."""
    full = teachers.Teacher([teacher], backbones.STYLE_LAYERS)(crops)
    part = teachers.Teacher([teacher], backbones.STYLE_LAYERS, shown=1)(crops)
    for layer, features in part.items():
        np.testing.assert_allclose(numpy(features), numpy(full[layer])[:1], atol=1e-5)


def test_crops_may_be_closer_than_the_picture_is_large(tmp_path):
    """A window of half the side, enlarged, has half the columns of a ramp of single steps."""
    ramp = np.repeat(np.arange(64, dtype="uint8")[None, :, None], 64, 0).repeat(3, 2)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    folder = data.PictureFolder(tmp_path, 64)
    rng = np.random.default_rng(0)
    spans = [int(np.ptp(folder.crop(rng, 64, 32))) for _ in range(40)]
    assert min(spans) < 40
    assert max(spans) > 56
    assert {int(np.ptp(folder.crop(rng, 64))) for _ in range(5)} == {63}


def test_as_many_crops_are_sharpened_as_asked(tmp_path):
    """At an edge a sharpened crop goes beyond the picture's own brightest and darkest."""
    edge = np.full((64, 64, 3), 60, "uint8")
    edge[:, 32:] = 200
    Image.fromarray(edge).save(tmp_path / "edge.png")
    folder, rng = data.PictureFolder(tmp_path, 64), np.random.default_rng(0)

    def count(share: float) -> int:
        crops = [folder.crop(rng, 64, sharpened=share) for _ in range(40)]
        return sum(crop.min() < 60 and crop.max() > 200 for crop in crops)

    assert (count(0.0), count(1.0)) == (0, 40)
    assert 8 < count(0.5) < 32


@pytest.mark.parametrize("train", [distill.distill, train_adain.train])
def test_fewer_crops_than_a_step_takes_are_refused(tmp_path, pictures, teacher, train):
    options = run_options(tmp_path / "run", batch=4)
    with pytest.raises(StyleTransferError, match=r"crops is 3; give at least as many .* 4"):
        train(*pictures, [teacher], tmp_path / "o.weights.h5", options, crops=3)


@pytest.mark.parametrize("cell", [1, 4])
def test_grain_darkens_as_much_as_it_brightens(monkeypatch, cell):
    monkeypatch.setattr(distill, "_cell", lambda rng: cell)
    rng = np.random.default_rng(0)
    grey = np.full((64, 64, 3), 128, "uint8")
    grains = np.stack([distill.grainy(rng, grey) for _ in range(20)]).astype("float32")
    assert grains.std((1, 2, 3)).min() > 3
    assert abs(grains.mean() - 128) < 2
    assert 0.4 < (grains < 128).mean() < 0.6


def test_textures_come_from_the_other_crop(picture):
    """The coarse shape stays."""
    rng = np.random.default_rng(0)
    stripes = np.zeros((64, 64, 3), "uint8")
    stripes[:, ::2] = 255
    halves = np.repeat(np.repeat([[60, 200]], 32, axis=1), 64, axis=0)[..., None].repeat(3, 2)
    changed = 0
    for _ in range(8):
        textured = distill.textured(rng, halves.astype("uint8"), stripes).astype("float32")
        assert textured.dtype == np.float32
        left, right = textured[:, :24].mean(), textured[:, 40:].mean()
        assert left < right - 20
        changed += np.abs(np.diff(textured[:, :24], axis=1)).mean() > 20
    assert 0 < changed < 8  # at cells of one pixel there is no texture below them


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="optimises by TensorFlow")
def test_every_fourth_crop_is_led_to_a_style_by_lite(pictures, monkeypatch):
    asked = []

    def stylize(photo, style, method, **options):
        asked.append((photo, style, gatys.Options(**options)))
        assert method == "gatys"
        return 1 - photo / 255

    monkeypatch.setattr(nst_demo, "stylize", stylize)
    folders = [data.PictureFolder(folder, 64) for folder in pictures]
    rng = np.random.default_rng(0)
    crops = [distill._picture(rng, folders, 64, index) for index in range(32)]
    assert len(asked) == 8
    found = [crops[index] for index in (12, 13, 14, 15, 28, 29, 30, 31)]
    for crop, (photo, style, options) in zip(found, asked, strict=True):
        np.testing.assert_array_equal(crop, 255 - photo)
        assert photo.shape == style.shape == (64, 64, 3)
        assert 8 <= options.iterations <= distill.OPTIMISED
        assert options.settings.backbone == "lite"
    assert len({options.seed for _, _, options in asked}) == 8


def test_crops_need_no_tensorflow_where_keras_has_another_backend(pictures, monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setattr(distill, "optimised", None)
    folders = [data.PictureFolder(folder, 64) for folder in pictures]
    rng = np.random.default_rng(0)
    for index in range(16):
        assert distill._picture(rng, folders, 64, index).shape == (64, 64, 3)


def test_a_linear_fit_finds_the_map():
    rng = np.random.default_rng(0)
    kernel, bias = rng.normal(size=(3, 5)), rng.normal(size=5)
    fit = distill.LinearFit()
    for shape in ((2, 4, 6, 3), (1, 3, 3, 3)):
        features = rng.normal(size=shape).astype("float32")
        fit.add(features, features @ kernel + bias)
    np.testing.assert_allclose(fit.solve(), np.vstack([kernel, bias]), rtol=1e-4, atol=1e-4)
    found = fit.apply(fit.solve(), features)
    np.testing.assert_allclose(found, (features @ kernel + bias).reshape(9, 5), atol=1e-4)


def test_the_maps_start_as_the_best_for_the_student(teacher, crops):
    full = backbones.build_network(
        backbones.Architecture((4, 4, 4, 4, 4), (1, 1, 1, 1, 1)), "unit", "full"
    )
    sample = crops, dict(teachers.Teacher([teacher], distill.STORED)(crops))
    model = distill.Distillation(full, teachers.Teacher([teacher], [distill.COMPUTED]), sample)
    fresh = float(model.compute_loss(x=sample, y_pred=model(sample)))
    model.fit_maps(sample)
    best = float(model.compute_loss(x=sample, y_pred=model(sample)))
    assert best < 0.7 * fresh
    for found in model.maps.values():
        kernel, bias = found.get_weights()
        found.set_weights([1.02 * kernel, bias])
    assert float(model.compute_loss(x=sample, y_pred=model(sample))) > best


def test_a_fresh_student_has_normalised_activations(student, crops):
    distill.normalise_activations(student, crops)
    convolution = student.get_layer("block2_conv1")
    kernel, bias = convolution.get_weights()
    before = keras.Model(student.input, convolution.input)(crops)
    found = numpy(ops.conv(before, kernel, padding="same") + bias)
    np.testing.assert_allclose(found.mean((0, 1, 2)), 0, atol=1e-3)
    np.testing.assert_allclose(found.std((0, 1, 2)), 1, atol=1e-2)


def test_weights_of_another_architecture_are_not_trained_on(
    tmp_path, pictures, teacher, small_networks
):
    output = tmp_path / "adain.weights.h5"
    other = backbones.build_network(backbones.Architecture((2,), (1,)), "unit", "small")
    loop.save_weights(other, output)
    before = output.read_bytes()
    with pytest.raises(StyleTransferError, match=r"adain\.weights\.h5"):
        train_adain.train(*pictures, [teacher], output, run_options(tmp_path / "run", steps=2))
    assert output.read_bytes() == before


@pytest.mark.parametrize("train", [distill.distill, train_adain.train])
def test_a_training_without_pictures_is_refused(tmp_path, pictures, teacher, small_networks, train):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(StyleTransferError, match="empty; put pictures"):
        train(pictures[0], empty, [teacher], tmp_path / "o.weights.h5", run_options(tmp_path / "r"))
    assert not (tmp_path / "o.weights.h5").exists()


def test_saved_weights_are_half_precision_and_load_into_the_same_network(tmp_path, student):
    path = tmp_path / "small.weights.h5"
    loop.save_weights(student, path)
    original = student.get_weights()
    student.set_weights([0 * w for w in original])
    student.load_weights(path)
    for a, b in zip(original, student.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6)
    assert not zipfile.is_zipfile(path)
    assert path.stat().st_size < 40_000
    assert [f.name for f in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("value", [7e4, np.inf, np.nan])
def test_weights_beyond_half_precision_are_refused(tmp_path, student, value):
    path = tmp_path / "small.weights.h5"
    loop.save_weights(student, path)
    before = path.read_bytes()
    kernel, bias = student.get_layer("block1_conv2").get_weights()
    bias[1] = -value
    student.get_layer("block1_conv2").set_weights([kernel, bias])
    words = r"small\.weights\.h5 are up to (70000|inf|nan), more than half precision holds; train"
    with pytest.raises(StyleTransferError, match=words):
        loop.save_weights(student, path)
    assert path.read_bytes() == before


def test_the_distillations_error_is_relative(teacher, crops):
    """A student that answers 0 has an error of 1 in every layer, whatever the teacher's scale."""
    full = backbones.build_network(
        backbones.Architecture((4, 4, 4, 4, 4), (1, 1, 1, 1, 1)), "unit", "full"
    )
    targets = {k: numpy(v) for k, v in teachers.Teacher([teacher], distill.STORED)(crops).items()}
    sample = crops, targets
    model = distill.Distillation(full, teachers.Teacher([teacher], [distill.COMPUTED]), sample)
    nothing = {k: 0 * v for k, v in model(sample).items()}
    assert float(model.compute_loss(x=sample, y_pred=nothing)) == pytest.approx(1, rel=1e-3)
    assert losses.relative_error(crops, crops) == 0


# ---- other backends ------------------------------------------------------------------------------


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")
def test_training_runs_under_jax():
    tests = [f"{__file__}::{name}" for name in UNDER_JAX]
    found = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *tests],
        env=os.environ | {"KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 0, found.stdout


def test_nothing_that_training_needs_imports_tensorflow_by_itself():
    """It also runs where there is no TensorFlow, with Keras on JAX."""
    package = Path(loop.__file__).parents[1]
    files = [*package.glob("*.py"), *package.glob("methods/*.py"), *package.glob("training/*.py")]
    for file in files:
        for node in ast.parse(file.read_text()).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [n for n in names if n.split(".")[0] == "tensorflow"], file
