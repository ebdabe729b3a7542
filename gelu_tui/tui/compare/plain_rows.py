"""A few rows of numbers that change all the time, drawn without Textual's layout of text."""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from textual.strip import Strip
from textual.widget import Widget

from gelu_tui.tui.text_view.styles import token_styles
from gelu_tui.tui.widgets.kept_lines import KeptLines

Part = tuple[str, str]  # text, and its style by name or ""


class PlainRows(KeptLines, Widget):
    """Rows that are already cut to the widget's width, of parts that are safe to show."""

    _parts: Sequence[Sequence[Part]] = ()

    def write(self, rows: Sequence[Sequence[Part]]) -> None:
        """Draw other rows."""
        if rows != self._parts:
            self._parts = rows
            self.refresh()

    def render_line(self, y: int) -> Strip:
        base, styles = self.visual_style, token_styles(self.app)
        row = [
            Segment(text, (base + styles[name] if name else base).rich_style)
            for text, name in (self._parts[y] if y < len(self._parts) else ())
            if text
        ]
        return Strip(row).adjust_cell_length(self.content_size.width, base.rich_style)
