"""A first visit: the page's seconds, its bytes, and what it costs the server.

`python -m bench.page` loads the page as new visitors do, as it is and without its named scripts, by
turns, behind a network of `--latency` ms and 12 Mbit/s, as phones have. `--write` renews the list
of these scripts, which another gradio needs.

Needs Chromium (Debian's package) and Playwright, as the browser tests do.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from bench.measure import report
from bench.server import running_app, wait_for
from nst_demo.ui import preview

NAMED = re.compile(r'<link rel="modulepreload"[^>]*>\s*')


def given(page: Page, url: str, named: bool) -> None:
    """From now on the page comes with or without the names of its scripts, and at once."""
    with urllib.request.urlopen(url) as answer:
        body = answer.read().decode("utf-8")
    body = body if named else NAMED.sub("", body)
    page.route(url, lambda route: route.fulfill(body=body, content_type="text/html"))


def scripts(browser: Browser, url: str) -> list[str]:
    """The modules that the page asks for by itself until it can be used, in their order."""
    page = browser.new_page()
    given(page, url, named=False)
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url) if r.resource_type == "script" else None)
    page.goto(url)
    page.get_by_role("button", name="Stylize", exact=True).wait_for()
    page.context.close()
    names = [address.partition("/assets/")[2] for address in asked]
    return [name for name in names if name and "iframeResizer" not in name]  # that is no module


def until_usable(page: Page, url: str) -> float:
    """Seconds."""
    started = time.monotonic()
    page.goto(url, wait_until="commit")
    page.get_by_role("button", name="Stylize", exact=True).wait_for()
    return time.monotonic() - started


def received(browser: Browser, url: str) -> float:
    """Megabytes of a visit."""
    page = browser.new_page()
    until_usable(page, url)
    sizes = "performance.getEntries().reduce((sum, entry) => sum + (entry.transferSize || 0), 0)"
    megabytes = page.evaluate(sizes) / 1e6
    page.context.close()
    return megabytes


def away(browser: Browser, url: str, latency: float, named: bool) -> float:
    """Seconds of a visit from `latency` ms away, after the page itself has come."""
    page = browser.new_page()
    given(page, url, named)
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    network = {"latency": latency, "downloadThroughput": 1.5e6, "uploadThroughput": 0.5e6}
    session.send("Network.emulateNetworkConditions", {"offline": False, **network})
    seconds = until_usable(page, url)
    page.context.close()
    return seconds


def processor_seconds(pid: int) -> float:
    """What the process has used (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, default=100, help="ms")
    parser.add_argument("--visits", type=int, default=7)
    parser.add_argument("--write", action="store_true", help="renew the list of scripts")
    arguments = parser.parse_args()
    with running_app() as (pid, url), sync_playwright() as playwright:
        wait_for(url, time.monotonic())
        url += "/"
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        if arguments.write:
            preview.SCRIPTS.write_text("".join(f"{n}\n" for n in scripts(browser, url)))
            return
        received(browser, url)  # the server keeps its files from then on
        time.sleep(30)  # and has compiled what visitors may ask for
        before = processor_seconds(pid)
        sizes = [received(browser, url) for _ in range(arguments.visits)]
        cost = (processor_seconds(pid) - before) / arguments.visits
        seconds: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(arguments.visits):
            for named, times in seconds.items():
                times.append(away(browser, url, arguments.latency, named))
        browser.close()
    named, bare = (statistics.median(times) for times in seconds.values())
    rows = {
        f"page, {arguments.latency:g} ms away, s": named,
        "the same / without the names of its scripts": named / bare,
        "received, MB": statistics.median(sizes),
        "the server's time on a visit, s": cost,
    }
    report("page", [{"what": what, "value": value} for what, value in rows.items()])


if __name__ == "__main__":
    main()
