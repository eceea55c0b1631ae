"""Every published recipe against NumPy, written from its publication; what it sets, as published.

The features are those of a small random network of VGG's shape: the equations do not depend on it.
"""

import itertools
from dataclasses import fields

import numpy as np
import pytest
from keras import ops

from nst_demo import backbones, losses, optimizers, recipes
from nst_demo.errors import StyleTransferError
from nst_demo.methods import gatys

SMALL = backbones.Architecture(channels=(3, 4, 5, 6, 7), convolutions=(2, 2, 4, 4, 4))
ROWS, COLUMNS = 48, 64
CONV_1 = [f"block{block}_conv1" for block in range(1, 6)]


@pytest.fixture(scope="module")
def pictures(picture) -> dict[str, np.ndarray]:
    """A picture being painted, the photo, and a style of the photo's size: (H, W, 3) in [0, 1]."""
    names = ("picture", "photo", "style")
    return {name: picture(ROWS, COLUMNS, seed) for seed, name in enumerate(names)}


@pytest.fixture(scope="module")
def features(pictures) -> dict[str, dict[str, np.ndarray]]:
    """{picture: {layer: (h, w, C)}} of a network with VGG's preprocessing: values in the tens."""
    network = backbones.build_network(SMALL, "vgg", "small")
    rng = np.random.default_rng(3)
    for layer in SMALL.layers:
        kernel, bias = network.get_layer(layer).get_weights()
        kernel = rng.normal(0, (2 / kernel[..., 0].size) ** 0.5, kernel.shape)
        network.get_layer(layer).set_weights([kernel, rng.normal(0, 0.1, bias.shape)])
    return {
        name: {k: ops.convert_to_numpy(v)[0] for k, v in network(image[None]).items()}
        for name, image in pictures.items()
    }


def ours(recipe: recipes.Recipe, features, picture: np.ndarray) -> dict[str, float]:
    """The parts of the loss as `Recipe` defines it, from our functions of sums."""
    parts = {}
    for layer, weight in recipe.content_layers:
        photo = features["photo"][layer][None]
        sums = losses.layer_sums(features["picture"][layer][None], style=False, content=photo)
        own = losses.layer_sums(photo, style=False, content=photo)
        loss = losses.CONTENT_LOSSES[recipe.content_loss](sums, own, pixels=ROWS * COLUMNS)
        parts[f"content {layer}"] = recipe.content_weight * weight * float(loss)
    for layer, weight in recipe.style_layers:
        sums, style = (
            losses.layer_sums(features[name][layer][None], style=True)
            for name in ("picture", "style")
        )
        loss = losses.STYLE_LOSSES[recipe.style_loss](sums, style, pixels=ROWS * COLUMNS)
        parts[f"style {layer}"] = recipe.style_weight * weight * float(loss)
    variation = losses.VARIATION_LOSSES[recipe.variation_loss]
    if recipe.variation_weight:
        value = float(variation(recipe.pixel_range * picture[None]))
        parts["variation"] = recipe.variation_weight * value
    return parts


# ---- The published equations ---------------------------------------------------------------------


def sethi(features, picture):
    """style_weight Σ mean((G - A)²)/n_style + content_weight Σ mean((F - P)²)/n_content,
    G = einsum('bijc,bijd->bcd') / (h·w); style_weight 1e-1, content_weight 1e4."""

    def gram(x):
        return np.einsum("ijc,ijd->cd", x, x) / (x.shape[0] * x.shape[1])

    found, photo = features["picture"]["block5_conv2"], features["photo"]["block5_conv2"]
    parts = {"content block5_conv2": 1e4 * np.mean((found - photo) ** 2) / 1}
    for k in CONV_1:
        mismatch = gram(features["picture"][k]) - gram(features["style"][k])
        parts[f"style {k}"] = 1e-1 * np.mean(mismatch**2) / 5
    return parts


def chen(features, picture):
    """Gram = FᵀF / F.size; L2 without half; total variation over x and y, each by its size."""

    def gram(x):
        flat = x.reshape(-1, x.shape[-1])
        return flat.T @ flat / x.size

    found, photo = features["picture"]["block4_conv2"], features["photo"]["block4_conv2"]
    parts = {"content block4_conv2": 7.5 * np.sum((found - photo) ** 2) / photo.size}
    for k in CONV_1:
        wanted = gram(features["style"][k])
        mismatch = np.sum((gram(features["picture"][k]) - wanted) ** 2)
        parts[f"style {k}"] = 1e2 * mismatch / wanted.size
    x = picture * 255
    down, across = x[1:] - x[:-1], x[:, 1:] - x[:, :-1]
    variation = np.sum(down**2) / down.size + np.sum(across**2) / across.size
    return parts | {"variation": 2e2 * variation}


