"""Whoever sees little, or uses no mouse: axe-core on every tab, and the keyboard."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

expect.set_options(timeout=60_000)


def violations(page: Page) -> list[str]:
    """Those that axe calls serious or critical."""
    found = Axe().run(page).response["violations"]
    return [
        f"{v['id']}: {node['html'][:120]}"
        for v in found
        if v["impact"] in ("serious", "critical")
        for node in v["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_on_any_tab(browser, url, scheme):
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    page.goto(url)
    expect(page.get_by_role("button", name="Stylize", exact=True)).to_be_visible()
    assert violations(page) == []
    page.get_by_role("button", name="Stylize", exact=True).click()
    expect(page.locator("#share .copy")).to_be_visible()
    page.get_by_role("radio", name="Quality", exact=True).check()
    for summary in page.locator("summary").all():
        if summary.is_visible():
            summary.click()
    assert violations(page) == []
    for tab in page.get_by_role("tab").all()[1:]:
        tab.click()
        expect(tab).to_have_attribute("aria-selected", "true")
        if tab.inner_text() == "Compare":
            page.locator("#compare-button").click()
            expect(page.locator("#closer-slider img")).to_have_count(2)
        assert violations(page) == []
    context.close()


def keys_are_heard(page: Page) -> None:
    expect(page.locator("body")).to_have_attribute("aria-keyshortcuts", "Control+Enter")


def test_keys_alone_make_a_picture(page):
    keys_are_heard(page)
    page.keyboard.press("Control+Enter")
    expect(page.locator("#result .status").get_by_text("Painted in")).to_be_visible()
    page.get_by_role("tab", name="Compare").focus()
    page.keyboard.press("Enter")
    box = page.get_by_role("checkbox", name="Starry swirl", exact=True)
    expect(box).to_be_checked()
    box.focus()
    page.keyboard.press("Space")
    expect(box).not_to_be_checked()
    expect(page.get_by_text("5 chosen")).to_be_visible()
    ring = "(e) => getComputedStyle(e.parentElement.querySelector('img')).outlineStyle"
    assert box.evaluate(ring) == "solid"
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("5 pictures in")).to_be_visible()


def test_every_picture_has_words(page):
    keys_are_heard(page)
    page.keyboard.press("Control+Enter")
    expect(page.locator("#compare img")).to_have_count(2)
    assert page.locator("img:not([alt])").count() == 0
