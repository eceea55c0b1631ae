"""L-BFGS against SciPy, Adam against the paper's algorithm, SGD against its definition."""

import itertools

import numpy as np
import pytest
from scipy import optimize

from nst_demo import optimizers, wavelets


def rosenbrock(x: np.ndarray) -> tuple[float, np.ndarray]:
    x = x.astype("float64")
    return float(optimize.rosen(x)), optimize.rosen_der(x).astype("float32")


def quadratic(dimensions: int, condition: float):
    """x.A.x/2 - b.x with eigenvalues from 1 to `condition`, and its minimum."""
    rng = np.random.default_rng(0)
    basis, _ = np.linalg.qr(rng.normal(size=(dimensions, dimensions)))
    matrix = basis * np.geomspace(1, condition, dimensions) @ basis.T
    target = rng.uniform(-1, 1, dimensions)

    def evaluate(x):
        off = x.astype("float64") - target
        return float(off @ matrix @ off / 2), (matrix @ off).astype("float32")

    return evaluate, target


def run(evaluations, limit: int) -> list[optimizers.Evaluation]:
    return list(itertools.islice(evaluations, limit))


def best(evaluations: list[optimizers.Evaluation]) -> optimizers.Evaluation:
    return min(evaluations, key=lambda e: e.loss if np.isfinite(e.loss) else np.inf)


def test_lbfgs_reaches_scipys_minimum_of_rosenbrock_in_ten_dimensions():
    start = np.zeros(10, "float32")
    scipys = optimize.minimize(optimize.rosen, start, jac=optimize.rosen_der, method="L-BFGS-B")
    found = best(run(optimizers.lbfgs(rosenbrock, start), 200))
    assert found.loss < 1e-6
    np.testing.assert_allclose(found.x, scipys.x, atol=5e-3)


def test_lbfgs_needs_few_evaluations_for_a_quadratic():
    evaluate, target = quadratic(50, condition=100)
    start = np.zeros(50, "float32")
    evaluations = run(optimizers.lbfgs(evaluate, start), 80)
    assert best(evaluations).loss < 1e-5 * evaluations[0].loss
    np.testing.assert_allclose(best(evaluations).x, target, atol=1e-2)


def test_lbfgs_starts_at_the_start_and_reports_what_it_evaluated():

    def evaluate(x):
        return float(np.sum(x.astype("float64") ** 4)), 4 * x**3

    start = np.linspace(-1, 1, 6).astype("float32").reshape(1, 2, 3)
    evaluations = run(optimizers.lbfgs(evaluate, start), 10)
    np.testing.assert_array_equal(evaluations[0].x, start)
    for evaluation in evaluations:
        assert evaluation.x.shape == start.shape
        assert evaluation.x.dtype == np.float32
        assert evaluation.loss == evaluate(evaluation.x)[0]


def test_lbfgs_leaves_the_start_alone():
    start = np.full(10, 0.5, "float32")
    run(optimizers.lbfgs(rosenbrock, start), 20)
    np.testing.assert_array_equal(start, 0.5)


def test_lbfgs_steps_are_no_longer_than_allowed():
    evaluate, _ = quadratic(20, condition=1)
    start = np.full(20, 30, "float32")
    evaluations = run(optimizers.lbfgs(evaluate, start, first_step=0.01, max_step=0.5), 30)
    first = np.abs(evaluations[1].x - start).max()
    assert first == pytest.approx(0.01, rel=1e-3)
    steps = [np.abs(b.x - a.x).max() for a, b in itertools.pairwise(evaluations)]
    assert max(steps) <= 0.5 * (1 + 1e-5)
    assert max(steps) > 0.4  # it does get that far


@pytest.mark.parametrize("beyond", [np.inf, -np.inf, np.nan])
def test_lbfgs_survives_losses_that_are_not_finite(beyond):
    """A wall right behind the minimum at 1, found by steps that are too long."""

    def evaluate(x):
        if np.any(x > 1.05):
            return beyond, np.full_like(x, np.nan)
        return float(np.sum((x - 1) ** 2)), (2 * (x - 1)).astype("float32")

    evaluations = run(
        optimizers.lbfgs(evaluate, np.full(3, -2, "float32"), first_step=4, max_step=5), 60
    )
    assert any(np.any(e.x > 1.05) for e in evaluations)  # the wall was met
    np.testing.assert_allclose(best(evaluations).x, 1, atol=1e-3)


def test_lbfgs_ends_where_the_gradient_is_0():
    evaluations = run(optimizers.lbfgs(lambda x: (0.0, np.zeros_like(x)), np.ones(4)), 10)
    assert len(evaluations) == 1


