"""What glibc does with memory that the program gives back; elsewhere nothing happens."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8
KEPT = 512 << 20  # bytes: what a picture of 2048 x 2048 px frees and takes again
KEPT_BY_TRAINING = 2**31 - 1  # the most that can be said


def _glibc() -> Any:
    """The C library with `mallopt` and `malloc_trim`; None where it has none."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if hasattr(library, "malloc_trim") else None


def keep_freed(most: int = KEPT) -> bool:
    """Keeps up to `most` bytes of freed memory for the next use; whether that can be done.

    To be called before TensorFlow begins its threads. Else each large array is pages that the
    system hands out anew, zeroed: in virtual machines that may take as long as the work itself, and
    large pictures are slower by the pixel than small ones. All threads share few pools of such
    memory; by default glibc has eight for each core, and any of TensorFlow's and gradio's many
    threads may need the most in its own.
    """
    library = _glibc()
    if library is None:
        return False
    library.mallopt(_MMAP_MAX, 0)
    library.mallopt(_TRIM_THRESHOLD, most)
    library.mallopt(_TOP_PAD, most // 64)
    library.mallopt(_ARENA_MAX, max(2, os.cpu_count() or 1))
    return True


def return_freed() -> bool:
    """Gives the system all pages that are free; whether that can be done.

    For a server, which else keeps what the largest picture needed.
    """
    library = _glibc()
    if library is None:
        return False
    library.malloc_trim(0)
    return True
