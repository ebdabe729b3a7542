"""The place for one sentence: an error with its hint, or a word about what happens next."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.safe_text import visible_line


class Notice(Static):
    """Hidden while there is nothing to say."""

    DEFAULT_CSS = """
    Notice {
        display: none;
        height: auto;
        max-height: 4;
        padding: 0 1;
        background: $panel;
        border-left: thick $primary;
        &.-shown { display: block; }
        &.-error { border-left: thick $error; }
    }
    """

    def say(self, sentence: str) -> None:
        """Show a plain sentence."""
        self.set_class(False, "-error")
        self._show(Content.assemble(("• ", "bold"), visible_line(sentence)))

    def show_error(self, error: ErrorInfo, more: str = "") -> None:
        """Show what happened and what to do; `more` is one more thing to do."""
        self.set_class(True, "-error")
        hints = " ".join(filter(None, (visible_line(error.hint), more)))
        self._show(
            Content.assemble(
                ("✗ ", "bold $text-error"),
                (visible_line(error.message), "bold"),
                f" {hints}",
            )
        )

    def clear_news(self) -> None:
        """Say nothing any more, unless it is an error: that stays until the user acts."""
        if not self.has_class("-error"):
            self.clear()

    def clear(self) -> None:
        """Say nothing any more."""
        self.set_class(False, "-shown")
        self.update("")

    def _show(self, content: Content) -> None:
        self.update(content)
        self.set_class(True, "-shown")
