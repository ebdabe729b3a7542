"""One error type for everything a user is told: what happened, and what to do."""

from __future__ import annotations

import msgspec


class ErrorInfo(msgspec.Struct, frozen=True, omit_defaults=False):
    """An error as it crosses the protocol and stands in a document.

    `kind` is a stable word for programs, `message` one sentence that says what happened,
    `hint` one sentence that says what to do (may be empty).
    """

    kind: str
    message: str
    hint: str = ""


class GeluError(Exception):
    """An expected failure, ready to be shown; never a traceback."""

    def __init__(self, kind: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.info = ErrorInfo(kind, message, hint)


class UsageError(GeluError):
    """The caller asked for something that cannot be meant: exit code 2, no model needed."""

    def __init__(self, message: str, hint: str = "", *, kind: str = "usage") -> None:
        super().__init__(kind, message, hint)
