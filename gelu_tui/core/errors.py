"""The errors that are reported to the user: what happened, and what to do."""

from __future__ import annotations

from typing import Annotated

import msgspec

# Shown on a screen: what an engine or a file says may not be a book.
_Sentence = Annotated[str, msgspec.Meta(max_length=100_000)]


class ErrorInfo(msgspec.Struct, frozen=True):
    """An error in an event or a document.

    `kind` is a stable word for programs, `message` a sentence on what happened, `hint` a sentence
    on what to do (may be empty).
    """

    kind: _Sentence
    message: _Sentence
    hint: _Sentence = ""


class GeluError(Exception):
    """An expected failure, which is shown as a sentence, never as a traceback."""

    def __init__(self, kind: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.info = ErrorInfo(kind, message, hint)


class UsageError(GeluError):
    """The caller's input is wrong, which is found without a model: exit code 2."""

    def __init__(self, message: str, hint: str = "", *, kind: str = "usage") -> None:
        super().__init__(kind, message, hint)
