"""The endpoints for programs: what the page does, by name, for gradio_client, curl and MCP.

Their parameters' names, types and descriptions are what the page "Use via API" shows.
"""
# Without `from __future__ import annotations`: gradio would see only the names of the types.

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import numpy as np
from gradio import events
from gradio.context import get_blocks_context
from gradio.data_classes import FileData
from gradio.utils import get_function_description

from nst_demo import compare, images, settings, temporal
from nst_demo.errors import StyleTransferError, check_choice, check_range
from nst_demo.ui import files, runs, video_tab
from nst_demo.video import painting, reading

MAX_SECONDS = 60.0  # of a Quality run for a program
MAX_VIDEO_SECONDS = 180.0  # of the painting of a clip
PROGRAMS: dict[str, Any] = {"concurrency_id": "programs", "concurrency_limit": 2}
# The page's lines: what takes long is done for one after the other.
QUALITY: dict[str, Any] = {"concurrency_id": "quality", "concurrency_limit": 2}
VIDEO: dict[str, Any] = {"concurrency_id": "video", "concurrency_limit": 1}

KeepColors = Literal["none", "luminance", "histogram"]
Recipe = Literal["default", "bold", "sethi", "chen", "zandian", "baroni", "keras"]
Init = Literal["recipe", "content", "noise", "content+noise", "fast"]
FastMethod = Literal["adain", "feedforward", "magenta"]


def build(
    *,
    stylize: Callable[..., np.ndarray],
    iterate: Callable[..., Iterator[Any]],
    make_painter: Callable[..., painting.Painter] = painting.painter,
) -> None:
    """Offer the endpoints in the current gr.Blocks, in lines of their own beside the page's."""
    offer(_stylize(stylize), "stylize", **PROGRAMS)
    offer(_quality(iterate), "quality", **QUALITY)
    offer(_compare(stylize), "compare", **PROGRAMS)
    offer(_video(make_painter), "video", **VIDEO)


def _stylize(stylize: Callable[..., np.ndarray]) -> Callable[..., FileData]:
    def endpoint(
        photo: FileData,
        style: FileData | None = None,
        strength: float = 1.0,
        style_scale: float = 1.0,
        keep_colors: KeepColors = "none",
        seed: int = 0,
        network: str = "",
        method: FastMethod = "adain",
    ) -> FileData:
        """Paint a photo in the style of a picture, or in a trained style, in a moment.

        Args:
            photo: The picture to paint, up to 15 MB.
            style: The picture whose style it gets. Not needed with a network.
            strength: 0 (the photo) to 1 (the style).
            style_scale: Size of the strokes, 0.25 to 4.
            keep_colors: The photo's: none, luminance (its colours) or histogram (its palette).
            seed: Of whatever is random; the same seed gives the same picture.
            network: A trained style by name, such as starry-swirl, instead of a style picture.
            method: adain takes any style; feedforward is chosen by giving a network.

        Returns:
            A PNG of the photo's size, with its transparency and the settings that made it.
        """
        options: dict[str, Any] = {"strength": strength, "style_scale": style_scale}
        options |= {"keep_colors": keep_colors, "seed": seed}
        chosen = str(method)
        if network or chosen == "feedforward":
            chosen, options["network"] = "feedforward", network
        if chosen == "magenta":
            del options["style_scale"]  # not an option of it
        with runs.raised():
            if chosen not in ("adain", "feedforward", "magenta"):
                raise StyleTransferError(
                    f"The method {chosen!r} is not one of adain, feedforward, magenta."
                )
            job = open_job(chosen, photo, style, options)
            return png(job, stylize(job.photo.rgb, job.styles, **job.arguments()))

    return endpoint


