"""The Compare tab on the real page."""

import io
import re
import zipfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, expect

expect.set_options(timeout=60_000)


def open_tab(page: Page) -> None:
    page.get_by_role("tab", name="Compare").click()
    expect(page.locator("#compare-button")).to_be_visible()


def choose(page: Page, *names: str) -> None:
    page.get_by_role("button", name="None", exact=True).click()
    for name in names:
        page.get_by_role("checkbox", name=name, exact=True).check()


def compare(page: Page) -> None:
    page.locator("#compare-button").click()


def saved(page: Page, name: str) -> bytes:
    with page.expect_download() as started:
        page.locator(name).click()
    return Path(started.value.path()).read_bytes()


def test_the_grid_fills_and_is_saved_as_sheet_and_zip(page):
    open_tab(page)
    choose(page, "Linocut", "Neon silk")
    expect(page.get_by_text("2 chosen")).to_be_visible()
    compare(page)
    expect(page.get_by_text(re.compile("2 pictures in .* 512 x 342 px"))).to_be_visible()
    expect(page.locator("#grid img")).to_have_count(3)
    expect(page.locator("#grid figcaption span")).to_have_text(["Photo", "Linocut", "Neon silk"])
    for image in page.locator("#grid img").all():
        assert image.evaluate("async (i) => { await i.decode(); return i.naturalWidth }") == 512
    sheet = Image.open(io.BytesIO(saved(page, "#sheet")))
    assert sheet.width > 2 * 512
    with zipfile.ZipFile(io.BytesIO(saved(page, "#archive"))) as archive:
        assert len(archive.namelist()) == 4


def test_a_picture_is_looked_at_and_opened_in_stylize(page):
    open_tab(page)
    choose(page, "Linocut", "Neon silk")
    compare(page)
    expect(page.locator("#closer-slider img")).to_have_count(2)
    page.get_by_role("button", name="Look closer: Neon silk").click()
    expect(page.locator("#right input")).to_have_value("Neon silk")
    page.get_by_role("button", name="Stylize with Neon silk").click()
    expect(page.get_by_text("Painted in")).to_be_visible()
    expect(page.locator("#style img")).to_have_attribute("src", re.compile("neon-silk"))
    expect(page.locator("#share .copy")).to_be_visible()


def test_own_styles_are_added_and_a_broken_one_is_a_sentence(page, tmp_path, style_file):
    open_tab(page)
    choose(page)
    fake = tmp_path / "text.png"
    fake.write_text("no picture")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Upload styles").click()
    chooser.value.set_files([style_file, fake])
    expect(page.get_by_text("'text.png' is not a picture that can be read")).to_be_visible()
    expect(page.get_by_role("checkbox", name="style", exact=True)).to_be_checked()
    compare(page)
    expect(page.locator("#grid figcaption span")).to_have_text(["Photo", "style"])
    expect(page.get_by_text("A link cannot carry your own styles")).to_be_visible()


def test_no_style_is_a_sentence(page):
    open_tab(page)
    choose(page)
    compare(page)
    expect(page.get_by_text("There is no style to compare")).to_be_visible()
    choose(page, "Linocut")
    compare(page)
    expect(page.get_by_text("One picture in")).to_be_visible()


def test_strengths_are_a_strip_from_the_photo_to_the_style(page):
    open_tab(page)
    page.get_by_role("radio", name="Strengths").check()
    page.get_by_role("checkbox", name="Linocut", exact=True).check()
    expect(page.locator(".picks input:checked")).to_have_count(1)
    compare(page)
    names = ["0%", "25%", "50%", "75%", "100%"]
    expect(page.locator("#grid figcaption span")).to_have_text(names)
    expect(page.locator("#grid img")).to_have_count(5)
    page.get_by_role("radio", name="Many styles").check()
    expect(page.locator(".picks input:checked")).to_have_count(6)  # what was chosen before


def test_quality_beside_fast_can_be_stopped(page):
    open_tab(page)
    page.get_by_role("radio", name="Fast or Quality").check()
    compare(page)
    expect(page.get_by_text(re.compile(r"Quality: step [1-9]\d* of"))).to_be_visible()
    page.locator("#compare-stop").click()
    expect(page.get_by_text(re.compile("Quality stopped at step"))).to_be_visible()
    expect(page.locator("#closer-slider img")).to_have_count(2)
    expect(page.locator("#right input")).to_have_value("Quality")
    expect(page.locator("#left input")).not_to_have_value("Photo")
    expect(page.locator("#compare-stop")).to_be_hidden()


def test_nothing_is_cut_off(phone):
    open_tab(phone)
    compare(phone)
    expect(phone.locator("#closer-slider img")).to_have_count(2)
    for width in (390, 768, 1920):
        phone.set_viewport_size({"width": width, "height": 900})
        assert phone.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
        for line in (".picks .tile span", "#grid figcaption span"):
            hidden = phone.locator(line).evaluate_all(
                "(all) => Math.max(...all.map((e) => e.scrollWidth - e.clientWidth))"
            )
            assert hidden <= 1, (width, line)
