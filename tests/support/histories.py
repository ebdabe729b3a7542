"""A history looked at from outside: by its prompts, by SQLite, by another process."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
from pathlib import Path

from gelu_tui.core.runs.history import History

_ROOT = Path(__file__).parents[2]


def prompts(history: History) -> list[str]:
    """The prompts of all runs, each of which must load."""
    entries = history.entries()
    return [history.load(entry.id).prompt for entry in entries]


def in_file(history: History, statement: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(history.path)) as connection, connection:
        return connection.execute(statement).fetchall()


def python(code: str, *words: object) -> subprocess.Popen[str]:
    """A process that has `History`, `run_document` and `sys`, and `words` as its arguments."""
    imports = (
        "import os, sys\nfrom pathlib import Path\n"
        "from gelu_tui.core.runs.history import History\n"
        "from tests.support.comparisons import run_document\n"
    )
    return subprocess.Popen(
        (sys.executable, "-c", imports + code, *map(str, words)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=_ROOT,
    )
