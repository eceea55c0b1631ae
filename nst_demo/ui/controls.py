"""The page's settings: their controls, and what they mean to the library, in both directions.

A control is known by its name here; `options` makes a method's options of their values, `values`
the controls' values of a method's options, and each undoes the other.
"""

from __future__ import annotations

import filecmp
import html
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr

from nst_demo import methods, recipes, settings
from nst_demo import weights as weight_files
from nst_demo.errors import StyleTransferError
from nst_demo.methods import METHODS, Method
from nst_demo.ui import files

Values = dict[str, Any]  # control name -> value

BEST = "best"  # a kind of Fast: each style by whatever paints it best, see `settled`
OWN = "own"  # the choice of a recipe's own value
STYLES = 4  # places for styles
LAYERS = ("Colours and grain", "Fine texture", "Brush strokes", "Patterns", "Large shapes")
WEIGHTS = tuple(f"weight_{place}" for place in range(1, STYLES + 1))
LAYER_KNOBS = tuple(f"layer_{number}" for number in range(1, len(LAYERS) + 1))
SHARED = ("strength", "style_scale", "keep_colors")
MULTIPLIERS = ("style_weight", "content_weight", "tv_weight")
NUMBERS = ("iterations", "size")  # shown as the recipe has them
CHOICES = ("backbone", "init", "optimizer")  # OWN: the recipe's own
NETWORK_TILE = 160  # px, of a trained style's picture
MAX_SEED = 2**53  # the last whole number that JavaScript holds exactly
QUALITY_OPTIONS = (
    *("recipe", "similarity", "learning_rate", "seed"),
    *MULTIPLIERS,
    *NUMBERS,
    *CHOICES,
)
# What a fresh page shows.
DEFAULTS: Values = {
    "kind": BEST,  # the method of Fast, or BEST
    "network": next(iter(weight_files.trained_styles()), None),
    "strength": 1.0,
    "style_scale": 1.0,
    "keep_colors": "none",
    **dict(zip(WEIGHTS, (100, 0, 0, 0), strict=True)),  # % of the blend
    "recipe": recipes.DEFAULT.name,
    "similarity": "balanced",
    **{name: getattr(recipes.DEFAULT, name) for name in NUMBERS},
    **dict.fromkeys(CHOICES, OWN),
    "time_budget": 120,
    **dict.fromkeys(MULTIPLIERS, 1.0),
    **dict.fromkeys(LAYER_KNOBS, 1.0),
    "learning_rate": 0,  # of the recipe, or what suits the optimiser
    "seed": 0,
    "stop_at": 0,  # at the end
}

LOOKS = {recipes.DEFAULT.name: "Near the photo", recipes.BOLD.name: "Large and bold"}
BACKBONES = {"lite": "Lite", "vgg16": "VGG16", "vgg19": "VGG19"}
DOWNLOADS = {"vgg16": "58 MB", "vgg19": "80 MB"}
STARTS = {
    "fast": "Fast result and photo",
    "content": "Photo",
    "noise": "Noise",
    "content+noise": "Photo with noise",
}
OPTIMISERS = {"lbfgs": "L-BFGS", "adam": "Adam", "sgd": "SGD"}
SIZES = {
    "long side": "Long side in px",
    "square": "Both sides in px",
    "rows": "Height in px",
}


# ---- Layout ------------------------------------------------------------------------------------


@contextmanager
def fold(title: str, hint: str, name: str, classes: str = "") -> Iterator[None]:
    """A closed part of the page that opens on a click.

    Not gr.Accordion: that one builds its controls when it is opened, after a moment in which
    typing is lost, and settings sent to a closed one come late. Here <details> holds no more than
    the title, and the style sheet shows what follows it.
    """
    with gr.Column(elem_id=name, elem_classes=["fold", *classes.split()]):
        gr.HTML(
            f"<details><summary><span><b>{title}</b> <small>{hint}</small></span></summary>"
            "</details>",
            js_on_load=None,
            apply_default_css=False,
            elem_classes="fold-head",
        )
        with gr.Column(elem_classes="fold-body"):
            yield


def about(text: str, classes: str = "") -> gr.HTML:
    """Words between the controls, as HTML."""
    classes = f"about {classes}".strip()
    return gr.HTML(text, js_on_load=None, apply_default_css=False, elem_classes=classes)


