"""The rows of a token buffer on Textual's line API: drawing and selecting, nothing else."""

from __future__ import annotations

from functools import lru_cache
from typing import Self

from rich.segment import Segment
from textual.geometry import Region
from textual.selection import Selection
from textual.strip import Strip
from textual.style import Style
from textual.widget import Widget

from gelu_tui.tui.text_view.pieces import FORK_MARK
from gelu_tui.tui.text_view.row_style import Run, overlaid, segments, token_runs
from gelu_tui.tui.text_view.search import Finder
from gelu_tui.tui.text_view.styles import token_styles
from gelu_tui.tui.text_view.token_buffer import TokenBuffer
from gelu_tui.tui.text_view.viewport import Viewport
from gelu_tui.tui.text_view.wrapping import Row

_STRIPS = 512  # rows kept ready to be drawn: several screens

# What a row's look depends on besides its text.
_State = tuple[object, ...]


class TokenRows(Widget):
    """Shows the rows of `buffer` that are in `view`, and a scroll bar in the last column.

    While not all is in view, the bar shows where the character `marked` is.

    It draws its lines itself, without Textual's cache of widget styles: with eight panes that
    cache costs more than the rows. So it has neither border nor padding.
    """

    cursor: int | None = None
    echo: int | None = None  # where the cursor of another pane is
    hover: int | None = None
    marked: int | None = None  # the character whose place is marked in the scroll bar
    _bar: tuple[range, int | None] = (range(0), None)  # the rows of the thumb, and of the mark

    def __init__(self) -> None:
        super().__init__()
        self._drawn: dict[int, Strip] = {}  # by row of the view, until it is refreshed
        # By row and state, so that it outlives appending, scrolling and the focus.
        self._strips = lru_cache(_STRIPS)(self._strip)
        self._set_buffer(TokenBuffer())

    def _set_buffer(self, buffer: TokenBuffer, query: str = "") -> None:
        self.buffer = buffer
        self.view = Viewport(buffer)
        self.finder = Finder(buffer, query)
        self.cursor = self.echo = self.hover = None
        self._measure()
        self._strips.cache_clear()
        self.draw_all()

    def token_style(self, token: int) -> Style:
        """The style of a token that nothing points at."""
        return self.visual_style

    def token_state(self, start: int, end: int) -> _State:
        """Everything that `token_style` depends on for the tokens between two offsets."""
        return ()

    # --- size and theme -----------------------------------------------------------------------

    def _measure(self) -> None:
        width, height = self.size
        self._width = max(0, width - 1)  # of the text: the last column is the bar's
        self.view.resize(max(1, self._width), height)

    def on_resize(self) -> None:
        """Wrap the rows in view to the new width, and keep the cursor in view."""
        places = [self._seen_at(token) for token in (self.echo, self.cursor) if token is not None]
        shown = [place for place in places if 0 <= self.view.y_of(place) < self.view.height]
        self._measure()
        for place in shown:
            self.view.reveal(place)
        self.draw_all()

    def _seen_at(self, token: int) -> int:
        """The first character of a token in its last row: the blank before it may hang above."""
        first, last = self.buffer.span(token)
        return max(first, self.view.row_start(max(first, last - 1)))

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._drawn.clear()

    # --- drawing ------------------------------------------------------------------------------

    def draw_from(self, offset: int) -> None:
        """Draw the rows from a character on, and the bar if it moved."""
        width, height = self.size
        bar = self._bar_now()
        if bar != self._bar:
            self._bar = bar
            self.refresh(Region(width - 1, 0, 1, height))
        first = max(0, self.view.y_of(offset))
        if first < height:
            self.refresh(Region(0, first, width, height - first))

    def draw_all(self) -> None:
        self._bar = self._bar_now()
        self.refresh()

    def _bar_now(self) -> tuple[range, int | None]:
        thumb = self.view.bar()
        if self.marked is None or not thumb:
            return thumb, None
        return thumb, self.view.bar_row(self.marked)

    def draw_tokens(self, *tokens: int | None) -> None:
        """Draw the rows of single tokens."""
        for token in tokens:
            if token is not None and token < len(self.buffer):
                first, last = self.buffer.span(token)
                top, bottom = self.view.y_of(first), self.view.y_of(max(first, last - 1))
                top, bottom = max(0, top), min(self.size.height - 1, bottom)
                if top <= bottom:
                    self.refresh(Region(0, top, self.size.width, bottom - top + 1))

    def refresh(
        self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False
    ) -> Self:
        if regions:
            for region in regions:
                for y in region.line_range:
                    self._drawn.pop(y, None)
        else:
            self._drawn.clear()
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)

    def render_lines(self, crop: Region) -> list[Strip]:
        """The lines of a region, filtered as Textual would.

        Textual asks every widget for its lines when anything on the screen changes: those that
        have not changed are kept.
        """
        if not self.is_attached:  # removed, and a frame is still under way
            return [Strip.blank(crop.width)] * crop.height
        drawn = self._drawn
        if missing := [y for y in crop.line_range if y not in drawn]:
            background = self.background_colors[1]
            filters = self.get_line_filters()
            for y in missing:
                strip = self.render_line(y)
                for line_filter in filters:
                    strip = strip.apply_filter(line_filter, background)
                drawn[y] = strip
        if crop.x == 0 and crop.width == self._width + 1:
            return [drawn[y] for y in crop.line_range]
        return [drawn[y].crop(crop.x, crop.right) for y in crop.line_range]

    def render_line(self, y: int) -> Strip:
        """One row of the view."""
        width = self._width
        found = self.view.row(y)
        thumb, mark = self._bar
        bar = FORK_MARK if y == mark else "▐" if y in thumb else " "
        if found is None:
            return self._strips(-1, None, width, (bar, self.app.theme, self.has_focus))
        line, row = found
        start = self.buffer.lines[line].start + row.start
        end = start + len(row.text)
        selection = self.text_selection
        state = (
            bar,
            None if selection is None else selection.get_span(line),
            self.buffer.epoch,
            # A line break follows the last character of its row.
            *(place for place in self._pointed() if place[0] <= end and place[1] > start),
            self.app.theme,
            self.has_focus,
            self.finder.query and tuple(self.finder.between(start, end)),
            self.token_state(start, end),
        )
        return self._strips(line, row, width, state)

    def _strip(self, line: int, row: Row | None, width: int, state: _State) -> Strip:
        base = self.visual_style.rich_style
        name = "bar-focus" if self.has_focus else "bar"
        name = "forked" if state[0] == FORK_MARK else name
        bar = Segment(str(state[0]), (self.visual_style + self.style_of(name)).rich_style)
        if row is None:
            return Strip([Segment(" " * width, base), bar], width + 1)
        line_start = self.buffer.lines[line].start
        start = line_start + row.start
        end = start + row.shown
        hangs = self._hanging(line, row)
        runs = token_runs(self.buffer, start, hangs, self.token_style)
        if hangs < end:
            runs.append((hangs, end, self.visual_style))
        runs = overlaid(runs, self._overlays(line, start, end, state[1]))
        text = segments(row, line, line_start, runs) + self._line_break(line, row)
        return Strip([*Strip(text).adjust_cell_length(width, base), bar], width + 1)

    def _hanging(self, line: int, row: Row) -> int:
        """Where the blank begins whose word is in the next row, else the end of the row.

        It is drawn without its token's style: that would be a block of colour without text.
        """
        here = self.buffer.lines[line]
        start = here.start + row.start
        beyond = start + len(row.text)
        if start < beyond < here.start + here.length:
            first, last = self.buffer.span(self.buffer.token_at(beyond - 1))
            if first > start and last > beyond and not row.text[first - start :].strip(" "):
                return min(first, start + row.shown)
        return start + row.shown

    def _line_break(self, line: int, row: Row) -> list[Segment]:
        """A glyph for the line break after a row, or for the end, while something points at it."""
        here = self.buffer.lines[line]
        at = here.start + row.start + len(row.text)
        if row.start + len(row.text) < here.length:
            return []
        names = [name for first, last, name in self._pointed() if first <= at < last]
        if not names:
            return []
        glyph = "↵" if at < self.buffer.length else " "
        return [Segment(glyph, (self.visual_style + self.style_of(names[-1])).rich_style)]

    def _overlays(self, line: int, start: int, end: int, selected: object) -> list[Run]:
        match = self.style_of("match")
        found = [(*span, match) for span in self.finder.between(start, end)]
        found += [(first, last, self.style_of(name)) for first, last, name in self._pointed()]
        if isinstance(selected, tuple):
            at = self.buffer.lines[line].start
            first, last = selected
            style = self.screen.get_visual_style("screen--selection")
            found.append((at + first, end if last == -1 else at + last, style))
        return found

    def _pointed(self) -> list[tuple[int, int, str]]:
        """The characters of the tokens pointed at, each with the name of its style; last wins.

        Of a token without text it is the character after it.
        """
        found = []
        for token, name in ((self.hover, "hover"), (self.echo, "echo"), (self.cursor, "cursor")):
            if token is not None and token < len(self.buffer):
                first, last = self.buffer.span(token)
                found.append((first, max(last, first + 1), name))
        return found

    def style_of(self, name: str) -> Style:
        """A style to be put on top of the pane's own."""
        return token_styles(self.app)[name]

    # --- selecting ----------------------------------------------------------------------------

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The selected text, without the breaks that wrapping made and without marks."""
        spans = ((line, selection.get_span(line)) for line in range(len(self.buffer.lines)))
        chosen = (
            self.buffer.without_marks(line, span[0], None if span[1] == -1 else span[1])
            for line, span in spans
            if span is not None
        )
        return "\n".join(chosen), "\n"
