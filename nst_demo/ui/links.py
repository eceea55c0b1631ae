"""Links that bring a result back: all that made it is in the address, and nothing is stored.

`query` and `state` are pure and undo each other: pictures are named as in the gallery, trained
styles as their networks, and the settings by the names of their controls, where they differ from a
fresh page's. An upload has no name that another server would know, so a result made from one has no
link. Whoever made a link may be a stranger: every value goes through the checks of `settings`, and
a bad one is a StyleTransferError with one sentence.

`connect` puts this into the page. The link of the page's own frame is made there, from
window.location: inside huggingface.co that is the Space's own address, which works by itself.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, get_args
from urllib.parse import parse_qsl, urlencode

import gradio as gr

import nst_demo
from nst_demo import color, images, recipes, settings, weights
from nst_demo.blending import normalised_weights
from nst_demo.errors import StyleTransferError, check_range, check_weight
from nst_demo.ui import compare_tab, comparisons, controls, files, picker, restore, runs
from nst_demo.ui.stylize_tab import PRIVATE, QUICK, RECEIVE_LINE, Tab

STYLIZE, COMPARE = "stylize", "compare"
MAX_CHARACTERS = 4000  # of a query; a long one has 900
MAX_PAIRS = 80
# Of no result: how long a run may take is the server's matter.
NOT_LINKED = ("time_budget",)
KNOBS = tuple(name for name in controls.DEFAULTS if name not in NOT_LINKED)


@dataclass(frozen=True)
class State:
    """What a link says.

    Attributes:
        tab: STYLIZE or COMPARE.
        photo: name of a gallery photo.
        styles: of Stylize, by place: names of gallery styles, "" where there is none. Of Compare:
            ids as of `picker`.
        quality: whether Stylize paints in Quality.
        values: of the controls that differ from a fresh page's, or with a recipe from its own.
        kind, size: of Compare.
        version: of the nst_demo that made the link; None where the link does not say.
    """

    tab: str
    photo: str
    styles: tuple[str, ...] = ()
    quality: bool = False
    values: Mapping[str, Any] = field(default_factory=dict)
    kind: str = comparisons.STYLES
    size: int = comparisons.SIZES[0]
    version: str | None = nst_demo.__version__

    def all_values(self) -> controls.Values:
        """Of every control."""
        return fresh(self.values.get("recipe")) | dict(self.values)

    @property
    def warning(self) -> str | None:
        """For a person, where another version made the link."""
        if self.version in (None, nst_demo.__version__):
            return None
        return (
            f"The link was made by nst-demo {self.version}, this is {nst_demo.__version__}: the "
            "picture may differ."
        )


def fresh(recipe: str | None = None) -> controls.Values:
    """What the controls show when a page is opened and, of a recipe, when it is chosen."""
    own = recipes.named(recipe or controls.DEFAULTS["recipe"])
    values = {name: getattr(own, name) for name in controls.NUMBERS}
    return controls.DEFAULTS | values | {"recipe": own.name}


# ---- To an address and back ----------------------------------------------------------------------


def query(state: State) -> str:
    """The part of an address after the question mark."""
    pairs: list[tuple[str, str]] = []
    if state.tab == COMPARE:
        pairs += [("tab", COMPARE)]
        if state.kind != comparisons.STYLES:
            pairs += [("compare", state.kind)]
        if state.size != comparisons.SIZES[0]:
            pairs += [("px", str(state.size))]
    elif state.quality:
        pairs += [("mode", "quality")]
    pairs += [("photo", state.photo)]
    styles = [style or "" for style in state.styles]
    while styles and not styles[-1]:
        styles.pop()
    pairs += [("style", style) for style in styles]
    pairs += [(name, _text(value)) for name, value in changed(state.values).items()]
    return urlencode([*pairs, ("v", state.version or nst_demo.__version__)], safe=":")


def changed(values: Mapping[str, Any]) -> controls.Values:
    """Those that differ from a fresh page's, in the page's order; a recipe brings its own."""
    own = fresh(values.get("recipe"))
    own["recipe"] = controls.DEFAULTS["recipe"]
    return {n: values[n] for n in KNOBS if n in values and values[n] != own[n]}


def state(address: str) -> State | None:
    """What the query of an address says, None where it says nothing to us.

    StyleTransferError, one sentence, for anything that no link of ours holds.
    """
    found = parsed(address)
    if found is not None:
        _check_values(found)
    return found


def parsed(address: str) -> State | None:
    """As `state`, without the checks of the settings' ranges, which need the methods: quick."""
    text = address.removeprefix("?")
    if len(text) > MAX_CHARACTERS:
        raise StyleTransferError(
            f"The link has {len(text)} characters, more than any of this page; copy it again."
        )
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=MAX_PAIRS)
    except ValueError as error:
        raise StyleTransferError("The link has too many parts; copy it again.") from error
    given: dict[str, list[str]] = {}
    for name, value in pairs:
        given.setdefault(name, []).append(value)
    if "photo" not in given and "style" not in given and "network" not in given:
        return None  # gradio's own, such as __theme
    for name in given:
        if not (name in KNOBS or name in PARTS or name.startswith("__")):
            raise StyleTransferError(
                f"The link has the unknown part {_short(name)}; copy it again."
            )
        if name != "style" and len(given[name]) > 1:
            raise StyleTransferError(f"The link has {_short(name)} twice; copy it again.")
    one = {name: values[0] for name, values in given.items()}
    return _checked(one, given.get("style", []))


