"""The settings that made a result, as JSON: beside the picture, in its PNG, and to run it again.

Pictures are named by file name and by the SHA-256 of their pixels, so that a later run can tell
that it was given another photo; no path is kept and none is opened. Whoever wrote the JSON may be
a stranger: it is small, has exactly the keys and types below, and its options are those of a method
within their ranges, or it is refused.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Literal, NoReturn

import numpy as np

import nst_demo
from nst_demo import color, images, methods, recipes
from nst_demo.errors import StyleTransferError, check_range

VERSION = 1
MAX_BYTES = 60_000  # what a comment in a JPEG holds; real ones have 3000
MAX_TEXT = 300  # characters
# Say how a run is done, not what it gives: another machine or another day has its own.
NOT_KEPT = ("time_budget",)


@dataclass(frozen=True)
class Input:
    """A picture that a result was made from: file name, and `fingerprint` of its pixels."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Settings:
    """All that is needed, with the pictures, to make a result again on the same machine.

    Attributes:
        version: of this layout.
        nst_demo: the version of the package that made it.
        method: a name in `methods.METHODS`.
        options: of the method, and `SHARED`; a name not given has its default.
        recipe: the method's recipe in full, before `options` override it; for people, and to tell
            whether it has changed since.
        photo, styles, masks: what it was made from; no style where the method takes none.
        start: a picture that it was continued from.
        stopped_at: the iteration at which the run was stopped; None where it ran to its end.
    """

    version: int
    nst_demo: str
    method: str
    options: Mapping[str, Any]
    recipe: Mapping[str, Any] | None
    photo: Input
    styles: tuple[Input, ...]
    masks: tuple[Input, ...] = ()
    start: Input | None = None
    stopped_at: int | None = None


# Options of `nst_demo.stylize` that belong to no method.
SHARED: dict[str, Any] = {"keep_colors": color.KeepColors}


# ---- Writing -------------------------------------------------------------------------------------


def fingerprint(pixels: np.ndarray) -> str:
    """SHA-256 of a picture (H, W, 3) or mask (H, W) as opened: float32 in [0, 1], and its shape."""
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels, "<f4").data)
    return digest.hexdigest()


def picture(source: str | os.PathLike[str] | None, pixels: np.ndarray) -> Input:
    """The Input of a picture opened from a path (or not from a file: None)."""
    name = PureWindowsPath(PurePosixPath(source).name).name if source is not None else "picture"
    printable = "".join(c if c.isprintable() else "?" for c in name)  # names may hold lone bytes
    return Input(printable[-100:], fingerprint(pixels))


def describe(
    method: str,
    options: Mapping[str, Any],
    photo: Input,
    styles: Sequence[Input],
    *,
    masks: Sequence[Input] = (),
    start: Input | None = None,
    stopped_at: int | None = None,
) -> Settings:
    """The settings of a run of `nst_demo.stylize` with these keyword `options`.

    Every option is kept, also where its value is the default: defaults may change.
    StyleTransferError for options that the method does not take.
    """
    shared = {"keep_colors": options.get("keep_colors", "none")}
    color.check_keep_colors(shared["keep_colors"])
    own = {name: value for name, value in options.items() if name not in SHARED}
    values = nst_demo._options(method, own)
    kept = {
        field.name: _plain(getattr(values, field.name))
        for field in dataclasses.fields(values)
        if field.name not in NOT_KEPT and getattr(values, field.name) is not None
    }
    return Settings(
        version=VERSION,
        nst_demo=nst_demo.__version__,
        method=method,
        options=kept | shared,
        recipe=_recipe(kept.get("recipe")),
        photo=photo,
        styles=tuple(styles),
        masks=tuple(masks),
        start=start,
        stopped_at=stopped_at,
    )


def to_json(settings: Settings) -> str:
    """ASCII, with keys in the order of the fields: equal settings give equal text."""
    return json.dumps(dataclasses.asdict(settings), indent=1, allow_nan=False)


def check_path(path: str | os.PathLike[str]) -> None:
    """Whether `write` could write here, told before a long run instead of after it."""
    path = Path(path)
    if path.suffix.lower() != ".json":
        raise StyleTransferError(
            f"The settings cannot be written to {path.name!r}; end the name in .json."
        )
    if not path.parent.is_dir():
        raise StyleTransferError(
            f"The folder {str(path.parent)!r} does not exist; create it or choose another."
        )


def write(path: str | os.PathLike[str], settings: Settings) -> None:
    """`to_json` as a file. StyleTransferError where the disk refuses."""
    check_path(path)
    try:
        Path(path).write_text(to_json(settings) + "\n", encoding="ascii")
    except OSError as error:
        raise StyleTransferError(
            f"The settings cannot be written to {os.fspath(path)!r} ({error.strerror}); choose "
            "another place."
        ) from error


