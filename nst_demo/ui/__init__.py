"""The page. `build_demo` puts the tabs in order; each tab is a module here that runs alone."""

import os

import gradio as gr

from nst_demo.ui import (
    api,
    backend,
    cache,
    compare_tab,
    files,
    links,
    runs,
    server,
    stylize_tab,
    video_tab,
    visit,
    webcam_tab,
)
from nst_demo.video import painting, reading

HEADER = """
<h1>Neural <em>Style</em> Transfer</h1>
<p>Your photo, repainted in the style of any picture.</p>
"""


PRIVACY = """
<p>Uploads and results stay on this server for at most an hour, under addresses nobody can guess;
pictures of your camera are not kept at all; nothing is logged, shared or used for training.</p>
"""

# Ctrl+Enter presses the main button of the tab in sight. And names for what gradio leaves nameless:
# the button around a picture that can be enlarged, and the box of a picture that is not there yet.
LOADED = """() => {
  document.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || !(event.ctrlKey || event.metaKey) || event.repeat) return;
    const buttons = [...document.querySelectorAll('button.main-button')];
    buttons.find((button) => button.offsetParent && !button.disabled)?.click();
  });
  document.body.setAttribute('aria-keyshortcuts', 'Control+Enter');
  const name = () => {
    for (const button of document.querySelectorAll('.image-container button:not([aria-label])'))
      if (!button.textContent.trim()) button.setAttribute('aria-label', 'Enlarge the picture');
    for (const box of document.querySelectorAll('.empty[aria-label]:not([role])'))
      box.setAttribute('role', 'img');
  };
  name();
  new MutationObserver(name).observe(document.body, {childList: true, subtree: true});
}"""


def build_demo() -> gr.Blocks:
    """The whole page, not yet served. Builds no network and imports no TensorFlow."""
    with gr.Blocks(
        title="Neural Style Transfer", analytics_enabled=False, delete_cache=cache.DELETE_CACHE
    ) as demo:
        gr.HTML(HEADER, elem_classes="header", padding=False)
        with gr.Tabs() as tabs:
            with gr.Tab("Stylize", id=links.STYLIZE):
                stylize = stylize_tab.build(
                    stylize=backend.stylize,
                    iterate=backend.iterate,
                    device_kind=backend.device_kind,
                    expected_seconds=backend.expected_seconds,
                    max_seconds=runs.MAX_SECONDS if server.public() else runs.MAX_SECONDS_ALONE,
                )
            with gr.Tab("Compare", id=links.COMPARE):
                comparison = compare_tab.build(stylize=backend.stylize, iterate=backend.iterate)
            with gr.Tab("Video", id="video"):
                video_tab.build(
                    make_painter=painting.painter,
                    max_seconds=runs.MAX_SECONDS if server.public() else runs.MAX_SECONDS_ALONE,
                    limits=reading.STRANGERS if server.public() else reading.ALONE,
                    megabytes=files.MAX_CLIP >> 20,
                )
            with gr.Tab("Webcam", id="webcam"):
                webcam_tab.build(make_painter=painting.painter)
        gr.HTML(PRIVACY, elem_classes="privacy", padding=False)
        links.connect(stylize, comparison, tabs, demo)
        visit.connect(stylize)
        demo.load(None, js=LOADED, api_visibility="private")
        if "SPACE_ID" in os.environ:
            gr.DuplicateButton("Duplicate this Space", size="sm", elem_id="duplicate")
        api.build(stylize=backend.stylize, iterate=backend.iterate)
    return demo
