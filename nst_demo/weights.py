"""Where each network's weights come from: packaged with nst_demo, a local file, or a download.

| name | from | licence |
|---|---|---|
| lite, adain | packaged: `pretrained/`, trained by `nst_demo.training` | the project's own |
| vgg16, vgg19 | `keras.applications`, ImageNet weights of Simonyan & Zisserman | CC BY 4.0 |
| magenta | TensorFlow Hub, arbitrary-image-stylization-v1-256 | Apache 2.0 |
| trained styles | packaged: `pretrained/styles/`; the folder NST_STYLES_DIR | the project's own |
| adain-published | a local file: what `nst-demo train-adain --backbone` wrote | who trained it |
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from nst_demo.errors import StyleTransferError

log = logging.getLogger(__name__)

PRETRAINED = Path(__file__).parent / "pretrained"
PACKAGED = {
    "lite": "lite.weights.h5",
    "lite's readouts": "lite.readouts.npz",
    "adain": "adain.weights.h5",
}
LOCAL_FILE_VARIABLES = {
    "vgg16": "NST_VGG16_WEIGHTS",
    "vgg19": "NST_VGG19_WEIGHTS",
    "adain-published": "NST_ADAIN_DECODER",
}
DOWNLOADED = ("vgg16", "vgg19")  # where no local file is named
STYLES_VARIABLE = "NST_STYLES_DIR"
STYLE_SUFFIX = ".weights.h5"
HDF5 = b"\x89HDF\r\n\x1a\n"  # how such a file begins
MAGENTA_VARIABLE = "NST_MAGENTA_MODEL"
MAGENTA_HANDLE = (
    "https://www.kaggle.com/models/google/arbitrary-image-stylization-v1/tensorFlow1/256/2"
)


def packaged(name: str) -> Path:
    """The file of a network that the package ships. StyleTransferError where it is missing."""
    path = PRETRAINED / PACKAGED[name]
    if not path.is_file():
        raise StyleTransferError(
            f"The packaged weights {path} are missing; install nst_demo again."
        )
    return path


def local_file(name: str) -> Path | None:
    """The file that a variable of LOCAL_FILE_VARIABLES names, None where that is not set."""
    variable = LOCAL_FILE_VARIABLES[name]
    value = os.environ.get(variable, "").strip()
    if not value:
        return None
    if not Path(value).is_file():
        instead = " to download the weights" if name in DOWNLOADED else ""
        raise StyleTransferError(
            f"{variable} names {value!r}, which is no file; correct it, or unset it{instead}."
        )
    return Path(value)


def trained_styles() -> dict[str, Path]:
    """The networks of one style each, by name: the packaged ones, then those of NST_STYLES_DIR.

    The name is the file's without .weights.h5; one of the folder takes the place of a packaged one
    of that name. What is no weights file is left out, and logged. Needs no Keras: the page asks
    this before that is loaded.
    """
    found: dict[str, Path] = {}
    own = os.environ.get(STYLES_VARIABLE, "").strip()
    for folder in (PRETRAINED / "styles", *([Path(own)] if own else [])):
        if own and folder == Path(own) and not folder.is_dir():
            log.warning("%s names %r, which is no folder; it is left out.", STYLES_VARIABLE, own)
        for path in sorted(folder.glob(f"*{STYLE_SUFFIX}")):
            name = path.name.removesuffix(STYLE_SUFFIX)
            if not name or name.startswith("."):
                continue  # a file that a training is writing
            if not _is_weights(path):
                log.warning("The trained style %s is no weights file; it is left out.", path)
            else:
                found[name] = path
    return found


def _is_weights(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(HDF5)) == HDF5
    except OSError:
        return False


def shapes(path: Path) -> list[tuple[int, ...]]:
    """Of all arrays in a `.weights.h5`; none where it is damaged, or no such file."""
    import h5py  # takes long to load, and the page asks this module for names before it needs it

    found: list[tuple[int, ...]] = []

    def note(_: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            found.append(tuple(item.shape))

    try:
        with h5py.File(path) as file:
            file.visititems(note)
    except (OSError, RuntimeError, KeyError, ValueError):
        return []
    return found


def magenta() -> str:
    """The folder that NST_MAGENTA_MODEL names, else the handle on TensorFlow Hub."""
    folder = os.environ.get(MAGENTA_VARIABLE, "").strip()
    if folder and not Path(folder).is_dir():
        raise StyleTransferError(
            f"{MAGENTA_VARIABLE} names {folder!r}, which is no folder; "
            "correct it, or unset it to download the model."
        )
    return folder or MAGENTA_HANDLE
