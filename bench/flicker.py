"""How much the still parts of a painted clip flicker, against the source clip's own.

`python -m bench.flicker [--sheet SHEET.png]`: a synthetic clip (a photo that stands still under
film grain, then a slow pan, then a change of light; H.264 adds its own noise) is painted with and
without smoothing. Flicker is the mean absolute change from frame to frame of the pixels whose
source changes by less than STILL; the ratio is the painting's to the source's. At most 1.3 is the
aim where the clip stands still. In the pan even a plain sky moves, and its painting has to as well.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np

from bench import measure
from nst_demo import images, temporal
from nst_demo.methods import adain
from nst_demo.video import painting

STYLES = ("starry-swirl", "stained-glass", "watercolour-garden", "pointillist-harbour")
PHOTOS = ("cat", "pagoda")
SIZE = (192, 320)  # px
FRAMES = 16  # of each part
GRAIN = 4 / 255  # standard deviation of the film grain
STILL = 8 / 255  # a pixel whose channels change by less stands still
PARTS = ("still", "pan", "light")


def clip(photo: np.ndarray, frames: int = FRAMES, seed: int = 0) -> list[np.ndarray]:
    """The three parts, one after another: (H, W, 3) in [0, 1], before H.264."""
    height, width = SIZE
    room = frames + 1  # px that the pan goes, one each frame
    wide = images.resize(photo, height, width + room)
    rng = np.random.default_rng(seed)
    views = [(0, 1.0)] * frames
    views += [(step, 1.0) for step in range(1, frames + 1)]
    views += [(frames, 1.0 + 0.35 * step / frames) for step in range(1, frames + 1)]
    made = []
    for left, light in views:
        grain = rng.normal(0, GRAIN, (height, width, 1)).astype("float32")
        made.append(np.clip(wide[:, left : left + width] * light + grain, 0, 1))
    return made


def write(path: Path, frames: Sequence[np.ndarray], rate: int = 24, crf: int = 23) -> None:
    """As a camera would: H.264."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": str(crf)})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            pixels = np.asarray(images.to_pil(frame))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels)))
        container.mux(stream.encode(None))


def read(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [
            f.to_ndarray(format="rgb24").astype("float32") / 255 for f in container.decode(video=0)
        ]


def flicker(source: Sequence[np.ndarray], painted: Sequence[np.ndarray]) -> tuple[float, float]:
    """Mean absolute change of the still pixels of the source, and of the painting."""
    own, theirs = [], []
    pairs = zip(source, source[1:], painted, painted[1:], strict=False)
    for before, after, painted_before, painted_after in pairs:
        change = np.abs(after - before)
        still = change.max(axis=2) < STILL
        own.append(change[still])
        theirs.append(np.abs(painted_after - painted_before)[still])
    return float(np.concatenate(own).mean()), float(np.concatenate(theirs).mean())


def measured(source: Sequence[np.ndarray], painter: painting.Painter) -> dict[str, float]:
    """The ratio of painting to source, by part; a change of part belongs to neither."""
    painted = [painter(frame) for frame in source]
    ratios = {}
    for number, part in enumerate(PARTS):
        here = slice(number * FRAMES, (number + 1) * FRAMES)
        own, theirs = flicker(source[here], painted[here])
        ratios[part] = theirs / own
    return ratios


def painters(name: str, style: np.ndarray) -> dict[str, Callable[[], painting.Painter]]:
    options = adain.Options()
    return {
        "no smoothing": lambda: adain.frame_painter([style], options, 0.0),
        "smoothing": lambda: adain.frame_painter([style], options),
        "smoothing, still painter": lambda: painting.still_painter(
            lambda frame: adain.stylize(frame, [style], options)
        ),
        "trained, no smoothing": lambda: painting.painter([], network=name, smoothing=0.0),
        "trained, smoothing": lambda: painting.painter([], network=name),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sheet", type=Path, help="frames of the last clip, to look at")
    parser.add_argument("--quick", action="store_true", help="one photo, two styles")
    parsed = parser.parse_args()
    sheet, photos, styles = parsed.sheet, PHOTOS, STYLES
    if parsed.quick:
        photos, styles = PHOTOS[1:], STYLES[1::2]
    rows, cells = [], []
    for name in photos:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "clip.mp4"
            write(path, clip(images.open_picture(images.EXAMPLES / "photos" / f"{name}.jpg").rgb))
            source = read(path)
        shown = source[FRAMES - 1 :: FRAMES // 2]
        cells = [np.concatenate(shown, axis=1)]
        for style_name in styles:
            style = images.open_picture(images.EXAMPLES / "styles" / f"{style_name}.webp").rgb
            for kind, painter in painters(style_name, style).items():
                rows.append({"photo": name, "style": style_name, "painter": kind})
                rows[-1] |= measured(source, painter())
            paint = adain.frame_painter([style], adain.Options(), temporal.SMOOTHING)
            painted = [paint(frame) for frame in source]
            cells.append(np.concatenate(painted[FRAMES - 1 :: FRAMES // 2], axis=1))
    measure.report("flicker", rows)
    if sheet is not None:
        images.save_image(sheet, np.concatenate(cells))


if __name__ == "__main__":
    main()
