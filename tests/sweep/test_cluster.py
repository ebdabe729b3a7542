"""Sweeps on real Dask workers, which are killed at random moments."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

pytest.importorskip("distributed", reason="the extra `cluster` is not installed")

from gelu_tui.sweep import events as e
from gelu_tui.sweep.cluster import local_cluster, members
from gelu_tui.sweep.cluster.choice import Cluster
from gelu_tui.sweep.runner import SweepSession
from tests.support.command import COMMAND, TIMEOUT_S, Done, finished, gelu, soon_gone, sweep_engine
from tests.support.engine_process import environment
from tests.support.sweep_sessions import Told, plan_of, same, sweep

MANY = [f"prompt {n}" for n in range(40)]


def nodes() -> list[psutil.Process]:
    """The Dask workers that this process started."""
    return [
        child
        for child in psutil.Process().children()
        if any("sweep.cluster.node" in word for word in child.cmdline())
    ]


async def test_workers_and_engines_killed_at_random_moments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(members, "_LOOK_S", 0.05)
    monkeypatch.setattr(local_cluster, "_PAUSE_S", 0.05)
    chance = random.Random(7)
    moments = dict.fromkeys(sorted(chance.sample(range(2, 30), 3)))
    killed = []

    def kill(event: e.SweepEvent) -> None:
        if not isinstance(event, e.PromptDone):
            return
        if told.count(e.PromptDone) in moments and (there := nodes()):
            victim = chance.choice(there)
            engines = victim.children()
            if len(killed) % 2 and engines:
                victim = engines[0]
            killed.append(victim.pid)
            victim.kill()

    plan = plan_of(MANY)
    told = Told(plan, kill)
    session = SweepSession(
        plan, told, engine_command=sweep_engine(0.03), cluster=Cluster(workers=2)
    )
    await session.run()
    assert session.store is not None and session.error is None
    assert len(killed) == 3
    assert told.count(e.PromptDone) == 40
    assert told.count(e.WorkerLost) + told.count(e.EngineLost) >= 2
    assert nodes() == []
    assert same(session.store, await sweep(plan_of(MANY, name="one")))


# --- the command ----------------------------------------------------------------------------------


@contextmanager
def dask_process(*words: str, spec: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A scheduler or worker as users start them, and the address that it prints."""
    command = [sys.executable, "-m", "distributed.cli.dask_spec", *words, "--spec"]
    process = subprocess.Popen(
        [*command, json.dumps(spec)], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    assert process.stderr is not None
    try:
        address = ""
        for line in process.stderr:
            if " at: " in line:
                address = line.split(" at: ")[1].strip()
                break
        yield process, address
    finally:
        process.kill()
        process.communicate()


class Running:
    """A sweep in the background."""

    def __init__(self, env: dict[str, str], file: Path, *words: str, step_s: float = 0.0) -> None:
        engine = ("--engine-command", sweep_engine(step_s), "--format", "json")
        functions = ("-a", "gelu,gelu_approx,relu", "--max-tokens", "8")
        command = [*COMMAND, "sweep", str(file), *functions, *engine, *words]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, env=env, stdout=pipe, stderr=pipe)
        self._folder = Path(env["XDG_DATA_HOME"]) / "gelu-tui" / "sweeps"

    def until(self, count: int) -> None:
        """Wait until so many prompts are finished, or it has ended."""
        from gelu_tui.sweep.store import SweepStore

        while self.process.poll() is None:
            for folder in self._folder.glob("*/results.sqlite"):
                if SweepStore.open(folder.parent).count().completed >= count:
                    return
            time.sleep(0.05)

    def end(self) -> Done:
        out, err = self.process.communicate(timeout=TIMEOUT_S)
        return finished(self.process.returncode, out, err)


def test_the_scheduler_and_the_owner_killed_the_same_command_goes_on(tmp_path: Path) -> None:
    env, file = environment(tmp_path), tmp_path / "set.txt"
    file.write_text("".join(f"{prompt}\n" for prompt in MANY))
    host = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
    with dask_process(spec={"cls": "distributed.Scheduler", "opts": {**host, "port": 0}}) as (
        scheduler,
        address,
    ):
        worker = {"cls": "distributed.Worker", "opts": {**host, "nthreads": 1}}
        with dask_process(address, spec=worker):
            running = Running(env, file, "--scheduler", address, step_s=0.05)
            running.until(4)
            scheduler.kill()
            done = running.end()
    assert done.code == 1
    assert done.err == (
        f"gelu-tui: The Dask scheduler {address} is gone.\n"
        "  Nothing that was finished is lost: start it, and the same command goes on.\n"
    )
    before = json.loads(done.out)["completed"]
    assert 4 <= before < 40

    running = Running(env, file, "--workers", "2", step_s=0.05)
    running.until(before + 3)
    children = psutil.Process(running.process.pid).children(recursive=True)
    os.kill(running.process.pid, signal.SIGKILL)
    running.process.communicate(timeout=TIMEOUT_S)
    assert all(soon_gone(each.pid) for each in children)

    last = Running(env, file, "--workers", "1").end()
    quiet = Running(environment(tmp_path / "quiet"), file).end()
    assert (last.code, last.err) == (0, "")
    documents = [json.loads(done.out) for done in (last, quiet)]
    for name in ("results", "differences", "completed", "failed", "tokens"):
        assert documents[0][name] == documents[1][name]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--workers", "0"), "0 is not in the range x>=1"),
        (("--workers", "2", "--ssh", "a"), "--workers and --ssh are two ways to find workers."),
        (("--scheduler", "http://host"), "--scheduler http://host is no address of a scheduler."),
        (("--scheduler", "tcp://127.0.0.1:1"), "There is no scheduler at tcp://127.0.0.1:1: "),
        (("--ssh", "no-such-host.invalid"), "The host no-such-host.invalid cannot be reached"),
        (("--ssh-python", "python3"), "--ssh-python has no effect without --ssh."),
    ],
)
def test_refusals(tmp_path: Path, words: tuple[str, ...], sentence: str) -> None:
    file = tmp_path / "set.txt"
    file.write_text("one\n")
    done = gelu(environment(tmp_path), "sweep", str(file), "--model", "demo", *words)
    assert done.code in (1, 2) and done.out == ""
    assert sentence in done.err.replace("\n", " ") and len(done.err.splitlines()) <= 6
