"""The place for one sentence: an error with its hint, or a message about what happens next."""

from __future__ import annotations

from textual.content import Content
from textual.timer import Timer
from textual.widgets import Static

from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.safe_text import visible_line

_NEWS_S = 8.0  # long enough to read a sentence twice


class Notice(Static):
    """Hidden while there is nothing to show."""

    def __init__(self) -> None:
        super().__init__()
        self._clearing: Timer | None = None
        self.about = ""  # what the sentence is about: of an error, its kind

    def show_message(
        self, sentence: str | Content, about: str = "", *, stays: bool = False
    ) -> None:
        """Show a plain sentence for eight seconds; if it `stays`, until what it is about ends."""
        safe = visible_line(sentence) if isinstance(sentence, str) else sentence
        self._show(Content.assemble(("• ", "bold"), safe), about)
        if not stays:
            self._clearing = self.set_timer(_NEWS_S, self.clear)

    def show_error(self, error: ErrorInfo, hint: str = "") -> None:
        """Show what happened and what to do; `hint` is one more thing to do."""
        hints = " ".join(filter(None, (visible_line(error.hint), hint)))
        message = (visible_line(error.message), "bold")
        content = Content.assemble(("✗ ", "bold $text-error"), message, f" {hints}")
        self._show(content, error.kind, error=True)

    def end(self, *about: str) -> None:
        """Clear a sentence that is about one of these, because it is out of date."""
        if self.about in about:
            self.clear()

    def clear_news(self) -> None:
        """Clear a message; an error stays until the user acts."""
        if not self.has_class("-error"):
            self.clear()

    def clear(self) -> None:
        """Show nothing any more."""
        self._show(Content(""))

    def _show(self, content: Content, about: str = "", *, error: bool = False) -> None:
        if self._clearing is not None:
            self._clearing.stop()
        self.about = about
        self.update(content)
        self.set_class(error, "-error")
        self.set_class(bool(content), "-shown")
