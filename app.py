"""The demo as a web page: `python app.py`, also what a Hugging Face Space runs."""

import os
import sys

from nst_demo.errors import StyleTransferError
from nst_demo.ui import backend, build_demo, server


def main() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's chatter hides our errors
    try:
        server.prepare()
    except StyleTransferError as error:
        sys.exit(str(error))
    backend.warm_up()
    demo = build_demo().queue(**server.queue_options())
    try:
        demo.launch(**server.launch_options())
    except OSError as error:  # such as a port that is taken
        sys.exit(str(error))


if __name__ == "__main__":
    main()
