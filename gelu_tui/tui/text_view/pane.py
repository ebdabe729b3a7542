"""One stream's tokens, followed while they arrive."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding
from textual.style import Style

from gelu_tui.core.comparison.standing import Standing
from gelu_tui.core.comparison.state import Stream
from gelu_tui.tui.text_view.levels import TokenStyle, level
from gelu_tui.tui.text_view.pieces import FORK_MARK, ending, pieces
from gelu_tui.tui.text_view.pointing import PointedRows
from gelu_tui.tui.text_view.token_buffer import TokenBuffer

_UNCOMPARED = Standing("uncompared")


class TokenPane(PointedRows):
    """Shows one stream."""

    ALLOW_MAXIMIZE = True  # together with its frame: name and numbers stay in view
    DEFAULT_CSS = "TokenPane { height: 1fr; }"
    BINDINGS: ClassVar = [Binding("enter", "choose", "Fork", show=False)]

    def __init__(self) -> None:
        super().__init__()
        self.statistic: TokenStyle = "plain"
        self._stream: Stream | None = None
        self._standing = _UNCOMPARED
        self._fork_text = self._ending = ""  # the ending follows the tokens in the buffer

    @property
    def first_pointed(self) -> int | None:
        return self._standing.first_divergent_token

    @property
    def is_growing(self) -> bool:
        return self._stream is not None and self._stream.finish_reason is None

    # --- the text -----------------------------------------------------------------------------

    def restart(self, text: str = "") -> None:
        """Clear the pane; `text` is shown while there is no stream."""
        self._stream = None
        self._standing, self._fork_text, self._ending, self.tokens = _UNCOMPARED, "", "", 0
        self._followed = False
        self.marked = None
        self._set_buffer(TokenBuffer(), self.finder.query)
        if text:
            self.buffer.append(text)

    def show(self, stream: Stream, standing: Standing) -> None:
        """Show the present state of `stream`; only rows that differ are drawn again."""
        if stream is not self._stream:
            self.restart()
            self._stream = stream
        before, self._standing = self._standing, standing
        fork = standing.first_divergent_token
        fork_text = "" if fork is None else next(pieces(stream, fork, fork), "")
        end_text = ending(stream, fork)
        keep = self.tokens
        before_fork = before.first_divergent_token
        if fork != before_fork or fork_text != self._fork_text:
            keep = min(at for at in (keep, fork, before_fork) if at is not None)
        changed_from = self._row_start(self.buffer.starts[keep])
        if keep < self.tokens or end_text != self._ending:
            self.buffer.truncate(keep)
            self._ending = ""
            changed_from = min(changed_from, self._row_start(self.buffer.length))
        for index, text in enumerate(pieces(stream, fork, keep), keep):
            if index == fork:
                self.buffer.marks.append(self.buffer.length + text.index(FORK_MARK))
            self.buffer.append(text)
        self.tokens, self._fork_text = len(stream.segments), fork_text
        if end_text != self._ending:
            self.buffer.append(end_text)
            self._ending = end_text
        self.marked = None if fork is None else self.buffer.starts[min(fork, self.tokens)]
        if (standing.relation == "reference") != (before.relation == "reference"):
            changed_from = 0
        elif _quiet(standing) != _quiet(before):
            # In solo the reference catches up with a stream that is complete.
            first = min(_quiet(before), _quiet(standing), keep)
            changed_from = min(changed_from, self.buffer.starts[first])
        if not self.size:
            return
        if self.view.follows and self.view.follow(settle=stream.finish_reason is not None):
            self.draw_all()
        elif changed_from < self.buffer.length:
            self.draw_from(changed_from)

    @property
    def fork_in_view(self) -> bool:
        """Whether the fork, if there is one, is in view."""
        return self.marked is None or 0 <= self.view.y_of(self.marked) < self.view.height

    def _row_start(self, offset: int) -> int:
        """Where the row of a character begins: new text may move its last word to the next row."""
        return self.view.row_start(offset) if self.size else offset

    def set_statistic(self, statistic: TokenStyle) -> None:
        """Choose what the tokens' colours show."""
        self.statistic = statistic
        self.refresh()

    def search(self, query: str) -> None:
        """Mark all matches of a text; an empty one removes the marks."""
        self.finder.search(query)
        self.refresh()

    def token_style(self, token: int) -> Style:
        """Dim while it agrees, the first divergent token as a block, the rest plain."""
        base, standing = self.visual_style, self._standing
        if self._stream is None:
            return base + self.style_of("shared")
        if token >= self.tokens:
            return base + self.style_of("error" if self._stream.error else "fork")
        if token == standing.first_divergent_token:
            return base + self.style_of("fork")
        if self.statistic != "plain":
            found = level(self._stream.steps[token], self.statistic)
            return base + self.style_of(f"level{found}") if found else base
        return base + self.style_of("shared") if token < _quiet(standing) else base

    def token_state(self, start: int, end: int) -> tuple[object, ...]:
        """The part of the row that agrees, and whether the fork is in it."""
        standing, at = self._standing, self.buffer.starts
        quiet = at[min(_quiet(standing), len(self.buffer))]
        fork = standing.first_divergent_token
        return (
            None if standing.relation == "reference" else max(start, min(quiet, end)),
            fork is not None and start <= at[min(fork, len(self.buffer))] < end,
            self.statistic,
        )


def _quiet(standing: Standing) -> int:
    """The number of leading tokens that are drawn dim: those that equal the reference's."""
    return standing.tokens or 0
