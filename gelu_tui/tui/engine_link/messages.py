"""What reaches the app's message queue from outside of the widgets."""

from __future__ import annotations

from textual.message import Message

from gelu_tui.client import EngineClient
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.protocol import Event


class EngineEvent(Message):
    """One event; `client` tells a replaced engine's late words from the present one's."""

    def __init__(self, client: EngineClient, event: Event) -> None:
        super().__init__()
        self.client = client
        self.event = event


class RunSaved(Message):
    """A run has come into the history, or has changed there: for the screen that lists them."""


class EngineLost(Message):
    """An engine died, could not be started, or stopped making sense."""

    def __init__(self, client: EngineClient, error: ErrorInfo) -> None:
        super().__init__()
        self.client = client
        self.error = error
