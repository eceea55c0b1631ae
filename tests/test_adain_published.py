"""The published AdaIN: its decoder, eq. 8 and 12 to 15, training, use of what was trained."""

from functools import partial
from pathlib import Path

import keras
import numpy as np
import pytest

import nst_demo
from nst_demo import StyleTransferError, backbones, cli, images, losses, models, weights
from nst_demo.methods import METHODS, adain_published
from nst_demo.training import adain as training
from nst_demo.training import loop

VARIABLE = weights.LOCAL_FILE_VARIABLES["adain-published"]
TINY = backbones.Architecture((4, 6, 8, 10, 10), (1, 2, 2, 1, 1))


@pytest.fixture
def pictures(tmp_path, picture) -> tuple[Path, Path]:
    folders = tmp_path / "photos", tmp_path / "styles"
    for i, folder in enumerate(folders):
        folder.mkdir()
        for seed in range(3):
            images.save_image(folder / f"{seed}.png", picture(80, 96, 10 * i + seed))
    return folders


@pytest.fixture
def random_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """No download: every backbone is random, but always the same."""

    def load(name: str) -> keras.Model:
        keras.utils.set_random_seed(3)
        return backbones.build(name)

    monkeypatch.setattr(backbones, "load", load)
    monkeypatch.setattr(models, "_built", {})


@pytest.fixture
def tiny(monkeypatch, random_weights) -> str:
    monkeypatch.setitem(backbones.ARCHITECTURES, "lite", TINY)
    return "lite"


def options(folder: Path, **values) -> loop.RunOptions:
    return loop.RunOptions(folder, **({"steps": 30, "batch": 2, "crop": 64} | values))


def test_the_decoder_mirrors_the_encoder():
    """The layers that Huang & Belongie's own code lists."""
    assert adain_published.kernels("vgg19") == [
        *((512, 256), (256, 256), (256, 256), (256, 256), (256, 128)),
        *((128, 128), (128, 64), (64, 64), (64, 3)),
    ]
    decoder = adain_published.Decoder("vgg19")
    enlarged = [
        kernel for kernel, yes in zip(decoder.channels, decoder.enlarged, strict=True) if yes
    ]
    assert enlarged == [(512, 256), (256, 128), (128, 64)]
    with pytest.raises(StyleTransferError, match="AdaIN is 'vgg16'; choose one of vgg19, lite"):
        adain_published.kernels("vgg16")


def test_adain_gives_the_moments(photo, style, tiny):
    encode = adain_published.encoder(tiny)
    found, wanted = (encode(p[None, :40, :40])[adain_published.LAYERS[-1]] for p in (photo, style))
    moments = losses.moments(wanted, adain_published.EPSILON)
    painted = adain_published.adain(found, *moments)
    for part, target in zip(losses.moments(painted), moments, strict=True):
        np.testing.assert_allclose(part, target, rtol=2e-2, atol=1e-3)


def test_a_decoder_that_reaches_its_target_has_no_loss(tiny, photo):
    """With the photo as its own style, and a decoder that gives the photo back."""
    picture = photo[None, :40, :40]
    parts = adain_published.objective(
        lambda features: keras.ops.convert_to_tensor(picture),  # type: ignore[arg-type]
        adain_published.encoder(tiny), picture, picture,
    )  # fmt: skip
    for value in parts.values():
        assert float(value) == pytest.approx(0, abs=1e-5)


def test_training_vgg19_lowers_both_losses_and_changes_the_decoder_alone(
    tmp_path, pictures, random_weights, monkeypatch
):
    """A few steps on tiny crops, with random weights."""
    kept, output = [], tmp_path / "decoder.weights.h5"
    make = adain_published.encoder

    def encoder(name: str) -> keras.Model:
        kept.append(make(name))
        return kept[-1]

    monkeypatch.setattr(adain_published, "encoder", encoder)
    monkeypatch.setattr(training, "PREVIEW", (1, 1))
    run = options(tmp_path / "run", steps=25, batch=1, learning_rate=1e-4)
    decoder = adain_published.Decoder("vgg19")
    keras.utils.set_random_seed(0)
    decoder.build()
    kernel, bias = decoder.convolutions[-1].get_weights()
    decoder.convolutions[-1].set_weights([4 * kernel, bias])  # a start from which both can fall
    loop.save_weights(decoder, output)
    before_encoder = [w.copy() for w in make("vgg19").get_weights()]

    def losses_now() -> dict[str, float]:
        decoder.load_weights(output)
        folders = [training.data.PictureFolder(folder, 64) for folder in pictures]
        cutters = [partial(folder.crop, side=64) for folder in folders]
        (pairs,) = training.data.CropBatches(cutters, 4, 50, 51, 0)[0]
        content, style = map(training.data.in_unit_range, pairs)
        parts = adain_published.objective(decoder, make("vgg19"), content, style)
        return {part: float(value) for part, value in parts.items()}

    before, old = losses_now(), [w.copy() for w in decoder.get_weights()]
    training.train_decoder(*pictures, "vgg19", output, run)
    after = losses_now()
    assert after["content"] < 0.9 * before["content"]
    assert after["style"] < 0.9 * before["style"]
    assert any(not np.array_equal(a, b) for a, b in zip(old, decoder.get_weights(), strict=True))
    for now, then in zip(kept[0].get_weights(), before_encoder, strict=True):
        np.testing.assert_array_equal(now, then)
    assert (tmp_path / "run" / "preview.png").exists()


