"""One call of the public functions: its pictures, and what is done to a painting by any method.

The methods know neither colours that are kept nor places where the photo stays.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nst_demo import color, images, masks
from nst_demo.errors import StyleTransferError
from nst_demo.steps import Step


class Job:
    """The opened pictures of one call, all in [0, 1].

    photo: (H, W, 3); styles: the same, of any sizes; none for a method that takes none.
    weights: one for each style, with a sum of 1; None without styles.
    masks: (H, W), one for each style, or one without styles; None to paint everywhere.
    keep_colors: see `color`.
    """

    def __init__(
        self,
        photo: np.ndarray,
        styles: Sequence[np.ndarray],
        weights: np.ndarray | None,
        masks: Sequence[np.ndarray] | None,
        keep_colors: color.KeepColors,
    ):
        self.photo, self.styles, self.weights = photo, list(styles), weights
        self.masks = masks
        self.keep_colors: color.KeepColors = keep_colors
        self._sized: tuple[np.ndarray, np.ndarray | None] = photo, self._cover()
        if masks is not None and weights is not None and not weights.all():
            raise StyleTransferError(
                f"Style {int(np.argmin(weights)) + 1} has the weight 0 but a mask of its own; "
                "leave both out, or raise the weight."
            )

    def recoloured(self) -> Job:
        """With "histogram": each style in the colours of its part of the photo. Else itself."""
        if self.keep_colors != "histogram" or not self.styles:
            return self
        places = self.masks or [None] * len(self.styles)
        styles = [
            color.match_colors(style, self.photo, place)
            for style, place in zip(self.styles, places, strict=True)
        ]
        return Job(self.photo, styles, self.weights, self.masks, self.keep_colors)

    def fitted(self, size: int) -> Job:
        """With the photo and the masks shrunk to a long side of `size` px, if they are larger."""
        photo, places = images.fit(self.photo, size), self.masks
        if places is not None and photo.shape != self.photo.shape:
            places = [images.resize_mask(place, *photo.shape[:2]) for place in places]
        return Job(photo, self.styles, self.weights, places, self.keep_colors)

    def guides(self) -> list[np.ndarray] | None:
        """The masks for a method that takes them itself: with a sum of at most 1."""
        return None if self.masks is None else masks.normalised(self.masks)

    def painted(self, paint: Callable[..., np.ndarray], values: Any) -> np.ndarray:
        """(H, W, 3) by a method that knows no masks: with them it paints each style for itself."""
        if self.masks is None or self.weights is None:
            return paint(self.photo, self.styles, values)
        if hasattr(values, "style_weights"):
            values = dataclasses.replace(values, style_weights=None)
        painted = np.zeros_like(self.photo)
        for style, share in zip(self.styles, masks.shares(self.masks, self.weights), strict=True):
            painted += share[..., None] * paint(self.photo, [style], values)
        return painted

    def finished(self, painted: np.ndarray) -> np.ndarray:
        """A painting (h, w, 3) in the photo's colours, and the photo where nothing is painted."""
        if self.keep_colors == "luminance":
            painted = color.with_colors_of(self._at(painted.shape)[0], painted)
        if self.keep_colors == "histogram" and not self.styles:  # there is no style to recolour
            photo, cover = self._at(painted.shape)
            painted = color.match_colors(painted, photo, cover)
        return self.composited(painted)

    def finished_step(self, step: Step) -> Step:
        return dataclasses.replace(step, image=self.finished(step.image))

    def composited(self, painted: np.ndarray) -> np.ndarray:
        """A painting (h, w, 3), and the photo where nothing is painted."""
        if self.masks is None:
            return painted
        photo, cover = self._at(painted.shape)
        if cover is None:
            return painted
        return np.clip(photo + cover[..., None] * (painted - photo), 0.0, 1.0)

    def enlarged(self, finished: np.ndarray) -> np.ndarray:
        """A finished picture (h, w, 3) at the photo's size, with all of the photo that is kept."""
        if finished.shape == self.photo.shape:
            return finished
        height, width = self.photo.shape[:2]
        large = images.resize(finished, height, width)
        cover = self._cover()
        if cover is not None:
            lost = self.photo - images.resize(self._at(finished.shape)[0], height, width)
            large = np.clip(large + (1 - cover[..., None]) * lost, 0.0, 1.0)
        if self.keep_colors == "luminance":  # afterwards: what was lost has the photo's chroma too
            large = color.with_colors_of(self.photo, large)
        return large

    def _cover(self) -> np.ndarray | None:
        return None if self.masks is None else masks.coverage(self.masks)

    def _at(self, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray | None]:
        """The photo and the coverage at the size of a painting; that of the last call is kept."""
        if self._sized[0].shape != shape:
            height, width = shape[:2]
            cover = self._cover()
            if cover is not None:
                cover = images.resize_mask(cover, height, width)
            self._sized = images.resize(self.photo, height, width), cover
        return self._sized
