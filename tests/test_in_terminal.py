"""The real app with the real engine on the real model, in a real terminal, driven by keys."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.terminal import gone, terminal

pytestmark = [pytest.mark.demo, pytest.mark.xdist_group("demo"), pytest.mark.timeout(600)]

FIVE = ("-a", "gelu,gelu_approx,gelu_fast_approx,silu,relu", "--reference", "gelu_approx", "--raw")
PROMPT = "Why is the sky blue?"


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (200, 50)])
def test_type_run_watch_stop_run_again_quit(columns: int, rows: int, demo_model: Path) -> None:
    with terminal(*FIVE, "--max-tokens", "60", columns=columns, rows=rows) as t:
        # Typing works while the model loads.
        t.until_shown("Activations", 15)
        t.send(PROMPT)
        t.until_shown(PROMPT, 15)
        t.until_shown("ready")
        for name in ("gelu", "gelu_approx", "gelu_fast_approx", "silu", "relu"):
            assert name in t.screen()
        t.send("enter")
        t.until_shown("diverges at 0")
        t.until_shown("diverges at 1")
        t.until_shown("tok/s")
        t.until_shown("= reference")
        assert "<start_of_image>" in t.screen()
        t.send("ctrl+g")
        t.until_shown("stopped", 10)
        assert "diverges at 1" in t.screen(), "what was shown stays"
        t.send("enter")
        t.until_shown("1/60")
        (engine,) = t.engines()
        t.send("ctrl+q")
        assert t.until_ended() == 0
        assert gone(engine)
        assert t.modes() == t.modes_before
        assert b"\x1b[?1049l" in t.raw, "the terminal's own screen is back"
        assert b"Traceback" not in t.raw


def test_a_prompt_on_the_command_line_runs_at_once(demo_model: Path) -> None:
    with terminal(*FIVE, "--max-tokens", "12", PROMPT) as t:
        t.until_shown(PROMPT, 15)
        t.until_shown("12/12")
        t.until_shown("diverges at 10")


@pytest.mark.parametrize("end", ["kill -9", "hang-up", "SIGTERM"])
def test_no_orphan(end: str, demo_model: Path) -> None:
    with terminal(*FIVE, "--max-tokens", "200", PROMPT) as t:
        t.until_shown("5/200")
        (engine,) = t.engines()
        match end:
            case "kill -9":
                t.process.kill()
            case "SIGTERM":
                os.kill(t.process.pid, signal.SIGTERM)
            case "hang-up":
                t.hang_up()
        assert t.process.wait(10) != 0
        assert gone(engine, 5)
        if end == "SIGTERM":
            t.pump(0.2)
            assert b"\x1b[?1049l" in t.raw
            assert t.modes() == t.modes_before


def test_a_killed_engine_leaves_the_screen_and_a_run_starts_a_new_one(demo_model: Path) -> None:
    with terminal(*FIVE, "--max-tokens", "200", PROMPT) as t:
        t.until_shown("5/200")
        (engine,) = t.engines()
        engine.kill()
        t.until_shown("SIGKILL", 10)
        assert "diverges at 0" in t.screen(), "what was shown stays"
        t.send("enter")
        t.until_shown("2/200")
        assert t.engines()[0].pid != engine.pid
