"""The feature networks, VGG19 against keras.applications' own."""

import shutil

import h5py
import keras
import numpy as np
import pytest
from keras import ops
from keras.src.legacy.saving import legacy_h5_format

from nst_demo import backbones, weights
from nst_demo.errors import StyleTransferError

VGG = {"vgg16": "VGG16", "vgg19": "VGG19"}


def numpy(value) -> np.ndarray:
    return ops.convert_to_numpy(value)


def conv_layers(network: keras.Model) -> list[str]:
    return [layer.name for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]


def batch(picture, height: int, width: int) -> np.ndarray:
    return picture(height, width, seed=3)[None]


@pytest.fixture(scope="module")
def reference() -> keras.Model:
    """keras.applications' VGG19, random weights, with biases that are not 0."""
    keras.utils.set_random_seed(0)
    network = keras.applications.VGG19(include_top=False, weights=None)
    rng = np.random.default_rng(0)
    for name in conv_layers(network):
        kernel, bias = network.get_layer(name).get_weights()
        # He's size instead of Glorot's, or the deep features would be all but 0.
        scale = np.sqrt(2 / np.prod(kernel.shape[:3])) / kernel.std()
        network.get_layer(name).set_weights([kernel * scale, rng.normal(0, 0.5, bias.shape)])
    return network


@pytest.fixture(scope="module")
def weight_files(reference, tmp_path_factory):
    """The reference's weights as Keras 3 writes them and as the published files are, 80 MB each."""
    folder = tmp_path_factory.mktemp("vgg19")
    reference.save_weights(folder / "new.weights.h5")
    with h5py.File(folder / "legacy.h5", "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, reference)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("name", VGG)
def test_vgg_layers_are_those_of_keras_applications(name):
    theirs = getattr(keras.applications, VGG[name])(include_top=False, weights=None)
    assert list(backbones.architecture(name).layers) == conv_layers(theirs)
    ours = backbones.build(name)
    for layer in conv_layers(theirs):
        shapes = [w.shape for w in theirs.get_layer(layer).get_weights()]
        assert [w.shape for w in ours.get_layer(layer).get_weights()] == shapes


def test_lite_has_vgg19s_layers_up_to_its_deepest():
    lite = backbones.architecture("lite").layers
    assert lite == backbones.architecture("vgg19").layers[: len(lite)]
    assert lite[-1] == "block5_conv1"


@pytest.mark.parametrize("name", backbones.ARCHITECTURES)
def test_every_backbone_has_the_style_layers(name):
    assert set(backbones.STYLE_LAYERS) <= set(backbones.architecture(name).layers)


@pytest.mark.parametrize("file", ["new.weights.h5", "legacy.h5"])
def test_vgg19_gives_keras_applications_features(
    monkeypatch, picture, reference, weight_files, file
):
    monkeypatch.setenv("NST_VGG19_WEIGHTS", str(weight_files / file))
    network = backbones.load("vgg19")
    image = batch(picture, 48, 64)
    layers = conv_layers(reference)
    theirs = keras.Model(reference.input, [reference.get_layer(n).output for n in layers])(
        keras.applications.vgg19.preprocess_input(255 * image)
    )
    ours = network(image)
    assert list(ours) == layers
    for layer, expected in zip(layers, map(numpy, theirs), strict=True):
        found = numpy(ours[layer])
        assert expected.std() > 1  # there is something to compare
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * expected.max())


@pytest.mark.filterwarnings("ignore:Skipping nested container")
@pytest.mark.parametrize("file", ["new.weights.h5", "legacy.h5"])
def test_weights_of_another_architecture_are_refused(monkeypatch, weight_files, file):
    monkeypatch.setenv("NST_VGG16_WEIGHTS", str(weight_files / file))
    with pytest.raises(StyleTransferError, match="do not fit") as caught:
        backbones.load("vgg16")
    assert_names_the_ways_out(caught.value, "NST_VGG16_WEIGHTS")
    assert file in str(caught.value)


@pytest.mark.parametrize(
    ("suffix", "content"), [(".weights.h5", b""), (".h5", b"this is no HDF5 file"), (".txt", b"x")]
)
def test_a_file_that_holds_no_weights_is_refused(monkeypatch, tmp_path, content, suffix):
    file = tmp_path / f"vgg19{suffix}"
    file.write_bytes(content)
    monkeypatch.setenv("NST_VGG19_WEIGHTS", str(file))
    with pytest.raises(StyleTransferError, match="do not fit") as caught:
        backbones.load("vgg19")
    assert_names_the_ways_out(caught.value, "NST_VGG19_WEIGHTS")


def test_a_missing_file_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("NST_VGG19_WEIGHTS", str(tmp_path / "missing.h5"))
    with pytest.raises(StyleTransferError, match="NST_VGG19_WEIGHTS") as caught:
        backbones.load("vgg19")
    assert "download" in str(caught.value)


@pytest.mark.parametrize("name", VGG)
def test_a_failed_download_names_both_ways_and_leaves_lite_working(monkeypatch, picture, name):
    from urllib.error import URLError

    asked = []

    def offline(**options):
        asked.append(options)
        raise URLError("Temporary failure in name resolution\nsecond line")

    variable = f"NST_{name.upper()}_WEIGHTS"
    monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(keras.applications, VGG[name], offline)
    with pytest.raises(StyleTransferError, match="could not be downloaded") as caught:
        backbones.load(name)
    assert_names_the_ways_out(caught.value, variable)
    assert asked == [{"include_top": False, "weights": "imagenet"}]
    features = backbones.load("lite")(batch(picture, 32, 32))
    assert all(np.isfinite(numpy(f)).all() for f in features.values())


