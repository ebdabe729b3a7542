"""What goes wrong in a real terminal while tokens stream, and what the user still has then."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.support import shown
from tests.support.app_terminal import app_command, saved, terminal
from tests.support.app_terminal import opened as opened_in
from tests.support.driving import fake_engine
from tests.support.recorder import Recorder
from tests.support.terminal import Terminal, alive

WIDE = (120, 36)


def running(opened: Terminal) -> psutil.Process:
    """Wait until tokens stream; the engine's process."""
    opened.until_shown(shown.LATER, 40)
    (engine,) = opened.engines()
    return engine


def goes_on(opened: Terminal, timeout_s: float = 60) -> None:
    """Wait until more tokens are shown than now."""
    before = shown.tokens_shown(opened.text)
    opened.until(lambda: shown.tokens_shown(opened.text) > before, "more tokens", timeout_s)


def restarted(opened: Terminal, old: psutil.Process) -> None:
    """Wait until another engine streams and the old one is gone."""

    def renewed() -> bool:
        return any(engine.pid != old.pid for engine in opened.engines())

    opened.until(renewed, "another engine", 30)
    opened.until(lambda: not alive(old), "the old engine is gone", 30)
    opened.until(lambda: 0 < shown.tokens_shown(opened.text) < 12, "the new run's first tokens", 30)


# --- the engine -------------------------------------------------------------------------------


def test_a_killed_engine(tmp_path: Path) -> None:
    with terminal(fake_engine("long", 0.1), tmp_path, prompt="x", size=WIDE, max_tokens=400) as it:
        engine = running(it)
        engine.kill()
        it.until_shown(shown.KILLED)
        (entry,) = saved(tmp_path)
        assert entry.status == "failed" and entry.total_tokens >= 5 * 10
        assert shown.LATER in it.text, "what was shown stays"
        assert shown.FORKED in it.text
        it.send(shown.ENTER)
        restarted(it, engine)


def test_an_engine_that_hangs(tmp_path: Path) -> None:
    with terminal(fake_engine("long", 0.1), tmp_path, prompt="x", size=WIDE, max_tokens=400) as it:
        engine = running(it)
        engine.suspend()
        it.send("typed")
        it.until_shown("typed")
        assert shown.LATER in it.text, "what was shown stays"
        it.send(shown.RELOAD)
        it.until_shown("F5 again loads the model anew")
        it.send(shown.RELOAD)
        it.until(lambda: not alive(engine), "the old engine is gone")
        it.until(it.engines, "a new engine")
        assert shown.LATER in it.text, "what was shown stays"
        it.send(shown.ENTER)
        restarted(it, engine)


def test_an_engine_that_writes_garbage(tmp_path: Path) -> None:
    with terminal(fake_engine("garbage", 0.1), tmp_path, prompt="x", size=WIDE) as it:
        it.until(it.engines, "an engine")
        (engine,) = it.engines()
        it.until_shown(shown.NO_SENSE)
        assert "The sky is blue" in it.text, "what was shown stays"
        assert b"\x1b[31m(most" not in it.output, "what it wrote does not act on the terminal"
        it.send(shown.ENTER)
        restarted(it, engine)


# --- the terminal -----------------------------------------------------------------------------


def test_a_storm_of_resizes(tmp_path: Path) -> None:
    dice = random.Random(7)
    engine = fake_engine("long", 0.05)
    with terminal(engine, tmp_path, prompt="x", size=WIDE, max_tokens=4000) as it:
        running(it)
        for _ in range(80):
            it.resize((dice.randint(2, dice.choice((30, 160))), dice.randint(1, 50)))
            drain(it, 0.01)
        it.resize(WIDE)
        it.until_shown(shown.RUNNING)
        goes_on(it)
        it.send(shown.STOP)
        it.until_shown(shown.STOPPED)
        quiet(it)
        settled, drawn = it.text, len(it.output)
        it.resize((121, 36))
        it.until(lambda: len(it.output) > drawn, "it draws for another size")
        it.resize(WIDE)
        quiet(it)
        assert it.text == settled, "nothing of the storm is left on the screen"


def drain(opened: Terminal, seconds: float) -> None:
    """Read what the app writes for so long."""
    until = time.monotonic() + seconds
    opened.until(lambda: time.monotonic() >= until, "time passes")


def quiet(opened: Terminal) -> None:
    """Wait until the app writes nothing for half a second."""
    last, since = len(opened.output), time.monotonic()

    def nothing_new() -> bool:
        nonlocal last, since
        if len(opened.output) != last:
            last, since = len(opened.output), time.monotonic()
        return time.monotonic() - since > 0.5

    opened.until(nothing_new, "a quiet app", 30)


