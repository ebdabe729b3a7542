"""Several processes on one sweep, and processes that are killed."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path

from gelu_tui.sweep.store import SweepStore
from tests.support.stored_sweeps import header, save

# Claims two prompts at a time, saves them, and tells each before and after it is saved.
WORKER = """
import sys
from pathlib import Path
from gelu_tui.sweep.store import SweepStore
from tests.support.stored_sweeps import save
store = SweepStore.open(Path(sys.argv[1]))
texts = {name: [f" {name}{i}" for i in range(200)] for name in ("gelu_approx", "gelu", "silu")}
numbers = iter(range(int(sys.argv[2])))
while taken := store.claim(0, 2, numbers):
    for number in taken:
        print("begun", number, flush=True)
        save(store, number, texts=texts)
        print("saved", number, flush=True)
store.release()
"""
ROOT = Path(__file__).parents[2]
TIMEOUT_S = 120


def worker(store: SweepStore, count: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WORKER, str(store.folder), str(count)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def told(lines: list[str], word: str) -> list[int]:
    return [int(line.split()[1]) for line in lines if line.startswith(word)]


def test_two_processes_share_the_work(tmp_path: Path) -> None:
    store = SweepStore.create(header(24), tmp_path)
    workers = [worker(store, 24) for _ in range(2)]
    done = []
    for each in workers:
        out, _ = each.communicate(timeout=TIMEOUT_S)
        assert each.returncode == 0
        done.append(told(out.splitlines(), "saved"))
    assert sorted(done[0] + done[1]) == list(range(24)) == sorted(store.done(0))
    assert store.others() == 0


BEGINNER = """
import sys
from pathlib import Path
from gelu_tui.sweep.store import SweepStore
from tests.support.stored_sweeps import header
print(SweepStore.create(header(created=sys.argv[2]), Path(sys.argv[1])).header.created)
"""


def test_processes_that_begin_at_once_have_one_header(tmp_path: Path) -> None:
    beginners = [
        subprocess.Popen(
            [sys.executable, "-c", BEGINNER, str(tmp_path), f"2025-11-22T00:00:0{number}+00:00"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    told_by_all = {each.communicate(timeout=TIMEOUT_S)[0] for each in beginners}
    assert len(told_by_all) == 1 and "2025" in told_by_all.pop()


def test_killed_at_any_moment(tmp_path: Path) -> None:
    """A killed worker loses the prompt that it was saving, and its claims are free at once."""
    count, moments = 2000, random.Random(5)
    store = SweepStore.create(header(count), tmp_path)
    known: set[int] = set()
    for _ in range(4):
        with worker(store, count) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(moments.randrange(1, 12))]
            process.send_signal(signal.SIGKILL)
            lines += process.stdout.readlines()
        saved = set(told(lines, "saved"))
        begun = set(told(lines, "begun"))
        assert not begun & known  # nothing is done twice
        done = store.done(0)
        assert known | saved <= done <= known | begun and len(begun - saved) <= 1
        known = done
        for number in saved:
            assert len(store.load(0, number).variants[0].tokens) == 200
        # What it had claimed is free at once.
        free = SweepStore.open(store.folder)
        expected = [number for number in range(count) if number not in done][:3]
        assert free.claim(0, 3, range(count)) == expected
        free.release()
    assert store.pop_notice() is None and {o.number for o in store.outcomes()} == known
    save(store, count - 1)
