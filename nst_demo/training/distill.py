"""VGG19's features distilled into the packaged `lite` backbone.

The student has VGG19's layout with a quarter of its channels. At relu1_1 ... relu5_1 a 1x1 map
takes its features to the teacher's channels, where they are compared. The maps are linear, so that
the student's Gram matrices hold what the teacher's do (the idea of Wang et al., Collaborative
Distillation, arXiv 2003.08436). In the end they are fitted once more, to the finished student, and
kept beside it (`fit_readouts`): a loss should be taken in the teacher's channels, at no cost.

The teacher costs many times the student. So its features are computed once, for fixed crops, and
kept on disk (`store.Store`); the training then runs several times as fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

import nst_demo
from nst_demo import backbones, images, losses, models, weights
from nst_demo.training import data, files, loop
from nst_demo.training.store import Store, StoredBatches
from nst_demo.training.teachers import Teacher

# One convolution, with features larger than all others together: cheaper computed than read.
COMPUTED = "block1_conv1"
CROPS = 2400
OPTIMISED = 100  # evaluations, at most: as many as quality mode makes
STARTS = ("fast", "content", "content+noise")
LEAST_ACTIVE = 0.02  # share of the positions at which a channel is not silent
READOUT_BATCHES = 12  # of 32 crops, that the readouts are fitted to
STORED = tuple(layer for layer in backbones.STYLE_LAYERS if layer != COMPUTED)
# Alike, the shallow layers with their small errors would be the last to be learnt.
LAYER_WEIGHTS = dict(zip(backbones.STYLE_LAYERS, (3.0, 1.5, 1.5, 1.0, 1.0), strict=True))


def grainy(rng: np.random.Generator, crop: np.ndarray) -> np.ndarray:
    """`crop`, uint8 (side, side, 3), with grain from single pixels to coarse blotches."""
    side, cell, spread = len(crop), _cell(rng), rng.uniform(0.03, 0.25)
    # Around grey and within [0, 1], which is all that `resize` leaves.
    grain = 0.5 + rng.normal(0.0, 1 / 8, (side // cell, side // cell, 3))
    grain = images.resize(np.clip(grain, 0.0, 1.0).astype("float32"), side, side)
    return _uint8(crop / 255.0 + 8 * spread * (grain - 0.5))


def textured(rng: np.random.Generator, crop: np.ndarray, other: np.ndarray) -> np.ndarray:
    """`crop` with `other`'s texture in place of its own."""
    side, cell = len(crop), _cell(rng)

    def coarse(image: np.ndarray) -> np.ndarray:
        return images.resize(images.resize(image, side // cell, side // cell), side, side)

    picture, texture = (part.astype("float32") / 255.0 for part in (crop, other))
    return _uint8(coarse(picture) + rng.uniform(0.5, 1.5) * (texture - coarse(texture)))


def optimised(rng: np.random.Generator, crop: np.ndarray, other: np.ndarray) -> np.ndarray:
    """`crop` on its way to `other`'s style, led by the packaged `lite`: it is shown where it errs.

    Cf. Ross, Gordon & Bagnell, "A reduction of imitation learning ...", arXiv 1011.0686: a student
    has to learn on what its own decisions lead to.
    """
    with models.arithmetic("float32"):  # as in quality mode, whatever the training computes in
        picture = nst_demo.stylize(
            crop,
            other,
            method="gatys",
            iterations=int(rng.integers(8, OPTIMISED + 1)),
            content_weight=float(10 ** rng.uniform(-0.5, 0.5)),
            init=str(rng.choice(STARTS)),
            seed=int(rng.integers(2**31)),
        )
    return _uint8(picture)


def _cell(rng: np.random.Generator) -> int:
    """px: 1, 2, ... 16"""
    return int(2 ** rng.integers(5))


def _uint8(picture: np.ndarray) -> np.ndarray:
    return np.round(np.clip(picture, 0.0, 1.0) * 255.0).astype("uint8")


def _picture(rng, folders: Sequence[data.PictureFolder], side: int, index: int) -> np.ndarray:
    """Crops of the folders in turn, half of them as no camera sees them.

    Half-done pictures of an optimisation are of this kind. A student that was never shown any is
    led into what only it takes for the style, or for the photo.
    """
    own, other = (folders[(index + i) % len(folders)] for i in range(2))
    crop, kind = own.crop(rng, side), index // len(folders) % 8
    if kind < 4:
        return crop
    if kind == 4:
        return grainy(rng, crop)
    if kind == 5 or keras.backend.backend() != "tensorflow":  # which the optimisation needs
        return textured(rng, crop, other.crop(rng, side))
    return optimised(rng, crop, other.crop(rng, side))


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


def revive(network: keras.Model, pictures: np.ndarray) -> int:
    """Gives channels that are silent on `pictures` (B, H, W, 3) a new start, in place; how many.

    A silent channel learns nothing any more, and training makes more of them. They get fresh
    weights, `normalise_activations`' scale, and no say yet in the next layer. Every other channel
    is rescaled to variance 1 before its ReLU, as there: the network computes what it did, but one
    learning rate suits all its weights.
    """
    x, found = ops.convert_to_tensor(pictures), 0
    silent, incoming = np.zeros(3, bool), np.ones(3, "float32")
    for layer in network.layers[1:]:
        if not isinstance(layer, keras.layers.Conv2D):
            x = ops.cast(layer(x), "float32")
            continue
        kernel, bias = layer.get_weights()
        kernel = np.where(silent[:, None], 0.0, kernel * incoming[:, None])
        before = ops.convert_to_numpy(ops.conv(x, kernel, padding=layer.padding)) + bias
        silent = (before > 0).mean(axis=(0, 1, 2)) < LEAST_ACTIVE
        if found_here := int(silent.sum()):
            fresh = np.array(layer.kernel_initializer(kernel.shape))[..., silent]
            seen = ops.convert_to_numpy(ops.conv(x, fresh, padding=layer.padding))
            kernel[..., silent], before[..., silent] = fresh, seen - seen.mean(axis=(0, 1, 2))
            bias[silent] = -seen.mean(axis=(0, 1, 2))
            found += found_here
        incoming = before.std(axis=(0, 1, 2)) + 1e-5
        layer.set_weights([kernel / incoming, bias / incoming])
        x = ops.relu(before / incoming)
    return found


class LinearFit:
    """The linear map with bias from features (..., C) to targets (..., D), by least squares."""

    RIDGE = 1e-6  # keeps the fit stable where channels are nearly dependent

    def __init__(self):
        self.left: Any = 0.0
        self.right: Any = 0.0

    def add(self, features: Any, targets: Any) -> None:
        """More to fit to."""
        x = self._with_one(features)
        self.left = self.left + x.T @ x
        self.right = self.right + x.T @ np.asarray(targets, "float64").reshape(len(x), -1)

    def solve(self) -> np.ndarray:
        """(C + 1, D): the bias is the last row."""
        size = len(self.left)
        ridge = self.RIDGE * np.trace(self.left) / size * np.eye(size)
        return np.linalg.solve(self.left + ridge, self.right)

    def target_mean(self) -> float:
        """Over positions and channels: the last row is the sum over positions."""
        return float(np.mean(self.right[-1]) / self.left[-1, -1])

    @classmethod
    def apply(cls, solved: np.ndarray, features: Any) -> np.ndarray:
        """(positions, D)"""
        return cls._with_one(features) @ solved

    @staticmethod
    def _with_one(features: Any) -> np.ndarray:
        flat = np.asarray(features, "float64").reshape(-1, features.shape[-1])
        return np.concatenate([flat, np.ones((len(flat), 1))], axis=1)


def _fits(network, batches: Iterable[Any], targets: Callable[[Any], Any]) -> dict[str, LinearFit]:
    """By layer, from what `network` makes of batches of a `Store` to what `targets` does."""
    fits = {layer: LinearFit() for layer in backbones.STYLE_LAYERS}
    for batch in batches:
        found = network(batch[0]), targets(batch)
        for layer, fit in fits.items():
            fit.add(*(ops.convert_to_numpy(ops.cast(f[layer], "float32")) for f in found))
    return fits


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

    def fit_maps(self, sample) -> None:
        """The maps that are best for the student as it is: bad ones would lead it astray first."""
        for layer, fit in _fits(self.student, [sample], self.targets).items():
            solved = fit.solve() / self.scales[layer]
            self.maps[layer].set_weights([solved[None, None, :-1], solved[-1]])

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


def fit_readouts(
    network: keras.Model, batches: Iterable[Any], targets: Callable[[Any], Any]
) -> dict[str, np.ndarray]:
    """What `backbones.readouts` reads: arrays (float16) of the `network`'s layers.

    Args:
        network: the finished student.
        batches: of a `Store`.
        targets: a batch -> the teacher's features by layer.
    """
    found = {}
    for layer, fit in _fits(network, batches, targets).items():
        solved = fit.solve() / fit.target_mean()
        readout = backbones.Readout(solved[:-1], solved[-1])
        for part, array in readout._asdict().items():
            found[f"{layer}/{part}"] = array.astype("float16")
    return found


def distill(
    photos: str | Path,
    styles: str | Path,
    teachers: Sequence[str | Path],
    output: Path,
    run: loop.RunOptions,
    crops: int = CROPS,
) -> None:
    """Trains `lite` from the checkpoint in `run.folder`, or the weights in `output`, or afresh.

    Args:
        photos, styles: folders of pictures; the crops are half of one, half of the other, since
            the network must see both as VGG19 does.
        teachers: backbone names or `.npz` files, see `teachers.Teacher`.
        output: the NAME.weights.h5 to write; float16. NAME.readouts.npz comes beside it.
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
    if output.exists():
        files.load_weights(student, output)
        if not (run.folder / "checkpoint.npz").exists():  # else its weights replace these
            print(f"{revive(student, sample[0])} silent channels begin anew")
    else:
        normalise_activations(student, sample[0])
    model = Distillation(student, Teacher(teachers, [COMPUTED]), sample)
    model(sample)
    model.fit_maps(sample)
    balanced, stem = backbones.build("lite"), output.name.removesuffix(weights.STYLE_SUFFIX)

    def export() -> None:
        balanced.set_weights(student.get_weights())
        balance(balanced, sample[0])
        loop.save_weights(balanced, output)
        fitted = StoredBatches([store], min(32, crops), 0, READOUT_BATCHES, run.seed)
        arrays = fit_readouts(balanced, (fitted[i][0] for i in range(len(fitted))), model.targets)
        files.write_npz(output.with_name(f"{stem}.readouts.npz"), arrays)

    loop.train(model, batches, run, export, output)
