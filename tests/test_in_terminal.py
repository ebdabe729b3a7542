"""The real app with the real engine in a real terminal, driven by keys; on the real model too."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import odd_models
from tests.support.terminal import Terminal, alive

pytestmark = pytest.mark.timeout(600)

FIVE = ("-a", "gelu,gelu_approx,gelu_fast_approx,silu,relu", "--reference", "gelu_approx", "--raw")
PROMPT = "Why is the sky blue?"
MANY = 100_000
LONG_S = 120.0  # a machine without a real BLAS decodes a step of five rows in seconds


@contextmanager
def terminal(
    *arguments: str, size: tuple[int, int] = (80, 24), fresh: bool = False
) -> Iterator[Terminal]:
    """`gelu-tui` with these arguments, `fresh` as a user starts it."""
    inherited = {k: v for k, v in os.environ.items() if k not in ("COLORTERM", "NO_COLOR")}
    command = (sys.executable, "-m", "gelu_tui", *arguments)
    opened = Terminal(command, size, inherited, fresh=fresh)
    try:
        yield opened
    finally:
        opened.close()


def until_tokens(t: Terminal, count: int, of: int) -> None:
    """Wait until a stream has at least so many; not every number is shown."""

    def told() -> bool:
        return any(int(n) >= count for n in re.findall(rf"\b(\d+)/{of}\b", t.text))

    t.until(told, f"{count}/{of} tokens", LONG_S)


@pytest.fixture(scope="module")
def endless(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The options of a run that goes on until it is stopped, on a model that computes little."""
    model = odd_models.long_running(tmp_path_factory.mktemp("models") / "long")
    return ("--model", str(model), "-a", "gelu,relu,silu", "--max-tokens", str(MANY), PROMPT)


@pytest.mark.demo
def test_type_run_watch_stop_run_again_quit(demo_model: Path) -> None:
    with terminal(*FIVE, "--max-tokens", "60", fresh=True) as t:
        # Typing works while the model loads.
        t.until_shown("F2 Functions", 15)
        t.send(PROMPT)
        t.until_shown(PROMPT, 15)
        t.until_shown("ready · demo", LONG_S)
        for name in ("gelu", "gelu_approx", "gelu_fast_approx", "silu", "relu"):
            assert name in t.text
        t.send("\r")
        t.until_shown("diverges at 0", LONG_S)
        t.until_shown("diverges at 1", LONG_S)
        t.until_shown("tok/s", LONG_S)
        t.until_shown("the reference", LONG_S)
        assert "<start_of_image>" in t.text
        t.send("\x07")
        t.until_shown("stopped", 10)
        assert "diverges at 1" in t.text, "what was shown stays"
        t.send("\r")
        until_tokens(t, 1, 60)
        (engine,) = t.engines()
        t.send("\x11")
        assert t.wait() == 0
        t.until(lambda: not alive(engine), "the engine is gone", 3)
        assert t.restored()
        assert b"Traceback" not in t.output


@pytest.mark.demo
def test_a_prompt_on_the_command_line_runs_at_once(demo_model: Path) -> None:
    with terminal(*FIVE, "--max-tokens", "12", PROMPT, size=(200, 50)) as t:
        t.until_shown(PROMPT, 15)
        t.until_shown("12/12", LONG_S)
        t.until_shown("diverges at 10", LONG_S)


@pytest.mark.parametrize("end", ["kill -9", "hang-up", "SIGTERM"])
def test_no_orphan(end: str, endless: tuple[str, ...]) -> None:
    with terminal(*endless) as t:
        until_tokens(t, 5, MANY)
        (engine,) = t.engines()
        match end:
            case "kill -9":
                t.process.kill()
            case "SIGTERM":
                os.kill(t.process.pid, signal.SIGTERM)
            case "hang-up":
                t.hang_up()
        assert t.wait() != 0
        t.until(lambda: not alive(engine), "the engine is gone", 5)
        if end == "SIGTERM":
            assert t.restored()


def test_a_killed_engine_leaves_the_screen_and_a_run_starts_a_new_one(
    endless: tuple[str, ...],
) -> None:
    with terminal(*endless) as t:
        until_tokens(t, 5, MANY)
        t.until_shown("diverges at", LONG_S)
        (engine,) = t.engines()
        engine.kill()
        t.until_shown("SIGKILL", 10)
        assert "diverges at" in t.text, "what was shown stays"
        t.send("\r")
        t.until(lambda: any(e.pid != engine.pid for e in t.engines()), "a new engine", LONG_S)
        t.until_shown("running · /", LONG_S)
        until_tokens(t, 2, MANY)
