"""Links of results, on the real page: made, copied, opened by another visitor."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

expect.set_options(timeout=60_000)


def stylize(page: Page) -> None:
    page.get_by_role("button", name="Stylize", exact=True).click()


def pixels(page: Page) -> np.ndarray:
    expect(page.locator("#download")).to_be_visible()
    with page.expect_download() as started:
        page.locator("#download").click()
    return np.asarray(Image.open(io.BytesIO(Path(started.value.path()).read_bytes())))


@pytest.fixture
def visit(browser: Browser, url: str):
    contexts = []

    def open_link(query: str, **options) -> Page:
        contexts.append(browser.new_context(viewport={"width": 1280, "height": 900}, **options))
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)
        page.goto(f"{url}?{query}")
        return page

    yield open_link
    for context in contexts:
        context.close()


def query(page: Page) -> str:
    bar = page.locator("#share .share[data-query]")
    expect(bar).to_be_visible()
    return str(bar.get_attribute("data-query"))


def test_a_fast_result_comes_back_for_another_visitor(visit):
    first = visit("photo=cat&style=linocut&style=neon-silk&strength=0.6&weight_1=30&weight_2=70")
    painted = pixels(first)  # without a click
    assert painted.shape == (300, 451, 3)
    found = query(first)
    assert "weight_1=30&weight_2=70" in found
    again = visit(found)
    np.testing.assert_array_equal(pixels(again), painted)
    assert query(again) == found


# What the picture in the clipboard is, and a browser that can share: what it is given.
COPIED = """async () => {
  const [item] = await navigator.clipboard.read();
  const picture = await createImageBitmap(await item.getType('image/png'));
  return [picture.height, picture.width];
}"""
SHARING = """
navigator.canShare = () => true;
navigator.share = async ({title, url, files}) => {
  const [file] = files ?? [];
  const bytes = file && new Uint8Array(await file.slice(1, 4).arrayBuffer());
  const begins = bytes && String.fromCharCode(...bytes);
  window.shared = [title, url, file?.name, file?.type, begins];
};
"""


def test_copied_link_and_embed(visit, url):
    page = visit("photo=cat&style=linocut", permissions=["clipboard-read", "clipboard-write"])
    found = query(page)
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == f"{url}?{found}"
    expect(page.get_by_role("button", name="Copied")).to_have_count(0)
    page.get_by_role("button", name="Copy picture").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate(COPIED) == [300, 451]
    expect(page.get_by_role("button", name="Share")).to_be_hidden()  # this browser cannot
    page.get_by_role("button", name="Embed").click()
    snippet = page.get_by_role("textbox", name="Text to copy").input_value()
    assert snippet.startswith(f'<iframe src="{url}?{found.replace("&", "&amp;")}"')
    page.get_by_role("button", name="Close", exact=True).click()
    # What the snippet shows, inside another page: the link is that of the frame itself.
    page.set_content(snippet)
    frame = page.frame_locator("iframe")
    expect(frame.get_by_text("Painted in")).to_be_visible()
    expect(frame.get_by_role("button", name="Copy link")).to_be_visible()


def test_shared_or_without_a_clipboard_copied_or_shown(visit, url):
    page = visit("photo=cat&style=linocut")
    found = query(page)
    page.evaluate(SHARING + "document.documentElement.classList.add('can-share')")
    page.get_by_role("button", name="Share").click()
    page.wait_for_function("window.shared")
    title, address, name, *_ = page.evaluate("window.shared")
    assert (title, address) == ("Neural Style Transfer", f"{url}?{found}")
    assert name.endswith(".png")
    page.evaluate("() => { Object.defineProperty(navigator, 'clipboard', {value: undefined}) }")
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()  # by execCommand
    page.evaluate("() => { document.execCommand = () => false }")
    expect(page.get_by_role("button", name="Copy link")).to_be_visible()
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("dialog")).to_be_visible()


def test_a_quality_link_waits_for_the_button(visit):
    page = visit("mode=quality&photo=cat&style=linocut&recipe=sethi&backbone=lite&iterations=7")
    expect(page.get_by_text("press Stylize to paint it")).to_be_visible()
    expect(page.get_by_role("radio", name="Quality", exact=True)).to_be_checked()
    page.locator("summary", has_text="and how long it runs").click()
    expect(page.get_by_role("spinbutton", name="Steps", exact=True)).to_have_value("7")
    expect(page.get_by_role("radio", name=re.compile("^Sethi"))).to_be_checked()


def test_a_strangers_value_is_a_sentence_and_the_page_works(visit):
    page = visit("photo=cat&style=linocut&strength=7")
    expect(page.get_by_text("The strength is 7")).to_be_visible()
    stylize(page)
    expect(page.get_by_text("Painted in")).to_be_visible()


def test_another_version_says_so(visit):
    page = visit("photo=cat&style=linocut&v=0.0.9")
    expect(page.get_by_text("The link was made by nst-demo 0.0.9")).to_be_visible()
    expect(page.get_by_text("Painted in")).to_be_visible()


def test_an_upload_has_no_link(page, style_file):
    page.evaluate(SHARING + "document.documentElement.classList.add('can-share')")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Upload a style").click()
    chooser.value.set_files(style_file)
    expect(page.locator("#style img")).to_have_attribute("src", re.compile("style.png"))
    stylize(page)
    expect(page.get_by_text("A link cannot carry your style")).to_be_visible()
    expect(page.get_by_role("button", name="Copy link")).to_have_count(0)
    expect(page.locator("#settings")).to_be_visible()
    page.get_by_role("button", name="Share").click()  # the picture alone
    page.wait_for_function("window.shared")
    title, address, name, kind, begins = page.evaluate("window.shared")
    assert (title, address, kind, begins) == ("Neural Style Transfer", None, "image/png", "PNG")
    assert name.endswith(".png")


def test_a_comparison_comes_back(visit):
    page = visit("tab=compare&photo=cat&style=linocut&style=neon-silk&strength=0.5")
    expect(page.locator("#grid figcaption span")).to_have_text(["Photo", "Linocut", "Neon silk"])
    bar = page.locator("#share-compare .share[data-query]")
    expect(bar).to_have_attribute(
        "data-query",
        re.compile("^tab=compare&photo=cat&style=linocut&style=neon-silk&strength=0.5&v="),
    )


def test_results_of_this_visit_come_back(page):
    stylize(page)
    expect(page.locator("#share .copy")).to_be_visible()
    first = query(page)
    painted = pixels(page)
    page.locator("#style-examples").get_by_role("button").nth(2).click()
    tiles = page.locator(".visit-tiles button")
    expect(tiles).to_have_count(2)
    expect(page.locator("#share .share")).not_to_have_attribute("data-query", first)
    tiles.last.click()
    expect(page.get_by_text("From this visit")).to_be_visible()
    expect(page.locator("#share .share")).to_have_attribute("data-query", first)
    expect(page.locator("#style img")).to_have_attribute("src", re.compile("starry-swirl"))
    np.testing.assert_array_equal(pixels(page), painted)
    expect(tiles).to_have_count(2)


def test_a_result_comes_back_with_what_it_was_painted_from(page):
    """Whatever was chosen while it was painted."""
    page.get_by_role("radio", name="Quality", exact=True).check()
    page.locator("summary", has_text="and how long it runs").click()
    page.get_by_role("spinbutton", name="Steps", exact=True).fill("5000")
    page.get_by_role("spinbutton", name="Working size", exact=True).fill("128")
    stylize(page)
    expect(page.get_by_text(re.compile(r"Step [1-9]\d* of 5000"))).to_be_visible()
    page.locator("#photo-examples").get_by_role("button").nth(1).click()
    expect(page.locator("#photo img")).to_have_attribute("src", re.compile("astronaut"))
    page.get_by_role("button", name="Stop and keep").click()
    expect(page.get_by_text("Stopped at step")).to_be_visible()
    page.get_by_role("radio", name="Fast", exact=True).check()
    stylize(page)
    tiles = page.locator(".visit-tiles button")
    expect(tiles).to_have_count(2)
    tiles.last.click()
    expect(page.locator("#photo img")).to_have_attribute("src", re.compile("pagoda"))
    expect(page.get_by_role("radio", name="Quality", exact=True)).to_be_checked()
