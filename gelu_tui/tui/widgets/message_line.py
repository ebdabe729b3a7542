"""A screen's line for a message or an error."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.safe_text import visible_line


def error_content(error: ErrorInfo) -> Content:
    """An error and its hint, on one line."""
    message = (f"✗ {visible_line(error.message)}", "bold $text-error")
    return Content.assemble(message, f" {visible_line(error.hint)}")


class MessageLine(Static):
    """The last message; no line while there is none."""

    def show_message(self, message: str | ErrorInfo) -> None:
        """Show a message or an error; nothing if it is empty."""
        if isinstance(message, ErrorInfo):
            self.update(error_content(message))
        else:
            self.update(Content(visible_line(message)))
        self.display = bool(message)