def kinds() -> dict[str, Method]:
    """What Fast can paint with: every method that works in one go and has what it needs.

    First BEST, as a method of its own.
    """
    about = "Styles of the gallery by networks trained for them, your own by AdaIN."
    best = Method(METHODS["adain"].module, "Best", about)
    return {BEST: best} | {n: m for n, m in METHODS.items() if not m.gradual and m.available}


def kind() -> gr.Radio:
    return gr.Radio(
        [(method.title, name) for name, method in kinds().items()],
        value=DEFAULTS["kind"],
        label="Fast painting with",
        show_label=False,
        container=False,
        elem_id="kind",
        elem_classes="in-fast",
    )


def kind_rules() -> str:
    """Style rules that show what the chosen kind of Fast takes, without asking the server.

    .takes-style, .takes-several and .takes-network hold what depends on it, .only-NAME its words.
    """
    chosen = (
        "#controls:has(#mode label:first-child.selected):has(#kind label:nth-child({}).selected)"
    )
    rules = [".takes-network, .for-kind { display: none !important; }"]
    for place, (name, method) in enumerate(kinds().items(), 1):
        here = chosen.format(place)
        rules.append(f"{here} .only-{name} {{ display: flex !important; }}")
        if method.networks is not None:
            rules.append(f"{here} .takes-network {{ display: flex !important; }}")
        if method.styles[1] == 0:
            rules.append(f"{here} .takes-style {{ display: none !important; }}")
        if not method.several:
            rules.append(f"{here} .takes-several {{ display: none !important; }}")
    return "\n".join(rules)


def kind_words(method: Method) -> str:
    """What a visitor should know of a kind of Fast before choosing it."""
    words = method.about
    if method.download:
        words += f" It is downloaded on first use ({method.download})."
    return f"<p>{html.escape(words)}</p>"


def network() -> gr.Radio:
    """The trained styles as a gallery; its pictures are in `network_rules`."""
    names = list(weight_files.trained_styles())
    return gr.Radio(
        [(caption(name), name) for name in names],
        value=DEFAULTS["network"] if DEFAULTS["network"] in names else None,
        label="Trained style",
        elem_id="network",
    )


def caption(name: str) -> str:
    """Such as "Starry swirl" for starry-swirl."""
    words = name.replace("-", " ").replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def network_rules() -> str:
    """Style rules that put each trained style's picture above its caption."""
    rules = []
    for place, path in enumerate(weight_files.trained_styles().values(), 1):
        picture = files.trained_picture(path)
        if picture is not None:
            rules.append(
                f"#network label:nth-child({place})::before"
                f" {{ background-image: url({files.tile(picture, NETWORK_TILE)}) !important; }}"
            )
    return "\n".join(rules)


def shared() -> dict[str, Any]:
    """What Fast and Quality both take."""
    return {
        "strength": gr.Slider(
            0, 1, value=1, step=0.05, label="Strength", info="0 keeps the photo, 1 is all style."
        ),
        "style_scale": gr.Slider(
            0.25, 4, value=1, step=0.05, label="Stroke size",
            info="Below 1 for finer strokes, above 1 for broader ones.",
        ),
        "keep_colors": gr.Radio(
            [
                ("The style's", "none"),
                ("The photo's, place by place", "luminance"),
                ("The photo's palette", "histogram"),
            ],
            value="none", label="Colours", elem_classes="cards",
        ),
    }  # fmt: skip


def weights() -> dict[str, Any]:
    """Of the styles, in percent with a sum of 100: blend.js keeps it so."""
    with gr.Row(elem_classes="weights"):
        return {
            name: gr.Slider(
                0, 100, value=DEFAULTS[name], step=1, label=f"Style {place}, %", min_width=160,
                buttons=[], elem_id=f"share-{place}", elem_classes=f"share share-{place}",
            )
            for place, name in enumerate(WEIGHTS, 1)
        }  # fmt: skip


def look() -> gr.Radio:
    """Our own recipes, within reach: the published ones are in the list of `recipe`."""
    return gr.Radio(
        [(words, name) for name, words in LOOKS.items()], value=DEFAULTS["recipe"],
        label="Brushwork", elem_id="look", elem_classes="in-quality cards",
    )  # fmt: skip


