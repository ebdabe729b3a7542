"""Parts of a text report that fit any width without breaking a name or a number."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.rule import Rule
from rich.table import Column, Table
from rich.text import Text

from gelu_tui.core.safe_text import visible_line

INDENT = 2  # cells before what belongs to a heading
_GAP = 2  # cells between columns
_LEAST = 16  # cells that a shortened text needs
BETWEEN = " · "


def spaced(*parts: RenderableType) -> Group:
    """The parts of a report with an empty line between them."""
    return Group(*[line for part in parts for line in (part, Text())][:-1])


def filled(parts: Iterable[str], width: int) -> list[str]:
    """The parts with · between them, in lines of `width` cells; a part breaks only if it must."""
    lines: list[str] = []
    for part in parts:
        if lines and cell_len(lines[-1]) + len(BETWEEN) + cell_len(part) <= width:
            lines[-1] += BETWEEN + part
        else:
            lines.append(part)
    return lines


@dataclass(frozen=True)
class FittedTable:
    """A table without lines, whose headers are the keys of each row; at least one row.

    The first column and those in `left` are aligned left, all others right. Cells of the column
    `cut` are shortened to the room that there is. Where it does not fit even so, the first cell of
    each row is a heading, and the others follow it with their headers.
    """

    rows: Sequence[Mapping[str, str | Text]]
    left: Collection[str] = ()
    footer: Mapping[str, str] | None = None  # a last row, dim
    cut: str | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = [{name: _text(cell) for name, cell in row.items()} for row in self.rows]
        if self.footer is not None:
            rows.append({name: Text(cell, style="dim") for name, cell in self.footer.items()})
        names = list(rows[0])
        widths = {
            name: max(cell_len(name), *(row[name].cell_len for row in rows)) for name in names
        }
        room = options.max_width - _GAP * (len(widths) - 1)
        fits = sum(widths.values()) <= room
        if not fits and self.cut is not None:
            left = room - sum(widths.values()) + widths[self.cut]
            if fits := left >= max(_LEAST, cell_len(self.cut)):
                for row in rows:
                    row[self.cut].truncate(left, overflow="ellipsis")
        yield self._table(names, rows) if fits else self._list(names, rows, options.max_width)

    def _table(self, names: Sequence[str], rows: Sequence[Mapping[str, Text]]) -> Table:
        table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
        for number, name in enumerate(names):
            is_left = not number or name in self.left
            table.add_column(name, justify="left" if is_left else "right", no_wrap=True)
        for row in rows:
            table.add_row(*row.values())
        return table

    def _list(
        self, names: Sequence[str], rows: Sequence[Mapping[str, Text]], width: int
    ) -> RenderableType:
        first, *others = names
        parts: list[RenderableType] = [Text(first, style="bold")]
        for row in rows:
            heading = row[first].copy()
            heading.stylize("bold")
            parts.append(heading)
            cells = [f"{name} {row[name].plain}".strip() for name in others if row[name].plain]
            lines = filled(cells, width - INDENT)
            parts.append(Padding(Text("\n".join(lines), row[first].style), (0, 0, 0, INDENT)))
        return Group(*parts)


@dataclass(frozen=True)
class StreamHeading:
    """Name and formula at the left, the standing at the right, a rule between them.

    What does not fit into the line follows in lines of its own.
    """

    name: str
    formula: str
    standing: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        title = Text(visible_line(self.name), style="bold")
        formula, standing = Text(visible_line(self.formula)), Text(self.standing, style="italic")
        room = options.max_width - title.cell_len - standing.cell_len - 4
        below: list[Text] = []
        if formula.cell_len + 2 <= room:
            title.append(f"  {formula.plain}", style="not bold")
        else:
            below.append(formula)
        if room < 0:
            yield title
            below.insert(0, standing)
        else:
            columns = Column(no_wrap=True), Column(ratio=1), Column(no_wrap=True)
            line = Table.grid(*columns, padding=(0, 1, 0, 0), expand=True)
            line.add_row(title, Rule(style="dim"), standing)
            yield line
        for text in below:
            yield Padding(text, (0, 0, 0, INDENT))


def _text(cell: str | Text) -> Text:
    return cell if isinstance(cell, Text) else Text(visible_line(cell))
