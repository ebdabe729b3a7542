"""The list of saved runs as text: the same columns in the app and on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from gelu_tui.core.comparison.standing import STATUS, Standing
from gelu_tui.core.runs.history import Entry, local_time
from gelu_tui.core.safe_text import visible_line

# Cells of each column without the gap after it; the prompt takes what the others leave.
_PROMPT = "prompt"
_NARROW = {"when": 12, _PROMPT: 0}
_USUAL = {"when": 12, _PROMPT: 0, "functions": 14, "diverge at": 10, "status": 7}
_WIDE = {"run": 5, **_USUAL, "diverge at": 16, "model": 12}
GAP = 2


def columns(width: int, *, ids: bool = False) -> dict[str, int]:
    """The columns that fit into `width` cells, each with its own width, gaps not counted.

    `ids` are there where the list is wide, or where they are asked for.
    """
    widths = dict(_NARROW if width < 64 else _USUAL if width < 110 else _WIDE)
    if ids:
        widths = {"run": _WIDE["run"], **widths}
    if widths.keys() == _WIDE.keys():
        widths["functions"] = width // 5
    taken = sum(widths.values()) + GAP * len(widths)
    return {**widths, _PROMPT: max(8, width - taken)}


def cells(entry: Entry, now: datetime, widths: dict[str, int]) -> dict[str, str]:
    """What each column says of a run, on one line."""
    names = list(zip(entry.activations, entry.first_divergent_tokens, strict=False))
    # A row stores where a stream diverged, but not for how many tokens the others are the same.
    standings = [
        Standing("same", None) if at is None else Standing("diverged", at)
        for name, at in names
        if name != entry.reference
    ]
    # The reference first: the others are compared with it.
    functions = [entry.reference, *(name for name, _ in names if name != entry.reference)]
    return {
        "run": str(entry.id),
        "when": short_time(entry.created, now),
        _PROMPT: visible_line(entry.prompt),
        "functions": _fitting(functions, widths.get("functions", 0)),
        "diverge at": " ".join(standing.short for standing in standings) or "–",
        "status": visible_line(STATUS.get(entry.status, entry.status)),
        "model": visible_line(entry.model.rstrip("/").rpartition("/")[2]),
    }


def _fitting(names: list[str], width: int) -> str:
    """As many names as fit, and how many more there are."""
    for shown in range(len(names), 0, -1):
        more = f" +{len(names) - shown}" if shown < len(names) else ""
        text = visible_line(", ".join(names[:shown])) + more
        if len(text) <= width:
            return text
    return f"{visible_line(names[0])[: max(1, width - len(more) - 1)]}…{more}"


def short_time(created: str, now: datetime) -> str:
    """A local time in twelve cells: the clock for today, the day for this year."""
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
    """The list for a terminal, one line a run, as wide as that is."""

    entries: Sequence[Entry]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Header and rows."""
        widths = columns(options.max_width, ids=True)
        now = datetime.now().astimezone()
        yield _row({name: name for name in widths}, widths, "bold")
        for entry in self.entries:
            yield _row(cells(entry, now, widths), widths)


def _row(said: Mapping[str, str], widths: Mapping[str, int], style: str = "") -> Text:
    return Text((" " * GAP).join(cut(said[name], width) for name, width in widths.items()), style)


def cut(text: str, width: int) -> str:
    """A text in exactly `width` cells, with … where something is missing."""
    if text.isascii():  # the quick way for nearly all
        return text.ljust(width) if len(text) <= width else text[: width - 1] + "…"
    line = Text(text)
    line.truncate(width, overflow="ellipsis", pad=True)
    return line.plain
