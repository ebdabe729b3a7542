"""Where a stream stands against another one, how streams and runs end, and the words for it.

The only tables of these words: panes, matrix, lists and reports all read them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from gelu_tui.core import protocol as p

Relation = Literal["reference", "diverged", "identical", "same", "uncompared"]

# The long form and the short one; {n} is a number of tokens.
_RELATIONS: Mapping[Relation, tuple[str, str]] = {
    "reference": ("the reference", "reference"),
    "diverged": ("diverges at {n}", "{n}"),
    "identical": ("identical ({tokens})", "={n}"),
    "same": ("same so far ({tokens})", "={n}"),
    "uncompared": ("not compared", "–"),
}

# The long form and the short one.
FINISH: Mapping[p.FinishReason, tuple[str, str]] = {
    "stop": ("end of text", "ended"),
    "length": ("token limit", "limit"),
    "cancelled": ("stopped", "stopped"),
    "failed": ("failed", "failed"),
}

STATUS: Mapping[str, str] = {
    "completed": "done",
    "cancelled": "stopped",
    "failed": "failed",
}


class _Side(Protocol):
    """A stream that grows, or one of a document."""

    @property
    def tokens(self) -> Sequence[int]: ...
    @property
    def finish_reason(self) -> p.FinishReason | None: ...


@dataclass(frozen=True)
class Standing:
    """How a stream compares with the reference.

    `identical` means that both streams ended by themselves after the same tokens; `same` that they
    had the same tokens when one of them was looked at or stopped. `tokens` is the number of equal
    leading tokens, and so the first divergent token of a stream that diverged; None if unknown.
    """

    relation: Relation
    tokens: int | None = 0
    verdict: p.Verdict = "unverified"

    @property
    def first_divergent_token(self) -> int | None:
        """None where the streams have not diverged."""
        return self.tokens if self.relation == "diverged" else None

    @property
    def long(self) -> str:
        """A phrase, e.g. `diverges at 12 · formula` or `identical (40 tokens)`."""
        phrase = self._words(0)
        known = self.relation == "diverged" and self.verdict != "unverified"
        return f"{phrase} · {self.verdict}" if known else phrase

    @property
    def short(self) -> str:
        """A table cell, e.g. `12`, `=40`, or `=` where the number of tokens is unknown."""
        return self._words(1)

    def _words(self, form: int) -> str:
        words = _RELATIONS[self.relation][form]
        if self.tokens is None:
            return words.format(n="", tokens="tokens")
        return words.format(n=self.tokens, tokens=count_tokens(self.tokens))


def standing(
    reference: _Side, stream: _Side, first_divergent_token: int | None, fork: p.Fork | None = None
) -> Standing:
    """The standing of `stream` against `reference`; `fork` is the one of this pair."""
    if stream is reference:
        return Standing("reference")
    if first_divergent_token is not None:
        verdict: p.Verdict = "unverified" if fork is None else fork.verdict
        return Standing("diverged", first_divergent_token, verdict)
    shared = min(len(stream.tokens), len(reference.tokens))
    if not shared:
        return Standing("uncompared")
    ended = {stream.finish_reason, reference.finish_reason} <= {"stop", "length"}
    return Standing("identical" if ended else "same", shared)


def count_tokens(count: int) -> str:
    """`1 token`, `40 tokens`."""
    return "1 token" if count == 1 else f"{count:,} tokens"