def assert_names_the_ways_out(error: Exception, variable: str) -> None:
    text = str(error)
    assert "\n" not in text
    assert variable in text
    assert "internet" in text
    assert "lite" in text


def test_the_packaged_lite_is_trained():
    """Its features tell pictures apart and are no longer those of fresh weights."""
    keras.utils.set_random_seed(0)
    fresh, lite = backbones.build("lite"), backbones.load("lite")
    for layer in backbones.architecture("lite").layers:
        trained = lite.get_layer(layer).get_weights()[1]
        assert np.any(trained != fresh.get_layer(layer).get_weights()[1])  # biases start at 0


def test_lites_readouts_have_vgg19s_channels():
    """And a mean of about 1, as its published losses are scaled for."""
    readouts = backbones.readouts("lite")
    assert list(readouts) == list(backbones.STYLE_LAYERS)
    features = backbones.load("lite")(np.random.default_rng(0).random((1, 64, 64, 3), "float32"))
    for layer, (kernel, bias) in readouts.items():
        assert kernel.shape == (backbones.architecture("lite").width(layer), bias.size)
        assert 0.2 < (numpy(features[layer]) @ kernel + bias).mean() < 5
    assert [readouts[f"block{block}_conv1"].bias.size for block in (1, 2, 3)] == [64, 128, 256]
    assert backbones.readouts("vgg19") == {}


def test_missing_readouts_are_told(monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "PRETRAINED", tmp_path)
    with pytest.raises(StyleTransferError, match=r"lite\.readouts\.npz are missing"):
        backbones.readouts("lite")


@pytest.mark.parametrize(("height", "width"), [(64, 64), (67, 101), (16, 17)])
def test_feature_sizes_halve_at_each_block(tiny_backbone, picture, height, width):
    features = backbones.load(tiny_backbone)(batch(picture, height, width))
    for block in range(1, 6):
        found = features[f"block{block}_conv1"].shape
        assert tuple(found[1:3]) == (height >> block - 1, width >> block - 1)


def test_lite_sees_no_frame_at_the_border_of_a_constant_picture():
    """Zero padding of the picture itself would show in the first layer."""
    features = numpy(
        backbones.load("lite")(np.full((1, 32, 32, 3), 0.8, "float32"))["block1_conv1"]
    )
    assert np.ptp(features, axis=(1, 2)).max() < 1e-5
    assert features.max() > 0.01


def test_truncate_shares_weights_and_drops_the_deeper_layers(picture):
    network = backbones.build("lite")
    image = batch(picture, 32, 48)
    before = numpy(network(image)["block2_conv1"])
    short = backbones.truncate(network, ["block1_conv2", "block2_conv1"])
    np.testing.assert_array_equal(numpy(short(image)["block2_conv1"]), before)
    assert conv_layers(short) == ["block1_conv1", "block1_conv2", "block2_conv1"]
    assert list(short(image)) == ["block1_conv2", "block2_conv1"]

    layer = network.get_layer("block1_conv1")
    layer.set_weights([2 * w for w in layer.get_weights()])
    after = numpy(short(image)["block2_conv1"])
    np.testing.assert_array_equal(after, numpy(network(image)["block2_conv1"]))
    assert np.abs(after - before).max() > 0.01


def test_truncate_refuses_a_layer_that_is_not_there():
    network = backbones.build("lite")
    with pytest.raises(StyleTransferError, match=r"no layer 'block5_conv4'; it has block1_conv1"):
        backbones.truncate(network, ["block1_conv1", "block5_conv4"])


@pytest.mark.parametrize(
    ("name", "layer", "nearest"),
    [
        ("lite", "block3_conv4", "block3_conv4"),
        ("lite", "block5_conv1", "block5_conv1"),
        ("lite", "block5_conv4", "block5_conv1"),
        ("vgg16", "block3_conv4", "block3_conv3"),
        ("vgg16", "block4_conv4", "block4_conv3"),
        ("vgg19", "block5_conv4", "block5_conv4"),
        ("vgg19", "block1_conv3", "block1_conv2"),
    ],
)
def test_nearest_layer_is_the_same_or_shallower(name, layer, nearest):
    assert backbones.nearest_layer(name, layer) == nearest


@pytest.mark.parametrize("layer", ["foo", "conv1_1", "block0_conv1", "block1_conv0", "block5_pool"])
def test_a_layer_of_no_such_name_is_refused(layer):
    with pytest.raises(
        StyleTransferError, match=f"no layer '{layer}'; name one as keras"
    ) as caught:
        backbones.nearest_layer("lite", layer)
    assert "block1_conv1 to block5_conv1 on lite" in str(caught.value)


def test_strides_widths_and_features_by_pixel():
    vgg19 = backbones.architecture("vgg19")
    assert [backbones.stride(layer) for layer in backbones.STYLE_LAYERS] == [1, 2, 4, 8, 16]
    assert [vgg19.width(layer) for layer in backbones.STYLE_LAYERS] == [64, 128, 256, 512, 512]
    assert vgg19.upto(["block2_conv1", "block1_conv1"]) == vgg19.layers[:3]
    assert vgg19.floats_per_pixel(["block2_conv1"]) == 64 + 64 + 128 / 4


@pytest.mark.parametrize("ask", [backbones.architecture, backbones.build, backbones.load])
def test_an_unknown_backbone_is_refused_with_the_choice(ask):
    with pytest.raises(StyleTransferError, match="'resnet50'; choose one of lite, vgg16, vgg19"):
        ask("resnet50")
