"""Help for what has the focus, on one page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.table import Table
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from gelu_tui.tui.help_texts import Section


class HelpScreen(ModalScreen[None]):
    """Closed by Enter, q, F1 or Escape."""

    CSS_PATH = "help.tcss"
    BINDINGS: ClassVar = [Binding("enter,q,f1,f10,question_mark,escape", "dismiss", "Close")]

    def __init__(self, sections: Sequence[Section]) -> None:
        super().__init__()
        self._sections = sections

    def compose(self) -> ComposeResult:
        """Tables of keys, in a box that scrolls where the terminal is small."""
        with VerticalScroll() as box:
            box.border_title = "Keys"
            box.border_subtitle = "↑ ↓ scroll · q, Esc back"
            yield Static(self._table())

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(ratio=1)
        for title, rows in self._sections:
            table.add_row(title, "", style="bold underline")
            for keys, text in rows:
                table.add_row(f"  {keys}", text)
            table.add_row()
        return table
