"""The app with a fake engine in a real terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from gelu_tui.core.errors import GeluError
from gelu_tui.core.runs.history import Entry, History
from tests.support.terminal import Terminal

_START = """
import sys
from gelu_tui.tui.app import run_app
from gelu_tui.core.settings.user_file import Settings
{before}
sys.exit(run_app(Settings(
    activations=("gelu", "gelu_approx", "gelu_fast_approx", "silu", "relu"),
    max_tokens={max_tokens}, engine_command={engine!r},
), {prompt!r}))
"""


def app_command(
    engine: str, *, prompt: str | None = None, before: str = "", max_tokens: int = 40
) -> tuple[str, ...]:
    """The command that starts the app; `before` is Python that runs first in its process."""
    script = _START.format(before=before, engine=engine, prompt=prompt, max_tokens=max_tokens)
    return (sys.executable, "-c", script)


@contextmanager
def terminal(
    engine: str,
    home: Path,
    *,
    prompt: str | None = None,
    before: str = "",
    size: tuple[int, int] = (80, 24),
    max_tokens: int = 40,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Terminal]:
    """The app in a terminal."""
    command = app_command(engine, prompt=prompt, before=before, max_tokens=max_tokens)
    with opened(command, home, size, environment or {}) as it:
        yield it


@contextmanager
def opened(
    command: tuple[str, ...], home: Path, size: tuple[int, int], environment: Mapping[str, str]
) -> Iterator[Terminal]:
    """Any command in a terminal, in a home of its own; at the end it is gone."""
    own = {"PATH": os.environ["PATH"], "HOME": str(home)}
    it = Terminal(command, size, {**own, **environment})
    try:
        yield it
    finally:
        it.close()


def saved(home: Path) -> list[Entry]:
    """The runs in the history under this home; none while it is being made."""
    for file in home.rglob("history.sqlite"):
        try:
            return History(file).entries()
        except GeluError:
            return []
    return []
