"""The demo as a web page: `python app.py`, also what a Hugging Face Space runs."""

from nst_demo.ui import backend, build_demo
from nst_demo.ui.server import launch_options


def main() -> None:
    backend.warm_up()
    build_demo().queue(max_size=20).launch(**launch_options())


if __name__ == "__main__":
    main()
