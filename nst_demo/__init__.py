"""Neural style transfer: a photo and a style become a picture.

    from nst_demo import stylize
    picture = stylize("photo.jpg", "style.jpg", strength=0.8)                   # fast
    picture = stylize("photo.jpg", "style.jpg", method="gatys", iterations=200)   # high quality

Importing this is cheap: TensorFlow is loaded with the first picture (or by `warm_up`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nst_demo.blending import normalised_weights
from nst_demo.errors import StyleTransferError
from nst_demo.images import ImageSource, open_picture
from nst_demo.steps import Step

if TYPE_CHECKING:
    from nst_demo.methods import Method

__all__ = [
    "Step",
    "StyleTransferError",
    "expected_seconds",
    "iterate",
    "stylize",
    "warm_up",
]
__version__ = "0.1.0"

StyleSource = ImageSource | Sequence[ImageSource]


def stylize(
    content: ImageSource,
    style: StyleSource,
    *,
    method: str = "adain",
    on_step: Callable[[Step], Any] | None = None,
    **options: Any,
) -> np.ndarray:
    """The photo `content` painted in the style of `style`.

    Args:
        content: a path, bytes, open file, PIL image, or array (H, W, 3) in [0, 1] or uint8.
        style: the same, or a list of several to blend (`style_weights`).
        method: "adain" (fast), "gatys" (slow, high quality) or "magenta" (downloaded).
        on_step: called with each Step of a method that works gradually.
        **options: of the method: fields of `methods.adain.Options` / `methods.gatys.Options`.

    Returns:
        float32 (H, W, 3) in [0, 1], of the photo's own height and width. Transparency is not
        part of it: `images.open_picture` gives it apart.

    Raises:
        StyleTransferError: one sentence for anything that the caller can mend.
    """
    chosen, values = _method(method), _options(method, options)
    photo, styles = _pictures(content, style)
    if chosen.iterate is None:
        return chosen.stylize(photo, styles, values)
    return chosen.stylize(photo, styles, values, _fast_start(photo, styles, values), on_step)


def iterate(
    content: ImageSource, style: StyleSource, *, method: str = "gatys", **options: Any
) -> Iterator[Step]:
    """As `stylize`, step by step: yields a `Step` at the start, every few iterations, at the end.

    Its images have the size worked at (`size`). Close the generator to stop; the image of the last
    Step is the result so far. The arguments are checked before the first step is asked for.
    """
    chosen, values = _method(method), _options(method, options)
    if chosen.iterate is None:
        raise StyleTransferError(f"The method {method!r} has no steps; use stylize.")
    photo, styles = _pictures(content, style)
    normalised_weights(values.style_weights, len(styles))
    return _steps(chosen.iterate, photo, styles, values)


def _steps(
    iterate_method: Callable[..., Iterator[Step]],
    photo: np.ndarray,
    styles: list[np.ndarray],
    values: Any,
) -> Iterator[Step]:
    yield from iterate_method(photo, styles, values, _fast_start(photo, styles, values))


def expected_seconds(method: str, height: int, width: int, **options: Any) -> float | None:
    """About how long a photo of this size takes on this machine; None until one was measured."""
    return _method(method).expected_seconds(height, width, _options(method, options))


def warm_up() -> None:
    """Loads TensorFlow and compiles the fast network: call it in the background at start."""
    from nst_demo.methods import adain

    adain.warm_up()


def _method(name: str) -> Method:
    from nst_demo.methods import METHODS

    if name not in METHODS:
        raise StyleTransferError(
            f"There is no method {name!r}; choose one of {', '.join(METHODS)}."
        )
    return METHODS[name]


def _options(method: str, options: dict[str, Any]) -> Any:
    kind = _method(method).options
    known = [field.name for field in dataclasses.fields(kind)]
    for name in options:
        if name not in known:
            raise StyleTransferError(
                f"The method {method!r} has no option {name!r}; it has {', '.join(known)}."
            )
    try:
        return kind(**options)
    except StyleTransferError:
        raise
    except (TypeError, ValueError) as error:  # a value of another type, met by a range check
        raise StyleTransferError(f"An option of {method!r} has a wrong type: {error}.") from error


def _pictures(content: ImageSource, style: StyleSource) -> tuple[np.ndarray, list[np.ndarray]]:
    single: Any = style
    several = isinstance(style, Sequence) and not isinstance(style, str | bytes)
    sources = list(single) if several else [single]
    if not sources:
        raise StyleTransferError("No style was given; choose one.")
    photo = open_picture(content, what="photo").rgb
    return photo, [open_picture(source, what="style").rgb for source in sources]


def _fast_start(photo: np.ndarray, styles: list[np.ndarray], values: Any) -> np.ndarray | None:
    """The fast mode's picture, where the options ask to start from it."""
    from nst_demo.methods import adain

    if values.init != "fast":
        return None
    fast = adain.Options(size=min(values.size, adain.MAX_SIZE), style_weights=values.style_weights)
    return adain.stylize(photo, styles, fast)
