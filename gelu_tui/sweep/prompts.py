"""The prompts of a sweep."""

from __future__ import annotations

from typing import Literal

import msgspec

from gelu_tui.core import protocol as p


class Prompt(msgspec.Struct, frozen=True, kw_only=True):
    """One prompt: a text or `messages`, and what a right answer is, if it has one.

    A prompt with both is fed as messages where the model has a chat template, else as text.

    `answer` is the index of the right one of `choices`; or text that the generated text equals
    (`exact`, without white space at its ends), or a regular expression that is found in it.
    """

    number: int  # its place in the set, from 0
    id: str
    prompt: str  # of messages: the last one's content
    messages: tuple[p.ChatMessage, ...] = ()
    only_messages: bool = False  # without a form as text
    category: str = ""
    choices: tuple[str, ...] = ()
    answer: int | str | None = None
    match: Literal["exact", "regex"] = "exact"


class BadRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of a prompt file that is no prompt, and why: a clause such as `it has no prompt`."""

    number: int  # its place in the set, from 0
    id: str
    why: str
    line: int = 0  # of the file, from 1; 0 for prompts that are in no file

    @property
    def error(self) -> str:
        """The sentence that is recorded, with the line where there is one."""
        return (
            f"Line {self.line}: {self.why}."
            if self.line
            else f"{self.why[:1].upper()}{self.why[1:]}."
        )
