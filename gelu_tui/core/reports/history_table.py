"""The table of saved runs, in the app and on the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from gelu_tui.core.comparison.standing import STATUS, Standing
from gelu_tui.core.reports.layout import filled
from gelu_tui.core.runs.history import Entry, local_time
from gelu_tui.core.safe_text import visible_line

# Cells of each column without the gap after it; the prompt takes what the others leave.
_USUAL = {"when": 12, "prompt": 0, "functions": 14, "diverge at": 10, "status": 7}
_WIDE = {"run": 5, **_USUAL, "diverge at": 16, "model": 12}
GAP = 2
_WIDTH_OF_ALL = 110
_NARROW = 76
_LEAST_PROMPT = 8


def columns(width: int, *, id_width: int = 0, name_width: int = 0) -> dict[str, int]:
    """The columns that fit into `width` cells, with their widths (without gaps).

    `id_width` adds the run's id to a list that is not wide, and `name_width` is the least width of
    the functions.
    """
    if width >= _WIDTH_OF_ALL:
        widths = _WIDE | {"functions": width // 5}
        widths["run"] = max(widths["run"], id_width)
    else:
        widths = ({"run": max(_WIDE["run"], id_width)} if id_width else {}) | _USUAL
    widths["functions"] = max(widths["functions"], name_width)
    if width < 64:
        widths = {name: size for name, size in widths.items() if name in ("run", "when", "prompt")}
    taken = sum(widths.values()) + GAP * len(widths)
    return {**widths, "prompt": max(_LEAST_PROMPT, width - taken)}


def cells(entry: Entry, now: datetime, widths: dict[str, int]) -> dict[str, str]:
    """The cells of a run by column, each on one line."""
    standings = _standings(entry)
    functions = [entry.reference, *standings]
    return {
        "run": str(entry.id),
        "when": short_time(entry.created, now),
        "prompt": visible_line(entry.prompt),
        "functions": _fitting(functions, widths.get("functions", 0)),
        "diverge at": " ".join(standing.short for standing in standings.values()) or "–",
        "status": visible_line(STATUS.get(entry.status, entry.status)),
        "model": visible_line(entry.model.rstrip("/").rpartition("/")[2]),
    }


def _standings(entry: Entry) -> dict[str, Standing]:
    """Where every function but the reference stands.

    A row stores where a stream diverged, but not for how many tokens the others are the same.
    """
    names = zip(entry.activations, entry.first_divergent_tokens, strict=False)
    return {
        name: Standing("same" if at is None else "diverged", at)
        for name, at in names
        if name != entry.reference
    }


def _fitting(names: list[str], width: int) -> str:
    """As many names as fit, and the number of the others."""
    for shown in range(len(names), 0, -1):
        more = f" +{len(names) - shown}" if shown < len(names) else ""
        text = visible_line(", ".join(names[:shown])) + more
        if len(text) <= width:
            return text
    return f"{visible_line(names[0])[: max(1, width - len(more) - 1)]}…{more}"


def short_time(created: str, now: datetime) -> str:
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
    """A line for each run, as wide as the terminal; where it is narrow, a few lines for each."""

    entries: Sequence[Entry]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, now = options.max_width, datetime.now().astimezone()
        id_width = max(len(str(entry.id)) for entry in self.entries)
        names = [f"{entry.reference} +{len(entry.activations)}" for entry in self.entries]
        widths = columns(width, id_width=id_width, name_width=max(map(cell_len, names)))
        if width < _NARROW or widths["prompt"] <= _LEAST_PROMPT:
            for entry in self.entries:
                row = cells(entry, now, {"functions": width})
                yield from _lines(entry, row, id_width, width)
            return
        rows = [{name: name for name in widths}, *(cells(e, now, widths) for e in self.entries)]
        for number, row in enumerate(rows):
            line = (" " * GAP).join(cut(row[name], width) for name, width in widths.items())
            yield Text(line, "" if number else "bold")


def _lines(entry: Entry, row: dict[str, str], id_width: int, width: int) -> list[Text]:
    """A run in a few lines: its prompt is cut, its functions with where they diverge are whole."""
    head = (" " * GAP).join((row["run"].rjust(id_width), row["when"], row["status"], row["prompt"]))
    functions = [f"{visible_line(entry.reference)} (reference)"]
    for name, standing in _standings(entry).items():
        at = standing.first_divergent_token
        where = "same" if at is None else f"diverges at {at}"
        functions.append(f"{visible_line(name)} {where}")
    indent = " " * (id_width + GAP)
    below = filled([*functions, row["model"]], width - len(indent))
    lines = [Text(cut(head, width).rstrip(), "bold")]
    return [*lines, *(Text(f"{indent}{line}", overflow="fold") for line in below)]


def cut_start(text: str, width: int) -> str:
    """As `cut`, but without the beginning of a text: ids of one kind differ at their end.

    `width` is 1 or more.
    """
    if cell_len(text) <= width:
        return cut(text, width)
    kept = text[-width:]
    while kept and cell_len(kept) >= width:
        kept = kept[1:]
    return cut("…" + kept, width)


def cut(text: str, width: int) -> str:
    """A text in exactly `width` cells, with … where it is cut."""
    if text.isascii():  # faster, and nearly always the case
        return text.ljust(width) if len(text) <= width else text[: width - 1] + "…"
    line = Text(text)
    line.truncate(width, overflow="ellipsis", pad=True)
    return line.plain
