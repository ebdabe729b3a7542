"""Widgets that tell their screen when they have another size."""

from __future__ import annotations

from textual.message import Message
from textual.widget import Widget


class TellsItsSize:
    """The first base of a part for whose width a screen chooses words.

    The screen's own resize event comes before its parts have their new sizes.
    """

    class Resized(Message):
        """The part has another size."""

    def on_resize(self: Widget) -> None:  # type: ignore[misc]
        self.post_message(TellsItsSize.Resized())
