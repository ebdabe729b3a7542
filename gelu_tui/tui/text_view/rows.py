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

from gelu_tui.tui.text_view.row_style import Overlay, overlaid, segments, token_runs
from gelu_tui.tui.text_view.search import Finder
from gelu_tui.tui.text_view.styles import token_styles
from gelu_tui.tui.text_view.token_buffer import TokenBuffer
from gelu_tui.tui.text_view.viewport import Viewport
from gelu_tui.tui.text_view.wrapping import Row

_STRIPS = 512  # rows kept ready to be drawn: several screens

# What a row's look depends on besides its text.
_State = tuple[object, ...]


class TokenRows(Widget):
    """Shows what `view` has in view of `buffer`, and a scroll bar in the last column.

    It draws its lines itself, without Textual's cache of widget styles: with eight panes that
    cache costs more than the rows. So it has neither border nor padding.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cursor: int | None = None
        self.echo: int | None = None  # where the cursor of another pane is
        self.hover: int | None = None
        self._bar = range(0)
        self._width = 0
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
        self.refresh()

    def token_style(self, token: int) -> Style:
        """How a token looks, without what points at it."""
        return self.visual_style

    def token_state(self, start: int, end: int) -> _State:
        """What `token_style` of the tokens between two offsets depends on."""
        return ()

    # --- size and theme -----------------------------------------------------------------------

    def _measure(self) -> None:
        width, height = self.size
        self._width = max(0, width - 1)  # of the text: the last column is the bar's
        self._drawn.clear()
        self.view.resize(max(1, self._width), height)
        self._bar = self.view.bar()

    def on_resize(self) -> None:
        """Wrap what is in view to the new width; the rest when it comes into view.

        A notice that takes two rows for a while does not push the cursor out of view.
        """
        places = [self._seen_at(token) for token in (self.echo, self.cursor) if token is not None]
        shown = [place for place in places if 0 <= self.view.y_of(place) < self.view.height]
        self._measure()
        for place in shown:
            self.view.reveal(place)
        self._bar = self.view.bar()
        self.refresh()

    def _seen_at(self, token: int) -> int:
        """The first character of a token in its last row: a blank before may hang on the last."""
        first, last = self.buffer.span(token)
        return max(first, self.view.row_start(max(first, last - 1)))

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._drawn.clear()

    # --- drawing ------------------------------------------------------------------------------

    def draw_from(self, offset: int) -> None:
        """Draw the rows from a character on, and the bar if it moved."""
        width, height = self.size
        bar = self.view.bar()
        if bar != self._bar:
            self._bar = bar
            self.refresh(Region(width - 1, 0, 1, height))
        first = max(0, self.view.y_of(offset))
        if first < height:
            self.refresh(Region(0, first, width, height - first))

    def draw_all(self) -> None:
        self._bar = self.view.bar()
        self.refresh()

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

        Whatever has changed on the screen, Textual asks every widget for its lines: those that
        have not changed stand ready.
        """
        if not self.is_attached:  # removed, and a frame is still under way
            return [Strip.blank(crop.width)] * crop.height
        drawn = self._drawn
        missing = [y for y in crop.line_range if y not in drawn]
        if missing:
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
        bar = "▐" if y in self._bar else " "
        if found is None:
            return self._strips(-1, None, width, (bar, self.app.theme, self.has_focus))
        line, row = found
        start = self.buffer.lines[line].start + row.start
        return self._strips(line, row, width, self._state(line, start, start + len(row.text), bar))

    def _state(self, line: int, start: int, end: int, bar: str) -> _State:
        def here(token: int | None) -> int | None:
            if token is None or token >= len(self.buffer):
                return None
            first, last = self._pointed_span(token)
            # A line break stands after the last character of its row.
            return token if first <= end and last > start else None

        selection = self.text_selection
        return (
            bar,
            None if selection is None else selection.get_span(line),
            self.buffer.epoch,
            here(self.cursor),
            here(self.echo),
            here(self.hover),
            self.app.theme,
            self.has_focus,
            self.finder.query and tuple(self.finder.between(start, end)),
            self.token_state(start, end),
        )

    def _strip(self, line: int, row: Row | None, width: int, state: _State) -> Strip:
        base = self.visual_style.rich_style
        bar = Segment(
            str(state[0]),
            (
                self.visual_style + self.style_of("bar-focus" if self.has_focus else "bar")
            ).rich_style,
        )
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
        """Where the blank begins whose word stands in the next row, else the end of the row.

        It does not look like its token: there it would be a block of colour without a text.
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
        for token, name in ((self.cursor, "cursor"), (self.echo, "echo"), (self.hover, "hover")):
            if token is not None and token < len(self.buffer):
                first, last = self._pointed_span(token)
                if first <= at < last:
                    glyph = "↵" if at < self.buffer.length else " "
                    return [Segment(glyph, (self.visual_style + self.style_of(name)).rich_style)]
        return []

    def _overlays(self, line: int, start: int, end: int, selected: object) -> list[Overlay]:
        match = self.style_of("match")
        found = [Overlay(*span, match) for span in self.finder.between(start, end)]
        for token, name in ((self.hover, "hover"), (self.echo, "echo"), (self.cursor, "cursor")):
            if token is not None and token < len(self.buffer):
                found.append(Overlay(*self._pointed_span(token), self.style_of(name)))
        if isinstance(selected, tuple):
            at = self.buffer.lines[line].start
            first, last = selected
            style = self.screen.get_visual_style("screen--selection")
            found.append(Overlay(at + first, end if last == -1 else at + last, style))
        return found

    def _pointed_span(self, token: int) -> tuple[int, int]:
        """The characters that show where a token is: of one without text, what comes after it."""
        first, last = self.buffer.span(token)
        return first, max(last, first + 1)

    def style_of(self, name: str) -> Style:
        """A style to be laid on top of the pane's own."""
        return token_styles(self.app)[name]

    # --- selecting ----------------------------------------------------------------------------

    @property
    def allow_select(self) -> bool:
        return True

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The selected text, without the breaks that wrapping made and without marks."""
        chosen = []
        for index in range(len(self.buffer.lines)):
            span = selection.get_span(index)
            if span is not None:
                start, end = span
                chosen.append(self.buffer.without_marks(index, start, None if end == -1 else end))
        return "\n".join(chosen), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        self.refresh()
