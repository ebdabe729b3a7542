"""One logarithmic scale of mean KL, with functions and yardsticks on it; it needs ASCII only."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from gelu_tui.core.comparison.noise import times
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.scoring.document import ScoreDocument
from gelu_tui.core.settings.yardsticks import YARDSTICKS

Kind = Literal["function", "floor", "yardstick"]
SIGNS: dict[Kind, str] = {"function": "o", "yardstick": "#", "floor": "+"}
_WORDS: dict[Kind, str] = {"function": "function", "yardstick": "yardstick", "floor": "noise floor"}
_LONGEST_NAME = 28
_LEAST_TRACK = 20  # cells
_WIDEST = 120
_TICK = 9  # cells that a tick needs

# What others are held against, the first that is there: changes of the model's own noise come last.
_AGAINST = ("q8", "q4", "bf16", "embed-scale")


@dataclass(frozen=True)
class Mark:
    """A mean KL in nats on the scale; `name` as it is known to the user."""

    name: str
    kind: Kind
    value: float

    @property
    def label(self) -> str:
        """The name, and what it is where the name does not say so."""
        if self.kind == "yardstick" and self.name in YARDSTICKS:
            return f"{self.name}: {YARDSTICKS[self.name]}"  # type: ignore[index]
        return f"{self.name}: noise floor" if self.kind == "floor" else self.name

    @property
    def shown(self) -> str:
        """The value."""
        return f"{self.value:.1e}" if self.value else "0"


def marks_of(document: ScoreDocument) -> list[Mark]:
    """The marks of a scoring from the smallest to the largest; none without a yardstick."""
    yardsticks = [
        Mark(y.name, "yardstick", y.mean_kl)
        for y in document.yardsticks
        if y.mean_kl is not None
    ]  # fmt: skip
    functions = [
        Mark(v.name, "floor" if v.control else "function", v.kl.mean)
        for v in document.variants
        if v.kl is not None
    ]
    return in_order([*functions, *yardsticks]) if yardsticks else []


def in_order(marks: Iterable[Mark]) -> list[Mark]:
    """The marks from the smallest to the largest."""
    return sorted(marks, key=lambda mark: mark.value)


def decades(marks: Sequence[Mark]) -> tuple[int, int]:
    """The powers of ten that a scale of these marks begins and ends with."""
    logarithms = [math.log10(mark.value) for mark in marks if mark.value > 0] or [0.0]
    low = math.floor(min(logarithms))
    return low, max(low + 1, math.ceil(max(logarithms)))


def share_of_scale(value: float, low: int, high: int) -> float:
    """Where a value is between two powers of ten, from 0 to 1; 0, which has no place, at 0."""
    if value <= 0:
        return 0.0
    return min(1.0, max(0.0, (math.log10(value) - low) / (high - low)))


@dataclass(frozen=True)
class Scale:
    """The marks below each other, from the smallest to the largest, over one axis."""

    marks: Sequence[Mark]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(options.max_width, _WIDEST)
        values = max(len(mark.shown) for mark in self.marks)
        most = min(_LONGEST_NAME, width - values - 4 - _LEAST_TRACK)
        rows = [(visible_line(mark.label), mark) for mark in self.marks]
        if most < _LONGEST_NAME:  # narrow: what the names say must do
            rows = [(visible_line(mark.name), mark) for mark in self.marks]
        names = max(len("mean KL"), min(most, max(cell_len(label) for label, _ in rows)))
        track = max(2, width - names - values - 4)
        low, high = decades(self.marks)
        yield Text(f"{'mean KL':<{names}}  {'nats':>{values}}  {_axis(low, high, track)}", "bold")
        for label, mark in rows:
            line = Text(label)
            line.truncate(names, overflow="ellipsis", pad=True)
            place = round(share_of_scale(mark.value, low, high) * (track - 1))
            line.append(f"  {mark.shown:>{values}}  ")
            line.append("." * place, style="dim")
            line.append(SIGNS[mark.kind], style="bold")
            yield line
        yield Text(legend(self.marks), "dim")


def legend(marks: Sequence[Mark]) -> str:
    """What the signs mean that are used."""
    used = dict.fromkeys(mark.kind for mark in marks)
    return ", ".join(f"{SIGNS[kind]} {_WORDS[kind]}" for kind in used)


def _axis(low: int, high: int, track: int) -> str:
    """The powers of ten above their places."""
    step = max(1, math.ceil((high - low) * _TICK / track))
    line = ""
    for exponent in range(low, high + 1, step):
        place = round((exponent - low) / (high - low) * (track - 1))
        tick = f"|1e{exponent}"
        if place + len(tick) <= track:
            line = f"{line:<{place}}{tick}"
    return line


def sentences(marks: Sequence[Mark]) -> list[str]:
    """How large each function's effect is beside that of a yardstick that people know."""
    known = {mark.name: mark for mark in marks if mark.kind == "yardstick" and mark.value > 0}
    against = next((known[name] for name in _AGAINST if name in known), None)
    functions = [mark for mark in marks if mark.kind == "function"]
    if against is None or not functions:
        return []
    words = YARDSTICKS[against.name]  # type: ignore[index]
    what = f"what {words} {'do' if words.endswith('weights') else 'does'}"
    parts: list[str] = []
    for mark in functions:
        multiple = _multiple(mark.value / against.value)
        parts.append(f"{visible_line(mark.name)}: {multiple} {'that' if parts else what}")
    return [f"Mean KL beside a yardstick: {'; '.join(parts)}."]


def _multiple(ratio: float) -> str:
    """1/1,300 of, 0.45 times, 5.3 times."""
    if ratio == 0:
        return "nothing of"
    return f"{times(ratio)} times" if ratio > 0.1 else f"1/{times(1 / ratio)} of"
