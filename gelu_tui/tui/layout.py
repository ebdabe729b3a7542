"""How many columns of panes fit: pure arithmetic in cells."""

from __future__ import annotations

from math import ceil

MIN_COLUMNS, MIN_ROWS = 40, 12

MIN_PANE_ROWS = 5

_HEAD_ROWS = 3  # rule with the name, state, counts
_GUTTER = 1
_COMFORTABLE_WIDTH = 30
_MIN_WIDTH = 22


def pane_columns(panes: int, width: int, height: int) -> int:
    """The number of columns in which `panes` panes show the most readable text.

    What counts is the text area of a pane; lines shorter than a comfortable width count much less.
    Where the panes do not all fit, as many columns as are readable at all.
    """

    def readable_cells(columns: int) -> float:
        pane_width = (width - _GUTTER * (columns - 1)) // columns
        text_rows = height // ceil(panes / columns) - _HEAD_ROWS
        comfort = min(1.0, pane_width / _COMFORTABLE_WIDTH) ** 2
        return pane_width * text_rows * comfort

    fitting = [
        columns
        for columns in range(1, max(1, panes) + 1)
        if height // ceil(panes / columns) >= MIN_PANE_ROWS
        and width // columns >= min(width, _MIN_WIDTH)
    ]
    if not fitting:
        return max(1, min(panes, width // _COMFORTABLE_WIDTH))
    return max(fitting, key=readable_cells)
