"""Random square crops from folders of pictures, decoded once and kept in memory while they fit."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import keras
import numpy as np

from nst_demo.errors import StyleTransferError
from nst_demo.images import crop_resized, open_picture, to_pil

WORKERS = min(max(os.cpu_count() or 2, 2), 16)  # threads that cut crops: PIL frees the GIL
CACHE_BYTES = 2 << 30  # decoded pixels kept per folder; the rest is decoded again when drawn


class PictureFolder:
    """The pictures of a folder and its subfolders, by index; broken ones are dropped and counted.

    Any file that `images.open_picture` refuses (no picture, truncated), or with a side under
    `minimum_side`, is skipped. From the first crop on, a thread reads all files in the background,
    as far as they fit into memory; once every file was tried, one line tells how many were skipped.
    Raises StyleTransferError where nothing usable is left.
    """

    def __init__(self, folder: str | Path, minimum_side: int):
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise StyleTransferError(f"{self.folder} is no folder; give a folder of pictures.")
        self.files = sorted(
            f for f in self.folder.rglob("*") if f.is_file() and not f.name.startswith(".")
        )
        if not self.files:
            raise StyleTransferError(f"The folder {self.folder} is empty; put pictures into it.")
        self.minimum_side = minimum_side
        self._cache: dict[int, np.ndarray] = {}
        self._cached_bytes = 0
        self._tried: set[int] = set()
        self._broken: set[int] = set()
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read_all, daemon=True)

    def _decode(self, index: int) -> np.ndarray | None:
        try:
            pixels = np.asarray(to_pil(open_picture(self.files[index]).rgb))
        except StyleTransferError:
            return None
        return pixels if min(pixels.shape[:2]) >= self.minimum_side else None

    def pixels(self, index: int) -> np.ndarray | None:
        """uint8 (H, W, 3), or None for a file that is no usable picture."""
        with self._lock:
            if index in self._cache:
                return self._cache[index]
            if index in self._broken:
                return None
        pixels = self._decode(index)
        with self._lock:
            if index in self._tried:  # another thread was faster, or it does not fit into memory
                return pixels
            self._tried.add(index)
            if pixels is None:
                self._broken.add(index)
            elif self._cached_bytes + pixels.nbytes <= CACHE_BYTES:
                self._cache[index] = pixels
                self._cached_bytes += pixels.nbytes
            complete = len(self._tried) == len(self.files)
        if complete and 0 < self.skipped < len(self.files):
            print(
                f"{self.skipped} of {len(self.files)} files in {self.folder} were skipped: "
                f"not pictures, or under {self.minimum_side} px.",
                flush=True,
            )
        return pixels

    @property
    def skipped(self) -> int:
        return len(self._broken)

    def _read_all(self) -> None:
        for index in range(len(self.files)):
            if self.pixels(index) is not None and index not in self._cache:
                return  # memory is full

    def crop(self, rng: np.random.Generator, side: int, closest: int | None = None) -> np.ndarray:
        """A random square of a random picture at a random scale: uint8 (side, side, 3).

        closest: side of the smallest window in px; below `side` it is enlarged.
        """
        with self._lock:
            if self._reader.ident is None:
                self._reader.start()
        while self.skipped < len(self.files):
            pixels = self.pixels(int(rng.integers(len(self.files))))
            if pixels is None:
                continue
            # From full resolution to the whole short side: strokes of several sizes.
            shortest = min(pixels.shape[:2])
            window = int(rng.integers(min(closest or side, shortest), shortest + 1))
            top = int(rng.integers(pixels.shape[0] - window + 1))
            left = int(rng.integers(pixels.shape[1] - window + 1))
            square = crop_resized(pixels, (top, left, window, window), side)
            return square[:, ::-1] if rng.random() < 0.5 else square
        raise StyleTransferError(
            f"No file in {self.folder} is a picture of at least {self.minimum_side} pixels a side;"
            f" {self.skipped} were tried."
        )


def check_crops(crops: int | None, batch: int) -> None:
    """Refuses fewer stored crops than a step takes."""
    if crops is not None and crops < batch:
        raise StyleTransferError(
            f"crops is {crops}; give at least as many as a step takes, {batch}."
        )


class Batches(keras.utils.PyDataset):
    """The batches of steps `first` to `last` of a run.

    Batch number `i` depends on the seed and `i` alone, so a resumed run draws the batches that
    the killed one would have drawn.
    """

    def __init__(self, batch: int, first: int, last: int, seed: int):
        super().__init__(workers=WORKERS, use_multiprocessing=False, max_queue_size=4 * WORKERS)
        self.batch, self.first, self.last, self.seed = batch, first, last, seed

    @property
    def num_batches(self) -> int:
        return self.last - self.first

    def __len__(self) -> int:
        return self.num_batches

    def random(self, index: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, self.first + index))


class CropBatches(Batches):
    """Batches of crops, one from each folder: tuples of float32 (B, side, side, 3) in [0, 1]."""

    def __init__(
        self, folders: list[PictureFolder], side: int, batch: int, first: int, last: int, seed: int
    ):
        super().__init__(batch, first, last, seed)
        self.folders, self.side = folders, side

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        rng = self.random(index)
        crops = tuple(
            np.stack([folder.crop(rng, self.side) for _ in range(self.batch)]).astype("float32")
            / 255.0
            for folder in self.folders
        )
        return (crops[0] if len(self.folders) == 1 else crops,)
