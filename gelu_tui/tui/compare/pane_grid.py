"""Up to eight panes: side by side, as a grid, or one at a time under a row of tabs."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Sequence
from itertools import accumulate
from math import ceil

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.containers import Grid, Vertical
from textual.content import Content
from textual.events import Click, DescendantFocus
from textual.widgets import Static

from gelu_tui.core.comparison.state import Perspective
from gelu_tui.core.safe_text import visible_line
from gelu_tui.tui.compare.layout import MIN_PANE_ROWS, Arrangement, Layout, arrangement
from gelu_tui.tui.compare.stream_pane import StreamPane
from gelu_tui.tui.text_view.pieces import FORK_MARK
from gelu_tui.tui.widgets.kept_lines import KeptLines

_ROWS_BELOW = 2  # status line and keys


class TabRow(Static):
    """Numbered names, the chosen one reversed; a click on one calls `choose` with its place."""

    def __init__(self, choose: Callable[[int], None]) -> None:
        super().__init__()
        self._choose = choose
        self._ends: list[int] = []
        self._shown: tuple[object, ...] = ()

    def show(self, titles: Sequence[str], chosen: int) -> None:
        """Draw the titles, which must be safe to show; the chosen one is always in view."""
        now = (*titles, chosen, self.size.width)
        if now == self._shown:
            return
        self._shown = now
        texts = [f" {number} {title} " for number, title in enumerate(titles, 1)]
        if sum(map(cell_len, texts)) > self.size.width:
            texts = [text if at == chosen else f" {at + 1} " for at, text in enumerate(texts)]
        self._ends = list(accumulate(map(cell_len, texts)))
        parts = [(text, "bold reverse" * (at == chosen)) for at, text in enumerate(texts)]
        self.update(Content.assemble(*parts), layout=False)

    def on_click(self, event: Click) -> None:
        self._choose(bisect(self._ends, event.x))


class Cells(KeptLines, Grid):
    """Where the panes are."""


class PaneGrid(KeptLines, Vertical):
    """Holds the panes and arranges them; `chosen` is the place of the pane that keys act on."""

    def __init__(self) -> None:
        super().__init__()
        self.layout_wanted: Layout = "auto"
        self.perspective: Perspective | None = None
        self.chosen = 0
        self._arrangement = Arrangement(1)
        self._grid = Cells()
        self._tabs = TabRow(self.action_choose)

    def compose(self) -> ComposeResult:
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
        self.on_resize()

    def action_choose(self, place: int) -> None:
        """Focus the pane at a place, if there is one; in tabs, bring it into view."""
        if not 0 <= place < len(self.panes):
            return
        self.chosen = place
        self._show_chosen()
        if self.screen.maximized is not None:
            self.screen.maximize(self.panes[place])
        self.panes[place].tokens.focus()

    def move(self, by: int) -> bool:
        """Move the chosen pane by one place; return whether there was room to."""
        panes = self.panes
        to = self.chosen + by
        if not 0 <= to < len(panes):
            return False
        first, second = sorted((self.chosen, to))
        self._grid.move_child(panes[first], after=panes[second])
        self.chosen = to
        for place, pane in enumerate(self.panes):
            pane.number(place)
        self.show_tabs()
        return True

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """The pane that gets the focus is the chosen one."""
        for place, pane in enumerate(self.panes):
            if pane.tokens is event.widget:
                self.chosen = place
                self._show_chosen()

    def on_resize(self) -> None:
        """Arrange the panes in the room there is."""
        panes = self.panes
        width, height = self.size
        if not panes or not width or not height:
            return
        # A notice takes rows for a moment; the panes do not change places for that.
        height = max(height, self.screen.size.height - self.region.y - _ROWS_BELOW)
        self._arrangement = found = arrangement(len(panes), width, height, self.layout_wanted)
        self._tabs.display = found.tabs
        rows = 1 if found.tabs else ceil(len(panes) / found.columns)
        fits = height // rows >= MIN_PANE_ROWS
        self._grid.styles.grid_rows = "1fr" if fits else str(MIN_PANE_ROWS)
        # The panes of a last row that is not full share its whole width.
        last = 0 if found.tabs else len(panes) % found.columns
        self._grid.styles.grid_size_columns = found.columns * (last or 1)
        for place, pane in enumerate(panes):
            in_last = place >= len(panes) - last
            pane.styles.column_span = found.columns if in_last else last or 1
        self._show_chosen()

    def _show_chosen(self) -> None:
        for place, pane in enumerate(self.panes):
            pane.display = not self._arrangement.tabs or place == self.chosen
        self.show_tabs()

    def show_tabs(self) -> None:
        """Update the tabs, if there are any: names, and the first divergent token or R."""
        if not self._arrangement.tabs:
            return
        titles = []
        for pane in self.panes:
            mark = ""
            if self.perspective is not None:
                standing = self.perspective.standing(pane.index)
                diverged = f" {FORK_MARK}{standing.short}"
                mark = {"reference": " R", "diverged": diverged}.get(standing.relation, "")
            titles.append(visible_line(pane.variant_name) + mark)
        self._tabs.show(titles, self.chosen)
