"""The app in a recorded terminal, and what is read off it: for the measurements."""

from __future__ import annotations

import os
import random
import re
import shlex
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from tests.support.recorder import Recorder

EIGHT = "gelu,gelu_approx,gelu_fast_approx,keras_gelu_approx,relu,silu,relu2,mish"
FOUR = "gelu,gelu_approx,gelu_fast_approx,relu"
RATE = 60  # tokens a second of each stream
SIZE = (120, 40)
SETTLE_S = 4.0

# What the user sees: where the app's texts change, they change here.
FIRST_FRAME = "Ctrl+N breaks the line"
STREAMING = "tok/s"
FOCUSED = "━"  # the rule above the pane that has the focus

# Called when a key is pressed; what it returns tells whether the screen shows the key's effect.
Watch = Callable[[Recorder, str], Callable[[], bool]]


@dataclass(frozen=True)
class Figure:
    """One line of the table; `met` is None where there is no goal."""

    what: str
    goal: str
    measured: str
    met: bool | None = None


def fake(*options: str | int) -> str:
    """The engine command of a steady stream."""
    words = (sys.executable, "-m", "tests.support.steady_engine", *options)
    return shlex.join(map(str, words))


@contextmanager
def app(
    *arguments: str,
    activations: str = FOUR,
    engine: str = "",
    size: tuple[int, int] = SIZE,
    start: tuple[str, ...] = ("-m", "gelu_tui"),
) -> Iterator[Recorder]:
    """`gelu-tui` as over SSH: 256 colours, no COLORTERM; its own home, so nothing is remembered."""
    kept = {k: v for k, v in os.environ.items() if k not in ("COLORTERM", "NO_COLOR")}
    with tempfile.TemporaryDirectory() as home:
        environment = {**kept, "XDG_DATA_HOME": home, "XDG_CONFIG_HOME": home}
        words = ("--max-tokens", "100000", "--reference", "gelu_approx", "-a", activations)
        command = (*words, "--engine-command", engine or fake("--rate", RATE), *arguments)
        terminal = Recorder((sys.executable, "-P", *start, *command), size, environment)
        try:
            yield terminal
        finally:
            terminal.send("\x11")
            terminal.record(1.0)
            terminal.close()


@contextmanager
def streaming(*arguments: str, activations: str = FOUR, engine: str = "") -> Iterator[Recorder]:
    """The app while it streams, its first seconds over."""
    words = (*arguments, "Why is the sky blue?")
    with app(*words, activations=activations, engine=engine) as terminal:
        terminal.until_shown(STREAMING, 30)
        terminal.record(SETTLE_S)
        yield terminal


def letters() -> Iterator[str]:
    """Letters that no stream contains, each once."""
    for first, last in ((0x410, 0x44F), (0x391, 0x3A1), (0x3A3, 0x3A9), (0x531, 0x556)):
        yield from map(chr, range(first, last + 1))


def heavy_rows(terminal: Recorder) -> list[tuple[int, int]]:
    """Where a rule is drawn heavily."""
    rows = enumerate(terminal.text.splitlines())
    return [(y, match.start()) for y, row in rows for match in re.finditer(f"{FOCUSED}+", row)]


def latencies(terminal: Recorder, keys: list[str], watch: Watch, pause_s: float) -> list[float]:
    """Milliseconds from the write of each key to the bytes that show it; infinite if none do."""
    dice = random.Random(1)
    terminal.record(0.2)
    presses = []
    for key in keys:
        presses.append((terminal.press(key), key))
        terminal.record(pause_s * dice.uniform(0.5, 1.5))  # not in step with the app's refresh
    terminal.record(2.0)
    waiting: dict[float, Callable[[], bool]] = {}
    found = {at: float("inf") for at, _ in presses}

    def look(at: float) -> None:
        for pressed in [pressed for pressed, shown in waiting.items() if shown()]:
            del waiting[pressed]
            found[pressed] = (at - pressed) * 1000

    for pressed, key in presses:
        terminal.replay(pressed, look)
        waiting[pressed] = watch(terminal, key)
    terminal.replay(time.monotonic(), look)
    return list(found.values())


def letter_shown(terminal: Recorder, letter: str) -> Callable[[], bool]:
    """Whether a letter is on the screen."""
    return lambda: letter in terminal.text


def focus_moved(terminal: Recorder, _: str) -> Callable[[], bool]:
    """Whether another pane than now has the heavy rule."""
    before = heavy_rows(terminal)
    return lambda: heavy_rows(terminal) != before


def key_figure(what: str, found: list[float]) -> Figure:
    """A line of the table from latencies in milliseconds."""
    ordered = sorted(found)
    p95 = ordered[int(0.95 * (len(ordered) - 1))]
    said = f"p95 {p95:.0f} ms, median {statistics.median(ordered):.0f}, max {ordered[-1]:.0f}"
    return Figure(what, "p95 < 50 ms", f"{said}, n {len(ordered)}", p95 < 50)


def first_frame(terminal: Recorder) -> float:
    """When the first frame was there."""
    seen: list[float] = []
    terminal.record(3.0)
    terminal.replay(
        float("inf"), lambda at: seen.append(at) if FIRST_FRAME in terminal.text else None
    )
    return seen[0] if seen else float("inf")


def newest_stamp(terminal: Recorder) -> float:
    """The time at which the newest text on the screen was made."""
    return max((int(ms) / 1000 for ms in re.findall(r"@(\d{4,})\b", terminal.text)), default=0.0)


def cpu_s(process: psutil.Process) -> float:
    """Seconds of processor time that a process has used."""
    times = process.cpu_times()
    return float(times.user + times.system)
