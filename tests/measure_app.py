"""The budgets of the app, measured in a pseudo-terminal.

    python -m tests.measure_app [--what bytes,latency,...] [--json]

Prints what was aimed at, what was measured, and whether it is met. Nothing else should run on the
machine meanwhile. `overhead` runs the demo model, everything else a fake engine.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import psutil

from tests.support.measuring import (
    EIGHT,
    FOUR,
    RATE,
    Figure,
    app,
    cpu_s,
    fake,
    first_frame,
    focus_moved,
    key_figure,
    latencies,
    letter_shown,
    letters,
    newest_stamp,
    streaming,
)  # fmt: skip
from tests.support.recorder import Recorder

_BYTES_S = 15.0
_SLOW = 20 * 1024
_SLOWER = ("--refresh", "4")
FORBIDDEN = ("mlx", "mlx_lm", "transformers", "tokenizers", "huggingface_hub")
_LIST_IMPORTS = """
import sys
from gelu_tui.cli import main
try:
    main()
finally:
    loaded = set(name.partition(".")[0] for name in sys.modules)
    open({file!r}, "w").write(" ".join(sorted(loaded & set({forbidden!r}))))
"""


# --- bytes ------------------------------------------------------------------------------------


def measure_bytes() -> Iterator[Figure]:
    """What the terminal is sent while four panes stream, and what that costs the app."""
    for options in ((), _SLOWER):
        if options and not option_exists(options[0]):
            continue
        with streaming(*options) as terminal:
            process = psutil.Process(terminal.process.pid)
            before = cpu_s(process)
            chunks = terminal.record(_BYTES_S)
            share = (cpu_s(process) - before) / _BYTES_S
            kib = sum(len(chunk.data) for chunk in chunks) / 1024 / _BYTES_S
            rss = process.memory_info().rss / 2**20
        what = " ".join((f"bytes, 4 panes, 120x40, {RATE} tokens/s", *options))
        yield Figure(what, "< 100 KiB/s", f"{kib:.0f} KiB/s", kib < 100)
        yield Figure("  the app meanwhile", "", f"{share:.0%} of a core, {rss:.0f} MiB")


def option_exists(name: str) -> bool:
    """Whether the app has an option."""
    command = (sys.executable, "-P", "-m", "gelu_tui", "app", "--help")
    return name in subprocess.run(command, capture_output=True, text=True, check=True).stdout


# --- keys -------------------------------------------------------------------------------------


def measure_latency() -> Iterator[Figure]:
    """Key press to changed screen while eight panes stream."""
    with streaming(activations=EIGHT) as terminal:
        typed = latencies(terminal, list(letters())[:110], letter_shown, 0.25)
        yield key_figure("letter typed into the prompt, 8 panes", typed)
    with streaming(activations=EIGHT) as terminal:
        terminal.send("\t")
        moved = latencies(terminal, ["\t"] * 110, focus_moved, 0.35)
        yield key_figure("Tab to another pane, 8 panes", moved)


# --- start ------------------------------------------------------------------------------------


def measure_first_frame() -> Iterator[Figure]:
    """From the command to the first frame, and that no model library was imported for it."""
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "imports"
        script = ("-c", _LIST_IMPORTS.format(file=str(file), forbidden=FORBIDDEN))
        for _ in range(8):
            began = time.monotonic()
            with app(start=script) as terminal:
                rounds.append(first_frame(terminal) - began)
        imported = file.read_text().split()
    median, worst = statistics.median(rounds[1:]), max(rounds[1:])
    yield Figure("command to first frame", "< 0.5 s", f"median {median:.2f} s, max {worst:.2f}",
                 median < 0.5)  # fmt: skip
    yield Figure("model libraries imported by the app", "none", ", ".join(imported) or "none",
                 not imported)  # fmt: skip


# --- long texts -------------------------------------------------------------------------------


def measure_append() -> Iterator[Figure]:
    """What the app works for a second of tokens, at the beginning and in a long text."""
    cost = {}
    for burst in (300, 30_000):
        with streaming(engine=fake("--rate", RATE, "--burst", burst)) as terminal:
            process = psutil.Process(terminal.process.pid)
            until_caught_up(terminal, process)
            before = cpu_s(process)
            terminal.record(10)
            cost[burst] = (cpu_s(process) - before) / 10
            rss = process.memory_info().rss / 2**20
            yield Figure(f"CPU of the app, 4 panes at {burst} tokens", "",
                         f"{cost[burst]:.0%} of a core, {rss:.0f} MiB")  # fmt: skip
    ratio = cost[30_000] / cost[300]
    yield Figure("append at 30,000 tokens ÷ at 300", "≤ 1.2", f"{ratio:.2f}", ratio <= 1.2)


def until_caught_up(terminal: Recorder, process: psutil.Process) -> None:
    """Wait until the app has worked off a burst: until its load stays what it is."""
    loads: list[float] = []
    while len(loads) < 60:
        before = cpu_s(process)
        terminal.record(1.5)
        loads.append((cpu_s(process) - before) / 1.5)
        if len(loads) >= 3 and max(loads[-3:]) - min(loads[-3:]) < 0.1:
            return


# --- a slow line ------------------------------------------------------------------------------


def measure_slow() -> Iterator[Figure]:
    """A line of 20 KiB/s: how long a key takes, and how old the text on the screen is."""
    for name, buffered in (("slow terminal", False), ("slow line behind ssh", True)):
        with streaming(engine=fake("--rate", RATE, "--stamped")) as terminal:
            terminal.bytes_per_s, terminal.buffered = _SLOW, buffered
            terminal.record(8)
            began = time.monotonic()
            terminal.record(6)
            ages = []
            for second in range(1, 7):
                terminal.replay(began + second)
                ages.append(began + second - newest_stamp(terminal))
            typed = latencies(terminal, list(letters())[:25], letter_shown, 0.5)
        ordered = sorted(typed)
        seen = sum(value < float("inf") for value in typed)
        yield Figure(f"letter typed, {name}, 20 KiB/s", "",
                     f"median {statistics.median(ordered):.0f} ms, max {ordered[-1]:.0f}, "
                     f"shown {seen} of {len(typed)}")  # fmt: skip
        median = statistics.median(ages)
        yield Figure(f"age of the text shown, {name}, 20 KiB/s", "< 2 s",
                     f"median {median:.1f} s, max {max(ages):.1f}", median < 2)  # fmt: skip
    yield stood_still(10.0, after_s=5.0)


def stood_still(seconds: float, after_s: float) -> Figure:
    """How old the text is on a line that goes on after it stood still."""
    with streaming(engine=fake("--rate", RATE, "--stamped")) as terminal:
        terminal.bytes_per_s, terminal.buffered = _SLOW, True
        terminal.record(4)
        terminal.stand_still(seconds)
        looked = time.monotonic() + after_s
        terminal.record(after_s)
        terminal.replay(looked)
        age = looked - newest_stamp(terminal)
    what = f"age of the text {after_s:.0f} s after it stood still for {seconds:.0f} s"
    return Figure(what, "< 2 s", f"{age:.1f} s", age < 2)


# --- the engine with the app watching ---------------------------------------------------------


# Continuing a stopped process makes Textual start its terminal anew: not wanted here.
_STOPPABLE = """
from textual.drivers.linux_driver import LinuxDriver
LinuxDriver._sigcont_application = lambda *_: None
from gelu_tui.cli import main
main()
"""
# What else the machine does changes within seconds: short windows, and many of them.
_WINDOW_S = 1.0
_PAIRS = 200


def measure_overhead() -> Iterator[Figure]:
    """Tokens a second of the real engine with the app watching, over `gelu-tui run` watching.

    One run of one engine, whose events both get; every second one of them is stopped and the other
    continued, so that whatever else the machine does meets both alike. What was stopped catches up
    in its window, which counts against it.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "events"
        words = ("--raw", "--max-tokens", "5000", "Why is the sky blue?")
        with app(*words, engine=teed(file), start=("-c", _STOPPABLE)) as terminal:
            terminal.until(lambda: steps(file), "the first token", 180)
            offset = time.time() - steps(file)[-1]
            with headless(file, folder, words) as other:
                watching = psutil.Process(terminal.process.pid)
                other.suspend()
                terminal.record(_WINDOW_S)
                windows, share = take_turns(terminal, watching, other)
        seen = steps(file)
    logs = []
    for pair in windows:
        shown, alone = (step_s(seen, *(at - offset for at in span)) for span in pair)
        logs.append(math.log(alone / shown))
    mean, error = statistics.fmean(logs), statistics.stdev(logs) / math.sqrt(len(logs))
    ratio = math.exp(mean)
    yield Figure("engine tokens/s, app watching ÷ headless, 4 panes, demo", "≥ 0.97",
                 f"{ratio:.3f} ± {error:.3f} (standard error, n {len(logs)})",
                 ratio >= 0.97)  # fmt: skip
    yield Figure("  the app meanwhile", "", f"{share:.1%} of a core")


