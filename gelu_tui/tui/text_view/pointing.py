"""Rows of tokens that are scrolled and pointed at, by keys and mouse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual.binding import Binding
from textual.events import Click, Leave, MouseMove, MouseScrollDown, MouseScrollUp
from textual.message import Message

from gelu_tui.tui.text_view.rows import TokenRows
from gelu_tui.tui.text_view.wrapping import clusters

_WHEEL_ROWS = 3


class PointedRows(TokenRows, can_focus=True):
    """Token rows with a cursor on a token.

    A subclass says where the cursor appears at first (`first_pointed`), and whether more tokens are
    to come (`is_growing`): then the end is followed again once nothing is pointed at.

    It is no `ScrollView`: there every new row is a new layout of the screen, and the whole widget
    is sent to the terminal again. Here a token costs its own row.
    """

    BINDINGS: ClassVar = [
        Binding("up", "rows(-1)", "Row up", show=False),
        Binding("down", "rows(1)", "Row down", show=False),
        Binding("pageup", "pages(-1)", "Page up", show=False),
        Binding("pagedown,space", "pages(1)", "Page down", show=False),
        Binding("left", "token(-1)", "Token back", show=False),
        Binding("right", "token(1)", "Token on", show=False),
        Binding("home", "start", "Start", show=False),
        Binding("end", "end", "End, and follow it", show=False),
    ]

    @dataclass
    class Pointed(Message):
        """The cursor moved to `token`, or was removed (None); `hover` if it is the mouse's."""

        pane: PointedRows
        token: int | None
        hover: bool = False

    @dataclass
    class Scrolled(Message):
        """The user scrolled; `token` is the first in view, None while the end is followed."""

        pane: PointedRows
        token: int | None

    @dataclass
    class Chosen(Message):
        """The user asks for more about the pane, or its token."""

        pane: PointedRows

    class Resized(Message):
        """Other rows are in view, at another size."""

    tokens = 0  # their number; the buffer may hold more

    @property
    def is_growing(self) -> bool:
        """Whether more tokens are to come."""
        return False

    def __init__(self) -> None:
        super().__init__()
        self._followed = False  # whether the end was followed before a token was pointed at
        self._course: tuple[int, int] | None = None  # of up and down: character and column

    @property
    def first_pointed(self) -> int | None:
        """Where the cursor appears at first; None: at the top of the view."""
        return None

    def on_resize(self) -> None:
        """Tell it; the message is heard once the rows are wrapped to the new width."""
        self.post_message(self.Resized())

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
        if self._followed and self.is_growing:
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
        """Move the cursor by tokens; at first it appears where `first_pointed` says."""
        first = self.first_pointed
        if self.cursor is not None:
            self.point(self.cursor + count)
        else:
            self.point(self.buffer.token_at(self.view.offset) if first is None else first)

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
        """A click points at a token, a double click asks for more; a drag selects text.

        In the scroll bar a click on the mark points at what is first pointed at, beside the thumb
        it scrolls.
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
            self.point(self.first_pointed)
        elif thumb and y not in thumb:
            self.action_pages(-1 if y < thumb.start else 1)
