"""What a visitor does, on the real page with the real networks."""

import re
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from bench import page as page_bench
from nst_demo import images
from nst_demo.ui import preview

expect.set_options(timeout=60_000)
ROOT = Path(__file__).resolve().parents[2]
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


def fold(page: Page, title: str) -> None:
    page.locator("summary", has_text=title).click()


def fill(page: Page, label: str, value: int) -> None:
    page.get_by_role("spinbutton", name=label, exact=True).fill(str(value))


def choose_quality(page: Page, steps: int, size: int = 128) -> None:
    """Typed at once after the fold opens: nothing of it may be lost."""
    page.get_by_role("radio", name="Quality", exact=True).check()
    fold(page, "and how long it runs")
    fill(page, "Steps", steps)
    fill(page, "Working size", size)


def draw(page: Page, *points: tuple[float, float]) -> None:
    """A line over the photo, in shares of its width and height."""
    canvas = page.locator(".easel canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box
    places = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=5)
    page.mouse.up()


def test_the_page_names_its_scripts_beforehand(browser: Browser, url: str):
    recorded = preview.SCRIPTS.read_text("utf-8").split()
    asked = page_bench.scripts(browser, url)
    if all((preview.ASSETS / name).is_file() for name in recorded):
        assert sorted(asked) == sorted(recorded), "run `python -m bench.page --write`"
    with urllib.request.urlopen(url) as answer:
        named = set(re.findall(r'"modulepreload" [^>]*/assets/([^"]+)"', answer.read().decode()))
    assert named == {name for name in recorded if (preview.ASSETS / name).is_file()}


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
    fold(page, "Adjust")
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


def test_no_photo_is_a_sentence_and_no_error(page):
    page.get_by_role("button", name="Remove Image").first.click()
    expect(page.locator("#photo img")).to_have_count(0)
    for mode in ("Quality", "Fast"):
        page.get_by_role("radio", name=mode, exact=True).check()
        stylize(page)
        expect(page.get_by_text("There is no photo yet")).to_be_visible()
        expect(page.get_by_text("Error", exact=True)).to_have_count(0)
        expect(page.get_by_role("button", name="Stylize", exact=True)).to_be_enabled()
        page.get_by_test_id("toast-close").click()
        expect(page.get_by_text("There is no photo yet")).to_be_hidden()


def test_a_recipe_shows_its_values_and_runs_on_the_packaged_network(page):
    page.get_by_role("radio", name="Quality", exact=True).check()
    fold(page, "and how long it runs")
    expect(page.get_by_text("Similar to")).to_have_count(0)
    page.get_by_role("radio", name=re.compile("^Zandian")).check()
    expect(page.get_by_text("Similar to")).to_be_visible()
    expect(page.get_by_role("spinbutton", name="Working size")).to_have_value("400")
    expect(page.get_by_text(re.compile("VGG19 is downloaded on first use"))).to_be_visible()
    page.get_by_role("radio", name="Lite", exact=True).check()
    expect(page.get_by_text("Lite stands in for VGG19")).to_be_visible()
    fill(page, "Steps", 6)
    fill(page, "Working size", 128)
    stylize(page)
    expect(page.get_by_text(re.compile(r"Finished at step 6 of 6"))).to_be_visible()
    expect(page.get_by_text(re.compile(r"of lite stands for block5_conv4"))).to_be_visible()


def test_the_brushwork_is_the_recipes(page):
    """In both directions; a published recipe is neither."""

    def chosen() -> list[bool]:
        labels = ("Near the photo", "Large and bold")
        return [page.get_by_role("radio", name=label).is_checked() for label in labels]

    page.get_by_role("radio", name="Quality", exact=True).check()
    assert chosen() == [True, False]
    page.get_by_role("radio", name="Large and bold").check()
    fold(page, "and how long it runs")
    expect(page.get_by_role("radio", name=re.compile("^Bold"))).to_be_checked()
    steps = page.get_by_role("spinbutton", name="Steps", exact=True)
    expect(steps).to_have_value("100")
    page.get_by_role("radio", name=re.compile("^Keras")).check()
    expect(steps).to_have_value("4000")
    assert chosen() == [False, False]
    page.route("**/gradio_api/**", lambda _: None)  # at once: the server does not answer
    page.get_by_role("radio", name="Near the photo").check()
    expect(page.get_by_role("radio", name=re.compile("^Default"))).to_be_checked()
    expect(steps).to_have_value("40")


def test_on_a_phone_a_picture_that_is_painted_stays_in_sight(phone):
    """As its line, its losses and its buttons come and go."""
    stylize(phone)
    expect(phone.get_by_text(PAINTED)).to_be_visible()
    choose_quality(phone, steps=40, size=320)
    fold(phone, "and how long it runs")
    stylize(phone)
    expect(phone.get_by_text("Finished at step 40 of 40")).to_be_visible()
    expect(phone.locator("#losses")).to_be_visible()
    phone.wait_for_timeout(1000)
    expect(phone.locator("#compare")).to_be_in_viewport(ratio=0.9)


