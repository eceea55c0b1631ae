"""Files that a training must not lose: written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from nst_demo.errors import StyleTransferError

PROBE_BYTES = 1 << 20  # written on trial; a disk without room for this is full


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what the disk refuses (full, read-only, no such folder) into a StyleTransferError."""
    try:
        yield
    except OSError as error:
        raise StyleTransferError(
            f"{path} cannot be written ({error.strerror or error}); make room or choose another "
            "place (what was there before is kept)."
        ) from error


def replace(path: Path, write: Callable[[Path], Any]) -> None:
    """`write` is given a path beside `path`, which is then renamed over it: all or nothing.

    What a killed process leaves there is overwritten by the next one.
    """
    aside = path.with_name(f".part-{path.name}")
    with writing(path):
        try:
            write(aside)
            os.replace(aside, path)
        finally:
            with contextlib.suppress(OSError):
                aside.unlink(missing_ok=True)


def check_output(path: Path) -> None:
    """Makes the folder and writes there on trial: told before the hours of a training, not after.

    Raises StyleTransferError where that fails.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError("it is a folder")
        probe = path.with_name(f".part-{path.name}")
        try:
            probe.write_bytes(bytes(PROBE_BYTES))
        finally:
            probe.unlink(missing_ok=True)


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an `.npz`. StyleTransferError where it is missing, damaged or none."""
    try:
        with np.load(path) as arrays:
            return {name: arrays[name] for name in arrays}
    # What NumPy and zipfile raise on damaged bytes; a lone `.npy` array is no context manager.
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        raise StyleTransferError(
            f"{path} cannot be read as .npz ({error}); give another or delete it."
        ) from error


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> None:
    def write(aside: Path) -> None:
        with open(aside, "wb") as file:
            np.savez(file, allow_pickle=False, **arrays)

    replace(path, write)


def load_weights(network: keras.Model, path: Path) -> None:
    """Into a built `network`; StyleTransferError where the file holds another's."""
    try:
        with warnings.catch_warnings():
            # Where a whole list of layers is missing in the file, Keras only warns.
            warnings.filterwarnings("error", category=UserWarning)
            network.load_weights(path)
    except (OSError, RuntimeError, KeyError, ValueError, UserWarning) as error:
        raise StyleTransferError(
            f"{path} holds no weights of this network; give another name or delete it."
        ) from error