PARTS = ("tab", "compare", "px", "mode", "photo", "style", "v")


def _checked(one: Mapping[str, str], styles: Sequence[str]) -> State:
    tab = _choice("tab", one.get("tab", STYLIZE), (STYLIZE, COMPARE))
    photo = _choice("photo", one.get("photo", ""), files.gallery("photos"))
    quality = _choice("mode", one.get("mode", "fast"), ("fast", "quality")) == "quality"
    values = _known({name: _value(name, one[name]) for name in KNOBS if name in one})
    version = one.get("v")
    if version is not None and not re.fullmatch(r"[0-9A-Za-z.+-]{1,20}", version):
        raise StyleTransferError(f"The link has the version {_short(version)}; copy it again.")
    found = State(tab, photo, (), quality, values, version=version)
    if tab == COMPARE:
        return _checked_comparison(found, one, styles)
    if len(styles) > controls.STYLES:
        raise StyleTransferError(
            f"The link has {len(styles)} styles; this page takes 1 to {controls.STYLES}."
        )
    names = tuple(
        _choice("style", name, files.gallery("styles")) if name else "" for name in styles
    )
    return State(tab, photo, names, quality, values, version=version)


def _checked_comparison(found: State, one: Mapping[str, str], styles: Sequence[str]) -> State:
    kind = _choice("comparison", one.get("compare", comparisons.STYLES), comparisons.KINDS)
    size = _choice("size", one.get("px", str(comparisons.SIZES[0])), map(str, comparisons.SIZES))
    choices = picker.for_everybody()
    picked = choices.picked(picker.to_value(styles), ())
    if not picked:
        raise StyleTransferError("The link has no style; copy it again.")
    extra = [name for name in found.values if name not in controls.SHARED]
    if extra:
        raise StyleTransferError(f"The link has the unknown part {extra[0]!r}; copy it again.")
    ids = tuple(pick.id for pick in picked)
    return State(COMPARE, found.photo, ids, False, found.values, kind, int(size), found.version)


def _known(values: controls.Values) -> controls.Values:
    """Checked for choices that their controls do not have; one that is the recipe's own, written
    out, is left to the recipe."""
    choices: dict[str, Iterable[str]] = {
        "kind": controls.kinds(),
        "network": weights.trained_styles(),
        "keep_colors": get_args(color.KeepColors),
        "recipe": recipes.RECIPES,
        "similarity": get_args(recipes.Similarity),
        "backbone": (controls.OWN, *controls.BACKBONES),
        "init": (controls.OWN, *controls.STARTS),
        "optimizer": (controls.OWN, *controls.OPTIMISERS),
    }
    for name, known in choices.items():
        if name in values:
            _choice(name, values[name], known)
    own = recipes.named(values.get("recipe", controls.DEFAULTS["recipe"]))
    return {
        name: value
        for name, value in values.items()
        if name not in controls.CHOICES or value != getattr(own, name)
    }