def test_another_version_is_another_painting(page):
    """Of what starts from noise; with a seed that its link has, and a place among the visit's."""
    choose_quality(page, steps=4)
    stylize(page)
    expect(page.get_by_text("Finished at step 4 of 4")).to_be_visible()
    expect(page.locator("#again")).to_be_hidden()
    page.get_by_role("radio", name="Large and bold").check()
    fill(page, "Steps", 4)
    fill(page, "Working size", 128)
    stylize(page)
    expect(page.locator("#again")).to_be_visible()
    first = download(page)[1]
    page.locator("#again").click()
    expect(page.locator("#visit img")).to_have_count(3)
    _, second = download(page)
    assert np.abs(np.asarray(second, "float32") - np.asarray(first, "float32")).mean() > 5
    page.get_by_role("radio", name="Fast", exact=True).check()
    stylize(page)
    expect(page.get_by_text(PAINTED)).to_be_visible()
    expect(page.locator("#again")).to_be_hidden()


def test_settings_paint_the_same_picture_again(page, browser, url):
    """A stopped run; then a new visitor who drops its JSON; then one who drops the PNG."""
    choose_quality(page, steps=500)
    stylize(page)
    expect(page.get_by_text(re.compile(r"Step [1-9]\d* of 500"))).to_be_visible()
    page.get_by_role("button", name="Stop and keep").click()
    expect(page.get_by_text("Stopped at step")).to_be_visible()
    with page.expect_download() as json:
        page.locator("#settings").click()
    with page.expect_download() as png:
        page.locator("#download").click()
    painted = np.asarray(Image.open(png.value.path()))
    for saved in (json.value, png.value):
        other = browser.new_page()
        other.goto(url)
        fold(other, "Open settings")
        file = Path(saved.path()).with_name(saved.suggested_filename)
        saved.save_as(file)
        other.locator("#settings-file input[type=file]").set_input_files(file)
        expect(other.get_by_text("Opened: Quality, recipe Default.")).to_be_visible()
        stylize(other)
        expect(other.get_by_text("Finished at step")).to_be_visible()
        np.testing.assert_array_equal(np.asarray(download(other)[1]), painted)
        other.context.close()


def test_settings_of_a_stranger_are_a_sentence(page, tmp_path):
    (tmp_path / "evil.json").write_text('{"version": 99, "method": "gatys"}')
    fold(page, "Open settings")
    page.locator("#settings-file input[type=file]").set_input_files(tmp_path / "evil.json")
    expect(page.get_by_text("The settings are of version 99")).to_be_visible()
    stylize(page)
    expect(page.get_by_text(PAINTED)).to_be_visible()


def test_go_on_from_a_fast_result(page):
    choose_quality(page, steps=10)
    page.get_by_role("radio", name="Fast", exact=True).check()
    stylize(page)
    page.get_by_role("button", name="Refine in Quality").click()
    expect(page.get_by_text(re.compile(r"Finished at step 10 of 10"))).to_be_visible()
    expect(page.get_by_role("radio", name="Quality", exact=True)).to_be_checked()
    expect(page.get_by_role("button", name="Continue from this result")).to_be_enabled()


def test_painting_only_a_part_keeps_the_photo_elsewhere(page):
    stylize(page)
    expect(page.locator("#compare img")).to_have_count(2)
    first = after(page)
    fold(page, "Paint only a part")
    draw(page, (0.8, 0.3), (0.85, 0.7))
    expect(page.locator("#compare img").last).not_to_have_attribute("src", first)
    painted = np.asarray(download(page)[1], "float32")
    page.locator("#photo img").wait_for()
    with Image.open(ROOT / "examples/photos/pagoda.jpg") as image:
        photo = np.asarray(image.convert("RGB"), "float32")
    change = np.abs(painted - photo).mean(axis=2)
    assert change[:, : photo.shape[1] // 2].max() <= 1
    assert change[190:230, 510:550].mean() > 10


def test_a_waiting_run_can_be_cancelled(browser, url, page):
    others = [browser.new_page() for _ in range(2)]  # as many as run at once
    for other in others:
        other.goto(url)
        choose_quality(other, steps=9000, size=640)  # a small picture might converge too soon
        stylize(other)
        expect(other.get_by_text(re.compile(r"Step [1-9]\d* of 9000"))).to_be_visible()
    choose_quality(page, steps=10)
    with page.expect_response("**/queue/join*"):  # nobody cancels before it stands in line
        stylize(page)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("Cancelled.")).to_be_visible()
    page.wait_for_timeout(1000)  # gradio ends the run after the note, which must not go then
    expect(page.get_by_text("Cancelled.")).to_be_visible()
    stylize(page)
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    for other in others:
        other.context.close()
    expect(page.get_by_text(re.compile(r"Finished at step 10 of 10"))).to_be_visible()


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
    phone.get_by_role("radio", name="Quality", exact=True).check()
    for title in ("Adjust", "More styles", "Paint only a part", "Recipe", "Fine tuning"):
        phone.locator("summary b", has_text=title).click()
    expect(phone.get_by_text("Working size")).to_be_visible()
    expect(phone.locator(".easel canvas")).to_be_visible()
    assert overflow() <= 0