def test_lbfgs_ends_at_a_minimum_it_cannot_improve():
    """At float32's last digit no step lowers the loss: the search must give up, not spin."""
    evaluate, target = quadratic(8, condition=10)
    evaluations = run(optimizers.lbfgs(evaluate, np.zeros(8, "float32")), 1000)
    assert len(evaluations) < 1000
    np.testing.assert_allclose(best(evaluations).x, target, atol=1e-4)


@pytest.mark.parametrize("size", [1e-30, np.nan])
def test_lbfgs_ends_where_the_gradient_is_no_help(size):
    """Squares of 1e-30 vanish in float32, so that no slope is left; NaN has none at all."""
    evaluations = run(
        optimizers.lbfgs(lambda x: (1.0, np.full(3, size, "float32")), np.ones(3)), 100
    )
    assert len(evaluations) < 100


def test_lbfgs_gives_up_when_the_gradient_points_uphill():
    def lying(x):
        return float(x @ x), -2 * x

    evaluations = run(optimizers.lbfgs(lying, np.ones(3, "float32")), 1000)
    assert len(evaluations) < 1000
    assert best(evaluations).loss == 3


def by_bands(target: np.ndarray, curvatures: np.ndarray):
    """Quadratic around `target`, each band of wavelets and each colour with a curvature of its own.

    As with pictures, it also differs from place to place.
    """
    curvature = np.random.default_rng(1).uniform(0.5, 2, np.moveaxis(target, 2, 0).shape)
    curvature = curvature.astype("float32")
    for band, of_colors in zip(wavelets.bands(curvature), curvatures, strict=True):
        band *= of_colors[:, None, None]

    def evaluate(x):
        off = wavelets.analysed(x - target)
        return float(np.vdot(off, curvature * off)), 2 * wavelets.synthesised(curvature * off)

    return evaluate


def test_a_scale_for_each_wavelet_saves_most_evaluations():
    rng = np.random.default_rng(0)
    target = rng.uniform(size=(40, 56, 3)).astype("float32")
    evaluate = by_bands(target, np.geomspace(1, 1e4, 48).reshape(16, 3)[rng.permutation(16)])
    start = np.full_like(target, 0.5)
    goal = 1e-4 * evaluate(start)[0]
    secant, scaled = (
        next(
            number
            for number, found in enumerate(optimizers.lbfgs(evaluate, start, scaling=scaling))
            if found.loss < goal
        )
        for scaling in ("secant", "wavelets")
    )
    assert scaled < 0.4 * secant


def test_scaled_steps_are_no_longer_than_allowed():
    target = np.full((8, 8, 3), 30, "float32")
    evaluate = by_bands(target, np.ones((16, 3)))
    found = optimizers.lbfgs(evaluate, 0 * target, max_step=0.5, scaling="wavelets")
    evaluations = run(found, 30)
    steps = [np.abs(b.x - a.x).max() for a, b in itertools.pairwise(evaluations)]
    assert 0.4 < max(steps) <= 0.5 * (1 + 1e-5)


def kinked(x):
    """A valley whose walls are kinked, as a ReLU network's loss is."""
    ridge = 20 * (x[1:] - x[:-1] ** 2)
    loss = np.abs(ridge).sum() + np.sum((1 - x) ** 2)
    gradient = -2 * (1 - x.astype("float64"))
    gradient[1:] += 20 * np.sign(ridge)
    gradient[:-1] -= 40 * np.sign(ridge) * x[:-1]
    return float(loss), gradient.astype("float32")


def test_patience_does_not_get_stuck_in_kinks():
    start = np.full(6, -0.5, "float32")
    strict, patient = (
        best(run(optimizers.lbfgs(kinked, start, patience=p), 300)).loss for p in (1, 10)
    )
    assert patient < strict


def test_adam_takes_the_papers_steps():
    """arXiv 1412.6980, algorithm 1, in float64."""
    scale = np.array([1.0, -3.0, 0.2, 50.0])

    def evaluate(x):
        return float(np.sum(scale * np.sin(x))), (scale * np.cos(x)).astype("float32")

    start = np.array([0.3, -0.2, 2.0, 1.0], "float32")
    found = run(optimizers.adam(evaluate, start, learning_rate=0.05, beta_1=0.8, beta_2=0.99), 8)

    theta, m, v = start.astype("float64"), np.zeros(4), np.zeros(4)
    for t, evaluation in enumerate(found, 1):
        np.testing.assert_allclose(evaluation.x, theta, rtol=1e-4, atol=1e-6)
        gradient = scale * np.cos(theta)
        m = 0.8 * m + 0.2 * gradient
        v = 0.99 * v + 0.01 * gradient**2
        corrected_m, corrected_v = m / (1 - 0.8**t), v / (1 - 0.99**t)
        theta = theta - 0.05 * corrected_m / (np.sqrt(corrected_v) + 1e-8)


