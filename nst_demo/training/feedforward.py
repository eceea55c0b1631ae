"""Trains the network of one style from its picture, on crops of photos. arXiv 1603.08155, §3."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from nst_demo import backbones, images, weights
from nst_demo.errors import StyleTransferError, check_choice
from nst_demo.methods import feedforward
from nst_demo.training import data, files, loop
from nst_demo.training.teachers import LikeVGG, Teacher
from nst_demo.weights import STYLE_SUFFIX

PREVIEW_PHOTOS = 4
STYLE_SIZE = 512  # px, short side at which the style is looked at: as large as a small photo


class FeedforwardTraining(keras.Model):
    """The network with its objective, for `fit` on batches of photos."""

    def __init__(
        self,
        network: feedforward.FeedforwardNetwork,
        loss_network: keras.layers.Layer,
        style: np.ndarray,
        weights: feedforward.ObjectiveWeights | feedforward.ChenWeights,
        objective: Callable[..., dict[str, Any]] = feedforward.objective,
    ):
        super().__init__()
        self.network, self.loss_network, self.objective = network, loss_network, objective
        found = feedforward.style_statistics(loss_network, ops.convert_to_tensor(style[None]))
        # As variables, not as constants, they leave the compiled step the same for all styles.
        self.statistics = {layer: tuple(map(self._kept, parts)) for layer, parts in found.items()}
        self.weights_of_parts = asdict(weights)
        self.trackers = {part: keras.metrics.Mean(name=part) for part in self.weights_of_parts}

    def _kept(self, value: Any) -> keras.Variable:
        array = np.array(ops.convert_to_numpy(value))
        return self.add_weight(array.shape, lambda *_, **__: array, array.dtype, trainable=False)

    def build(self, input_shape=None):
        self.network.build()

    def call(self, pictures):
        return pictures  # all work is in compute_loss, as in the training of AdaIN

    def compute_loss(
        self, x: Any = None, y=None, y_pred: Any = None, sample_weight=None, training=True
    ):
        photos = data.in_unit_range(x)
        parts = self.objective(self.network, self.loss_network, photos, self.statistics)
        total = 0.0
        for part, value in parts.items():
            self.trackers[part].update_state(value)
            total = total + self.weights_of_parts[part] * value
        return total


def preview(
    network: feedforward.FeedforwardNetwork, style: np.ndarray, photos: np.ndarray, path: Path
) -> None:
    """The style and some photos (B, H, W, 3), and below the photos what they become."""
    painted = ops.convert_to_numpy(ops.cast(network(photos), "float32"))
    trim = slice(feedforward.TRIM, -feedforward.TRIM)
    inside = photos[:, trim, trim]
    side = inside.shape[1]
    square = images.resize(_middle(style), side, side)
    loop.preview_sheet(path, [[square, *inside], [np.ones_like(square), *painted]])


def _middle(picture: np.ndarray) -> np.ndarray:
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return picture[top : top + side, left : left + side]


def subject(style: np.ndarray, name: str, loss: str = "ours") -> str:
    """What a checkpoint is of: the fingerprint of picture and loss, and the name it had."""
    pixels, by = np.round(style * 255).astype("uint8"), "" if loss == "ours" else f" by {loss}"
    digest = hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes() + by.encode())
    return f"{digest.hexdigest()[:16]} {name}{by}"


def _loss_network(loss: str, sources: Sequence[str | Path], shown: int | None) -> Teacher:
    layers = feedforward.LOSSES[loss].layers
    if loss == "ours":
        return Teacher(sources, layers, shown)
    if shown is not None:
        raise StyleTransferError(
            f"shown is {shown}, but the loss {loss} looks at all pictures; give one of the two."
        )
    backbone = " ".join(map(str, sources))  # several are no backbone either
    check_choice(f"backbone of the loss {loss}", backbone, backbones.ARCHITECTURES)
    return LikeVGG(backbone, layers)


def _begun(output: Path, start: Path | None, fresh: bool) -> feedforward.FeedforwardNetwork:
    """The network with the weights to begin with. Another network's in `output` are refused."""
    network = feedforward.FeedforwardNetwork()
    network.build()
    random = network.get_weights()
    if output.exists():
        files.load_weights(network, output)
    if fresh:
        network.set_weights(random)
    if start is not None:
        files.load_weights(network, start)
    return network


