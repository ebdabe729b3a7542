"""A saved run by what the user calls it: its number, `last`, or the name of a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from gelu_tui.core.errors import GeluError, UsageError
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.runs.history import History, run_number
from gelu_tui.core.runs.restore import read_document
from gelu_tui.core.safe_text import visible_line

_SIZE_LIMIT = 512 * 1024 * 1024


def find_run(
    run: str | int | os.PathLike[str], opened: Callable[[], AbstractContextManager[History]]
) -> tuple[int | None, ComparisonDocument]:
    """Return a saved run with its number in the history, which `opened` opens; None for a file.

    Raises `GeluError`.
    """
    if is_in_history(run):
        with opened() as history:
            number = history.last() if run == "last" else run_number(str(run))
            return number, history.load(number)
    return None, read_document(read_file(Path(str(run))))


def is_in_history(run: str | int | os.PathLike[str]) -> bool:
    """Return whether this names a run of the history, and not a file."""
    return isinstance(run, int) or (isinstance(run, str) and (run == "last" or run.isdecimal()))


def read_file(path: Path) -> bytes:
    """Return what a file of a saved run holds. Raises `GeluError`."""
    shown = visible_line(str(path))
    try:
        with path.open("rb") as file:
            data = file.read(_SIZE_LIMIT + 1)
    except (OSError, ValueError) as error:
        message = f"'{shown}' cannot be read: {getattr(error, 'strerror', None) or error}."
        hint = "Give a JSON file, `last`, or what `gelu-tui history` lists."
        raise UsageError(message, hint, kind="no_run") from None
    if len(data) > _SIZE_LIMIT:
        raise GeluError("not_a_document", f"'{shown}' is too large for a saved comparison.")
    return data
