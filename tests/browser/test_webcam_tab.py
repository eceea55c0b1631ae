"""The Webcam tab: Chromium's made-up camera, painted live."""

from playwright.sync_api import expect

expect.set_options(timeout=60_000)


def test_the_camera_is_painted_live(page):
    page.context.grant_permissions(["camera"])
    page.get_by_role("tab", name="Webcam").click()
    page.get_by_text("Click to Access Webcam").click()
    page.get_by_role("button", name="capture photo").click()
    picture = page.locator("#painted-live img")
    expect(picture).to_be_visible()
    first = str(picture.get_attribute("src"))
    assert first.startswith("data:image/jpeg;base64,")
    expect(picture).not_to_have_attribute("src", first)
    page.wait_for_function("document.querySelector('#painted-live img').naturalWidth === 256")
    second = str(picture.get_attribute("src"))
    page.locator("#webcam-styles").get_by_role("button").nth(3).click()
    expect(picture).not_to_have_attribute("src", second)
    page.get_by_role("button", name="capture photo").click()  # now it says Stop
