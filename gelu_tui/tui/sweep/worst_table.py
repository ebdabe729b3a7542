"""The prompts of a sweep that diverge first, for each function."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding
from textual.content import Content

from gelu_tui.core.reports.history_table import GAP, cut, cut_start
from gelu_tui.core.safe_text import visible_line
from gelu_tui.sweep.document import WorstPrompt
from gelu_tui.sweep.report.tables import name_of
from gelu_tui.tui.sweep.contents import Contents
from gelu_tui.tui.widgets.list_table import ListTable

_WIDTHS = {"function": 16, "FDT": 6, "verdict": 10, "id": 16}
_LEAST_PROMPT = 16


@dataclass(frozen=True)
class WorstRow:
    """One prompt of one function; `id` is that of the row."""

    id: str
    function: str
    worst: WorstPrompt


class WorstTable(ListTable[WorstRow]):
    """Those of each function, by the formula before others."""

    BINDINGS: ClassVar = [
        Binding("enter", "screen.open_worst", "Open the run, without running it again"),
        *ListTable.MOVING,
    ]

    def show(self, contents: Contents) -> None:
        """Show the worst prompts of all functions."""
        rows = [
            WorstRow(f"{result.model}/{result.variant}/{worst.run}", name_of(result), worst)
            for result in contents.results()
            for worst in result.worst
        ]
        if rows != list(self.items):
            self.items = rows
            self.fill()

    def fitting(self, width: int) -> Mapping[str, int]:
        taken = sum(_WIDTHS.values()) + GAP * len(_WIDTHS)
        widths = {name: size + GAP for name, size in _WIDTHS.items()}
        return {**widths, "prompt": max(_LEAST_PROMPT, width - taken)}

    def cells(self, item: WorstRow, widths: Mapping[str, int]) -> Iterator[Content]:
        worst = item.worst
        texts = (
            item.function, f"{worst.fdt:,}", worst.verdict, visible_line(worst.id),
            visible_line(worst.prompt),
        )  # fmt: skip
        for text, (name, width) in zip(texts, widths.items(), strict=True):
            fit = cut_start if name == "id" else cut
            yield Content(fit(text, width if name == "prompt" else width - GAP))
