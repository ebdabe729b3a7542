"""The keys, on one page."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
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

    def _table(self) -> Content:
        rows = [
            *((_shown(action.keys), action.help) for action in COMPARE_ACTIONS),
            *OTHER_KEYS,
            ("", ""),
            *_MARKS,
        ]
        width = max(len(key) for key, _ in rows)
        return Content("\n").join(
            Content.assemble((f"{key:<{width}}  ", "bold"), text) for key, text in rows
        )


def _shown(keys: str) -> str:
    return keys.replace("question_mark", "?").replace(",", ", ")
