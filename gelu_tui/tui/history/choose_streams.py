"""Which streams of two saved runs are compared, where they have too many for one comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.widgets import SelectionList, Static

from gelu_tui.core.functions.variants import MAX_VARIANTS
from gelu_tui.core.runs.merge import Choice
from gelu_tui.core.safe_text import visible_line
from gelu_tui.tui.keys.actions import HELP
from gelu_tui.tui.widgets.closes_once import ClosesOnce
from gelu_tui.tui.widgets.key_hints import KeyHints

_KEYS = "Enter compares · Space adds or leaves out · q, Esc back · F1 help"


class ChooseStreams(ClosesOnce, Screen[list[Choice] | None]):
    """Dismissed with the chosen streams, of which the first is the reference; or None."""

    CSS_PATH = "choose_streams.tcss"
    BINDINGS: ClassVar = [
        Binding("enter", "show", "Compare the chosen streams", priority=True),
        Binding("q,escape,f10", "back", "Back"),
        HELP,
    ]

    def __init__(self, choices: Sequence[Choice]) -> None:
        super().__init__()
        self._reference, *self._others = choices

    def compose(self) -> ComposeResult:
        yield Static(id="title", markup=False)
        rows = (
            (Content(_words(choice)), index, index < MAX_VARIANTS - 1)
            for index, choice in enumerate(self._others)
        )
        yield SelectionList[int](*rows, id="streams")
        yield KeyHints(_KEYS, id="keys", markup=False)

    def on_mount(self) -> None:
        self.query_one(SelectionList).focus()
        self._count()

    @on(SelectionList.SelectedChanged)
    def _count(self) -> None:
        chosen = len(self._list.selected) + 1
        many = " · too many" if chosen > MAX_VARIANTS else ""
        self.query_one("#title", Static).update(
            f"{chosen} of at most {MAX_VARIANTS} streams{many}, with the reference, "
            f"{_words(self._reference)}"
        )

    @property
    def _list(self) -> SelectionList[int]:
        return self.query_one("#streams", SelectionList)

    def action_show(self) -> None:
        """Compare the chosen streams, unless there are too many."""
        chosen = [self._others[index] for index in sorted(self._list.selected)]
        if len(chosen) < MAX_VARIANTS:
            self.dismiss([self._reference, *chosen])

    def action_back(self) -> None:
        self.dismiss(None)


def _words(choice: Choice) -> str:
    same = ", the same in the other run" if choice.same else ""
    return f"{visible_line(choice.name)} of run {choice.run}{same}"
