"""Tables as all text reports have them."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table


def plain_table(*headers: str, numbers: Sequence[str] = ()) -> Table:
    """A table without lines; `numbers` are the headers of columns that align at the right."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for header in headers:
        table.add_column(header, justify="right" if header in numbers else "left", overflow="fold")
    return table
