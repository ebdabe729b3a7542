"""The app under a shell with job control, and in tmux."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.support import shown
from tests.support.app_terminal import app_command, opened
from tests.support.driving import fake_engine
from tests.support.terminal import Terminal, alive

SIZE = (100, 30)
needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")


def child_named(opened: Terminal, word: str) -> psutil.Process | None:
    """The process under the terminal whose command has this word."""
    for child in psutil.Process(opened.process.pid).children(recursive=True):
        if word in " ".join(child.cmdline()):
            return child
    return None


# --- Ctrl+Z and fg ----------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["Ctrl+Z", "SIGTSTP"])
def test_suspend_and_resume(how: str, tmp_path: Path) -> None:
    engine = fake_engine("long", 0.05)
    app = tmp_path / "app"
    app.write_text(f"exec {shlex.join(app_command(engine, prompt='x', max_tokens=2000))}")
    plain = tmp_path / "inputrc"
    plain.write_text("set enable-bracketed-paste off\n")
    shell = ("bash", "--norc", "--noprofile", "-i")
    with opened(shell, tmp_path, SIZE, {"PS1": "shell> ", "INPUTRC": str(plain)}) as it:
        it.until_shown("shell>")
        it.send(f"sh {app}\r")
        it.until_shown(shown.LATER, 40)
        process = child_named(it, "run_app")
        assert process is not None
        if how == "Ctrl+Z":
            it.send(shown.SUSPEND)
        else:
            process.send_signal(signal.SIGTSTP)
        it.until_shown("Stopped")
        it.until(lambda: not it.modes_left(), f"off again: {it.modes_left()}")
        it.send("echo $((6 * 7))\r")
        it.until_shown("42")
        it.send("fg\r")
        it.until_shown(shown.RUNNING)
        it.until(lambda: shown.tokens_shown(it.text), "a count of tokens")
        before = shown.tokens_shown(it.text)
        it.until(lambda: shown.tokens_shown(it.text) > before, "it goes on")
        it.send("typed")
        it.until_shown("typed")
        it.send(shown.QUIT)
        it.until(lambda: not alive(process), "the app has ended")
        it.until(lambda: not it.modes_left(), f"off again: {it.modes_left()}")


# --- tmux -------------------------------------------------------------------------------------


@contextmanager
def tmux(
    home: Path, command: tuple[str, ...], more: Mapping[str, str] | None = None
) -> Iterator[list[str]]:
    """A tmux server of its own with the app in it; the words that its commands begin with."""
    words = ["tmux", "-S", str(home / "tmux"), "-f", os.devnull]
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8", **(more or {})}
    size = ("-x", str(SIZE[0]), "-y", str(SIZE[1]))
    subprocess.run(
        [*words, "new-session", "-d", *size, shlex.join(command)], env=environment, check=True
    )
    try:
        yield words
    finally:
        subprocess.run([*words, "kill-server"], check=False, capture_output=True)


@contextmanager
def attached(words: list[str], home: Path, size: tuple[int, int]) -> Iterator[Terminal]:
    """A terminal that looks at the session."""
    with opened((*words, "attach"), home, size, {}) as it:
        yield it


@needs_tmux
def test_detach_and_attach(tmp_path: Path) -> None:
    command = app_command(fake_engine("long", 0.05), prompt="x", max_tokens=2000)
    with tmux(tmp_path, command) as words:
        with attached(words, tmp_path, SIZE) as it:
            it.until_shown(shown.LATER, 40)
            it.until(lambda: shown.tokens_shown(it.text), "a count of tokens")
            before = shown.tokens_shown(it.text)
            it.send("\x02d")
            it.wait()
        with attached(words, tmp_path, (80, 24)) as it:
            it.until_shown(shown.RUNNING)
            it.until(lambda: shown.tokens_shown(it.text) > before, "it went on meanwhile")
            it.send("typed")
            it.until_shown("typed")
            it.send(shown.QUIT)
            it.wait()


@needs_tmux
@pytest.mark.demo
@pytest.mark.timeout(600)
def test_the_real_engine_in_tmux(tmp_path: Path, demo_model: Path) -> None:
    activations = ("-a", "gelu,gelu_approx,silu", "--reference", "gelu_approx", "--raw")
    words = (*activations, "--max-tokens", "12", "Why is the sky blue?")
    cache = {"XDG_CACHE_HOME": str(demo_model.parents[2])}
    with tmux(tmp_path, (sys.executable, "-m", "gelu_tui", *words), cache) as server:
        with attached(server, tmp_path, SIZE) as it:
            it.until_shown("12/12", 180)
            it.until_shown(shown.FORKED)
            it.send("\x02d")
            it.wait()
        with attached(server, tmp_path, (80, 24)) as it:
            it.until_shown(shown.FORKED)
            it.send(shown.QUIT)
            it.wait()
            assert "Traceback" not in it.text