def _quality(iterate: Callable[..., Iterator[Any]]) -> Callable[..., FileData]:
    def endpoint(
        photo: FileData,
        style: FileData,
        recipe: Recipe = "default",
        iterations: int = 0,
        time_budget: float = MAX_SECONDS,
        strength: float = 1.0,
        style_scale: float = 1.0,
        keep_colors: KeepColors = "none",
        seed: int = 0,
        content_weight: float = 1.0,
        style_weight: float = 1.0,
        size: int = 0,
        init: Init = "recipe",
    ) -> FileData:
        """Paint a photo in the style of a picture by optimising it: slow, of high quality.

        Args:
            photo: The picture to paint, up to 15 MB.
            style: The picture whose style it gets.
            recipe: Ours (default; bold: large forms and strokes), or a published system.
            iterations: Steps; 0 takes the recipe's own number.
            time_budget: Seconds after which the best picture so far is the result, 1 to 60.
            strength: 0 (the photo) to 1 (the style).
            style_scale: Size of the strokes, 0.25 to 4.
            keep_colors: The photo's: none, luminance (its colours) or histogram (its palette).
            seed: Of the noise that a recipe may start from.
            content_weight: How much of the photo's structure is kept; 1 is the recipe's own.
            style_weight: How strongly the style is followed; 1 is the recipe's own.
            size: Pixels of the long side that are optimised, then enlarged; 0 for the recipe's.
            init: Start from the recipe's choice, the photo (content), noise, both, or fast mode's.

        Returns:
            A PNG of the photo's size, with its transparency and the settings that made it.
        """
        options: dict[str, Any] = {"recipe": recipe, "strength": strength, "seed": seed}
        options |= {"style_scale": style_scale, "keep_colors": keep_colors}
        options |= {"content_weight": content_weight, "style_weight": style_weight}
        # The larger networks are downloads, and too slow for a run of a minute.
        options |= {"backbone": "lite"}
        if iterations:
            options["iterations"] = iterations
        if size:
            options["size"] = size
        if init != "recipe":
            options["init"] = init
        with runs.raised():
            check_range("time_budget", time_budget, 1, MAX_SECONDS)
            job = open_job("gatys", photo, style, options | {"time_budget": time_budget})
            step = _last(iterate(job.photo.rgb, job.styles, **job.arguments()))
            stopped_at = step.iteration if step.iteration < step.iterations else None
            return png(job, job.full_size(step.image), stopped_at)

    return endpoint


def _compare(stylize: Callable[..., np.ndarray]) -> Callable[..., list[FileData]]:
    def endpoint(
        photo: FileData,
        styles: list[FileData],
        strength: float = 1.0,
        style_scale: float = 1.0,
        keep_colors: KeepColors = "none",
        size: int = compare.SIZE,
    ) -> list[FileData]:
        """Paint one photo in up to 16 styles, and put the pictures on one captioned sheet.

        Args:
            photo: The picture to paint, up to 15 MB.
            styles: The pictures whose styles it gets, at most 16.
            strength: 0 (the photo) to 1 (the style).
            style_scale: Size of the strokes, 0.25 to 4.
            keep_colors: The photo's: none, luminance (its colours) or histogram (its palette).
            size: Pixels of each picture's long side, 16 to 2048.

        Returns:
            PNGs: the contact sheet, then each picture in the order of the styles.
        """
        with runs.raised():
            if not isinstance(styles, list):
                raise StyleTransferError("The styles are not a list of pictures; give a list.")
            paths = [uploaded_picture(style, "style") for style in styles]
            options = {"strength": strength, "style_scale": style_scale, "keep_colors": keep_colors}
            entries = compare.of_styles(
                {f"{place:02}": path for place, path in enumerate(paths, 1)}, **options
            )
            path = uploaded_picture(photo, "photo")
            opened = compare.open_photo(path, size)
            pictures = list(compare.paint(path, entries, size=size, stylize=stylize))
            captions = ["Photo", *(Path(path).stem for path in paths)]
            sheet = compare.sheet([opened.rgb, *pictures], captions)
            found = [_file("comparison.png", images.encode(sheet, None, "PNG"))]
            for path_, picture in zip(paths, pictures, strict=True):
                data = images.encode(picture, opened.alpha, "PNG")
                found.append(_file(files.download_name(path, path_), data))
            return found

    return endpoint


