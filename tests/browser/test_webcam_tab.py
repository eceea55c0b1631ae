"""The Webcam tab: Chromium's made-up camera, painted live."""

from playwright.sync_api import expect

expect.set_options(timeout=60_000)


def test_the_camera_is_painted_live(page):
    page.context.grant_permissions(["camera"])
    page.get_by_role("tab", name="Webcam").click()
    expect(page.locator("#webcam-empty img")).to_be_visible()
    expect(page.locator("#webcam-empty").get_by_text("no picture is kept")).to_be_visible()
    expect(page.locator("#painted-live")).to_be_hidden()
    page.get_by_text("Click to Access Webcam").click()
    page.get_by_role("button", name="capture photo").click()
    picture = page.locator("#painted-live img")
    expect(picture).to_be_visible()
    expect(page.locator("#webcam-empty")).to_be_hidden()
    first = str(picture.get_attribute("src"))
    assert first.startswith("data:image/jpeg;base64,")
    expect(picture).not_to_have_attribute("src", first)
    page.wait_for_function("document.querySelector('#painted-live img').naturalWidth === 256")
    second = str(picture.get_attribute("src"))
    page.locator("#webcam-styles").get_by_role("button").nth(3).click()
    expect(picture).not_to_have_attribute("src", second)
    page.get_by_role("button", name="capture photo").click()  # now it says Stop


def test_why_there_is_no_camera_is_a_sentence(page):
    page.get_by_role("tab", name="Webcam").click()
    for name, sentence in (
        ("NotAllowedError", "The camera was not allowed; allow it"),
        ("NotFoundError", "No camera was found; connect one"),
        ("AbortError", "The camera could not be started"),
    ):
        page.evaluate(
            """(name) => { navigator.mediaDevices.getUserMedia =
              () => Promise.reject(new DOMException('no', name)) }""",
            name,
        )
        page.get_by_text("Click to Access Webcam").click()
        expect(page.get_by_role("alert").get_by_text(sentence)).to_be_visible()


def test_without_https_there_is_no_camera(page):
    page.get_by_role("tab", name="Webcam").click()
    page.evaluate("Object.defineProperty(navigator, 'mediaDevices', {value: undefined})")
    page.get_by_text("Click to Access Webcam").click()
    expect(page.get_by_role("alert").get_by_text("only by https")).to_be_visible()
    expect(page.get_by_test_id("toast-body")).to_have_count(0)
