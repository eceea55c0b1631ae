"""Makes clips/cat-pan.mp4: a slow pan over the photo of the cat, to try video with.

`python examples/make_clip.py`
"""

from pathlib import Path

import av
from PIL import Image

FOLDER = Path(__file__).parent
SIZE = (360, 240)  # px
RATE, SECONDS = 20, 3


def main() -> None:
    photo = Image.open(FOLDER / "photos" / "cat.jpg").convert("RGB")
    frames = RATE * SECONDS
    height = 0.8 * photo.height
    width = height * SIZE[0] / SIZE[1]
    with av.open(str(FOLDER / "clips" / "cat-pan.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "27", "preset": "slow"})
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for number in range(frames):
            share = number / (frames - 1)
            eased = share * share * (3 - 2 * share)
            left, top = eased * (photo.width - width), (1 - eased) * (photo.height - height) / 2
            box = (left, top, left + width, top + height)
            view = photo.resize(SIZE, Image.Resampling.LANCZOS, box=box)
            container.mux(stream.encode(av.VideoFrame.from_image(view)))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    main()