def _video(make_painter: Callable[..., painting.Painter]) -> Callable[..., FileData]:
    def endpoint(
        clip: FileData,
        style: FileData | None = None,
        network: str = "",
        strength: float = 1.0,
        style_scale: float = 1.0,
        smoothing: float = temporal.SMOOTHING,
        frame_rate: int = 0,
        size: int = 0,
        kind: Literal["mp4", "gif"] = "mp4",
    ) -> FileData:
        """Paint a clip in the style of a picture, or in a trained style, without flicker.

        Args:
            clip: GIF, MP4, MOV or WebM: up to 20 s, 30 frames a second, 1280 x 720 px, 40 MB.
            style: The picture whose style it gets. Not needed with a network.
            network: A trained style by name, such as starry-swirl, instead of a style picture.
            strength: 0 (the clip) to 1 (the style).
            style_scale: Size of the strokes, 0.25 to 4.
            smoothing: 0 (each frame by itself) to 1 (what stands still stays still).
            frame_rate: Frames per second at most; 0 for all of them.
            size: Pixels of the long side at most; 0 for the clip's own.
            kind: mp4 (H.264, with the clip's sound) or gif.

        Returns:
            The painted clip.
        """
        with runs.raised():
            check_choice("kind", kind, ("mp4", "gif"))  # it becomes part of a path
            asked = video_tab.Asked(
                clip=uploaded(clip, "clip"),
                style=None if style is None else uploaded_picture(style, "style"),
                network=str(network),
                size=size,
                frame_rate=frame_rate,
                kind=f".{kind}",
                strength=strength,
                style_scale=style_scale,
                smoothing=smoothing,
            )
            report = _last(
                video_tab.paint(
                    asked,
                    make_painter=make_painter,
                    limits=reading.STRANGERS,
                    max_seconds=MAX_VIDEO_SECONDS,
                )
            )
            return FileData(path=str(report.path))

    return endpoint


def offer(endpoint: Callable[..., Any], name: str, **line: Any) -> None:
    """gr.api with the endpoint's docstring: gradio shows of it only what comes before "Args:"."""
    # MCP names a tool after its function.
    endpoint.__name__ = name
    events.api(endpoint, api_name=name, **line)
    blocks: Any = get_blocks_context()
    fn = next(fn for fn in blocks.fns.values() if fn.api_name == name)
    _, descriptions, returned = get_function_description(endpoint)
    for component, words in zip(fn.inputs, descriptions.values(), strict=True):
        _describe(component, words)
    for component, words in zip(fn.outputs, returned, strict=True):
        _describe(component, words)


def _describe(component: Any, words: str) -> None:
    info = component._api_info
    # Of what may be left out only the type: a picture that is "null or a file" is no file for MCP.
    kinds = [kind for kind in info.get("oneOf", []) if kind != {"type": "null"}]
    component.label = words
    component._api_info = {**(kinds[0] if kinds else info), "additional_description": words}


# ---- Pictures in and out -----------------------------------------------------------------------


def uploaded(file: Any, what: str) -> str:
    """The path of a file that was uploaded to this server; nothing else is opened for a program.

    Gradio checks paths only in a dict that says that it is a FileData, and strangers write it.
    """
    path = file.get("path") if isinstance(file, Mapping) else None
    if not isinstance(path, str):
        raise StyleTransferError(
            f"The {what} is no uploaded file; send it to /gradio_api/upload first, and give "
            '{"path": what that returns, "meta": {"_type": "gradio.FileData"}}.'
        )
    if not files.uploaded(path):
        raise StyleTransferError(f"The {what} was not uploaded to this server; upload it first.")
    runs.check_file(path, what)
    return path


def uploaded_picture(file: Any, what: str) -> str:
    """As `uploaded`, of a picture, which may be as large as on the page."""
    path = uploaded(file, what)
    files.check_size(path, what)
    return path


def open_job(
    method: str, photo: FileData, style: FileData | None, options: Mapping[str, Any]
) -> runs.Job:
    paths = [None if style is None else uploaded_picture(style, "style")]
    request = runs.Request(uploaded_picture(photo, "photo"), paths, [1.0], options)
    return runs.Job.open(method, request)


def png(job: runs.Job, result: np.ndarray, stopped_at: int | None = None) -> FileData:
    """The result as the page's download is: in full size, with its alpha and its settings."""
    text = settings.to_json(job.describe(stopped_at))
    name = files.download_name(job.request.photo, job.style_name)
    return _file(name, images.encode(result, job.photo.alpha, "PNG", text))


def _file(name: str, data: bytes) -> FileData:
    return FileData(path=files.cache_file(name, data))


def _last(steps: Iterator[Any]) -> Any:
    with closing(steps):  # type: ignore[type-var]  # a generator
        return deque(steps, maxlen=1).pop()
