"""Links: to an address and back, and what a stranger may have written into one."""

import html

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse
from starlette.routing import Route
from starlette.testclient import TestClient

import nst_demo
from nst_demo import images, settings
from nst_demo.errors import StyleTransferError
from nst_demo.ui import comparisons, controls, files, links, picker, preview

PHOTO, STYLE = images.EXAMPLES / "photos/cat.jpg", images.EXAMPLES / "styles/linocut.webp"


def described(method="adain", photo=PHOTO, styles=(STYLE,), **options):
    def opened(path):
        return settings.picture(path, images.open_picture(path).rgb)

    return settings.describe(method, options, opened(photo), [opened(s) for s in styles])


@pytest.mark.parametrize(
    "found",
    [
        links.State("stylize", "cat", ("linocut",)),
        links.State("stylize", "cat", ("linocut", "great-waves"), False,
                    {"strength": 0.35, "weight_1": 62.5, "weight_2": 37.5}),
        links.State("stylize", "pagoda", ("linocut",), True,
                    {"recipe": "keras", "backbone": "lite", "iterations": 123, "seed": 7,
                     "layer_2": 1.7, "init": "noise", "stop_at": 40}),
        links.State("compare", "cat", ("linocut", "great-waves"), False, {"strength": 0.5},
                    comparisons.STYLES, 768),
        links.State("compare", "cat", ("linocut",), kind=comparisons.STRENGTHS),
    ],
    ids=["plain", "blend", "quality", "compare", "strengths"],
)  # fmt: skip
def test_a_link_says_what_it_was_made_from(found):
    address = links.query(found)
    assert links.state(f"?{address}") == found
    assert len(address) < 300
    assert links.query(found) == address


def test_only_what_differs_is_in_a_link():
    own = described("feedforward", styles=(), network="linocut", strength=0.5)
    query = links.query(links.of_settings(own))
    assert query == f"photo=cat&style=linocut&strength=0.5&v={nst_demo.__version__}"
    query = links.query(links.of_settings(described()))
    assert query == f"photo=cat&style=linocut&kind=adain&v={nst_demo.__version__}"


def test_a_trained_style_beside_the_gallery_is_linked_by_its_name(monkeypatch):
    own = described("feedforward", styles=(), network="linocut")
    monkeypatch.setattr(files, "gallery", lambda kind: {"cat": str(PHOTO)})
    query = links.query(links.of_settings(own))
    assert query == f"photo=cat&kind=feedforward&network=linocut&v={nst_demo.__version__}"


def test_a_result_comes_back_with_its_very_options():
    for method, options in (
        ("adain", {"strength": 0.8, "style_scale": 1.5, "keep_colors": "luminance"}),
        ("gatys", {"recipe": "zandian", "similarity": "style", "iterations": 40, "seed": 3}),
        ("gatys", {"recipe": "default", "style_weight": 2.5, "tv_weight": 0.0, "size": 300}),
    ):
        made = described(method, **options)
        found = links.state(links.query(links.of_settings(made)))
        assert found is not None
        values = found.all_values()
        again = described(method, **controls.options(found.quality, values))
        assert again.options == made.options


def test_shares_of_a_blend_survive():
    styles = (STYLE, images.EXAMPLES / "styles/great-waves.webp")
    found = links.of_settings(described(styles=styles, style_weights=(70, 30)))
    assert found.values == {"weight_1": 70.0, "weight_2": 30.0}
    assert links.state(links.query(found)) == found


def test_a_link_cannot_carry_uploads(tmp_path, photo_file):
    other = tmp_path / "cat.jpg"  # the name of a gallery photo, but another picture
    images.save_image(other, images.open_picture(photo_file).rgb)
    with pytest.raises(StyleTransferError, match="cannot carry your photo: uploads stay"):
        links.of_settings(described(photo=other))
    with pytest.raises(StyleTransferError, match="your style"):
        links.of_settings(described(styles=(photo_file,)))
    own = picker.Pick("upload:0", "mine", str(photo_file))
    with pytest.raises(StyleTransferError, match="your photo and your own styles"):
        links.of_comparison(comparisons.Asked("styles", str(photo_file), [own]))


def test_a_comparison_of_the_gallery_has_a_link(tmp_path):
    copied = tmp_path / PHOTO.name  # gradio's cache has a copy
    copied.write_bytes(PHOTO.read_bytes())
    picks = picker.for_everybody().picked(picker.to_value(["linocut", "neon-silk"]), ())
    asked = comparisons.Asked("strengths", str(copied), picks, {"strength": 1.0})
    query = links.query(links.of_comparison(asked))
    assert query.startswith("tab=compare&compare=strengths&photo=cat&style=linocut&v=")


