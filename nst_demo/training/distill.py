"""VGG19's features distilled into the packaged `lite` backbone.

The student has VGG19's layout with a quarter of its channels. At relu1_1 ... relu5_1 a 1x1 map
takes its features to the teacher's channels, where they are compared. The maps are linear, so that
the student's Gram matrices hold what the teacher's do, and are dropped after training (the idea of
Wang et al., Collaborative Distillation, arXiv 2003.08436).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from nst_demo import backbones, losses
from nst_demo.training import data, loop
from nst_demo.training.teachers import Teacher

CALIBRATION = 32  # batches from which the folded statistics are taken


def normalised_student() -> keras.Model:
    """`lite` with batch normalisation before each ReLU: (B, H, W, 3) -> {layer: features}.

    Without it, Adam's first steps silence half of the channels for good. `fold` takes it out.
    """
    image = keras.Input((None, None, 3))
    x = image
    features = {}
    for layer in backbones.build("lite").layers[1:]:
        convolution = isinstance(layer, keras.layers.Conv2D)
        settings = layer.get_config()
        if convolution:
            settings |= {"activation": None, "use_bias": False}
        x = type(layer).from_config(settings)(x)
        if convolution:
            x = keras.layers.BatchNormalization(momentum=0.9, name=f"{layer.name}_norm")(x)
            x = features[layer.name] = keras.layers.ReLU()(x)
    return keras.Model(image, features)


def fold(student: keras.Model, pictures: Iterable[Any]) -> keras.Model:
    """A `lite` that computes what `student` does, its normalisation folded into the weights.

    The statistics are taken from the batches in `pictures`, as the weights may be averaged ones,
    for which those of the training do not hold.
    """
    for batch in pictures:
        student(batch, training=True)
    network = backbones.build("lite")
    for name in network.output:
        norm = student.get_layer(f"{name}_norm")
        gamma, beta, mean, variance = norm.get_weights()
        scale = gamma / np.sqrt(variance + norm.epsilon)
        (kernel,) = student.get_layer(name).get_weights()
        network.get_layer(name).set_weights([kernel * scale, beta - mean * scale])
    return network


class Distillation(keras.Model):
    """The student with its 1x1 maps; the loss is the mean relative error over the five layers.

    `sample` (B, H, W, 3) are pictures from which the size of the teacher's features is taken.
    """

    def __init__(self, student: keras.Model, teacher: Teacher, sample):
        super().__init__()
        self.student = backbones.truncate(student, backbones.STYLE_LAYERS)
        self.teacher = teacher
        targets = {k: ops.convert_to_numpy(v).astype("float32") for k, v in teacher(sample).items()}
        # The maps predict targets of rms 1: fresh weights are then of the right size.
        self.scales = {k: float(np.sqrt(np.mean(np.square(v)))) for k, v in targets.items()}
        self.maps = {
            layer: keras.layers.Conv2D(targets[layer].shape[-1], 1, name=f"{layer}_map")
            for layer in backbones.STYLE_LAYERS
        }
        self.trackers = {layer: keras.metrics.Mean(name=layer) for layer in self.maps}

    def call(self, image, training=False):  # without this argument `fit` would not pass it on
        features = self.student(image, training=training)
        return {layer: self.maps[layer](features[layer]) for layer in self.maps}

    def compute_loss(
        self, x: Any = None, y=None, y_pred: Any = None, sample_weight=None, training=True
    ):
        targets = self.teacher(x)
        total = 0.0
        for layer, tracker in self.trackers.items():
            # Squared error divided by the target's energy: every layer counts alike.
            error = losses.relative_error(
                ops.cast(y_pred[layer], "float32"),
                ops.cast(targets[layer], "float32") / self.scales[layer],
            )
            tracker.update_state(ops.sqrt(error))
            total = total + error
        return total / len(self.trackers)


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
) -> None:
    """Trains `lite` on crops of photos and paintings; writes its weights to `output`.

    Args:
        photos, styles: folders of pictures; each batch is half of one, half of the other, since
            the network must see both as VGG19 does.
        teachers: backbone names or `.npz` files, see `teachers.Teacher`.
    """
    loop.prepare(run)
    folders = [data.PictureFolder(f, run.crop) for f in (photos, styles)]
    student = normalised_student()

    def batches(first: int, last: int) -> keras.utils.PyDataset:
        return data.MixedCropBatches(
            folders, run.crop, max(1, run.batch // 2), first, last, run.seed
        )

    (sample,) = batches(0, 1)[0]
    model = Distillation(student, Teacher(teachers, backbones.STYLE_LAYERS), sample)
    model(sample)

    calibration = [batches(first, first + 1)[0][0] for first in range(CALIBRATION)]

    def export() -> None:
        network = fold(student, calibration)
        balance(network, sample)
        loop.save_weights(network, output)

    loop.train(model, batches, run, export)
