"""The page. `build_demo` puts the tabs in order; each tab is a module here that runs alone."""

import gradio as gr

from nst_demo.ui import api, backend, runs, server, stylize_tab

HEADER = """
<h1>Neural <em>Style</em> Transfer</h1>
<p>Your photo, repainted in the style of any picture.</p>
"""


def build_demo() -> gr.Blocks:
    """The whole page, not yet served. Builds no network and imports no TensorFlow."""
    with gr.Blocks(
        title="Neural Style Transfer", analytics_enabled=False, delete_cache=(3600, 86400)
    ) as demo:
        gr.HTML(HEADER, elem_classes="header", padding=False)
        with gr.Tab("Stylize"):
            stylize_tab.build(
                stylize=backend.stylize,
                iterate=backend.iterate,
                device_kind=backend.device_kind,
                expected_seconds=backend.expected_seconds,
                max_seconds=runs.MAX_SECONDS if server.public() else runs.MAX_SECONDS_ALONE,
            )
        api.build(stylize=backend.stylize, iterate=backend.iterate)
    return demo
