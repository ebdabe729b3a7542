"""The table of saved runs, in the app and on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from gelu_tui.core.comparison.standing import STATUS, Standing
from gelu_tui.core.runs.history import Entry, local_time
from gelu_tui.core.safe_text import visible_line

# Cells of each column without the gap after it; the prompt takes what the others leave.
_USUAL = {"when": 12, "prompt": 0, "functions": 14, "diverge at": 10, "status": 7}
_WIDE = {"run": 5, **_USUAL, "diverge at": 16, "model": 12}
GAP = 2


def columns(width: int, *, ids: bool = False) -> dict[str, int]:
    """The columns that fit into `width` cells, with their widths (without gaps).

    `ids` adds the run's id to a list that is not wide.
    """
    if width >= 110:
        widths = _WIDE | {"functions": width // 5}
    else:
        widths = ({"run": _WIDE["run"]} if ids else {}) | _USUAL
    if width < 64:
        widths = {name: size for name, size in widths.items() if name in ("run", "when", "prompt")}
    taken = sum(widths.values()) + GAP * len(widths)
    return {**widths, "prompt": max(8, width - taken)}


def cells(entry: Entry, now: datetime, widths: dict[str, int]) -> dict[str, str]:
    """The cells of a run by column, each on one line."""
    names = list(zip(entry.activations, entry.first_divergent_tokens, strict=False))
    others = [(name, at) for name, at in names if name != entry.reference]
    # A row stores where a stream diverged, but not for how many tokens the others are the same.
    standings = [
        Standing("same", None) if at is None else Standing("diverged", at) for _, at in others
    ]
    functions = [entry.reference, *(name for name, _ in others)]
    return {
        "run": str(entry.id),
        "when": _short_time(entry.created, now),
        "prompt": visible_line(entry.prompt),
        "functions": _fitting(functions, widths.get("functions", 0)),
        "diverge at": " ".join(standing.short for standing in standings) or "–",
        "status": visible_line(STATUS.get(entry.status, entry.status)),
        "model": visible_line(entry.model.rstrip("/").rpartition("/")[2]),
    }


def _fitting(names: list[str], width: int) -> str:
    """As many names as fit, and the number of the others."""
    for shown in range(len(names), 0, -1):
        more = f" +{len(names) - shown}" if shown < len(names) else ""
        text = visible_line(", ".join(names[:shown])) + more
        if len(text) <= width:
            return text
    return f"{visible_line(names[0])[: max(1, width - len(more) - 1)]}…{more}"


def _short_time(created: str, now: datetime) -> str:
    """A local time in twelve cells: the clock time of today, the day of this year."""
    local = local_time(created)
    try:
        then = datetime.fromisoformat(local)
    except ValueError:
        return local[:12]
    if then.date() == now.date():
        return f"today {then:%H:%M}"
    return f"{then:%b %d %H:%M}" if then.year == now.year else f"{then:%Y-%m-%d}"


@dataclass(frozen=True)
class HistoryTable:
    """The table as wide as the terminal, a line for each run."""

    entries: Sequence[Entry]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        widths = columns(options.max_width, ids=True)
        now = datetime.now().astimezone()
        rows = [{name: name for name in widths}, *(cells(e, now, widths) for e in self.entries)]
        for number, row in enumerate(rows):
            line = (" " * GAP).join(cut(row[name], width) for name, width in widths.items())
            yield Text(line, "" if number else "bold")


def cut(text: str, width: int) -> str:
    """A text in exactly `width` cells, with … where it is cut."""
    if text.isascii():  # faster, and nearly always the case
        return text.ljust(width) if len(text) <= width else text[: width - 1] + "…"
    line = Text(text)
    line.truncate(width, overflow="ellipsis", pad=True)
    return line.plain
