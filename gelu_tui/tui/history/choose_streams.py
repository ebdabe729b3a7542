"""Which streams of two saved runs are compared, where they have too many for one comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.widgets import OptionList, Static

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
        Binding("space", "change", "Add the stream, or leave it out"),
        Binding("q,escape,f10", "back", "Back"),
        HELP,
    ]

    def __init__(self, choices: Sequence[Choice]) -> None:
        super().__init__()
        self._reference, *self._others = choices
        self._chosen = set(range(min(len(self._others), MAX_VARIANTS - 1)))

    def compose(self) -> ComposeResult:
        yield Static(id="title", markup=False)
        yield OptionList(*map(self._row, range(len(self._others))), id="streams")
        yield KeyHints(_KEYS, id="keys", markup=False)

    def on_mount(self) -> None:
        self._list.highlighted = 0
        self._list.focus()
        self._count()

    def _row(self, index: int) -> Content:
        mark = "■" if index in self._chosen else "·"
        return Content(f"{mark} {_words(self._others[index])}")

    def _count(self) -> None:
        chosen = len(self._chosen) + 1
        many = " · too many" if chosen > MAX_VARIANTS else ""
        self.query_one("#title", Static).update(
            f"{chosen} of at most {MAX_VARIANTS} streams{many}, with the reference, "
            f"{_words(self._reference)}"
        )

    @property
    def _list(self) -> OptionList:
        return self.query_one("#streams", OptionList)

    @on(OptionList.OptionSelected)
    def action_change(self) -> None:
        """Add the stream under the cursor, or leave it out."""
        if (index := self._list.highlighted) is not None:
            self._chosen ^= {index}
            self._list.replace_option_prompt_at_index(index, self._row(index))
            self._count()

    def action_show(self) -> None:
        """Compare the chosen streams, unless there are too many."""
        chosen = [self._others[index] for index in sorted(self._chosen)]
        if len(chosen) < MAX_VARIANTS:
            self.dismiss([self._reference, *chosen])

    def action_back(self) -> None:
        self.dismiss(None)


def _words(choice: Choice) -> str:
    same = ", the same in the other run" if choice.same else ""
    return f"{visible_line(choice.name)} of run {choice.run}{same}"
