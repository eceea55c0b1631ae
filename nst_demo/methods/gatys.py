"""Image optimisation, the slow mode of high quality. Gatys, Ecker & Bethge, arXiv 1508.06576.

The picture's own pixels are changed until its features have the photo's structure and the style's
correlations (Gram matrices). Departures from the paper, so that one set of weights suits every
photo, style and backbone:

- The style loss of a layer (eq. 4) is divided by the style's own energy |A|^2 (its scale differs
  a thousandfold between layers), and uses the Gram matrix per position, so that photo and style
  may have different sizes.
- The content loss (eq. 1) compares instance-normalised features: structure without the photo's
  contrast and colour, which the style is meant to change.
- It starts from the fast mode's result, not from noise, unless told otherwise.
- It adds total variation, and a penalty on values outside [0, 1]: those are cut off in the end,
  and without it a bright sky drifts beyond white, where nothing is painted any more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, Literal, get_args

import numpy as np

from nst_demo import backbones, images, losses, models, optimizers
from nst_demo.blending import normalised_weights
from nst_demo.errors import StyleTransferError, check_range
from nst_demo.steps import Step

CONTENT_LAYER = "block4_conv1"
# What a weight of 1 stands for: values at which the parts balance for most pairs of pictures.
CONTENT_SCALE = 0.15
VARIATION_SCALE = 1.0
RANGE_SCALE = 10.0
MAX_SIZE = 2048  # px
PREVIEW_EVERY = 5  # evaluations

Init = Literal["content", "noise", "fast"]
Optimizer = Literal["lbfgs", "adam"]


@dataclass(frozen=True)
class Options:
    """Options of quality mode. A weight of 1 is the tuned default, 0 leaves the part out.

    Attributes:
        backbone: the feature network: lite (packaged), vgg16 or vgg19 (downloaded on first use).
        iterations: evaluations of the loss and its gradient.
        content_weight: how much of the photo's structure is kept.
        style_weight: how strongly the style is followed.
        tv_weight: smoothness (total variation).
        layer_weights: share of relu1_1 ... relu5_1 in the style: fine texture ... large shapes.
        init: start from the photo ("content"), from noise, or from the fast mode's result, which
            the caller hands over as `init_image` (`nst_demo.stylize` does).
        optimizer: lbfgs, or adam (steadier, slower).
        learning_rate: of adam, in units of the [0, 1] range; None for 0.02.
        seed: of the noise.
        time_budget: seconds after which the best picture so far is the result; None for no limit.
        size: long side in px at which the picture is optimised; a larger photo is optimised at
            this size and enlarged to its own.
        style_weights: one weight of 0 or more for each style; None for equal shares.
    """

    backbone: str = "lite"
    iterations: int = 150
    content_weight: float = 1.0
    style_weight: float = 1.0
    tv_weight: float = 1.0
    layer_weights: Sequence[float] = (1.0, 1.0, 1.0, 1.0, 1.0)
    init: Init = "fast"
    optimizer: Optimizer = "lbfgs"
    learning_rate: float | None = None
    seed: int = 0
    time_budget: float | None = None
    size: int = 512
    style_weights: Sequence[float] | None = None

    def __post_init__(self):
        backbones.architecture(self.backbone)
        for name in ("content_weight", "style_weight", "tv_weight"):
            check_range(name, getattr(self, name), 0.0, 1e6)
        for name in ("iterations", "size", "seed"):
            if not isinstance(getattr(self, name), Integral):
                raise StyleTransferError(
                    f"The {name} is {getattr(self, name)!r}; give a whole number."
                )
        check_range("iterations", self.iterations, 1, 100_000)
        check_range("size", self.size, images.MIN_SIDE, MAX_SIZE)
        check_range("seed", self.seed, 0, 2**63 - 1)
        if self.time_budget is not None:
            check_range("time_budget", self.time_budget, 0.0, 1e6)
        if self.learning_rate is not None:
            check_range("learning_rate", self.learning_rate, 1e-6, 1.0)
            if self.optimizer == "lbfgs":
                raise StyleTransferError(
                    "A learning_rate is for the optimizer adam; lbfgs finds its own steps."
                )
        for name, choices in (("init", get_args(Init)), ("optimizer", get_args(Optimizer))):
            if getattr(self, name) not in choices:
                raise StyleTransferError(
                    f"The {name} is {getattr(self, name)!r}; choose one of {', '.join(choices)}."
                )
        if self.content_weight == 0 and self.style_weight == 0:
            raise StyleTransferError("content_weight and style_weight are both 0; raise one.")
        if len(self.layer_weights) != len(backbones.STYLE_LAYERS):
            raise StyleTransferError(
                f"There are {len(self.layer_weights)} layer_weights; give 5 (relu1_1 ... relu5_1)."
            )
        normalised_weights(self.layer_weights, len(backbones.STYLE_LAYERS))


class _Compiled:
    """A backbone's statistics and the loss with its gradient, as TensorFlow functions."""

    def __init__(self, backbone: str):
        import tensorflow as tf

        network = backbones.load(backbone)
        features = backbones.truncate(network, backbones.STYLE_LAYERS)
        channels = [features.output[layer].shape[-1] for layer in backbones.STYLE_LAYERS]
        picture = tf.TensorSpec([1, None, None, 3])
        content_spec = tf.TensorSpec([1, None, None, features.output[CONTENT_LAYER].shape[-1]])

        @tf.function(input_signature=[picture])
        def content_target(image):
            return losses.instance_normalise(features(image)[CONTENT_LAYER])

        @tf.function(input_signature=[picture])
        def style_target(image):
            found = features(image)
            return [losses.gram_matrix(found[layer]) for layer in backbones.STYLE_LAYERS]

        def parts(image, content, grams, layer_weights):
            found = features(image)
            style = [
                losses.relative_error(losses.gram_matrix(found[layer]), gram)
                for layer, gram in zip(backbones.STYLE_LAYERS, grams, strict=True)
            ]
            structure = losses.instance_normalise(found[CONTENT_LAYER])
            return tf.stack(
                [
                    tf.reduce_mean(tf.square(structure - content)),
                    tf.reduce_sum(tf.stack(style) * layer_weights),
                    losses.total_variation(image),
                    losses.out_of_range(image),
                ]
            )

        @tf.function(
            input_signature=[
                picture,
                content_spec,
                [tf.TensorSpec([1, c, c]) for c in channels],
                tf.TensorSpec([len(channels)]),
                tf.TensorSpec([4]),
            ]
        )
        def evaluate(image, content, grams, layer_weights, weights):
            with tf.GradientTape() as tape:
                tape.watch(image)
                weighted = weights * parts(image, content, grams, layer_weights)
                total = tf.reduce_sum(weighted)
            return weighted, tape.gradient(total, image)

        self.content_target, self.style_target, self.evaluate = (
            content_target,
            style_target,
            evaluate,
        )


