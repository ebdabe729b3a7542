"""The keys, on one page."""

from __future__ import annotations

from typing import ClassVar

from rich.table import Table
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from gelu_tui.tui.actions import COMPARE_ACTIONS, OTHER_KEYS
from gelu_tui.tui.labels import FORK_MARK, NATIVE_MARK

_MARKS = (
    (FORK_MARK, "The first divergent token: here a stream leaves the reference."),
    (NATIVE_MARK, "The activation function that the model was made with."),
)


class HelpScreen(ModalScreen[None]):
    """Closed by Enter, q, F1 or Escape."""

    CSS_PATH = "help.tcss"
    BINDINGS: ClassVar = [Binding("enter,q,f1,question_mark,escape", "dismiss", "Close")]

    def compose(self) -> ComposeResult:
        """A table of keys, in a box that scrolls where the terminal is small."""
        with VerticalScroll() as box:
            box.border_title = "Keys"
            box.border_subtitle = "Enter closes"
            yield Static(self._table())

    def _table(self) -> Table:
        rows = [
            *((_shown(action.keys), action.help) for action in COMPARE_ACTIONS),
            *OTHER_KEYS,
            ("", ""),
            *_MARKS,
        ]
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold", no_wrap=True)
        table.add_column(ratio=1)
        for key, text in rows:
            table.add_row(key, text)
        return table


def _shown(keys: str) -> str:
    shown = (key.replace("question_mark", "?") for key in keys.split(","))
    return ", ".join(key.upper() if key[0] == "f" else key for key in shown)
