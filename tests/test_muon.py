"""The optimizer of the fast network's training."""

import keras
import numpy as np
import pytest

from nst_demo.training.muon import ConvolutionMuon

RATE = 0.01


def step(variable: keras.Variable, gradient: np.ndarray, **options) -> np.ndarray:
    """What one step of a fresh optimizer takes off the variable."""
    before = np.array(variable)
    ConvolutionMuon(RATE, **options).apply([gradient.astype("float32")], [variable])
    return before - np.array(variable)


@pytest.mark.parametrize("shape", [(40, 24), (3, 3, 4, 24), (3, 3, 12, 6), (5, 3, 3, 4, 6)])
def test_a_step_is_equally_long_in_all_directions_of_each_kernel(shape):
    """Singular values near 1 times Adam's size, where the gradient's differ 30-fold."""
    rng = np.random.default_rng(0)
    rows, columns = int(np.prod(shape[-4:-1])), shape[-1]
    count = int(np.prod(shape)) // (rows * columns)
    stack = rng.normal(size=(count, rows, columns))
    u, s, v = np.linalg.svd(stack, full_matrices=False)
    gradient = (u * np.geomspace(1, 1 / 30, s.shape[-1])) @ v
    taken = step(keras.Variable(np.zeros(shape, "float32")), gradient.reshape(shape))
    matrices = taken.reshape(count, rows, columns)
    values = np.linalg.svd(matrices, compute_uv=False) / (RATE * 0.2 * max(rows, columns) ** 0.5)
    assert values.min() > 0.5
    assert values.max() < 1.3
    inner = np.einsum("nrc,nrc->n", matrices, gradient)
    assert (inner > 0).all()


def test_vectors_and_excluded_layers_take_adams_step():
    """Its first one is the rate times the gradient's sign."""
    gradient = np.array([[3.0, -0.2], [0.01, -5.0]])
    kernel = keras.Variable(np.zeros((2, 2), "float32"), name="leave")
    np.testing.assert_allclose(
        step(kernel, gradient, exclude_layers=["leave"]), RATE * np.sign(gradient), rtol=1e-3
    )
    bias = keras.Variable(np.zeros(4, "float32"))
    np.testing.assert_allclose(
        step(bias, gradient.ravel()), RATE * np.sign(gradient.ravel()), rtol=1e-3
    )