def zandian(features, picture, lambdas=(0.2, 0.2, 0.2, 0.2, 0.2)):
    """J = 10 J_content + 30 J_style; 1/(4 nH nW nC) Σ(a - a)²; 1/(2 nC nH nW)² Σ(G - G)²."""
    a, p = features["picture"]["block5_conv4"], features["photo"]["block5_conv4"]
    height, width, channels = a.shape
    content = np.sum((a - p) ** 2) / (4 * height * width * channels)
    parts = {"content block5_conv4": 10 * content}
    for share, k in zip(lambdas, CONV_1, strict=True):
        height, width, channels = features["picture"][k].shape
        unrolled = [
            features[name][k].reshape(height * width, channels).T for name in ("picture", "style")
        ]
        found, wanted = (matrix @ matrix.T for matrix in unrolled)
        cost = np.sum((found - wanted) ** 2) / (2 * channels * height * width) ** 2
        parts[f"style {k}"] = 30 * share * cost
    return parts


def baroni(features, picture):
    """½ Σ(F - P)² of conv4_2 and E_l = 1/(4 N² M²) Σ(G - A)², w_l = 1/5; alpha/beta = 1e-3."""
    f, p = features["picture"]["block4_conv2"], features["photo"]["block4_conv2"]
    parts = {"content block4_conv2": 1e-3 * 0.5 * np.sum((f - p) ** 2)}
    for k in CONV_1:
        n = features["picture"][k].shape[2]  # feature maps
        m = features["picture"][k].shape[0] * features["picture"][k].shape[1]  # their size
        matrices = [features[name][k].reshape(m, n).T for name in ("picture", "style")]  # F_ik
        g, a = (np.einsum("ik,jk->ij", x, x) for x in matrices)
        parts[f"style {k}"] = np.sum((g - a) ** 2) / (4 * n**2 * m**2) / 5
    return parts


def keras(features, picture):
    """Σ(S - C)²/(4 channels² size²) with the image's 3 and rows·columns; Σ diff² of block5_conv2;
    Σ(a + b)^1.25 on pixels of 0..255; 1e-6, 2.5e-8 and 1e-6; a fifth of the style per layer."""
    found, photo = features["picture"]["block5_conv2"], features["photo"]["block5_conv2"]
    parts = {"content block5_conv2": 2.5e-8 * np.sum((found - photo) ** 2)}
    for k in CONV_1:
        matrices = []
        for name in ("style", "picture"):
            x = features[name][k].transpose(2, 0, 1).reshape(features[name][k].shape[2], -1)
            matrices.append(x @ x.T)
        s, c = matrices
        loss = np.sum((s - c) ** 2) / (4.0 * 3**2 * (ROWS * COLUMNS) ** 2)
        parts[f"style {k}"] = 1e-6 / 5 * loss
    # Caffe's pixels: BGR less the means, which cancel in the differences.
    x = (picture * 255)[..., ::-1] - np.array([103.939, 116.779, 123.68])
    a = (x[: ROWS - 1, : COLUMNS - 1] - x[1:, : COLUMNS - 1]) ** 2
    b = (x[: ROWS - 1, : COLUMNS - 1] - x[: ROWS - 1, 1:]) ** 2
    return parts | {"variation": 1e-6 * np.sum((a + b) ** 1.25)}


PUBLISHED = {"sethi": sethi, "chen": chen, "zandian": zandian, "baroni": baroni, "keras": keras}


def doubles(features):
    return {n: {k: v.astype("float64") for k, v in found.items()} for n, found in features.items()}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_loss_is_the_published_one(name, features, pictures):
    picture = pictures["picture"]
    expected = PUBLISHED[name](doubles(features), picture.astype("float64"))
    assert min(expected.values()) > 0
    assert ours(recipes.named(name), features, picture) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("similarity", "lambdas"),
    [
        ("style", (0.4, 0.3, 0.2, 0.08, 0.02)),
        ("content", (0.02, 0.08, 0.2, 0.3, 0.4)),
        ("balanced", (0.2, 0.2, 0.2, 0.2, 0.2)),
    ],
)
def test_zandians_similarities(similarity, lambdas, features, pictures):
    recipe = recipes.with_similarity(recipes.named("zandian"), similarity)
    expected = zandian(doubles(features), pictures["picture"], lambdas)
    assert ours(recipe, features, pictures["picture"]) == pytest.approx(expected, rel=1e-4)


# ---- The published settings ----------------------------------------------------------------------