def test_what_came_while_the_line_stood_still_is_drawn_without_another_token(
    tmp_path: Path,
) -> None:
    before = (
        "from gelu_tui.tui.terminal import backpressure\n"
        "backpressure._SILENCE_S = 1.5\n"  # longer than the line stands still
        "backpressure._LONG_SILENCE_S = 5.0\n"
    )
    engine_command = fake_engine("long", 0.02)
    command = app_command(engine_command, prompt="x", max_tokens=400, before=before)
    it = Recorder(command, WIDE, {"PATH": os.environ["PATH"], "HOME": str(tmp_path)})
    try:
        engine = running(it)
        it.bytes_per_s, it.buffered = 1_000_000, True
        before = shown.tokens_shown(it.text)
        it.stand_still(1.2)  # 60 tokens, of which the app may have sent a third's
        engine.suspend()
        # Even the greatest silence that the app waits for is shorter than this.
        it.until(lambda: shown.tokens_shown(it.text) >= before + 40, "all that came", 15)
    finally:
        it.close()


def test_a_terminal_that_is_too_small_says_so_and_may_grow(tmp_path: Path) -> None:
    with terminal(
        fake_engine("long", 0.05), tmp_path, prompt="x", size=(20, 5), max_tokens=400
    ) as it:
        it.until_shown(shown.MORE_ROOM)
        it.resize((80, 24))
        running(it)
        it.resize((20, 5))
        it.until_shown(shown.MORE_ROOM)
        it.resize((80, 24))
        it.until_shown(shown.FORKED)
        goes_on(it)
        it.send("typed")
        it.until_shown("typed")


def test_a_pasted_megabyte(tmp_path: Path) -> None:
    with terminal(fake_engine("five", 0.02), tmp_path) as it:
        it.until_shown(shown.READY)
        line = "the quick brown fox jumps over the lazy dog and then sits down again to rest\n"
        pour(it, f"\x1b[200~{line * (2**20 // len(line))}\x1b[201~".encode())
        it.send("Ж")
        it.until_shown("Ж", 60)
        it.send(shown.QUIT)
        assert it.wait() == 0
        assert not it.left_behind()


def pour(opened: Terminal, data: bytes) -> None:
    """Write more than a terminal takes at once, and read meanwhile."""
    os.set_blocking(opened.master, False)
    rest = memoryview(data)

    def poured() -> bool:
        nonlocal rest
        try:
            while rest:
                rest = rest[os.write(opened.master, rest[:4096]) :]
        except BlockingIOError:
            return False
        return True

    opened.until(poured, "all of it is taken", 60)
    os.set_blocking(opened.master, True)


@pytest.mark.parametrize(
    "locale",
    [
        {"LC_ALL": "C"},
        {"LANG": "xx.ISO-8859-1"},
        # What a real ISO-8859-1 locale does to Python, where none may be installed.
        {"LANG": "", "PYTHONIOENCODING": "latin-1"},
    ],
    ids=["C", "unknown", "ISO-8859-1"],
)
def test_a_locale_that_is_not_utf8(locale: dict[str, str], tmp_path: Path) -> None:
    words = ("-a", "gelu_approx,silu", "--engine-command", fake_engine("five", 0.02), "x")
    command = (sys.executable, "-m", "gelu_tui", *words)
    with opened_in(command, tmp_path, WIDE, locale) as it:
        it.until_shown(shown.FORKED)
        assert "\\u" not in it.text, "no character is spelled out"
        assert "\ufffd" not in it.text
        it.send("Ж")
        it.until_shown("Ж")
        it.send(shown.QUIT)
        assert it.wait() == 0


# --- the end ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("end", "code"), [("SIGTERM", 143), ("Ctrl+Q", 0)])
def test_the_end_when_nobody_reads_the_terminal(end: str, code: int, tmp_path: Path) -> None:
    before = (
        "from gelu_tui.tui.terminal import driver, shutdown\n"
        "driver._ABANDON_S = 0.1\n"
        "shutdown._GRACE_S = 0.5\n"
    )
    parts = {"prompt": "x", "size": WIDE, "max_tokens": 4000, "before": before}
    with terminal(fake_engine("long", 0.01), tmp_path, **parts) as it:  # type: ignore[arg-type]
        child = running(it)
        it.take_nothing()
        quiet(it)
        if end == "SIGTERM":
            it.process.send_signal(signal.SIGTERM)
        else:
            it.send(shown.QUIT)
        assert it.process.wait(60) == code
        assert "line settings" not in it.left_behind()
        it.until(lambda: not alive(child), "the engine is gone")
        (entry,) = saved(tmp_path)
        assert entry.total_tokens >= 5 * 10, "what there was is saved"
