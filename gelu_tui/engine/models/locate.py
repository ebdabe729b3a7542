"""From a name to a folder: `demo`, a folder, or a hub id."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from gelu_tui.core.errors import GeluError
from gelu_tui.core.models.names import ModelName, read_name
from gelu_tui.engine.failures import IsCancelled, Report


class Located(NamedTuple):
    """A model's folder, and the id that means it everywhere: see `ModelName`."""

    id: str
    folder: Path


def locate(spec: str, report: Report, cancelled: IsCancelled) -> Located:
    """Return where a model is, which is converted or downloaded if needed.

    Raises `GeluError` and `Interrupted`.
    """
    name = read_name(spec)
    if name.kind == "folder":
        return Located(name.id, Path(name.id))
    if name.kind == "demo":
        from gelu_tui.engine.demo.convert import ensure_demo

        return Located(name.id, ensure_demo(report, cancelled))
    from gelu_tui.engine.models.hub import fetch_model

    try:
        return Located(name.id, fetch_model(name.id, report, cancelled))
    except GeluError as error:
        raise _with_readings(error, name) from error


def _with_readings(error: GeluError, name: ModelName) -> GeluError:
    """Add what else the name was read as, where that may have been meant."""
    kind, message, hint = error.info.kind, error.info.message, error.info.hint
    if kind not in ("model_not_found", "offline"):
        return error
    return GeluError(kind, f"{message} {name.other_reading}", name.hint or hint)
