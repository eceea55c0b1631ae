"""The loss of image optimisation: tiles against the whole, masks, strength."""

import numpy as np
import pytest

from nst_demo import backbones, gradients, losses, models, objective
from nst_demo.errors import StyleTransferError
from nst_demo.objective import Objective, Structure, Weights

STYLE_LAYERS = backbones.STYLE_LAYERS


def structure(backbone: str, **values) -> Structure:
    given = {
        "backbone": backbone,
        "content_layers": ("block4_conv1",),
        "style_layers": STYLE_LAYERS,
        "content_loss": "structure",
        "style_loss": "gram",
        "variation_loss": "squares",
        "pixel_range": 1.0,
    }
    return Structure(**(given | values))


def weights(layers: int = 5, **values: float) -> Weights:
    parts = {"content": 0.15, "style": 1.0, "variation": 1.0, "range": 10.0}
    return Weights(**(parts | values), content_layers=(1.0,), style_layers=(1 / layers,) * layers)


def make(chosen: Structure, content, styles, **values) -> Objective:
    shares = values.pop("shares", [1 / len(styles)] * len(styles))
    given = values.pop("weights", weights(len(chosen.style_layers)))
    return Objective(chosen, given, content, styles, shares=shares, **values)


# ---- tiles ---------------------------------------------------------------------------------------


def test_the_border_is_what_the_deepest_layer_sees():
    """Counted by hand for relu2_1: a 3x3 on the pooled, two 3x3 below: 2 + 1 + 1 = 4 px."""
    vgg19 = backbones.architecture("vgg19")
    assert vgg19.reach(["block2_conv1"]) == 4
    assert vgg19.reach(["block1_conv1", "block5_conv1"]) == 70
    assert structure("vgg19").border == 80
    assert structure("vgg19", content_layers=("block5_conv4",)).border == 128


def test_a_layer_sees_as_far_as_told_and_no_further(tiny_backbone, picture):
    network = backbones.load(tiny_backbone)
    image = picture(160, 160)[None].copy()
    reach = backbones.architecture(tiny_backbone).reach(["block5_conv1"])
    before = np.array(network(image)["block5_conv1"])[0, 5, 5]
    for off, seen in ((reach, True), (reach + 1, False)):
        changed = image.copy()
        changed[:, 80 - off, :] = 5.0  # `off` px above the cell's first row
        after = np.array(network(changed)["block5_conv1"])[0, 5, 5]
        assert np.any(after != before) == seen


@pytest.fixture
def problem(picture):
    """A picture that tiles do not divide evenly, two styles, masks with soft edges."""
    content = picture(333, 250, seed=1)
    ramp = np.linspace(0, 1, 250, dtype="float32")[None].repeat(333, 0)
    return {
        "content": content,
        "styles": [picture(200, 170, seed=2), picture(90, 300, seed=3)],
        "masks": [ramp, 1 - ramp],
        "x": 1.3 * picture(333, 250, seed=4) - 0.15,
    }


@pytest.mark.parametrize("margin", [0, 8])
@pytest.mark.parametrize("masked", [False, True])
def test_tiled_is_untiled(tiny_backbone, problem, masked, margin):
    """Loss and gradient, with every part at work: the border holds all that a position sees."""
    masks = problem["masks"] if masked else None
    chosen = structure(tiny_backbone, regions=2 if masked else 0)
    whole, tiled = (
        make(
            chosen,
            problem["content"],
            problem["styles"],
            masks=masks,
            strength=0.7,
            margin=margin,
            tile_pixels=pixels,
        )
        for pixels in (None, 25_000)
    )
    assert len(tiled.tiles) >= 6
    loss, gradient = whole(problem["x"])
    tiled_loss, tiled_gradient = tiled(problem["x"])
    assert tiled_loss == pytest.approx(loss, rel=1e-5)
    np.testing.assert_allclose(tiled.parts, whole.parts, rtol=1e-4)
    scale = np.abs(gradient).max()
    np.testing.assert_allclose(tiled_gradient, gradient, atol=1e-4 * scale)


def test_a_margin_is_mirrored_and_its_gradient_comes_back(tiny_backbone, problem, picture):
    chosen, content, styles = structure(tiny_backbone), problem["content"], problem["styles"]
    margin = 5

    def mirrored(array: np.ndarray) -> np.ndarray:
        return np.pad(array, [(margin, margin), (margin, margin), (0, 0)], mode="reflect")

    loss, gradient = make(chosen, content, styles, margin=margin)(problem["x"])
    expected, by_mirrored = make(chosen, mirrored(content), styles)(mirrored(problem["x"]))
    assert loss == pytest.approx(expected, rel=1e-6)
    assert gradient.shape == content.shape
    for seed in range(3):  # the mirroring is linear, so the gradient goes through its transpose
        way = picture(*content.shape[:2], seed=seed) - 0.5
        assert np.vdot(gradient, way) == pytest.approx(
            np.vdot(by_mirrored, mirrored(way)), rel=1e-3, abs=1e-6
        )


