"""The endpoint for programs: what the Stylize button does, by name, for gradio_client and curl."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, cast

import numpy as np
from gradio import events
from gradio.data_classes import FileData

from nst_demo import images, settings
from nst_demo.ui import files, runs

MAX_SECONDS = 60.0  # of a Quality run for a program


def build(*, stylize: Callable[..., np.ndarray], iterate: Callable[..., Iterator[Any]]) -> None:
    """Offer `/stylize` in the current gr.Blocks, in a line of its own beside the page's."""

    def endpoint(
        photo: FileData,
        style: FileData,
        strength: float = 1.0,
        style_scale: float = 1.0,
        keep_colors: str = "none",
        seed: int = 0,
        recipe: str = "",
    ) -> FileData:
        """Paint a photo in a style: a PNG of the photo's size, with its transparency.

        Args:
            photo: the picture to paint
            style: the picture whose style it gets
            strength: 0 (the photo) to 1 (the style)
            style_scale: size of the strokes, 0.25 to 4
            keep_colors: the photo's: none, luminance (its colours) or histogram (its palette)
            seed: of the noise that a recipe may start from
            recipe: empty for the fast way; or default, sethi, chen, zandian, baroni, keras: the
                slow one of high quality, on the packaged network, for a minute at most
        """
        # gradio hands over the annotated type's JSON, with paths that it has checked and copied.
        photo_path, style_path = (cast(dict[str, Any], file)["path"] for file in (photo, style))
        options = {"strength": strength, "style_scale": style_scale, "keep_colors": keep_colors}
        options["seed"] = seed
        if recipe:
            options |= {"recipe": recipe, "backbone": "lite", "time_budget": MAX_SECONDS}
        with runs.raised():
            request = runs.Request(photo_path, [style_path], [1.0], options)
            job = runs.Job.open("gatys" if recipe else "adain", request)
            stopped_at = None
            if recipe:
                step = _last(iterate(job.photo.rgb, job.styles, **job.arguments()))
                result = job.full_size(step.image)
                stopped_at = step.iteration if step.iteration < step.iterations else None
            else:
                result = stylize(job.photo.rgb, job.styles, **job.arguments())
            text = settings.to_json(job.describe(stopped_at))
            name = files.download_name(photo_path, style_path)
            return FileData(
                path=files.cache_file(name, images.encode(result, job.photo.alpha, "PNG", text))
            )

    events.api(endpoint, api_name="stylize", concurrency_id="programs", concurrency_limit=2)


def _last(steps: Iterator[Any]) -> Any:
    with closing(steps):  # type: ignore[type-var]  # a generator
        return deque(steps, maxlen=1).pop()
