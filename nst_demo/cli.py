"""The command line: `nst-demo stylize PHOTO STYLE -o OUT`, and the trainings."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

import numpy as np

import nst_demo
from nst_demo import images, memory, methods, recipes, settings
from nst_demo.errors import StyleTransferError
from nst_demo.weights import STYLE_SUFFIX

DESCRIPTION = "Neural style transfer: a photo and a style become a picture."


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs a command; what the user can mend is one line on stderr and exit code 2."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parsed = _parser().parse_args(arguments)
    try:
        parsed.run(parsed)
    except StyleTransferError as error:
        _tell(str(error))
        sys.exit(2)
    except KeyboardInterrupt:
        _tell("interrupted; nothing was written.")
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
    memory.keep_freed()
    with _native_log_dropped():
        importlib.import_module("keras")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="nst-demo", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=nst_demo.__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_stylize(commands.add_parser("stylize", help="paint a photo in a style"))
    _add_compare(commands.add_parser("compare", help="one photo in many styles, on one sheet"))
    _add_video(commands.add_parser("video", help="paint a clip: GIF, MP4 or WebM"))
    listing = commands.add_parser("recipes", help="list the recipes of quality mode")
    listing.set_defaults(run=_recipes)
    listing = commands.add_parser("methods", help="list the methods and the trained styles")
    listing.set_defaults(run=_methods)
    lite = commands.add_parser("train-lite", help="distill the packaged feature network")
    _add_training(
        lite,
        _train_lite,
        networks=("--teacher", "VGG19's features: a backbone name or .npz files"),
    )
    _add_train_adain(commands.add_parser("train-adain", help="train a network for any style"))
    _add_train_style(commands.add_parser("train-style", help="train a network for one style"))
    return parser


# ---- stylize -------------------------------------------------------------------------------------

STARTS = ("fast", "content", "noise", "content+noise")

# Options that are passed on where given: (flag, field, type, help).
METHOD_FLAGS: tuple[tuple[str, str, Callable[[str], Any], str], ...] = (
    ("--strength", "strength", float, "0 (the photo, or its own statistics) to 1 (the style)"),
    ("--size", "size", int, "long side in px at which to paint; the output keeps the photo's size"),
    ("--keep-colors", "keep_colors", str, "the photo's: none, luminance or histogram"),
    ("--style-scale", "style_scale", float, "size of the strokes, 0.25 to 4 (1)"),
    ("--max-memory", "max_memory", float, "gatys: GB to use at most; a larger picture is tiled"),
    ("--seed", "seed", int, "of the noise that a run may start from (0)"),
    ("--network", "network", str, "a trained style, see `nst-demo methods`; implies feedforward"),
    ("--recipe", "recipe", str, "gatys: see `nst-demo recipes`; implies --method gatys"),
    ("--similarity", "similarity", str, "recipe zandian: content, balanced or style"),
    ("--backbone", "backbone", str, "gatys: lite, vgg16 or vgg19"),
    ("--iterations", "iterations", int, "gatys: evaluations of the loss"),
    ("--time-budget", "time_budget", float, "gatys: seconds after which to stop"),
    ("--content-weight", "content_weight", float, "gatys: times the recipe's: how much structure"),
    ("--style-weight", "style_weight", float, "gatys: times the recipe's: how much style"),
    ("--tv-weight", "tv_weight", float, "gatys: times the recipe's: smoothness"),
    ("--optimizer", "optimizer", str, "gatys: lbfgs, adam or sgd"),
    ("--learning-rate", "learning_rate", float, "gatys: of adam and sgd"),
    ("--save-every", "save_every", int, "gatys: also keep each so many iterations' picture"),
)


IMPLIED = {"recipe": "gatys", "network": "feedforward"}  # by an option that is given: its method


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no list of numbers; write them as 0.7,0.3"
        ) from None


def _option(text: str) -> tuple[str, Any]:
    """NAME=VALUE, with the value as JSON has it, or else as text."""
    name, separator, value = text.partition("=")
    if not separator or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r} is no option; write it as NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _add_stylize(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photo", type=Path)
    parser.add_argument(
        "style",
        type=Path,
        nargs="*",
        help="several are blended, see --weights; none with a trained style (--network)",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help=".png, .jpg or .webp")
    parser.add_argument(
        "--method", help=f"{', '.join(methods.METHODS)} (adain); see `nst-demo methods`"
    )
    parser.add_argument("--weights", type=_numbers, help="of the styles, such as 0.7,0.3")
    parser.add_argument(
        "--mask",
        type=Path,
        action="append",
        default=[],
        help="white where the style is painted; once, or once for each style",
    )
    parser.add_argument(
        "--layer-weights", type=_numbers, help="gatys: five, fine texture to large shapes"
    )
    parser.add_argument(
        "--init", help=f"gatys: start from {', '.join(STARTS)}, or from a picture: go on from it"
    )
    for flag, field, kind, text in METHOD_FLAGS:
        parser.add_argument(flag, dest=field, type=kind, help=text)
    parser.add_argument(
        "--option",
        type=_option,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any other option of the method",
    )
    parser.add_argument(
        "--settings", type=Path, help="run a result's settings again: its .json or the picture"
    )
    parser.add_argument("--write-settings", type=Path, help="also write the settings: a .json")
    parser.set_defaults(run=_stylize)


@dataclass(frozen=True)
class _Job:
    """A picture to paint: what the command line and the settings file ask for, opened.

    options: of `nst_demo.stylize`. inputs: names and fingerprints of the pictures, as
    `settings.describe` takes them. stop_at: the iteration at which an earlier run was stopped.
    """

    method: str
    options: dict[str, Any]
    photo: images.Picture
    styles: list[np.ndarray]
    inputs: dict[str, Any]
    masks: list[np.ndarray]
    start: np.ndarray | None
    stop_at: int | None

    @property
    def name(self) -> str:
        """Of the method, and of its network or of a recipe that is not its default."""
        recipe = self.options.get("recipe", "default")
        which = self.options.get("network") or ("" if recipe == "default" else recipe)
        return f"{self.method} {which}".strip()

    def arguments(self) -> dict[str, Any]:
        given: dict[str, Any] = {"method": self.method, **self.options}
        if self.masks:
            given["masks"] = self.masks
        if self.start is not None:
            given["init_image"] = self.start
        return given

    def enlarged(self, step: nst_demo.Step) -> np.ndarray:
        """The step's picture at the photo's size."""
        return nst_demo.enlarge(
            step.image,
            self.photo.rgb,
            masks=self.masks or None,
            keep_colors=self.options.get("keep_colors", "none"),
        )

    def save(self, path: Path, result: np.ndarray, step: nst_demo.Step | None) -> None:
        images.save_image(path, result, self.photo.alpha, settings.to_json(self.describe(step)))

    def describe(self, step: nst_demo.Step | None) -> settings.Settings:
        """What gives this result again: a run that ended before its time is to end there."""
        ended = step is not None and step.iteration < step.iterations
        stopped_at = step.iteration if step is not None and ended else None
        return settings.describe(self.method, self.options, stopped_at=stopped_at, **self.inputs)


def _stylize(parsed: argparse.Namespace) -> None:
    started = time.monotonic()
    images.check_save_path(parsed.output)
    if parsed.write_settings is not None:
        settings.check_path(parsed.write_settings)
    job = _job(parsed)
    step, ended = None, None
    if not methods.named(job.method).gradual:
        result = nst_demo.stylize(job.photo.rgb, job.styles, **job.arguments())
    else:
        step, ended = _iterate(job, parsed.output)
        result = job.enlarged(step)
    job.save(parsed.output, result, step)
    if parsed.write_settings is not None:
        settings.write(parsed.write_settings, job.describe(step))
    from nst_demo import models

    height, width = result.shape[:2]
    print(
        f"{parsed.output}: {width} x {height} px, {job.name}, "
        f"{time.monotonic() - started:.1f} s on {models.device().name}"
    )
    if step is not None and ended is not None:
        _exit_early(step, ended)


def _exit_early(step: nst_demo.Step, ended: BaseException) -> NoReturn:
    """Tells what ended a run whose best picture was written."""
    interrupted = isinstance(ended, KeyboardInterrupt)
    if not interrupted:
        _tell(str(ended))
    _tell(
        f"{'interrupted' if interrupted else 'ended'} at iteration {step.iteration} of "
        f"{step.iterations}; the best picture so far was written."
    )
    sys.exit(130 if interrupted else 2)


def _job(parsed: argparse.Namespace) -> _Job:
    """Opens all that the command line names; tells what differs from the settings file."""
    photo = images.open_picture(parsed.photo, what="photo")
    styles = [images.open_picture(style, what="style").rgb for style in parsed.style]
    masks = [images.open_mask(mask) for mask in parsed.mask]
    init, start = _start(parsed.init)
    inputs = {
        "photo": settings.picture(parsed.photo, photo.rgb),
        "styles": [settings.picture(*pair) for pair in zip(parsed.style, styles, strict=True)],
        "masks": [settings.picture(*pair) for pair in zip(parsed.mask, masks, strict=True)],
        "start": None if start is None else settings.picture(parsed.init, start),
    }
    _load_keras()
    earlier = None if parsed.settings is None else settings.read(parsed.settings)
    given = {field: getattr(parsed, field) for _, field, _, _ in METHOD_FLAGS}
    given |= {"init": init, "style_weights": parsed.weights, "layer_weights": parsed.layer_weights}
    options = dict(earlier.options) if earlier else {}
    options |= {field: value for field, value in given.items() if value is not None}
    options |= dict(parsed.option)
    implied = next((IMPLIED[name] for name in IMPLIED if given[name] is not None), "adain")
    method = parsed.method or (earlier.method if earlier else implied)
    # Before anything is painted; an --option may have any name, such as that of an argument.
    own = {name: value for name, value in options.items() if name not in settings.SHARED}
    nst_demo._options(method, own)
    same_run = parsed.iterations is None and parsed.recipe is None
    stop_at = earlier.stopped_at if earlier and same_run else None
    job = _Job(method, options, photo, styles, inputs, masks, start, stop_at)
    if earlier:
        for change in settings.changes(earlier, job.describe(None)):
            _tell(change)
    return job


def _start(init: str | None) -> tuple[str | None, np.ndarray | None]:
    """What --init says: (a word, None), or ("content", a picture to go on from)."""
    if init is None or init in STARTS:
        return init, None
    if not Path(init).exists():
        raise StyleTransferError(
            f"The init {init!r} is neither a picture nor one of {', '.join(STARTS)}; check it."
        )
    return "content", images.open_picture(init, what="picture to start from").rgb


def _iterate(job: _Job, output: Path) -> tuple[nst_demo.Step, BaseException | None]:
    """The last step, and what ended the run before its time; keeps the pictures asked for."""
    step, ended, kept = None, None, 0
    every = _save_every(job)
    arguments = job.arguments()
    if job.stop_at:  # a step is to come at that very iteration too
        arguments["save_every"] = math.gcd(every or 0, job.stop_at)
    steps = nst_demo.iterate(job.photo.rgb, job.styles, **arguments)
    try:
        with _ProgressBar() as bar:
            for step in steps:
                bar.show(step)
                if every and step.iteration // every > kept:
                    kept = step.iteration // every
                    path = output.with_stem(f"{output.stem}-{step.iteration:06d}")
                    job.save(path, job.enlarged(step), step)
                if job.stop_at is not None and step.iteration >= job.stop_at:
                    break
    except (KeyboardInterrupt, StyleTransferError) as error:
        if step is None:
            raise
        ended = error
    if step is None:
        raise RuntimeError("iterate() ended without a step")
    return step, ended


def _save_every(job: _Job) -> int | None:
    """Of the options, or else of their recipe."""
    given = job.options.get("save_every")
    return given or recipes.named(job.options.get("recipe", "default")).save_every


class _ProgressBar:
    """tqdm over the steps of a method: iterations per second, the loss by part, the time left."""

    FORMAT = "{percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt}, {rate_fmt}{postfix}"

    def __init__(self):
        self._bar: Any = None
        self._told: set[str] = set()

    def __enter__(self) -> _ProgressBar:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, step: nst_demo.Step) -> None:
        from tqdm import tqdm

        if self._bar is None:
            self._bar = tqdm(
                total=step.iterations,
                unit="it",
                leave=False,
                dynamic_ncols=True,
                mininterval=0,  # a step is several evaluations
                bar_format=self.FORMAT,
            )
        for note in (step.note or "").split("; "):
            if note and note not in self._told:
                self._told.add(note)
                self._bar.write(f"nst-demo: {note}", file=sys.stderr)
        self._bar.set_postfix_str(_summary(step), refresh=False)
        self._bar.update(step.iteration - self._bar.n)
        self._bar.refresh()


def _summary(step: nst_demo.Step) -> str:
    """Such as "0:35 left, loss 0.21: content 0.1, style 0.09, variation 0.02"."""
    left = ""
    if step.seconds_left is not None:
        minutes, seconds = divmod(round(step.seconds_left), 60)
        left = f"{minutes}:{seconds:02d} left, "
    parts = ", ".join(
        f"{part} {loss:.3g}" for part, loss in step.losses.items() if part != "total" and loss
    )
    return f"{left}loss {step.losses['total']:.4g}: {parts}"


def _tell(sentence: str) -> None:
    print(f"nst-demo: {sentence}", file=sys.stderr)


def _recipes(_: argparse.Namespace) -> None:
    for recipe in recipes.RECIPES.values():
        print(f"{recipe.name:8}  {recipe.description}")


def _methods(_: argparse.Namespace) -> None:
    for name, method in methods.METHODS.items():
        about = f"{method.about} Takes {methods.wanted(name)}."
        if method.download:
            about += f" Downloaded on first use ({method.download})."
        if method.networks is not None:
            about += f" There are: {', '.join(method.networks()) or 'none yet'}."
        elif not method.available:
            about += f" Set {method.needs} to use it."
        print(f"{name:16}  {about}")


# ---- video ---------------------------------------------------------------------------------------


def _add_video(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("clip", type=Path, help="GIF, MP4, MOV or WebM")
    parser.add_argument("style", type=Path, nargs="*", help="several are blended, see --weights")
    parser.add_argument("-o", "--output", type=Path, required=True, help=".mp4 or .gif")
    parser.add_argument("--network", help="a trained style instead of pictures")
    parser.add_argument("--weights", type=_numbers, help="of the styles, such as 0.7,0.3")
    parser.add_argument("--fps", type=float, help="frames per second at most")
    parser.add_argument("--size", type=int, help="long side of the result in px at most")
    parser.add_argument("--strength", type=float, help="0 (the clip) to 1 (the style)")
    parser.add_argument("--style-scale", type=float, help="size of the strokes, 0.25 to 4 (1)")
    parser.add_argument("--smoothing", type=float, help="0 (none) to 1: less flicker (0.8)")
    parser.set_defaults(run=_video)


def _video(parsed: argparse.Namespace) -> None:
    started = time.monotonic()
    from nst_demo.video import painting, reading, writing  # FFmpeg's libraries: only here

    writing.check_save_path(parsed.output)
    if bool(parsed.style) == bool(parsed.network):
        raise StyleTransferError("Give the clip a style: pictures, or --network NAME.")
    reading.probe(parsed.clip)  # told before anything is loaded
    styles = [images.open_picture(style, what="style").rgb for style in parsed.style]
    _load_keras()
    given = {name: getattr(parsed, name) for name in ("strength", "style_scale", "smoothing")}
    given["style_weights"] = parsed.weights
    options = {name: value for name, value in given.items() if value is not None}
    painter = painting.painter(styles, network=parsed.network, **options)
    steps = painting.stylize_video(
        parsed.clip, parsed.output, painter, frame_rate=parsed.fps, size=parsed.size
    )
    last = _watched(steps)
    from nst_demo import models

    for note in last.notes:
        _tell(note)
    height, width = last.image.shape[:2]
    print(
        f"{parsed.output}: {last.frames} frames, {width} x {height} px, "
        f"{time.monotonic() - started:.1f} s on {models.device().name}"
    )


def _watched(steps: Iterator[Any]) -> Any:
    """Draws a bar while the clip is painted; returns the last step."""
    from tqdm import tqdm

    last = None
    bar = tqdm(unit="frame", leave=False, dynamic_ncols=True, total=0)
    with contextlib.closing(steps), bar:  # type: ignore[type-var]  # a generator
        for last in steps:
            bar.total = last.frames
            bar.update(last.frame - bar.n)
    if last is None:
        raise RuntimeError("stylize_video() ended without a frame")
    return last


# ---- compare -------------------------------------------------------------------------------------


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photo", type=Path)
    parser.add_argument("style", type=Path, nargs="+", help="pictures, at most 16")
    parser.add_argument("-o", "--output", type=Path, required=True, help=".png, .jpg or .webp")
    parser.add_argument("--size", type=int, help="long side of each picture in px (512)")
    parser.add_argument("--strength", type=float, help="0 (the photo) to 1 (the style)")
    parser.add_argument("--strengths", action="store_true", help="one style, weak to strong")
    parser.set_defaults(run=_compare)


def _compare(parsed: argparse.Namespace) -> None:
    from nst_demo import compare

    started = time.monotonic()
    images.check_save_path(parsed.output)
    size = compare.SIZE if parsed.size is None else parsed.size
    photo = compare.open_photo(parsed.photo, size).rgb
    options = {} if parsed.strength is None else {"strength": parsed.strength}
    if parsed.strengths:
        if len(parsed.style) > 1 or options:
            raise StyleTransferError("--strengths takes one style and no --strength; leave it out.")
        entries = compare.of_strengths(parsed.style[0])
    else:
        styles = {f"{place}": style for place, style in enumerate(parsed.style)}
        entries = compare.of_styles(styles, **options)
    _load_keras()
    pictures = list(compare.paint(photo, entries, size=size))
    captions = [entry.caption for entry in entries]
    if not parsed.strengths:
        pictures, captions = [photo, *pictures], ["Photo", *(s.stem for s in parsed.style)]
    sheet = compare.sheet(pictures, captions, in_row=parsed.strengths)
    images.save_image(parsed.output, sheet)
    height, width = sheet.shape[:2]
    print(f"{parsed.output}: {width} x {height} px, {time.monotonic() - started:.1f} s")


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
    parser.add_argument("--steps", type=int, help="batches in the whole schedule")
    parser.add_argument("--batch", type=int, help="crops a step")
    parser.add_argument("--crop", type=int, help="side of a crop in px")
    parser.add_argument(
        "--crops",
        type=int,
        help="fixed crops to learn from, kept with what the teachers say of them: half a megabyte "
        "each for train-adain, 4 MB for train-lite; train-adain, 0: new ones in every step (GPU)",
    )
    parser.add_argument("--learning-rate", type=float, help="at the start")
    parser.add_argument(
        "--minutes", type=float, help="stop after so long, resumable; without --steps, the schedule"
    )
    parser.add_argument("--seed", type=int)
    parser.add_argument("--mixed-precision", action="store_true", help="compute in bfloat16")
    parser.set_defaults(run=run)


def _add_train_adain(parser: argparse.ArgumentParser) -> None:
    _add_training(
        parser,
        _train_adain,
        networks=(
            "--loss-network",
            "the packaged network: features for its loss, a backbone name or .npz files (vgg19)",
        ),
    )
    parser.add_argument(
        "--backbone",
        help="vgg19 or lite: train the published AdaIN's decoder instead, on this fixed encoder "
        "(for NST_ADAIN_DECODER and --method adain-published)",
    )
    parser.add_argument("--style-weight", type=float, help="how much style (20; --backbone: λ, 10)")
    parser.add_argument(
        "--shown", type=int, help="pictures of a batch that the first loss network sees (all)"
    )
    parser.set_defaults(networks=None)


def _add_train_style(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("style", type=Path, help="the picture to paint like")
    parser.add_argument(
        "--photos", type=Path, help="folder of photos to learn on (the examples of a checkout)"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="NAME.weights.h5")
    networks = parser.add_mutually_exclusive_group()
    networks.add_argument("--backbone", help="features for the loss: lite (default), vgg16, vgg19")
    networks.add_argument(
        "--loss-network", dest="networks", nargs="+", help="the same, or .npz files"
    )
    parser.add_argument(
        "--loss",
        choices=("ours", "chen"),
        default="ours",
        help="ours (default), or chen: of the recipe chen, published on --backbone vgg19",
    )
    parser.add_argument("--content-weight", type=float, help="how much of the photo's structure")
    parser.add_argument("--style-weight", type=float, help="how much style")
    parser.add_argument("--tv-weight", type=float, help="smoothness")
    parser.add_argument("--minutes", type=float, help="length of the training (5)")
    parser.add_argument("--steps", type=int, help="length in batches instead; minutes then stop it")
    parser.add_argument("--batch", type=int, help="crops a step")
    parser.add_argument("--crop", type=int, help="side of a crop in px")
    parser.add_argument("--learning-rate", type=float, help="at the start")
    parser.add_argument(
        "--shown", type=int, help="pictures of a batch that the first loss network sees (all)"
    )
    parser.add_argument("--seed", type=int)
    parser.add_argument("--mixed-precision", action="store_true", help="compute in bfloat16")
    parser.add_argument("--run", dest="folder", type=Path, help="checkpoint folder (NAME.run)")
    parser.add_argument(
        "--start",
        help="a trained style's .weights.h5 to begin with (a packaged one's), or none: random "
        "weights",
    )
    again = parser.add_mutually_exclusive_group()
    again.add_argument(
        "--resume", dest="fresh", action="store_false", help="from the last checkpoint (default)"
    )
    again.add_argument("--fresh", action="store_true", help="begin again, whatever was trained")
    parser.set_defaults(run=_train_style, fresh=False)


def _run_options(parsed: argparse.Namespace, **defaults: Any):
    _load_keras()
    from nst_demo.training.loop import RunOptions

    if not parsed.output.name.endswith(STYLE_SUFFIX):
        raise StyleTransferError(
            f"The output is {parsed.output.name!r}; end its name in {STYLE_SUFFIX}."
        )
    names = ("steps", "batch", "crop", "learning_rate", "minutes", "seed", "mixed_precision")
    given = {name: getattr(parsed, name) for name in names if getattr(parsed, name) is not None}
    return RunOptions(parsed.folder, **(defaults | given))


@contextlib.contextmanager
def _training(folder: Path) -> Iterator[None]:
    """Keeps the memory that each step frees; says of an interrupted training how to go on."""
    memory.keep_freed(memory.KEPT_BY_TRAINING)
    try:
        yield
    except KeyboardInterrupt:
        _tell(f"interrupted; run again to go on from the last checkpoint in {folder}.")
        sys.exit(130)


def _train_lite(parsed: argparse.Namespace) -> None:
    run = _run_options(parsed)
    from nst_demo.training.distill import distill

    crops = {} if parsed.crops is None else {"crops": parsed.crops}
    with _training(run.folder):
        distill(parsed.photos, parsed.styles, parsed.networks, parsed.output, run, **crops)


def _train_adain(parsed: argparse.Namespace) -> None:
    if parsed.backbone is not None:
        _train_decoder(parsed)
        return
    run = _run_options(parsed)
    from nst_demo.methods.adain import ObjectiveWeights
    from nst_demo.training.adain import train

    weights = {} if parsed.style_weight is None else {"style": parsed.style_weight}
    networks = parsed.networks or ["vgg19"]
    with _training(run.folder):
        train(
            parsed.photos,
            parsed.styles,
            networks,
            parsed.output,
            run,
            ObjectiveWeights(**weights),
            parsed.shown,
            parsed.crops,
        )


def _train_decoder(parsed: argparse.Namespace) -> None:
    for flag, given in (
        ("--loss-network", parsed.networks),
        ("--shown", parsed.shown),
        ("--crops", parsed.crops),
    ):
        if given is not None:
            raise StyleTransferError(
                f"{flag} is of the packaged network, --backbone of the published one; give one."
            )
    _load_keras()
    from nst_demo.training.adain import PUBLISHED, STYLE_WEIGHT, train_decoder

    run = _run_options(parsed, **PUBLISHED)
    weight = STYLE_WEIGHT if parsed.style_weight is None else parsed.style_weight
    with _training(run.folder):
        train_decoder(parsed.photos, parsed.styles, parsed.backbone, parsed.output, run, weight)


def _start_of_style(given: str | None, loss: str) -> Path | Literal["packaged"] | None:
    """What --start says; a published loss is trained from random weights, as published."""
    if given is None:
        return "packaged" if loss == "ours" else None
    return None if given == "none" else Path(given)


def _photos(given: Path | None) -> Path:
    """The folder to train on: few photos do, as the network knows photos from its start."""
    examples = images.EXAMPLES / "photos"
    if given is None and not examples.is_dir():
        raise StyleTransferError(
            "This installation has no example photos; give a folder of photos with --photos."
        )
    return given or examples


def _train_style(parsed: argparse.Namespace) -> None:
    if parsed.folder is None:
        name = parsed.output.name.removesuffix(STYLE_SUFFIX)
        parsed.folder = parsed.output.with_name(f"{name}.run")
    length = {"minutes": 5.0} if parsed.steps is None else {}
    run = _run_options(parsed, **length, batch=4, crop=256, checkpoint_seconds=60.0)
    from nst_demo.methods.feedforward import LOSSES
    from nst_demo.training.feedforward import train

    weights = {
        "style": parsed.style_weight,
        "content": parsed.content_weight,
        "variation": parsed.tv_weight,
    }
    weights = {part: weight for part, weight in weights.items() if weight is not None}
    networks = parsed.networks or [parsed.backbone or "lite"]
    with _training(run.folder):
        train(
            parsed.style,
            _photos(parsed.photos),
            networks,
            parsed.output,
            run,
            LOSSES[parsed.loss].weights(**weights),
            start=_start_of_style(parsed.start, parsed.loss),
            fresh=parsed.fresh,
            loss=parsed.loss,
            shown=parsed.shown,
        )
