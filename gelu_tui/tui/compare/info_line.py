"""One line under the prompt: settings of the next run, or the token pointed at, or a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.message import Message
from textual.widgets import Input, Static

from gelu_tui.tui.widgets.kept_lines import KeptLines
from gelu_tui.tui.widgets.keys_in_turn import KeysInTurn

_BETWEEN = " · "


class InfoText(KeptLines, Static):
    """As many parts as there is room for; the first one matters most."""

    _parts: Sequence[str] = ()

    def show(self, parts: Sequence[str]) -> None:
        """Draw other parts."""
        self._parts = parts
        self.on_resize()

    def on_resize(self) -> None:
        count = len(self._parts)
        while count > 1 and cell_len(_BETWEEN.join(self._parts[:count])) > self.size.width:
            count -= 1
        self.update(_BETWEEN.join(self._parts[:count]), layout=False)


class SearchField(Input, KeysInTurn):
    """Enter ends the typing, Escape ends the search."""

    BINDINGS: ClassVar = [Binding("escape", "leave", "Leave", show=False)]

    def action_leave(self) -> None:
        self.value = ""
        self.post_message(self.Submitted(self, ""))


class InfoLine(KeptLines, Horizontal):
    """Shows what matters at the moment; nothing else on the screen moves for it."""

    @dataclass
    class Searched(Message):
        """The text to search for; `done` when Enter or Escape ended the typing."""

        text: str
        done: bool

    def __init__(self) -> None:
        super().__init__()
        self._settings: list[str] = []
        self._token: list[str] | None = None
        self._text = InfoText(id="info", markup=False)
        self._field = SearchField(compact=True)
        self._count = Static(id="search-count", markup=False)

    def compose(self) -> ComposeResult:
        yield self._text
        yield Static("Search:", id="search-label")
        yield self._field
        yield self._count

    def show_settings(self, settings: list[str]) -> None:
        """Show the settings whenever no token is pointed at."""
        self._settings = settings
        self._write()

    def show_token(self, token: list[str] | None) -> None:
        """Show what is known of a token, or the settings again."""
        if token != self._token:
            self._token = token
            self._write()

    def _write(self) -> None:
        self._text.set_class(self._token is not None, "-token")
        self._text.show(self._settings if self._token is None else self._token)

    def open_search(self, text: str) -> None:
        """Open the field for the text to search for."""
        self.add_class("-search")
        self._field.value = text
        self._field.focus()

    def show_count(self, found: int) -> None:
        """Show the number of matches."""
        self._count.update(f"{found} found · Enter" if self._field.value else "")

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        if self.has_class("-search"):
            self.post_message(self.Searched(event.value, done=False))

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.remove_class("-search")
        self.post_message(self.Searched(event.value, done=True))
