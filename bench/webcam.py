"""Frames a second of the Webcam tab. At least 8 at 256 px is the aim.

`python -m bench.webcam`: its own work, a data: URL in, painted, a data: URL out. With `--page`: new
pictures a second in headless Chromium, whose test pattern is the camera; the browser shares the
cores with the server then.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import time

import numpy as np

from bench import measure
from nst_demo import images
from nst_demo.ui import files, webcam_tab
from nst_demo.video import painting

RUNS = 60
PAGE_SECONDS = 15
# Counts how often the painted picture changes.
COUNT = """() => {
  const picture = document.querySelector('#painted-live img');
  window.changes = 0;
  new MutationObserver(() => window.changes++).observe(picture, {attributeFilter: ['src']});
}"""


def in_the_page() -> float:
    """New pictures a second at 256 px."""
    from playwright.sync_api import sync_playwright

    from bench.screenshot import ARGUMENTS, CAMERA, webcam
    from bench.server import running_app, wait_for

    with running_app() as (_, url), sync_playwright() as playwright:
        wait_for(url, time.monotonic())
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=ARGUMENTS + CAMERA
        )
        page = browser.new_context(permissions=["camera"]).new_page()
        page.goto(url)
        page.get_by_role("tab", name="Webcam").click()
        webcam(page)
        page.wait_for_timeout(2000)  # the networks are compiled, the browser has settled
        page.evaluate(COUNT)
        started = time.monotonic()
        page.wait_for_timeout(1000 * PAGE_SECONDS)
        shown = page.evaluate("() => window.changes") / (time.monotonic() - started)
        browser.close()
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", action="store_true")
    if parser.parse_args().page:
        measure.report("webcam-page", [{"size": 256, "pictures a second": in_the_page()}])
        return
    photo = images.open_picture(images.EXAMPLES / "photos" / "cat.jpg").rgb
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
