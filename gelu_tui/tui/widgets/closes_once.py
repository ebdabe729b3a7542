"""Screens that one burst of keys or clicks closes only once."""

from __future__ import annotations

from asyncio import InvalidStateError
from typing import Any

from textual.await_complete import AwaitComplete
from textual.screen import Screen


class ClosesOnce:
    """The first base of a screen: what still waits for it when it is closed closes no other one.

    Over a slow line two keys come in one packet, and a mouse clicks twice.
    """

    def dismiss(self: Screen[Any], result: Any = None) -> AwaitComplete:  # type: ignore[misc]
        if not self.is_current:
            return AwaitComplete()
        try:
            closed: AwaitComplete = super().dismiss(result)  # type: ignore[misc]
        except InvalidStateError:  # who waited for the result was cancelled meanwhile
            return self.app.pop_screen()
        return closed
