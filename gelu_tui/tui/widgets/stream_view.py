"""The text of one stream: wrapped, scrolled, following its tail until the user scrolls up."""

from __future__ import annotations

from typing import ClassVar

from textual.content import Content
from textual.events import Resize
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip
from textual.style import Style

from gelu_tui.tui.stream_text import StreamStyles


class StreamView(ScrollView, can_focus=True):
    """Shows one `Content`; drawn line by line, so that a longer text needs no new layout."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "stream--shared",
        "stream--fork",
        "stream--error",
    }

    DEFAULT_CSS = """
    StreamView {
        height: 1fr;
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-gutter: stable;
        .stream--shared { text-style: dim; }
        .stream--fork { color: $background; background: $warning; text-style: bold; }
        .stream--error { color: $text-error; text-style: bold; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._content = Content()
        self._lines: list[Content] = []
        self._follow = True

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

    def show(self, content: Content) -> None:
        """Replace the text; the tail stays in view unless the user has scrolled up."""
        self._content = content
        self._wrap()

    def restart(self) -> None:
        """Begin an empty text and follow it."""
        self._follow = True
        self.show(Content())

    def _wrap(self) -> None:
        width = self.scrollable_content_region.width
        self._lines = self._content.wrap(width) if width > 0 and self._content else []
        follow = self._follow
        self.virtual_size = Size(width, len(self._lines))
        if follow:
            # Forced, because the scroll bar appears only with the next layout.
            self.scroll_end(animate=False, immediate=True, x_axis=False, force=True)
        self._follow = follow
        self.refresh()

    def on_resize(self, event: Resize) -> None:
        """Wrap to the new width."""
        self._wrap()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Follow the tail again once the user is back at the end."""
        super().watch_scroll_y(old_value, new_value)
        self._follow = self.is_vertical_scroll_end

    def render_line(self, y: int) -> Strip:
        """One row of the visible part."""
        base = self.visual_style
        width = self.size.width
        row = self.scroll_offset.y + y
        if row >= len(self._lines):
            return Strip.blank(width, base.rich_style)
        line = self._lines[row]
        selection = self.text_selection
        if selection is not None and (span := selection.get_span(row)) is not None:
            start, end = span
            highlight = self.screen.get_visual_style("screen--selection")
            line = line.stylize(highlight, start, None if end == -1 else end)
        strip = Strip(line.render_segments(base), line.cell_length)
        return strip.adjust_cell_length(width, base.rich_style).apply_offsets(0, row)

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The selected text, wrapped as it is on the screen."""
        return selection.extract("\n".join(line.plain for line in self._lines)), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        """Redraw with the selection."""
        self.refresh()
