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

from nst_demo import color
from nst_demo.blending import normalised_weights
from nst_demo.color import KeepColors, check_keep_colors
from nst_demo.errors import StyleTransferError
from nst_demo.images import ImageSource, open_picture
from nst_demo.jobs import Job
from nst_demo.masks import MaskSource, open_masks
from nst_demo.steps import Step

if TYPE_CHECKING:
    from nst_demo.methods import Method

__all__ = [
    "Step",
    "StyleTransferError",
    "enlarge",
    "expected_seconds",
    "iterate",
    "stylize",
    "warm_up",
]
__version__ = "0.11.0"

StyleSource = ImageSource | Sequence[ImageSource]
Masks = MaskSource | Sequence[MaskSource]


def stylize(
    content: ImageSource,
    style: StyleSource | None = None,
    *,
    method: str = "adain",
    masks: Masks = None,
    keep_colors: KeepColors = "none",
    init_image: ImageSource | None = None,
    on_step: Callable[[Step], Any] | None = None,
    **options: Any,
) -> np.ndarray:
    """The photo `content` painted in the style of `style`.

    Args:
        content: a path, bytes, open file, PIL image, or array (H, W, 3) in [0, 1] or uint8.
        style: the same, or a list of several: blended (`style_weights`), or each in its place
            (`masks`). None for a method that takes no style picture, as "feedforward".
        method: a name in `methods.METHODS`: "adain" (fast), "gatys" (slow, high quality),
            "feedforward" (a network for each style: `network`) or "magenta" (downloaded).
        masks: where the style is painted (white), one for each style; the photo stays elsewhere.
            One where there is no style picture.
            See `masks.open_masks`: files and drawings get soft edges, float arrays (H, W) in
            [0, 1] are taken as they are. Where masks overlap the styles mix.
        keep_colors: the photo's: "luminance" paints light and dark only, "histogram" recolours the
            style in the photo's palette first (without a style picture: the painting). See
            `color`.
        init_image: a picture for "gatys" to start from, such as an earlier result.
        on_step: called with each Step of a method that works gradually.
        **options: of the method: fields of its Options, such as `methods.adain.Options`. "adain"
            and "gatys" have style_weights, strength, style_scale, size and seed.

    Returns:
        float32 (H, W, 3) in [0, 1], of the photo's own height and width. Transparency is not
        part of it: `images.open_picture` gives it apart.

    Raises:
        StyleTransferError: one sentence for anything that the caller can mend.
    """
    chosen, values = _method(method), _options(method, options)
    job = _open(content, style, method, masks, keep_colors, values)
    if chosen.iterate is None:
        if init_image is not None:
            raise StyleTransferError(f"The method {method!r} takes no init_image; use 'gatys'.")
        return job.finished(job.painted(chosen.stylize, values))

    def report(step: Step) -> None:
        if on_step is not None:
            on_step(job.finished_step(step))

    start = _start(job, values, init_image)
    return job.finished(
        chosen.stylize(job.photo, job.styles, values, start, report, masks=job.guides())
    )


def iterate(
    content: ImageSource,
    style: StyleSource | None = None,
    *,
    method: str = "gatys",
    masks: Masks = None,
    keep_colors: KeepColors = "none",
    init_image: ImageSource | None = None,
    **options: Any,
) -> Iterator[Step]:
    """As `stylize`, step by step: yields a `Step` at the start, every few iterations, at the end.

    Its images have the size worked at; `enlarge` gives them the photo's. Close the generator to
    stop; the image of the last Step is the result so far. The arguments are checked before the
    first step is asked for.
    """
    chosen, values = _method(method), _options(method, options)
    if chosen.iterate is None:
        raise StyleTransferError(f"The method {method!r} has no steps; use stylize.")
    job = _open(content, style, method, masks, keep_colors, values)
    if init_image is not None:
        init_image = open_picture(init_image, what="picture to start from").rgb
    return _steps(chosen.iterate, job, values, init_image)


def _steps(
    iterate_method: Callable[..., Iterator[Step]],
    job: Job,
    values: Any,
    init_image: ImageSource | None,
) -> Iterator[Step]:
    # The start is the method's alone: it need not outlive its use.
    steps = iterate_method(
        job.photo, job.styles, values, _start(job, values, init_image), masks=job.guides()
    )
    for step in steps:
        yield job.finished_step(step)


def enlarge(
    image: np.ndarray,
    content: ImageSource,
    *,
    masks: Masks = None,
    keep_colors: KeepColors = "none",
) -> np.ndarray:
    """The `image` of a Step at the size of the photo `content`: float32 (H, W, 3) in [0, 1].

    masks and keep_colors as they were given to `iterate`: where the photo stays, and its colours,
    are then as sharp as in the photo itself.
    """
    check_keep_colors(keep_colors)
    photo = open_picture(content, what="photo").rgb
    count = len(masks) if isinstance(masks, list | tuple) else 1
    opened = open_masks(masks, count, *photo.shape[:2])
    return Job(photo, [], None, opened, keep_colors).enlarged(image)


