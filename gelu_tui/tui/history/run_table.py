"""The saved runs as a table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

from rich.text import Text
from textual import events
from textual.binding import Binding
from textual.coordinate import Coordinate
from textual.widgets import DataTable

from gelu_tui.core.reports.history_table import GAP, cells, columns, cut
from gelu_tui.core.runs.history import Entry

MARK = "■"
_MARK_WIDTH = 2


class RunTable(DataTable[Text]):
    """The runs, with their keys. A click highlights, a double click opens."""

    BINDINGS: ClassVar = [
        Binding("enter", "screen.open", "Open the run, without the model"),
        Binding("c", "screen.compare", "Mark the run; on another one, show both side by side"),
        Binding("r", "screen.rerun", "Run it again"),
        Binding("e", "screen.export", "Export it as a report (.md) or as data (.json)"),
        Binding("x,delete", "screen.delete", "Delete it"),
        Binding("slash", "screen.search", "Search"),
        Binding("home", "scroll_top", "First"),
        Binding("end", "scroll_bottom", "Last"),
    ]

    async def on_click(self, event: events.Click) -> None:
        """Open on a double click."""
        if event.chain == 2 and event.style.meta.get("row", -1) >= 0:
            await self.run_action("screen.open")

    def __init__(self, **options: Any) -> None:
        super().__init__(cursor_type="row", cell_padding=0, **options)
        self._entries: Sequence[Entry] = ()
        self._widths: dict[str, int] = {}
        self._marked: int | None = None

    def fill(self, entries: Sequence[Entry], row: int) -> None:
        """Write all anew, for the width that there is, and highlight `row`."""
        self._entries = entries
        self._widths = self._fitting()
        self.clear(columns=True)
        self.add_column("", width=_MARK_WIDTH)
        for name, width in self._widths.items():
            self.add_column(name, width=width + GAP)
        now = datetime.now().astimezone()
        for entry in entries:
            said = cells(entry, now, self._widths)
            mark = Text(MARK if entry.id == self._marked else "", "bold")
            texts = (Text(cut(said[name], width)) for name, width in self._widths.items())
            self.add_row(mark, *texts)
        self.move_cursor(row=max(0, row), scroll=True)

    def mark(self, run: int | None) -> None:
        """Set a sign before one run, or before none."""
        self._marked = run
        for row, entry in enumerate(self._entries):
            self.update_cell_at(Coordinate(row, 0), Text(MARK if entry.id == run else "", "bold"))

    def on_resize(self) -> None:
        """Other widths, other columns."""
        if self._fitting() != self._widths:
            self.fill(self._entries, self.cursor_row)

    def _fitting(self) -> dict[str, int]:
        return columns(self.scrollable_content_region.width - _MARK_WIDTH)
