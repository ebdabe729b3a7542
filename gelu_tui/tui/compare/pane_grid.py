"""Up to eight panes: side by side, as a grid, or one at a time under a row of tabs."""

from __future__ import annotations

from math import ceil

from textual.app import ComposeResult
from textual.containers import Grid, Vertical
from textual.events import DescendantFocus, Resize

from gelu_tui.tui.compare.layout import LAYOUTS, MIN_PANE_ROWS, Arrangement, Layout, arrangement
from gelu_tui.tui.compare.stream_pane import StreamPane
from gelu_tui.tui.compare.tab_row import TabRow
from gelu_tui.tui.widgets.kept_lines import KeptLines

_ROWS_BELOW = 2  # status line and keys


class Cells(KeptLines, Grid):
    """Where the panes are."""


class PaneGrid(KeptLines, Vertical):
    """Holds the panes and arranges them; `chosen` is the place of the pane that counts."""

    DEFAULT_CSS = """
    PaneGrid {
        height: 1fr;
        TabRow { display: none; }
        Cells {
            height: 1fr;
            overflow-x: hidden;
            overflow-y: auto;
            grid-gutter: 0 1;
        }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self.layout_wanted: Layout = "auto"
        self.chosen = 0
        self._arrangement = Arrangement(1)
        self._grid = Cells()
        self._tabs = TabRow()

    def compose(self) -> ComposeResult:
        """Tabs, where they are needed, and the panes."""
        yield self._tabs
        yield self._grid

    @property
    def panes(self) -> list[StreamPane]:
        """The panes in their order."""
        return list(self._grid.query_children(StreamPane))

    @property
    def chosen_pane(self) -> StreamPane | None:
        """The pane that has, or last had, the focus."""
        panes = self.panes
        return panes[min(self.chosen, len(panes) - 1)] if panes else None

    async def set_count(self, count: int) -> None:
        """Add or remove panes at the end."""
        panes = self.panes
        for pane in panes[count:]:
            await pane.remove()
        if count > len(panes):
            await self._grid.mount(*(StreamPane() for _ in range(count - len(panes))))
        self.chosen = min(self.chosen, max(0, count - 1))
        self.arrange_panes()

    def next_layout(self) -> Layout:
        """Take the next of the layouts."""
        after = (LAYOUTS.index(self.layout_wanted) + 1) % len(LAYOUTS)
        self.layout_wanted = LAYOUTS[after]
        self.arrange_panes()
        return self.layout_wanted

    def choose(self, place: int, *, focus: bool = True) -> None:
        """Make the pane at a place the one that counts; in tabs, the one in view."""
        if not 0 <= place < len(self.panes):
            return
        self.chosen = place
        self._show_chosen()
        if self.screen.maximized is not None:
            self.screen.maximize(self.panes[place])
        if focus:
            self.panes[place].tokens.focus()

    def move(self, by: int) -> bool:
        """Move the chosen pane; whether there was room to."""
        panes = self.panes
        to = self.chosen + by
        if not 0 <= to < len(panes):
            return False
        if by < 0:
            self._grid.move_child(panes[self.chosen], before=panes[to])
        else:
            self._grid.move_child(panes[self.chosen], after=panes[to])
        self.chosen = to
        for place, pane in enumerate(self.panes):
            pane.number(place)
        self.show_tabs()
        return True

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """The pane that gets the focus is the one that counts."""
        for place, pane in enumerate(self.panes):
            if pane.tokens is event.widget:
                self.chosen = place
                self._show_chosen()

    def on_tab_row_chosen(self, message: TabRow.Chosen) -> None:
        """A tab was clicked."""
        message.stop()
        self.choose(message.index)

    def on_resize(self, event: Resize) -> None:
        """Arrange anew."""
        self.arrange_panes()

    def arrange_panes(self) -> None:
        """Give the panes their places by the room there is."""
        panes = self.panes
        width, height = self.size
        if not panes or not width or not height:
            return
        # A notice takes rows for a moment; the panes do not change places for that.
        height = max(height, self.screen.size.height - self.region.y - _ROWS_BELOW)
        self._arrangement = found = arrangement(len(panes), width, height, self.layout_wanted)
        self._tabs.display = found.tabs
        shown = 1 if found.tabs else len(panes)
        rows = ceil(shown / found.columns)
        self._share_rows(panes, found)
        fits = height // rows >= MIN_PANE_ROWS
        self._grid.styles.grid_rows = "1fr" if fits else str(MIN_PANE_ROWS)
        self._show_chosen()

    def _share_rows(self, panes: list[StreamPane], found: Arrangement) -> None:
        """Let the panes of a last row that is not full share its whole width."""
        columns = found.columns
        last = 0 if found.tabs else len(panes) % columns
        self._grid.styles.grid_size_columns = columns * (last or 1)
        for place, pane in enumerate(panes):
            in_last = place >= len(panes) - last
            pane.styles.column_span = columns if in_last else last or 1

    def _show_chosen(self) -> None:
        for place, pane in enumerate(self.panes):
            pane.display = not self._arrangement.tabs or place == self.chosen
        self.show_tabs()

    def tab_titles(self) -> list[str]:
        """What the tabs say."""
        return [pane.variant_name for pane in self.panes]

    def show_tabs(self) -> None:
        """Bring the tabs up to date."""
        if self._arrangement.tabs:
            self._tabs.show(self.tab_titles(), self.chosen)
