"""VGG19's features distilled into the packaged `lite` backbone.

The student has VGG19's layout with a quarter of its channels. At relu1_1 ... relu5_1 a 1x1 map
takes its features to the teacher's channels, where they are compared. The maps are linear, so that
the student's Gram matrices hold what the teacher's do, and are dropped after training (the idea of
Wang et al., Collaborative Distillation, arXiv 2003.08436).

The teacher costs many times the student. So its features are computed once, for fixed crops, and
kept on disk (`store.Store`); the training then runs several times as fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from nst_demo import backbones, images, losses
from nst_demo.training import data, files, loop
from nst_demo.training.store import Store, StoredBatches
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


def _picture(rng, folders: Sequence[data.PictureFolder], side: int, index: int) -> np.ndarray:
    """Crops of the folders in turn, every other round of them disturbed."""
    own, other = folders[index % len(folders)], folders[(index + 1) % len(folders)]
    crop = own.crop(rng, side)
    if index // len(folders) % 2:
        crop = disturb(rng, crop, other.crop(rng, side))
    return crop


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

    Its input is a batch of a `Store`; `sample` is one, from which the size of the teacher's
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
    data.check_crops(crops, run.batch)
    files.check_output(output)
    with loop.prepare(run):
        _distill(photos, styles, teachers, output, run, crops)


def _distill(photos, styles, teachers, output: Path, run: loop.RunOptions, crops: int) -> None:
    run.folder.mkdir(parents=True, exist_ok=True)
    origin = repr(([str(teacher) for teacher in teachers], str(photos), str(styles), run.seed))
    store, teacher = Store(run.folder, "lite", crops, run.crop, origin), Teacher(teachers, STORED)
    folders = [data.PictureFolder(f, run.crop) for f in (photos, styles)]
    store.fill(lambda rng, index: _picture(rng, folders, run.crop, index), teacher, run.seed)

    def batches(first: int, last: int) -> keras.utils.PyDataset:
        return StoredBatches([store], run.batch, first, last, run.seed)

    (sample,) = StoredBatches([store], min(32, crops), 0, 1, run.seed)[0]
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
