"""Signals end a run early, with what there is printed and no engine left behind."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.command import (
    COMMAND,
    TIMEOUT_S,
    Background,
    Done,
    alive,
    copying,
    copying_engine,
    fake_engine,
    finished,
    soon_gone,
    wait_for,
)

BY_ITSELF = ("env",)
ENDLESS = ("-a", "gelu,relu,silu", "--max-tokens", "100000", "the sky")


class Running:
    """A command in the background."""

    def __init__(self, process: subprocess.Popen[bytes] | Background) -> None:
        self.process = process

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def until(self, name: str) -> list[dict[str, Any]]:
        """With `--format jsonl`: the events up to the first one of this name."""
        assert self.process.stdout is not None
        events = []
        for line in self.process.stdout:
            events.append(json.loads(line))
            if events[-1]["event"] == name:
                return events
        raise AssertionError(f"no {name} among {[event['event'] for event in events]}")

    def until_phase(self, phase: str) -> int:
        """With `--format jsonl`: wait for an event of a phase; return the engine's process id."""
        assert self.process.stdout is not None
        pid = 0
        for line in self.process.stdout:
            event = json.loads(line)
            pid = event.get("pid", pid)
            if phase in (event["event"], event.get("phase")):
                return pid
        raise AssertionError(f"the run ended before {phase}")

    def end(self) -> Done:
        out, err = self.process.communicate(timeout=TIMEOUT_S)
        assert self.process.returncode is not None
        return finished(self.process.returncode, out, err)


@contextmanager
def running(env: dict[str, str], *words: str, prefix: tuple[str, ...] = ()) -> Iterator[Running]:
    """A command in the background; `prefix` is what starts it, with a Python of its own.

    A stand-in for the engine is a process only where there is a prefix.
    """
    process: subprocess.Popen[bytes] | Background
    if not prefix:
        process = Background(env, *words)
    else:
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            [*prefix, *COMMAND, *words], env=env, stdin=pipe, stdout=pipe, stderr=pipe
        )
    try:
        yield Running(process)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()


def until_it_reads(process: subprocess.Popen[bytes] | Background) -> None:
    """Give it something on stdin and wait until that is taken."""
    assert process.stdin is not None
    process.stdin.write(b"x")
    process.stdin.flush()
    waiting = array("i", [1])
    while waiting[0]:
        time.sleep(0.02)
        fcntl.ioctl(process.stdin, termios.FIONREAD, waiting)


# --- one signal -----------------------------------------------------------------------------------


@pytest.mark.parametrize("output", ["text", "json"])
def test_an_interrupt_prints_what_there_is(
    env: dict[str, str], long_model: Path, tmp_path: Path, output: str
) -> None:
    events = tmp_path / "events"
    words = ("--model", str(long_model), "--engine-command", copying_engine(events))
    with running(env, "run", *words, "--format", output, *ENDLESS) as command:
        seen = wait_for(events, b'"event":"step"')
        command.signal(signal.SIGINT)
        done = command.end()
    assert (done.code, done.err) == (130, "")
    assert soon_gone(json.loads(seen.splitlines()[0])["pid"])
    if output == "text":
        assert done.out.endswith("Interrupted: these are the tokens until then.\n")
        # A fork that was found before says that the run was stopped before its replay.
        words = " ".join(done.out.split()).replace("the run was stopped", "")
        assert words.count("stopped") == 3
        return
    document = json.loads(done.raw)
    assert (document["status"], document["error"]) == ("cancelled", None)
    lengths = {len(variant["tokens"]) for variant in document["variants"]}
    assert lengths == {document["timing"]["decode_steps"]} and min(lengths) >= 1
    for variant in document["variants"]:
        assert variant["finish_reason"] == "cancelled"
        assert len(variant["steps"]) == len(variant["tokens"])


