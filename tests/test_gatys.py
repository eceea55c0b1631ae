"""Image optimisation: its loss and gradient against NumPy, its steps, and what it refuses."""

import itertools
import re
import weakref
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nst_demo import backbones, images, models, planning, recipes
from nst_demo.errors import StyleTransferError
from nst_demo.methods import gatys
from nst_demo.methods.gatys import Options

SHARES = (0.1, 0.3, 0.2, 0.25, 0.15)
CONTENT_LAYER = "block4_conv1"
PLAIN = replace(
    recipes.DEFAULT,
    name="plain",
    content_layers=((CONTENT_LAYER, 1.0),),
    style_layers=tuple((layer, 0.2) for layer in backbones.STYLE_LAYERS),
    content_loss="structure",
    style_loss="gram",
    variation_loss="squares",
    margin=0,
    opening=1.0,
    softness=0.0,
    optimizer="lbfgs",
    scales=((1.0, 1.0),),
    coarsest=64,
)
"""The default recipe as these tests take it, whatever it is tuned to."""


@pytest.fixture
def add_recipe(monkeypatch) -> Callable[[recipes.Recipe], str]:
    """Makes a recipe known for one test, and gives its name."""

    def add(recipe: recipes.Recipe) -> str:
        monkeypatch.setitem(recipes.RECIPES, recipe.name, recipe)
        return recipe.name

    return add


