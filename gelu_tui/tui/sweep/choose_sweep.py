"""Which sweep is shown beside the present one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from gelu_tui.core.runs.history import local_time
from gelu_tui.core.safe_text import visible_line
from gelu_tui.sweep.saved_sweeps import SweepEntry
from gelu_tui.tui.keys.actions import HELP
from gelu_tui.tui.widgets.closes_once import ClosesOnce
from gelu_tui.tui.widgets.key_hints import KeyHints


class ChooseSweep(ClosesOnce, ModalScreen[SweepEntry | None]):
    """Dismissed with one of these sweeps, or None."""

    CSS_PATH = "sweep.tcss"
    BINDINGS: ClassVar = [Binding("q,escape,f10", "dismiss", "Back"), HELP]

    def __init__(self, entries: Sequence[SweepEntry]) -> None:
        super().__init__()
        self._entries = entries

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = "Show which sweep beside this one?"
            yield OptionList(*(Option(words(each)) for each in self._entries), markup=False)
            yield KeyHints("Enter shows both · q back", id="keys", markup=False)

    def on_mount(self) -> None:
        self.query_one(OptionList).highlighted = 0
        self.query_one(OptionList).focus()

    @on(OptionList.OptionSelected)
    def _take(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._entries[event.option_index])


def words(entry: SweepEntry) -> str:
    """A sweep on one line."""
    functions = [name for name in entry.functions if name != entry.reference]
    parts = (
        entry.name or entry.id,
        f"{entry.completed:,} of {entry.total:,} prompts",
        ", ".join(entry.models),
        f"{entry.reference} against {', '.join(functions)}",
        local_time(entry.created)[:16],
    )
    return visible_line(" · ".join(parts))
