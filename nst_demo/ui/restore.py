"""Opening the settings of an earlier picture: what the page's controls are to show.

The settings name their pictures and tell them by fingerprint, but do not hold them: those that are
on the page already, or among the examples, are found; the visitor is asked for the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nst_demo import images, methods, settings
from nst_demo.errors import StyleTransferError
from nst_demo.ui import controls, painter, runs


@dataclass(frozen=True)
class Restored:
    """What the page is to show.

    Attributes:
        quality: the mode.
        values: of the controls, by name.
        photo, styles, start: paths; None for no picture. What is not found is what the page shows;
            so are all styles where the method takes none.
        keep_drawing: whether the regions on the page are those of the settings.
        todo: what the visitor is asked for, a sentence each.
    """

    quality: bool
    values: controls.Values
    photo: str | None
    styles: tuple[str | None, ...]
    start: str | None
    keep_drawing: bool
    todo: list[str]


def restore(
    path: str, photo: str | None, styles: Sequence[str | None], drawing: str | None,
    start: str | None, examples: Iterable[Path],
) -> Restored:  # fmt: skip
    """The settings in the file (JSON, or a picture that carries them), given what the page shows.

    Whoever wrote the file may be a stranger: StyleTransferError where `settings.read` refuses it,
    and for settings that the page cannot show.
    """
    found = settings.read(path)
    quality = _mode(found)
    values = controls.values(found.method, found.options)
    values |= shares(found)
    values["stop_at"] = found.stopped_at or 0
    todo = settings.changes(found, _now(found))

    by_name: dict[str, list[str]] = {}
    for example in examples:
        by_name.setdefault(example.name, []).append(str(example))

    def look_for(
        what: str, wanted: settings.Input, shown: str | None, others: Sequence[str | None] = ()
    ) -> str | None:
        """The picture that is meant, on the page or among the examples; else the one shown."""
        for candidate in (shown, *others, *by_name.get(wanted.name, ())):
            if candidate is not None and _fingerprint(candidate) == wanted.sha256:
                return candidate
        todo.append(f"Choose the {what} {wanted.name!r}.")
        return shown

    photo = look_for("photo", found.photo, photo)
    chosen: list[str | None] = [None] * controls.STYLES if found.styles else list(styles)
    for place, wanted in enumerate(found.styles):
        what = f"{runs.PLACES[place]} style" if place else "style"
        chosen[place] = look_for(what, wanted, styles[place], styles)
    values, better = controls.as_chosen(values, chosen if found.styles else [])
    chosen = [*better, *chosen[len(better) :]]
    start = found.start and look_for("picture to start from", found.start, start)
    keep = _same_drawing(found, drawing)
    if found.masks and not keep:
        todo.append("Draw the regions again, or open the drawing that you saved.")
    return Restored(quality, values, photo, tuple(chosen), start, keep, todo)


def _mode(found: settings.Settings) -> bool:
    """Whether Quality; StyleTransferError for what the page does not do."""
    if found.method not in ("gatys", *controls.kinds()):
        raise StyleTransferError(
            f"The settings are of the method {found.method!r}, which this page does not have; use "
            "them with nst-demo in a terminal."
        )
    most = controls.STYLES if methods.named(found.method).several else 1
    if len(found.styles) > most:
        raise StyleTransferError(
            f"The settings have {len(found.styles)} styles; this page takes at most {most}."
        )
    weights: Any = found.options.get("style_weights")
    if weights is not None and len(weights) != len(found.styles):
        raise StyleTransferError(
            f"The settings have {len(weights)} style_weights for {len(found.styles)} styles; give "
            "a file that nst-demo wrote."
        )
    return found.method == "gatys"


def shares(found: settings.Settings) -> controls.Values:
    """The styles' weights in percent, as they are where that is their sum already."""
    weights = [float(w) for w in found.options.get("style_weights") or [1] * len(found.styles)]
    total = sum(weights)
    if total and total != 100:
        weights = [100 * weight / total for weight in weights]
    filled = [*weights, *[0] * controls.STYLES]
    return dict(zip(controls.WEIGHTS, filled, strict=False)) if weights else {}


def _now(found: settings.Settings) -> settings.Settings:
    """What the same call would write today."""
    return settings.describe(
        found.method,
        found.options,
        found.photo,
        found.styles,
        masks=found.masks,
        start=found.start,
    )


def _fingerprint(path: str) -> str | None:
    try:
        return settings.fingerprint(images.open_picture(path).rgb)
    except StyleTransferError:  # gone from the server, or never a picture
        return None


def _same_drawing(found: settings.Settings, drawing: str | None) -> bool:
    if not found.masks:
        return False
    try:
        drawn = painter.labels(drawing)
        masks = painter.masks(drawn, range(1, max(len(found.styles), 1) + 1))
    except StyleTransferError:
        return False
    shown: Mapping[int, str] = {i: m.sha256 for i, m in enumerate(runs.mask_inputs(masks))}
    return shown == {i: m.sha256 for i, m in enumerate(found.masks)}
