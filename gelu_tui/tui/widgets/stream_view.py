"""The text of one stream: wrapped, scrolled, following its tail until the user scrolls up."""

from __future__ import annotations

from itertools import takewhile
from typing import ClassVar

from textual.binding import Binding
from textual.content import Content
from textual.events import MouseScrollDown, MouseScrollUp, Resize
from textual.geometry import Region
from textual.selection import Selection
from textual.strip import Strip
from textual.style import Style
from textual.widget import Widget

from gelu_tui.tui.stream_text import StreamStyles

_WHEEL_ROWS = 3


class StreamView(Widget, can_focus=True):
    """Shows one `Content`, row by row.

    It scrolls by itself instead of being a `ScrollView`: there every new row is a new layout of
    the screen, and the whole pane is sent to the terminal again. Here a token costs its own row.
    """

    ALLOW_MAXIMIZE = True  # together with its pane: name and counts stay in view
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "stream--shared",
        "stream--fork",
        "stream--error",
        "stream--bar",
    }

    DEFAULT_CSS = """
    StreamView {
        height: 1fr;
        .stream--shared { text-style: dim; }
        .stream--fork { color: auto; background: $warning; text-style: bold; }
        .stream--error { color: $text-error; text-style: bold; }
        .stream--bar { color: $foreground 40%; }
        &:focus .stream--bar { color: $accent; }
    }
    """

    BINDINGS: ClassVar = [
        Binding("up", "scroll_rows(-1)", "Row up", show=False),
        Binding("down", "scroll_rows(1)", "Row down", show=False),
        Binding("pageup", "scroll_pages(-1)", "Page up", show=False),
        Binding("pagedown", "scroll_pages(1)", "Page down", show=False),
        Binding("home", "scroll_to_start", "Start", show=False),
        Binding("end", "scroll_to_end", "End, and follow it", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.top = 0
        self.follows = True
        self.rows: list[Content] = []
        self._text = Content()
        self._paragraphs: list[tuple[Content, list[Content]]] = []  # with the rows of each
        self._wrapped_to = 0
        self._bar = range(0)

    @property
    def allow_select(self) -> bool:
        """Text can be selected with the mouse."""
        return True

    @property
    def stream_styles(self) -> StreamStyles:
        """The styles of the present theme."""
        # Without colour the block is made by the terminal itself, whatever its background.
        fork = Style(bold=True, reverse=True) if self.app.no_color else None
        return StreamStyles(
            shared=self.get_visual_style("stream--shared"),
            fork=fork or self.get_visual_style("stream--fork"),
            error=self.get_visual_style("stream--error"),
        )

    # --- the text -----------------------------------------------------------------------------

    def show(self, text: Content) -> None:
        """Replace the text; only rows that differ are wrapped and drawn again."""
        self._text = text
        self._draw(self._wrap())

    def restart(self) -> None:
        """Begin an empty text and follow it."""
        self.follows = True
        self.show(Content())

    def on_resize(self, event: Resize) -> None:
        """Wrap to the new width."""
        self._wrap()
        self._draw(range(len(self.rows) + self.size.height))

    def _wrap(self) -> range:
        """Bring `rows` up to date; the rows that changed, those that are gone included."""
        width = max(0, self.size.width - 1)  # the last column is the scroll bar's
        if width != self._wrapped_to:
            self._wrapped_to = width
            self._paragraphs.clear()
        if not width:
            return range(0)
        lines = self._text.split(allow_blank=True) if self._text else []
        kept, row = 0, 0
        for line, (wrapped, rows) in zip(lines, self._paragraphs, strict=False):
            if not line.is_same(wrapped):
                break
            kept, row = kept + 1, row + len(rows)
        before = self.rows[row:]
        del self._paragraphs[kept:]
        del self.rows[row:]
        for line in lines[kept:]:
            rows = line.wrap(width)
            self._paragraphs.append((line, rows))
            self.rows.extend(rows)
        pairs = zip(before, self.rows[row:], strict=False)
        same = sum(1 for _ in takewhile(lambda pair: pair[0].is_same(pair[1]), pairs))
        return range(row + same, max(row + len(before), len(self.rows)))

    def _draw(self, changed: range) -> None:
        """Follow the tail, and draw what differs."""
        top = self._end if self.follows else min(self.top, self._end)
        width, height = self.size
        bar = self._bar_at(top)
        if top != self.top:
            self.top = top
            self.refresh()
        else:
            if bar != self._bar:
                self.refresh(Region(width - 1, 0, 1, height))
            first, last = max(0, changed.start - top), min(height, changed.stop - top)
            if first < last:
                self.refresh(Region(0, first, width, last - first))
        self._bar = bar

    def _bar_at(self, top: int) -> range:
        """The rows of the view that the scroll bar's thumb covers; none if all text is in view."""
        height, rows = self.size.height, len(self.rows)
        if rows <= height:
            return range(0)
        length = max(1, height * height // rows)
        start = round((height - length) * top / self._end)
        return range(start, start + length)

    # --- scrolling ----------------------------------------------------------------------------

    @property
    def _end(self) -> int:
        return max(0, len(self.rows) - self.size.height)

    @property
    def is_at_end(self) -> bool:
        """Whether the last row is in view."""
        return self.top >= self._end

    def scroll_to_row(self, row: int) -> None:
        """Bring `row` to the top, as far as there is text; at the end it is followed again."""
        self.top = max(0, min(row, self._end))
        self.follows = self.is_at_end
        self._bar = self._bar_at(self.top)
        self.refresh()

    def action_scroll_rows(self, count: int) -> None:
        """Scroll by rows."""
        self.scroll_to_row(self.top + count)

    def action_scroll_pages(self, count: int) -> None:
        """Scroll by views, with one row of overlap."""
        self.scroll_to_row(self.top + count * max(1, self.size.height - 1))

    def action_scroll_to_start(self) -> None:
        """Show the first row."""
        self.scroll_to_row(0)

    def action_scroll_to_end(self) -> None:
        """Show the last row and follow it."""
        self.scroll_to_row(self._end)

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """The wheel; where there is nothing to scroll it is left to the grid."""
        self._wheel(event, -_WHEEL_ROWS)

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """The wheel; where there is nothing to scroll it is left to the grid."""
        self._wheel(event, _WHEEL_ROWS)

    def _wheel(self, event: MouseScrollUp | MouseScrollDown, rows: int) -> None:
        before = self.top
        self.scroll_to_row(self.top + rows)
        if self.top != before:
            event.stop()
            event.prevent_default()

    # --- drawing ------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        """One row of the visible part."""
        base = self.visual_style
        width = max(0, self.size.width - 1)
        row = self.top + y
        line = self.rows[row] if row < len(self.rows) else Content()
        selection = self.text_selection
        if selection is not None and (span := selection.get_span(row)) is not None:
            start, end = span
            highlight = self.screen.get_visual_style("screen--selection")
            line = line.stylize(highlight, start, None if end == -1 else end)
        strip = Strip(line.render_segments(base), line.cell_length)
        strip = strip.adjust_cell_length(width, base.rich_style).apply_offsets(0, row)
        bar = Content.styled("▐" if y in self._bar else " ", self.get_visual_style("stream--bar"))
        return Strip.join([strip, Strip(bar.render_segments(base), 1)])

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The selected text, wrapped as it is on the screen."""
        return selection.extract("\n".join(row.plain for row in self.rows)), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        """Redraw with the selection."""
        self.refresh()
