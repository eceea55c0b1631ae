"""Image optimisation, the slow mode of high quality. Gatys, Ecker & Bethge, arXiv 1508.06576.

The picture's own pixels are changed until its features have the photo's structure and the style's
correlations (Gram matrices). One engine runs every recipe of `recipes`; what the loss is made of
and how it is evaluated is in `objective` and `losses`. The default recipe departs from the paper,
so that one set of weights suits every photo, style and backbone:

- The style loss of a layer (eq. 4) is divided by the style's own energy |A|^2 (its scale differs
  a thousandfold between layers), and uses the Gram matrix per position, so that photo and style
  may have different sizes.
- The content loss (eq. 1) compares instance-normalised features: structure without the photo's
  contrast and colour, which the style is meant to change.
- It starts half-way between the photo and the fast mode's result, not from noise, unless told
  otherwise.
- It adds total variation, and a penalty on values outside [0, 1]: those are cut off in the end,
  and without it a bright sky drifts beyond white, where nothing is painted any more.
- At first the content weighs more (`Recipe.opening`), and L-BFGS gives each wavelet of the picture
  a step size of its own (`optimizers.lbfgs`): both save evaluations.
- Its gradient sees relus with soft slopes (`Recipe.softness`): the loss keeps its kinks, but
  L-BFGS no longer stumbles over each of them.
- The photo is mirrored around itself while it is optimised, so that its borders are painted like
  the rest (`Recipe.margin`).
- A large picture is done coarse to fine (`Recipe.scales`; Gatys et al., arXiv 1611.07865, §5):
  each scale starts from the last one's picture, with the detail that the run began with, and takes
  the style's statistics at its own size.

For all recipes: masks are guidance channels (1611.07865, §4), strength moves the style targets
towards the photo's own statistics, and a picture that needs more memory than there is is evaluated
in tiles, or, where that is not enough, done smaller.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from numbers import Integral
from typing import Any, NamedTuple, get_args

import numpy as np

from nst_demo import backbones, images, models, optimizers, recipes, weights
from nst_demo.blending import normalised_weights
from nst_demo.errors import StyleTransferError, check_choice, check_range
from nst_demo.objective import Objective, Structure, Weights
from nst_demo.recipes import Recipe
from nst_demo.steps import Step
from nst_demo.tiling import CELL, grid, smallest_tile

MAX_SIZE = 4096  # px
PREVIEW_EVERY = 5  # evaluations
LARGEST_STYLE_SCALE = 4.0
NOISE = 0.25  # around grey, where a recipe starts from noise and does not say how much
ADAM_RATE = 0.02  # of the [0, 1] range, where adam takes the place of a recipe's own optimiser
STEP_CUTS = (1.0, 0.1, 1e-2, 1e-3, 1e-4)  # of the step size: the next one where a run diverges
OPENING = 0.2  # share of the iterations in which `Recipe.opening` may hold
DIVERGED = 1e3  # times the loss at the start
ROUNDING = 1e-4  # how far outside [0, 1] arithmetic may have put a mask's values
# Least and most steps that L-BFGS remembers, by its scaling. In wavelets ten lead no lower than
# five, and reading them takes time.
PAIRS = {"secant": (4, 10), "wavelets": (4, 5)}
PAIR_BYTES = 105e6  # that they may take: ten of 661 x 661 px, four of 1024 x 1024


@dataclass(frozen=True)
class Options:
    """Options of quality mode. Where a field is None the recipe's own value holds.

    Attributes:
        recipe: default, or a published system by name: see `recipes.RECIPES`.
        similarity: of the recipe zandian: content, balanced or style.
        backbone: the feature network: lite (packaged), vgg16 or vgg19 (downloaded on first use).
        iterations: evaluations of the loss and its gradient.
        content_weight: how much of the photo's structure is kept. This and the next two multiply
            the recipe's own weight: 1 is as tuned or published, 0 leaves the part out.
        style_weight: how strongly the style is followed.
        tv_weight: smoothness (total variation).
        layer_weights: share of each style layer, relu1_1 ... relu5_1: fine texture ... large
            shapes. Only their proportions count.
        init: start from the photo ("content"), from "noise", from "content+noise", or from the fast
            mode's result and the photo in the style's colours, half of each ("fast"), which the
            caller hands over as `init_image` (`nst_demo.stylize` does; without it the run starts
            from the photo and says so).
        init_network: the trained style that paints that result in place of AdaIN, for one style.
        optimizer: lbfgs, adam or sgd.
        learning_rate: of adam and sgd, in units of the recipe's pixel range (1 or 255).
        seed: of the noise.
        time_budget: seconds from the start after which the best picture so far is the result; None
            for no limit.
        size: px at which the picture is optimised: the long side, or as the recipe's `fit` says. A
            larger photo is optimised at this size and enlarged to its own.
        style_weights: one weight of 0 or more for each style; None for equal shares.
        strength: 0 ... 1: the style's statistics are followed all the way (1), or from the photo's
            own (0) up to this share of the way.
        style_scale: 0.25 ... 4: size of the strokes; 1 is that of the recipe.
        max_memory: GB (of the GPU where there is one) that the program may take; None for most of
            what is free. A picture that needs more is tiled, or done smaller.
        save_every: a step is yielded at least at every multiple of this many iterations.
    """

    recipe: str = "default"
    similarity: str | None = None
    backbone: str | None = None
    iterations: int | None = None
    content_weight: float = 1.0
    style_weight: float = 1.0
    tv_weight: float = 1.0
    layer_weights: Sequence[float] | None = None
    init: recipes.Init | None = None
    init_network: str | None = None
    optimizer: recipes.Optimizer | None = None
    learning_rate: float | None = None
    seed: int = 0
    time_budget: float | None = None
    size: int | None = None
    style_weights: Sequence[float] | None = None
    strength: float = 1.0
    style_scale: float = 1.0
    max_memory: float | None = None
    save_every: int | None = None

    def __post_init__(self):
        for name in ("content_weight", "style_weight", "tv_weight"):
            check_range(name, getattr(self, name), 0.0, 1e6)
        for name, low, high in (
            ("iterations", 1, 100_000),
            ("size", images.MIN_SIDE, MAX_SIZE),
            ("seed", 0, 2**63 - 1),
            ("save_every", 1, 100_000),
        ):
            value = getattr(self, name)
            if not isinstance(value, Integral | None):
                raise StyleTransferError(f"The {name} is {value!r}; give a whole number.")
            _check_optional(name, getattr(self, name), low, high)
        if self.time_budget == 0:
            raise StyleTransferError("The time_budget is 0 seconds; give more, or none at all.")
        _check_optional("time_budget", self.time_budget, 0.0, 1e6)
        _check_optional("learning_rate", self.learning_rate, 1e-6, 1e6)
        _check_optional("max_memory", self.max_memory, 0.01, 1e5)
        check_range("strength", self.strength, 0.0, 1.0)
        check_range("style_scale", self.style_scale, 1 / LARGEST_STYLE_SCALE, LARGEST_STYLE_SCALE)
        for name, choices in (("init", recipes.Init), ("optimizer", recipes.Optimizer)):
            value = getattr(self, name)
            if value is not None:
                check_choice(name, value, get_args(choices))
        if self.init_network is not None:
            check_choice("init_network", self.init_network, weights.trained_styles())
        settings = self.settings
        backbones.architecture(settings.backbone)
        if settings.content_weight == 0 and settings.style_weight == 0:
            raise StyleTransferError("content_weight and style_weight are both 0; raise one.")

    @property
    def settings(self) -> Recipe:
        """The recipe with these options in the place of its own."""
        recipe = recipes.named(self.recipe)
        if self.similarity is not None:
            recipe = recipes.with_similarity(recipe, self.similarity)
        given = {
            name: getattr(self, name)
            for name in ("backbone", "iterations", "init", "size", "save_every")
            if getattr(self, name) is not None
        }
        return replace(
            recipe,
            **given,
            **self._optimizer_settings(recipe),
            style_layers=self._style_layers(recipe),
            content_weight=recipe.content_weight * self.content_weight,
            style_weight=recipe.style_weight * self.style_weight,
            variation_weight=recipe.variation_weight * self.tv_weight,
        )

    def _optimizer_settings(self, recipe: Recipe) -> dict[str, Any]:
        optimizer, rate = self.optimizer or recipe.optimizer, self.learning_rate
        if optimizer == "lbfgs":
            if rate is not None:
                raise StyleTransferError(
                    "A learning_rate is for the optimizers adam and sgd; lbfgs finds its own steps."
                )
            return {"optimizer": optimizer}
        if optimizer == recipe.optimizer:
            return {} if rate is None else {"learning_rate": rate}
        if rate is None and optimizer == "sgd":
            raise StyleTransferError(
                f"The recipe {recipe.name!r} has no learning_rate for sgd; give one, or choose "
                "another optimizer."
            )
        # A published schedule belongs to the published optimiser.
        rate = rate or ADAM_RATE * recipe.pixel_range
        return {"optimizer": optimizer, "learning_rate": rate, "decay": 1.0, "clip": True}

    def _style_layers(self, recipe: Recipe) -> recipes.Layers:
        given: Any = self.layer_weights
        if given is None:
            return recipe.style_layers
        layers, published = zip(*recipe.style_layers, strict=True)
        if isinstance(given, Sequence) and len(given) != len(layers):
            raise StyleTransferError(
                f"There are {len(given)} layer_weights; give {len(layers)} "
                f"({layers[0]} ... {layers[-1]})."
            )
        shares = normalised_weights(given, len(layers))
        return tuple(zip(layers, map(float, shares * sum(published)), strict=True))


def _check_optional(name: str, value: float | None, low: float, high: float) -> None:
    if value is not None:
        check_range(name, value, low, high)


# ---- From a recipe to an objective ---------------------------------------------------------------


def _layers_on(backbone: str, layers: recipes.Layers) -> dict[str, float]:
    """The layers that the backbone has in their place; weights of those that fall together add."""
    found: dict[str, float] = {}
    for layer, weight in layers:
        nearest = backbones.nearest_layer(backbone, layer)
        found[nearest] = found.get(nearest, 0.0) + weight
    return found


def _structure(settings: Recipe, regions: int = 0) -> tuple[Structure, Weights]:
    published_on = recipes.named(settings.name).backbone
    content = _layers_on(settings.backbone, settings.content_layers)
    style = _layers_on(settings.backbone, settings.style_layers)
    structure = Structure(
        settings.backbone,
        tuple(content),
        tuple(style),
        settings.content_loss,
        settings.style_loss,
        settings.variation_loss,
        settings.pixel_range,
        regions,
        backbones.VGG_TO.get(settings.backbone, 1.0) if published_on.startswith("vgg") else 1.0,
        settings.softness,
    )
    weights = Weights(
        settings.content_weight,
        settings.style_weight,
        settings.variation_weight,
        settings.range_weight,
        tuple(content.values()),
        tuple(style.values()),
    )
    return structure, weights


def _replaced_layers(settings: Recipe) -> list[str]:
    """One sentence for each layer of the recipe that the backbone does not have."""
    notes = []
    for layer, _ in settings.content_layers + settings.style_layers:
        nearest = backbones.nearest_layer(settings.backbone, layer)
        if nearest != layer:
            notes.append(f"{nearest} of {settings.backbone} stands for {layer}")
    return notes


def fit_style(style: np.ndarray, settings: Recipe, size: tuple[int, int], scale: float):
    """The style at the size at which its statistics are taken for a picture of `size` (h, w)."""
    if settings.style_fit == "content":
        height, width = size
    else:
        height, width = style.shape[:2]
        shrink = min(1.0, min(size) / min(height, width))
        height, width = height * shrink, width * shrink
    # Sides under MIN_SIDE have no position in the deepest layers.
    scale = min(scale, LARGEST_STYLE_SCALE * MAX_SIZE / max(height, width))
    height, width = (max(images.MIN_SIDE, round(side * scale)) for side in (height, width))
    return images.resize(style, height, width)


def objective(
    content: np.ndarray,
    styles: Sequence[np.ndarray],
    options: Options,
    masks: Sequence[np.ndarray] | None = None,
    tile_pixels: float | None = None,
) -> Objective:
    """The loss of `options` for a photo (h, w, 3) at the very size at which it is optimised.

    styles of any size; masks (any size) one for each style; tile_pixels as in `Objective`.
    """
    settings = options.settings
    structure, weights = _structure(settings, 0 if masks is None else len(styles))
    size = content.shape[0], content.shape[1]
    return Objective(
        structure,
        weights,
        content,
        (fit_style(style, settings, size, options.style_scale) for style in styles),
        shares=normalised_weights(options.style_weights, len(styles)),
        strength=options.strength,
        masks=masks,
        margin=settings.margin,
        tile_pixels=tile_pixels,
    )


# ---- Memory --------------------------------------------------------------------------------------

# Measured on a CPU with TensorFlow 2.21: peaks of processes at 384 ... 1448 px on lite, and on
# VGG19, whole and tiled. They are met within 6 %; of lite above 1024 px it says 13 % too much, with
# features in bfloat16 22 %.
PROGRAM_BYTES = 0.76e9  # Python, TensorFlow, and the code that it compiles
FEATURES_FACTOR = 1.3  # the peak of an evaluation by the size of all features,
PICTURE_FACTOR = 4.0  # and by that of the picture
WEIGHT_COPIES = 3
# Pictures kept by the optimiser and around it; L-BFGS' memory comes on top.
BUFFERS = {"lbfgs": 30, "adam": 27, "sgd": 24}
FREE_SHARE = 0.8  # of what is free that a run may take unless told otherwise


@dataclass(frozen=True)
class _Memory:
    """Bytes that a run takes on the device, by size."""

    settings: Recipe
    structure: Structure

    def per_pixel(self) -> float:
        """Of a window that is evaluated."""
        network = backbones.architecture(self.structure.backbone)
        features = network.floats_per_pixel(self.structure.layers)
        each = 2 if self.structure.precision == "bfloat16" else 4
        return FEATURES_FACTOR * each * features + PICTURE_FACTOR * 4 * 3

    def whole(self, pixels: float) -> float:
        """Of what has the picture's full size whether or not it is tiled."""
        network = backbones.architecture(self.structure.backbone)
        kept = sum(
            network.width(n) / backbones.stride(n) ** 2 for n in self.structure.content_layers
        )
        buffers = 4
        if models.device().kind == "CPU":  # else the optimiser works in another memory
            buffers = BUFFERS[self.settings.optimizer]
            if self.settings.optimizer == "lbfgs":
                buffers += 2 * _pairs(round(3 * pixels), self.settings.scaling)
        return PROGRAM_BYTES + WEIGHT_COPIES * self.weights() + 4 * pixels * (3 * buffers + kept)

    def weights(self) -> float:
        """Of the network: kernels of 3x3."""
        network = backbones.architecture(self.structure.backbone)
        widths = [3, *(network.width(layer) for layer in network.layers)]
        return 4 * 9 * sum(a * b for a, b in pairwise(widths))

    def untiled(self, pixels: float) -> float:
        return self.whole(pixels) + pixels * self.per_pixel()

    def tile_pixels(self, pixels: float, budget: float) -> float:
        """The largest window that leaves room for the rest of a picture of this many pixels."""
        return (budget - self.whole(pixels)) / self.per_pixel()


