"""Recipes: the settings of image optimisation by name, as pure data. `methods.gatys` runs them all.

`default` and `bold` are ours. The others are published systems, each with its own equations (by
name, in `losses`), layers, weights, start image, optimiser and schedule. Where a publication is
silent, the value is that of the work it derives from; the recipe's `source` and a comment say so.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from nst_demo.errors import StyleTransferError, check_choice

Fit = Literal["long side", "square", "rows"]
StyleFit = Literal["short side", "content"]
Init = Literal["fast", "content", "noise", "content+noise"]
Optimizer = Literal["lbfgs", "adam", "sgd"]
Scaling = Literal["secant", "wavelets"]
Similarity = Literal["content", "balanced", "style"]
Layers = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Recipe:
    """All that defines an optimisation but the pictures. Layers are named as in keras.applications.

    The loss is content_weight · Σ weight_l · content_loss(l) + style_weight · Σ weight_l ·
    style_loss(l) + variation_weight · variation_loss(pixel_range · x) + range_weight ·
    losses.out_of_range(x), of a picture x in [0, 1].

    Attributes:
        name: what a person picks it by.
        description: one line for people.
        source: its citation, and where the values come from that it does not state.
        backbone: the feature network.
        content_layers, style_layers: (layer, weight) pairs.
        content_loss, style_loss, variation_loss: names in `losses`' tables.
        content_weight, style_weight, variation_weight, range_weight: of the four parts.
        opening: how many times the content weighs as much at first, while the style part is the
            larger one, for a fifth of the iterations at most. Else the style's first steps tear up
            structure that takes many more to mend.
        softness: how gradually the slope of a relu rises from 0 to 1, in the gradient only: over so
            many times the size (root mean square) of what its channel is given; 0 for the step that
            it is. The loss is the relus', whose many kinks hold L-BFGS up; with a gradient that
            sees them coming it needs a fifth fewer evaluations.
        pixel_range: the range of pixels in which the variation loss and the optimiser's steps are
            published: 255, or 1.
        size: px, see `fit`.
        fit: the photo's long side is at most `size` ("long side"), it is bent to `size` x `size`
            ("square"), or it is resized to `size` rows ("rows"). The result has the photo's size.
        margin: px of the photo that are mirrored around it while it is optimised.
        style_fit: styles are shrunk to the photo's short side, or bent to the photo's very size.
        init: the start: half the fast mode's result and half the photo, or all of a trained style's
            painting, the photo, noise, or the photo and noise.
        init_noise: of "content+noise": uniform within plus and minus this, the sum clipped.
        optimizer: lbfgs, adam or sgd.
        scaling: of lbfgs, see `optimizers.lbfgs`.
        learning_rate: of adam and sgd, in units of `pixel_range`; times `decay` to the power of
            step // `decay_steps`.
        beta_1, beta_2, epsilon: of adam (epsilon as Keras adds it).
        clip: whether the picture is clipped to [0, 1] after each step.
        iterations: evaluations of the loss and its gradient.
        save_every: iterations between pictures that are kept; None for the last one only.
        scales: coarse to fine: (fraction of the size worked at, share of `iterations`) pairs.
        grows_from: px of the long side at the first scale; the others, which stand in place of
            `scales`, are each at most twice as large as the one before, with equal shares.
        coarsest: px of the short side; coarser scales are left out.
    """

    name: str
    description: str
    source: str
    backbone: str
    content_layers: Layers
    style_layers: Layers
    content_loss: str
    style_loss: str
    content_weight: float
    style_weight: float
    variation_loss: str = "squares"
    variation_weight: float = 0.0
    range_weight: float = 0.0
    opening: float = 1.0
    softness: float = 0.0
    pixel_range: float = 1.0
    size: int = 512
    fit: Fit = "long side"
    margin: int = 0
    style_fit: StyleFit = "short side"
    init: Init = "content"
    init_noise: float = 0.0
    optimizer: Optimizer = "adam"
    scaling: Scaling = "wavelets"
    learning_rate: float = 0.02
    decay: float = 1.0
    decay_steps: int = 1
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    clip: bool = False
    iterations: int = 500
    save_every: int | None = None
    scales: tuple[tuple[float, float], ...] = ((1.0, 1.0),)
    grows_from: int | None = None
    coarsest: int = 64


def _style_layers(*weights: float) -> Layers:
    """block1_conv1 ... block5_conv1 (relu1_1 ... relu5_1) with these weights."""
    return tuple((f"block{block}_conv1", weight) for block, weight in enumerate(weights, 1))


_EQUAL = _style_layers(0.2, 0.2, 0.2, 0.2, 0.2)

DEFAULT = Recipe(
    name="default",
    description="ours: balanced for any photo and style, starts from the fast result",
    source="Gatys et al., arXiv 1508.06576, with the departures told in methods/gatys.py",
    backbone="lite",
    # Two layers: pictures then look nearer to the photo to other networks as well.
    content_layers=(("block4_conv1", 0.5), ("block5_conv1", 0.5)),
    style_layers=_EQUAL,
    content_loss="structure",
    style_loss="gram",
    content_weight=0.23,
    style_weight=1.0,
    variation_weight=0.2,
    range_weight=10.0,
    opening=2.0,
    softness=0.4,
    size=768,
    margin=8,
    init="fast",
    optimizer="lbfgs",
    iterations=40,  # more lower the loss, but to VGG19 the picture leaves the photo
    scales=((0.5, 0.2), (1.0, 0.8)),
    # With wavelets' step sizes coarse scales only take time, a sixth of it at 288 px: but shapes
    # larger than the network sees at the finest come from nowhere else.
    coarsest=512,
)

# A start that nothing is drawn in yet, at a size at which the network sees most of the picture: the
# style's large forms then come first, and its strokes are drawn into them as the picture grows.
# From the fast mode's result they come out small, whatever the weights and scales. That size is the
# same for all pictures: so forms are as large in a large one.
BOLD = replace(
    DEFAULT,
    name="bold",
    description="ours: large forms and broad strokes, free with the photo",
    content_weight=0.15 * DEFAULT.content_weight,
    init="content+noise",
    init_noise=0.25,
    iterations=100,
    scales=((1.0, 1.0),),
    grows_from=112,
    coarsest=48,
)

SETHI = Recipe(
    name="sethi",
    description="VGG16, both pictures squeezed to 512 x 512, 100 steps of Adam from the photo",
    # Not stated, so the tutorial's: which layer of the last block, Adam's values, the photo as the
    # start, clipping. Stated: the weights, which are not the tutorial's.
    source="K. Sethi, Neural Style Transfer, 2019; where it is silent, TensorFlow's tutorial "
    "Neural style transfer",
    backbone="vgg16",
    content_layers=(("block5_conv2", 1.0),),
    style_layers=_EQUAL,
    content_loss="sethi",
    style_loss="sethi",
    content_weight=1e4,
    style_weight=1e-1,
    size=512,
    fit="square",
    style_fit="content",
    init="content",
    optimizer="adam",
    learning_rate=0.02,
    beta_1=0.99,
    epsilon=1e-1,
    clip=True,
    iterations=100,
    save_every=50,
)

CHEN = Recipe(
    name="chen",
    description="the loss of the fast per-style networks (Johnson et al.), on the picture itself",
    # Chen trains a network with this loss; here the picture itself is optimised with it. Not
    # stated, so fast-style-transfer's: the weights, that each layer's style loss is divided by the
    # size of the Gram matrix, and for optimising a picture (its --slow) Adam at 10 in pixels of
    # 0..255 for 1000 steps. Departs from it: starts from the photo, which is what Chen's network
    # is given, and not from noise.
    source="T.-H. Chen, Image Style Transfer, 2018, after Johnson et al., arXiv 1603.08155; where "
    "it is silent, L. Engstrom's fast-style-transfer, 2016",
    backbone="vgg19",
    content_layers=(("block4_conv2", 1.0),),
    style_layers=_style_layers(1.0, 1.0, 1.0, 1.0, 1.0),
    content_loss="chen",
    style_loss="chen",
    variation_loss="chen",
    content_weight=7.5,
    style_weight=1e2,
    variation_weight=2e2,
    pixel_range=255.0,
    init="content",
    optimizer="adam",
    learning_rate=10.0,
    iterations=1000,
)

ZANDIAN = Recipe(
    name="zandian",
    description="400 x 400, Adam from the photo and noise; similarity content, balanced or style",
    # Not stated: Adam's other values are Keras'; of the 500 to 20,000 epochs the fewest.
    source="A. Zandian, Neural Style Transfer, 2022; where it is silent, Keras' defaults",
    backbone="vgg19",
    content_layers=(("block5_conv4", 1.0),),
    style_layers=_EQUAL,
    content_loss="zandian",
    style_loss="zandian",
    content_weight=10.0,
    style_weight=30.0,
    size=400,
    fit="square",
    style_fit="content",
    init="content+noise",
    init_noise=0.25,
    optimizer="adam",
    learning_rate=0.01,
    epsilon=1e-7,
    clip=True,
    iterations=500,
)
# "style" weighs the shallow layers, "content" the deep ones.
_SIMILARITIES: dict[str, Layers] = {
    "content": _style_layers(0.02, 0.08, 0.2, 0.3, 0.4),
    "balanced": _EQUAL,
    "style": _style_layers(0.4, 0.3, 0.2, 0.08, 0.02),
}

BARONI = Recipe(
    name="baroni",
    description="Gatys' paper as it is: VGG19, from a random picture, 7800 steps of L-BFGS",
    # Not stated, so Gatys': the layers and their equal weights, alpha/beta = 1e-3, L-BFGS, and the
    # style resized to the photo's size. 7800 is the last of the iterations shown, every 200th.
    source="A. Baroni, Neural Style Transfer (course project); where it is silent, Gatys et al., "
    "arXiv 1508.06576 and CVPR 2016",
    backbone="vgg19",
    content_layers=(("block4_conv2", 1.0),),
    style_layers=_EQUAL,
    content_loss="baroni",
    style_loss="baroni",
    content_weight=1e-3,
    style_weight=1.0,
    size=512,
    fit="long side",
    style_fit="content",
    init="noise",
    optimizer="lbfgs",
    scaling="secant",
    iterations=7800,
    save_every=200,
)

KERAS = Recipe(
    name="keras",
    description="Keras' example: VGG19 at 400 rows, 4000 steps of SGD, saved every 100",
    # Not stated, so the example's: the style layers, each a fifth of the style weight, the photo
    # as the start, the style resized to the photo's size. Departs from the example, as stated: the
    # rate falls at each 100th step, not a little at every step.
    source="F. Chollet, Neural style transfer, Keras examples, as S. Jonckheere presents it",
    backbone="vgg19",
    content_layers=(("block5_conv2", 1.0),),
    style_layers=_EQUAL,
    content_loss="keras",
    style_loss="keras",
    variation_loss="keras",
    content_weight=2.5e-8,
    style_weight=1e-6,
    variation_weight=1e-6,
    pixel_range=255.0,
    size=400,
    fit="rows",
    style_fit="content",
    init="content",
    optimizer="sgd",
    learning_rate=100.0,
    decay=0.96,
    decay_steps=100,
    iterations=4000,
    save_every=100,
)

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe for recipe in (DEFAULT, BOLD, SETHI, CHEN, ZANDIAN, BARONI, KERAS)
}


def named(name: str) -> Recipe:
    """RECIPES[name]; StyleTransferError where there is none."""
    check_choice("recipe", name, RECIPES)
    return RECIPES[name]


def with_similarity(recipe: Recipe, similarity: str) -> Recipe:
    """Zandian's recipe with the style layers' weights of "content", "balanced" or "style".

    StyleTransferError for another word, and for a recipe that knows no similarity.
    """
    if recipe.name != ZANDIAN.name:
        raise StyleTransferError(
            f"The recipe {recipe.name!r} has no similarity; it belongs to {ZANDIAN.name!r}."
        )
    check_choice("similarity", similarity, _SIMILARITIES)
    return replace(recipe, style_layers=_SIMILARITIES[similarity])


def with_large_forms(recipe: Recipe) -> Recipe:
    """`default` as it goes on from a trained style's painting; another recipe as it is.

    A trained style has forms larger than what the default loss sees at the finest size, and of them
    its content part leaves little. So much of the run looks at half the size, and content weighs
    less.
    """
    if recipe.name != DEFAULT.name:
        return recipe
    return replace(
        recipe,
        content_weight=0.25 * recipe.content_weight,
        scales=((0.5, 0.4), (1.0, 0.6)),
        coarsest=128,
    )