def _compiled(backbone: str) -> _Compiled:
    return models.shared(("gatys", backbone), lambda: _Compiled(backbone))


class Objective:
    """The loss of one run: x (h, w, 3) -> (total, gradient); the parts of the last one are kept.

    content (h, w, 3) has the size worked at; styles of any size are shrunk to its short side.
    """

    def __init__(self, content: np.ndarray, styles: Sequence[np.ndarray], options: Options):
        self.compiled = _compiled(options.backbone)
        self.backbone = options.backbone
        shares = normalised_weights(options.style_weights, len(styles))
        self.layer_weights = normalised_weights(options.layer_weights, len(backbones.STYLE_LAYERS))
        self.weights = np.array(
            [
                CONTENT_SCALE * options.content_weight,
                options.style_weight,
                VARIATION_SCALE * options.tv_weight,
                RANGE_SCALE,
            ],
            "float32",
        )
        short_side = min(content.shape[:2])
        with models.on_device():
            self.content = self.compiled.content_target(content[None])
        grams = []
        for style in styles:
            with models.on_device():
                grams.append(self.compiled.style_target(images.fit_short(style, short_side)[None]))
        self.grams = [
            sum(share * gram for share, gram in zip(shares, layer, strict=True))
            for layer in zip(*grams, strict=True)
        ]
        self.parts = np.zeros(4, "float32")

    def __call__(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        with models.on_device():
            started = time.perf_counter()
            parts, gradient = self.compiled.evaluate(
                x[None], self.content, self.grams, self.layer_weights, self.weights
            )
            self.parts, gradient = parts.numpy(), gradient.numpy()[0]
            seconds = time.perf_counter() - started
        models.pace.record(("gatys", self.backbone), x.size, seconds)
        return float(self.parts.sum()), gradient

    def losses(self) -> dict[str, float]:
        """The weighted parts of the last evaluation."""
        names = ("content", "style", "variation", "range")
        parts = dict(zip(names, map(float, self.parts), strict=True))
        return {"total": sum(parts.values()), **parts}


def _start(content: np.ndarray, options: Options, init_image: np.ndarray | None) -> np.ndarray:
    if init_image is not None:
        return images.resize(init_image, *content.shape[:2])
    if options.init == "noise":
        rng = np.random.default_rng(options.seed)
        return rng.uniform(0.25, 0.75, content.shape).astype("float32")
    return content


def _optimizer(options: Options, objective: Objective, start: np.ndarray):
    if options.optimizer == "lbfgs":
        return optimizers.lbfgs(objective, start)
    return optimizers.adam(
        objective, start, learning_rate=options.learning_rate or 0.02, clip=(0.0, 1.0)
    )


def iterate(
    content: np.ndarray,
    styles: Sequence[np.ndarray],
    options: Options,
    init_image: np.ndarray | None = None,
) -> Iterator[Step]:
    """Optimises, yielding a `Step` at the start, every few evaluations, and at the end.

    Closing the generator stops the run at once; nothing is held between two steps. The image of
    each Step is the best so far, at the size worked at.

    Args:
        content: (H, W, 3) in [0, 1]; styles: the same, of any sizes.
        init_image: (H, W, 3) to start from instead of `options.init`.
    """
    started = time.monotonic()
    small = images.fit(content, options.size)
    objective = Objective(small, styles, options)
    best: Step | None = None
    shown = -1
    for iteration, evaluation in enumerate(
        _optimizer(options, objective, _start(small, options, init_image))
    ):
        seconds = time.monotonic() - started
        if iteration == 0 and not np.isfinite(evaluation.loss):
            raise StyleTransferError(
                f"The loss is {evaluation.loss} at the start; lower the weights."
            )
        if best is None or evaluation.loss < best.losses["total"]:
            best = Step(iteration, options.iterations, objective.losses(), evaluation.x, seconds)
        best = replace(best, iteration=iteration, seconds=seconds)
        spent = options.time_budget is not None and seconds >= options.time_budget
        last = spent or iteration >= options.iterations
        if last or iteration % PREVIEW_EVERY == 0:
            shown = iteration
            yield _clipped(best)
        if last:
            return
    if best is not None and best.iteration != shown:  # a minimum was found before the planned end
        yield _clipped(best)


def _clipped(step: Step) -> Step:
    return replace(step, image=np.clip(step.image, 0.0, 1.0))


def stylize(
    content: np.ndarray,
    styles: Sequence[np.ndarray],
    options: Options,
    init_image: np.ndarray | None = None,
    on_step: Callable[[Step], Any] | None = None,
) -> np.ndarray:
    """The last picture of `iterate` at the photo's own size: float32 (H, W, 3) in [0, 1]."""
    image = content
    for step in iterate(content, styles, options, init_image):
        image = step.image
        if on_step is not None:
            on_step(step)
    return image if image.shape == content.shape else images.resize(image, *content.shape[:2])


def expected_seconds(height: int, width: int, options: Options) -> float | None:
    """Seconds for a photo of this size on this machine; None before the first run."""
    key = ("gatys", options.backbone)
    seconds = models.pace.expected_for(key, height, width, options.size, options.iterations + 1)
    if seconds is None or options.time_budget is None:
        return seconds
    return min(seconds, options.time_budget)