def test_training_goes_on_and_what_it_writes_is_a_method(
    tmp_path, pictures, tiny, monkeypatch, photo, style
):
    output, run = tmp_path / "own.weights.h5", tmp_path / "run"
    command = ["train-adain", "--photos", str(pictures[0]), "--styles", str(pictures[1])]
    command += ["--backbone", tiny, "-o", str(output), "--run", str(run), "--crop", "64"]
    monkeypatch.setattr(training, "PREVIEW", (2, 2))
    for steps in ("3", "5"):
        cli.main([*command, "--steps", steps, "--batch", "2"])
    with np.load(run / "checkpoint.npz") as state:
        assert int(state[min(n for n in state if n.startswith("optimizer"))]) == 5
    assert adain_published.backbone_of(output) == tiny

    monkeypatch.setenv(VARIABLE, str(output))
    assert METHODS["adain-published"].available
    painted = nst_demo.stylize(photo, style, method="adain-published")
    assert painted.shape == photo.shape
    assert painted.min() >= 0
    assert painted.max() <= 1
    large = nst_demo.stylize(photo, style, method="adain-published", size=32)
    assert large.shape == photo.shape


def test_a_decoder_of_another_backbone_is_refused_and_kept(tmp_path, pictures, tiny):
    output = tmp_path / "decoder.weights.h5"
    other = adain_published.Decoder("vgg19")
    other.build()
    loop.save_weights(other, output)
    before = output.read_bytes()
    with pytest.raises(StyleTransferError, match="holds no weights of this network"):
        training.train_decoder(*pictures, tiny, output, options(tmp_path / "run"))
    assert output.read_bytes() == before


@pytest.fixture
def trained(tmp_path, tiny, monkeypatch) -> None:
    decoder = adain_published.Decoder(tiny)
    keras.utils.set_random_seed(1)
    decoder.build()
    for layer in decoder.convolutions:  # small values: nothing is clipped
        kernel, bias = layer.get_weights()
        layer.set_weights([0.3 * kernel, bias])
    loop.save_weights(decoder, tmp_path / "d.weights.h5")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "d.weights.h5"))


def test_strength_and_weights_interpolate(trained, photo, style):
    def paint(*styles, **options):
        return nst_demo.stylize(photo, list(styles), method="adain-published", **options)

    other = 1 - style
    np.testing.assert_allclose(paint(style, other, style_weights=[1, 0]), paint(style), atol=1e-5)
    np.testing.assert_allclose(
        paint(style, other, style_weights=[1, 3]), paint(other, style, style_weights=[3, 1]),
        atol=1e-5,
    )  # fmt: skip
    np.testing.assert_allclose(
        paint(style, strength=0), paint(other, strength=0), atol=1e-5
    )  # no style in it
    assert np.abs(paint(style) - paint(other)).max() > 0.001


def test_without_a_decoder_it_is_told_how_to_get_one(monkeypatch, photo, style, tmp_path):
    monkeypatch.delenv(VARIABLE, raising=False)
    assert not METHODS["adain-published"].available
    with pytest.raises(StyleTransferError, match="train-adain --backbone"):
        nst_demo.stylize(photo, style, method="adain-published")
    monkeypatch.setenv(VARIABLE, str(weights.packaged("adain")))
    with pytest.raises(StyleTransferError, match=r"adain\.weights\.h5 holds no decoder"):
        nst_demo.stylize(photo, style, method="adain-published")
    (tmp_path / "text.weights.h5").write_text("no weights")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "text.weights.h5"))
    with pytest.raises(StyleTransferError, match="holds no decoder"):
        nst_demo.stylize(photo, style, method="adain-published")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--backbone", "vgg16"], "AdaIN is 'vgg16'"),
        (["--backbone", "lite", "--loss-network", "lite"], "give one"),
        (["--backbone", "lite", "--style-weight", "0"], "style weight is 0"),
    ],
)
def test_a_wrong_command_is_one_sentence(tmp_path, pictures, tiny, capsys, flags, words):
    command = ["train-adain", "--photos", str(pictures[0]), "--styles", str(pictures[1])]
    command += ["-o", str(tmp_path / "o.weights.h5"), "--run", str(tmp_path / "r")]
    with pytest.raises(SystemExit) as ended:
        cli.main([*command, "--steps", "2", *flags])
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_the_published_settings_are_the_defaults():
    assert training.PUBLISHED == {"learning_rate": 1e-4, "batch": 8, "crop": 256}
    assert (training.STYLE_WEIGHT, training.DECAY) == (10, 5e-5)
    assert adain_published.EPSILON == 1e-5
