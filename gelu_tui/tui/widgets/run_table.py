"""The saved runs as a table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, ClassVar

from rich.text import Text
from textual import events
from textual.binding import Binding
from textual.widgets import DataTable

from gelu_tui.core.history import Entry
from gelu_tui.core.history_texts import GAP, cells, columns, cut


class RunTable(DataTable[Text]):
    """The runs, with their keys. A click highlights, a double click opens."""

    BINDINGS: ClassVar = [
        Binding("enter", "screen.open", "Open"),
        Binding("r", "screen.rerun", "Run again"),
        Binding("e", "screen.export", "Export"),
        Binding("x,delete", "screen.delete", "Delete"),
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

    def fill(self, entries: Sequence[Entry], row: int) -> None:
        """Write all anew, for the width that there is, and highlight `row`."""
        self._entries = entries
        self._widths = columns(self.scrollable_content_region.width)
        self.clear(columns=True)
        for name, width in self._widths.items():
            self.add_column(name, width=width + GAP)
        now = datetime.now().astimezone()
        for entry in entries:
            said = cells(entry, now, self._widths)
            self.add_row(*(Text(cut(said[name], width)) for name, width in self._widths.items()))
        self.move_cursor(row=max(0, row), scroll=True)

    def on_resize(self) -> None:
        """Other widths, other columns."""
        if columns(self.scrollable_content_region.width) != self._widths:
            self.fill(self._entries, self.cursor_row)
