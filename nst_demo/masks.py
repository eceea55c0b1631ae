"""Masks: where each style is painted. float32 (H, W) in [0, 1], 1 where it is, soft in between.

The guidance channels of Gatys et al. 2017 (arXiv 1611.07865, §4), with edges that blend: where
masks overlap the styles mix, and where they do not cover, the photo shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from nst_demo import images
from nst_demo.errors import StyleTransferError

MaskSource = images.ImageSource | None
ASPECT_TOLERANCE = 0.02  # a mask drawn on a shrunk photo may be off by a rounded pixel


def open_masks(
    masks: MaskSource | Sequence[MaskSource], styles: int, height: int, width: int
) -> list[np.ndarray] | None:
    """One mask (height, width) for each of the styles; None where `masks` is.

    Args:
        masks: a mask, or a list with one for each style. A float array (H, W) in [0, 1] is taken as
            it is, all else is opened by `images.open_mask`, with soft edges. In a list, None
            stands for what the other masks leave.
        styles: how many there are; without any (the method paints in its own) one mask is wanted.
        height, width: of the photo. A mask of the same aspect is resized.

    Raises StyleTransferError for another number of masks, a mask of another aspect, one that is
    black all over or has no place left, and where `images.open_picture` does.
    """
    if masks is None:
        return None
    several = isinstance(masks, Sequence) and not isinstance(masks, str | bytes)
    single: Any = masks
    sources = list(single) if several else [single]
    if len(sources) != max(styles, 1):
        raise StyleTransferError(
            f"{styles} style{' was' if styles == 1 else 's were'} given {len(sources)} "
            f"mask{'s' if len(sources) != 1 else ''}; give one mask"
            f"{' for each style' if styles else ''}."
        )
    styles = len(sources)
    names = [f"mask {i}" if styles > 1 else "mask" for i in range(1, styles + 1)]
    opened = [
        None if source is None else _fitted(_open(source, name), name, height, width)
        for source, name in zip(sources, names, strict=True)
    ]
    given = [mask for mask in opened if mask is not None]
    rest = 1 - coverage(given) if given else np.ones((height, width), "float32")
    left = [name for name, mask in zip(names, opened, strict=True) if mask is None]
    if left and not rest.any():
        raise StyleTransferError(
            f"The other masks leave no place for {left[0]}; make them smaller."
        )
    return [rest if mask is None else mask for mask in opened]


def coverage(masks: Sequence[np.ndarray]) -> np.ndarray:
    """How much of the picture is painted at each place, by whatever style; the rest is photo."""
    return np.minimum(sum(masks[1:], masks[0]), np.float32(1))


def normalised(masks: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The masks with a sum of at most 1: divided by their sum where that is more."""
    total = np.maximum(sum(masks[1:], masks[0]), np.float32(1))
    return [mask / total for mask in masks]


def shares(masks: Sequence[np.ndarray], weights: Sequence[float] | np.ndarray) -> list[np.ndarray]:
    """Each style's share in the painted picture: weight times mask, normalised to a sum of 1.

    Where nothing is painted all are 0.
    """
    weighted = [np.float32(weight) * mask for weight, mask in zip(weights, masks, strict=True)]
    total = sum(weighted[1:], weighted[0])
    total = np.where(total > 0, total, np.float32(1))
    return [share / total for share in weighted]


def _open(source: images.ImageSource, name: str) -> np.ndarray:
    if isinstance(source, np.ndarray) and source.ndim == 2 and source.dtype.kind == "f":
        return images.open_mask(source, what=name, feather=0)
    return images.open_mask(source, what=name)


def _fitted(mask: np.ndarray, name: str, height: int, width: int) -> np.ndarray:
    rows, columns = mask.shape
    if (rows, columns) == (height, width):
        return mask
    if abs(columns / rows / (width / height) - 1) > ASPECT_TOLERANCE:
        raise StyleTransferError(
            f"The {name} has {columns} x {rows} px, another shape than the photo's "
            f"{width} x {height}; draw it on the photo."
        )
    return images.resize_mask(mask, height, width)
