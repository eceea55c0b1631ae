"""Small pictures, and a tiny feature network that keeps the suite offline and short."""

import functools
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if "PYTEST_XDIST_WORKER" in os.environ:  # else the workers' threads wait for each other's cores
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ["NST_PRECISION"] = "float32"  # what is compared exactly; bfloat16 has tests of its own

from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
import pytest

from nst_demo import backbones, images, models

TINY = backbones.Architecture(channels=(4, 6, 8, 8, 8), convolutions=(1, 1, 1, 1, 1))


def pytest_configure(config: pytest.Config) -> None:
    """Keras copies TensorFlow's variables in a way that NumPy 2 warns of, a thousand times here."""
    config.addinivalue_line(
        "filterwarnings", "ignore:__array__ implementation doesn't accept:DeprecationWarning"
    )


PictureMaker = Callable[..., np.ndarray]


def make_picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Soft random colour blobs with some grain: float32 (height, width, 3) in [0, 1]."""
    rng = np.random.default_rng(seed)
    blobs = images.resize(rng.random((5, 6, 3)).astype("float32"), height, width)
    return np.clip(blobs + rng.normal(0, 0.03, blobs.shape), 0, 1).astype("float32")


@pytest.fixture(scope="session")
def picture() -> PictureMaker:
    return make_picture


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    return make_picture(40, 56, seed=1)


@pytest.fixture(scope="session")
def style() -> np.ndarray:
    return make_picture(48, 40, seed=2)


@pytest.fixture
def photo_file(tmp_path: Path, photo: np.ndarray) -> Path:
    images.save_image(tmp_path / "photo.png", photo)
    return tmp_path / "photo.png"


@pytest.fixture
def style_file(tmp_path: Path, style: np.ndarray) -> Path:
    images.save_image(tmp_path / "style.png", style)
    return tmp_path / "style.png"


@pytest.fixture(scope="session")
def tiny_backbone() -> Iterator[str]:
    """The name of a seeded backbone of one narrow convolution a block, known like `lite`."""
    load = backbones.load

    def load_tiny(name: str) -> keras.Model:
        if name != "tiny":
            return load(name)
        keras.utils.set_random_seed(7)
        network = backbones.build_network(TINY, "unit", "tiny")
        rng = np.random.default_rng(7)
        for layer in TINY.layers:  # non-zero biases too, so that a test would miss them
            kernel, bias = network.get_layer(layer).get_weights()
            network.get_layer(layer).set_weights([kernel, rng.normal(0, 0.1, bias.shape)])
        return network

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(backbones.ARCHITECTURES, "tiny", TINY)
        patch.setattr(backbones, "load", load_tiny)
        yield "tiny"
        models._built.pop(("gatys", "tiny"), None)


@pytest.fixture
def float32_policy() -> Iterator[None]:
    """Puts back the global precision, which a training in bfloat16 changes."""
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture
def untraced(monkeypatch) -> None:
    """Trainings take their steps without a graph, which for a few steps costs more than they."""
    compile_model = keras.Model.compile
    monkeypatch.setattr(
        keras.Model, "compile", functools.partialmethod(compile_model, run_eagerly=True)
    )
