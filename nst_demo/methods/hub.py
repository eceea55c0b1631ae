"""Magenta's network for any style, from TensorFlow Hub. Ghiasi et al., arXiv 1705.06830.

The Hub's model takes photo and style and returns the picture; its style bottleneck is not exposed,
so strength blends pixels. Downloaded on first use, or read from the folder that
NST_MAGENTA_MODEL names.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nst_demo import images, models, weights
from nst_demo.errors import StyleTransferError, check_range

STYLE_SIDE = 256  # px; the model was trained on styles of this size and looks best with it
MAX_SIZE = 4096  # px


@dataclass(frozen=True)
class Options:
    """Options of Magenta's network.

    Attributes:
        strength: 0 gives back the photo, 1 the full style.
        size: long side in px at which the picture is painted; a larger photo is painted at this
            size and enlarged to its own.
    """

    strength: float = 1.0
    size: int = 2048

    def __post_init__(self):
        check_range("strength", self.strength, 0, 1)
        check_range("size", self.size, images.MIN_SIDE, MAX_SIZE)


def _load() -> Any:
    handle = weights.magenta()
    try:
        import tensorflow_hub

        return tensorflow_hub.load(handle)
    except ImportError as error:  # the package, or pkg_resources, which newer setuptools lack
        raise StyleTransferError(
            f"Magenta's model needs the package tensorflow-hub ({error}); install "
            "'tensorflow-hub' and 'setuptools<81', or use the method 'adain'."
        ) from error
    except Exception as error:  # urllib, tarfile and TensorFlow each raise their own kinds
        raise StyleTransferError(
            f"Magenta's model could not be loaded from {handle} ({type(error).__name__}); connect "
            f"to the internet, or set {weights.MAGENTA_VARIABLE} to a folder with the model, "
            "or use the method 'adain'."
        ) from error


def stylize(content: np.ndarray, styles: Sequence[np.ndarray], options: Options) -> np.ndarray:
    """`content` (H, W, 3) in the style of the one picture in `styles`: (H, W, 3) in [0, 1]."""
    (picture,) = styles
    model = models.shared("magenta", _load)
    small = images.fit(content, options.size)
    style = images.resize(picture, STYLE_SIDE, STYLE_SIDE)
    with models.on_device():
        started = time.perf_counter()
        painted = np.asarray(model(_tensor(small), _tensor(style))[0])[0]
        models.pace.record("magenta", small.size, time.perf_counter() - started)
    # The model's strides may cost or add a few pixels at the right and bottom.
    painted = images.resize(painted, *content.shape[:2])
    return np.clip(content + np.float32(options.strength) * (painted - content), 0.0, 1.0)


def _tensor(image: np.ndarray) -> Any:
    import tensorflow as tf

    return tf.constant(image[None])


def expected_seconds(height: int, width: int, options: Options) -> float | None:
    """Seconds for a photo of this size on this machine; None before the first run."""
    return models.pace.expected_for("magenta", height, width, options.size)
