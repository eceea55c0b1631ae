"""The endpoint for programs: what the Stylize button does, by name, for gradio_client and curl."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from gradio import events
from gradio.data_classes import FileData

from nst_demo import images
from nst_demo.ui import files, runs


def build(*, stylize: Callable[..., np.ndarray]) -> None:
    """Offer `/stylize` in the current gr.Blocks, in the same line as the page's Fast requests."""

    def endpoint(photo: FileData, style: FileData, strength: float = 1.0) -> FileData:
        """Paint a photo in a style, fast: a PNG of the photo's size, with its transparency.

        Args:
            photo: the picture to paint
            style: the picture whose style it gets
            strength: 0 (the photo) to 1 (the style)
        """
        # gradio hands over the annotated type's JSON, with paths that it has checked and copied.
        photo_path, style_path = (cast(dict[str, Any], file)["path"] for file in (photo, style))
        with runs.sentences():
            picture = runs.open_photo(photo_path, style_path)
            result = stylize(picture.rgb, style_path, method="adain", strength=strength)
            name = files.download_name(photo_path, style_path)
            return FileData(
                path=files.cache_file(name, images.encode(result, picture.alpha, "PNG"))
            )

    events.api(endpoint, api_name="stylize", concurrency_id="fast", concurrency_limit=2)