SETTINGS = {
    "sethi": {
        **{"backbone": "vgg16", "size": 512, "fit": "square", "style_fit": "content"},
        **{"init": "content", "optimizer": "adam", "clip": True},
        **{"iterations": 100, "save_every": 50},
    },
    "chen": {"backbone": "vgg19", "optimizer": "adam"},
    "zandian": {
        **{"backbone": "vgg19", "size": 400, "fit": "square", "style_fit": "content"},
        **{"init": "content+noise", "init_noise": 0.25, "clip": True},
        **{"optimizer": "adam", "learning_rate": 0.01, "iterations": 500},
    },
    "baroni": {"backbone": "vgg19", "init": "noise", "iterations": 7800, "save_every": 200},
    "keras": {
        **{"backbone": "vgg19", "size": 400, "fit": "rows", "style_fit": "content"},
        **{"init": "content", "optimizer": "sgd", "learning_rate": 100.0, "clip": False},
        **{"iterations": 4000, "save_every": 100},
    },
}


@pytest.mark.parametrize("name", SETTINGS)
def test_the_settings_are_the_published_ones(name):
    recipe = recipes.named(name)
    assert {field: getattr(recipe, field) for field in SETTINGS[name]} == SETTINGS[name]
    assert recipe.range_weight == 0
    assert recipe.scales == ((1.0, 1.0),)


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_a_recipe_names_what_exists(name):
    recipe = recipes.named(name)
    assert recipe.name == name
    layers = backbones.architecture(recipe.backbone).layers
    assert {layer for layer, _ in (*recipe.content_layers, *recipe.style_layers)} <= set(layers)
    assert recipe.content_loss in losses.CONTENT_LOSSES
    assert recipe.style_loss in losses.STYLE_LOSSES
    assert recipe.variation_loss in losses.VARIATION_LOSSES
    assert sum(share for _, share in recipe.scales) == pytest.approx(1)
    assert all(0 < fraction <= 1 for fraction, _ in recipe.scales)
    assert recipe.scales[-1][0] == 1
    assert recipe.description
    assert "\n" not in recipe.description
    assert recipe.source


# ---- The published steps -------------------------------------------------------------------------


def steps(name: str, evaluate, start: np.ndarray, count: int) -> list[np.ndarray]:
    """The first `count` points that the recipe's optimiser tries."""
    found = optimizers.minimise(evaluate, start, recipes.named(name))
    return [evaluation.x for evaluation in itertools.islice(found, count)]


def test_keras_descends_by_rate_100_in_pixels_of_0_to_255_falling_every_100_steps():
    """y = 255 x; y -= rate dL/dy with a constant dL/dy of 0.01."""
    slope = np.full(3, 0.01 * 255, "float32")  # dL/dx
    start = np.array([0.0, 0.5, 1.0], "float32")
    y = np.array(steps("keras", lambda x: (1.0, slope), start, 202), "float64") * 255
    rates = (y[:-1] - y[1:])[:, 0] / 0.01
    for step, rate in ((0, 100), (1, 100), (99, 100), (100, 96), (199, 96), (200, 100 * 0.96**2)):
        assert rates[step] == pytest.approx(rate, rel=1e-3), step


def keras_adam(gradients, start, rate, beta_1, beta_2, epsilon):
    """Keras' Adam in float64, not corrected before epsilon: alpha = rate √(1 - β₂ᵗ)/(1 - β₁ᵗ)."""
    x, m, v = start.astype("float64"), 0.0, 0.0
    points = [x]
    for t, gradient in enumerate(gradients, 1):
        m = beta_1 * m + (1 - beta_1) * gradient
        v = beta_2 * v + (1 - beta_2) * gradient**2
        x = x - rate * np.sqrt(1 - beta_2**t) / (1 - beta_1**t) * m / (np.sqrt(v) + epsilon)
        points.append(x)
    return points


@pytest.mark.parametrize(
    ("name", "scale", "values"),
    [
        ("sethi", 1, (0.02, 0.99, 0.999, 1e-1)),
        ("zandian", 1, (0.01, 0.9, 0.999, 1e-7)),
        ("chen", 255, (10.0, 0.9, 0.999, 1e-8)),
    ],
)
def test_adam_takes_the_published_steps(name, scale, values):
    """Gradients from epsilon's size to far above it; within [0, 1], where nothing is clipped."""
    slopes = [np.array([s, -0.3 * s, 40.0], "float64") for s in (1.0, 1.2, 0.7, -0.5)]
    given = iter([*slopes, slopes[0]])
    start = np.array([0.5, 0.4, 0.6], "float32")
    found = steps(name, lambda x: (1.0, next(given).astype("float32")), start, 5)
    expected = keras_adam([s / scale for s in slopes], start * scale, *values)
    np.testing.assert_allclose(np.array(found) * scale, expected, rtol=1e-4)


