"""The methods, by name. To add one: a file beside this one and an entry in METHODS.

Importing this loads no Keras: the shell's help and the page ask METHODS before that is there. A
method's own module is imported when it is first used.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from nst_demo import weights
from nst_demo.errors import StyleTransferError, check_choice


@dataclass(frozen=True)
class Method:
    """What is known of a method before it is used; pictures are float32 (H, W, 3) in [0, 1].

    Its module has `Options`, a frozen dataclass that checks what it is given; `stylize(content,
    styles, options)`, which gives a picture of the content's size; `expected_seconds(height, width,
    options)`, None until measured; and, where `gradual`, `iterate(content, styles, options)`.

    Attributes:
        module: the name of the file beside this one.
        title, about: for a person: a few words, and a sentence.
        styles: the least and the most number of style pictures; None for any number.
        gradual: whether it works in steps.
        download: what is fetched on first use, for a person; None for nothing.
        networks: for a method with a network for each style: those there are, by name. One of
            them is its option `network`.
        needs: a variable that names a file without which it cannot be used.
    """

    module: str
    title: str
    about: str
    styles: tuple[int, int | None] = (1, None)
    gradual: bool = False
    download: str | None = None
    networks: Callable[[], Mapping[str, Path]] | None = None
    needs: str | None = None

    @property
    def _module(self) -> ModuleType:
        return importlib.import_module(f"{__name__}.{self.module}")

    @property
    def options(self) -> type:
        return self._module.Options

    @property
    def stylize(self) -> Callable[..., np.ndarray]:
        return self._module.stylize

    @property
    def expected_seconds(self) -> Callable[[int, int, Any], float | None]:
        return self._module.expected_seconds

    @property
    def iterate(self) -> Callable[..., Any] | None:
        return self._module.iterate if self.gradual else None

    @property
    def several(self) -> bool:
        """Whether it blends styles."""
        return self.styles[1] is None or self.styles[1] > 1

    @property
    def available(self) -> bool:
        """Whether what it cannot do without is on this machine; a download may still be needed."""
        if self.networks is not None:
            return bool(self.networks())
        return self.needs is None or bool(os.environ.get(self.needs, "").strip())


METHODS = {
    "adain": Method("adain", "AdaIN", "Fast: one network for any style, in one pass."),
    "gatys": Method("gatys", "Quality", "Paints the picture in many small steps.", gradual=True),
    "feedforward": Method(
        "feedforward",
        "Trained",
        "One small network for each style: no style picture is needed.",
        styles=(0, 0),
        networks=weights.trained_styles,
    ),
    "magenta": Method(
        "hub",
        "Magenta",
        "Google Magenta's network for any style, from TensorFlow Hub.",
        styles=(1, 1),
        download="about 100 MB",
    ),
    "adain-published": Method(
        "adain_published",
        "AdaIN as published",
        "AdaIN with VGG19 and a decoder of your own training.",
        needs=weights.LOCAL_FILE_VARIABLES["adain-published"],
    ),
}


def named(name: str) -> Method:
    """StyleTransferError for a name that is not in METHODS."""
    check_choice("method", name, METHODS)
    return METHODS[name]


def check_styles(name: str, count: int) -> None:
    """StyleTransferError where the method does not take `count` style pictures."""
    least, most = named(name).styles
    if count < least:
        raise StyleTransferError(
            f"No style was given; the method {name!r} takes {wanted(name)}."
            if not count
            else f"The method {name!r} takes {wanted(name)}, not {count}; give more."
        )
    if most is not None and count > most:
        advice = "blend with 'adain'" if most else "leave it out, or use 'adain'"
        raise StyleTransferError(
            f"The method {name!r} takes {wanted(name)}, not {count}; {advice}."
        )


def wanted(name: str) -> str:
    """The styles that a method takes, such as "one style" or "no style picture"."""
    least, most = named(name).styles
    if most == 0:
        return "no style picture"
    if most is None:
        return {0: "any number of styles", 1: "one style or more"}.get(
            least, f"{least} styles or more"
        )
    if least == most:
        return "one style" if most == 1 else f"{most} styles"
    return f"{least} to {most} styles"
