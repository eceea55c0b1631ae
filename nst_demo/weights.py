"""Where each network's weights come from: packaged with nst_demo, a local file, or a download.

| name | from | licence |
|---|---|---|
| lite, adain | packaged: `pretrained/`, trained by `nst_demo.training` | the project's own |
| vgg16, vgg19 | `keras.applications`, ImageNet weights of Simonyan & Zisserman | CC BY 4.0 |
| magenta | TensorFlow Hub, arbitrary-image-stylization-v1-256 | Apache 2.0 |
"""

from __future__ import annotations

import os
from pathlib import Path

from nst_demo.errors import StyleTransferError

PRETRAINED = Path(__file__).parent / "pretrained"
PACKAGED = {"lite": "lite.weights.h5", "adain": "adain.weights.h5"}
LOCAL_FILE_VARIABLES = {"vgg16": "NST_VGG16_WEIGHTS", "vgg19": "NST_VGG19_WEIGHTS"}
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
    """The file named by NST_VGG16_WEIGHTS or NST_VGG19_WEIGHTS, None where that is not set."""
    variable = LOCAL_FILE_VARIABLES[name]
    value = os.environ.get(variable, "").strip()
    if not value:
        return None
    if not Path(value).is_file():
        raise StyleTransferError(
            f"{variable} names {value!r}, which is no file; "
            "correct it, or unset it to download the weights."
        )
    return Path(value)


def magenta() -> str:
    """The folder that NST_MAGENTA_MODEL names, else the handle on TensorFlow Hub."""
    folder = os.environ.get(MAGENTA_VARIABLE, "").strip()
    if folder and not Path(folder).is_dir():
        raise StyleTransferError(
            f"{MAGENTA_VARIABLE} names {folder!r}, which is no folder; "
            "correct it, or unset it to download the model."
        )
    return folder or MAGENTA_HANDLE
