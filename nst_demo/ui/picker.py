"""Choosing several styles: thumbnails that a click turns on and off, the visitor's own among them.

picker.js is the page's side. The page sends the ids of what is chosen, which are looked up and
never taken for a path: a gallery style is its name, a trained one beside the gallery
"trained:NAME", and an upload "upload:0" by its place in the visitor's own list, which stays on the
server.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from nst_demo import compare, images, weights
from nst_demo.errors import StyleTransferError
from nst_demo.ui import controls, files

SCRIPT = Path(__file__).with_suffix(".js")
TILE = 112  # px, of a thumbnail
FIRST = "starry-swirl"
TRAINED, UPLOAD = "trained:", "upload:"
MAX_CHARACTERS = 20_000  # of what the page sends
# Tells picker.js whether one style is wanted or several.
TELL_KIND = """(kind) => { window.nstPickOne = kind !== 'styles';
  window.dispatchEvent(new CustomEvent('nst-pick', {detail: window.nstPickOne})) }"""


@dataclass(frozen=True)
class Pick:
    """A chosen style.

    id: see the module. caption: for a person.
    path: of its picture; None for a trained style without one. network: trained for it, which then
    paints it; None where there is none.
    """

    id: str
    caption: str
    path: str | None
    network: str | None = None


class Choices:
    """The styles that are there for everybody, in order."""

    def __init__(self, examples: Sequence[files.Example], trained: Mapping[str, Path | None]):
        """trained: name of a network -> the picture of its style, where there is one."""
        named = {example.path.stem: str(example.path) for example in examples}
        picks = [
            Pick(name, controls.caption(name), path, name if name in trained else None)
            for name, path in named.items()
        ]
        picks += [
            Pick(TRAINED + name, controls.caption(name), str(path) if path else None, name)
            for name, path in trained.items()
            if name not in named
        ]
        self.picks = {pick.id: pick for pick in picks}

    def picked(self, value: str | None, uploads: Sequence[str]) -> list[Pick]:
        """What is chosen by `value`, from the page or a stranger.

        StyleTransferError for what is no choice, and for more than are compared.
        """
        ids = self.ids(value)
        if len(ids) > compare.MAX_PICTURES:
            raise StyleTransferError(
                f"There are {len(ids)} styles to compare; choose at most {compare.MAX_PICTURES}."
            )
        return [self._named(name, uploads) for name in ids]

    def ids(self, value: str | None) -> list[str]:
        """Those of `value`, each once; not looked up."""
        try:
            if value is not None and len(value) > MAX_CHARACTERS:
                raise ValueError
            chosen = json.loads(value or "{}").get("chosen", [])
            if not isinstance(chosen, list) or not all(isinstance(i, str) for i in chosen):
                raise ValueError
        except (ValueError, AttributeError, RecursionError):
            raise StyleTransferError(
                "The chosen styles cannot be read; load the page again and choose."
            ) from None
        return list(dict.fromkeys(chosen))

    def _named(self, name: str, uploads: Sequence[str]) -> Pick:
        known = name if name in self.picks else name.removeprefix(TRAINED)  # as older links have it
        if known in self.picks:
            return self.picks[known]
        own = {f"{UPLOAD}{place}": path for place, path in enumerate(uploads)}
        if name in own:
            return Pick(name, Path(own[name]).stem[:60], own[name])
        raise StyleTransferError(f"There is no style {name[:60]!r} here; choose another.")


def for_everybody() -> Choices:
    """The gallery's styles, and the trained ones of this server."""
    trained = {name: files.trained_picture(p) for name, p in weights.trained_styles().items()}
    return Choices(files.list_examples("styles", FIRST), trained)


def build(choices: Choices, chosen: Iterable[str]) -> gr.HTML:
    tiles = "".join(
        f'<label class="tile" title="{html.escape(pick.caption)}"><input type="checkbox" '
        f'value="{html.escape(pick.id)}">{_picture(pick)}'
        f"<span>{html.escape(pick.caption)}</span></label>"
        for pick in choices.picks.values()
    )
    template = (
        '<fieldset class="picks"><legend>Styles <small class="count" aria-live="polite"></small>'
        '</legend><div class="tiles">' + tiles + '</div><div class="pick-tools">'
        '<button type="button" class="all">All</button>'
        '<button type="button" class="none">None</button></div></fieldset>'
    )
    return gr.HTML(
        to_value(chosen),
        html_template=template,
        js_on_load=SCRIPT.read_text("utf-8").replace("MAX_PICTURES", str(compare.MAX_PICTURES)),
        apply_default_css=False,
        elem_id="picks",
    )


def to_value(chosen: Iterable[str], uploads: Sequence[tuple[str, str]] = ()) -> str:
    """What the page is sent: ids, and for each upload its name and its thumbnail's path."""
    return json.dumps({"chosen": list(chosen), "uploads": [list(pair) for pair in uploads]})


def thumbnail(path: str) -> str:
    """A file with the small square of a picture, for `to_value`. As `files.receive` on errors."""
    rgb = images.open_picture(path, what="style").rgb
    side = min(rgb.shape[:2])
    top, left = (rgb.shape[0] - side) // 2, (rgb.shape[1] - side) // 2
    square = images.resize(rgb[top : top + side, left : left + side], TILE, TILE)
    return files.cache_file("tile.jpg", images.encode(square, None, "JPEG"))


def _picture(pick: Pick) -> str:
    if pick.path is None:
        return "<i></i>"
    return f'<img alt="" loading="lazy" src="{files.tile(Path(pick.path), TILE)}">'