def expected_seconds(
    method: str,
    height: int,
    width: int,
    *,
    masks: Masks = None,
    keep_colors: KeepColors = "none",
    **options: Any,
) -> float | None:
    """About how long a photo of this size takes on this machine; None until one was measured."""
    check_keep_colors(keep_colors)
    chosen = _method(method)
    seconds = chosen.expected_seconds(height, width, _options(method, options))
    if seconds is not None and chosen.iterate is None and isinstance(masks, list | tuple):
        seconds *= len(masks)  # each style is painted apart
    return seconds


def warm_up() -> None:
    """Loads TensorFlow and compiles the fast networks: call it in the background at start."""
    from nst_demo.methods import adain, feedforward

    adain.warm_up()
    feedforward.warm_up()


def _method(name: str) -> Method:
    from nst_demo import methods

    return methods.named(name)


def _options(method: str, options: dict[str, Any]) -> Any:
    kind = _method(method).options
    known = {field.name: field for field in dataclasses.fields(kind)}
    for name in options:
        if name not in known:
            raise StyleTransferError(
                f"The method {method!r} has no option {name!r}; it has {', '.join(known)}."
            )
    for name, field in known.items():
        free = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if free and name not in options:
            raise StyleTransferError(
                f"The method {method!r} needs the option {name!r}{_choices(method, name)}."
            )
    try:
        return kind(**options)
    except StyleTransferError:
        raise
    except (TypeError, ValueError) as error:  # a value of another type, met by a range check
        raise StyleTransferError(f"An option of {method!r} has a wrong type: {error}.") from error


def _choices(method: str, option: str) -> str:
    networks = _method(method).networks
    if option != "network" or networks is None:
        return ""
    return f": one of {', '.join(networks()) or 'none yet, train one with train-style'}"


def _open(
    content: ImageSource,
    style: StyleSource | None,
    method: str,
    masks: Masks,
    keep_colors: KeepColors,
    values: Any,
) -> Job:
    check_keep_colors(keep_colors)
    single: Any = style
    several = isinstance(style, Sequence) and not isinstance(style, str | bytes)
    sources = list(single) if several else [] if single is None else [single]
    _check_styles(method, len(sources), masks)
    if getattr(values, "init_network", None) is not None and len(sources) > 1:
        raise StyleTransferError(
            f"The init_network paints one style, and there are {len(sources)}; leave it out."
        )
    photo = open_picture(content, what="photo").rgb
    styles = [open_picture(source, what="style").rgb for source in sources]
    weights = None
    if styles:
        weights = normalised_weights(getattr(values, "style_weights", None), len(styles))
    opened = open_masks(masks, len(styles), *photo.shape[:2])
    return Job(photo, styles, weights, opened, keep_colors).recoloured()


def _check_styles(method: str, count: int, masks: Masks) -> None:
    """Where each style has a mask, a method for one style paints several, each for itself."""
    from nst_demo import methods

    apart = isinstance(masks, list | tuple) and not _method(method).gradual
    methods.check_styles(method, min(count, 1) if apart else count)


def _start(job: Job, values: Any, init_image: ImageSource | None) -> np.ndarray | None:
    """Where optimisation starts: the given picture, or by the fast mode where that is asked for."""
    from nst_demo.methods import adain, feedforward

    if init_image is not None:
        return open_picture(init_image, what="picture to start from").rgb
    if values.settings.init != "fast":
        return None
    size = min(values.settings.size, adain.MAX_SIZE)
    small = job.fitted(size)
    shared = {"strength": values.strength, "style_scale": values.style_scale, "size": size}
    if values.init_network is None:
        fast = adain.Options(style_weights=values.style_weights, **shared)
        return small.composited(small.painted(_half_painted, fast))
    trained = feedforward.Options(values.init_network, **shared)
    # In full: large forms are in it, which optimisation does not find by itself.
    return small.composited(feedforward.stylize(small.photo, [], trained))


def _half_painted(photo: np.ndarray, styles: Sequence[np.ndarray], options: Any) -> np.ndarray:
    """The mean of the fast result, by the `options` of "adain", and of the photo in the styles'
    colours.

    It has the strokes and the palette of the one and the structure of the other: from the fast
    result itself optimisation ends further from the photo, at nearly the same style.
    """
    from nst_demo.methods import adain

    shares = normalised_weights(options.style_weights, len(styles))
    recoloured = (1 - options.strength) * photo
    for style, share in zip(styles, shares, strict=True):
        recoloured += options.strength * share * color.match_colors(photo, style)
    return 0.5 * (adain.stylize(photo, styles, options) + recoloured)
