"""The command `gelu-tui` as a real process."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.support import command_server

COMMAND = (sys.executable, "-P", "-m", "gelu_tui")
TIMEOUT_S = 60.0

_FAKE_ENGINE = Path(__file__).with_name("fake_engine.py")
_ROOT = Path(__file__).parent.parent.parent

# What acts on a terminal instead of showing: C0 but line feed and tab, DEL, C1, bidi, BOM.
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")

_TRACEBACK = re.compile(r"^Traceback|^\w*Error:|^Exception", re.MULTILINE)


@dataclass(frozen=True)
class Done:
    """How a command ended; stderr never holds a traceback."""

    code: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        return self.raw.decode()


def gelu(
    env: Mapping[str, str],
    *words: str | bytes,
    stdin: bytes = b"",
    prefix: Sequence[str] = (),
    cwd: Path | None = None,
) -> Done:
    """Run a command to its end; `prefix` is what starts it, which needs a Python of its own."""
    if not prefix and command_server.can_run(env):
        return finished(*command_server.run(words, env, stdin, cwd, TIMEOUT_S))
    done = subprocess.run(
        [*prefix, *COMMAND, *words],
        env=dict(env),
        input=stdin,
        capture_output=True,
        timeout=TIMEOUT_S,
        cwd=cwd,
        check=False,
    )
    return finished(done.returncode, done.stdout, done.stderr)


class Background(command_server.Process):
    """A command that is forked and has pipes; of `subprocess.Popen` what the tests use."""

    def __init__(self, env: Mapping[str, str], *words: str) -> None:
        (stdin, to_it), (from_it, stdout), (errors, stderr) = (os.pipe() for _ in range(3))
        theirs = (stdin, stdout, stderr)
        super().__init__([*COMMAND, *words], env, theirs)
        for each in theirs:
            os.close(each)
        self.stdin, self.stdout = os.fdopen(to_it, "wb"), os.fdopen(from_it, "rb")
        self.stderr = os.fdopen(errors, "rb")

    def communicate(self, timeout: float | None = None) -> tuple[bytes, bytes]:
        """What it writes until its end, after the end of its stdin. Raises `TimeoutError`."""
        self.stdin.close()
        with ThreadPoolExecutor(1) as pool:
            errors = pool.submit(self.stderr.read)
            out = self.stdout.read()
        self.wait(timeout)
        for each in (self.stdout, self.stderr):
            each.close()
        self.close()
        return out, errors.result()


def finished(code: int, out: bytes, err: bytes) -> Done:
    done = Done(code, out, err.decode("utf-8", "replace"))
    assert not _TRACEBACK.search(done.err), done.err
    assert "an error that it does not know" not in done.err, done.err
    return done


def complaint(done: Done, code: int) -> tuple[str, str]:
    """The sentence and the hint of a refused command, which prints nothing on stdout."""
    assert (done.code, done.raw) == (code, b""), done
    first, *others = done.err.splitlines()
    assert first.startswith("gelu-tui: "), done.err
    assert others and all(line.startswith("  ") for line in others), done.err
    assert not UNSAFE.search(done.err)
    return first.removeprefix("gelu-tui: "), others[-1].strip()


def fake_engine(scenario: str, step_s: float = 0.001) -> str:
    """The engine command of a stand-in without MLX; its tokens are made up."""
    words = (sys.executable, _FAKE_ENGINE, "--scenario", scenario, "--step-s", step_s)
    return shlex.join(map(str, words))


def sweep_engine(step_s: float = 0.0) -> str:
    """The engine command of a stand-in that runs several prompts at once."""
    words = (sys.executable, "-m", "tests.support.sweep_engine", "--step-s", step_s)
    return shlex.join(["env", f"PYTHONPATH={_ROOT}", *map(str, words)])


def copying_engine(file: Path) -> str:
    """The real engine, with its events also in a file: a test can see how far it is."""
    return copying(shlex.join([sys.executable, "-P", "-m", "gelu_tui.engine"]), file)


def copying(engine: str, file: Path) -> str:
    """An engine command whose events are written to a file too."""
    return shlex.join(["sh", "-c", f"{engine} | tee {shlex.quote(str(file))}"])


def wait_for(file: Path, words: bytes) -> bytes:
    """Wait until a file holds some bytes; returns all that it holds."""
    end = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end:
        if file.exists() and words in (content := file.read_bytes()):
            return content
        time.sleep(0.02)
    raise TimeoutError(f"{words!r} did not appear")


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits for its parent to notice does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def soon_gone(pid: int) -> bool:
    end = time.monotonic() + TIMEOUT_S
    while alive(pid):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
