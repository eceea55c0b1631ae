"""Fixed crops with what costly networks say of them, computed once and kept in files.

A loss network costs many times the network that is trained on it. What it says of photos and
styles does not change, so it is asked once, and the training runs several times as fast.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from nst_demo.errors import StyleTransferError
from nst_demo.training import data, files

CROPS = "crops"
BATCH = 4  # crops looked at together
NOTED = 400  # crops after which it is noted how far it got


class Store:
    """`count` crops, uint8 (count, side, side, 3), and arrays of float16 with a row for each.

    The first use computes them, and goes on where an earlier one was killed. A store that is
    complete is used again.

    Attributes:
        crops: uint8 (count, side, side, 3).
        found: the other arrays, by name.
    """

    def __init__(self, folder: Path, name: str, count: int, side: int, of: str = ""):
        """`of`: what the arrays come from; those of something else are not taken for them."""
        self.folder, self.name, self.count, self.side = folder, name, count, side
        self.digest = hashlib.sha256(of.encode()).hexdigest()[:8]
        self.crops: Any = None
        self.found: dict[str, np.ndarray] = {}

    def _file(self, array: str) -> Path:
        return self.folder / f"{self.name}-{array}-{self.count}x{self.side}-{self.digest}.npy"

    def fill(
        self,
        picture: Callable[[np.random.Generator, int], np.ndarray],
        look: Callable[[np.ndarray], Mapping[str, Any]],
        seed: int,
    ) -> None:
        """Opens the store, after computing it where it is not complete.

        Args:
            picture: (random, index) -> crop number `index`, uint8 (side, side, 3).
            look: (B, side, side, 3) in [0, 1] -> arrays of B rows, by name.
        """
        names = self._noted("complete")
        if names is None:
            try:
                names = list(self._compute(picture, look, seed))
            except OSError as error:
                raise StyleTransferError(
                    f"The teacher's features cannot be kept in {self.folder} ({error.strerror}); "
                    "choose another folder or fewer crops."
                ) from error
            self._note("complete", names)
        try:
            arrays = {name: np.load(self._file(name), mmap_mode="r") for name in names}
        except (OSError, EOFError, ValueError) as error:
            raise StyleTransferError(
                f"The teacher's features in {self.folder} are damaged ({error}); delete its "
                f"{self.name}-*.npy, and they are computed again."
            ) from error
        self.crops = arrays.pop(CROPS)
        self.found = arrays

    def _compute(self, picture, look, seed: int) -> dict[str, np.memmap]:
        """The arrays by name. Each batch has random numbers of its own, so that a run joins in."""
        arrays: dict[str, np.memmap] = {}
        done = self._noted("progress") or 0
        for start in range(done, self.count, BATCH):
            if start % NOTED == 0:
                print(f"teacher's features: {start}/{self.count} {self.name}", flush=True)
                for array in arrays.values():
                    array.flush()
                self._note("progress", start)
            numbers = range(start, min(start + BATCH, self.count))
            rng = np.random.default_rng((seed, start))
            crops = np.stack([picture(rng, index) for index in numbers])
            for name, values in {CROPS: crops, **look(crops.astype("float32") / 255.0)}.items():
                if name != CROPS:
                    values = ops.convert_to_numpy(ops.cast(values, "float16"))
                if name not in arrays:
                    arrays[name] = self._open(name) if done else self._new(name, values)
                arrays[name][start : start + BATCH] = values
        return arrays

    def _noted(self, file: str) -> Any:
        """What `_note` wrote; None where there is no such file, or only a part of one."""
        try:
            return np.load(self._file(file)).tolist()
        except (OSError, EOFError, ValueError):
            return None

    def _note(self, file: str, value: Any) -> None:
        files.replace(self._file(file), lambda aside: np.save(aside, value))

    def _open(self, name: str) -> np.memmap:
        return np.lib.format.open_memmap(self._file(name), "r+")

    def _new(self, name: str, like: np.ndarray) -> np.memmap:
        path, shape = self._file(name), (self.count, *like.shape[1:])
        array = np.lib.format.open_memmap(path, "w+", like.dtype, shape)
        if hasattr(os, "posix_fallocate"):  # a full disk must be told here: later it is SIGBUS
            with open(path, "r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        return array


class StoredBatches(data.Batches):
    """Batches of random crops from each store: (crops (B, side, side, 3) in [0, 1], arrays)."""

    def __init__(self, stores: Sequence[Store], batch: int, first: int, last: int, seed: int):
        super().__init__(batch, first, last, seed)
        self.stores = stores

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        rng, parts = self.random(index), []
        for store in self.stores:
            chosen = rng.choice(store.count, self.batch, replace=False)
            crops = store.crops[chosen].astype("float32") / 255.0
            parts.append((crops, {name: values[chosen] for name, values in store.found.items()}))
        return (parts[0] if len(parts) == 1 else tuple(parts),)
