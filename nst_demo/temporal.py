"""Stillness from frame to frame: what does not move in a clip shall not flicker when it is painted.

A style network answers a little noise in a frame with another pattern of strokes. Optical flow
would steady it (Ruder et al., "Artistic style transfer for videos", arXiv 1604.08610), at the price
of a flow for each frame. Two cheap means serve here: statistics that are shared over the clip
(`methods.adain.FramePainter`), and the frame before, of the clip and of the painting, kept in part
where the clip stands still (`Stillness`).
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

SMOOTHING = 0.8
KEPT = 0.92  # share of the frame before in what stands still, at smoothing 1
BLOCK = 4  # px: the differences of so many are averaged, as noise goes away and motion does not
NOISE, MOTION = 0.014, 0.045  # differences of block means, of 1, up to which nothing, or all, moves
REACH = 5  # blocks (odd): what is this near to a motion moves too, though it be flat
CUT = 0.16  # mean change of the blocks, of 1, that is a new scene


class Stillness:
    """Mixes the frame before into the next one where the clip stands still.

    Before painting, so that the network sees less noise, and after it, for what noise is left.
    An object holds the state of one clip, whose frames come in order and of one size.

    smoothing: 0 (not at all) to 1 (as much as goes without ghosts).
    new_scene: whether the frame last given to `calm` is the first one of a scene.
    """

    def __init__(self, smoothing: float = SMOOTHING):
        self.kept = KEPT * smoothing
        self.new_scene = True
        self._blocks: np.ndarray | None = None  # of the last frame
        self._frame: np.ndarray | None = None
        self._painting: np.ndarray | None = None
        self._keep: np.ndarray | None = None  # (H, W, 1): of the frame before, at each pixel

    def calm(self, frame: np.ndarray) -> np.ndarray:
        """The next frame (H, W, 3) of the clip, to be painted."""
        blocks = _block_means(frame)
        before, self._blocks = self._blocks, blocks
        self._keep = None
        self.new_scene = before is None or before.shape != blocks.shape
        if before is not None and not self.new_scene:
            change = np.abs(blocks - before)
            self.new_scene = bool(change.mean() > CUT)
            if self.kept and not self.new_scene:
                self._keep = self.kept * _stillness(change.max(axis=2), frame.shape)
        self._frame = self._mixed(self._frame, frame)
        return self._frame

    def steady(self, painting: np.ndarray) -> np.ndarray:
        """The painting of the frame that `calm` returned last, of its size."""
        self._painting = self._mixed(self._painting, painting)
        return self._painting

    def _mixed(self, last: np.ndarray | None, now: np.ndarray) -> np.ndarray:
        if last is None or self._keep is None:
            return now
        return now + self._keep * (last - now)


def _block_means(frame: np.ndarray) -> np.ndarray:
    """(H, W, 3) -> (ceil(H / BLOCK), ceil(W / BLOCK), 3)."""
    height, width = frame.shape[:2]
    padded = np.pad(frame, [(0, -height % BLOCK), (0, -width % BLOCK), (0, 0)], mode="edge")
    rows = padded.reshape(-1, BLOCK, padded.shape[1] * 3).mean(axis=1)
    return rows.reshape(len(rows), -1, BLOCK, 3).mean(axis=2)


def _stillness(change: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Changes (h, w) of blocks -> (H, W, 1): 1 where nothing moves, 0 at and around motion."""
    moves = np.clip((change - NOISE) / (MOTION - NOISE), 0, 1)
    near = Image.fromarray((255 * moves).astype(np.uint8)).filter(ImageFilter.MaxFilter(REACH))
    still = 1 - np.asarray(near.filter(ImageFilter.BoxBlur(1)), np.float32) / 255
    size = change.shape[1] * BLOCK, change.shape[0] * BLOCK
    plane = Image.fromarray(still).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(plane)[: shape[0], : shape[1], None]
