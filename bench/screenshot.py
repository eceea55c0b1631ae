"""The README's pictures of the page, one of each tab after a first result: `make screenshots`.

Needs Chromium (Debian's package) and Playwright, as the browser tests do. Before the webcam sits
the astronaut of the example photos.
"""

from __future__ import annotations

import argparse
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from bench.server import running_app, wait_for
from nst_demo import images

DOCS = Path(__file__).parents[1] / "docs"
ARGUMENTS = ["--no-sandbox", "--disable-gpu"]
SITTER = DOCS.parent / "examples" / "photos" / "astronaut.jpg"
CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


def stylize(page: Page) -> None:
    status = page.get_by_text(re.compile("^Painted in"))
    page.get_by_role("button", name="Stylize", exact=True).click()
    status.wait_for(timeout=120_000)
    first = status.inner_text()
    page.wait_for_timeout(5_000)  # the server is still compiling all that visitors may ask for
    page.get_by_role("button", name="Stylize", exact=True).click()
    status.filter(has_not_text=first).wait_for(timeout=120_000)
    page.locator("#share .copy").wait_for()


def compare(page: Page) -> None:
    page.locator("#compare-button").click()
    page.get_by_text("pictures in").wait_for(timeout=120_000)


def video(page: Page) -> None:
    page.locator("#preview-frame").click()
    page.locator("#first-frame img").nth(1).wait_for(timeout=120_000)


def webcam(page: Page) -> None:
    page.get_by_text("Click to Access Webcam").click()
    page.get_by_role("button", name="capture photo").click()
    page.locator("#painted-live img").wait_for(timeout=120_000)
    page.wait_for_timeout(3000)  # the camera's own picture is there, too


def camera(folder: str) -> str:
    """A film of one picture, as Chromium wants it for a camera's."""
    path = Path(folder) / "camera.mjpeg"
    with Image.open(SITTER) as sitter:
        sitter.crop((0, 0, sitter.width, sitter.width * 3 // 4)).resize((640, 480)).save(
            path, "JPEG", quality=95
        )
    return f"--use-file-for-fake-video-capture={path}"


TABS: dict[str, Callable[[Page], None]] = {
    "Stylize": stylize,
    "Compare": compare,
    "Video": video,
    "Webcam": webcam,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, nargs="?", default=DOCS, help="folder")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=840)
    parser.add_argument("--dark", action="store_true")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        running_app() as (_, url),
        sync_playwright() as playwright,
    ):
        wait_for(url, time.monotonic())
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=[*ARGUMENTS, *CAMERA, camera(folder)]
        )
        page = browser.new_page(
            viewport={"width": arguments.width, "height": arguments.height},
            color_scheme="dark" if arguments.dark else "light",
        )
        page.goto(url)
        for name, work in TABS.items():
            page.get_by_role("tab", name=name, exact=True).click()
            work(page)
            page.evaluate("() => { document.activeElement.blur(); scrollTo(0, 0); }")
            picture = images.open_picture(page.screenshot(animations="disabled"))
            images.save_image(arguments.output / f"{name.lower()}.webp", picture.rgb)
        browser.close()


if __name__ == "__main__":
    main()
