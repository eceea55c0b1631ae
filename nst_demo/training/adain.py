"""Trains the AdaIN networks on crops of photos and paintings.

`train` the packaged one, `train_decoder` the published one's decoder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from nst_demo import backbones, losses, strokes
from nst_demo.errors import StyleTransferError, check_weight
from nst_demo.layers import Grain
from nst_demo.methods import adain, adain_published
from nst_demo.training import data, files, loop
from nst_demo.training.muon import ConvolutionMuon
from nst_demo.training.store import Store, StoredBatches
from nst_demo.training.teachers import Teacher

PREVIEW = (4, 5)  # photos down, styles across
CROPS = 3  # of each photo and of each painting
MOST_CROPS = 8000  # of all photos, of all paintings: about half a megabyte each
STATISTICS = ("mean", "deviation", "gram")  # of a style, `losses.statistics`
MIRRORED = 0.5  # share of the photos with mirrored borders
RECOLOURED = 0.25  # share of the paintings, by exchanged channels: more palettes
STYLE_WEIGHT = 10.0  # λ of the published AdaIN (1703.06868, eq. 11), as the `baroni` system has it
DECAY = 5e-5  # of its learning rate: rate / (1 + DECAY * step)
PUBLISHED: dict[str, Any] = {"learning_rate": 1e-4, "batch": 8, "crop": 256}  # its RunOptions


class AdaINTraining(keras.Model):
    """The network with its objective, for `fit` on batches of (photos, styles).

    Each of the two is (crops, targets), from the stores of `_stores`; or crops alone, uint8
    (B, side, side, 3), and the targets are computed in the step.
    """

    def __init__(
        self,
        network: adain.AdaINNetwork,
        loss_network: Teacher,
        weights: adain.ObjectiveWeights,
        batch: int,
    ):
        super().__init__()
        self.network, self.loss_network, self.batch = network, loss_network, batch
        self.seeds = keras.random.SeedGenerator()
        self.weights_of_parts = asdict(weights)
        self.trackers = {part: keras.metrics.Mean(name=part) for part in self.weights_of_parts}

    def build(self, input_shape=None):
        self.network.build()

    def call(self, pictures):
        return pictures  # all work is in compute_loss: it needs the network's inner features

    def compute_loss(
        self, x: Any = None, y=None, y_pred: Any = None, sample_weight=None, training=True
    ):
        # Keras hides the batch's size, but every style of it has kernels of its own.
        content, style = keras.tree.map_structure(
            lambda part: ops.reshape(ops.cast(part, "float32"), (self.batch, *part.shape[1:])), x
        )
        if isinstance(content, tuple):
            (content, structure), (style, found) = content, style
        else:
            content, style = data.in_unit_range(content), data.in_unit_range(style)
            structure = adain.content_targets(self.loss_network, content)
            found = style_targets(self.loss_network, style)
        layers = dict.fromkeys(name.rpartition("-")[0] for name in found)
        statistics = {
            layer: tuple(found[_name(layer, part)] for part in STATISTICS) for layer in layers
        }
        start = keras.random.randint((2,), 0, Grain.SIDE, seed=self.seeds)
        parts = adain.objective(
            self.network, self.loss_network, content, style, structure, statistics, start
        )
        total = 0.0
        for part, value in parts.items():
            self.trackers[part].update_state(value)
            total = total + self.weights_of_parts[part] * value
        return total


def _name(layer: str, part: str) -> str:
    return f"{layer}-{part}"


def style_targets(loss_network: Teacher, style) -> dict[str, Any]:
    """Statistics of styles (B, side, side, 3) in [0, 1], by `_name`."""
    return {
        _name(layer, part): value
        for layer, found in loss_network.look(style)[0].items()
        for part, value in zip(STATISTICS, found, strict=True)
    }


def _crop(rng: np.random.Generator, folder: data.PictureFolder, side: int, name: str) -> np.ndarray:
    """Of the folder of "photos" or "styles"."""
    crop = folder.crop(rng, side, round(side / data.ENLARGED[name]), data.SHARPENED)
    if name == "styles" and rng.random() < RECOLOURED:
        return crop[..., rng.permutation(3)]
    if name == "photos" and rng.random() < MIRRORED:
        return _with_margin(crop, rng)
    return crop


def _with_margin(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """With mirrored borders, as `adain.paint` gives the network a photo of any size."""
    margin = adain.MARGIN
    rows, columns = crop.shape[:2] - rng.integers(margin, margin + adain.STRIDE, 2)
    return strokes.mirrored(crop[margin:rows, margin:columns], margin, adain.STRIDE)


def _stores(
    folders: Sequence[data.PictureFolder],
    loss_networks: Sequence[str | Path],
    run: loop.RunOptions,
    crops: int | None,
) -> list[Store]:
    """Crops of photos with their structure, crops of paintings with their statistics."""
    structure = partial(adain.content_targets, Teacher(loss_networks, adain.CONTENT_LAYERS))
    statistics = partial(style_targets, Teacher(loss_networks, backbones.STYLE_LAYERS))

    origin = [str(network) for network in loss_networks], run.seed
    stores = []
    for name, folder, look in zip(data.ENLARGED, folders, (structure, statistics), strict=True):
        count = crops or min(max(run.batch, CROPS * len(folder.files)), MOST_CROPS)
        store = Store(run.folder, name, count, run.crop, repr((origin, str(folder.folder))))

        def crop(rng, _, folder=folder, name=name) -> np.ndarray:
            return _crop(rng, folder, run.crop, name)

        store.fill(crop, look, run.seed)
        stores.append(store)
    return stores


def _plain(
    folders: Sequence[data.PictureFolder], run: loop.RunOptions, first: int, last: int, seed: int
) -> data.CropBatches:
    """Batches of crops as they are, one of each folder."""
    cutters = [partial(folder.crop, side=run.crop) for folder in folders]
    return data.CropBatches(cutters, run.batch, first, last, seed)


def preview(network: adain.AdaINNetwork, batches: data.CropBatches, path: Path) -> None:
    """A sheet of fixed crops: the styles on top, each photo to the left of its pictures."""
    trim = slice(adain.TRIM, -adain.TRIM)
    _sheet(lambda content, style: network((content, style)), batches, path, trim)


def _sheet(paint: Callable[..., Any], batches: data.CropBatches, path: Path, trim: slice) -> None:
    """trim: what of a crop's rows and columns is painted."""
    down, across = PREVIEW
    crops = [batches[index][0] for index in range(1 + max(PREVIEW) // batches.batch)]
    content, style = (
        np.concatenate(kind).astype("float32") / 255.0 for kind in zip(*crops, strict=True)
    )
    content, style = content[:down], style[:across]
    rows = [[np.ones_like(style[0, trim, trim]), *style[:, trim, trim]]]
    for photo in content:
        painted = paint(ops.stack([photo] * across), ops.convert_to_tensor(style))
        painted = np.clip(ops.convert_to_numpy(ops.cast(painted, "float32")), 0.0, 1.0)
        rows.append([photo[trim, trim], *painted])
    loop.preview_sheet(path, rows)


def train(
    photos: str | Path,
    styles: str | Path,
    loss_networks: Sequence[str | Path],
    output: Path,
    run: loop.RunOptions,
    weights: adain.ObjectiveWeights | None = None,
    shown: int | None = None,
    crops: int | None = None,
) -> None:
    """Trains from the checkpoint in `run.folder`, or from the weights in `output`, or afresh.

    Args:
        photos, styles: folders of pictures.
        loss_networks: where the loss's features come from, see `teachers.Teacher`.
        output: the `.weights.h5` to write; float16.
        shown: how many pictures of each batch the first loss network looks at; None for all.
        crops: how many of the photos and how many of the paintings, kept in `run.folder` with
            what the loss networks say of them; None for CROPS of each picture, up to MOST_CROPS.
            0 for others in every step, which the loss networks look at then: for a GPU.
    """
    if crops != 0:
        data.check_crops(crops, run.batch)
    files.check_output(output)
    with loop.prepare(run):
        network = adain.AdaINNetwork()
        network.build()
        if output.exists():
            files.load_weights(network, output)
        run.folder.mkdir(parents=True, exist_ok=True)
        folders = [data.PictureFolder(folder, run.crop) for folder in (photos, styles)]
        fixed = _plain(folders, run, 0, 1, run.seed + 1)
        stores = [] if crops == 0 else _stores(folders, loss_networks, run, crops)
        cutters = [
            partial(_crop, folder=folder, side=run.crop, name=name)
            for name, folder in zip(data.ENLARGED, folders, strict=True)
        ]

        def batches(first: int, last: int) -> keras.utils.PyDataset:
            if not stores:
                return data.CropBatches(cutters, run.batch, first, last, run.seed)
            return StoredBatches(stores, run.batch, first, last, run.seed)

        loss_network = Teacher(loss_networks, backbones.STYLE_LAYERS, shown)
        weights = weights or adain.ObjectiveWeights()
        model = AdaINTraining(network, loss_network, weights, run.batch)
        model.build()

        def export() -> None:
            loop.save_weights(network, output)
            preview(network, fixed, run.folder / "preview.png")

        # What gives pixels and steering is no map between features: Adam's.
        family = partial(ConvolutionMuon, exclude_layers=["leave", "style_out"])
        loop.train(model, batches, run, export, output, family=family)


# ---- The published network -----------------------------------------------------------------------


class DecoderTraining(keras.Model):
    """The decoder with eq. 11 for `fit` on (content, style) batches; the encoder stays as it is."""

    def __init__(self, decoder: adain_published.Decoder, encoder: keras.Model, style_weight: float):
        super().__init__()
        self.decoder, self.encoder, self.style_weight = decoder, encoder, style_weight
        self.trackers = {part: keras.metrics.Mean(name=part) for part in ("content", "style")}

    def build(self, input_shape=None):
        self.decoder.build()

    def call(self, pictures):
        return pictures  # all work is in compute_loss, as above

    def compute_loss(
        self, x: Any = None, y=None, y_pred: Any = None, sample_weight=None, training=True
    ):
        parts = adain_published.objective(self.decoder, self.encoder, *map(data.in_unit_range, x))
        for part, value in parts.items():
            self.trackers[part].update_state(value)
        return parts["content"] + self.style_weight * parts["style"]


def train_decoder(
    photos: str | Path,
    styles: str | Path,
    backbone: str,
    output: Path,
    run: loop.RunOptions,
    style_weight: float = STYLE_WEIGHT,
) -> None:
    """Trains the published AdaIN's decoder: from a checkpoint, the weights in `output`, or afresh.

    Adam without clipping, at `run.learning_rate` / (1 + DECAY * step). Departs from the paper in
    that the weights written are averaged over the last steps, as in every training here.

    Args:
        photos, styles: folders of pictures.
        backbone: "vgg19" or "lite", the fixed encoder.
        output: the `.weights.h5` to write; float16.
        style_weight: λ, over 0.
    """
    check_weight("style weight", style_weight)
    if style_weight == 0:
        raise StyleTransferError(f"The style weight is {style_weight}; give a number over 0.")
    files.check_output(output)
    with loop.prepare(run):
        decoder = adain_published.Decoder(backbone)
        decoder.build()
        if output.exists():
            files.load_weights(decoder, output)
        folders = [data.PictureFolder(folder, run.crop) for folder in (photos, styles)]
        fixed = _plain(folders, run, 0, 1, run.seed + 1)

        def batches(first: int, last: int) -> data.CropBatches:
            return _plain(folders, run, first, last, run.seed)

        encoder = adain_published.encoder(backbone)
        model = DecoderTraining(decoder, encoder, style_weight)
        model.build()

        def export() -> None:
            loop.save_weights(decoder, output)
            preview_decoder(model, fixed, run.folder / "preview.png")

        rate = keras.optimizers.schedules.InverseTimeDecay(run.learning_rate, 1, DECAY)
        optimizer = keras.optimizers.Adam(rate)
        subject = f"decoder {backbone}"
        loop.train(model, batches, run, export, output, subject, optimizer=optimizer)


def preview_decoder(model: DecoderTraining, batches: data.CropBatches, path: Path) -> None:
    """A sheet as `preview`'s, painted by encoder, AdaIN and decoder."""

    def paint(content, style):
        last = adain_published.LAYERS[-1]
        moments = losses.moments(model.encoder(style)[last], adain_published.EPSILON)
        return model.decoder(adain_published.adain(model.encoder(content)[last], *moments))

    _sheet(paint, batches, path, slice(None))