def _budget(options: Options) -> float | None:
    """Bytes; None where it is not known what is free."""
    if options.max_memory is not None:
        return 1e9 * options.max_memory
    free = models.free_memory()
    return None if free is None else FREE_SHARE * free + PROGRAM_BYTES


# ---- The plan of a run ---------------------------------------------------------------------------


class Scale(NamedTuple):
    """One size of a run, coarse to fine."""

    height: int
    width: int
    until: int  # the iteration at which it ends
    tile_pixels: float | None

    @property
    def pixels(self) -> int:
        return self.height * self.width


def _worked_size(height: int, width: int, settings: Recipe) -> tuple[int, int]:
    """(h, w) of the finest scale: `Recipe.fit`."""
    size = settings.size
    if settings.fit == "square":
        return size, size
    factor = size / height if settings.fit == "rows" else min(1.0, size / max(height, width))
    factor = min(factor, MAX_SIZE / max(height, width))
    least_height, least_width = (min(side, images.MIN_SIDE) for side in (height, width))
    return max(round(height * factor), least_height), max(round(width * factor), least_width)


def _affordable(
    height: int, width: int, settings: Recipe, budget: float | None
) -> tuple[int, int, float | None, list[str]]:
    """The size that fits into the budget, its largest tile, and what to tell of it."""
    if budget is None:
        return height, width, None, []
    structure, _ = _structure(settings)
    memory = _Memory(settings, structure)

    def evaluated(rows: int, columns: int) -> tuple[int, int]:
        return rows + 2 * settings.margin, columns + 2 * settings.margin

    long, needed = max(height, width), memory.untiled(math.prod(evaluated(height, width)))
    for side in (long, *range((long - 1) // CELL * CELL, 0, -CELL)):
        rows, columns = round(height * side / long), round(width * side / long)
        if min(rows, columns) < min(height, width, images.MIN_SIDE):
            break
        whole = evaluated(rows, columns)
        room = memory.tile_pixels(math.prod(whole), budget)
        cut = grid(*whole, structure.border, room)
        if cut and room >= min(math.prod(whole), smallest_tile(structure.border)):
            notes = [f"done at {side} px: {long} needs {needed / 1e9:.1f} GB"] * (side < long)
            notes += [f"tiled in {math.prod(cut)}"] * (cut != (1, 1))
            return rows, columns, room, notes
    least = memory.untiled(math.prod(evaluated(images.MIN_SIDE, long)))
    raise StyleTransferError(
        f"{budget / 1e9:.2f} GB of memory are too little for any size; allow "
        f"{(least + 1e7) / 1e9:.2f} GB or more."
    )


def _plan(height: int, width: int, options: Options) -> tuple[list[Scale], list[str]]:
    """The scales of a photo (height, width), and what to tell of them."""
    settings = options.settings
    budget = _budget(options)
    worked = _worked_size(height, width, settings)
    height, width, tile_pixels, notes = _affordable(*worked, settings, budget)
    kept = [
        (fraction, share)
        for fraction, share in settings.scales[:-1]
        if fraction * min(height, width) >= settings.coarsest
    ] + [settings.scales[-1]]
    shares = np.array([share for _, share in kept]) / sum(share for _, share in kept)
    ends = [round(settings.iterations * done) for done in accumulate(map(float, shares))]
    scales, before = [], 0
    for (fraction, _), until in zip(kept, ends, strict=True):
        if until > before or fraction == kept[-1][0]:
            rows, columns = round(height * fraction), round(width * fraction)
            scales.append(Scale(rows, columns, until, tile_pixels))
            before = until
    return scales, notes


def _pace_key(settings: Recipe, scale: Scale) -> tuple[Any, ...]:
    tiled = scale.tile_pixels is not None and scale.pixels > scale.tile_pixels
    return "gatys", settings.backbone, settings.optimizer, tiled


# Seconds of an evaluation that do not depend on the size: calls into TensorFlow.
FIXED_SECONDS = 0.004
# Of a tiled evaluation before one was measured: a forward pass more, and the borders.
TILED_FACTOR = 1.8
# Evaluations that a new size costs on top: the photo's and styles' statistics, new buffers.
SETTING_UP = 2.0


def _evaluation_seconds(settings: Recipe, scale: Scale) -> float | None:
    """From earlier evaluations in this process, at this or another size."""
    expected = models.pace.expected(_pace_key(settings, scale), scale.pixels, FIXED_SECONDS)
    if expected is None and scale.tile_pixels is not None:
        whole = _evaluation_seconds(settings, scale._replace(tile_pixels=None))
        expected = None if whole is None else TILED_FACTOR * whole
    return expected


# ---- The search at one scale ---------------------------------------------------------------------


def _pairs(values: int, scaling: optimizers.Scaling) -> int:
    """Steps that L-BFGS remembers of a picture of so many values: fewer of a large one."""
    return int(np.clip(PAIR_BYTES / (8 * values), *PAIRS[scaling]))


class _Search:
    """The optimisation at one scale: each iteration is an evaluation; keeps the best, mends
    divergence. No picture but the best outlives its evaluation.

    Attributes:
        first: the iteration of its first evaluation.
        first_loss: of the first evaluation.
        best: where the loss was lowest; None where not even the first is a number.
        improved: whether that was the last one.
        at_minimum: whether it ended because nothing lowers the loss any more.
    """

    def __init__(
        self,
        evaluate: Objective,
        start: np.ndarray,
        settings: Recipe,
        first: int,
        notes: list[str],
    ):
        """`notes`: what happens is told there."""
        self.evaluate, self.settings = evaluate, settings
        self.first, self.notes = first, notes
        self.first_loss, self.least = math.nan, math.inf
        self.best: np.ndarray | None = start
        self.improved = self.at_minimum = False

    def __iter__(self) -> Iterator[None]:
        done = self.first
        self.evaluate.emphasis = self.settings.opening if self._opens(done) else 1.0
        for cut in STEP_CUTS:
            if cut == STEP_CUTS[1]:
                self.notes.append("the step size was cut")
            evaluations, diverged = self._evaluations(done, cut), False
            if cut < 1:  # the best once more
                diverged = self._diverged(next(evaluations))
            for evaluation in evaluations:
                self._keep(evaluation, first=done == self.first)
                diverged = self._diverged(evaluation)
                del evaluation
                yield
                done += 1
                parts = self.evaluate.losses()
                if parts["style"] <= parts["content"] or not self._opens(done):
                    self.evaluate.emphasis = 1.0
                if self.best is None:
                    return
                if self.settings.optimizer != "lbfgs" and diverged:
                    break
            if not diverged:
                self.at_minimum = True
                return
        self.notes.append("the loss went on growing, so this is the best picture met")

    def _opens(self, done: int) -> bool:
        return done < OPENING * self.settings.iterations

    def _evaluations(self, done: int, cut: float) -> Iterator[optimizers.Evaluation]:
        start: Any = self.best
        pairs = _pairs(start.size, self.settings.scaling)
        return optimizers.minimise(
            self.evaluate, start, self.settings, first=done, cut=cut, memory=pairs
        )

    def _keep(self, evaluation: optimizers.Evaluation, first: bool) -> None:
        if first:
            self.first_loss, self.best = evaluation.loss, None
        self.improved = evaluation.loss < self.least
        if self.improved:
            self.best, self.least = evaluation.x, evaluation.loss

    def _diverged(self, last: optimizers.Evaluation) -> bool:
        """L-BFGS shortens its own steps, and diverges only where it ends on what is no number."""
        grew = self.settings.optimizer != "lbfgs" and last.loss > DIVERGED * abs(self.first_loss)
        return grew or not np.isfinite(last.loss) or not np.isfinite(last.gradient).all()


# ---- A run ---------------------------------------------------------------------------------------


class _Clock:
    """The time of a run: what is left of it, and when its budget is used up."""

    def __init__(self, started: float, settings: Recipe, scales: Sequence[Scale], options: Options):
        self.started, self.settings, self.scales = started, settings, scales
        self.budget = math.inf if options.time_budget is None else options.time_budget
        self.index = 0

    def seconds(self) -> float:
        return time.monotonic() - self.started

    def spent(self) -> bool:
        return self.seconds() >= self.budget

    def enter(self, index: int, iteration: int) -> None:
        """The first evaluation of a scale is done, which waited for compilation and the like."""
        self.index, self.first, self.entered = index, iteration, self.seconds()
        self.rate: float | None = None  # seconds per evaluation, measured at this scale

    def evaluated(self, iteration: int) -> None:
        self.rate = (self.seconds() - self.entered) / (iteration - self.first)

    def _work(self, iteration: int) -> list[float]:
        """What is left at this scale and at each one after it, in evaluations at this scale."""
        scale = self.scales[self.index]
        here = _evaluation_seconds(self.settings, scale)
        work = [float(scale.until - iteration)]
        for before, after in pairwise(self.scales[self.index :]):
            there = _evaluation_seconds(self.settings, after)
            ratio = there / here if there and here else after.pixels / scale.pixels
            work.append(ratio * (after.until - before.until + SETTING_UP))
        return work

    def left(self, iteration: int) -> float | None:
        """Seconds expected until the end of the run; None before anything is known."""
        rate = self.rate or _evaluation_seconds(self.settings, self.scales[self.index])
        within = max(0.0, self.budget - self.seconds())
        if rate is None:
            return None if math.isinf(within) else within
        return min(rate * sum(self._work(iteration)), within)


def _checked_masks(
    masks: Sequence[np.ndarray] | None, styles: Sequence[np.ndarray], content: np.ndarray
) -> Sequence[np.ndarray] | None:
    if masks is None:
        return None
    if len(masks) != len(styles):
        raise StyleTransferError(
            f"{len(styles)} styles were given {len(masks)} masks; give one mask for each style."
        )
    height, width = content.shape[:2]
    for mask in masks:
        if mask.shape != (height, width):
            size = " x ".join(map(str, reversed(mask.shape)))
            raise StyleTransferError(
                f"A mask is {size} px but the photo {width} x {height} px; give a mask of the "
                "photo's size."
            )
        if not (mask.min() >= -ROUNDING and mask.max() <= 1 + ROUNDING):
            raise StyleTransferError(
                f"A mask has values from {mask.min()} to {mask.max()}; give values in [0, 1]."
            )
        if not mask.any():
            raise StyleTransferError(
                "A mask is all black, so its style has no place; paint white where it shall go."
            )
    return masks


def _start(photo: np.ndarray, settings: Recipe, seed: int) -> np.ndarray:
    """The picture at which the coarsest scale starts where none is given."""
    if settings.init not in ("noise", "content+noise"):
        return photo
    reach = settings.init_noise or NOISE
    noise = np.random.default_rng(seed).uniform(-reach, reach, photo.shape)
    middle = 0.5 if settings.init == "noise" else photo
    return np.clip(middle + noise, 0.0, 1.0).astype("float32")


class _Run:
    """A run over all its scales: the best picture so far, and what is told of it."""

    def __init__(
        self,
        content: np.ndarray,
        styles: Sequence[np.ndarray],
        options: Options,
        init_image: np.ndarray | None,
        masks: Sequence[np.ndarray] | None,
    ):
        started, self.settings = time.monotonic(), options.settings
        normalised_weights(options.style_weights, len(styles))
        self.content, self.styles, self.options = content, styles, options
        self.masks = _checked_masks(masks, styles, content)
        self.scales, planned = _plan(content.shape[0], content.shape[1], options)
        self.notes = _replaced_layers(self.settings) + planned
        if self.settings.init == "fast" and init_image is None:
            self.notes.append("started from the photo, as no fast result was given")
        self.clock = _Clock(started, self.settings, self.scales, options)
        self.iteration, self.parts, self.image = -1, dict[str, float](), init_image
        self.detail = init_image  # of the start, which coarser scales cannot have
        if init_image is None and self.settings.init in ("fast", "content"):
            self.detail = content
        self.shown: tuple[int, list[str]] | None = None  # iteration and notes of the last step

    def __iter__(self) -> Iterator[Step]:
        for index in range(len(self.scales)):
            search = self._begin(index)
            yield from self._at_scale(index, search)
            if self._over(index, search):
                break
        if self.shown != (self.iteration, self.notes):
            yield replace(self._step(), seconds_left=0.0)

    def _begin(self, index: int) -> _Search:
        """The search at a scale: with targets of its own, from the last one's picture.

        Apart, so that no picture of full size outlives its use.
        """
        scale, image = self.scales[index], self.image
        height, width = scale.height, scale.width
        photo = images.resize(self.content, height, width)
        if image is None:
            image = _start(photo, self.settings, self.options.seed)
        start = images.resize(image, height, width)
        if index and self.detail is not None:
            coarse = images.resize(self.detail, *image.shape[:2])
            lost = images.resize(self.detail, height, width) - images.resize(coarse, height, width)
            start = np.clip(start + lost, 0.0, 1.0)
        evaluate = objective(photo, self.styles, self.options, self.masks, scale.tile_pixels)
        return _Search(evaluate, start, self.settings, self.iteration + 1, self.notes)

    def _at_scale(self, index: int, search: _Search) -> Iterator[Step]:
        """Previews, and pictures to be saved; not the last of the run."""
        scale, resumed = self.scales[index], time.perf_counter()
        for _ in search:
            self.iteration += 1
            if search.best is None:
                return
            self._time(index, search, time.perf_counter() - resumed)
            if search.improved:
                self.image, self.parts = search.best, search.evaluate.losses()
            ends = self.clock.spent() or self.iteration >= scale.until
            last = ends and index == len(self.scales) - 1
            if (self._saves() and not last) or (self.iteration % PREVIEW_EVERY == 0 and not ends):
                yield self._step()
            if ends:
                return
            resumed = time.perf_counter()

    def _time(self, index: int, search: _Search, seconds: float) -> None:
        """Learns from an evaluation's time; a scale's first may have waited for compilation."""
        if self.iteration == search.first:
            self.clock.enter(index, self.iteration)
            return
        self.clock.evaluated(self.iteration)
        scale = self.scales[index]
        models.pace.record(_pace_key(self.settings, scale), scale.pixels, seconds)

    def _saves(self) -> bool:
        every = self.settings.save_every
        return every is not None and self.iteration % every == 0

    def _over(self, index: int, search: _Search) -> bool:
        """Whether the run ends with this scale before its time, and why: that is told."""
        if not self.parts:
            raise StyleTransferError(
                f"The loss is {search.first_loss} at the start; lower the weights."
            )
        if search.best is None:
            why = f"the loss is {search.first_loss} at the next size, so it ended before"
            self.notes.append(why)
            return True
        if self.clock.spent() and self.iteration < self.settings.iterations:
            self.notes.append("ended by the time budget")
            return True
        if search.at_minimum and index == len(self.scales) - 1:
            self.notes.append("stopped at a minimum")
        return False

    def _step(self) -> Step:
        image: Any = self.image
        self.shown = self.iteration, list(self.notes)
        return Step(
            self.iteration,
            self.settings.iterations,
            self.parts,
            np.clip(image, 0.0, 1.0),
            self.clock.seconds(),
            self.clock.left(self.iteration),
            "; ".join(self.notes) or None,
        )


def iterate(
    content: np.ndarray,
    styles: Sequence[np.ndarray],
    options: Options,
    init_image: np.ndarray | None = None,
    masks: Sequence[np.ndarray] | None = None,
) -> Iterator[Step]:
    """Optimises, yielding a `Step` at the start, every few evaluations, and at the end.

    Closing the generator stops the run at once; nothing is held between two steps. The image of
    each Step is the best so far, at the size worked at. The last Step may repeat the iteration of
    the one before it, with a note more.

    Args:
        content: (H, W, 3) in [0, 1]; styles: the same, of any sizes.
        init_image: (H, W, 3) to start from instead of `options.init`.
        masks: (H, W) in [0, 1] for each style: where it is painted. Elsewhere only the content
            part of the loss counts.
    """
    yield from _Run(content, styles, options, init_image, masks)


def stylize(
    content: np.ndarray,
    styles: Sequence[np.ndarray],
    options: Options,
    init_image: np.ndarray | None = None,
    on_step: Callable[[Step], Any] | None = None,
    masks: Sequence[np.ndarray] | None = None,
) -> np.ndarray:
    """The last picture of `iterate` at the photo's own size: float32 (H, W, 3) in [0, 1]."""
    image = content
    for step in iterate(content, styles, options, init_image, masks):
        image = step.image
        if on_step is not None:
            on_step(step)
    return images.resize(image, *content.shape[:2])


def expected_seconds(height: int, width: int, options: Options) -> float | None:
    """Seconds for a photo of this size on this machine; None before the first run."""
    settings = options.settings
    anywhere = Scale(1, 1, 1, None)
    if _evaluation_seconds(settings, anywhere) is None:
        return None
    seconds, before = 0.0, -1
    for scale in _plan(height, width, options)[0]:
        one = _evaluation_seconds(settings, scale) or 0.0
        seconds += one * (scale.until - before + (SETTING_UP if before >= 0 else 0))
        before = scale.until
    return seconds if options.time_budget is None else min(seconds, options.time_budget)
