"""The keys, on one page: first those of the part of the screen that has the focus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from rich.table import Table
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from gelu_tui.tui.actions import (
    COMPARE_ACTIONS,
    MOVING_KEYS,
    OTHER_KEYS,
    PANE_ACTIONS,
    PROMPT_KEYS,
    Action,
    shown_key,
)
from gelu_tui.tui.labels import NATIVE_MARK
from gelu_tui.tui.pieces import FORK_MARK

_MARKS = (
    (FORK_MARK, "The first divergent token: here a stream leaves the reference."),
    (NATIVE_MARK, "The activation function that mlx-lm itself uses for the model."),
    ("▁▃▆█", "KL step by step, a glyph for each decade: ▁ below 1e-6 nats, █ from 1 nat; · is 0."),
)


class HelpScreen(ModalScreen[None]):
    """Closed by Enter, q, F1 or Escape. `order` names the sections that come
    first, `keymap` the keys that the user has put actions on."""

    CSS_PATH = "help.tcss"
    BINDINGS: ClassVar = [Binding("enter,q,f1,question_mark,escape", "dismiss", "Close")]

    def __init__(self, order: Sequence[str], keymap: Mapping[str, str]) -> None:
        super().__init__()
        self._order = order
        self._keymap = keymap

    def compose(self) -> ComposeResult:
        """Tables of keys, in a box that scrolls where the terminal is small."""
        with VerticalScroll() as box:
            box.border_title = "Keys"
            box.border_subtitle = "↑ ↓ scroll · Enter closes"
            yield Static(self._table())

    def _table(self) -> Table:
        sections = {
            "prompt": ("In the prompt", PROMPT_KEYS),
            "panes": ("In a pane (Tab goes there)", (*MOVING_KEYS, *self._rows(PANE_ACTIONS))),
        }
        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(ratio=1)
        for title, rows in (
            *(sections[name] for name in self._order),
            ("Everywhere", (*self._rows(COMPARE_ACTIONS), *OTHER_KEYS)),
            ("Signs", _MARKS),
        ):
            table.add_row(title, "", style="bold underline")
            for key, text in rows:
                table.add_row(f"  {key}", text)
            table.add_row()
        return table

    def _rows(self, actions: Sequence[Action]) -> list[tuple[str, str]]:
        return [(self._keys_of(action), action.help) for action in actions if action.keys]

    def _keys_of(self, action: Action) -> str:
        # A user may have put the action on other keys.
        keys = self._keymap.get(action.name, action.keys)
        return ", ".join(shown_key(key) for key in keys.split(","))
