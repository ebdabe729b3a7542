"""The app with a fake engine in a real terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.terminal import Terminal

_START = """
import sys
from gelu_tui.tui.app import run_app
from gelu_tui.tui.options import AppOptions
{before}
sys.exit(run_app(AppOptions(
    activations=("gelu", "gelu_approx", "gelu_fast_approx", "silu", "relu"),
    max_tokens=40, engine_command={engine!r}, prompt={prompt!r},
)))
"""


@contextmanager
def terminal(
    engine: str,
    home: Path,
    *,
    prompt: str | None = None,
    before: str = "",
    size: tuple[int, int] = (80, 24),
) -> Iterator[Terminal]:
    """The app in a terminal; `before` is Python that runs first in its process."""
    script = _START.format(before=before, engine=engine, prompt=prompt)
    environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
    opened = Terminal((sys.executable, "-c", script), size, environment)
    try:
        yield opened
    finally:
        opened.close()