@contextmanager
def headless(file: Path, folder: str, words: tuple[str, ...]) -> Iterator[psutil.Process]:
    """`gelu-tui run` over the events of an engine that another one talks to."""
    engine = shlex.join(("tail", "-n", "+1", "-f", str(file)))
    command = (sys.executable, "-P", "-m", "gelu_tui", "run", "--no-save", "-a", FOUR,
               "--engine-command", engine, *words)  # fmt: skip
    with (
        (Path(folder) / "report").open("wb") as report,
        subprocess.Popen(command, stdout=report, stderr=report) as process,
    ):
        yield psutil.Process(process.pid)
        if process.poll() is not None:
            raise RuntimeError("the headless run ended before the measurement did")
        process.kill()


Span = tuple[float, float]


def take_turns(
    terminal: Recorder, watching: psutil.Process, other: psutil.Process
) -> tuple[list[tuple[Span, Span]], float]:
    """Windows of time, one with `watching` going and one with `other`, next to each other.

    Which one comes first changes from pair to pair. Also the share of a core that `watching` used.
    """
    pairs, busy_s = [], 0.0
    going = watching
    for index in range(_PAIRS):
        spans = {}
        for process in (watching, other) if index % 2 == 0 else (other, watching):
            if process is not going:
                going.suspend()
                process.resume()
                going = process
            before, began = cpu_s(watching), time.time()
            terminal.record(_WINDOW_S)
            spans[process] = (began, time.time())
            busy_s += cpu_s(watching) - before
        pairs.append((spans[watching], spans[other]))
    if going is not watching:  # a stopped app would not end
        watching.resume()
    return pairs, busy_s / (_PAIRS * _WINDOW_S)


