"""Frames a second of the Webcam tab's own work: a data: URL in, painted, a data: URL out.

`python -m bench.webcam`: without the network and the browser. At least 8 at 256 px is the aim.
"""

from __future__ import annotations

import statistics
import time

import numpy as np

from bench import measure
from nst_demo import images
from nst_demo.ui import files, webcam_tab
from nst_demo.video import painting

RUNS = 60


def main() -> None:
    photo = images.open_picture(files.EXAMPLES / "photos" / "cat.jpg").rgb
    style = images.open_picture(files.list_examples("styles")[0].path).rgb
    rng = np.random.default_rng(0)
    frame = images.resize(photo, 240, 320)
    urls = [
        webcam_tab.encoded(np.clip(frame + rng.normal(0, 0.01, frame.shape), 0, 1))
        for _ in range(8)
    ]
    rows = []
    for size in webcam_tab.SIZES:
        painter = painting.painter([style], smoothing=webcam_tab.SMOOTHING)
        seconds = []
        for number in range(RUNS):
            started = time.perf_counter()
            webcam_tab.encoded(painter(webcam_tab.decoded(urls[number % len(urls)], size)))
            seconds.append(time.perf_counter() - started)
        rows.append({"size": size, "frames a second": 1 / statistics.median(seconds[5:])})
    measure.report("webcam", rows)


if __name__ == "__main__":
    main()
