"""Where each style is painted: regions that the visitor brushes over the photo.

The page hands over a small drawing: one colour for each style's region, one for what keeps the
photo, transparent where nothing was brushed. It becomes a mask for each style (`masks`).
painter.js is the page's side of it; gr.ImageEditor is not used because it loads a megabyte of
script, and its tools are too small for a finger.
"""

from __future__ import annotations

import base64
import binascii
import html
import io
import json
from collections.abc import Sequence
from pathlib import Path

import gradio as gr
import numpy as np

from nst_demo import images
from nst_demo.errors import StyleTransferError
from nst_demo.ui import files

SCRIPT = Path(__file__).with_suffix(".js")
REGIONS = (
    ("Style 1", "#e2562f"),
    ("Style 2", "#2f86c8"),
    ("Style 3", "#3d9a50"),
    ("Style 4", "#8f5bd0"),
    ("Keep photo", "#ffffff"),
)
COLOURS = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for _, c in REGIONS], "float32")
KEEP_PHOTO = len(REGIONS)  # the label of the last region; 0 is the label of what was not brushed
PREFIX = "data:image/png;base64,"
MAX_CHARACTERS = 400_000  # of a drawing; a real one has 20,000
MAX_SIDE = 2048  # px of a drawing; painter.js keeps to it

# The data: URL of the value is no part of the template, so the canvas is never rendered again.
TEMPLATE = f"""
<div class="painter" data-brushes="{
    html.escape(json.dumps([{"name": name, "colour": colour} for name, colour in REGIONS]))
}">
<p class="hint" role="status"></p>
<div class="brushes" role="group" aria-label="Brush"></div>
<div class="easel"><img alt=""><canvas width="8" height="8"
 aria-label="Brush over the photo"></canvas><i class="cursor"></i></div>
<div class="tools">
<label class="size">Brush <input type="range" min="2" max="60" value="18"></label>
<button type="button" class="undo" disabled>Undo</button>
<button type="button" class="clear" disabled>Clear</button>
<button type="button" class="save" disabled title="To open it again later">Save</button>
<button type="button" class="open" title="A saved drawing, or a mask in black and white">Open
</button><input type="file" class="file" accept="image/*" hidden>
</div></div>
"""
# Tells painter.js which pictures are chosen: `photo`, and the `others`, the styles from the second
# on, unless the first is `alone`. The painter may be there later than the first of these events.
TELL_PICTURES = """
  window.nstPictures = alone ? [photo, ...others.map(() => null)] : [photo, ...others];
  window.dispatchEvent(new CustomEvent('nst-pictures', {detail: window.nstPictures}))"""


def build() -> gr.HTML:
    return gr.HTML(
        "",
        html_template=TEMPLATE,
        js_on_load=SCRIPT.read_text("utf-8"),
        apply_default_css=False,
        padding=False,
        elem_id="painter",
    )


def labels(drawing: str | None) -> np.ndarray | None:
    """The region at each pixel: uint8 (h, w), 0 for none; None where nothing was drawn.

    drawing: what the page sends, or anything that a stranger does. StyleTransferError if it is no
    drawing.
    """
    if not drawing:
        return None
    if not drawing.startswith(PREFIX) or len(drawing) > MAX_CHARACTERS:
        raise StyleTransferError("The drawn regions cannot be read; clear them and draw again.")
    try:
        data = base64.b64decode(drawing[len(PREFIX) :], validate=True)
    except binascii.Error as error:
        raise StyleTransferError(
            "The drawn regions cannot be read; clear them and draw again."
        ) from error
    if max(files.pixel_size(io.BytesIO(data)) or (0,)) > MAX_SIDE:
        raise StyleTransferError(
            f"The drawing of the regions has over {MAX_SIDE} px a side; draw it on the page."
        )
    picture = images.open_picture(data, what="drawing of the regions")
    found = np.zeros(picture.rgb.shape[:2], "uint8")
    nearest = np.full(found.shape, np.inf, "float32")
    for label, colour in enumerate(COLOURS, 1):  # one by one: a stranger's drawing may be large
        distance = np.square(255 * picture.rgb - colour).sum(-1)
        found[distance < nearest] = label
        nearest = np.minimum(nearest, distance)
    if picture.alpha is not None:
        found[picture.alpha < 0.5] = 0
    return found if found.any() else None


def masks(labels: np.ndarray | None, chosen: Sequence[int]) -> list[np.ndarray] | None:
    """A mask with soft edges for each of the styles, None to paint everywhere.

    A style whose region was brushed has it. A style without one fills what was not brushed; where
    all have one, the rest keeps the photo.

    Args:
        labels: uint8 (h, w), as `labels` gives them.
        chosen: the places (1, 2, 3, 4) of the styles there are; [1] where there is no picture.
    """
    if labels is None:
        return None
    labels = np.where(np.isin(labels, [*chosen, KEEP_PHOTO]), labels, 0)
    if not labels.any():
        return None
    found = []
    for place in chosen:
        mask = labels == place
        if not mask.any():
            mask = labels == 0
        if not mask.any():
            raise StyleTransferError(
                f"The regions leave no place for style {place}; brush one for it, or erase some."
            )
        found.append(images.open_mask(mask, what=f"region of style {place}"))
    return found
