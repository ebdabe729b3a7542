"""Whether to quit while a sweep is running."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from gelu_tui.tui.widgets.closes_once import ClosesOnce
from gelu_tui.tui.widgets.key_hints import KeyHints


class QuitScreen(ClosesOnce, ModalScreen[bool]):
    """Dismissed with whether to quit; `sweep` says how far it is."""

    CSS_PATH = "quit.tcss"
    FIELD_KEYS: ClassVar = (("y", "Quit."), ("Any other key", "Stay."))

    def __init__(self, sweep: str) -> None:
        super().__init__()
        self._sweep = sweep

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = "Quit?"
            yield Static(
                f"A sweep is running: {self._sweep}. What is finished is kept, and it can go on "
                "from there later.",
                markup=False,
            )
            yield KeyHints("y quit · any other key: stay", id="keys", markup=False)

    def on_key(self, event: events.Key) -> None:
        event.stop()
        self.dismiss(event.key in ("y", "Y"))
