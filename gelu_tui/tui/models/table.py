"""The table of models, with a cursor that stays on its model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

from textual.binding import Binding
from textual.content import Content

from gelu_tui.core import protocol as p
from gelu_tui.core.models.memory import Memory
from gelu_tui.tui.models.rows import GAP, STATUS, Listed, cells, columns, status
from gelu_tui.tui.widgets.list_table import ListTable


class ModelTable(ListTable[Listed]):
    """The models, with their keys."""

    BINDINGS: ClassVar = [
        Binding("enter", "screen.load", "Load the model"),
        Binding("f", "screen.fetch", "Fetch it from the hub, or go on with a fetch"),
        Binding("d", "screen.delete", "Delete it from this machine"),
        Binding("r", "screen.look", "Look at the disk again"),
        Binding("slash", "screen.name", "Another model: a hub id or a folder"),
        Binding("escape", "screen.back", "Back"),
        *ListTable.MOVING,
    ]

    _memory = Memory(0, 0, 0)
    _current = ""

    @property
    def ids(self) -> list[str]:
        """Every model's id, in order."""
        return [model.id for model in self.items]

    def show(
        self, models: Sequence[Listed], memory: Memory, current: str, choose: str | None = None
    ) -> None:
        """Show these; the cursor goes to `choose`, or to the first model in that folder."""
        if choose is None and self.chosen is not None:
            choose = self.chosen.id
        self.items, self._memory, self._current = models, memory, current
        inside = (id_ for id_ in self.ids if id_.startswith(f"{choose}/"))
        found = choose if choose in self.ids else next(inside, None)
        self.fill(None if found is None else self.ids.index(found))

    def show_progress(self, model_id: str, progress: p.Progress) -> None:
        """Show in its row how far a model's fetch is."""
        for model in self.items:
            if model.id == model_id and model_id in self.rows:
                self.update_cell(model_id, STATUS, status(model, self._memory, progress))

    def fitting(self, width: int) -> Mapping[str, int]:
        return columns(self.items, width)

    def cells(self, item: Listed, widths: Mapping[str, int]) -> Iterator[Content]:
        table_width = self.scrollable_content_region.width
        shown = cells(item, table_width, self._memory, loaded=item.id == self._current)
        for column, width in widths.items():
            yield shown.get(column, Content("")).truncate(width - GAP, ellipsis=True)
