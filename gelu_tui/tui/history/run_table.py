"""The saved runs as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import ClassVar

from textual.binding import Binding
from textual.content import Content

from gelu_tui.core.reports.history_table import GAP, cells, columns, cut, short_time
from gelu_tui.core.runs.history import Entry
from gelu_tui.core.safe_text import visible_line
from gelu_tui.sweep.saved_sweeps import SweepEntry
from gelu_tui.tui.widgets.list_table import ListTable

MARK = "■"
_MARK_WIDTH = 2


class RunTable(ListTable[Entry | SweepEntry]):
    """The runs and the sweeps, with their keys."""

    BINDINGS: ClassVar = [
        Binding("enter", "screen.open", "Open the run or the sweep, without the model"),
        Binding("c", "screen.compare", "Mark the run; on another one, show both side by side"),
        Binding("r", "screen.rerun", "Run it again"),
        Binding("e", "screen.export", "Export: a report (.md, .html) or data (.json, .csv)"),
        Binding("x,delete", "screen.delete", "Delete it"),
        Binding("slash", "screen.search", "Search"),
        *ListTable.MOVING,
    ]

    marked: int | None = None

    def fitting(self, width: int) -> Mapping[str, int]:
        fitting = columns(width - _MARK_WIDTH)
        return {"": _MARK_WIDTH, **{name: cells_ + GAP for name, cells_ in fitting.items()}}

    def cells(self, item: Entry | SweepEntry, widths: Mapping[str, int]) -> Iterator[Content]:
        fitting = {n: w - GAP for n, w in widths.items()}
        now = datetime.now().astimezone()
        shown = cells(item, now, fitting) if isinstance(item, Entry) else sweep_cells(item, now)
        yield self._mark(item)
        for name, width in widths.items():
            if name:
                yield Content(cut(shown[name], width - GAP))

    def mark(self, run: int | None) -> None:
        """Put a mark before one run, or before none."""
        self.marked = run
        for entry in self.items:
            self.update_cell(str(entry.id), "", self._mark(entry))

    def _mark(self, entry: Entry | SweepEntry) -> Content:
        return Content.styled(MARK if entry.id == self.marked else "", "bold")


def sweep_cells(entry: SweepEntry, now: datetime) -> Mapping[str, str]:
    """The cells of a sweep, in the columns of the runs."""
    done = entry.completed + entry.failed
    status = {"completed": "done", "incomplete": "partial"}.get(entry.status, entry.status)
    return {
        "run": "sweep",
        "when": short_time(entry.created, now) if entry.created else "",
        "prompt": visible_line(f"sweep {entry.name or entry.id}: {done:,} of {entry.total:,}"),
        "functions": visible_line(f"{entry.reference} +{max(0, len(entry.functions) - 1)}"),
        "diverge at": f"{entry.failed:,} failed" if entry.failed else "–",
        "status": status,
        "model": visible_line(", ".join(m.rstrip("/").rpartition("/")[2] for m in entry.models)),
    }
