"""The place for one sentence: an error with its hint, or a word about what happens next."""

from __future__ import annotations

from functools import partial

from textual.content import Content
from textual.widgets import Static

from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.safe_text import visible_line

_NEWS_S = 8.0  # long enough to read a sentence twice


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

    def __init__(self) -> None:
        super().__init__()
        self._said = 0
        self._stays = False
        self.kind = ""  # of the error that is shown

    def say(self, sentence: str | Content, *, stays: bool = False) -> None:
        """Show a plain sentence; unless it `stays` until `clear_awaited`, it goes by itself."""
        self.set_class(False, "-error")
        self.kind = ""
        safe = visible_line(sentence) if isinstance(sentence, str) else sentence
        self._show(Content.assemble(("• ", "bold"), safe))
        self._stays = stays
        if not stays:
            self.set_timer(_NEWS_S, partial(self._outlived, self._said))

    def _outlived(self, number: int) -> None:
        if number == self._said:
            self.clear()

    def show_error(self, error: ErrorInfo, more: str = "") -> None:
        """Show what happened and what to do; `more` is one more thing to do."""
        self.set_class(True, "-error")
        self.kind = error.kind
        hints = " ".join(filter(None, (visible_line(error.hint), more)))
        self._show(
            Content.assemble(
                ("✗ ", "bold $text-error"),
                (visible_line(error.message), "bold"),
                f" {hints}",
            )
        )

    def clear_awaited(self) -> None:
        """What a sentence that stays was waiting for has happened."""
        if self._stays:
            self.clear()

    def clear_news(self) -> None:
        """Say nothing any more, unless it is an error: that stays until the user acts."""
        if not self.has_class("-error"):
            self.clear()

    def clear(self) -> None:
        """Say nothing any more."""
        self.set_class(False, "-shown")
        self.update("")
        self.kind, self._stays = "", False

    def _show(self, content: Content) -> None:
        self._said += 1
        self._stays = False
        self.update(content)
        self.set_class(True, "-shown")
