"""The budgets of the app, measured in a pseudo-terminal.

    python -m tests.measure_app [--what bytes,latency,...] [--json]

Prints what was aimed at, what was measured, and whether it is met. Nothing else should run on the
machine meanwhile. `overhead` runs the demo model, everything else a fake engine.
"""

from __future__ import annotations

import argparse
import itertools
import json
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

from tests.measuring import (
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
from tests.recorder import Recorder

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


# --- the engine with the app watching ---------------------------------------------------------


# Continuing a stopped process makes Textual start its terminal anew: not wanted here.
_STOPPABLE = """
from textual.drivers.linux_driver import LinuxDriver
LinuxDriver._sigcont_application = lambda *_: None
from gelu_tui.cli import main
main()
"""
_WINDOW_S = 4.0
_WINDOWS = 60


def measure_overhead() -> Iterator[Figure]:
    """Tokens a second of the real engine with the app watching, over `gelu-tui run` watching.

    One run of one engine, whose events both get; every few seconds one of them is stopped and the
    other continued, so that whatever else the machine does meets both alike.
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
        durations = [median_step(steps(file), *(at - offset for at in span)) for span in windows]
    ratios = sorted(
        alone / shown for shown, alone in zip(durations[::2], durations[1::2], strict=True)
    )
    median = statistics.median(ratios)
    quarter = len(ratios) // 4
    yield Figure("engine tokens/s, app watching ÷ headless, 4 panes, demo", "≥ 0.97",
                 f"{median:.3f} (quartiles {ratios[quarter]:.3f} to {ratios[-1 - quarter]:.3f}, "
                 f"n {len(ratios)})", median >= 0.97)  # fmt: skip
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


def take_turns(
    terminal: Recorder, watching: psutil.Process, other: psutil.Process
) -> tuple[list[tuple[float, float]], float]:
    """Windows of time, `watching` going in the first of each pair; its share of a core in those."""
    windows, busy_s = [], 0.0
    for index in range(_WINDOWS):
        before, began = cpu_s(watching), time.time()
        terminal.record(_WINDOW_S)
        windows.append((began, time.time()))
        busy_s += cpu_s(watching) - before
        stopped, going = (watching, other) if index % 2 == 0 else (other, watching)
        stopped.suspend()
        going.resume()
    return windows, busy_s / (_WINDOWS / 2 * _WINDOW_S)


def median_step(elapsed: list[float], begin: float, end: float) -> float:
    """The median seconds of the steps that lie within a window."""
    pairs = itertools.pairwise(elapsed)
    return statistics.median(b - a for a, b in pairs if begin <= a and b <= end)


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
