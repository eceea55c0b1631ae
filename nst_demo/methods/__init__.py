"""The methods, by name. To add one: a file beside this one and an entry in METHODS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from nst_demo.methods import adain, gatys, hub


@dataclass(frozen=True)
class Method:
    """What every method module offers; pictures are float32 (H, W, 3) in [0, 1].

    options: its frozen dataclass, which checks what it is given.
    stylize: (content, styles, options) -> picture of the content's size.
    expected_seconds: (height, width, options) -> seconds, None until measured.
    iterate: (content, styles, options) -> steps, for a method that works gradually.
    """

    options: type
    stylize: Callable[..., np.ndarray]
    expected_seconds: Callable[[int, int, Any], float | None]
    iterate: Callable[..., Any] | None = None


METHODS = {
    "adain": Method(adain.Options, adain.stylize, adain.expected_seconds),
    "gatys": Method(gatys.Options, gatys.stylize, gatys.expected_seconds, gatys.iterate),
    "magenta": Method(hub.Options, hub.stylize, hub.expected_seconds),
}
