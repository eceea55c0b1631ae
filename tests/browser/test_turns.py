"""A run that the server refuses: the page says why, and is ready for the next one."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from nst_demo.ui import server

expect.set_options(timeout=60_000)


@pytest.fixture
def visitor(browser: Browser, url: str) -> Iterator[Page]:
    """Not `page`: a refusal is an error in the console."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(url)
    page.get_by_role("button", name="Stylize", exact=True).wait_for()
    yield page
    context.close()


@pytest.fixture
def painting(visitor: Page) -> Iterator[Page]:
    """Stylize has a Quality run."""
    visitor.get_by_role("radio", name="Quality", exact=True).check()
    visitor.get_by_role("button", name="Stylize", exact=True).click()
    expect(visitor.get_by_text(re.compile(r"Step \d+ of"))).to_be_visible()
    yield visitor
    visitor.get_by_role("tab", name="Stylize").click()
    visitor.locator("#stop").click()
    expect(visitor.get_by_text("Stopped at step")).to_be_visible()


def test_a_second_long_run_is_refused_in_video(painting):
    painting.get_by_role("tab", name="Video").click()
    painting.locator("#paint-clip").click()
    expect(painting.get_by_text(server.ONE_AT_A_TIME)).to_be_visible()
    expect(painting.get_by_role("button", name="Paint the clip")).to_be_enabled()
    expect(painting.locator("#cancel-clip")).to_be_hidden()
    expect(painting.locator("#video-result .line")).to_have_count(0)


def test_a_comparison_without_its_quality_picture_is_one_all_the_same(painting):
    painting.get_by_role("tab", name="Compare").click()
    painting.get_by_role("radio", name="Fast or Quality").check()
    painting.locator("#compare-button").click()
    expect(painting.get_by_text(server.ONE_AT_A_TIME)).to_be_visible()
    expect(painting.locator("#closer-slider img")).to_have_count(2)
    expect(painting.locator(".shimmer")).to_have_count(0)
    expect(painting.get_by_text("waiting for a free place")).to_be_hidden()


def test_a_full_line_is_a_sentence_and_the_page_is_ready(visitor):
    def full(route: Route) -> None:
        route.fulfill(status=429, json={"detail": server.BUSY})

    visitor.route("**/queue/join*", full)
    for mode in ("Fast", "Quality"):
        visitor.get_by_role("radio", name=mode, exact=True).check()
        visitor.get_by_role("button", name="Stylize", exact=True).click()
        expect(visitor.get_by_text(server.BUSY)).to_be_visible()
        expect(visitor.get_by_role("button", name="Stylize", exact=True)).to_be_enabled()
        expect(visitor.locator("#cancel")).to_be_hidden()
        expect(visitor.locator("#result .line")).to_have_count(0)
        visitor.get_by_test_id("toast-close").click()
        expect(visitor.get_by_text(server.BUSY)).to_be_hidden()
    assert visitor.get_by_text("Error", exact=True).locator("visible=true").count() == 0
    visitor.unroute("**/queue/join*")
    visitor.get_by_role("radio", name="Fast", exact=True).check()
    visitor.get_by_role("button", name="Stylize", exact=True).click()
    expect(visitor.get_by_text("Painted in")).to_be_visible()