def test_an_interrupt_while_the_model_loads(
    env: dict[str, str], long_model: Path, tmp_path: Path
) -> None:
    events = tmp_path / "events"
    words = ("--model", str(long_model), "--engine-command", copying_engine(events))
    with running(env, "run", *words, *ENDLESS) as command:
        seen = wait_for(events, b'"phase":"load"')
        command.signal(signal.SIGINT)
        done = command.end()
    assert (done.code, done.raw, done.err) == (130, b"", "")
    assert soon_gone(json.loads(seen.splitlines()[0])["pid"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_each_signal_cancels_and_is_told_by_the_exit_code(
    env: dict[str, str], number: signal.Signals
) -> None:
    words = ("--engine-command", fake_engine("long", 0.02), "--format", "jsonl")
    with running(env, "run", *words, *ENDLESS, prefix=BY_ITSELF) as command:
        pid = command.until("step")[0]["pid"]
        command.signal(number)
        done = command.end()
    assert (done.code, done.err) == (128 + number, "")
    last = json.loads(done.raw.splitlines()[-1])
    assert (last["event"], last["status"]) == ("finished", "cancelled")
    assert soon_gone(pid)


def test_an_interrupt_before_the_engine_answers(env: dict[str, str]) -> None:
    words = ("--engine-command", fake_engine("silent"))
    with running(env, "run", *words, "x", prefix=BY_ITSELF) as command:
        while not (children := psutil.Process(command.process.pid).children()):
            time.sleep(0.02)
        (engine,) = children
        command.signal(signal.SIGINT)
        done = command.end()
    assert (done.code, done.raw, done.err) == (130, b"", "")
    assert soon_gone(engine.pid)


def test_an_interrupt_while_stdin_is_read(env: dict[str, str]) -> None:
    with running(env, "run", "-") as command:
        until_it_reads(command.process)
        command.signal(signal.SIGINT)
        done = command.end()
    assert (done.code, done.raw, done.err.strip()) == (130, b"", "")


def test_a_hang_up_is_ignored_under_nohup(env: dict[str, str]) -> None:
    words = ("--engine-command", fake_engine("long", 0.02), "--format", "jsonl")
    ignoring = ("sh", "-c", "trap '' HUP; exec \"$@\"", "sh")
    with running(
        env, "run", *words, "-a", "gelu", "--max-tokens", "40", "x", prefix=ignoring
    ) as command:
        command.until("step")
        command.signal(signal.SIGHUP)
        done = command.end()
    assert done.code == 0
    assert json.loads(done.raw.splitlines()[-1])["status"] == "completed"


# --- in every phase -------------------------------------------------------------------------------


def phases(model: Path, phase: str) -> tuple[str, ...]:
    """A run that comes through this phase, and never ends by itself."""
    prompt = "the sky is blue " * (2500 if phase == "prefill" else 1)
    words = ("run", "--model", str(model), "--format", "jsonl", "--max-tokens", "100000")
    return (*words, "-a", "gelu,relu,silu", prompt)


@pytest.mark.parametrize(
    ("phase", "number"),
    [
        ("hello", signal.SIGTERM),
        ("load", signal.SIGKILL),
        ("prefill", signal.SIGABRT),
        ("step", signal.SIGSEGV),
    ],
)
def test_an_engine_that_is_killed_is_one_sentence(
    env: dict[str, str], long_model: Path, phase: str, number: signal.Signals
) -> None:
    with running(env, *phases(long_model, phase)) as command:
        pid = command.until_phase(phase)
        os.kill(pid, number)
        done = command.end()
    assert soon_gone(pid)
    sentence, hint = done.err.splitlines()
    assert done.code == 1
    assert sentence.startswith(f"gelu-tui: The engine was killed ({number.name})")
    assert hint.startswith("  ") and "Its log is" not in hint, "the signal itself is explained"


@pytest.mark.parametrize("phase", ["hello", "prefill"])
def test_a_command_that_is_hung_up_in_other_phases(
    env: dict[str, str], long_model: Path, phase: str
) -> None:
    with running(env, *phases(long_model, phase)) as command:
        pid = command.until_phase(phase)
        command.signal(signal.SIGHUP)
        done = command.end()
    assert soon_gone(pid)
    assert (done.code, done.err) == (128 + signal.SIGHUP, "")


# --- an engine that does not listen ---------------------------------------------------------------


def test_a_second_interrupt_does_not_wait(env: dict[str, str]) -> None:
    words = ("--engine-command", fake_engine("hangs"), "--format", "jsonl")
    with running(env, "run", *words, *ENDLESS, prefix=BY_ITSELF) as command:
        pid = command.until("step")[0]["pid"]
        command.signal(signal.SIGINT)
        time.sleep(0.3)
        assert command.process.poll() is None
        command.signal(signal.SIGINT)
        done = command.end()
    assert (done.code, done.err) == (130, "")
    assert soon_gone(pid)


def test_one_interrupt_waits_only_so_long(env: dict[str, str], tmp_path: Path) -> None:
    events = tmp_path / "events"
    engine = copying(fake_engine("hangs"), events)
    with running(env, "run", "--engine-command", engine, "--format", "json", *ENDLESS) as command:
        wait_for(events, b'"step":5')
        time.sleep(0.3)  # it is told, and nothing follows
        began = time.monotonic()
        command.signal(signal.SIGINT)
        done = command.end()
    assert time.monotonic() - began > 4
    assert done.code == 130
    document = json.loads(done.raw)
    assert document["status"] == "cancelled"
    assert [len(variant["tokens"]) for variant in document["variants"]] == [6, 6, 6]


@pytest.mark.parametrize("asleep", [False, True])
def test_killed_outright_it_leaves_no_engine(
    env: dict[str, str], long_model: Path, asleep: bool
) -> None:
    if asleep and sys.platform != "linux":
        pytest.skip("only Linux tells a stopped process of its parent's death")
    words = ("--model", str(long_model), "--format", "jsonl")
    with running(env, "run", *words, *ENDLESS) as command:
        pid = command.until("step")[0]["pid"]
        assert alive(pid)
        if asleep:
            os.kill(pid, signal.SIGSTOP)
        command.signal(signal.SIGKILL)
        assert soon_gone(pid)
        assert command.end().code == -signal.SIGKILL