def _plain(value: Any) -> Any:
    """Numbers and sequences as JSON has them."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Sequence | np.ndarray) and not isinstance(value, str):
        return [_plain(part) for part in value]
    return value


def _recipe(name: str | None) -> dict[str, Any] | None:
    return json.loads(json.dumps(dataclasses.asdict(recipes.named(name)))) if name else None


# ---- Reading -------------------------------------------------------------------------------------


def read(path: str | os.PathLike[str]) -> Settings:
    """The settings in a JSON file, or in a picture that carries them.

    StyleTransferError where there are none, and where `from_json` refuses them.
    """
    data = images.read_file(path, what="settings file")
    if data.lstrip()[:1] == b"{":
        return from_json(data)
    text = images.read_text(data, what="settings file")
    if text is None:
        raise StyleTransferError(
            f"The picture {os.path.basename(path)!r} carries no settings; give one that nst-demo "
            "wrote, or the JSON file."
        )
    return from_json(text)


def from_json(text: str | bytes) -> Settings:
    """Settings from JSON that anyone may have written.

    StyleTransferError, one sentence, if it is too long, is no JSON, is of another version, or has
    a key or a value that settings do not have.
    """
    if len(text) > MAX_BYTES:
        _refuse(f"have {len(text)} characters, over the limit of {MAX_BYTES}")
    try:
        data = json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:  # too deep, too long a number, not UTF-8
        raise StyleTransferError(
            f"The settings are no valid JSON ({_short(str(error))}); give a file that nst-demo "
            "wrote."
        ) from error
    if not isinstance(data, dict) or "version" not in data or "method" not in data:
        _refuse("are not those of a picture")
    version = data["version"]
    if type(version) is not int or version != VERSION:
        raise StyleTransferError(
            f"The settings are of version {_short(version)}; this nst-demo reads version "
            f"{VERSION}: use the nst-demo that wrote them, or set the options by hand."
        )
    settings: Settings = _conform(data, Settings, "the settings")
    _check_options(settings)
    return settings


def changes(settings: Settings, now: Settings) -> list[str]:
    """What differs between a result's settings and a new run's: a sentence each, for a person."""
    found = []
    if settings.nst_demo != now.nst_demo:
        found.append(
            f"The settings were written by nst-demo {_short(settings.nst_demo)}, this is "
            f"{now.nst_demo}: the picture may differ."
        )
    old, new = settings.recipe or {}, now.recipe or {}
    names = [k for k in new if new[k] != old.get(k)]
    if names and old.get("name") == new["name"]:  # who asks for another recipe knows that it is one
        found.append(
            f"The recipe {new['name']!r} has changed since ({', '.join(names)}): the picture will "
            "differ."
        )
    pairs = [("photo", settings.photo, now.photo)]
    pairs += [("style", *pair) for pair in zip(settings.styles, now.styles, strict=False)]
    pairs += [("mask", *pair) for pair in zip(settings.masks, now.masks, strict=False)]
    if settings.start and now.start:
        pairs.append(("start", settings.start, now.start))
    for what, then, given in pairs:
        if then.sha256 != given.sha256:
            found.append(
                f"The {what} {given.name!r} is another picture than {then.name!r} of the "
                "settings: the result will differ."
            )
    for what, one, other in (
        ("styles", settings.styles, now.styles),
        ("masks", settings.masks, now.masks),
        ("pictures to continue from", *([s.start] if s.start else [] for s in (settings, now))),
    ):
        if len(one) != len(other):
            names = ", ".join(repr(picture.name) for picture in one) or "none"
            found.append(
                f"The settings have {len(one)} {what} ({names}), this run has {len(other)}: the "
                "result will differ."
            )
    return found


def _check_options(settings: Settings) -> None:
    """Names, types and ranges of the method's options, and the known ones shared by all."""
    method = nst_demo._method(settings.method)
    if not settings.masks:  # with masks, each style may be painted apart
        methods.check_styles(settings.method, len(settings.styles))
    hints = SHARED | typing.get_type_hints(method.options)
    for name, value in settings.options.items():
        if name not in hints or name in NOT_KEPT:
            _refuse(f"have the option {_short(name)}, which {settings.method!r} does not have")
        _conform(value, hints[name], f"the option {name!r} of the settings")
    own = {k: v for k, v in settings.options.items() if k not in SHARED}
    nst_demo._options(settings.method, own)
    if settings.stopped_at is not None:
        check_range("'stopped_at' of the settings", settings.stopped_at, 0, 100_000)


def _conform(value: Any, kind: Any, where: str) -> Any:
    """A JSON value as `kind`, an annotation; StyleTransferError if it is of another type."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        (kind,) = (argument for argument in arguments if argument is not type(None))
        return _conform(value, kind, where)
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return _conform_fields(value, kind, where)
    if origin is Literal and value in arguments and type(value) is str:
        return value
    if origin in (tuple, Sequence) and isinstance(value, list) and len(value) <= 100:
        return tuple(_conform(part, arguments[0], where) for part in value)
    if origin is Mapping and isinstance(value, dict):  # what is in it is checked by its reader
        return value
    number = isinstance(value, int | float) and type(value) is not bool and abs(value) < 1e300
    if number and (kind is float or (kind is int and type(value) is int and abs(value) < 2**63)):
        return value
    if kind is bool and type(value) is bool:
        return value
    if kind is str and type(value) is str and len(value) <= MAX_TEXT and value.isprintable():
        return value
    raise StyleTransferError(
        f"The value {_short(value)} of {where} is not of the right kind; give a file that "
        "nst-demo wrote."
    )


def _conform_fields(value: dict[str, Any], kind: Any, where: str) -> Any:
    fields = {field.name: field for field in dataclasses.fields(kind)}
    for name in value:
        if name not in fields:
            _refuse(f"have the unknown key {_short(name)}")
    for name, field in fields.items():
        if name not in value and field.default is dataclasses.MISSING:
            _refuse(f"lack the key {name!r}")
    hints = typing.get_type_hints(kind)
    given = {k: _conform(v, hints[k], f"{k!r} in {where}") for k, v in value.items()}
    return kind(**given)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _refuse(what: str) -> NoReturn:
    raise StyleTransferError(f"The settings {what}; give a file that nst-demo wrote.")