@pytest.mark.parametrize(("name", "clips"), [("sethi", True), ("zandian", True), ("keras", False)])
def test_only_who_published_it_clips_after_each_step(name, clips):
    slope = np.array([1e4, -1e4], "float32")
    second = steps(name, lambda x: (1.0, slope), np.array([0.001, 0.999], "float32"), 2)[1]
    assert (second.min() >= 0 and second.max() <= 1) == clips
    if clips:
        np.testing.assert_array_equal(second, [0, 1])


def test_baroni_takes_the_textbooks_l_bfgs():
    """Of the others' only the picture counts, so theirs may be ours."""
    start = np.linspace(0, 1, 12, dtype="float32").reshape(2, 2, 3)

    def evaluate(x):
        return float(np.sum(x**4)), 4 * x**3

    textbook = itertools.islice(optimizers.lbfgs(evaluate, start, scaling="secant"), 9)
    np.testing.assert_array_equal(steps("baroni", evaluate, start, 9), [e.x for e in textbook])
    assert recipes.named("default").scaling == "wavelets"


def test_a_later_part_of_a_run_goes_on_in_the_schedule():
    recipe = recipes.named("keras")
    slope = np.ones(1, "float32")
    found = optimizers.minimise(lambda x: (1.0, slope), np.zeros(1, "float32"), recipe, first=399)
    x = np.array([evaluation.x[0] for evaluation in itertools.islice(found, 3)], "float64")
    np.testing.assert_allclose((x[:-1] - x[1:]) * 255**2, [100 * 0.96**3, 100 * 0.96**4], rtol=1e-4)


@pytest.mark.parametrize("name", ["keras", "default"])
def test_steps_may_be_cut(name):
    slope = np.array([[[3.0, -1.0, 2.0]]], "float32")
    recipe, start = recipes.named(name), np.full((1, 1, 3), 0.5, "float32")

    def evaluate(x):
        return float(np.vdot(x, slope)), slope

    whole, cut = (
        next(itertools.islice(optimizers.minimise(evaluate, start, recipe, cut=c), 1, 2))
        for c in (1.0, 0.1)
    )
    np.testing.assert_allclose(cut.x - start, 0.1 * (whole.x - start), atol=1e-6)


def test_the_default_starts_l_bfgs():
    start = np.ones((2, 2, 3), "float32")
    found = optimizers.minimise(
        lambda x: (float(np.vdot(x, x)), 2 * x), start, recipes.named("default")
    )
    assert min(evaluation.loss for evaluation in itertools.islice(found, 20)) < 1e-6


# ---- What a person may ask wrongly ---------------------------------------------------------------


def test_an_unknown_recipe_is_one_sentence_with_the_known_ones():
    with pytest.raises(
        StyleTransferError, match=r"recipe is 'gatys'; choose one of default, bold, s"
    ):
        recipes.named("gatys")


def test_an_unknown_similarity_is_one_sentence_with_the_known_ones():
    with pytest.raises(StyleTransferError, match="'much'; choose one of content, balanced, style"):
        recipes.with_similarity(recipes.named("zandian"), "much")


def test_a_similarity_belongs_to_zandian():
    with pytest.raises(StyleTransferError, match="'keras' has no similarity"):
        recipes.with_similarity(recipes.named("keras"), "style")


def test_from_a_trained_styles_painting_the_default_recipe_keeps_its_large_forms():
    own, kept = (gatys.Options(init_network=name).settings for name in (None, "starry-swirl"))
    assert kept.content_weight == 0.25 * own.content_weight
    assert kept.scales[0][0] == 0.5
    assert kept.coarsest < own.coarsest
    published = [
        gatys.Options(recipe="keras", init_network=name).settings for name in (None, "starry-swirl")
    ]
    assert published[0] == published[1]


def test_bold_is_the_default_from_noise_at_a_small_size_with_less_of_the_photo():
    bold, own = recipes.named("bold"), recipes.DEFAULT
    changed = {f.name for f in fields(bold) if getattr(bold, f.name) != getattr(own, f.name)}
    assert changed == {
        *("name", "description", "content_weight", "init", "init_noise", "iterations"),
        *("scales", "grows_from", "coarsest"),
    }
    assert bold.content_weight < own.content_weight
    # At the first size the deepest features see most of the picture: only so forms come out large.
    seen = backbones.architecture("lite").reach(["block5_conv1"])
    assert bold.grows_from is not None
    assert 2 * seen >= 0.7 * bold.grows_from