def recipe(max_seconds: float) -> tuple[dict[str, Any], gr.HTML]:
    """A recipe and how long it runs; also the line that says what its network needs."""
    knobs: dict[str, Any] = {}
    own = recipes.DEFAULT
    knobs["recipe"] = gr.Radio(
        [(f"{title(r)} · {r.description}", r.name) for r in recipes.RECIPES.values()],
        value=own.name, label="Recipe", elem_classes="cards lines", elem_id="recipe",
    )  # fmt: skip
    knobs["similarity"] = gr.Radio(
        [("The photo", "content"), ("Balanced", "balanced"), ("The style", "style")],
        value="balanced", label="Similar to", visible=False, elem_classes="cards",
    )  # fmt: skip
    knobs["backbone"] = gr.Radio(
        _choices("backbone", own), value=OWN, label="Network that judges the picture",
        elem_classes="cards",
    )  # fmt: skip
    network = about(network_html(own.name, OWN))
    with gr.Row(elem_classes="numbers"):
        knobs["iterations"] = number("Steps", own.iterations, info="More is finer, and slower")
        knobs["size"] = number("Working size", own.size, info=SIZES[own.fit])
    knobs["time_budget"] = gr.Slider(
        10, max_seconds, value=DEFAULTS["time_budget"], step=10, label="Time limit (seconds)",
        info="When it is over, the best picture so far is the result.",
    )  # fmt: skip
    knobs["stop_at"] = gr.Number(
        value=0, precision=0, label="Stop at step", visible=False,
        info="Where the run was stopped whose settings you opened; 0 for none.",
    )  # fmt: skip
    return knobs, network


def tuning() -> tuple[dict[str, Any], gr.Image]:
    """What few will change; and a picture to start from."""
    knobs: dict[str, Any] = {}
    own = recipes.DEFAULT
    knobs["style_weight"] = multiplier("Style", "How strongly the style's texture pulls.")
    knobs["content_weight"] = multiplier("Content", "How closely the photo's shapes are kept.")
    knobs["tv_weight"] = multiplier("Smoothness", "More removes specks, and fine strokes too.")
    with fold("What to take from the style", "from grain to large shapes", "layers"):
        for name, label in zip(LAYER_KNOBS, LAYERS, strict=True):
            knobs[name] = multiplier(label)
    knobs["init"] = gr.Radio(
        _choices("init", own), value=OWN, label="Start from", elem_classes="cards"
    )
    start = files.PictureInput(
        label="Or start from this picture", type="filepath", sources=["upload"], buttons=[],
        height=120, placeholder="Drop a picture here\nor click to choose", elem_id="start",
        elem_classes="picture",
    )  # fmt: skip
    knobs["optimizer"] = gr.Radio(
        _choices("optimizer", own), value=OWN, label="Optimiser", elem_classes="cards"
    )
    with gr.Row(elem_classes="numbers"):
        knobs["learning_rate"] = gr.Number(
            value=0, label="Step length", min_width=120, info="Of Adam and SGD; 0: the recipe's"
        )
        knobs["seed"] = gr.Number(
            value=0, precision=0, label="Seed", min_width=120,
            info="Of the noise a run may start from",
        )  # fmt: skip
    return knobs, start


def multiplier(label: str, info: str | None = None) -> gr.Slider:
    """Of the recipe's own weight."""
    return gr.Slider(0, 4, value=1, step=0.1, label=label, info=info)


def number(label: str, own: int, info: str | None = None) -> gr.Number:
    return gr.Number(value=own, precision=0, label=label, info=info, min_width=120)


# ---- A recipe's own values -----------------------------------------------------------------------


def title(recipe: recipes.Recipe) -> str:
    return recipe.name.capitalize()


def labels(recipe_name: str) -> dict[str, dict[str, Any]]:
    """By control: what is said of the recipe's own values, and whether it is needed at all."""
    own = recipes.named(recipe_name)
    return {
        "similarity": {"visible": own.name == recipes.ZANDIAN.name},
        "size": {"info": SIZES[own.fit]},
        **{name: {"choices": _choices(name, own)} for name in CHOICES},
    }


