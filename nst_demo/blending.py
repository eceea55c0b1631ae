"""Weights of blended styles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nst_demo.errors import StyleTransferError


def normalised_weights(weights: Sequence[float] | None, styles: int) -> np.ndarray:
    """`styles` weights that sum to 1, float32; equal ones where `weights` is None.

    StyleTransferError for another number of weights, for one that is negative or no finite
    number, and where all are 0.
    """
    if weights is None:
        return np.full(styles, 1.0 / styles, "float32")
    if len(weights) != styles:
        raise StyleTransferError(
            f"{styles} styles were given {len(weights)} weights; give one weight for each style."
        )
    values = np.asarray(weights, "float64")
    if not np.all(np.isfinite(values)) or np.any(values < 0) or values.sum() <= 0:
        raise StyleTransferError(
            f"The style weights {list(weights)} must be numbers of 0 or more, not all 0."
        )
    return (values / values.sum()).astype("float32")
