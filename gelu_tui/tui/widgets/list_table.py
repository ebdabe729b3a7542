"""A table whose columns fit the width of the terminal, with an item for each row."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, Generic, Protocol, TypeVar

from textual import events
from textual.binding import Binding
from textual.content import Content
from textual.widgets import DataTable


class HasId(Protocol):
    """An item of a table, with the key of its row."""

    @property
    def id(self) -> str | int: ...


Item = TypeVar("Item", bound=HasId)


class ListTable(DataTable[Content], Generic[Item]):
    """A row for each item. A click highlights, a double click does what Enter does."""

    MOVING: ClassVar = (
        Binding("home", "scroll_top", "First"),
        Binding("end", "scroll_bottom", "Last"),
    )

    def __init__(self, id: str) -> None:  # noqa: A002
        super().__init__(cursor_type="row", cell_padding=0, id=id)
        self.items: Sequence[Item] = ()
        self._widths: Mapping[str, int] = {}

    @abstractmethod
    def fitting(self, width: int) -> Mapping[str, int]:
        """Return the columns that fit into `width` cells: title, which is the key, and width."""

    @abstractmethod
    def cells(self, item: Item, widths: Mapping[str, int]) -> Iterable[Content]:
        """Return what each column shows of an item."""

    def heading(self, title: str, width: int) -> str:
        """Return what stands above a column: its title."""
        return title

    @property
    def chosen(self) -> Item | None:
        """The item under the cursor."""
        row = self.cursor_row
        return self.items[row] if 0 <= row < len(self.items) else None

    def fill(self, row: int | None = None) -> None:
        """Rebuild the table for its width, with the cursor on `row`, by default where it was."""
        row = self.cursor_row if row is None else row
        self._widths = self.fitting(self.scrollable_content_region.width)
        self.clear(columns=True)
        for title, width in self._widths.items():
            self.add_column(self.heading(title, width), width=width, key=title)
        for item in self.items:
            self.add_row(*self.cells(item, self._widths), key=str(item.id))
        self.move_cursor(row=max(0, row), scroll=True)

    def on_click(self, event: events.Click) -> None:
        if event.chain == 2 and event.style.meta.get("row", -1) >= 0:
            self.app.simulate_key("enter")

    def on_resize(self) -> None:
        self.call_after_refresh(self._fit)

    def _fit(self) -> None:
        if self.fitting(self.scrollable_content_region.width) != self._widths:
            self.fill()
        else:
            self.move_cursor(row=self.cursor_row, scroll=True)