def fresh(recipe_name: str, backbone: str) -> dict[str, dict[str, Any]]:
    """By control: what a recipe brings when it is chosen. All that belonged to another one is taken
    back, but the network."""
    own = recipes.named(recipe_name)
    backbone = OWN if backbone == own.backbone else backbone
    values = {name: getattr(own, name) for name in NUMBERS}
    values |= {"backbone": backbone, "init": OWN, "optimizer": OWN, "learning_rate": 0}
    updates = {name: {"value": value} for name, value in values.items()}
    for name, update in labels(recipe_name).items():
        updates[name] = update | updates.get(name, {})
    return updates | {"stop_at": widened("stop_at", 0)}


def network_html(recipe_name: str, backbone: str) -> str:
    """What the chosen network needs: a download, or patience, or a stand-in for layers."""
    own = recipes.named(recipe_name).backbone
    chosen = own if backbone == OWN else backbone
    if chosen in DOWNLOADS:
        text = (
            f"{BACKBONES[chosen]} is downloaded on first use ({DOWNLOADS[chosen]}) and is slow "
            "without a GPU. <b>Lite</b> is included and about ten times as fast."
        )
    elif own != chosen:
        text = (
            f"Lite stands in for {BACKBONES[own]}: much faster, and close to it. Layers that it "
            "lacks are replaced by their neighbours; the result says which."
        )
    else:
        text = "Lite is included: nothing is downloaded."
    return f"<p>{text}</p>"


def _choices(name: str, own: recipes.Recipe) -> list[tuple[str, str]]:
    words = {"backbone": BACKBONES, "init": STARTS, "optimizer": OPTIMISERS}[name]
    mine = getattr(own, name)
    others = [(label, value) for value, label in words.items() if value != mine]
    return [(f"{words[mine]} (the recipe's)", OWN), *others]


# ---- Values to options and back ------------------------------------------------------------------


def network_for(style: str) -> str | None:
    """The trained style that is of this picture, a path: it must be the gallery's, as it is."""
    name = Path(style).stem
    own = files.gallery("styles").get(name)
    if own is None or name not in weight_files.trained_styles():
        return None
    try:
        return name if filecmp.cmp(own, style, shallow=False) else None
    except OSError:  # gone; told by who opens it
        return None


def settled(quality: bool, values: Values, styles: Sequence[str | None]) -> Values:
    """`values` with a method in place of BEST: a style of the gallery that is alone is painted by
    its own network, which has less than half of AdaIN's error (MODEL_CARD); all else by AdaIN.

    Quality starts from what that paints, and is BEST by any kind but AdaIN itself. styles: paths,
    by place; None where there is none.
    """
    if values["kind"] == "adain" or (values["kind"] != BEST and not quality):
        return values
    there = {name: style for name, style in zip(WEIGHTS, styles, strict=False) if style}
    chosen = [style for name, style in there.items() if values[name]] or list(there.values())
    own = network_for(chosen[0]) if len(chosen) == 1 else None
    if own is None:
        return values | {"kind": "adain"}
    return values | {"kind": "feedforward", "network": own}


def as_chosen(values: Values, styles: Sequence[str | None]) -> tuple[Values, Sequence[str | None]]:
    """What a page shows where BEST comes to the same as these values and styles (see `settled`);
    else as they are. A trained style of the gallery, without a style picture, is its picture."""
    own = files.gallery("styles").get(values["network"])
    if values["kind"] == "feedforward" and not any(styles) and own is not None:
        styles = [own]
    best = values | {name: DEFAULTS[name] for name in ("kind", "network")}
    return (best if settled(False, best, styles) == values else values), styles


def method_name(quality: bool, values: Values) -> str:
    """The name in METHODS; of BEST, before the styles are known, AdaIN."""
    if quality:
        return "gatys"
    return "adain" if values["kind"] == BEST else values["kind"]


def takes(name: str) -> set[str]:
    """The options that a method has, and those shared by all."""
    own = methods.named(name).options.__dataclass_fields__
    return {*own, *settings.SHARED}


