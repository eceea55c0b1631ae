"""The losses of a run as a table, `log.csv`, and as a chart, `losses.png`."""

from __future__ import annotations

import csv
import itertools
import math
from pathlib import Path

from nst_demo.training import chart, files

NOT_LOSSES = ("step", "seconds_a_step")  # the other columns are


class Log:
    """One row every so many steps. A killed run may leave half a line; a resumed one drops it.

    Rows beyond `last`, the step that the run goes on from, are dropped too: those steps are done
    again.
    """

    def __init__(self, folder: Path, last: int):
        self.table, self.chart = folder / "log.csv", folder / "losses.png"
        self.rows = [row for row in _read(self.table) if row["step"] <= last]
        self.columns = list(dict.fromkeys(itertools.chain.from_iterable(self.rows)))
        if self.table.exists():
            self._rewrite()

    def add(self, row: dict[str, float]) -> None:
        """`row` has "step", "seconds_a_step" and the losses."""
        self.rows.append(row)
        new = [name for name in row if name not in self.columns]
        if new:
            self.columns += new
            self._rewrite()
            return
        with files.writing(self.table), open(self.table, "a", encoding="utf-8") as file:
            file.write(self._line(row))

    def draw(self) -> None:
        """Writes the chart, once there are two rows."""
        steps = [row["step"] for row in self.rows]
        losses = [name for name in self.columns if name not in NOT_LOSSES]
        curves = {name: [row.get(name, math.nan) for row in self.rows] for name in losses}
        if len(steps) > 1:
            chart.save(self.chart, steps, curves)

    def _line(self, row: dict[str, float]) -> str:
        return ",".join(f"{row[c]:.8g}" if c in row else "" for c in self.columns) + "\n"

    def _rewrite(self) -> None:
        head = ",".join(self.columns) + "\n" if self.columns else ""
        text = head + "".join(map(self._line, self.rows))
        files.replace(self.table, lambda aside: aside.write_text(text, encoding="utf-8"))


def _read(path: Path) -> list[dict[str, float]]:
    """The whole rows in the order of their steps; what is no row of numbers is left out."""
    if not path.exists():
        return []
    with files.writing(path):
        text = path.read_text(encoding="utf-8", errors="replace")
    whole = text[: text.rfind("\n") + 1]  # without a last line that was cut off
    rows: list[dict[str, float]] = []
    for cells in csv.DictReader(whole.splitlines()):
        try:
            row = {name: float(cell) for name, cell in cells.items() if cell}
        except (ValueError, TypeError):  # TypeError: more cells than the header has
            continue
        while rows and rows[-1]["step"] >= row.get("step", math.inf):
            rows.pop()  # these steps were done again
        if "step" in row:
            rows.append(row)
    return rows
