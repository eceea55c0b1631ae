"""What a comparison costs beside a single picture: `python -m bench.compare`.

Twelve styles at 512 px as the Compare tab makes them, files included, against twelve calls of
`nst_demo.stylize` on opened pictures; and the contact sheet. Prints a table, writes
bench/compare.json.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from typing import Any

import nst_demo
from bench.measure import medians, report
from nst_demo import compare, images
from nst_demo.ui import comparisons, files, picker

STYLES = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    photo = files.gallery("photos")["pagoda"]
    picks = list(picker.for_everybody().picks.values())[:STYLES]
    asked = comparisons.Asked(comparisons.STYLES, photo, picks, {"strength": 1.0})
    opened = compare.open_photo(photo).rgb
    styles = [images.open_picture(str(pick.path)).rgb for pick in picks]
    last: list[Any] = []

    def single() -> None:
        for style in styles:
            nst_demo.stylize(opened, style)

    def tab() -> None:
        last[:] = comparisons.fast(asked, comparisons.plan(asked), stylize=nst_demo.stylize)

    with tempfile.TemporaryDirectory() as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        tab()
        tasks = {
            "12 pictures, painting alone": single,
            "12 pictures, as the tab shows them": tab,
            "contact sheet and ZIP": lambda: comparisons.together(last[-1].tiles, photo),
        }
        seconds = medians(tasks, arguments.rounds)
    one = seconds["12 pictures, painting alone"] / STYLES
    report(
        "compare",
        [{"what": w, "seconds": s, "/ one picture": s / one} for w, s in seconds.items()],
    )


if __name__ == "__main__":
    main()