def test_other_addresses_are_none_of_ours():
    for address in ("", "?", "?__theme=dark", "?utm_source=x&view=api", "?v=1"):
        assert links.state(address) is None


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("photo=dog&style=linocut", "the photo 'dog'"),
        ("photo=../../etc/passwd&style=linocut", "the photo '../../etc/passwd'"),
        ("style=linocut", "has no photo"),
        ("photo=cat&style=/etc/passwd", "the style '/etc/passwd'"),
        ("photo=cat&style=&style=linocut", "no first style"),
        ("photo=cat&style=linocut&strength=2", "strength is 2"),
        ("photo=cat&style=linocut&strength=nan", "'nan' for 'strength'"),
        ("photo=cat&style=linocut&strength=<b>", "'<b>' for 'strength'"),
        ("photo=cat&style=linocut&seed=1.5&mode=quality", "seed"),
        ("photo=cat&style=linocut&mode=quality&recipe=evil", "recipe"),
        ("photo=cat&style=linocut&mode=quality&init=evil", "init"),
        ("photo=cat&style=linocut&mode=quality&iterations=1e9", "iterations"),
        ("photo=cat&style=linocut&mode=slow", "the mode 'slow'"),
        ("photo=cat&style=linocut&kind=gatys2", "gatys2"),
        ("photo=cat&network=evil&kind=feedforward", "evil|does not have"),
        # Of the mode that is not in use: the page would send them all the same.
        ("photo=cat&style=linocut&network=evil", "the network 'evil'"),
        ("photo=cat&style=linocut&backbone=evil", "the backbone 'evil'"),
        ("photo=cat&style=linocut&similarity=evil", "the similarity 'evil'"),
        ("photo=cat&style=linocut&recipe=evil", "the recipe 'evil'"),
        ("photo=cat&style=linocut&style_weight=-3", "style_weight is -3"),
        ("photo=cat&style=linocut&mode=quality&kind=evil", "the kind 'evil'"),
        ("photo=cat&style=linocut&kind=magenta&style_scale=9", "style_scale is 9"),
        (
            "photo=cat&style=linocut&mode=quality" + "".join(f"&layer_{n}=-1" for n in range(1, 6)),
            "'layer_1' of the link is -1",
        ),
        ("tab=compare&photo=cat&style=linocut&keep_colors=evil", "the keep_colors 'evil'"),
        ("photo=cat&style=linocut&evil=1", "unknown part 'evil'"),
        ("photo=cat&photo=pagoda&style=linocut", "'photo' twice"),
        ("photo=cat" + "&style=linocut" * 5, "5 styles"),
        ("photo=cat" + "&style=linocut" * 100, "too many parts"),
        ("photo=cat&style=" + "x" * 5000, "characters"),
        ("photo=cat&style=linocut&weight_1=-1", "weight_1"),
        ("photo=cat&style=linocut&v=<script>", "version"),
        ("tab=compare&photo=cat", "no style"),
        ("tab=compare&photo=cat&style=upload:0", "no style 'upload:0'"),
        ("tab=compare&photo=cat&style=linocut&px=9999", "the size '9999'"),
        ("tab=compare&photo=cat&style=linocut&recipe=keras", "unknown part 'recipe'"),
    ],
)
def test_a_bad_value_is_one_sentence(address, words):
    with pytest.raises(StyleTransferError, match=words) as caught:
        links.state(address)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_what_is_the_recipes_own_is_left_to_the_recipe():
    """The control has no such choice beside the recipe's own."""
    found = links.state(
        "photo=cat&style=linocut&mode=quality&recipe=sethi&backbone=vgg16&init=noise"
    )
    assert found is not None
    assert found.values == {"recipe": "sethi", "init": "noise"}
    assert found.all_values()["backbone"] == controls.OWN


def test_a_link_of_another_version_says_so():
    found = links.state("photo=cat&style=linocut&v=0.0.9")
    assert found is not None
    assert found.warning is not None
    assert "made by nst-demo 0.0.9" in found.warning
    same = links.state(f"photo=cat&style=linocut&v={nst_demo.__version__}")
    assert same is not None
    assert same.warning is None


def test_the_bar_is_escaped_and_says_why_there_is_no_link():
    bar = links.share_html(links.State("stylize", "cat", ("linocut",)))
    assert html.escape("photo=cat&style=linocut") in bar
    assert "&lt;b&gt;" in links.share_html(None, "<b>")


# ---- What other sites show -----------------------------------------------------------------------


def client() -> TestClient:
    page = (
        '<!doctype html><html><head><meta property="og:title" content="Gradio" />'
        '<meta name="twitter:image" content="https://x.invalid/a>b.jpg" /></head><body>ä</body>'
    )
    routes = [Route("/", lambda _: HTMLResponse(page)), Route("/a", lambda _: HTMLResponse(page))]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(preview.Preview)]))


def test_a_pasted_link_shows_our_title_and_picture():
    forwarded = {"x-forwarded-host": "o-s.hf.space", "x-forwarded-proto": "https"}
    answer = client().get("/?photo=cat&style=linocut", headers=forwarded)
    assert "Gradio" not in answer.text
    assert "x.invalid" not in answer.text
    assert "Cat in the style of Linocut" in answer.text
    assert 'content="https://o-s.hf.space/preview.jpg"' in answer.text
    assert "ä" in answer.text
    assert client().get("/a").text.count("Gradio") == 1  # other pages stay as they are
    picture = client().get("/preview.jpg")
    assert picture.headers["content-type"] == "image/jpeg"
    assert images.open_picture(picture.content).rgb.shape == (630, 1200, 3)
    assert len(files.EXAMPLE.read_bytes()) < 60_000


def test_a_preview_says_nothing_that_a_stranger_wrote():
    evil = "/?photo=<script>&style=x"
    assert "<script" not in client().get(evil, headers={"host": "a.b"}).text
    evil = client().get("/?photo=cat&style=linocut&recipe=<script>")  # with a title of its own
    assert evil.status_code == 200
    assert "<script" not in evil.text
    answer = client().get("/", headers={"x-forwarded-host": '"><script>'})
    assert "<script>" not in answer.text
    assert f'og:title" content="{preview.TITLE}"' in answer.text
