"""The table of models, with a cursor that stays on its model."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len
from textual import events
from textual.binding import Binding
from textual.content import Content
from textual.widgets import DataTable

from gelu_tui.core import protocol as p
from gelu_tui.core.models.memory import Memory
from gelu_tui.tui.models.rows import GAP, NAME, STATUS, Listed, cells, columns, names, status


class ModelTable(DataTable[Content]):
    """The models, with their keys. A click highlights, a double click loads."""

    BINDINGS: ClassVar = [
        Binding("enter", "screen.load", "Load the model"),
        Binding("f", "screen.fetch", "Fetch it from the hub, or go on with a fetch"),
        Binding("d", "screen.delete", "Delete it from this machine"),
        Binding("r", "screen.look", "Look at the disk again"),
        Binding("slash", "screen.name", "Another model: a hub id or a folder"),
        Binding("escape", "screen.back", "Back"),
        Binding("home", "scroll_top", "First"),
        Binding("end", "scroll_bottom", "Last"),
    ]

    def __init__(self, id: str) -> None:  # noqa: A002
        super().__init__(cursor_type="row", cell_padding=0, id=id)
        self._models: list[Listed] = []
        self._memory = Memory(0, 0, 0)
        self._current = ""

    async def on_click(self, event: events.Click) -> None:
        """Load on a double click."""
        if event.chain == 2 and event.style.meta.get("row", -1) >= 0:
            await self.run_action("screen.load")

    def on_resize(self) -> None:
        """Other widths, other columns; the cursor stays in view."""
        self.call_after_refresh(self._fill)

    @property
    def chosen(self) -> Listed | None:
        """The model under the cursor."""
        row = self.cursor_row
        return self._models[row] if 0 <= row < len(self._models) else None

    @property
    def ids(self) -> list[str]:
        """Every model's id, in order."""
        return [model.id for model in self._models]

    def show(
        self, models: list[Listed], memory: Memory, current: str, choose: str | None = None
    ) -> None:
        """Show these; the cursor goes to `choose`, or to the first model in that folder."""
        if choose is None and self.chosen is not None:
            choose = self.chosen.id
        self._models, self._memory, self._current = models, memory, current
        row = next((i for i, model in enumerate(models) if model.id == choose), None)
        if row is None:
            inside = (i for i, model in enumerate(models) if model.id.startswith(f"{choose}/"))
            row = next(inside, None)
        self._fill(row)

    def show_progress(self, model_id: str, progress: p.Progress) -> None:
        """Say in its row how far a model's fetch is."""
        for model in self._models:
            if model.id == model_id and model_id in self.rows:
                self.update_cell(model_id, STATUS, status(model, self._memory, progress))

    def _fill(self, row: int | None = None) -> None:
        """Write everything anew, for the width that there is."""
        row = max(0, self.cursor_row) if row is None else row
        width = self.scrollable_content_region.width
        shown = names(self._models, width)
        widths = columns(width, max(map(cell_len, shown), default=0))
        self.clear(columns=True)
        for column, cells_ in widths.items():
            title = "  model" if column == NAME else column
            self.add_column(title, width=cells_ + GAP, key=column)
        for model, name in zip(self._models, shown, strict=True):
            said = cells(model, name, self._memory, loaded=model.id == self._current)
            row_cells = (
                said.get(column, Content("")).truncate(cells_, ellipsis=True)
                for column, cells_ in widths.items()
            )
            self.add_row(*row_cells, key=model.id)
        self.move_cursor(row=row, scroll=True)
