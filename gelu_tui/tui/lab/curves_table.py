"""The table of functions: what each is at the cursor, and its properties."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from textual.binding import Binding
from textual.content import Content

from gelu_tui.core.functions.properties import Properties
from gelu_tui.core.functions.variants import Variant
from gelu_tui.core.reports.activations import (
    error_words,
    place_words,
    property_words,
    rms_words,
)
from gelu_tui.core.safe_text import visible_line
from gelu_tui.tui.lab.curve_views import Shown
from gelu_tui.tui.widgets.list_table import ListTable
from gelu_tui.tui.widgets.plot import number

_GAP = 1
_FIRST = {"": 2, "function": 17}
_AT_CURSOR = {"f(x)": 10, "derivative": 10, "f − GELU": 10}
_SPEED = {"× gelu": 7}  # once it is measured
_PROPERTIES = {"max error": 10, "at": 7, "RMSE N(0,1)": 12, "smooth": 7, "differentiable": 15,
               "monotonic": 10, "negative": 9, "minimum": 18, "formula": 36}  # fmt: skip
COLUMNS = (
    ("f(x), derivative", "At the cursor, computed as the title says; “throughout”: each operation "
     "is rounded to the dtype, as in mlx-lm, else x and result alone."),
    ("f − GELU", "That value minus exact GELU, which is computed in float64."),
    ("max error, at", "The largest |f − GELU| for x from −6 to 6, in float64, and where it is."),
    ("RMSE N(0,1)", "The root mean square of the error for x drawn from N(0,1)."),
    ("smooth", "Value and three derivatives do not jump; this and the rest for x from −6 to 6."),
    ("× gelu", "Values per second in MLX, as a multiple of exact GELU's."),
)  # fmt: skip
_RIGHT = frozenset({*_AT_CURSOR, "max error", "at", "RMSE N(0,1)", "× gelu"})


@dataclass(frozen=True)
class TableRow:
    """A function of the table. `figures` are value, derivative and error at the cursor."""

    variant: Variant
    shown: Shown | None
    properties: Properties | None  # while it is not computed yet
    figures: tuple[float, float, float] | None
    speed: float | None  # as a multiple of exact GELU's

    @property
    def id(self) -> str:
        return self.variant.name


class CurvesTable(ListTable[TableRow]):
    """All functions; those that are drawn have their sign. `properties_first`: without figures."""

    BINDINGS: ClassVar = [
        Binding("space,enter", "screen.draw", "Draw the function, or leave it out"),
        Binding("left", "screen.cursor(-1)", "Move the cursor"),
        Binding("right", "screen.cursor(1)", "Move the cursor"),
        *ListTable.MOVING,
    ]

    properties_first = False

    def show(self, rows: Sequence[TableRow]) -> None:
        """Show these rows, in the cells that have changed where they are the same functions."""
        same = [row.id for row in rows] == [row.id for row in self.items]
        before, self.items = self.items, rows
        if not same or self.fitting(self.scrollable_content_region.width) != self._widths:
            self.fill()
            return
        for old, row in zip(before, rows, strict=True):
            if old != row:
                for title, cell in zip(self._widths, self.cells(row, self._widths), strict=True):
                    self.update_cell(row.id, title, cell)

    def fitting(self, width: int) -> Mapping[str, int]:
        speed = _SPEED if any(row.speed for row in self.items) else {}
        figures = {} if self.properties_first else _AT_CURSOR
        columns = _FIRST | figures | speed | _PROPERTIES
        found, taken = {}, 0
        for title, cells in columns.items():
            taken += cells + _GAP
            if taken > width:
                break
            found[title] = cells + _GAP
        return found

    def heading(self, title: str, width: int) -> str:
        return title.rjust(width - _GAP) if title in _RIGHT else title

    def cells(self, item: TableRow, widths: Mapping[str, int]) -> Iterator[Content]:
        texts = _texts(item)
        style = item.shown.style if item.shown is not None else "dim"
        for title, width in widths.items():
            text = Content.styled(texts.get(title, ""), style if title in _FIRST else "")
            room = width - _GAP
            if title in _RIGHT and text.cell_length < room:
                text = Content(" " * (room - text.cell_length)) + text
            yield text.truncate(room, ellipsis=True)


def _texts(row: TableRow) -> dict[str, str]:
    texts = {"": row.shown.sign if row.shown else "", "function": visible_line(row.variant.name)}
    if row.figures is not None:
        titles = zip(_AT_CURSOR, row.figures, strict=True)
        texts |= {title: _figure(value) for title, value in titles}
    if row.properties is not None:
        of = row.properties
        error = of.error
        texts |= property_words(of) | {
            "max error": error_words(error.value if error else None),
            "at": place_words(error.at, both_sides=error.both_sides)
            if error and error.value
            else "",
            "RMSE N(0,1)": rms_words(of.rms),
        }
    if row.speed is not None:
        texts["× gelu"] = f"{row.speed:.2f}"
    texts["formula"] = visible_line(row.variant.formula)
    return texts


def _figure(value: float) -> str:
    if not np.isfinite(value):
        return "not finite"
    if value == 0:
        return "0"
    size = abs(value)
    text = f"{value:.6f}" if 1e-3 <= size < 1000 else f"{value:.3e}"
    return number(value) if len(text) > 10 else text.replace("-", "−")