@pytest.mark.parametrize("tile_pixels", [None, 25_000])
def test_emphasis_is_on_the_content_alone(tiny_backbone, problem, tile_pixels):
    chosen, content, styles = structure(tiny_backbone), problem["content"], problem["styles"]
    made = make(chosen, content, styles, tile_pixels=tile_pixels)
    only = make(
        chosen,
        content,
        styles,
        weights=weights(style=0.0, variation=0.0, range=0.0),
        tile_pixels=tile_pixels,
    )
    loss, gradient = made(problem["x"])
    parts = made.parts
    content_loss, by_content = only(problem["x"])
    made.emphasis = 3.0
    emphasised, slope = made(problem["x"])
    assert emphasised == pytest.approx(loss + 2 * content_loss, rel=1e-5)
    np.testing.assert_allclose(made.parts, parts, rtol=1e-5)
    scale = np.abs(gradient).max()
    np.testing.assert_allclose(slope, gradient + 2 * by_content, atol=1e-4 * scale)


def test_the_margin_of_a_strip_is_narrower(tiny_backbone, picture):
    loss, gradient = make(structure(tiny_backbone), picture(16, 40), [picture(40, 40)], margin=16)(
        picture(16, 40, seed=1)
    )
    assert np.isfinite(loss)
    assert gradient.shape == (16, 40, 3)


def test_lite_is_compared_in_vgg19s_channels(picture):
    """Gram matrices and structure of features that the readouts have mapped, in NumPy."""
    content, style, x = (picture(48, 64, seed=seed) for seed in (1, 2, 3))
    made = make(structure("lite"), content, [style], weights=weights(content=1.0, variation=0.0))
    made(x)
    network, readouts = backbones.load("lite"), backbones.readouts("lite")

    def features(image: np.ndarray) -> dict[str, np.ndarray]:
        found = network(image[None])
        return {
            layer: np.asarray(found[layer], "float64").reshape(-1, len(kernel)) @ kernel + bias
            for layer, (kernel, bias) in readouts.items()
        }

    def normalised(values: np.ndarray) -> np.ndarray:
        return (values - values.mean(0)) / np.sqrt(values.var(0) + 1e-5)

    seen, of_style, of_content = (features(image) for image in (x, style, content))
    mismatch = []
    for layer in STYLE_LAYERS:
        gram, target = (f[layer].T @ f[layer] / len(f[layer]) for f in (seen, of_style))
        mismatch.append(((gram - target) ** 2).sum() / (target**2).sum())
    deep = "block4_conv1"
    off = normalised(seen[deep]) - normalised(of_content[deep])
    expected = [(off**2).mean(), np.mean(mismatch)]
    np.testing.assert_allclose(made.parts[:2], expected, rtol=2e-3)


def test_tiled_is_untiled_on_lite(picture):
    content, style = picture(176, 336, seed=1), picture(100, 100, seed=2)
    whole, tiled = (
        make(structure("lite"), content, [style], tile_pixels=pixels) for pixels in (None, 50_000)
    )
    assert len(tiled.tiles) == 2
    loss, gradient = whole(0.9 * content)
    tiled_loss, tiled_gradient = tiled(0.9 * content)
    assert tiled_loss == pytest.approx(loss, rel=1e-4)
    assert np.abs(tiled_gradient - gradient).max() < 1e-3 * np.abs(gradient).max()


def test_a_picture_that_no_tile_fits_is_told(tiny_backbone, picture):
    with pytest.raises(StyleTransferError, match="400 x 300 px needs more memory than is free"):
        make(structure(tiny_backbone), picture(300, 400), [picture(32, 32)], tile_pixels=5000)


def test_tiles_of_all_sizes_share_one_trace(tiny_backbone, picture):
    chosen = structure(tiny_backbone)
    for height, width in ((200, 210), (230, 170)):
        made = make(chosen, picture(height, width), [picture(40, 40)], tile_pixels=26_000)
        made(picture(height, width))
    compiled = objective.compiled(chosen)
    for function in (compiled.tile_sums, compiled.tile_gradient, compiled.derive):
        assert function.experimental_get_tracing_count() == 1


