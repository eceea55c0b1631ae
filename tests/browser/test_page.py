"""What a visitor does, on the real page with the real networks."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from nst_demo import images

expect.set_options(timeout=60_000)
PAINTED = re.compile(r"Painted in")


@pytest.fixture
def rgba_file(tmp_path: Path, picture) -> Path:
    alpha = np.ones((101, 67), "float32")
    alpha[:, :30] = 0
    images.save_image(tmp_path / "cut-out.png", picture(101, 67), alpha)
    return tmp_path / "cut-out.png"


def stylize(page: Page) -> None:
    page.get_by_role("button", name="Stylize", exact=True).click()


def upload(page: Page, what: str, path: Path) -> None:
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name=f"Upload a {what}").click()
    chooser.value.set_files(path)


def download(page: Page) -> tuple[str, Image.Image]:
    link = page.locator("#download")
    expect(link).to_be_visible()
    with page.expect_download() as started:
        link.click()
    image = Image.open(started.value.path())
    image.load()
    return started.value.suggested_filename, image


def after(page: Page) -> str:
    """Address of the "after" side of the slider."""
    return str(page.locator("#compare img").last.get_attribute("src"))


def choose_quality(page: Page, steps: int) -> None:
    page.get_by_role("radio", name="Quality").check()
    page.get_by_role("button", name="Advanced").click()
    for label, value in (("Steps", steps), ("Working size", 128)):
        box = page.get_by_role("spinbutton", name=f"number input for {label}")
        slider = page.get_by_role("slider", name=f"range slider for {label}")
        while slider.input_value() != str(value):  # the accordion may still be mounting
            box.fill(str(value))
            box.press("Tab")
            page.wait_for_function("() => new Promise(requestAnimationFrame)")


def test_first_visit_to_first_picture(page):
    expect(page.get_by_text("Your picture appears here")).to_be_visible()
    stylize(page)
    expect(page.get_by_text(PAINTED)).to_be_visible()
    expect(page.locator("#compare img")).to_have_count(2)
    expect(page.get_by_text("Your picture appears here")).to_be_hidden()
    expect(page.get_by_text(re.compile(r"(CPU|GPU) · about .* for this photo"))).to_be_visible()
    name, image = download(page)
    assert name == "pagoda-starry-swirl.png"
    assert (image.format, image.size) == ("PNG", (640, 427))


def test_strength_and_examples_repaint_at_once(page):
    stylize(page)
    expect(page.locator("#compare img")).to_have_count(2)
    first = after(page)
    handle = page.get_by_role("slider", name=re.compile("Strength"))
    box = handle.bounding_box()
    assert box
    handle.click(position={"x": box["width"] * 0.3, "y": box["height"] / 2})
    expect(page.locator("#compare img").last).not_to_have_attribute("src", first)
    second = after(page)
    page.locator("#style-examples").get_by_role("button").nth(2).click()
    expect(page.locator("#compare img").last).not_to_have_attribute("src", second)


def test_own_pictures_keep_size_and_alpha(page, rgba_file, style_file):
    upload(page, "photo", rgba_file)
    expect(page.locator("#photo img")).to_have_attribute("src", re.compile("cut-out.png"))
    upload(page, "style", style_file)
    expect(page.locator("#style img")).to_have_attribute("src", re.compile("style.png"))
    stylize(page)
    expect(page.get_by_text(PAINTED)).to_be_visible()
    name, image = download(page)
    assert name == "cut-out-style.png"
    assert (image.format, image.mode, image.size) == ("PNG", "RGBA", (67, 101))
    alpha = np.asarray(image)[..., 3]
    assert (alpha[:, :30] == 0).all()
    assert (alpha[:, 30:] == 255).all()


def test_heic_upload_is_shown(page, tmp_path, picture):
    images.to_pil(picture(48, 64)).save(tmp_path / "phone.heic")
    upload(page, "photo", tmp_path / "phone.heic")
    image = page.locator("#photo img")
    expect(image).to_have_attribute("src", re.compile("phone.webp"))
    page.wait_for_function("document.querySelector('#photo img').naturalWidth === 64")


@pytest.mark.parametrize("zone", ["button", "picture"])
def test_broken_file_is_a_sentence_and_loses_nothing(page, tmp_path, zone):
    fake = tmp_path / "holiday.png"
    fake.write_text("This is no picture.")
    if zone == "button":
        upload(page, "photo", fake)
    else:
        page.get_by_role("button", name="Remove Image").first.click()
        page.locator("#photo input[type=file]").set_input_files(fake)
    expect(page.get_by_text("'holiday.png' is not a picture that can be read")).to_be_visible()
    if zone == "picture":
        page.locator("#photo-examples").get_by_role("button").first.click()
    expect(page.locator("#photo img")).to_have_attribute("src", re.compile("pagoda.jpg"))
    stylize(page)
    expect(page.get_by_text(PAINTED)).to_be_visible()


def test_no_photo_is_a_sentence(page):
    page.get_by_role("button", name="Remove Image").first.click()
    expect(page.locator("#photo img")).to_have_count(0)
    stylize(page)
    expect(page.get_by_text("There is no photo yet")).to_be_visible()


def test_quality_previews_and_finishes(page):
    choose_quality(page, steps=20)
    stylize(page)
    expect(page.get_by_text(re.compile(r"Finished at step 20 of 20"))).to_be_visible()
    expect(page.locator("#losses")).to_be_visible()
    expect(page.get_by_role("button", name="Stop and keep")).to_be_hidden()
    assert download(page)[1].size == (640, 427)


def test_stop_keeps_the_picture(page):
    choose_quality(page, steps=500)
    expect(page.get_by_role("button", name="Stop and keep")).to_be_hidden()
    stylize(page)
    expect(page.get_by_text(re.compile(r"Step [1-9]\d* of 500 · .* left"))).to_be_visible()
    preview = after(page)
    expect(page.locator("#compare img").last).not_to_have_attribute("src", preview)
    page.get_by_role("button", name="Stop and keep").click()
    expect(page.get_by_text(re.compile(r"Stopped at step \d+ of 500"))).to_be_visible()
    expect(page.get_by_role("button", name="Stop and keep")).to_be_hidden()
    assert download(page)[1].size == (640, 427)
    expect(page.get_by_role("button", name="Stylize", exact=True)).to_be_enabled()


def test_fast_does_not_wait_for_a_quality_run(browser, url, page):
    choose_quality(page, steps=500)
    stylize(page)
    expect(page.get_by_text(re.compile(r"Step [1-9]\d* of 500"))).to_be_visible()
    other = browser.new_page()
    other.goto(url)
    stylize(other)
    expect(other.get_by_text(PAINTED)).to_be_visible(timeout=20_000)
    expect(page.get_by_text(re.compile(r"Step [1-9]\d* of 500"))).to_be_visible()  # goes on
    other.context.close()
    page.get_by_role("button", name="Stop and keep").click()
    expect(page.get_by_text("Stopped at step")).to_be_visible()


def test_phone(phone):
    def overflow() -> int:
        return phone.evaluate("document.documentElement.scrollWidth - window.innerWidth")

    assert overflow() <= 0
    button = phone.get_by_role("button", name="Stylize", exact=True)
    expect(button).to_be_in_viewport(ratio=1)
    for what in ("photo", "style"):
        expect(phone.locator(f"#{what} img")).to_be_in_viewport()
    box = button.bounding_box()
    assert box
    assert box["height"] >= 44
    button.click()
    expect(phone.get_by_text(PAINTED)).to_be_visible()
    expect(phone.locator("#compare")).to_be_in_viewport(ratio=0.9)
    phone.get_by_role("radio", name="Quality").check()
    phone.get_by_role("button", name="Advanced").click()
    expect(phone.get_by_text("Working size")).to_be_visible()
    assert overflow() <= 0
