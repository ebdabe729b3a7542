"""The table of sweeps on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from gelu_tui.core.reports.history_table import GAP, cut, short_time
from gelu_tui.core.safe_text import visible_line
from gelu_tui.sweep.saved_sweeps import SweepEntry

# What is left out first where the terminal is narrow.
_LEAST = ("models", "functions", "when", "finished")


@dataclass(frozen=True)
class SweepsTable:
    """A line for each sweep, as wide as the terminal; ids are whole, they are to be typed."""

    entries: Sequence[SweepEntry]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        now = datetime.now().astimezone()
        rows = [_cells(entry, now) for entry in self.entries]
        rows = [{name: name for name in rows[0]}, *rows]
        widths = {name: max(cell_len(row[name]) for row in rows) for name in rows[0]}
        for name in _LEAST:
            over = sum(widths.values()) + GAP * (len(widths) - 1) - options.max_width
            if over <= 0:
                break
            widths[name] -= over
            if widths[name] < len(name):  # its heading does not fit
                del widths[name]
        for number, row in enumerate(rows):
            line = (" " * GAP).join(cut(row[name], width) for name, width in widths.items())
            yield Text(line.rstrip(), "" if number else "bold", overflow="fold")


def _cells(entry: SweepEntry, now: datetime) -> dict[str, str]:
    finished = f"{entry.completed:,} of {entry.total:,}"
    if entry.failed:
        finished += f", {entry.failed:,} failed"
    names = [entry.reference, *(name for name in entry.functions if name != entry.reference)]
    models = (model.rstrip("/").rpartition("/")[2] for model in entry.models)
    damaged = entry.status == "damaged"
    return {
        "sweep": visible_line(entry.id),
        "when": "" if damaged else short_time(entry.created, now),
        "finished": "damaged" if damaged else finished,
        "functions": visible_line(", ".join(filter(None, names))),
        "models": visible_line(", ".join(models)),
    }