def _check_values(found: State) -> None:
    """By the checks of the methods' own options, in either mode: the page sends all its controls
    with every event, and gradio refuses the event for any of them."""
    values = found.all_values()
    for knob in controls.WEIGHTS:
        check_range(f"{knob!r} of the link", values[knob], 0, 100)
    check_range("'stop_at' of the link", values["stop_at"], 0, 100_000)
    check_range("'seed' of the link", values["seed"], 0, controls.MAX_SEED)
    for knob in controls.LAYER_KNOBS:
        check_weight(f"{knob!r} of the link", values[knob])
    if found.tab == STYLIZE and found.styles and not found.styles[0]:
        raise StyleTransferError("The link has no first style; copy it again.")
    for quality in (False, True):
        options = controls.options(quality, values)
        own = {k: v for k, v in options.items() if k not in settings.SHARED}
        nst_demo._options(controls.method_name(quality, values), own)
    places = [place for place, style in enumerate(found.styles) if style]
    if found.tab == STYLIZE and len(places) > 1:
        normalised_weights([values[controls.WEIGHTS[place]] for place in places], len(places))


def _value(name: str, text: str) -> Any:
    """As the type of the control's default."""
    default = controls.DEFAULTS[name]
    if isinstance(default, str) or default is None:
        if len(text) > 80 or not text.isprintable():
            raise StyleTransferError(f"The link has {_short(text)} for {name!r}; copy it again.")
        return text
    try:
        number = int(text) if isinstance(default, int) else float(text)
    except ValueError:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
    if len(text) > 30 or not math.isfinite(number):
        raise StyleTransferError(f"The link has {_short(text)} for {name!r}; give a number.")
    return number


def _choice(what: str, value: str, known: Iterable[str]) -> str:
    if value in (found := list(known)):
        return value
    if not value:
        raise StyleTransferError(f"The link has no {what}; copy it again.")
    raise StyleTransferError(
        f"The link asks for the {what} {_short(value)}, which this page does not have; choose one "
        f"of {', '.join(found[:20])}."
    )


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _short(value: str) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


# ---- The gallery ---------------------------------------------------------------------------------


@cache
def _fingerprint(path: str) -> str:
    return settings.fingerprint(images.open_picture(path).rgb)


def named(kind: str, picture: settings.Input) -> str | None:
    """The name of the gallery's picture that this is, None for an upload."""
    path = files.gallery(kind).get(Path(picture.name).stem)
    return Path(path).stem if path and _fingerprint(path) == picture.sha256 else None


# ---- Of a result ---------------------------------------------------------------------------------


def of_settings(made: settings.Settings) -> State:
    """Of a result of Stylize. StyleTransferError, why, where a link cannot carry it."""
    what = []
    photo = named("photos", made.photo)
    styles = [named("styles", style) for style in made.styles]
    if photo is None:
        what.append("your photo")
    if None in styles:
        what.append("your style" if styles.count(None) == 1 else "your styles")
    if made.masks:
        what.append("the drawn regions")
    if made.start is not None:
        what.append("the picture it started from")
    if what or photo is None:
        raise StyleTransferError(
            f"A link cannot carry {' and '.join(what)}: uploads stay with you. Save the settings "
            "instead, and open them with the same pictures."
        )
    values = controls.values(made.method, made.options)
    values |= restore.shares(made)
    values["stop_at"] = made.stopped_at or 0
    values, paths = controls.as_chosen(values, [s and files.gallery("styles")[s] for s in styles])
    names = tuple(Path(path).stem if path else "" for path in paths)
    return State(STYLIZE, photo, names, made.method == "gatys", changed(values))


def of_comparison(asked: comparisons.Asked) -> State:
    """As `of_settings`, of Compare."""
    rgb = images.open_picture(str(asked.photo), what="photo").rgb  # gradio's copy of the file
    photo = named("photos", settings.picture(asked.photo, rgb))
    what = [] if photo else ["your photo"]
    if any(pick.id.startswith(picker.UPLOAD) for pick in asked.picks):
        what.append("your own styles")
    if what or photo is None:
        raise StyleTransferError(
            f"A link cannot carry {' and '.join(what)}: uploads stay with you. Save the pictures "
            "as ZIP instead."
        )
    picks = asked.picks if asked.kind == comparisons.STYLES else asked.picks[:1]
    ids = tuple(pick.id for pick in picks)
    return State(COMPARE, photo, ids, False, changed(asked.options), asked.kind, asked.size)


