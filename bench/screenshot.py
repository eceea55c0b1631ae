"""The README's picture of the page, after a first Fast result: `python -m bench.screenshot [OUT]`.

Needs Chromium (Debian's package) and Playwright, as the browser tests do.
"""

from __future__ import annotations

import argparse
import shutil
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from bench.server import running_app, wait_for
from nst_demo import images

ROOT = Path(__file__).parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, nargs="?", default=ROOT / "docs" / "page.webp")
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=840)
    arguments = parser.parse_args()
    images.check_save_path(arguments.output)
    with running_app() as (_, url), sync_playwright() as playwright:
        wait_for(url, time.monotonic())
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        size = {"width": arguments.width, "height": arguments.height}
        page = browser.new_page(viewport=size)  # type: ignore[arg-type]
        page.goto(url)
        page.get_by_role("button", name="Stylize", exact=True).click()
        page.get_by_text("Painted in").wait_for(timeout=120_000)
        page.locator("#download").wait_for()
        page.evaluate("document.activeElement.blur()")
        picture = images.open_picture(page.screenshot(animations="disabled"))
        browser.close()
    images.save_image(arguments.output, picture.rgb)


if __name__ == "__main__":
    main()
