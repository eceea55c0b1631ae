"""Trains the packaged AdaIN network on crops of photos and paintings."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from nst_demo import backbones
from nst_demo.errors import StyleTransferError
from nst_demo.methods import adain
from nst_demo.training import data, files, loop
from nst_demo.training.teachers import Teacher

PREVIEW = (4, 5)  # photos down, styles across


class AdaINTraining(keras.Model):
    """The network with its objective, for `fit` on (content, style) batches."""

    def __init__(self, network: adain.AdaINNetwork, loss_network, weights: adain.ObjectiveWeights):
        super().__init__()
        self.network, self.loss_network = network, loss_network
        self.weights_of_parts = asdict(weights)
        self.trackers = {part: keras.metrics.Mean(name=part) for part in self.weights_of_parts}

    def build(self, input_shape=None):
        self.network.build()

    def call(self, pictures):
        return pictures  # all work is in compute_loss: it needs the network's inner features

    def compute_loss(
        self, x: Any = None, y=None, y_pred: Any = None, sample_weight=None, training=True
    ):
        parts = adain.objective(self.network, self.loss_network, *x)
        total = 0.0
        for part, value in parts.items():
            self.trackers[part].update_state(value)
            total = total + self.weights_of_parts[part] * value
        return total


def preview(network: adain.AdaINNetwork, batches: data.CropBatches, path: Path) -> None:
    """A sheet of fixed crops: the styles on top, each photo to the left of its pictures."""
    down, across = PREVIEW
    crops = [batches[index][0] for index in range(1 + max(PREVIEW) // batches.batch)]
    content = np.concatenate([c for c, _ in crops])[:down]
    style = np.concatenate([s for _, s in crops])[:across]
    trim = slice(adain.TRIM, -adain.TRIM)
    rows = [[np.ones_like(style[0, trim, trim]), *style[:, trim, trim]]]
    for photo in content:
        painted = network((ops.stack([photo] * across), style))
        painted = ops.convert_to_numpy(ops.cast(painted, "float32"))
        rows.append([photo[trim, trim], *painted])
    loop.preview_sheet(path, rows)


def train(
    photos: str | Path,
    styles: str | Path,
    loss_networks: Sequence[str | Path],
    output: Path,
    run: loop.RunOptions,
    weights: adain.ObjectiveWeights | None = None,
) -> None:
    """Trains from the checkpoint in `run.folder`, or from the weights in `output`, or afresh.

    Args:
        photos, styles: folders of pictures.
        loss_networks: where the loss's features come from, see `teachers.Teacher`.
        output: the `.weights.h5` to write; float16.
    """
    files.check_output(output)
    with loop.prepare(run):
        network = adain.AdaINNetwork()
        network.build()
        if output.exists():
            _load(network, output)
        folders = [data.PictureFolder(folder, run.crop) for folder in (photos, styles)]
        loss_network = Teacher(loss_networks, backbones.STYLE_LAYERS)
        model = AdaINTraining(network, loss_network, weights or adain.ObjectiveWeights())
        model.build()

        def batches(first: int, last: int) -> data.CropBatches:
            return data.CropBatches(folders, run.crop, run.batch, first, last, run.seed)

        fixed = data.CropBatches(folders, run.crop, run.batch, 0, run.steps, run.seed + 1)

        def export() -> None:
            loop.save_weights(network, output)
            preview(network, fixed, run.folder / "preview.png")

        loop.train(model, batches, run, export)


def _load(network: adain.AdaINNetwork, path: Path) -> None:
    try:
        with warnings.catch_warnings():
            # Where a whole list of layers is missing in the file, Keras only warns.
            warnings.filterwarnings("error", category=UserWarning)
            network.load_weights(path)
    except (OSError, ValueError, UserWarning) as error:
        raise StyleTransferError(
            f"{path} holds no weights of this network; give another name or delete it."
        ) from error