# ---- Words ---------------------------------------------------------------------------------------


def title(found: State) -> str:
    """For a preview of the link: such as "Pagoda in the style of Starry swirl"."""
    photo = controls.caption(found.photo)
    if found.tab == COMPARE:
        count = len(found.styles)
        if found.kind == comparisons.STYLES and count > 1:
            return f"{photo} in {count} styles"
        return f"{photo} compared"
    values = found.all_values()
    styles = [controls.caption(name) for name in found.styles if name]
    if not found.quality and values["kind"] == "feedforward":
        styles = [controls.caption(str(values["network"]))]
    return f"{photo} in the style of {' and '.join(styles)}" if styles else photo


def opened_html(found: State) -> str:
    """What the page says after a link was opened."""
    words = f"Opened from a link: {html.escape(title(found))}."
    if found.quality:
        mode = controls.summary(True, found.all_values())
        words += f" {mode} takes a while: press <b>Stylize</b> to paint it."
    return words


def share_html(found: State | None, why: str = "", picture: str | None = None) -> str:
    """The bar that sends a result on: its link, or the sentence why there is none; and the picture
    itself, a file of ours. The script shows only what this browser can do."""
    buttons = ""
    if found is not None:
        buttons += '<button type="button" class="copy">Copy link</button>'
    if picture is not None:
        buttons += '<button type="button" class="copy-picture">Copy picture</button>'
    if buttons:
        buttons += '<button type="button" class="send">Share</button>'
    if found is not None:
        buttons += '<button type="button" class="embed">Embed</button>'
    words = f"<p>{html.escape(why)}</p>" if why else ""
    if not buttons + words:
        return ""
    asked = "" if found is None else f' data-query="{html.escape(query(found))}"'
    file = "" if picture is None else f' data-picture="{html.escape(picture)}"'
    return (
        f'<div class="share"{asked}{file}>{buttons}<span class="said" role="status"></span>{words}'
        '<dialog aria-labelledby="share-title"><h2 id="share-title"></h2>'
        '<textarea readonly rows="5" aria-label="Text to copy"></textarea>'
        '<p class="row"><button type="button" class="copy-text">Copy</button>'
        '<button type="button" class="close">Close</button></p></dialog></div>'
    )


# ---- On the page ---------------------------------------------------------------------------------

SCRIPT = Path(__file__).with_suffix(".js")
PAINT = "paint"
# Opens the tab that was chosen, and presses its button as soon as it is there. A Tabs among the
# outputs of a function of Python's would have gradio copy the state of all that is in it, the page,
# with each later event.
PRESS = """(todo) => {
  const [tab, what] = (todo ?? '').split(' ');
  if (!tab) return {__type__: 'update'};
  const name = tab === 'compare' ? '#compare-button' : '#controls .main-button.in-fast';
  let tries = 100;
  const press = () => {
    const button = document.querySelector(name);
    if (button && button.offsetParent) button.click(); else if (tries--) setTimeout(press, 50);
  };
  if (what === 'paint') setTimeout(press, 50);
  return {__type__: 'update', selected: tab};
}"""


