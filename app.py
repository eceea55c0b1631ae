"""The demo as a web page: `python app.py`, also what a Hugging Face Space runs."""

import os

from nst_demo.ui import backend, build_demo
from nst_demo.ui.server import launch_options


def main() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's chatter hides our errors
    backend.warm_up()
    build_demo().queue(max_size=20).launch(**launch_options())


if __name__ == "__main__":
    main()
