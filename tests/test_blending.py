"""Shares of blended styles."""

import numpy as np
import pytest

from nst_demo.blending import normalised_weights
from nst_demo.errors import StyleTransferError


@pytest.mark.parametrize(
    ("weights", "styles", "expected"),
    [
        (None, 1, [1]),
        (None, 4, [0.25] * 4),
        ([5], 1, [1]),
        ([1, 3], 2, [0.25, 0.75]),
        ((0, 0.2, 0), 3, [0, 1, 0]),
        (0.3, 1, [1]),
        (np.array([2, 2]), 2, [0.5, 0.5]),
        ([1e-300, 3e-300], 2, [0.25, 0.75]),
        ([1e308, 1e308], 2, [0.5, 0.5]),
    ],
)
def test_shares_sum_to_1_in_the_given_proportion(weights, styles, expected):
    shares = normalised_weights(weights, styles)
    assert shares.dtype == np.float32
    np.testing.assert_allclose(shares, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("weights", "styles", "words"),
    [
        ([1, 1, 1, 1], 6, "6 styles were given 4 weights"),
        ([], 1, "given 0 weights"),
        ([1, 2], 1, "given 2 weights"),
        ([-1, 2], 2, "0 or more"),
        ([0, 0], 2, "not all 0"),
        ([float("nan"), 1], 2, "nan"),
        ([float("inf"), 1], 2, "inf"),
        (["a", "b"], 2, "must be numbers"),
        ([[1, 2], [3, 4]], 2, "must be numbers"),
        ([None, 1], 2, "must be numbers"),
        (0.5, 2, "given 1 weights"),
        ("0.5,0.5", 2, "given 1 weights"),
    ],
)
def test_other_weights_are_refused_in_a_sentence(weights, styles, words):
    with pytest.raises(StyleTransferError, match=words):
        normalised_weights(weights, styles)
