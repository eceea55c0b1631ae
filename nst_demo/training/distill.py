"""VGG19's features distilled into the packaged `lite` backbone.

The student has VGG19's layout with a quarter of its channels. At relu1_1 ... relu5_1 a 1x1 map
takes its features to the teacher's channels, where they are compared. The maps are linear, so that
the student's Gram matrices hold what the teacher's do, and are dropped after training (the idea of
Wang et al., Collaborative Distillation, arXiv 2003.08436).

The teacher costs many times the student. So its features are computed once, for fixed crops, and
kept on disk (`FeatureStore`); the training then runs several times as fast.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from nst_demo import backbones, images, losses
from nst_demo.errors import StyleTransferError
from nst_demo.training import data, files, loop
from nst_demo.training.teachers import Teacher

# One convolution, with features larger than all others together: cheaper computed than read.
COMPUTED = "block1_conv1"
CROPS = 2400
STORED = tuple(layer for layer in backbones.STYLE_LAYERS if layer != COMPUTED)
# Alike, the shallow layers with their small errors would be the last to be learnt.
LAYER_WEIGHTS = dict(zip(backbones.STYLE_LAYERS, (3.0, 1.5, 1.5, 1.0, 1.0), strict=True))


def disturb(rng: np.random.Generator, crop: np.ndarray, other: np.ndarray) -> np.ndarray:
    """`crop` as no camera sees it, uint8 (side, side, 3): with grain, or with `other`'s texture.

    Half-done pictures of an optimisation are of this kind. A student that was never shown any is
    led into what only it takes for the style, or for the photo.
    """
    side = len(crop)
    cell = int(2 ** rng.integers(5))  # px: from single pixels to coarse blotches
    picture = crop.astype("float32") / 255.0

    def coarse(image: np.ndarray) -> np.ndarray:
        small = images.resize(image, side // cell, side // cell)
        return images.resize(small, side, side)

    if rng.random() < 0.5:
        grain = rng.normal(0.0, rng.uniform(0.03, 0.25), (side // cell, side // cell, 3))
        picture = picture + images.resize(grain.astype("float32"), side, side)
    else:
        texture = other.astype("float32") / 255.0
        picture = coarse(picture) + rng.uniform(0.5, 1.5) * (texture - coarse(texture))
    return np.round(np.clip(picture, 0.0, 1.0) * 255.0).astype("uint8")


class FeatureStore:
    """Fixed crops of photos and paintings with the teacher's features, as files of float16.

    The first use computes the features (the crops come half from each
    folder); a store that is complete is used again.
    """

    def __init__(self, folder: Path, count: int, side: int, of: str = ""):
        """`of`: what the features come from; others are not taken for them."""
        self.folder, self.count, self.side, self.of = folder, count, side, of
        self.arrays: dict[str, np.ndarray] = {}

    def _file(self, name: str) -> Path:
        digest = hashlib.sha256(self.of.encode()).hexdigest()[:8]
        return self.folder / f"{name}-{self.count}x{self.side}-{digest}.npy"

    def fill(self, folders: Sequence[data.PictureFolder], teacher: Teacher, seed: int) -> None:
        """Opens the store, after computing it where it is not complete."""
        names = ("crops", *STORED)
        complete = self._file("complete")
        try:
            if not complete.exists():
                self._compute(folders, teacher, seed)
                np.save(complete, True)
            self.arrays = {name: np.load(self._file(name), mmap_mode="r") for name in names}
        except OSError as error:
            raise StyleTransferError(
                f"The teacher's features cannot be kept in {self.folder} ({error.strerror}); "
                "choose another folder or fewer crops."
            ) from error

    def _compute(self, folders, teacher: Teacher, seed: int, batch: int = 4) -> None:
        rng = np.random.default_rng(seed)
        for start in range(0, self.count, batch):
            crops = np.stack(
                [
                    self._picture(rng, folders, index)
                    for index in range(start, min(start + batch, self.count))
                ]
            )
            found = teacher(crops.astype("float32") / 255.0)
            self._keep("crops", start, crops)
            for layer in STORED:
                self._keep(layer, start, ops.convert_to_numpy(ops.cast(found[layer], "float16")))
            if start % 400 == 0:
                print(f"teacher's features: {start}/{self.count} crops", flush=True)

    def _picture(self, rng, folders, index: int) -> np.ndarray:
        own, other = folders[index % len(folders)], folders[(index + 1) % len(folders)]
        crop = own.crop(rng, self.side)
        if index // len(folders) % 2:
            crop = disturb(rng, crop, other.crop(rng, self.side))
        return crop

    def _keep(self, name: str, start: int, values: np.ndarray) -> None:
        if start == 0:
            path, shape = self._file(name), (self.count, *values.shape[1:])
            array = np.lib.format.open_memmap(path, "w+", values.dtype, shape)
            if hasattr(os, "posix_fallocate"):  # a full disk must be told here: later it is SIGBUS
                with open(path, "r+b") as file:
                    os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
            self.arrays[name] = array
        self.arrays[name][start : start + len(values)] = values

    def batches(self, first: int, last: int, batch: int, seed: int) -> StoredBatches:
        """The batches of steps `first` to `last`."""
        return StoredBatches(self.arrays, batch, first, last, seed)


class StoredBatches(data.Batches):
    """Batches of a store: (crops (B, side, side, 3) in [0, 1], {layer: features})."""

    def __init__(self, arrays: dict[str, np.ndarray], batch: int, first: int, last: int, seed: int):
        super().__init__(batch, first, last, seed)
        self.arrays = arrays

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        count = len(self.arrays["crops"])
        chosen = np.sort(self.random(index).choice(count, self.batch, replace=False))
        crops = self.arrays["crops"][chosen].astype("float32") / 255.0
        return ((crops, {layer: self.arrays[layer][chosen] for layer in STORED}),)


def normalise_activations(network: keras.Model, pictures: np.ndarray) -> None:
    """Scales and shifts every fresh channel to mean 0 and variance 1 before its ReLU, in place.

    Measured on `pictures` (B, H, W, 3), layer by layer (cf. Mishkin & Matas, All you need is a
    good init, arXiv 1511.06422). Without it, Adam's first steps silence half of the channels.
    """
    x = ops.convert_to_tensor(pictures)
    for layer in network.layers[1:]:
        if not isinstance(layer, keras.layers.Conv2D):
            x = ops.cast(layer(x), "float32")
            continue
        kernel, _ = layer.get_weights()
        x = ops.conv(x, kernel, padding=layer.padding)
        found = ops.convert_to_numpy(x)
        mean, deviation = found.mean(axis=(0, 1, 2)), found.std(axis=(0, 1, 2)) + 1e-5
        layer.set_weights([kernel / deviation, -mean / deviation])
        x = ops.relu((x - mean) / deviation)


class Distillation(keras.Model):
    """The student with its 1x1 maps; the loss is a weighted mean of the layers' relative errors.

    Its input is a batch of `FeatureStore`; `sample` is one, from which the size of the teacher's
    features is taken. `computed` gives the layers that are not stored.
    """

    def __init__(self, student: keras.Model, computed: Teacher, sample):
        super().__init__()
        self.student = backbones.truncate(student, backbones.STYLE_LAYERS)
        self.computed = computed
        # The maps predict targets of rms 1: fresh weights are then of the right size.
        self.scales = {
            k: float(np.sqrt(np.mean(np.square(ops.convert_to_numpy(v).astype("float32")))))
            for k, v in self.targets(sample).items()
        }
        self.maps = {
            layer: keras.layers.Conv2D(
                self.targets(sample)[layer].shape[-1], 1, name=f"{layer}_map"
            )
            for layer in backbones.STYLE_LAYERS
        }
        self.trackers = {layer: keras.metrics.Mean(name=layer) for layer in self.maps}

    def build(self, input_shape=None):
        """Its layers are built by the first call."""
        self.built = True

    def targets(self, batch):
        crops, stored = batch
        return {**self.computed(crops), **stored}

    def call(self, batch):
        features = self.student(batch[0])
        return {layer: self.maps[layer](features[layer]) for layer in self.maps}

    def compute_loss(
        self, x: Any = None, y=None, y_pred: Any = None, sample_weight=None, training=True
    ):
        targets = self.targets(x)
        total = 0.0
        for layer, tracker in self.trackers.items():
            # Squared error divided by the target's energy.
            error = losses.relative_error(
                ops.cast(y_pred[layer], "float32"),
                ops.cast(targets[layer], "float32") / self.scales[layer],
            )
            tracker.update_state(ops.sqrt(error))
            total = total + LAYER_WEIGHTS[layer] * error
        return total / sum(LAYER_WEIGHTS.values())


def balance(network: keras.Model, pictures: np.ndarray) -> None:
    """Rescales every channel to a mean activation of 1 on `pictures` (B, H, W, 3), in place.

    A ReLU network computes the same when a channel is divided by a number and the next layer's
    weights for it are multiplied by that number (Gatys et al. normalised VGG19 so, 1508.06576 §2).
    Without it, a few loud channels would rule every Gram matrix.
    """
    incoming = np.ones(3, "float32")
    for name, features in network(pictures).items():
        mean = np.mean(ops.convert_to_numpy(ops.cast(features, "float32")), axis=(0, 1, 2))
        # The floor is for a channel that is nearly always silent, and a layer that always is.
        mean = np.maximum(mean, 1e-2 * mean.max() or 1.0)
        layer = network.get_layer(name)
        kernel, bias = layer.get_weights()
        layer.set_weights([kernel * incoming[:, None] / mean, bias / mean])
        incoming = mean


def distill(
    photos: str | Path,
    styles: str | Path,
    teachers: Sequence[str | Path],
    output: Path,
    run: loop.RunOptions,
    crops: int = CROPS,
) -> None:
    """Trains `lite` on crops of photos and paintings; writes its weights to `output`.

    Args:
        photos, styles: folders of pictures; the crops are half of one, half of the other, since
            the network must see both as VGG19 does.
        teachers: backbone names or `.npz` files, see `teachers.Teacher`.
        crops: how many; at 192 px each takes 3.8 MB in `run.folder`.
    """
    if crops < run.batch:
        raise StyleTransferError(
            f"crops is {crops}; give at least as many as a step takes, {run.batch}."
        )
    files.check_output(output)
    with loop.prepare(run):
        _distill(photos, styles, teachers, output, run, crops)


def _distill(photos, styles, teachers, output: Path, run: loop.RunOptions, crops: int) -> None:
    run.folder.mkdir(parents=True, exist_ok=True)
    origin = repr(([str(teacher) for teacher in teachers], str(photos), str(styles), run.seed))
    store = FeatureStore(run.folder, crops, run.crop, origin)
    store.fill(
        [data.PictureFolder(f, run.crop) for f in (photos, styles)],
        Teacher(teachers, STORED),
        run.seed,
    )

    def batches(first: int, last: int) -> keras.utils.PyDataset:
        return store.batches(first, last, run.batch, run.seed)

    (sample,) = store.batches(0, 1, min(32, crops), run.seed)[0]
    student = backbones.build("lite")
    normalise_activations(student, sample[0])
    model = Distillation(student, Teacher(teachers, [COMPUTED]), sample)
    model(sample)
    balanced = backbones.build("lite")

    def export() -> None:
        balanced.set_weights(student.get_weights())
        balance(balanced, sample[0])
        loop.save_weights(balanced, output)

    loop.train(model, batches, run, export)