def options(quality: bool, values: Values) -> dict[str, Any]:
    """For `nst_demo.stylize` (Fast) or `iterate` (Quality); what is the default is left out."""
    name = method_name(quality, values)
    taken = takes(name)
    found = {knob: values[knob] for knob in SHARED if knob in taken}
    if not quality:
        if methods.named(name).networks is not None:
            if values["network"] is None:
                raise StyleTransferError("No trained style is chosen; choose one.")
            found["network"] = values["network"]
        return found
    recipe_name = values["recipe"]
    found["recipe"] = recipe_name
    if recipe_name == recipes.ZANDIAN.name:
        found["similarity"] = values["similarity"]
    found |= {name: values[name] for name in (*MULTIPLIERS, "time_budget")}
    own = recipes.named(recipe_name)
    for name in NUMBERS:
        if values[name] not in (None, getattr(own, name)):
            found[name] = values[name]
    if values["learning_rate"]:
        found["learning_rate"] = values["learning_rate"]
    found |= {name: values[name] for name in CHOICES if values[name] != OWN}
    starts = own.init if values["init"] == OWN else values["init"]
    if starts == "fast" and values["kind"] == "feedforward" and values["keep_colors"] == "none":
        found["init_network"] = values["network"]
    found["seed"] = values["seed"] or 0
    layers = [values[name] for name in LAYER_KNOBS]
    if len(set(layers)) > 1 or layers[0] == 0:  # 0 everywhere is the library's to refuse
        shares = _layer_weights(recipe_name, values["similarity"])
        found["layer_weights"] = tuple(a * b for a, b in zip(layers, shares, strict=True))
    return found


def values(method: str, options: Mapping[str, Any]) -> Values:
    """What the controls show for these options of a method, without the styles' weights.

    StyleTransferError for an option that the page has no control for.
    """
    quality = method == "gatys"
    known = SHARED + (QUALITY_OPTIONS if quality else ("network",))
    unseen: tuple[str, ...] = ("style_weights", "seed")
    if quality:
        unseen = ("style_weights", "layer_weights", "save_every", "init_network")
    own = recipes.named(options.get("recipe", DEFAULTS["recipe"]))
    found = DEFAULTS | {name: getattr(own, name) for name in NUMBERS}
    if not quality:
        found["kind"] = method
    elif "init_network" in options:
        found |= {"kind": "feedforward", "network": options["init_network"]}
        # "content" is what a run has that went on from a picture.
        options = {n: value for n, value in options.items() if (n, value) != ("init", "content")}
    elif options.get("init", own.init) == "fast" and options.get("keep_colors", "none") == "none":
        found["kind"] = "adain"
    for name, value in options.items():
        if name in CHOICES and name in known and value == getattr(own, name):
            continue
        if name in known and (name != "seed" or value <= MAX_SEED):
            found[name] = value
        elif name not in unseen and value != _default(method, name):
            raise StyleTransferError(
                f"The settings have {name} = {value}, for which this page has no control; use them "
                "with nst-demo in a terminal."
            )
    if quality and (layers := options.get("layer_weights")) is not None:
        shares = _layer_weights(found["recipe"], found["similarity"])
        # Rounded: a knob at 1.7 comes back as 1.7, and gives the very same product again.
        knobs = [round(a / b, 6) for a, b in zip(layers, shares, strict=True)]
        found |= dict(zip(LAYER_KNOBS, knobs, strict=True))
    return found


def _default(method: str, name: str) -> Any:
    fields = METHODS[method].options.__dataclass_fields__
    return fields[name].default if name in fields else None


def widened(name: str, value: Any) -> dict[str, Any]:
    """The value of a control and, where a slider is too short for it, its new end."""
    update: dict[str, Any] = {"value": value}
    if name in (*MULTIPLIERS, *LAYER_KNOBS) and value > 4:
        update["maximum"] = value
    if name == "stop_at":
        update["visible"] = bool(value)
    return update


def _layer_weights(recipe_name: str, similarity: str) -> list[float]:
    own = recipes.named(recipe_name)
    if own.name == recipes.ZANDIAN.name:
        own = recipes.with_similarity(own, similarity)
    return [weight for _, weight in own.style_layers]


def summary(quality: bool, values: Values) -> str:
    """Such as "Quality, recipe Keras", for a person; as HTML."""
    if not quality:
        if values["kind"] == BEST:
            return "Fast"
        chosen = methods.named(values["kind"])
        if chosen.networks is not None:
            return html.escape(f"Fast, trained style {caption(str(values['network']))}")
        return f"Fast, {chosen.title}"
    return html.escape(f"Quality, recipe {title(recipes.named(values['recipe']))}")
