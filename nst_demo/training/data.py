"""Random square crops from folders of pictures, decoded once and kept in memory while they fit."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops
from PIL import Image, ImageFilter, ImageOps

from nst_demo import models
from nst_demo.errors import StyleTransferError
from nst_demo.images import open_picture, to_pil

WORKERS = min(max(os.cpu_count() or 2, 2), 16)  # threads that cut crops: PIL frees the GIL
# Of the free memory, for the decoded pixels of a folder; the rest is decoded again when drawn.
CACHE_SHARE = 1 / 6
# Visitors' pictures are larger and sharper than those of most folders to train on: photos with wide
# level areas, paintings with fine texture in every stroke. So photos are enlarged up to twice, and
# paintings, which are soft at their own size, rather shrunk.
ENLARGED = {"photos": 2.0, "styles": 4 / 3}  # at most
SHARPENED = 0.4  # share of the crops


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
        # As PIL's, which cuts and sharpens them without the GIL; an array would be copied for it.
        self._cache: dict[int, Image.Image] = {}
        self._cached_bytes = 0
        self._room = CACHE_SHARE * (models.free_on_machine() or 12 << 30)
        self._tried: set[int] = set()
        self._broken: set[int] = set()
        self._lock = threading.Lock()
        self._reader = threading.Thread(target=self._read_all, daemon=True)

    def _decode(self, index: int) -> Image.Image | None:
        try:
            picture = to_pil(open_picture(self.files[index]).rgb)
        except StyleTransferError:
            return None
        return picture if min(picture.size) >= self.minimum_side else None

    def picture(self, index: int) -> Image.Image | None:
        """Of mode RGB, or None for a file that is no usable picture."""
        with self._lock:
            if index in self._cache:
                return self._cache[index]
            if index in self._broken:
                return None
        picture = self._decode(index)
        with self._lock:
            if index in self._tried:  # another thread was faster, or it does not fit into memory
                return picture
            self._tried.add(index)
            if picture is None:
                self._broken.add(index)
            elif self._cached_bytes + _bytes(picture) <= self._room:
                self._cache[index] = picture
                self._cached_bytes += _bytes(picture)
            complete = len(self._tried) == len(self.files)
        if complete and 0 < self.skipped < len(self.files):
            print(
                f"{self.skipped} of {len(self.files)} files in {self.folder} were skipped: "
                f"not pictures, or under {self.minimum_side} px.",
                flush=True,
            )
        return picture

    @property
    def skipped(self) -> int:
        return len(self._broken)

    def _read_all(self) -> None:
        for index in range(len(self.files)):
            if self.picture(index) is not None and index not in self._cache:
                return  # memory is full

    def crop(
        self,
        rng: np.random.Generator,
        side: int,
        closest: int | None = None,
        sharpened: float = 0.0,
    ) -> np.ndarray:
        """A random square of a random picture at a random scale: uint8 (side, side, 3).

        Args:
            closest: side of the smallest window in px; below `side` it is enlarged.
            sharpened: share of the crops that are: training pictures are softer than visitors'.
        """
        with self._lock:
            if self._reader.ident is None:
                self._reader.start()
        while self.skipped < len(self.files):
            picture = self.picture(int(rng.integers(len(self.files))))
            if picture is None:
                continue
            # From full resolution to the whole short side: strokes of several sizes.
            width, height = picture.size
            shortest = min(width, height)
            window = int(rng.integers(min(closest or side, shortest), shortest + 1))
            top = int(rng.integers(height - window + 1))
            left = int(rng.integers(width - window + 1))
            box = (left, top, left + window, top + window)
            square = picture.resize((side, side), Image.Resampling.BILINEAR, box)
            if rng.random() < 0.5:
                square = ImageOps.mirror(square)
            if rng.random() < sharpened:
                radius, percent = rng.uniform(0.7, 2.0), int(rng.integers(50, 200))
                square = square.filter(ImageFilter.UnsharpMask(radius, percent, threshold=0))
            return np.asarray(square)
        raise StyleTransferError(
            f"No file in {self.folder} is a picture of at least {self.minimum_side} pixels a side;"
            f" {self.skipped} were tried."
        )


def _bytes(picture: Image.Image) -> int:
    """In memory: PIL takes four for a pixel of three channels."""
    return 4 * picture.width * picture.height


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


Crop = Callable[[np.random.Generator], np.ndarray]  # of uint8 (side, side, 3)


class CropBatches(Batches):
    """Batches of new crops: uint8 (B, side, side, 3), or a tuple of one such array of each kind."""

    def __init__(self, crops: Sequence[Crop], batch: int, first: int, last: int, seed: int):
        """crops: what cuts one, kind by kind, see `PictureFolder.crop`."""
        super().__init__(batch, first, last, seed)
        self.crops = crops

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        rng = self.random(index)
        batch = tuple(np.stack([crop(rng) for _ in range(self.batch)]) for crop in self.crops)
        return (batch[0] if len(batch) == 1 else batch,)


def in_unit_range(crops: Any) -> Any:
    """uint8 (B, side, side, 3) -> float32 in [0, 1]."""
    return ops.cast(crops, "float32") / 255.0
