"""Weights of blended styles."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nst_demo.errors import StyleTransferError


def normalised_weights(weights: Sequence[float] | None, styles: int) -> np.ndarray:
    """`styles` weights that sum to 1, float32; equal ones where `weights` is None.

    StyleTransferError for another number of weights, for one that is negative or no finite
    number, and where all are 0.
    """
    if weights is None:
        return np.full(styles, 1.0 / styles, "float32")
    given: list[Any] = [weights] if np.isscalar(weights) else list(weights)
    if len(given) != styles:
        raise StyleTransferError(
            f"{styles} styles were given {len(given)} weights; give one weight for each style."
        )
    try:
        values = np.array([float(weight) for weight in given])
    except (TypeError, ValueError):  # text, None, lists
        values = np.full(styles, np.nan)
    if not np.all(np.isfinite(values)) or np.any(values < 0) or values.max() == 0:
        raise StyleTransferError(
            f"The style weights {given} must be numbers of 0 or more, not all 0."
        )
    values /= values.max()  # so that the sum cannot overflow
    return (values / values.sum()).astype("float32")
