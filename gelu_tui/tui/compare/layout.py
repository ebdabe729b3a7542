"""How panes share the room there is: pure arithmetic in cells."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Literal

MIN_COLUMNS, MIN_ROWS = 40, 12
MIN_PANE_ROWS = 5
_HEAD_ROWS = 3  # rule with the name, state, numbers
_GUTTER = 1
_COMFORTABLE_WIDTH = 30
_MIN_WIDTH = 22

Layout = Literal["auto", "columns", "grid", "tabs"]
LAYOUTS: tuple[Layout, ...] = ("auto", "columns", "grid", "tabs")


@dataclass(frozen=True)
class Arrangement:
    """`columns` of panes, or one pane at a time under a row of tabs."""

    columns: int
    tabs: bool = False


def arrangement(panes: int, width: int, height: int, layout: Layout = "auto") -> Arrangement:
    """Arrange `panes` panes: side by side or as a grid where they fit, else as tabs."""
    if panes <= 1:
        return Arrangement(1)
    if layout == "auto":
        columns = pane_columns(panes, width, height)
    else:
        columns = {"columns": panes, "grid": ceil(panes**0.5)}.get(layout)
    return Arrangement(columns or 1, tabs=columns is None)


def pane_columns(panes: int, width: int, height: int) -> int | None:
    """The number of columns with the largest text area, or None where the panes do not all fit.

    The area of lines shorter than a comfortable width has much less weight.
    """

    def readable_cells(columns: int) -> float:
        pane_width = (width - _GUTTER * (columns - 1)) // columns
        text_rows = height // ceil(panes / columns) - _HEAD_ROWS
        comfort = min(1.0, pane_width / _COMFORTABLE_WIDTH) ** 2
        return pane_width * text_rows * comfort

    fitting = (
        columns
        for columns in range(1, panes + 1)
        if height // ceil(panes / columns) >= MIN_PANE_ROWS
        and width // columns >= min(width, _MIN_WIDTH)
    )
    return max(fitting, key=readable_cells, default=None)
