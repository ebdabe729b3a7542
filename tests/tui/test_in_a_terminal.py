"""The app in a real terminal: how it opens, and that every end leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil

from tests.support.app_terminal import terminal
from tests.support.driving import fake_engine
from tests.support.terminal import Terminal, alive


def running(opened: Terminal) -> psutil.Process:
    """Wait until tokens stream; the engine's process."""
    opened.until_shown("The sky")
    (engine,) = opened.engines()
    return engine


def test_opening_the_app_imports_no_model_library() -> None:
    forbidden = ("mlx", "mlx_lm", "transformers", "numpy", "huggingface_hub", "tokenizers")
    code = (
        "import sys, gelu_tui.tui.app\n"
        f"print([m for m in sys.modules if m.split('.')[0] in {forbidden}])"
    )
    said = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"


def test_the_prompt_is_shown_before_the_engine_is_started(tmp_path: Path) -> None:
    allowed = tmp_path / "allowed"
    before = (
        "import os, time\n"
        "from gelu_tui.tui.services import Services\n"
        "start = Services.start_engine\n"
        "def late(self):\n"
        f"    while not os.path.exists({str(allowed)!r}):\n"
        "        time.sleep(0.01)\n"
        "    start(self)\n"
        "Services.start_engine = late\n"
    )
    with terminal(fake_engine("five"), tmp_path, before=before) as opened:
        opened.until_shown("Type a prompt. Enter runs it")
        assert not opened.engines()
        allowed.touch()
        opened.until(opened.engines, "the engine has been started")


def test_type_run_watch_stop_quit(tmp_path: Path) -> None:
    """Its keys come in one burst, and keep their order."""
    with terminal(fake_engine("five", 0.05), tmp_path) as opened:
        opened.until_shown("Type a prompt")
        opened.send("Why is\x0ethe sky blue?\r")
        engine = running(opened)
        rows = opened.text.splitlines()
        assert rows[0].strip(" █") == "Why is"
        assert rows[1].strip(" █") == "the sky blue?"
        opened.until_shown("► diverges at 1 ")
        opened.send("\x07")
        opened.until_shown("stopped")
        opened.send("\x11")
        assert opened.wait() == 0
        assert opened.restored()
        opened.until(lambda: not alive(engine), "the engine is gone")


# The engine is asked, then told by two signals; only the last one ends an engine that hangs.
_SOON = "from gelu_tui import client\nclient._CLOSE_GRACE_S = 0.1\n"


def test_a_lost_connection_ends_an_engine_that_hangs(tmp_path: Path) -> None:
    with terminal(fake_engine("hangs", 0.05), tmp_path, prompt="x", before=_SOON) as opened:
        engine = running(opened)
        opened.hang_up()
        opened.wait()
        opened.until(lambda: not alive(engine), "the engine is gone")


def test_quit_ends_an_engine_that_hangs(tmp_path: Path) -> None:
    with terminal(fake_engine("hangs", 0.02), tmp_path, prompt="x", before=_SOON) as opened:
        engine = running(opened)
        engine.suspend()
        opened.send("\x11")
        assert opened.wait() == 0
        assert opened.restored()
        opened.until(lambda: not alive(engine), "the engine is gone")


def test_a_fault_of_the_app_is_a_sentence_and_a_log_entry(tmp_path: Path) -> None:
    before = (
        "from gelu_tui.tui.navigation import Navigation\nNavigation.help = lambda self: 1 / 0\n"
    )
    with terminal(fake_engine("five", 0.05), tmp_path, prompt="x", before=before) as opened:
        engine = running(opened)
        opened.send("\x1bOP")
        assert opened.wait() == 1
        assert opened.restored()
        said = opened.output.decode().rpartition("\x1b[?1049l")[2]
        assert "gelu-tui ended because of a fault of its own." in said
        assert "Traceback" not in said
        (log,) = tmp_path.rglob("app.log")
        assert "ZeroDivisionError" in log.read_text(encoding="utf-8")
        assert log.stat().st_mode & 0o077 == 0, "only the user can read it"
        opened.until(lambda: not alive(engine), "the engine is gone")