@pytest.fixture
def options(tiny_backbone, add_recipe):
    """Options of a short run on the tiny backbone."""
    plain = add_recipe(PLAIN)

    def make(**values: Any) -> Options:
        short = {"recipe": plain, "backbone": tiny_backbone, "iterations": 10, "init": "content"}
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
        self.settings = options.settings
        self.network = backbones.load(self.settings.backbone)
        short_side = min(content.shape[:2])
        self.structure = normalised(self.features(content)[CONTENT_LAYER])
        found = [self.features(images.fit_short(style, short_side)) for style in styles]
        self.grams = {
            layer: sum(s * gram(f[layer]) for s, f in zip(style_shares, found, strict=True))
            for layer in backbones.STYLE_LAYERS
        }
        self.shares = [weight for _, weight in self.settings.style_layers]

    def features(self, image):
        return reference_features(self.network, image)

    def __call__(self, image: np.ndarray) -> np.ndarray:
        found = self.features(image)
        content = np.mean((normalised(found[CONTENT_LAYER]) - self.structure) ** 2)
        style = sum(
            share * np.sum((gram(found[layer]) - target) ** 2) / np.sum(target**2)
            for share, (layer, target) in zip(self.shares, self.grams.items(), strict=True)
        )
        vertical = np.mean(np.diff(image.astype("float64"), axis=0) ** 2)
        horizontal = np.mean(np.diff(image.astype("float64"), axis=1) ** 2)
        outside = np.maximum(image - 1, 0) + np.maximum(-image, 0)
        o = self.settings
        return np.array(
            [
                o.content_weight * content,
                o.style_weight * style,
                o.variation_weight * (vertical + horizontal),
                o.range_weight * np.mean(outside**2),
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
    return gatys.objective(content, styles, chosen), reference, 1.4 * picture(32, 40, seed=4) - 0.2


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
    objective = gatys.objective(same, [same], options())
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
    objective = gatys.objective(0.5 + 0.1 * photo, [style], chosen)
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
    assert steps[-1].note == "stopped at a minimum"
    assert steps[-1].seconds_left == 0
    np.testing.assert_allclose(steps[-1].image, photo, atol=1e-3)


def test_save_every_yields_its_multiples_too(options, photo, style):
    steps = list(gatys.iterate(photo, [style], options(iterations=8, save_every=3)))
    assert [step.iteration for step in steps] == [0, 3, 5, 6, 8]


# ---- with a loss and a clock of the test's own ---------------------------------------------------


def test_save_every_yields_the_end_of_a_coarse_scale_too(options, picture, style, add_recipe):
    recipe = add_recipe(replace(PLAIN, name="scaled", scales=((0.5, 0.2), (1.0, 0.8))))
    chosen = options(recipe=recipe, iterations=20, save_every=4)
    steps = list(gatys.iterate(picture(128, 128), [style], chosen))
    assert [step.iteration for step in steps] == [0, 4, 5, 8, 10, 12, 15, 16, 20]
    assert steps[1].scale == (64, 64)


class Fake:
    """|x - 0.3|^2, or what `loss` says; an evaluation takes `seconds` of the patched clock."""

    def __init__(self, clock, seconds, loss=None):
        self.clock, self.seconds, self.loss = clock, seconds, loss
        self.calls, self.last = 0, 0.0

    def __call__(self, x):
        self.clock.now += self.seconds
        self.calls += 1
        value = float(np.mean((x - 0.3) ** 2))
        self.last = value if self.loss is None else self.loss(self.calls, value)
        return self.last, 2 * (x - np.float32(0.3)) / x.size

    def losses(self):
        return {"total": self.last, "content": 0, "style": self.last, "variation": 0, "range": 0}


@pytest.fixture
def fake(monkeypatch):
    """Replaces the loss of every run and the clock: fake(seconds of a size, loss)."""
    clock = SimpleNamespace(now=100.0)
    clock.monotonic = clock.perf_counter = lambda: clock.now

    def make(seconds=lambda pixels: 1.0, loss=None):
        for module in (gatys, planning):
            monkeypatch.setattr(module, "time", clock)
        monkeypatch.setattr(models, "pace", models.Pace())
        made = []

        def objective(photo, *_):
            clock.now += 0.5 * seconds(photo[..., 0].size)  # statistics
            made.append(Fake(clock, seconds(photo[..., 0].size), loss))
            return made[-1]

        monkeypatch.setattr(gatys, "objective", objective)
        return made

    return make


def test_seconds_left_are_right_across_scales(options, picture, style, fake, add_recipe):
    """Small pictures cost more by the pixel here, as they do on a real machine."""
    made = fake(lambda pixels: 0.006 + 7e-7 * pixels * (1 + 20 / pixels**0.5))
    scales = ((0.25, 0.4), (0.5, 0.3), (1.0, 0.3))
    recipe = add_recipe(replace(PLAIN, name="scaled", scales=scales, size=512))
    chosen = options(recipe=recipe, iterations=200, optimizer="adam")
    steps = list(gatys.iterate(picture(384, 512), [style], chosen))
    assert [step.scale for step in steps if step.iteration in (50, 100, 200)] == [
        (96, 128),
        (192, 256),
        (384, 512),
    ]
    assert len(made) == 3
    end = steps[-1].seconds
    told = [step for step in steps if end / 10 <= step.seconds < end]
    assert len(told) > 15
    for step in told:
        assert step.seconds_left == pytest.approx(end - step.seconds, rel=0.25, abs=0.02 * end)
    assert steps[-1].seconds_left == 0


def test_each_scale_starts_from_the_last_and_the_last_gets_what_is_left(
    options, picture, style, fake, add_recipe
):
    """The coarse one reaches its minimum at once. Of noise no detail comes back afterwards."""
    fake()
    recipe = add_recipe(replace(PLAIN, name="scaled", scales=((0.5, 0.5), (1.0, 0.5))))
    chosen = options(recipe=recipe, iterations=40, init="noise")
    steps = list(gatys.iterate(picture(128, 160), [style], chosen))
    assert steps[0].scale == (64, 80)
    first_fine = next(step for step in steps if step.scale == (128, 160))
    assert first_fine.iteration < 20
    assert first_fine.losses["total"] < 1e-3 * steps[0].losses["total"]
    assert steps[-1].note == "stopped at a minimum"
    assert steps[-1].iteration < 40


def test_a_later_scale_has_the_detail_that_the_run_began_with(
    options, picture, style, fake, add_recipe
):
    """Nothing is to be optimised: what the coarse scale lost comes back."""
    recipe = add_recipe(replace(PLAIN, name="scaled", scales=((0.5, 0.5), (1.0, 0.5))))
    photo, given = picture(128, 160), picture(128, 160, seed=5)

    def ends(init_image=None, **values) -> tuple[np.ndarray, np.ndarray]:
        """The first picture of the coarse scale, the last of the fine one."""
        fake(loss=lambda call, value: 0.0)
        chosen = options(recipe=recipe, iterations=4, **values)
        steps = list(gatys.iterate(photo, [style], chosen, init_image))
        return steps[0].image, steps[-1].image

    np.testing.assert_allclose(ends()[1], photo, atol=1e-5)
    np.testing.assert_allclose(ends(given)[1], given, atol=1e-5)
    coarse, fine = ends(init="noise")
    np.testing.assert_allclose(fine, np.clip(images.resize(coarse, 128, 160), 0, 1), atol=1e-5)


def test_a_coarse_scale_too_small_to_matter_is_left_out(options, photo, style, add_recipe):
    scales = ((0.25, 0.4), (0.5, 0.3), (1.0, 0.3))
    recipe = add_recipe(replace(PLAIN, name="scaled", scales=scales))
    steps = list(gatys.iterate(photo, [style], options(recipe=recipe, iterations=5)))
    assert {step.scale for step in steps} == {(40, 56)}
    assert [step.iteration for step in steps] == [0, 5]


def test_the_time_budget_ends_the_run_with_the_best_so_far(options, photo, style, fake):
    fake()
    chosen = options(iterations=100, time_budget=4.6, optimizer="adam")
    steps = list(gatys.iterate(photo, [style], chosen))
    assert [(step.iteration, step.seconds) for step in steps] == [(0, 1.5), (4, 5.5)]
    assert totals(steps)[1] < totals(steps)[0]
    assert steps[-1].note == "ended by the time budget"
    assert steps[0].seconds_left == pytest.approx(4.6 - 1.5)


def test_a_run_cut_by_its_budget_is_what_it_would_be_without_until_then(
    options, picture, style, fake, add_recipe
):
    """So its settings and the iteration at which it ended make the same picture again."""
    fake(lambda pixels: pixels / (256 * 256))
    recipe = add_recipe(replace(PLAIN, name="scaled", scales=((0.5, 0.2), (1.0, 0.8))))
    chosen = options(recipe=recipe, iterations=100, optimizer="adam")
    photo = picture(256, 256)
    *_, cut = gatys.iterate(photo, [style], replace(chosen, time_budget=20.0))
    assert 20 < cut.iteration < 40
    assert 20 <= cut.seconds < 21
    chosen = replace(chosen, save_every=cut.iteration)
    again = {step.iteration: step for step in gatys.iterate(photo, [style], chosen)}
    np.testing.assert_array_equal(again[cut.iteration].image, cut.image)


def test_a_step_that_diverges_is_cut(options, photo, style, fake):
    """Not a number at the fourth evaluation, and once more with smaller steps."""
    fake(loss=lambda call, value: np.nan if call in (4, 6) else value)
    steps = list(gatys.iterate(photo, [style], options(optimizer="adam", iterations=20)))
    assert steps[-1].note == "the step size was cut"
    assert steps[-1].iteration == 20
    assert totals(steps) == sorted(totals(steps), reverse=True)
    assert np.isfinite(steps[-1].image).all()


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_a_loss_that_goes_on_diverging_gives_the_best_met(options, photo, style, fake, optimizer):
    fake(loss=lambda call, value: value if call <= 3 else np.nan)
    steps = list(gatys.iterate(photo, [style], options(optimizer=optimizer, iterations=200)))
    assert steps[-1].iteration < 60
    assert steps[-1].note.endswith("the loss went on growing, so this is the best picture met")
    assert totals(steps)[-1] < totals(steps)[0]
    assert np.isfinite(steps[-1].image).all()


def test_sgd_that_explodes_is_cut(options, photo, style):
    """A real divergence: a rate far too high for this loss."""
    chosen = options(optimizer="sgd", learning_rate=1e6, tv_weight=0, iterations=40)
    steps = list(gatys.iterate(photo, [style], chosen))
    assert "the step size was cut" in steps[-1].note
    assert np.isfinite(steps[-1].image).all()


def test_a_loss_that_is_not_finite_at_the_start_is_told(options, photo, style, fake):
    fake(loss=lambda call, value: np.inf)
    with pytest.raises(StyleTransferError, match="loss is inf at the start; lower the weights"):
        next(gatys.iterate(photo, [style], options()))


def test_a_later_scale_without_a_loss_leaves_the_picture_before_it(
    options, picture, style, fake, add_recipe
):
    fake(lambda pixels: float(pixels), lambda call, value: value)
    recipe = add_recipe(replace(PLAIN, name="scaled", scales=((0.5, 0.5), (1.0, 0.5))))
    run = gatys.iterate(picture(128, 128), [style], options(recipe=recipe, optimizer="adam"))
    next(run)
    fake(loss=lambda call, value: np.nan)
    last = list(run)[-1]
    assert last.scale == (64, 64)
    assert "at the next size" in last.note


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


def test_content_and_noise_start_near_the_photo(options, photo, style):
    start = next(gatys.iterate(photo, [style], options(init="content+noise"))).image
    off = np.abs(start - photo)
    assert off.mean() > 0.05
    assert off.max() <= 0.25 + 1e-6


def test_without_the_fast_result_it_says_where_it_starts(options, photo, style):
    step = next(gatys.iterate(photo, [style], options(init="fast")))
    np.testing.assert_array_equal(step.image, photo)
    assert step.note == "started from the photo, as no fast result was given"
    assert next(gatys.iterate(photo, [style], options(init="fast"), photo)).note is None


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
    first_only = gatys.objective(photo, [style], options(layer_weights=(5, 0, 0, 0, 0)))
    first_only(photo)
    reference = Reference(photo, [style], (1,), options(layer_weights=(1, 0, 0, 0, 0)))
    np.testing.assert_allclose(first_only.parts, reference(photo), rtol=1e-3, atol=1e-6)
    all_five = gatys.objective(photo, [style], options())
    all_five(photo)
    assert abs(all_five.parts[1] - first_only.parts[1]) > 0.01


def test_more_content_weight_keeps_more_structure(options, photo, style):
    def content_part(weight: float) -> float:
        chosen = options(content_weight=weight, iterations=15)
        last = list(gatys.iterate(photo, [style], chosen))[-1]
        return last.losses["content"] / weight

    assert content_part(50.0) < content_part(0.5)


def emphases(monkeypatch, run) -> list[tuple[float, float, float]]:
    """(emphasis, content, style) of each evaluation of a run."""
    seen = []
    evaluate = gatys.Objective.__call__

    def watched(self, x):
        found = evaluate(self, x)
        seen.append((self.emphasis, *map(float, self.parts[:2])))
        return found

    monkeypatch.setattr(gatys.Objective, "__call__", watched)
    list(run)
    return seen


def test_the_opening_lasts_while_the_style_part_is_larger(
    options, add_recipe, photo, style, monkeypatch
):
    name = add_recipe(replace(PLAIN, name="opening", opening=2.0, content_weight=10.0))
    chosen = options(recipe=name, iterations=100)
    seen = emphases(monkeypatch, gatys.iterate(photo, [style], chosen))
    opened = [emphasis == 2.0 for emphasis, _, _ in seen]
    closed = opened.index(False)
    assert 2 <= closed < 20  # it is not the limit of a fifth that ends it
    assert not any(opened[closed:])
    larger = [style_part > content_part for _, content_part, style_part in seen[:closed]]
    assert larger == [True] * (closed - 1) + [False]


def test_the_opening_is_a_fifth_of_the_run_at_most(options, add_recipe, photo, style, monkeypatch):
    name = add_recipe(replace(PLAIN, name="opening", opening=2.0, content_weight=1e-6))
    seen = emphases(monkeypatch, gatys.iterate(photo, [style], options(recipe=name)))
    assert [emphasis for emphasis, _, _ in seen[:10]] == [2.0] * 2 + [1.0] * 8


def test_variation_weight_smooths(options, photo, style):
    def roughness(weight: float) -> float:
        painted = gatys.stylize(photo, [style], options(tv_weight=weight, iterations=15))
        return float(np.mean(np.diff(painted, axis=1) ** 2))

    assert roughness(100.0) < roughness(0.0)


def test_a_style_of_weight_0_has_no_part(options, photo, style, picture):
    other = picture(30, 30, seed=8)
    single = gatys.objective(photo, [style], options())
    both = gatys.objective(photo, [style, other], options(style_weights=(2, 0)))
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


def test_the_time_of_another_size_is_told_by_the_pixels_that_are_evaluated(monkeypatch):
    """The margin is evaluated too."""
    monkeypatch.setattr(models, "pace", models.Pace())
    settings = replace(PLAIN, name="with margin", margin=16)
    small, large = (planning.Scale(side, side, 10, None) for side in (32, 96))
    planning.record(settings, small, 1.0)
    seconds = planning.evaluation_seconds(settings, large)
    assert seconds == pytest.approx(4.0, rel=0.05)  # 128² / 64²


# ---- recipes -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_every_recipe_runs_on_a_small_network(tiny_backbone, photo, style, name):
    chosen = Options(recipe=name, backbone=tiny_backbone, iterations=2, size=48)
    steps = list(gatys.iterate(photo, [style], chosen, photo))
    assert steps[-1].iteration == 2
    assert np.isfinite(steps[-1].losses["total"])
    shapes = {"square": (48, 48), "rows": (48, 67), "long side": (34, 48)}
    assert steps[-1].scale == shapes[recipes.RECIPES[name].fit]


def test_another_seed_is_another_bold_painting(tiny_backbone, photo, style):
    def painted(seed: int) -> np.ndarray:
        return gatys.stylize(
            photo, [style], Options("bold", backbone=tiny_backbone, iterations=8, seed=seed)
        )

    first = painted(0)
    np.testing.assert_array_equal(painted(0), first)
    assert np.abs(painted(1) - first).mean() > 0.01


def test_bold_at_strength_0_is_the_photo(tiny_backbone, picture, style):
    photo = images.resize(picture(8, 10), 400, 500)  # without what no coarse scale could keep

    def off(strength: float) -> float:
        chosen = Options("bold", backbone=tiny_backbone, iterations=12, strength=strength)
        return float(np.abs(gatys.stylize(photo, [style], chosen) - photo).mean())

    assert off(0.0) < 0.01
    assert off(1.0) > 0.05


def test_a_bold_run_goes_on_from_a_picture_at_its_full_size(tiny_backbone, picture, style):
    """At a quarter of it, Stop would leave less than there was."""
    photo = picture(400, 500)
    chosen = Options("bold", backbone=tiny_backbone, iterations=8, init="content")
    steps = list(gatys.iterate(photo, [style], chosen, picture(400, 500, seed=3)))
    assert {step.scale for step in steps} == {(400, 500)}
    assert steps[-1].iteration == 8
    anew = gatys.iterate(photo, [style], Options("bold", backbone=tiny_backbone, iterations=8))
    assert next(anew).scale == (90, 112)


@pytest.mark.parametrize(("long", "count"), [(60, 1), (112, 1), (224, 2), (500, 4), (1536, 5)])
def test_bold_grows_from_the_same_size_by_at_most_double(long, count):
    settings = Options("bold", size=2048).settings
    structure, _ = gatys.structure_of(settings)
    scales, _ = planning.scales(long, 3 * long // 4, settings, structure, 64.0)
    assert len(scales) == count
    assert (scales[0].height, scales[-1].height) == (min(long, 112), long)
    for small, large in itertools.pairwise(scales):
        assert 1 < large.height / small.height < 2.01
        assert large.width == pytest.approx(0.75 * large.height, abs=1)
    ends = [scale.until for scale in scales]
    assert ends == [round(settings.iterations * (i + 1) / count) for i in range(count)]


@pytest.mark.parametrize("iterations", [1, 2, 3])
def test_a_run_of_many_scales_may_be_short(tiny_backbone, picture, style, iterations):
    chosen = Options("bold", backbone=tiny_backbone, iterations=iterations)
    *_, last = gatys.iterate(picture(400, 500), [style], chosen)
    assert last.iteration == iterations
    assert last.scale == (400, 500)


def test_layers_that_the_backbone_lacks_are_told(tiny_backbone, photo, style):
    chosen = Options(recipe="zandian", backbone=tiny_backbone, iterations=1, size=48)
    assert next(gatys.iterate(photo, [style], chosen)).note == (
        "block5_conv1 of tiny stands for block5_conv4"
    )


def test_options_take_the_place_of_the_recipes_own():
    keras = recipes.RECIPES["keras"]
    assert Options(recipe="keras").settings == keras
    chosen = Options(
        recipe="keras", iterations=7, style_weight=2, layer_weights=SHARES, learning_rate=3.0
    ).settings
    assert (chosen.iterations, chosen.learning_rate, chosen.decay) == (7, 3.0, keras.decay)
    assert chosen.style_weight == 2 * keras.style_weight
    total = sum(weight for _, weight in keras.style_layers)
    assert [weight for _, weight in chosen.style_layers] == pytest.approx(
        [total * share for share in SHARES]
    )
    assert Options(recipe="keras", optimizer="lbfgs").settings.optimizer == "lbfgs"
    adam = Options(recipe="keras", optimizer="adam").settings
    assert (adam.learning_rate, adam.decay) == (pytest.approx(0.02 * 255), 1.0)
    shallow = Options(recipe="zandian", similarity="style").settings.style_layers
    assert shallow[0] == ("block1_conv1", 0.4)


@pytest.mark.parametrize(
    ("fit", "size", "expected"),
    [
        ("long side", 128, (64, 128)),
        ("long side", 512, (150, 300)),  # never enlarged
        ("square", 200, (200, 200)),
        ("rows", 200, (200, 400)),
        ("rows", 4000, (2048, 4096)),  # as wide as a picture may be
    ],
)
def test_a_recipe_fits_the_photo_to_its_size(fit, size, expected):
    assert planning.worked_size(150, 300, replace(PLAIN, fit=fit, size=size)) == expected


@pytest.mark.parametrize(
    ("fit", "scale", "expected"),
    [
        ("short side", 1.0, (40, 60)),
        ("short side", 2.0, (80, 120)),
        ("short side", 0.5, (20, 30)),
        ("short side", 0.25, (16, 16)),
        ("content", 1.0, (40, 56)),
        ("content", 2.0, (80, 112)),
    ],
)
def test_a_style_is_fitted_to_the_photo_and_scaled(picture, fit, scale, expected):
    fitted = gatys.fit_style(picture(100, 150), replace(PLAIN, style_fit=fit), (40, 56), scale)
    assert fitted.shape[:2] == expected


def test_lite_in_vggs_place_has_features_of_its_size():
    assert gatys.structure_of(Options(recipe="keras", backbone="lite").settings)[0].gain > 1
    assert gatys.structure_of(Options(recipe="keras").settings)[0].gain == 1
    assert gatys.structure_of(Options(backbone="lite").settings)[0].gain == 1


# ---- memory --------------------------------------------------------------------------------------


def gigabytes(options, pixels: float, window: float) -> float:
    """What a picture of `pixels` takes in windows of `window` pixels."""
    settings = options.settings
    memory = planning.Memory(settings, gatys.structure_of(settings)[0])
    return (memory.whole(pixels) + window * memory.per_pixel()) / 1e9


def test_a_picture_that_does_not_fit_is_tiled_with_the_same_result(options, picture, style):
    large = picture(240, 320, seed=3)
    whole = list(gatys.iterate(large, [style], options(iterations=2)))
    little = gigabytes(options(), 240 * 320, 30_000)
    tiled = list(gatys.iterate(large, [style], options(iterations=2, max_memory=little)))
    assert whole[-1].note is None
    assert tiled[-1].note is not None
    assert tiled[-1].note.startswith("tiled in ")
    assert totals(tiled) == pytest.approx(totals(whole), rel=1e-3)
    np.testing.assert_allclose(tiled[-1].image, whole[-1].image, atol=2e-3)


def test_where_tiles_do_not_help_it_is_done_smaller_and_said(options, picture, style):
    large = picture(240, 320, seed=3)
    little = gigabytes(options(), 120 * 160, 120 * 160)
    shown = []
    painted = gatys.stylize(
        large, [style], options(iterations=1, max_memory=little), on_step=shown.append
    )
    height, width = shown[-1].scale
    assert 100 <= height <= 130
    assert painted.shape == large.shape
    settings = options().settings
    needed = planning.Memory(settings, gatys.structure_of(settings)[0]).untiled(240, 320)
    assert shown[-1].note == f"done at {width} px: 320 needs {needed / 1e9:.1f} GB"


def test_the_margin_is_planned_for(options, add_recipe, picture, style):
    """A picture that just fits without its margin is done smaller with it: no tile fits either."""
    name = add_recipe(replace(PLAIN, name="with margin", margin=8))
    large, chosen = picture(96, 128, seed=3), {"iterations": 1, "recipe": name}
    exact = gigabytes(options(), 96 * 128, 96 * 128)
    needed = gigabytes(options(), 112 * 144, 112 * 144)
    notes = [
        list(gatys.iterate(large, [style], options(max_memory=1.001 * room, **values)))[-1].note
        for room, values in ((exact, {"iterations": 1}), (exact, chosen), (needed, chosen))
    ]
    assert notes[0] is None
    assert notes[2] is None
    assert str(notes[1]).startswith("done at ")


def test_the_least_memory_that_is_told_is_enough(options, add_recipe, picture, style):
    name = add_recipe(replace(PLAIN, name="with margin", margin=8))
    strip, chosen = picture(16, 2048), {"recipe": name, "size": 2048}
    with pytest.raises(StyleTransferError) as told:
        next(gatys.iterate(strip, [style], options(**chosen, max_memory=0.1)))
    (least,) = re.findall(r"allow (\d\.\d+) GB", str(told.value))
    next(gatys.iterate(strip, [style], options(**chosen, max_memory=float(least))))


def test_too_little_memory_for_anything_is_told(options, picture, style):
    with pytest.raises(StyleTransferError, match=r"too little for any size; allow 0\.\d+ GB"):
        next(gatys.iterate(picture(240, 320), [style], options(max_memory=0.1)))


def test_what_is_free_is_the_budget(options, picture, style, monkeypatch):
    monkeypatch.setattr(models, "free_memory", lambda: 0)
    with pytest.raises(StyleTransferError, match="too little"):
        next(gatys.iterate(picture(240, 320), [style], options()))
    monkeypatch.setattr(models, "free_memory", lambda: None)
    assert next(gatys.iterate(picture(240, 320), [style], options())).note is None


def test_without_onednn_more_is_planned_for(options, monkeypatch):
    memory = planning.Memory(options().settings, gatys.structure_of(options().settings)[0])
    needed = []
    for onednn in (True, False):
        monkeypatch.setattr(models, "onednn", lambda onednn=onednn: onednn)
        needed.append(memory.untiled(240, 320))
    assert needed[1] > 1.02 * needed[0]


def test_the_picture_to_start_from_is_let_go_when_its_use_is_over(options, picture, style):
    start = picture(48, 64, seed=5)
    kept = weakref.ref(start)
    run = gatys.iterate(picture(48, 64), [style], options(iterations=9), start)
    del start
    next(run)
    next(run)
    assert kept() is None


# ---- masks ---------------------------------------------------------------------------------------


def test_masks_give_each_style_its_place(options, picture):
    """A dark style on the left and a bright one on the right."""
    photo = 0.3 + 0.4 * picture(64, 96, seed=1)
    dark, bright = 0.4 * picture(48, 48, seed=2), 0.6 + 0.4 * picture(48, 48, seed=3)
    left = np.zeros((64, 96), "float32")
    left[:, :48] = 1.0
    chosen = options(content_weight=0, tv_weight=0, iterations=25)
    painted = gatys.stylize(photo, [dark, bright], chosen, masks=[left, 1 - left])
    change = (painted - photo).mean((0, 2))
    assert change[:40].mean() < -0.01
    assert change[56:].mean() > 0.01


@pytest.mark.parametrize(
    ("masks", "words"),
    [
        ([np.ones((40, 56))], "2 styles were given 1 masks"),
        ([np.ones((40, 56)), np.ones((40, 55))], "mask is 55 x 40 px but the photo 56 x 40"),
        ([np.ones((40, 56)), np.zeros((40, 56))], "all black"),
        ([np.ones((40, 56)), 2 * np.ones((40, 56))], "values from 2.0 to 2.0"),
        ([np.ones((40, 56)), np.full((40, 56), np.nan)], "values from nan"),
    ],
)
def test_masks_that_do_not_fit_are_refused(options, photo, style, masks, words):
    with pytest.raises(StyleTransferError, match=words) as caught:
        next(gatys.iterate(photo, [style, style], options(), masks=masks))
    assert "\n" not in str(caught.value)


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
        ({"init": "sketch"}, "init is 'sketch'; choose one of fast, content, noise, content"),
        ({"optimizer": "newton"}, "optimizer is 'newton'; choose one of lbfgs, adam, sgd"),
        ({"optimizer": "sgd"}, "no learning_rate for sgd; give one"),
        ({"recipe": "vermeer"}, "'vermeer'; choose one of default, bold, sethi"),
        ({"similarity": "content"}, "'default' has no similarity"),
        ({"recipe": "zandian", "similarity": "both"}, "'both'; choose one of content, balanced"),
        ({"recipe": "sethi", "content_weight": 0, "style_weight": 0}, "both 0; raise one"),
        ({"strength": 1.5}, "strength is 1.5; give a number from 0 to 1"),
        ({"style_scale": 0}, "style_scale is 0; give a number from 0.25 to 4"),
        ({"max_memory": 0}, "max_memory is 0"),
        ({"save_every": 0}, "save_every is 0"),
        ({"time_budget": 0}, "time_budget is 0 seconds; give more"),
        ({"optimizer": "adam", "learning_rate": 0}, "learning_rate is 0"),
        ({"optimizer": "adam", "learning_rate": NAN}, "learning_rate is nan"),
        ({"learning_rate": 0.1}, "for the optimizers adam and sgd"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 1.5}, "seed is 1.5; give a whole number"),
        ({"time_budget": -1}, "time_budget is -1"),
        ({"time_budget": NAN}, "time_budget is nan"),
        ({"size": 8}, "size is 8; give a number from 16"),
        ({"size": 10_000}, "size is 10000; give a number from 16 to 4096"),
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
