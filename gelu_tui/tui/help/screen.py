"""Help for what has the focus, on one page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from rich.console import Group
from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from gelu_tui.tui.help.texts import Section
from gelu_tui.tui.widgets.closes_once import ClosesOnce


class HelpScreen(ClosesOnce, ModalScreen[None]):
    """Closed by Enter, q, F1 or Escape."""

    CSS_PATH = "help.tcss"
    BINDINGS: ClassVar = [Binding("enter,q,f1,f10,question_mark,escape", "dismiss", "Close")]

    def __init__(self, sections: Sequence[Section]) -> None:
        super().__init__()
        self._sections = sections

    def compose(self) -> ComposeResult:
        with VerticalScroll() as box:
            box.border_title = "Keys"
            box.border_subtitle = "↑ ↓ scroll · q, Esc back"
            yield Static(Group(*self._parts()))

    def _parts(self) -> Iterator[Text | Table]:
        # Titles are lines of their own: in the table they would widen the column of keys.
        width = max(len(keys) for _, rows in self._sections for keys, _ in rows)
        for title, rows in self._sections:
            yield Text(title, "bold underline")
            table = Table.grid(padding=(0, 2))
            table.add_column(no_wrap=True, width=width + 2)
            table.add_column(ratio=1)
            for keys, text in rows:
                table.add_row(f"  {keys}", text)
            table.add_row()
            yield table