def test_adams_first_step_is_the_learning_rate_whatever_the_gradients_size():
    gradient = np.array([1e-3, -1.0, 1e3], "float32")
    start = np.zeros(3, "float32")
    second = run(optimizers.adam(lambda x: (0.0, gradient), start, learning_rate=0.1), 2)[1]
    np.testing.assert_allclose(second.x, [-0.1, 0.1, -0.1], rtol=1e-3)


def test_adam_keeps_to_the_clip_and_reaches_its_edge():
    evaluations = run(
        optimizers.adam(
            lambda x: (0.0, np.array([1, -1], "float32")),
            np.array([0.5, 0.5]),
            learning_rate=0.2,
            clip=(0.0, 1.0),
        ),
        10,
    )
    assert all(e.x.min() >= 0 and e.x.max() <= 1 for e in evaluations)
    np.testing.assert_array_equal(evaluations[-1].x, [0, 1])


@pytest.mark.parametrize("loss", [np.inf, np.nan])
def test_adam_ends_where_the_loss_is_not_finite(loss):
    values = iter([1.0, 0.5, loss, 0.1])
    evaluations = run(optimizers.adam(lambda x: (next(values), np.ones_like(x)), np.ones(2)), 10)
    assert len(evaluations) == 3


def test_sgd_takes_gradient_steps_of_a_falling_rate():
    evaluate, _ = quadratic(6, condition=3)
    start = np.linspace(-1, 1, 6).astype("float32")
    found = run(optimizers.sgd(evaluate, start, learning_rate=0.2, decay=0.5, decay_steps=2), 7)
    x = start.astype("float64")
    for step, evaluation in enumerate(found):
        np.testing.assert_allclose(evaluation.x, x, rtol=1e-4, atol=1e-6)
        assert evaluation.loss == evaluate(evaluation.x)[0]
        x = x - 0.2 * 0.5 ** (step // 2) * evaluate(x)[1]


@pytest.mark.parametrize("optimizer", [optimizers.sgd, optimizers.adam])
def test_a_pixel_range_is_the_same_as_working_in_it(optimizer):
    """x in [0, 1] with a pixel range of 255, against y = 255 x without one."""
    evaluate, _ = quadratic(6, condition=3)
    start = np.linspace(0, 1, 6).astype("float32")
    options = {"learning_rate": 20.0, "decay": 0.9, "decay_steps": 3}
    if optimizer is optimizers.adam:
        options["epsilon"] = 1e-3  # of the gradient's size

    def in_255(y):
        loss, gradient = evaluate(y / np.float32(255))
        return loss, gradient / np.float32(255)

    found = run(optimizer(evaluate, start, pixel_range=255.0, clip=(0.2, 0.8), **options), 12)
    expected = run(optimizer(in_255, 255 * start, clip=(0.2 * 255, 0.8 * 255), **options), 12)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours.x * 255, theirs.x, rtol=1e-4, atol=1e-3)
    assert np.abs(found[-1].x - found[0].x).max() > 0.05


def test_sgd_keeps_to_the_clip():
    evaluations = run(
        optimizers.sgd(
            lambda x: (0.0, np.array([1, -1], "float32")),
            np.array([0.5, 0.5]),
            learning_rate=0.2,
            clip=(0.0, 1.0),
        ),
        6,
    )
    np.testing.assert_array_equal(evaluations[-1].x, [0, 1])


@pytest.mark.parametrize("loss", [np.inf, np.nan])
def test_sgd_ends_where_the_loss_is_not_finite(loss):
    values = iter([1.0, loss, 0.1])
    evaluations = run(
        optimizers.sgd(lambda x: (next(values), np.ones_like(x)), np.ones(2), learning_rate=1.0), 9
    )
    assert len(evaluations) == 2


def test_fewer_steps_are_remembered_of_a_large_picture():
    sides = (512, 900, 1024, 2048)
    assert [optimizers.pairs(3 * s**2, "wavelets") for s in sides] == [5, 3, 2, 2]
    assert [optimizers.pairs(3 * s**2, "secant") for s in sides] == [10, 4, 4, 4]
