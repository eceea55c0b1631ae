"""VGG19's features distilled into the packaged `lite` backbone.

The student has VGG19's layout with a quarter of its channels. At relu1_1 ... relu5_1 a 1x1 map
takes its features to the teacher's channels, where they are compared; the maps are dropped after
training (the idea of Wang et al., Collaborative Distillation, arXiv 2003.08436).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from nst_demo import backbones, losses
from nst_demo.training import data, loop
from nst_demo.training.teachers import Teacher


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
            layer: keras.layers.Conv2D(
                targets[layer].shape[-1], 1, activation="relu", name=f"{layer}_map"
            )
            for layer in backbones.STYLE_LAYERS
        }
        self.trackers = {layer: keras.metrics.Mean(name=layer) for layer in self.maps}

    def call(self, image):
        features = self.student(image)
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
    if run.mixed_precision:
        keras.config.set_dtype_policy("mixed_bfloat16")
    keras.utils.set_random_seed(run.seed)
    folders = [data.PictureFolder(f, run.crop) for f in (photos, styles)]
    student = backbones.build("lite")

    def batches(first: int, last: int) -> keras.utils.PyDataset:
        return data.MixedCropBatches(
            folders, run.crop, max(1, run.batch // 2), first, last, run.seed
        )

    (sample,) = batches(0, 1)[0]
    model = Distillation(student, Teacher(teachers, backbones.STYLE_LAYERS), sample)
    model(sample)
    loop.train(model, batches, run, export=lambda: loop.save_weights(student, output))