def test_the_device_is_free_between_tiles(tiny_backbone, picture, monkeypatch):
    """A fast request need not wait for a whole tiled evaluation."""
    made = make(structure(tiny_backbone), picture(200, 200), [picture(40, 40)], tile_pixels=26_000)
    turns = []
    enter = models.FairLock.__enter__
    monkeypatch.setattr(models.FairLock, "__enter__", lambda lock: (turns.append(1), enter(lock)))
    made(picture(200, 200))
    assert len(turns) == 2 * len(made.tiles) + 1


# ---- masks ---------------------------------------------------------------------------------------


def test_the_style_does_not_reach_outside_its_mask(tiny_backbone, picture):
    """But for what the features at its edge see: 1 px at relu1_1."""
    chosen = structure(
        tiny_backbone,
        regions=1,
        style_layers=("block1_conv1",),
    )
    mask = np.zeros((48, 48), "float32")
    mask[10:30, 5:25] = 1.0
    only_style = weights(1, content=0.0, variation=0.0, range=0.0)
    content = picture(48, 48)
    made = make(chosen, content, [picture(40, 40, seed=2)], masks=[mask], weights=only_style)
    _, gradient = made(content)
    touched = np.abs(gradient).sum(2) > 0
    assert touched[10:30, 5:25].all()
    touched[9:31, 4:26] = False
    assert not touched.any()


def test_a_region_has_the_statistics_of_its_own_place(tiny_backbone, picture):
    """Where each style is the very picture in its region, there is nothing to change."""
    left, right = picture(64, 64, seed=1), picture(64, 64, seed=2)
    both = np.concatenate([left, right], axis=1)
    mask = np.zeros((64, 128), "float32")
    mask[:, :64] = 1.0
    chosen = structure(tiny_backbone, regions=2, style_layers=("block1_conv1", "block2_conv1"))
    made = make(chosen, both, [left, right], masks=[mask, 1 - mask])
    made(both)
    assert made.parts[1] < 2e-3  # a little is seen across the middle
    swapped = make(chosen, both, [right, left], masks=[mask, 1 - mask])
    swapped(both)
    assert swapped.parts[1] > 20 * made.parts[1]


def test_masks_of_one_everywhere_are_no_masks(tiny_backbone, picture):
    content, style, other = picture(48, 64), picture(40, 40, seed=2), picture(40, 40, seed=3)
    plain = make(structure(tiny_backbone), content, [style])
    ones = np.ones((48, 64), "float32")
    masked = make(structure(tiny_backbone, regions=1), content, [style], masks=[ones])
    for given, expected in zip(masked(0.9 * content), plain(0.9 * content), strict=True):
        np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-8)
    # Two styles that both want everything divide every place: the mean of their losses.
    two = make(structure(tiny_backbone, regions=2), content, [style, other], masks=[ones, ones])
    second = make(structure(tiny_backbone), content, [other])
    two(0.9 * content), second(0.9 * content)
    assert two.parts[1] == pytest.approx((plain.parts[1] + second.parts[1]) / 2, rel=1e-4)


def test_guides_divide_a_place_by_the_styles_shares():
    full, half = np.ones((4, 6), "float32"), np.full((4, 6), 0.5, "float32")
    guides, areas = objective._guides([full, full], [0.75, 0.25], 4, 6)
    np.testing.assert_allclose(areas, [0.75, 0.25])
    assert guides.shape == (1, 4, 6, 2)
    np.testing.assert_allclose(objective._guides([half], [1.0], 4, 6)[1], [0.5])
    np.testing.assert_allclose(objective._guides([half, half], [1.0, 0.0], 4, 6)[1], [1.0, 0.0])
    np.testing.assert_allclose(objective._guides(None, [1.0], 4, 6)[1], [1.0])


def test_a_mask_that_the_deep_layers_do_not_see_is_no_trouble(tiny_backbone, picture):
    """16 px cells leave the last rows out."""
    mask = np.zeros((40, 40), "float32")
    mask[38:] = 1.0
    content = picture(40, 40)
    made = make(structure(tiny_backbone, regions=1), content, [picture(40, 40)], masks=[mask])
    loss, gradient = made(content)
    assert np.isfinite(loss)
    assert np.isfinite(gradient).all()


# ---- strength and blends -------------------------------------------------------------------------


def test_at_strength_0_the_photo_is_the_target(tiny_backbone, picture):
    content = picture(48, 64)
    made = make(structure(tiny_backbone), content, [picture(40, 40, seed=2)], strength=0.0)
    made(content)
    assert made.parts[1] == pytest.approx(0, abs=1e-9)
    full = make(structure(tiny_backbone), content, [picture(40, 40, seed=2)])
    full(content)
    assert full.parts[1] > 0.01
    half = make(structure(tiny_backbone), content, [picture(40, 40, seed=2)], strength=0.5)
    half(content)
    assert 0 < half.parts[1] < full.parts[1]


