"""One stream's tokens: followed while they arrive, pointed at by keys and mouse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding
from textual.events import Click, Leave, MouseMove, MouseScrollDown, MouseScrollUp
from textual.message import Message
from textual.style import Style

from gelu_tui.core.comparison.standing import Standing
from gelu_tui.core.comparison.state import Stream
from gelu_tui.tui.text_view.levels import TokenStyle, level
from gelu_tui.tui.text_view.pieces import FORK_MARK, ending, pieces
from gelu_tui.tui.text_view.rows import TokenRows
from gelu_tui.tui.text_view.token_buffer import TokenBuffer
from gelu_tui.tui.text_view.wrapping import clusters

_WHEEL_ROWS = 3
_UNCOMPARED = Standing("uncompared")


class TokenPane(TokenRows, can_focus=True):
    """Shows one stream.

    It is no `ScrollView`: there every new row is a new layout of the screen, and the whole pane is
    sent to the terminal again. Here a token costs its own row.
    """

    ALLOW_MAXIMIZE = True  # together with its frame: name and numbers stay in view
    DEFAULT_CSS = "TokenPane { height: 1fr; }"
    BINDINGS: ClassVar = [
        Binding("up", "rows(-1)", "Row up", show=False),
        Binding("down", "rows(1)", "Row down", show=False),
        Binding("pageup", "pages(-1)", "Page up", show=False),
        Binding("pagedown,space", "pages(1)", "Page down", show=False),
        Binding("left", "token(-1)", "Token back", show=False),
        Binding("right", "token(1)", "Token on", show=False),
        Binding("home", "start", "Start", show=False),
        Binding("end", "end", "End, and follow it", show=False),
        Binding("enter", "choose", "Fork", show=False),
    ]

    @dataclass
    class Pointed(Message):
        """The cursor moved to `token`, or was removed (None); `hover` if it is the mouse's."""

        pane: TokenPane
        token: int | None
        hover: bool = False

    @dataclass
    class Scrolled(Message):
        """The user scrolled; `token` is the first in view, None while the end is followed."""

        pane: TokenPane
        token: int | None

    @dataclass
    class Chosen(Message):
        """The user asks for the fork of the pane."""

        pane: TokenPane

    class Resized(Message):
        """Other rows are in view, at another size."""

    def __init__(self) -> None:
        super().__init__()
        self.statistic: TokenStyle = "plain"
        self._stream: Stream | None = None
        self._standing = _UNCOMPARED
        self._fork_text = self._ending = ""
        self.tokens = 0  # their number; the ending follows them in the buffer
        self._followed = False  # whether the end was followed before a token was pointed at
        self._course: tuple[int, int] | None = None  # of up and down: character and column

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

    def on_resize(self) -> None:
        """Tell it; the message is heard once the rows are wrapped to the new width."""
        self.post_message(self.Resized())

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

    # --- pointing -----------------------------------------------------------------------------

    def point(self, token: int | None) -> None:
        """Put the cursor on a token (the nearest that exists), or with None remove it."""
        if token is not None:
            if not self.tokens:
                return
            token = max(0, min(token, self.tokens - 1))
        self.draw_tokens(self.cursor, self.echo, token)
        self.cursor, self.echo, self._course = token, None, None
        self._look_at(token)
        self._tell(self.Pointed(self, token))

    def _tell(self, message: Message) -> None:
        # As its sender: Textual passes no message on to a parent in whose turn it was made.
        self.post_message(message.set_sender(self))

    def set_echo(self, token: int | None) -> None:
        """Mark the token at which another pane's cursor is, and scroll it into view."""
        if token is not None and token >= self.tokens:
            token = None
        if token != self.echo:
            self.draw_tokens(self.echo, token)
            self.echo = token
            self._look_at(token)

    def _look_at(self, token: int | None) -> None:
        """Keep a token in view while text arrives; with None follow the end again."""
        if token is not None:
            self._followed = self._followed or self.view.follows
            if token < len(self.buffer) and self.view.reveal(self._seen_at(token)):
                self.draw_all()
            self.view.follows = False
            return
        if self._followed and self._stream is not None and self._stream.finish_reason is None:
            self.view.to_end()
            self.draw_all()
        self.view.follows, self._followed = self.view.at_end, False

    def align(self, token: int | None) -> None:
        """Scroll with another pane: to the row of a token, or (None) to the end."""
        self._followed = False
        if token is None:
            self.view.to_end()
        elif len(self.buffer):
            self.view.align(self._seen_at(min(token, len(self.buffer) - 1)))
        self.draw_all()

    def token_under(self, x: int, y: int) -> int | None:
        """The token at a cell of the view."""
        if found := self.view.row(y):
            line, row = found
            for first, _, width in clusters(row.text[: row.shown]):
                x -= width
                if x < 0:
                    token = self.buffer.token_at(self.buffer.lines[line].start + row.start + first)
                    return token if token < self.tokens else None
        return None

    # --- keys ---------------------------------------------------------------------------------

    def action_token(self, count: int) -> None:
        """Move the cursor by tokens; at first it appears at the fork or at the top of the view."""
        fork = self._standing.first_divergent_token
        if self.cursor is not None:
            self.point(self.cursor + count)
        else:
            self.point(self.buffer.token_at(self.view.offset) if fork is None else fork)

    def action_rows(self, count: int) -> None:
        """Scroll by rows; with a cursor, move it to the row above or below."""
        if self.cursor is None:
            self._scroll(count)
        else:
            here = self._seen_at(self.cursor)
            at, column = self._course or (here, self.view.column(here))
            at = self.view.beside(at, count, column)
            self.point(self.buffer.token_at(at))
            self._course = at, column

    def action_pages(self, count: int) -> None:
        """Scroll by views, with one row of overlap."""
        self._scroll(count * max(1, self.size.height - 1))

    def action_start(self) -> None:
        self.view.to_start()
        self._scrolled()
        self._followed = False
        if self.cursor is not None:
            self.point(0)

    def action_end(self) -> None:
        if self.cursor is not None:
            self.point(self.tokens - 1)
        self.view.to_end()
        self._scrolled()

    def action_choose(self) -> None:
        self.post_message(self.Chosen(self))

    def _scroll(self, rows: int) -> bool:
        if not self.view.scroll(rows):
            return False
        self._scrolled()
        self._followed = False
        return True

    def _scrolled(self) -> None:
        self.draw_all()
        top = None if self.view.follows else self.buffer.token_at(self.view.offset)
        self._tell(self.Scrolled(self, top))

    # --- mouse --------------------------------------------------------------------------------

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        self._wheel(event, -_WHEEL_ROWS)

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        self._wheel(event, _WHEEL_ROWS)

    def _wheel(self, event: MouseScrollUp | MouseScrollDown, rows: int) -> None:
        if self._scroll(rows):  # else the grid scrolls
            event.stop()
            event.prevent_default()

    def on_mouse_move(self, event: MouseMove) -> None:
        self._hover(self.token_under(event.x, event.y))

    def on_leave(self, event: Leave) -> None:
        self._hover(None)

    def _hover(self, token: int | None) -> None:
        if token != self.hover:
            self.draw_tokens(self.hover, token)
            self.hover = token
            self._tell(self.Pointed(self, token, hover=True))

    def on_click(self, event: Click) -> None:
        """A click points at a token, a double click asks for the fork; a drag selects text.

        In the scroll bar a click on the mark points at the fork, beside the thumb it scrolls.
        """
        if self.text_selection is not None:
            return
        if event.x == self.size.width - 1:
            self._click_bar(event.y)
            return
        token = self.token_under(event.x, event.y)
        if event.chain == 2:
            event.prevent_default()  # Textual would select the whole text
            self.action_choose()
        elif token is not None:
            self.point(token)

    def _click_bar(self, y: int) -> None:
        thumb, mark = self._bar
        if y == mark:
            self.point(self._standing.first_divergent_token)
        elif thumb and y not in thumb:
            self.action_pages(-1 if y < thumb.start else 1)


def _quiet(standing: Standing) -> int:
    """The number of leading tokens that are drawn dim: those that equal the reference's."""
    return standing.tokens or 0
