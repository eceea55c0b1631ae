"""Image optimisation: its loss and gradient against NumPy, its steps, and what it refuses."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nst_demo import backbones, images, models
from nst_demo.errors import StyleTransferError
from nst_demo.methods import gatys
from nst_demo.methods.gatys import Options

SHARES = (0.1, 0.3, 0.2, 0.25, 0.15)


@pytest.fixture
def options(tiny_backbone):
    """Options of a short run on the tiny backbone."""

    def make(**values: Any) -> Options:
        short = {"backbone": tiny_backbone, "iterations": 10, "init": "content"}
        return Options(**(short | values))

    return make


# ---- the loss, in NumPy and float64 --------------------------------------------------------------


def reference_features(network, image: np.ndarray) -> dict[str, np.ndarray]:
    """(H, W, 3) -> {layer: (h, w, C)} of a backbone with one convolution a block."""
    x, found = 2 * image.astype("float64") - 1, {}
    for layer in backbones.STYLE_LAYERS:
        if found:  # 2x2 max-pooling between blocks
            height, width = (side // 2 * 2 for side in x.shape[:2])
            x = x[:height, :width].reshape(height // 2, 2, width // 2, 2, -1).max((1, 3))
        padded = np.pad(x, ((1, 1), (1, 1), (0, 0)), mode="constant" if found else "edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))
        kernel, bias = network.get_layer(layer).get_weights()
        x = np.maximum(np.einsum("hwcde,deco->hwo", windows, kernel) + bias, 0)
        found[layer] = x
    return found


def gram(features: np.ndarray) -> np.ndarray:
    return np.einsum("hwc,hwd->cd", features, features) / (features.shape[0] * features.shape[1])


def normalised(features: np.ndarray) -> np.ndarray:
    variance = features.var((0, 1))
    return (features - features.mean((0, 1))) / np.sqrt(variance + 1e-5)


class Reference:
    """The weighted parts [content, style, variation, range] for a picture."""

    def __init__(self, content, styles, style_shares, options: Options):
        self.network = backbones.load(options.backbone)
        self.options = options
        short_side = min(content.shape[:2])
        self.structure = normalised(self.features(content)[gatys.CONTENT_LAYER])
        found = [self.features(images.fit_short(style, short_side)) for style in styles]
        self.grams = {
            layer: sum(s * gram(f[layer]) for s, f in zip(style_shares, found, strict=True))
            for layer in backbones.STYLE_LAYERS
        }
        self.shares = np.array(options.layer_weights) / np.sum(options.layer_weights)

    def features(self, image):
        return reference_features(self.network, image)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        found = self.features(image)
        content = np.mean((normalised(found[gatys.CONTENT_LAYER]) - self.structure) ** 2)
        style = sum(
            share * np.sum((gram(found[layer]) - target) ** 2) / np.sum(target**2)
            for share, (layer, target) in zip(self.shares, self.grams.items(), strict=True)
        )
        vertical = np.mean(np.diff(image.astype("float64"), axis=0) ** 2)
        horizontal = np.mean(np.diff(image.astype("float64"), axis=1) ** 2)
        outside = np.maximum(image - 1, 0) + np.maximum(-image, 0)
        o = self.options
        return np.array(
            [
                gatys.CONTENT_SCALE * o.content_weight * content,
                o.style_weight * style,
                gatys.VARIATION_SCALE * o.tv_weight * (vertical + horizontal),
                10 * np.mean(outside**2),
            ]
        )


@pytest.fixture
def problem(options, picture):
    """Two styles of other sizes, uneven weights, a picture that leaves [0, 1] here and there."""
    content = picture(32, 40, seed=1)
    styles = [picture(50, 34, seed=2), picture(16, 70, seed=3)]
    chosen = options(
        content_weight=2.0,
        style_weight=0.7,
        tv_weight=3.0,
        layer_weights=SHARES,
        style_weights=(3, 1),
    )
    reference = Reference(content, styles, (0.75, 0.25), chosen)
    return gatys.Objective(content, styles, chosen), reference, 1.4 * picture(32, 40, seed=4) - 0.2


def test_the_loss_is_that_of_an_independent_computation(problem):
    objective, reference, image = problem
    loss, _ = objective(image)
    expected = reference(image)
    assert np.all(expected > 1e-3)  # every part counts
    np.testing.assert_allclose(objective.parts, expected, rtol=1e-3)
    assert loss == pytest.approx(expected.sum(), rel=1e-3)
    named = objective.losses()
    assert named["total"] == pytest.approx(sum(expected), rel=1e-3)
    assert [named[k] for k in ("content", "style", "variation", "range")] == pytest.approx(
        list(expected), rel=1e-3
    )


def test_the_gradient_is_that_of_finite_differences(problem):
    objective, reference, image = problem
    _, gradient = objective(image)
    rng = np.random.default_rng(0)
    for _ in range(8):
        pixel = tuple(rng.integers(image.shape))
        up, down = image.astype("float64"), image.astype("float64")
        up[pixel] += 1e-6
        down[pixel] -= 1e-6
        slope = (reference(up).sum() - reference(down).sum()) / 2e-6
        assert gradient[pixel] == pytest.approx(
            slope, rel=5e-3, abs=1e-3 * float(abs(gradient).max())
        )


def test_the_gradient_reaches_every_pixel(problem):
    objective, _, image = problem
    _, gradient = objective(image)
    assert gradient.shape == image.shape
    assert np.all(np.abs(gradient).sum(2) > 0)


def test_the_photo_has_no_content_loss_and_the_style_no_style_loss(options, picture):
    same = picture(32, 32)
    objective = gatys.Objective(same, [same], options())
    objective(same)
    content, style, variation, outside = objective.parts
    assert content == pytest.approx(0, abs=1e-6)
    assert style == pytest.approx(0, abs=1e-6)
    assert variation > 0
    assert outside == 0


# ---- steps ---------------------------------------------------------------------------------------


def totals(steps) -> list[float]:
    return [step.losses["total"] for step in steps]


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
@pytest.mark.parametrize("init", ["content", "noise"])
def test_ten_iterations_lower_the_loss(options, photo, style, optimizer, init):
    steps = list(gatys.iterate(photo, [style], options(optimizer=optimizer, init=init)))
    assert totals(steps)[-1] < 0.9 * totals(steps)[0]
    assert totals(steps) == sorted(totals(steps), reverse=True)  # the best so far


def test_lite_paints_a_real_picture(picture):
    """The packaged network, 64 px: every iteration of the default counts."""
    photo, style = picture(64, 64, seed=1), picture(64, 64, seed=2)
    steps = list(gatys.iterate(photo, [style], Options(iterations=10)))
    assert steps[-1].losses["style"] < 0.7 * steps[0].losses["style"]
    assert np.abs(steps[-1].image - photo).max() > 0.02


@pytest.mark.parametrize(
    ("iterations", "expected"), [(1, [0, 1]), (5, [0, 5]), (12, [0, 5, 10, 12])]
)
def test_steps_come_at_the_start_every_five_and_at_the_end(
    options, photo, style, iterations, expected
):
    steps = list(gatys.iterate(photo, [style], options(iterations=iterations)))
    assert [step.iteration for step in steps] == expected
    assert {step.iterations for step in steps} == {iterations}
    seconds = [step.seconds for step in steps]
    assert seconds == sorted(seconds)
    for step in steps:
        assert step.image.shape == photo.shape
        assert step.image.dtype == np.float32
        assert step.image.min() >= 0
        assert step.image.max() <= 1
        assert set(step.losses) == {"total", "content", "style", "variation", "range"}
        assert step.losses["total"] == pytest.approx(sum(step.losses.values()) / 2, rel=1e-5)


def test_step_0_is_the_photo(options, photo, style):
    step = next(gatys.iterate(photo, [style], options()))
    np.testing.assert_array_equal(step.image, photo)
    assert step.losses["content"] == pytest.approx(0, abs=1e-6)


def test_the_losses_are_those_of_the_image(options, photo, style):
    """Unless the clip to [0, 1] changed it; at ten iterations of this photo it does not."""
    chosen = options(iterations=3)
    last = list(gatys.iterate(0.5 + 0.1 * photo, [style], chosen))[-1]
    objective = gatys.Objective(0.5 + 0.1 * photo, [style], chosen)
    loss, _ = objective(last.image)
    assert 0 < last.image.min() < last.image.max() < 1
    assert last.losses["total"] == pytest.approx(loss, rel=1e-4)


def test_the_best_picture_is_kept_where_later_ones_are_worse(options, photo, style):
    """Adam at a rate of 1 jumps about; the result is the best that it met."""
    wild = options(optimizer="adam", learning_rate=1.0, iterations=12)
    seen = []
    call = gatys.Objective.__call__

    def spy(self, x):
        loss, gradient = call(self, x)
        seen.append(loss)
        return loss, gradient

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gatys.Objective, "__call__", spy)
        steps = list(gatys.iterate(photo, [style], wild))
    assert seen[-1] > min(seen)  # it did get worse
    assert totals(steps)[-1] == pytest.approx(min(seen), rel=1e-5)
    assert totals(steps) == sorted(totals(steps), reverse=True)


def test_a_minimum_ends_the_run_early(options, photo, style):
    """Content alone, from the photo: the loss is 0 and there is nothing to do."""
    steps = list(
        gatys.iterate(photo, [style], options(style_weight=0, tv_weight=0, iterations=100))
    )
    assert steps[-1].iteration < 100
    assert len({step.iteration for step in steps}) == len(steps)
    np.testing.assert_allclose(steps[-1].image, photo, atol=1e-3)


# ---- stopping ------------------------------------------------------------------------------------


def test_nothing_is_held_between_steps_and_closing_stops(options, photo, style):
    run = gatys.iterate(photo, [style], options(iterations=1000))
    next(run)
    assert not models.device_lock._taken
    first = next(run)
    run.close()
    assert not models.device_lock._taken
    with pytest.raises(StopIteration):
        next(run)
    assert first.iteration == 5
    assert gatys.stylize(photo, [style], options(iterations=1)).shape == photo.shape


def test_a_callback_that_raises_leaves_the_device_free(options, photo, style):
    def cancel(step):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gatys.stylize(photo, [style], options(), on_step=cancel)
    assert not models.device_lock._taken


def test_the_time_budget_ends_the_run_with_the_best_so_far(options, photo, style, monkeypatch):
    """A clock that moves on by a second whenever it is read: 0 at the start, 1 at Step 0."""
    ticks = iter(range(1000))
    clock = SimpleNamespace(monotonic=lambda: next(ticks), perf_counter=gatys.time.perf_counter)
    monkeypatch.setattr(gatys, "time", clock)
    steps = list(gatys.iterate(photo, [style], options(iterations=100, time_budget=3.5)))
    assert [(step.iteration, step.seconds) for step in steps] == [(0, 1), (3, 4)]
    assert totals(steps)[1] < totals(steps)[0]


def test_no_time_at_all_gives_the_photo_back(options, photo, style):
    painted = gatys.stylize(photo, [style], options(time_budget=0))
    np.testing.assert_array_equal(painted, photo)


def test_stylize_is_the_last_step_and_shows_them_all(options, photo, style):
    shown = []
    painted = gatys.stylize(photo, [style], options(), on_step=shown.append)
    assert [step.iteration for step in shown] == [0, 5, 10]
    np.testing.assert_array_equal(painted, shown[-1].image)


# ---- where it starts -----------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_picture_and_another_seed_another(options, photo, style):
    def paint(seed: int) -> list[np.ndarray]:
        steps = gatys.iterate(photo, [style], options(init="noise", seed=seed, iterations=5))
        return [step.image for step in steps]

    once, again, other = paint(3), paint(3), paint(4)
    np.testing.assert_array_equal(once[0], again[0])
    np.testing.assert_allclose(once[1], again[1], atol=1e-3)
    assert np.abs(once[0] - other[0]).max() > 0.1
    assert np.abs(once[1] - other[1]).max() > 0.1


def test_noise_knows_nothing_of_the_photo(options, photo, style):
    start = next(gatys.iterate(photo, [style], options(init="noise"))).image
    correlation = np.corrcoef(start.ravel(), photo.ravel())[0, 1]
    assert abs(correlation) < 0.05


@pytest.mark.parametrize("shape", [(40, 56), (80, 30)])
def test_an_init_image_of_any_size_is_the_start(options, photo, style, picture, shape):
    given = picture(*shape, seed=11)
    start = next(gatys.iterate(photo, [style], options(), init_image=given)).image
    np.testing.assert_allclose(start, images.resize(given, 40, 56), atol=1e-6)


# ---- what the options do -------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(67, 101), (16, 16), (16, 90), (33, 17)])
def test_odd_sizes_keep_their_shape(options, picture, style, height, width):
    painted = gatys.stylize(picture(height, width), [style], options(iterations=2))
    assert painted.shape == (height, width, 3)
    assert np.isfinite(painted).all()


@pytest.mark.parametrize(("height", "width"), [(16, 16), (16, 200), (150, 30)])
def test_a_style_of_any_size_will_do(options, photo, picture, height, width):
    steps = list(gatys.iterate(photo, [picture(height, width)], options(iterations=5)))
    assert totals(steps)[-1] < totals(steps)[0]


def test_a_large_photo_is_optimised_small_and_comes_back_large(options, picture, style):
    large = picture(90, 120)
    shown = []
    painted = gatys.stylize(large, [style], options(size=48, iterations=2), on_step=shown.append)
    assert {step.image.shape for step in shown} == {(36, 48, 3)}
    assert painted.shape == large.shape
    np.testing.assert_allclose(painted, images.resize(shown[-1].image, 90, 120), atol=1e-6)


def test_layer_weights_choose_the_layers(options, photo, style):
    """Only relu1_1 counts: its share of the loss is the whole."""
    first_only = gatys.Objective(photo, [style], options(layer_weights=(5, 0, 0, 0, 0)))
    first_only(photo)
    reference = Reference(photo, [style], (1,), options(layer_weights=(1, 0, 0, 0, 0)))
    np.testing.assert_allclose(first_only.parts, reference(photo), rtol=1e-3, atol=1e-6)
    all_five = gatys.Objective(photo, [style], options())
    all_five(photo)
    assert abs(all_five.parts[1] - first_only.parts[1]) > 0.01


def test_more_content_weight_keeps_more_structure(options, photo, style):
    def content_part(weight: float) -> float:
        chosen = options(content_weight=weight, iterations=15)
        last = list(gatys.iterate(photo, [style], chosen))[-1]
        return last.losses["content"] / weight

    assert content_part(50.0) < content_part(0.5)


def test_variation_weight_smooths(options, photo, style):
    def roughness(weight: float) -> float:
        painted = gatys.stylize(photo, [style], options(tv_weight=weight, iterations=15))
        return float(np.mean(np.diff(painted, axis=1) ** 2))

    assert roughness(100.0) < roughness(0.0)


def test_a_style_of_weight_0_has_no_part(options, photo, style, picture):
    other = picture(30, 30, seed=8)
    single = gatys.Objective(photo, [style], options())
    both = gatys.Objective(photo, [style, other], options(style_weights=(2, 0)))
    assert both(photo)[0] == pytest.approx(single(photo)[0], rel=1e-6)


def test_plain_pictures_give_finite_ones(options, photo, style):
    plain = np.full((33, 47, 3), 0.5, "float32")
    for content, painter in ((plain, style), (photo, np.zeros_like(plain)), (plain, plain)):
        painted = gatys.stylize(content, [painter], options(iterations=5))
        assert np.isfinite(painted).all()


def test_the_expected_time_grows_with_the_iterations_up_to_the_budget(options, photo, style):
    gatys.stylize(photo, [style], options(iterations=1))
    short = gatys.expected_seconds(64, 64, options(iterations=9))
    assert short is not None
    assert short > 0
    long = gatys.expected_seconds(64, 64, options(iterations=99))
    assert long == pytest.approx(10 * short)
    assert gatys.expected_seconds(64, 64, options(time_budget=short / 100)) == short / 100


# ---- refusals ------------------------------------------------------------------------------------

NAN = float("nan")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"backbone": "resnet50"}, "'resnet50'; choose one of lite"),
        ({"iterations": 0}, "iterations is 0; give a number from 1"),
        ({"iterations": -5}, "iterations is -5"),
        ({"iterations": 2.5}, "iterations is 2.5; give a whole number"),
        ({"content_weight": -1}, "content_weight is -1"),
        ({"content_weight": NAN}, "content_weight is nan"),
        ({"style_weight": NAN}, "style_weight is nan"),
        ({"style_weight": float("inf")}, "style_weight is inf"),
        ({"tv_weight": NAN}, "tv_weight is nan"),
        ({"content_weight": 0, "style_weight": 0}, "both 0; raise one"),
        ({"layer_weights": (1, 1, 1)}, "3 layer_weights; give 5"),
        ({"layer_weights": (0,) * 5}, "not all 0"),
        ({"layer_weights": (1, 1, 1, 1, NAN)}, "nan"),
        ({"layer_weights": (1, 1, 1, 1, -1)}, "0 or more"),
        ({"init": "sketch"}, "init is 'sketch'; choose one of content, noise, fast"),
        ({"optimizer": "sgd"}, "optimizer is 'sgd'; choose one of lbfgs, adam"),
        ({"optimizer": "adam", "learning_rate": 0}, "learning_rate is 0"),
        ({"optimizer": "adam", "learning_rate": NAN}, "learning_rate is nan"),
        ({"learning_rate": 0.1}, "for the optimizer adam"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 1.5}, "seed is 1.5; give a whole number"),
        ({"time_budget": -1}, "time_budget is -1"),
        ({"time_budget": NAN}, "time_budget is nan"),
        ({"size": 8}, "size is 8; give a number from 16"),
        ({"size": 10_000}, "size is 10000"),
    ],
)
def test_options_out_of_range_are_refused(values, words):
    with pytest.raises(StyleTransferError, match=words) as caught:
        Options(**values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("styles", "weights", "words"),
    [(6, [1, 1, 1, 1], "6 styles were given 4"), (2, [NAN, 1], "nan"), (2, [0, 0], "not all 0")],
)
def test_weights_that_do_not_fit_are_refused(options, photo, style, styles, weights, words):
    with pytest.raises(StyleTransferError, match=words):
        gatys.stylize(photo, [style] * styles, options(style_weights=weights))


def test_a_loss_that_is_not_finite_at_the_start_is_told(options, photo, style, monkeypatch):
    monkeypatch.setattr(gatys.Objective, "__call__", lambda self, x: (np.inf, np.zeros_like(x)))
    with pytest.raises(StyleTransferError, match="loss is inf at the start; lower the weights"):
        next(gatys.iterate(photo, [style], options()))