def connect(tab: Tab, comparison: compare_tab.Tab, tabs: gr.Tabs, demo: gr.Blocks) -> None:
    """Links of both tabs' results; opening one; and a result of Compare opened in Stylize."""
    address = gr.Textbox("", visible=False)
    todo = gr.Textbox(visible=False)
    told = [tab.status, tab.empty, comparison.status]
    outputs = [*tab.settable, *comparison.settable, *told, todo]

    def open_link(text: str) -> dict[Any, Any]:
        with runs.told():
            found = state(text or "")
            if found is not None:
                if found.warning:
                    gr.Info(html.escape(found.warning), title="Another version")
                if found.tab == COMPARE:
                    paint, changes = compare_changes(comparison, found)
                else:
                    paint, changes = stylize_changes(tab, found)
                return changes | {todo: f"{found.tab} {paint}"}
        return {todo: ""}

    def open_tile(done: compare_tab.Done | None, event: gr.EventData) -> dict[Any, Any]:
        with runs.told():
            tile = compare_tab.opened(done, event)
            if done is not None and tile is not None and tile.pick is not None:
                paint, changes = tile_changes(tab, done.asked.photo, tile, tile.pick.path)
                return changes | {todo: f"{STYLIZE} {paint}"}
        return {todo: ""}

    # In the queue: outside it gradio shows no toasts.
    line: dict[str, Any] = RECEIVE_LINE | {"show_progress": "hidden"}
    demo.load(None, None, address, js="() => window.location.search", **PRIVATE)
    opened = [
        address.change(open_link, address, outputs, **line),  # most addresses have no link in them
        comparison.grid.open(open_tile, comparison.done, outputs, **line),
    ]
    for event in opened:
        event.then(None, todo, tabs, js=PRESS, **PRIVATE)
    with tab.plot.parent or demo:
        share = bar("share")
    tab.result.change(of_result, tab.result, share, **QUICK)
    row = comparison.sheet.parent
    with (row and row.parent) or demo:
        shared = bar("share-compare")
    for run in comparison.runs:
        run.then(of_done, comparison.done, shared, **QUICK)


# PAINT where the button is to be pressed, and the updates that show a state.
Changes = tuple[str, dict[Any, Any]]


def stylize_changes(tab: Tab, found: State) -> Changes:
    """Of a link to Stylize."""
    names = found.styles or (picker.FIRST,)  # a trained style needs none: that of a fresh page
    paths = [files.gallery("styles")[name] if name else None for name in names]
    paths += [None] * (controls.STYLES - len(paths))
    values = found.all_values()
    at_once = not found.quality and on_its_own(values["kind"])
    changes = tab.changes(found.quality, values, [files.gallery("photos")[found.photo], *paths])
    note = gr.HTML(chart_line(opened_html(found)), visible=True)
    return PAINT if at_once else "", changes | {tab.status: note}


def compare_changes(comparison: compare_tab.Tab, found: State) -> Changes:
    """Of a link to Compare."""
    changes = comparison.changes(
        files.gallery("photos")[found.photo], found.kind, found.styles, found.size, found.values
    )
    note = chart_line(f"{opened_html(found)} Press <b>Compare</b> to paint it.")
    at_once = found.kind != comparisons.METHODS
    return (
        PAINT if at_once else "",
        changes | {comparison.status: gr.HTML(note, visible=True)},
    )


def tile_changes(tab: Tab, photo: str | None, tile: comparisons.Tile, style: str | None) -> Changes:
    """Of a picture of Compare in Stylize. StyleTransferError where its photo or style is gone."""
    runs.check_file(photo, "photo")
    if style is not None:
        runs.check_file(style, "style")
    method = tile.options.get("method", "adain")
    values = controls.values(method, {k: v for k, v in tile.options.items() if k != "method"})
    quality = method == "gatys"
    values, _ = controls.as_chosen(values, [style])
    changes = tab.changes(quality, values, [photo, style, *[None] * (controls.STYLES - 1)])
    words = f"{html.escape(tile.caption)}, from Compare."
    if quality:
        words += " Press <b>Stylize</b> to paint it at the photo's own size."
    note = gr.HTML(chart_line(words), visible=True)
    return "" if quality else PAINT, changes | {tab.status: note}


def bar(name: str) -> gr.HTML:
    return gr.HTML("", js_on_load=SCRIPT.read_text("utf-8"), apply_default_css=False, elem_id=name)


def on_its_own(kind: str) -> bool:
    """Whether Fast paints without a download that the visitor has not asked for."""
    return controls.kinds()[kind].download is None


def of_result(path: str | None) -> str:
    """The share bar of a result of Stylize, by the settings that its file carries."""
    if path is None:
        return ""
    try:
        return share_html(of_settings(settings.read(path)), picture=path)
    except StyleTransferError as error:
        return share_html(None, str(error), path)


def of_done(done: compare_tab.Done | None) -> str:
    if done is None:
        return ""
    try:
        return share_html(of_comparison(done.asked))
    except StyleTransferError as error:
        return share_html(None, str(error))


def chart_line(words: str) -> str:
    """As chart.status, of HTML that is ours."""
    return f'<div class="line" role="status">{words}</div>'
