"""Magenta's method, end to end on a tiny SavedModel with the Hub model's signature."""

import sys

import numpy as np
import pytest
import tensorflow as tf

import nst_demo
from nst_demo import color, models, weights
from nst_demo.errors import StyleTransferError


class TinyModel(tf.Module):
    """Paints the photo in the style's mean colour; drops an odd last row, as strides do.

    Black where the style is not of the size that Magenta's model was trained on.
    """

    @tf.function(
        input_signature=[tf.TensorSpec([None, None, None, 3]), tf.TensorSpec([None, None, None, 3])]
    )
    def __call__(self, content, style):
        colour = tf.reduce_mean(style, axis=(1, 2), keepdims=True)
        colour *= tf.cast(tf.reduce_all(tf.shape(style)[1:3] == 256), tf.float32)
        height = tf.shape(content)[1] // 2 * 2
        return [0.0 * content[:, :height] + colour]


@pytest.fixture
def tiny_model(tmp_path, monkeypatch):
    tf.saved_model.save(TinyModel(), str(tmp_path / "magenta"))
    monkeypatch.setenv(weights.MAGENTA_VARIABLE, str(tmp_path / "magenta"))
    monkeypatch.delitem(models._built, "magenta", raising=False)
    yield
    models._built.pop("magenta", None)


@pytest.fixture
def photo():
    return np.random.default_rng(0).random((67, 101, 3), dtype="float32")


@pytest.fixture
def orange():
    return np.broadcast_to(np.float32([0.9, 0.5, 0.1]), (40, 30, 3)).copy()


def test_paints_at_the_photos_size(tiny_model, photo, orange):
    picture = nst_demo.stylize(photo, orange, method="magenta")
    assert picture.shape == photo.shape
    np.testing.assert_allclose(picture, np.broadcast_to(orange[0, 0], photo.shape), atol=1e-3)


@pytest.mark.parametrize("shape", [(16, 16), (33, 300), (641, 97)])
def test_a_photo_of_any_size_keeps_it(tiny_model, orange, shape):
    picture = nst_demo.stylize(np.zeros((*shape, 3), "float32"), orange, method="magenta")
    np.testing.assert_allclose(picture, np.broadcast_to(orange[0, 0], (*shape, 3)), atol=1e-3)


def test_the_model_is_loaded_once_and_on_first_use(tiny_model, photo, orange, monkeypatch):
    import tensorflow_hub

    handles, load = [], tensorflow_hub.load
    monkeypatch.setattr(tensorflow_hub, "load", lambda h: handles.append(h) or load(h))
    nst_demo.expected_seconds("magenta", 100, 100)
    assert handles == []
    for _ in range(2):
        nst_demo.stylize(photo, orange, method="magenta")
    assert handles == [weights.magenta()]


def test_without_the_package_it_is_one_sentence_and_the_rest_works(
    tiny_model, photo, orange, monkeypatch
):
    monkeypatch.setitem(sys.modules, "tensorflow_hub", None)
    with pytest.raises(StyleTransferError, match="install 'tensorflow-hub'") as caught:
        nst_demo.stylize(photo, orange, method="magenta")
    assert "\n" not in str(caught.value)
    assert nst_demo.stylize(photo, orange).shape == photo.shape


def test_strength_blends_pixels(tiny_model, photo, orange):
    half = nst_demo.stylize(photo, orange, method="magenta", strength=0.5)
    np.testing.assert_allclose(half, (photo + orange[0, 0]) / 2, atol=1e-3)
    none = nst_demo.stylize(photo, orange, method="magenta", strength=0.0)
    np.testing.assert_allclose(none, photo, atol=1e-6)


def test_takes_one_style(tiny_model, photo, orange):
    with pytest.raises(StyleTransferError, match="one style, not 2"):
        nst_demo.stylize(photo, [orange, orange], method="magenta")


def test_masks_and_kept_colours_need_nothing_of_the_model(tiny_model, photo, orange):
    left = np.zeros(photo.shape[:2], "float32")
    left[:, :50] = 1
    blue = orange[..., ::-1]
    picture = nst_demo.stylize(photo, [orange, blue], method="magenta", masks=[left, 1 - left])
    np.testing.assert_allclose(picture[:, :50], np.broadcast_to(orange[0, 0], (67, 50, 3)), 1e-3)
    np.testing.assert_allclose(picture[:, 50:], np.broadcast_to(blue[0, 0], (67, 51, 3)), 1e-3)
    picture = nst_demo.stylize(photo, orange, method="magenta", masks=left)
    np.testing.assert_array_equal(picture[:, 50:], photo[:, 50:])
    kept = nst_demo.stylize(photo, orange, method="magenta", keep_colors="luminance")
    np.testing.assert_allclose(color.luminance(kept), color.luminance(orange[0, 0]), atol=1e-3)


def test_a_failed_download_is_one_sentence_and_the_rest_works(monkeypatch, photo, orange):
    import tensorflow_hub

    def fail(handle):
        raise OSError(f"no route to {handle}")

    monkeypatch.delenv(weights.MAGENTA_VARIABLE, raising=False)
    monkeypatch.setattr(tensorflow_hub, "load", fail)
    with pytest.raises(StyleTransferError, match="NST_MAGENTA_MODEL") as caught:
        nst_demo.stylize(photo, orange, method="magenta")
    assert "\n" not in str(caught.value)
    assert nst_demo.stylize(photo, orange).shape == photo.shape


def test_a_wrong_folder_is_one_sentence(monkeypatch, photo, orange):
    monkeypatch.setenv(weights.MAGENTA_VARIABLE, "/no/such/folder")
    with pytest.raises(StyleTransferError, match="no folder"):
        nst_demo.stylize(photo, orange, method="magenta")


@pytest.mark.parametrize("options", [{"strength": 7}, {"strength": float("nan")}, {"size": 4}])
def test_options_out_of_range(options, photo, orange):
    with pytest.raises(StyleTransferError):
        nst_demo.stylize(photo, orange, method="magenta", **options)
