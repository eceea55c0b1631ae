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
- It starts half-way between the photo and the fast mode's result, or from a trained style's
  painting, whose large forms it would not find by itself; not from noise, unless told otherwise.
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
  the style's statistics at its own size. A run that goes on from a given picture has only the last.

For all recipes: masks are guidance channels (1611.07865, §4), strength moves the style targets
towards the photo's own statistics, and a picture that needs more memory than there is is evaluated
in tiles, or, where that is not enough, done smaller.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, get_args

import numpy as np

from nst_demo import backbones, images, planning, recipes, weights
from nst_demo.blending import normalised_weights
from nst_demo.errors import StyleTransferError, check_choice, check_range
from nst_demo.objective import Objective, Structure, Weights
from nst_demo.planning import MAX_SIZE, Clock, Scale
from nst_demo.recipes import Recipe
from nst_demo.search import Search
from nst_demo.steps import Step

PREVIEW_EVERY = 5  # evaluations
LARGEST_STYLE_SCALE = 4.0
NOISE = 0.25  # around grey, where a recipe starts from noise and does not say how much
ADAM_RATE = 0.02  # of the [0, 1] range, where adam takes the place of a recipe's own optimiser
ROUNDING = 1e-4  # how far outside [0, 1] arithmetic may have put a mask's values


@dataclass(frozen=True)
class Options:
    """Options of quality mode. Where a field is None the recipe's own value holds.

    Attributes:
        recipe: default, bold, or a published system by name: see `recipes.RECIPES`.
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
        init_network: for one style: the trained style whose painting, in full, is the start in
            place of that ("fast"). See `recipes.with_large_forms`.
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
        if self.init_network is not None:
            recipe = recipes.with_large_forms(recipe)
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


def structure_of(settings: Recipe, regions: int = 0) -> tuple[Structure, Weights]:
    """What is compiled for a run, and its weights, with so many guidance channels."""
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
    structure, weights = structure_of(settings, 0 if masks is None else len(styles))
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


# ---- A run ---------------------------------------------------------------------------------------


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


def _scales(height: int, width: int, options: Options) -> tuple[list[Scale], list[str]]:
    settings = options.settings
    structure, _ = structure_of(settings)
    return planning.scales(height, width, settings, structure, options.max_memory)


def _start(photo: np.ndarray, settings: Recipe, options: Options) -> np.ndarray:
    """The picture at which the coarsest scale starts where none is given.

    The photo itself with "content+noise" and a strength of 0.
    """
    if settings.init not in ("noise", "content+noise"):
        return photo
    reach = settings.init_noise or NOISE
    noise = np.random.default_rng(options.seed).uniform(-reach, reach, photo.shape)
    start = 0.5 + noise if settings.init == "noise" else photo + options.strength * noise
    return np.clip(start, 0.0, 1.0).astype("float32")


def _kept_detail(content: np.ndarray, settings: Recipe, options: Options) -> np.ndarray | None:
    """Of the start: the photo as far as `_start` has it, without the noise."""
    if settings.init in ("fast", "content"):
        return content
    if settings.init == "content+noise" and options.strength < 1:
        return (1.0 - options.strength) * content
    return None


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
        self.scales, planned = _scales(content.shape[0], content.shape[1], options)
        if init_image is not None and self.settings.init != "fast":
            self.scales = self.scales[-1:]  # it goes on from a picture, and would undo it coarsely
        self.notes = _replaced_layers(self.settings) + planned
        if self.settings.init == "fast" and init_image is None:
            self.notes.append("started from the photo, as no fast result was given")
        self.clock = Clock(started, self.settings, self.scales, options.time_budget)
        self.iteration, self.parts, self.image = -1, dict[str, float](), init_image
        self.detail = init_image  # of the start, which coarser scales cannot have
        if init_image is None:
            self.detail = _kept_detail(content, self.settings, options)
        self.shown: tuple[int, list[str]] | None = None  # iteration and notes of the last step

    def __iter__(self) -> Iterator[Step]:
        for index in range(len(self.scales)):
            search = self._begin(index)
            yield from self._at_scale(index, search)
            if self._over(index, search):
                break
        if self.shown != (self.iteration, self.notes):
            yield replace(self._step(), seconds_left=0.0)

    def _begin(self, index: int) -> Search:
        """The search at a scale: with targets of its own, from the last one's picture.

        Apart, so that no picture of full size outlives its use.
        """
        scale, image = self.scales[index], self.image
        height, width = scale.height, scale.width
        photo = images.resize(self.content, height, width)
        if image is None:
            image = _start(photo, self.settings, self.options)
        start = images.resize(image, height, width)
        if index and self.detail is not None:
            coarse = images.resize(self.detail, *image.shape[:2])
            lost = images.resize(self.detail, height, width) - images.resize(coarse, height, width)
            start = np.clip(start + lost, 0.0, 1.0)
        if index == len(self.scales) - 1:
            self.detail = None
        evaluate = objective(photo, self.styles, self.options, self.masks, scale.tile_pixels)
        return Search(evaluate, start, self.settings, self.iteration + 1, self.notes)

    def _at_scale(self, index: int, search: Search) -> Iterator[Step]:
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

    def _time(self, index: int, search: Search, seconds: float) -> None:
        """Learns from an evaluation's time; a scale's first may have waited for compilation."""
        if self.iteration == search.first:
            self.clock.enter(index, self.iteration)
            return
        self.clock.evaluated(self.iteration)
        planning.record(self.settings, self.scales[index], seconds)

    def _saves(self) -> bool:
        every = self.settings.save_every
        return every is not None and self.iteration % every == 0

    def _over(self, index: int, search: Search) -> bool:
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
    run = _Run(content, styles, options, init_image, masks)
    del init_image  # of full size, and needed only at the start
    yield from run


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
    scales, _ = _scales(height, width, options)
    seconds = planning.expected_seconds(options.settings, scales)
    if seconds is None or options.time_budget is None:
        return seconds
    return min(seconds, options.time_budget)
