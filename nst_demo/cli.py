"""The command line: `nst-demo stylize PHOTO STYLE -o OUT`, and the trainings."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import nst_demo
from nst_demo import images
from nst_demo.errors import StyleTransferError

DESCRIPTION = "Neural style transfer: a photo and a style become a picture."


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command; what the user can mend is one line on stderr and exit code 2."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parsed = _parser().parse_args(arguments)
    try:
        parsed.run(parsed)
    except StyleTransferError as error:
        print(f"nst-demo: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("nst-demo: interrupted; nothing was written.", file=sys.stderr)
        sys.exit(130)


class _Parser(argparse.ArgumentParser):
    """Tells a wrong command line in one line, as every other error; argparse adds the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


@contextlib.contextmanager
def _native_log_dropped() -> Iterator[None]:
    """Drops what C++ writes to stderr: TF_CPP_MIN_LOG_LEVEL does not reach what TensorFlow logs
    while it is imported (tensorflow issue 100442)."""
    kept = os.dup(2)
    with open(os.devnull, "wb") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _load_keras() -> None:
    """Loads Keras and with it its backend."""
    with _native_log_dropped():
        importlib.import_module("keras")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="nst-demo", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=nst_demo.__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_stylize(commands.add_parser("stylize", help="paint a photo in a style"))
    _add_training(
        commands.add_parser("train-lite", help="distill the packaged feature network"),
        _train_lite,
        networks=("--teacher", "VGG19's features: a backbone name or .npz files"),
    )
    _add_training(
        commands.add_parser("train-adain", help="train the packaged fast network"),
        _train_adain,
        networks=("--loss-network", "features for the loss: a backbone name or .npz files"),
    )
    return parser


# ---- stylize -------------------------------------------------------------------------------------

# Options of a method that are passed on where given: (flag, field, type, help).
METHOD_FLAGS: tuple[tuple[str, str, Callable[[str], Any], str], ...] = (
    ("--strength", "strength", float, "adain: 0 (the photo) to 1 (the style)"),
    ("--size", "size", int, "long side in px at which to paint; the output keeps the photo's size"),
    ("--backbone", "backbone", str, "gatys: lite, vgg16 or vgg19"),
    ("--iterations", "iterations", int, "gatys: evaluations of the loss"),
    ("--time-budget", "time_budget", float, "gatys: seconds after which to stop"),
    ("--content-weight", "content_weight", float, "gatys: how much structure is kept (1)"),
    ("--style-weight", "style_weight", float, "gatys: how strongly the style is followed (1)"),
    ("--tv-weight", "tv_weight", float, "gatys: smoothness (1)"),
    ("--init", "init", str, "gatys: start from content, noise or fast"),
    ("--optimizer", "optimizer", str, "gatys: lbfgs or adam"),
    ("--learning-rate", "learning_rate", float, "gatys: of adam"),
    ("--seed", "seed", int, "gatys: of the noise"),
)


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no list of numbers; write them as 0.7,0.3"
        ) from None


def _add_stylize(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photo", type=Path)
    parser.add_argument("style", type=Path, nargs="+", help="several are blended, see --weights")
    parser.add_argument("-o", "--output", type=Path, required=True, help=".png, .jpg or .webp")
    parser.add_argument(
        "--method", default="adain", help="adain (fast), gatys (high quality) or magenta (download)"
    )
    parser.add_argument("--weights", type=_numbers, help="of the styles, such as 0.7,0.3")
    parser.add_argument(
        "--layer-weights", type=_numbers, help="gatys: five, fine texture to large shapes"
    )
    for flag, field, kind, text in METHOD_FLAGS:
        parser.add_argument(flag, dest=field, type=kind, help=text)
    parser.set_defaults(run=_stylize)


def _stylize(parsed: argparse.Namespace) -> None:
    started = time.monotonic()
    images.check_save_path(parsed.output)
    options = {field: getattr(parsed, field) for _, field, _, _ in METHOD_FLAGS}
    options |= {"style_weights": parsed.weights, "layer_weights": parsed.layer_weights}
    options = {field: value for field, value in options.items() if value is not None}
    photo = images.open_picture(parsed.photo, what="photo")
    styles = [images.open_picture(style, what="style").rgb for style in parsed.style]
    _load_keras()
    with _ProgressBar() as bar:
        result = nst_demo.stylize(
            photo.rgb, styles, method=parsed.method, on_step=bar.show, **options
        )
    images.save_image(parsed.output, result, photo.alpha)
    from nst_demo import models

    height, width = result.shape[:2]
    print(
        f"{parsed.output}: {width} x {height} px, {parsed.method}, "
        f"{time.monotonic() - started:.1f} s on {models.device().name}"
    )


class _ProgressBar:
    """tqdm over the steps of a method; nothing appears for a method without steps."""

    def __init__(self):
        self._bar: Any = None

    def __enter__(self) -> _ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, step: nst_demo.Step) -> None:
        from tqdm import tqdm

        if self._bar is None:
            self._bar = tqdm(total=step.iterations, unit="it", leave=False)
        self._bar.update(step.iteration - self._bar.n)
        self._bar.set_postfix(loss=f"{step.losses['total']:.4g}")


# ---- training ------------------------------------------------------------------------------------


def _add_training(
    parser: argparse.ArgumentParser,
    run: Callable[[argparse.Namespace], None],
    networks: tuple[str, str],
) -> None:
    flag, text = networks
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos")
    parser.add_argument("--styles", type=Path, required=True, help="folder of paintings")
    parser.add_argument(flag, dest="networks", nargs="+", default=["vgg19"], help=text)
    parser.add_argument("-o", "--output", type=Path, required=True, help="NAME.weights.h5")
    parser.add_argument("--run", dest="folder", type=Path, required=True, help="checkpoint folder")
    parser.add_argument("--steps", type=int, required=True, help="batches in the whole schedule")
    parser.add_argument("--batch", type=int, help="crops a step")
    parser.add_argument("--crop", type=int, help="side of a crop in px")
    parser.add_argument("--learning-rate", type=float, help="of Adam, at the start")
    parser.add_argument("--minutes", type=float, help="stop after so long, resumable")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--mixed-precision", action="store_true", help="compute in bfloat16")
    parser.set_defaults(run=run)


def _run_options(parsed: argparse.Namespace):
    _load_keras()
    from nst_demo.training.loop import RunOptions

    if not parsed.output.name.endswith(".weights.h5"):
        raise StyleTransferError(
            f"The output is {parsed.output.name!r}; end its name in .weights.h5."
        )
    names = ("steps", "batch", "crop", "learning_rate", "minutes", "seed", "mixed_precision")
    given = {name: getattr(parsed, name) for name in names if getattr(parsed, name) is not None}
    return RunOptions(parsed.folder, **given)


def _train_lite(parsed: argparse.Namespace) -> None:
    run = _run_options(parsed)
    from nst_demo.training.distill import distill

    distill(parsed.photos, parsed.styles, parsed.networks, parsed.output, run)


def _train_adain(parsed: argparse.Namespace) -> None:
    run = _run_options(parsed)
    from nst_demo.training.adain import train

    train(parsed.photos, parsed.styles, parsed.networks, parsed.output, run)