def _begin_with_nearest(model: FeedforwardTraining, photos: np.ndarray) -> None:
    """Takes the weights of the packaged style whose paintings have the lowest loss.

    A start of a third of the loss saves more than half of a short training, and of what a style far
    away draws, as its suns, less is left. The weights stay as they are where none fit.

    Args:
        photos: (B, H, W, 3) in 0 ... 255.
    """
    found = dict[Path, float]()
    for path in sorted((weights.PRETRAINED / "styles").glob(f"*{STYLE_SUFFIX}")):
        if feedforward.fits(path):
            files.load_weights(model.network, path)
            found[path] = float(model.compute_loss(photos))
    model.reset_metrics()
    if found:
        nearest = min(found, key=found.__getitem__)
        files.load_weights(model.network, nearest)
        print(f"begins with {nearest.name.removesuffix(STYLE_SUFFIX)}, the nearest packaged style")


def train(
    style: str | Path,
    photos: str | Path,
    loss_networks: Sequence[str | Path],
    output: Path,
    run: loop.RunOptions,
    parts: feedforward.ObjectiveWeights | feedforward.ChenWeights | None = None,
    start: Path | Literal["packaged"] | None = None,
    fresh: bool = False,
    loss: str = "ours",
    shown: int | None = None,
) -> None:
    """Trains from the checkpoint in `run.folder`, or from the weights in `output`, or afresh.

    Args:
        style: a picture.
        photos: a folder of pictures.
        loss_networks: where the loss's features come from, see `teachers.Teacher`; for the loss
            "chen" one backbone.
        output: the `.weights.h5` to write; float16.
        parts: weights of the loss's parts; None for its own.
        start: the `.weights.h5` of another style to begin with: strokes and palette are soon
            changed, and what the network knows of photos is kept. "packaged" for the nearest of
            the packaged ones, unless there are weights in `output` to go on from. None for random
            weights.
        fresh: begin again, even if there is a checkpoint.
        loss: one of `feedforward.LOSSES`. A checkpoint must be of the same loss and style.
        shown: how many pictures of each batch the first loss network looks at; None for all.
    """
    check_choice("loss", loss, feedforward.LOSSES)
    picture = images.open_picture(style, what="style").rgb
    fitted = images.fit_short(picture, STYLE_SIZE)
    folder = data.PictureFolder(photos, run.crop)
    files.check_output(output)
    with loop.prepare(run):
        chooses = start == "packaged" and (fresh or not output.exists())
        network = _begun(output, None if start == "packaged" else start, fresh)
        loss_network, kind = _loss_network(loss, loss_networks, shown), feedforward.LOSSES[loss]
        model = FeedforwardTraining(
            network, loss_network, fitted, parts or kind.weights(), kind.objective
        )
        model.build()

        plain = crop = partial(folder.crop, side=run.crop)
        if loss == "ours":  # a published loss is trained on crops as they are
            closest = round(run.crop / data.ENLARGED["photos"])
            crop = partial(plain, closest=closest, sharpened=data.SHARPENED)

        def batches(first: int, last: int) -> data.CropBatches:
            return data.CropBatches([crop], run.batch, first, last, run.seed)

        fixed = data.CropBatches([plain], PREVIEW_PHOTOS, 0, 1, run.seed + 1)[0][0]
        if chooses:
            _begin_with_nearest(model, fixed)

        def export() -> None:
            loop.save_weights(network, output)
            preview(network, fitted, fixed / np.float32(255), run.folder / "preview.png")

        # By Adam: instance normalisation keeps its directions apart, and Muon is no faster.
        of = subject(picture, Path(style).name, loss)
        checkpoint = loop.train(model, batches, run, export, output, of, fresh)
    print(_summary(output, checkpoint, run))


def _summary(output: Path, checkpoint: loop.Checkpoint, run: loop.RunOptions) -> str:
    name = output.name.removesuffix(STYLE_SUFFIX)
    return (
        f"{output}: {checkpoint.step} steps of {run.batch} crops in "
        f"{checkpoint.seconds / 60:.1f} min, {output.stat().st_size / 1e6:.2f} MB; look at "
        f"{run.folder / 'preview.png'}.\n"
        f"Use it: NST_STYLES_DIR={output.parent} nst-demo stylize PHOTO -o OUT.png --network {name}"
    )
