"""Exceptions of the libraries as sentences for users."""

from __future__ import annotations

import errno
import logging

from gelu_tui.core.errors import ErrorInfo, GeluError

log = logging.getLogger(__name__)

_OUT_OF_MEMORY = ("malloc", "allocat", "out of memory", "insufficient memory")


class Interrupted(Exception):
    """A cancel was noticed: what runs ends without a result."""


def explain(error: Exception) -> ErrorInfo:
    """Say what happened and what to do; the traceback of anything unknown goes to the log."""
    if isinstance(error, GeluError):
        return error.info
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    if isinstance(error, MemoryError) or any(word in reason.lower() for word in _OUT_OF_MEMORY):
        return ErrorInfo(
            "memory",
            f"Memory ran out: {reason}.",
            "Choose fewer activation functions, fewer tokens, or a smaller model.",
        )
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return ErrorInfo("disk_full", f"The disk is full: {reason}.", "Free some space first.")
    log.error("unknown error", exc_info=error)
    if isinstance(error, ImportError):
        return ErrorInfo(
            "install", f"A library cannot be imported: {reason}.", "Install gelu-tui again."
        )
    return ErrorInfo(
        "internal",
        f"The engine met an error that it does not know: {reason}.",
        "Its log has the details.",
    )
