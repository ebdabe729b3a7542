"""Up to eight panes: side by side when there is room, else a grid, scrolled when it must be."""

from __future__ import annotations

from math import ceil

from textual.containers import Grid
from textual.events import Resize

from gelu_tui.tui.layout import MIN_PANE_ROWS, pane_columns
from gelu_tui.tui.widgets.stream_pane import StreamPane


class PaneGrid(Grid):
    """Holds the panes and arranges them."""

    DEFAULT_CSS = """
    PaneGrid {
        height: 1fr;
        overflow-x: hidden;
        overflow-y: auto;
        grid-gutter: 0 1;
    }
    """

    @property
    def panes(self) -> list[StreamPane]:
        """The panes in their order."""
        return list(self.query_children(StreamPane))

    async def set_count(self, count: int) -> None:
        """Add or remove panes at the end."""
        panes = self.panes
        for pane in panes[count:]:
            await pane.remove()
        if count > len(panes):
            await self.mount(*(StreamPane() for _ in range(count - len(panes))))
        self._arrange_panes()

    def on_resize(self, event: Resize) -> None:
        """Arrange anew."""
        self._arrange_panes()

    def _arrange_panes(self) -> None:
        count = len(self.panes)
        width, height = self.container_size
        if not count or not width or not height:
            return
        columns = pane_columns(count, width, height)
        rows = ceil(count / columns)
        self.styles.grid_size_columns = columns
        fits = height // rows >= MIN_PANE_ROWS
        self.styles.grid_rows = "1fr" if fits else str(MIN_PANE_ROWS)