def test_at_strength_0_a_region_keeps_its_own_statistics(tiny_backbone, picture):
    content = picture(48, 64)
    mask = np.zeros((48, 64), "float32")
    mask[:, :30] = 1.0
    made = make(
        structure(tiny_backbone, regions=1),
        content,
        [picture(40, 40, seed=2)],
        masks=[mask],
        strength=0.0,
    )
    made(content)
    assert made.parts[1] == pytest.approx(0, abs=1e-9)


def test_targets_are_mixed_by_share(tiny_backbone, picture):
    """Gram matrices per position of a photo and two styles of other sizes, in NumPy."""
    pictures = [picture(48, 64), picture(40, 40, seed=2), picture(80, 33, seed=3)]
    made = make(
        structure(tiny_backbone), pictures[0], pictures[1:], shares=[0.25, 0.75], strength=0.5
    )
    network = backbones.load(tiny_backbone)
    for layer, target in zip(STYLE_LAYERS, made.targets.statistics.style[0], strict=True):
        expected = 0.0
        for share, image in zip((0.5, 0.125, 0.375), pictures, strict=True):
            features = np.array(network(image[None])[layer])[0]
            expected += share * np.einsum("hwc,hwd->cd", features, features) / features[..., 0].size
        np.testing.assert_allclose(target.gram, expected, rtol=1e-3, atol=1e-5)
        assert float(target.positions) == pytest.approx(1)


def test_a_gain_multiplies_the_features(tiny_backbone, picture):
    content, style = picture(32, 32), picture(32, 32, seed=2)
    plain, louder = (
        make(structure(tiny_backbone, style_loss="sethi", gain=gain), content, [style])
        for gain in (1.0, 3.0)
    )
    plain(content), louder(content)
    assert louder.parts[1] == pytest.approx(3**4 * plain.parts[1], rel=1e-4)


def test_variation_sees_the_published_range(tiny_backbone, picture):
    content = picture(32, 32)
    chosen = structure(tiny_backbone, variation_loss="keras", pixel_range=255.0)
    made = make(chosen, content, [content], weights=weights(variation=1e-6))
    made(content)
    expected = float(losses.VARIATION_LOSSES["keras"](255 * content[None]))
    assert made.parts[2] == pytest.approx(1e-6 * expected, rel=1e-4)


# ---- gradients -----------------------------------------------------------------------------------


def test_a_soft_gradient_is_of_the_same_loss(tiny_backbone, problem):
    made = [
        make(structure(tiny_backbone, softness=softness), problem["content"], problem["styles"])
        for softness in (0.0, 1e-5, 0.4)
    ]
    (loss, gradient), (_, nearly), (soft_loss, soft) = (each(problem["x"]) for each in made)
    assert soft_loss == pytest.approx(loss, rel=1e-5)
    scale = np.abs(gradient).max()
    np.testing.assert_allclose(nearly, gradient, atol=1e-2 * scale)
    assert np.abs(soft - gradient).max() > 0.05 * scale
    assert np.sum(soft * gradient) > 0.5 * np.sum(gradient**2)


@pytest.mark.parametrize("masked", [False, True])
def test_in_bfloat16_loss_and_gradient_are_nearly_the_same(masked, problem, monkeypatch):
    """Whole and in tiles; the recipes without soft slopes keep the loss as it is."""
    clouds = gradients.cloudy(256)
    content, x = clouds[:, :224], clouds[::-1, :224]
    masks = [mask[:256, :224] for mask in problem["masks"]] if masked else None

    def found(precision: str, softness: float, pixels: int | None = None):
        # Built for this test alone: what is shared has another precision.
        monkeypatch.setattr(models, "shared", lambda key, build: build())
        monkeypatch.setattr(models, "precision", lambda: precision)
        chosen = structure("lite", regions=2 if masked else 0, softness=softness)
        return make(chosen, content, problem["styles"], masks=masks, tile_pixels=pixels)(x)

    for softness, loss_within, gradient_within in ((0.4, 0.01, 0.2), (0.0, 1e-5, 0.02)):
        loss, gradient = found("float32", softness)
        for pixels in (None, 45_000):
            rounded_loss, rounded = found("bfloat16", softness, pixels)
            assert rounded_loss == pytest.approx(loss, rel=loss_within)
            off = np.linalg.norm(rounded - gradient) / np.linalg.norm(gradient)
            assert 1e-4 < off < gradient_within
