"""The library as the page calls it.

TensorFlow takes seconds to import: nothing here does so before the first call, and the page is up
before that. `warm_up` is started in the background by app.py.
"""

from __future__ import annotations

import logging
import threading
from typing import Any

import nst_demo

log = logging.getLogger(__name__)
_ready = threading.Event()

stylize, iterate = nst_demo.stylize, nst_demo.iterate


def warm_up() -> None:
    """Import, build and compile the fast networks in a daemon thread."""

    def work() -> None:
        try:
            nst_demo.warm_up()
        except Exception:
            if threading.main_thread().is_alive():  # else the app ends, and takes TensorFlow apart
                log.exception("The warm-up failed; the first picture will tell why.")
        finally:
            _ready.set()

    threading.Thread(target=work, name="warm-up", daemon=True).start()


def device_kind() -> str | None:
    """ "CPU" or "GPU"; None while the networks are being made ready."""
    if not _ready.is_set():
        return None
    from nst_demo import models

    return models.device().kind


def expected_seconds(method: str, height: int, width: int, **options: Any) -> float | None:
    """None while the networks are being made ready, and until one run was measured."""
    if not _ready.is_set():
        return None
    return nst_demo.expected_seconds(method, height, width, **options)
