"""Exceptions of the libraries as sentences for users; progress and cancelling of jobs."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, GeluError

log = logging.getLogger(__name__)

IsCancelled = Callable[[], bool]
Report = Callable[[p.Progress], None]

_OUT_OF_MEMORY = ("malloc", "allocat", "out of memory", "insufficient memory")


class Interrupted(Exception):
    """A job noticed that it was cancelled, and ends without a result."""


def stop_if(cancelled: bool) -> None:
    """Raise `Interrupted` if the job was cancelled."""
    if cancelled:
        raise Interrupted


def reason_of(error: BaseException, limit: int = 200) -> str:
    """The text of an error on one line, shortened, without a full stop; else its class."""
    text = " ".join(str(error).split()).removesuffix(".")
    return (text if len(text) <= limit else f"{text[: limit - 1]}…") or type(error).__name__


def error_info(error: Exception) -> ErrorInfo:
    """Return what happened and what to do; the traceback of an unknown error goes to the log."""
    if isinstance(error, GeluError):
        return error.info
    reason = reason_of(error)
    if isinstance(error, MemoryError) or any(word in reason.lower() for word in _OUT_OF_MEMORY):
        hint = "Choose fewer activation functions, fewer tokens, or a smaller model."
        return ErrorInfo("memory", f"Memory ran out: {reason}.", hint)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return ErrorInfo("disk_full", f"The disk is full: {reason}.", "Free some space first.")
    log.error("unknown error", exc_info=error)
    if isinstance(error, ImportError):
        message = f"A library cannot be imported: {reason}."
        return ErrorInfo("install", message, "Install gelu-tui again.")
    message = f"The engine met an error that it does not know: {reason}."
    return ErrorInfo("internal", message, "Its log has the details.")


def not_finite(name: str, where: str, why: str = "", hint: str = "") -> GeluError:
    """The error of a function whose logits hold nan or infinity; `where` is a verb and a place."""
    because = f": {why}" if why else ""
    return GeluError("not_finite", f"The logits of '{name}' {where}{because}.", hint)
