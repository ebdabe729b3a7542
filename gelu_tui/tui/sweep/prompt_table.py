"""The prompts of a sweep: a table of any length, of which only what is seen is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, NamedTuple

from rich.cells import cell_len
from rich.segment import Segment
from textual.binding import Binding
from textual.events import Click
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from gelu_tui.core.reports.history_table import cut, cut_start
from gelu_tui.core.safe_text import visible_line
from gelu_tui.tui.sweep.contents import Contents, PromptRow, by_fdt

_GAP = 2
_LEAST_STREAM, _MOST_STREAM, _SHORT_STREAM = 12, 17, 9  # `rounding 103`, `round 103`
_LOOKED_AT = 200  # rows that say how wide a column is
_SHORT = {"formula": "form", "rounding": "round", "unverified": "unver"}
_ID, _CATEGORY = 16, 12
_LEAST_PROMPT = 16


Kind = Literal["model", "id", "category", "stream", "prompt"]


class Column(NamedTuple):
    """A column and its width, without the gap after it; `stream` is the place of a function."""

    kind: Kind
    title: str
    width: int
    stream: int = 0


class PromptTable(ScrollView, can_focus=True):
    """A row for each prompt, with a cursor; the first line is the header.

    `o` orders by number, then by the first divergent token of each function in turn.
    """

    COMPONENT_CLASSES: ClassVar = {
        "prompts--header",
        "prompts--cursor",
        "prompts--place",
        "prompts--failed",
    }
    BINDINGS: ClassVar = [
        Binding("enter", "open", "Open the run, without running it again"),
        Binding("o", "order", "Order by number, or by where each function diverges"),
        Binding("up", "move(-1)", "Up", show=False),
        Binding("down", "move(1)", "Down", show=False),
        Binding("pageup", "page(-1)", "A page up", show=False),
        Binding("pagedown", "page(1)", "A page down", show=False),
        Binding("home", "move(-1000000000)", "First", show=False),
        Binding("end", "move(1000000000)", "Last", show=False),
    ]

    class Opened(Message):
        """The prompt under the cursor is to be opened."""

        def __init__(self, row: PromptRow) -> None:
            super().__init__()
            self.row = row

    def __init__(self, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self.order: int | None = None  # the function by whose FDT the rows are ordered
        self.cursor = 0
        self._contents: Contents | None = None
        self._rows: Sequence[PromptRow] = ()
        self._columns: list[Column] = []

    @property
    def chosen(self) -> PromptRow | None:
        """The row under the cursor."""
        return self._rows[self.cursor] if self.cursor < len(self._rows) else None

    def show(self, contents: Contents, key: tuple[int, int] | None = None) -> None:
        """Show these prompts, with the cursor where it was, or on the prompt with this key."""
        if key is None and self.chosen is not None:
            key = self.chosen.key
        self._contents = contents
        self._arrange(key)

    def _arrange(self, key: tuple[int, int] | None) -> None:
        assert self._contents is not None
        rows = self._contents.rows
        self._rows = rows if self.order is None else by_fdt(rows, self.order)
        places = (place for place, row in enumerate(self._rows) if row.key == key)
        self.cursor = max(0, min(next(places, self.cursor), len(self._rows) - 1))
        self._fit()
        self._follow()

    def _fit(self) -> None:
        self.virtual_size = Size(self.scrollable_content_region.width, len(self._rows) + 1)
        self._columns = self._fitting(self.scrollable_content_region.width)
        self.refresh()

    def on_resize(self) -> None:
        if self._contents is not None:
            self._fit()
            self._follow()

    # --- keys -------------------------------------------------------------------------------------

    def action_open(self) -> None:
        if self.chosen is not None:
            self.post_message(self.Opened(self.chosen))

    def action_order(self) -> None:
        """Order by number, then by the FDT of one function after the other."""
        if self._contents is None or not self._contents.compared:
            return
        order = 0 if self.order is None else self.order + 1
        self.order = order if order < len(self._contents.compared) else None
        self.cursor = 0
        self._arrange(None)

    def action_move(self, by: int) -> None:
        self.cursor = max(0, min(self.cursor + by, len(self._rows) - 1))
        self._follow()
        self.refresh()

    def action_page(self, by: int) -> None:
        self.action_move(by * max(1, self.scrollable_content_region.height - 2))

    def on_click(self, event: Click) -> None:
        at = event.get_content_offset(self)
        if at is None or at.y == 0:
            return
        place = at.y - 1 + round(self.scroll_offset.y)
        if place < len(self._rows):
            self.cursor = place
            self.refresh()
            if event.chain == 2:
                self.action_open()

    def _follow(self) -> None:
        # The header is always in the first line: a row is seen from one line further down.
        region = Region(0, self.cursor, 1, 2)
        self.scroll_to_region(region, animate=False, immediate=True, force=True)

    # --- what is drawn ----------------------------------------------------------------------------

    def _fitting(self, width: int) -> list[Column]:
        """The columns for this width: what has no room is left out, the prompt first."""
        assert self._contents is not None
        contents = self._contents
        names = max((cell_len(row.id) for row in self._rows[:_LOOKED_AT]), default=2)
        columns = [Column("id", "id", max(2, min(_ID, names)))]
        if len(contents.models) > 1:
            columns.insert(0, Column("model", "model", 5))
        category = max((cell_len(row.category) for row in self._rows[:_LOOKED_AT]), default=0)
        left = width - sum(c.width + _GAP for c in columns)
        names_of = contents.compared
        usual = [max(_LEAST_STREAM, min(_MOST_STREAM, cell_len(name) + 1)) for name in names_of]
        if left < sum(usual) + _GAP * len(usual):
            usual = [_SHORT_STREAM] * len(usual)
        left -= sum(usual) + _GAP * len(usual)
        if category and left >= max(8, min(category, _CATEGORY)) + _GAP:
            columns.append(Column("category", "category", max(8, min(_CATEGORY, category))))
            left -= columns[-1].width + _GAP
        for place, (name, size) in enumerate(zip(names_of, usual, strict=True)):
            columns.append(Column("stream", visible_line(name), size, place))
        if left >= _LEAST_PROMPT:
            columns.append(Column("prompt", "prompt", left))
        return columns

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        if y == 0:
            return self._strip(self._header(), width, "prompts--header")
        place = y - 1 + round(self.scroll_offset.y)
        if place >= len(self._rows):
            return Strip.blank(width, self.rich_style)
        row = self._rows[place]
        part = "prompts--failed" * bool(row.error)
        if place == self.cursor:
            part = "prompts--cursor" if self.has_focus else "prompts--place"
        return self._strip(self._line(row, width), width, part)

    def _strip(self, text: str, width: int, part: str) -> Strip:
        style = self.get_component_rich_style(part) if part else self.rich_style
        return Strip([Segment(cut(text, width), style)], width)

    def _header(self) -> str:
        cells = []
        for column in self._columns:
            is_ordered = column.kind == "stream" and column.stream == self.order
            room = column.width - is_ordered
            cells.append(cut(cut(column.title, room).rstrip() + "▲" * is_ordered, column.width))
        return (" " * _GAP).join(cells)

    def _line(self, row: PromptRow, width: int) -> str:
        cells: list[str] = []
        left = width
        for column in self._columns:
            if row.error and column.kind in ("stream", "prompt"):
                cells.append(cut(f"✗ {visible_line(row.error)}", max(1, left)))
                break
            fit = cut_start if column.kind == "id" else cut
            cells.append(fit(_cell(row, column), column.width))
            left -= column.width + _GAP
        return (" " * _GAP).join(cells)


def _cell(row: PromptRow, column: Column) -> str:
    match column.kind:
        case "id":
            return visible_line(row.id)
        case "model":
            return str(row.model + 1)
        case "category":
            return visible_line(row.category)
        case "prompt":
            return visible_line(row.prompt)
        case "stream":
            outcome, fdt = row.streams[column.stream]
            word = outcome if column.width >= _LEAST_STREAM else _SHORT.get(outcome, outcome)
            return word if fdt is None else f"{word} {fdt}"
