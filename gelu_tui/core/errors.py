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
    """An expected failure: what happened in a sentence, and a hint on what to do.

    The program shows these, never a traceback; Python's own traceback shows the hint as a note.
    """

    def __init__(self, kind: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.info = ErrorInfo(kind, message, hint)
        if hint:
            self.add_note(hint)

    @property
    def hint(self) -> str:
        """What to do; may be empty."""
        return self.info.hint


class UsageError(GeluError):
    """The caller's input is wrong, which is found without a model: exit code 2."""

    def __init__(self, message: str, hint: str = "", *, kind: str = "usage") -> None:
        super().__init__(kind, message, hint)