def step_s(elapsed: list[float], begin: float, end: float) -> float:
    """The mean seconds of the steps that lie within a window."""
    within = [at for at in elapsed if begin <= at <= end]
    return (within[-1] - within[0]) / (len(within) - 1)


def steps(file: Path) -> list[float]:
    """When each step of the run came, in seconds since it began."""
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    lines = text[: text.rfind("\n") + 1].splitlines()
    return [json.loads(line)["elapsed_s"] for line in lines if line.startswith('{"event":"step"')]


def teed(file: Path) -> str:
    """The real engine, its events written to a file too."""
    engine = shlex.join((sys.executable, "-P", "-m", "gelu_tui.engine"))
    return shlex.join(("sh", "-c", f"{engine} | tee {shlex.quote(str(file))}"))


# --- all --------------------------------------------------------------------------------------

MEASUREMENTS = {
    "first-frame": measure_first_frame,
    "bytes": measure_bytes,
    "latency": measure_latency,
    "slow": measure_slow,
    "append": measure_append,
    "overhead": measure_overhead,
}


def machine() -> str:
    """Where this was measured."""
    memory = psutil.virtual_memory().total / 2**30
    load = os.getloadavg()[0]
    return (
        f"{platform.system()} {platform.machine()}, {psutil.cpu_count()} cores, {memory:.0f} GiB, "
        f"Python {platform.python_version()}, load {load:.1f} before"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--what", default=",".join(MEASUREMENTS), help="comma separated")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    where = machine()
    figures: list[Figure] = []
    for name in arguments.what.split(","):
        print(f"{name}…", file=sys.stderr)
        figures += MEASUREMENTS[name]()
    if arguments.json:
        print(json.dumps({"machine": where, "figures": [asdict(f) for f in figures]}, indent=1))
        return
    print(where)
    for figure in figures:
        met = {True: "met", False: "MISSED", None: ""}[figure.met]
        print(f"{figure.what:<56} {figure.goal:<12} {figure.measured:<44} {met}")


if __name__ == "__main__":
    main()
