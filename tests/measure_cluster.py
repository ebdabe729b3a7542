"""What workers cost: CPU seconds of engines, of Dask workers and of the process that owns a sweep.

Seconds of CPU tell it on a busy machine too, where the time on the clock tells how busy it is.

    python -m tests.measure_cluster builtin:mixed --limit 60 --model demo --max-tokens 8
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time

import psutil

_LOOK_S = 0.2


def kind_of(process: psutil.Process) -> str:
    words = " ".join(process.cmdline())
    if not words:
        return ""
    if "cluster.node" in words:
        return "workers"
    return "engines" if "engine" in words and " sweep " not in f"{words} " else "owner"


def measured(words: list[str]) -> dict[str, float]:
    """Run a sweep and return its seconds by kind of process, and on the clock."""
    with tempfile.TemporaryDirectory() as home:
        env = {**os.environ, "XDG_DATA_HOME": home}
        began = time.monotonic()
        command = [sys.executable, "-P", "-m", "gelu_tui", "sweep", *words, "--format", "json"]
        running = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
        root, kinds, found = psutil.Process(running.pid), {}, {}
        while running.poll() is None:
            with contextlib.suppress(psutil.Error):
                for process in [root, *root.children(recursive=True)]:
                    with contextlib.suppress(psutil.Error):
                        times = process.cpu_times()
                        # One that has ended has no words any more.
                        kinds[process.pid] = kinds.get(process.pid) or kind_of(process)
                        found[process.pid] = times.user + times.system
            time.sleep(_LOOK_S)
    totals = {"engines": 0.0, "workers": 0.0, "owner": 0.0}
    for pid, seconds in found.items():
        totals[kinds[pid] or "owner"] += seconds
    return {**totals, "clock": time.monotonic() - began}


def main() -> None:
    for more in ([], ["--workers", "1"], ["--workers", "2"]):
        took = measured([*sys.argv[1:], *more])
        overhead = (took["workers"] + took["owner"]) / took["engines"]
        named = " ".join(f"{name} {seconds:.1f} s" for name, seconds in took.items())
        print(f"{' '.join(more) or 'one engine'}: {named}; beside the engines {overhead:.1%}")


if __name__ == "__main__":
    main()
