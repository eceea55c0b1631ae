"""Kinds of Fast, blends of four styles, and settings that bring them back, on the real page."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from nst_demo import weights

PAINTED = re.compile(r"Painted in")
needs_trained = pytest.mark.skipif(
    len(weights.trained_styles()) < 2, reason="no two trained styles are packaged yet"
)


def stylize(page: Page) -> None:
    page.get_by_role("button", name="Stylize", exact=True).click()
    expect(page.get_by_text(PAINTED)).to_be_visible()
    expect(page.locator("#download")).to_be_visible()


def shares(page: Page) -> list[float]:
    boxes = page.locator("#more .share input[type=number]")
    return [float(boxes.nth(place).input_value()) for place in range(4)]


def after(page: Page) -> str:
    return str(page.locator("#compare img").last.get_attribute("src"))


def pixels(page: Page, button: str, folder: Path) -> tuple[Path, np.ndarray]:
    with page.expect_download() as started:
        page.locator(button).click()
    path = folder / started.value.suggested_filename
    started.value.save_as(path)
    return path, np.asarray(Image.open(path)) if path.suffix == ".png" else np.empty(0)


def test_best_is_first_and_magenta_says_that_it_is_downloaded(page):
    kinds = page.locator("#kind")
    expect(kinds.get_by_role("radio", name="Best")).to_be_checked()
    expect(page.get_by_text("by networks trained for them")).to_be_visible()
    expect(page.get_by_text("downloaded on first use")).to_be_hidden()
    kinds.get_by_role("radio", name="Magenta").check()
    expect(page.get_by_text(re.compile("downloaded on first use .about 100 MB."))).to_be_visible()
    expect(page.locator("#more")).to_be_hidden()  # it takes one style
    page.locator("summary", has_text="Adjust").click()
    expect(page.get_by_role("slider", name=re.compile("Stroke size"))).to_be_disabled()
    page.get_by_role("radio", name="Quality", exact=True).check()
    expect(kinds).to_be_hidden()
    expect(page.locator("#more")).to_be_visible()
    expect(page.get_by_role("slider", name=re.compile("Stroke size"))).to_be_enabled()


def test_choosing_magenta_keeps_the_picture_and_fetches_nothing(page):
    stylize(page)
    shown = after(page)
    page.get_by_role("radio", name="Magenta").check()
    expect(page.get_by_text(re.compile("CPU · ready|GPU · ready"))).to_be_visible()
    assert after(page) == shown
    expect(page.get_by_text(PAINTED)).to_be_visible()


def test_best_is_the_network_of_the_style_and_adain_for_a_blend(page):
    stylize(page)
    by_network = page.get_by_text("By the network trained for this style.")
    expect(by_network).to_be_visible()
    expect(page.locator("#share .share")).to_have_attribute(
        "data-query", re.compile("^photo=pagoda&style=starry-swirl&v=")
    )
    expect(page.get_by_role("button", name="Refine in Quality")).to_be_visible()
    shown = after(page)
    page.get_by_role("radio", name="AdaIN").check()
    expect(page.locator("#compare img").last).not_to_have_attribute("src", shown)
    expect(by_network).to_be_hidden()
    expect(page.locator("#share .share")).to_have_attribute(
        "data-query", re.compile("&kind=adain&v=")
    )
    page.get_by_role("radio", name="Best").check()
    expect(by_network).to_be_visible()
    page.locator("summary", has_text="More styles").click()
    page.locator("#style-2-examples").get_by_role("button").nth(2).click()
    expect(by_network).to_be_hidden()
    expect(page.locator("#share .share")).to_have_attribute(
        "data-query", re.compile("style=starry-swirl&style=.*&weight_1=50&weight_2=50&v=")
    )


@needs_trained
def test_trained_styles_paint_at_once_and_come_back(page, browser, url, tmp_path):
    page.get_by_role("radio", name="Trained", exact=True).check()
    expect(page.locator("#style")).to_be_hidden()
    expect(page.locator("#more")).to_be_hidden()
    stylize(page)
    shown = after(page)
    page.locator("#network label").last.click()
    expect(page.locator("#compare img").last).not_to_have_attribute("src", shown)
    expect(page.locator("#continue")).to_be_hidden()
    expect(page.locator("#download")).to_be_visible()
    path, painted = pixels(page, "#download", tmp_path)
    other = browser.new_page()
    other.goto(url)
    other.locator("summary", has_text="Open settings").click()
    other.locator("#settings-file input[type=file]").set_input_files(path)
    expect(other.get_by_text("Opened: Fast.")).to_be_visible()
    expect(other.get_by_role("radio", name="Best")).to_be_checked()  # with the style's picture
    stylize(other)
    np.testing.assert_array_equal(pixels(other, "#download", tmp_path)[1], painted)
    other.context.close()


def test_linked_shares_blend_four_styles(page, browser, url, tmp_path):
    stylize(page)
    shown = after(page)
    page.locator("summary", has_text="More styles").click()
    expect(page.locator("#share-1")).to_be_hidden()  # one style has no share
    for place in (2, 3, 4):
        page.locator(f"#style-{place}-examples").get_by_role("button").nth(place).click()
        expect(page.locator("#compare img").last).not_to_have_attribute("src", shown)
        shown = after(page)
    assert shares(page) == [25, 25, 25, 25]
    handle = page.locator("#share-2 input[type=range]")
    box = handle.bounding_box()
    assert box
    handle.click(position={"x": box["width"] * 0.7, "y": box["height"] / 2})
    expect(page.locator("#compare img").last).not_to_have_attribute("src", shown)
    found = shares(page)
    assert sum(found) == 100
    assert 55 <= found[1] <= 85
    assert max(found[0], *found[2:]) - min(found[0], *found[2:]) <= 1
    shown = after(page)
    page.locator("#style-3").get_by_role("button", name="Remove Image").click()
    expect(page.locator("#share-3")).to_be_hidden()
    expect(page.locator("#share-3 input[type=number]")).to_have_value("0")
    assert sum(shares(page)) == 100

    expect(page.locator("#compare img").last).not_to_have_attribute("src", shown)
    expect(page.locator("#settings")).to_be_visible()
    kept = shares(page)
    path, _ = pixels(page, "#settings", tmp_path)
    other = browser.new_page()
    other.goto(url)
    other.locator("summary", has_text="Open settings").click()
    other.locator("#settings-file input[type=file]").set_input_files(path)
    expect(other.get_by_text("Opened: Fast.")).to_be_visible()
    # The fourth style took the empty third place.
    expect(other.locator("#share-3 input[type=number]")).to_have_value(str(int(kept[3])))
    assert shares(other) == [kept[0], kept[1], kept[3], 0]
    other.context.close()


def test_the_brushes_are_those_of_the_styles(page):
    page.locator("summary", has_text="Paint only a part").click()
    chips = page.locator(".painter .chip")
    expect(chips.filter(has_text="Style 4")).to_be_hidden()
    page.locator("summary", has_text="More styles").click()
    page.locator("#style-4-examples").get_by_role("button").first.click()
    expect(chips.filter(has_text="Style 4")).to_be_visible()
    expect(chips.filter(has_text="Style 3")).to_be_hidden()
    page.get_by_role("radio", name="Magenta").check()
    expect(chips.filter(has_text="Style 4")).to_be_hidden()


def test_phone(phone):
    def overflow() -> int:
        return phone.evaluate("document.documentElement.scrollWidth - window.innerWidth")

    for name in ("Trained", "Magenta", "AdaIN", "Best"):
        kind = phone.get_by_role("radio", name=name)
        if kind.count():
            kind.check()
            expect(phone.get_by_role("button", name="Stylize", exact=True)).to_be_in_viewport(
                ratio=1
            )
            assert overflow() <= 0
    phone.locator("summary", has_text="More styles").click()
    phone.locator("#style-2-examples").get_by_role("button").nth(2).click()
    expect(phone.locator("#share-2")).to_be_visible()
    first, second = (phone.locator(f"#share-{n}").bounding_box() for n in (1, 2))
    assert first
    assert second
    assert second["y"] >= first["y"] + first["height"]  # one below the other
    assert overflow() <= 0
