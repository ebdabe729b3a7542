"""One line under the prompt: settings of the next run, or the token pointed at, or a search."""

from __future__ import annotations

from collections.abc import Sequence
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


class Told(KeptLines, Static):
    """What the line says, as many parts as there is room for."""

    _parts: Sequence[str] = ()

    def tell(self, parts: Sequence[str]) -> None:
        """The first part matters most."""
        self._parts = parts
        self._write()

    def on_resize(self) -> None:
        """Another width has room for other parts."""
        self._write()

    def _write(self) -> None:
        count = len(self._parts)
        while count > 1 and cell_len(_BETWEEN.join(self._parts[:count])) > self.size.width:
            count -= 1
        self.update(_BETWEEN.join(self._parts[:count]), layout=False)


class SearchField(Input, KeysInTurn):
    """Enter ends the typing, Escape ends the search."""

    BINDINGS: ClassVar = [Binding("escape", "leave", "Leave", show=False)]

    def action_leave(self) -> None:
        """Search for nothing."""
        self.value = ""
        self.post_message(self.Submitted(self, ""))


class InfoLine(KeptLines, Horizontal):
    """Shows what matters at the moment; nothing else on the screen moves for it."""

    DEFAULT_CSS = """
    InfoLine {
        height: 1;
        padding: 0 1 0 2;
        Static { width: 1fr; color: $text-muted; text-wrap: nowrap; text-overflow: ellipsis; }
        Static.-token { color: $foreground; }
        #search-label, Input, #search-count { display: none; }
        &.-search {
            #info { display: none; }
            #search-label, Input, #search-count { display: block; }
        }
        #search-label { width: 8; }
        #search-count { width: 20; }
        Input { width: 1fr; }
    }
    """

    class Searched(Message):
        """The text to search for; `done` when Enter or Escape ended the typing."""

        def __init__(self, text: str, *, done: bool) -> None:
            super().__init__()
            self.text = text
            self.done = done

    def __init__(self) -> None:
        super().__init__()
        self._settings: list[str] = []
        self._token: list[str] | None = None

    def compose(self) -> ComposeResult:
        """The text, and the field that may take its place."""
        yield Told(id="info", markup=False)
        yield Static("Search:", id="search-label")
        yield SearchField(compact=True)
        yield Static(id="search-count", markup=False)

    def settle(self, settings: list[str]) -> None:
        """What the line says when nothing else matters more."""
        self._settings = settings
        self._write()

    def tell(self, token: list[str] | None) -> None:
        """Tell of a token, or no more."""
        if token != self._token:
            self._token = token
            self._write()

    def _write(self) -> None:
        if self.is_mounted:
            info = self.query_one(Told)
            info.set_class(self._token is not None, "-token")
            info.tell(self._settings if self._token is None else self._token)

    def ask(self, text: str) -> None:
        """Let the user type what to search for."""
        self.add_class("-search")
        field = self.query_one(SearchField)
        field.value = text
        field.focus()

    def count(self, found: int) -> None:
        """Say how many places there are."""
        said = "" if not self.query_one(SearchField).value else f"{found} found · Enter"
        self.query_one("#search-count", Static).update(said)

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
