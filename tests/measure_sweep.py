"""Memory and start of sweeps over few and many prompts, with an engine that answers at once.

    python -m tests.measure_sweep [--prompts 1000 100000] [--finish 900]

For each number of prompts a text file of so many is swept until `--finish` of them are finished.
Prints the seconds from the command to the first prompt that the engine gets, and the most memory
that both processes had. The engine is made up: its memory is that of the prompts that wait.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path

import psutil

from gelu_tui.core import protocol as p
from gelu_tui.sweep.store import SweepStore
from tests.measure_app import machine
from tests.support.stand_in import serve_in_process
from tests.support.sweep_engine import SweepEngine

_POLL_S = 0.05
_WARM = 100  # prompts that are few: by then all modules are imported
_FUNCTIONS = "gelu,gelu_approx,gelu_fast_approx,relu"
_MIB = 2**20


class _Engine(SweepEngine):
    """Writes into a file when the first prompt has come, and keeps none."""

    def __init__(self, first: Path) -> None:
        super().__init__()
        self._first = first
        self.compared = deque(maxlen=1)  # type: ignore[assignment]

    async def _batch(self, first: p.Compare) -> None:
        if not self._first.exists():
            self._first.write_text(str(time.time()))
        await super()._batch(first)


@dataclass
class Measured:
    """Of one sweep: the most memory in bytes so far, of the command and of its engine."""

    first_s: float
    warm: list[int]
    end: list[int]
    finished: int
    seconds: float


def measure(prompts: int, finish: int) -> Measured:
    """Sweep a file of so many prompts, and end it when so many of them are finished."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        file = home / "prompts.txt"
        file.write_text("".join(f"What comes after {n} sheep, and why?\n" for n in range(prompts)))
        first = home / "first"
        engine = shlex.join((sys.executable, "-m", "tests.measure_sweep", "--engine", str(first)))
        command = (sys.executable, "-P", "-m", "gelu_tui", "sweep", str(file), "-a", _FUNCTIONS,
                   "--engine-command", engine)  # fmt: skip
        environment = {**os.environ, "XDG_DATA_HOME": name, "XDG_CONFIG_HOME": name}
        null = subprocess.DEVNULL
        began = time.time()
        with subprocess.Popen(
            command, env=environment, stdin=null, stdout=null, stderr=subprocess.PIPE
        ) as process:
            try:
                watched = psutil.Process(process.pid)
                while not first.exists():
                    _go_on(process)
                store = SweepStore.open(next((home / "gelu-tui" / "sweeps").iterdir()))
                most, warm, finished = [0, 0], [0, 0], 0
                while finished < finish:
                    _go_on(process)
                    finished = store.count().completed
                    most = list(map(max, most, _memory(watched)))
                    if finished <= min(_WARM, finish // 2):
                        warm = most
                seconds = time.time() - began
            finally:
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)  # SIGINT may be ignored here
                process.communicate()
        return Measured(float(first.read_text()) - began, warm, most, finished, seconds)


def _go_on(process: subprocess.Popen[bytes]) -> None:
    time.sleep(_POLL_S)
    if process.poll() is not None:
        assert process.stderr is not None
        raise RuntimeError(f"the sweep ended early: {process.stderr.read().decode()}")


def _memory(process: psutil.Process) -> tuple[int, int]:
    """The resident memory of a command, and of the processes that it started."""
    children = process.children(recursive=True)
    return process.memory_info().rss, sum(child.memory_info().rss for child in children)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--prompts", type=int, nargs="+", default=[1000, 100_000])
    parser.add_argument("--finish", type=int, default=900)
    parser.add_argument("--engine", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.engine is not None:
        asyncio.run(serve_in_process(_Engine(arguments.engine)))
        return
    print(machine())
    found: list[Measured] = []
    for prompts in arguments.prompts:
        of = measure(prompts, arguments.finish)
        found.append(of)
        print(f"{prompts} prompts, {of.finished} of them finished in {of.seconds:.1f} s:")
        print(f"  command to first prompt sent   {of.first_s:6.2f} s")
        for who, place in (("command", 0), ("engine", 1)):
            warm, end = of.warm[place] / _MIB, of.end[place] / _MIB
            print(f"  memory of the {who:<15}  {end:6.1f} MiB, {warm:.1f} with few finished")
    for who, place in (("command", 0), ("engine", 1)):
        ratio = found[-1].end[place] / found[0].end[place]
        print(f"memory of the {who}, {arguments.prompts[-1]} ÷ {arguments.prompts[0]} prompts: "
              f"{ratio:.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
