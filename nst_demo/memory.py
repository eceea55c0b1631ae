"""What glibc does with memory that the program gives back; elsewhere nothing happens."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import Any

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX, _ARENA_MAX = -1, -2, -4, -8
_MOST = 2**31 - 1
_PAD = 256 << 20


def _glibc() -> Any:
    """The C library with `mallopt` and `malloc_trim`; None where it has none."""
    library = ctypes.CDLL(None) if sys.platform == "linux" else None
    return library if hasattr(library, "malloc_trim") else None


def keep_freed() -> bool:
    """Keeps freed memory for the next use; whether that can be done.

    For a training, whose every step takes and gives back the same hundreds of megabytes: the system
    need not hand out the pages, zeroed, again and again. In virtual machines that alone may take
    as long as the step itself.
    """
    library = _glibc()
    if library is None:
        return False
    library.mallopt(_MMAP_MAX, 0)
    library.mallopt(_TRIM_THRESHOLD, _MOST)
    library.mallopt(_TOP_PAD, _PAD)
    return True


def share_freed() -> bool:
    """Lets all threads share few pools of freed memory; whether that can be done.

    For a server, before its threads begin. By default glibc has eight pools for each core, and any
    of TensorFlow's and gradio's many threads may need the most in its own.
    """
    library = _glibc()
    if library is None:
        return False
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
