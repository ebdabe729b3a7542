"""How a stream compares with another one, how streams and runs end, and all words for that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from gelu_tui.core import protocol as p

# identical: both streams ended by themselves after the same tokens; same: equal so far
Relation = Literal["reference", "diverged", "identical", "same", "uncompared"]

# The long and the short form; {n} is a number of tokens.
_RELATIONS: Mapping[Relation, tuple[str, str]] = {
    "reference": ("the reference", "reference"),
    "diverged": ("diverges at {n}", "{n}"),
    "identical": ("identical ({tokens})", "={n}"),
    "same": ("same so far ({tokens})", "={n}"),
    "uncompared": ("not compared", "–"),
}

# The long and the short form.
FINISH: Mapping[p.FinishReason, tuple[str, str]] = {
    "stop": ("end of text", "ended"),
    "length": ("token limit", "limit"),
    "repeats": ("repetition", "repeats"),
    "cancelled": ("stopped", "stopped"),
    "failed": ("failed", "failed"),
}

STATUS: Mapping[str, str] = {"completed": "done", "cancelled": "stopped", "failed": "failed"}


class _Side(Protocol):
    """A growing stream, or one of a document."""

    @property
    def tokens(self) -> Sequence[int]: ...
    @property
    def finish_reason(self) -> p.FinishReason | None: ...


@dataclass(frozen=True)
class Standing:
    """How a stream compares with the reference."""

    relation: Relation
    tokens: int | None = 0  # equal leading tokens, and so the first divergent one; None if unknown
    verdict: p.Verdict = "unverified"

    @property
    def first_divergent_token(self) -> int | None:
        return self.tokens if self.relation == "diverged" else None

    @property
    def long(self) -> str:
        """A phrase, e.g. `diverges at 12 · formula` or `identical (40 tokens)`."""
        known = self.relation == "diverged" and self.verdict != "unverified"
        return self._words(0) + (f" · {self.verdict}" if known else "")

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
    """Return how `stream` compares with `reference`; `fork` is the fork of this pair."""
    if stream is reference:
        return Standing("reference")
    if first_divergent_token is not None:
        return Standing("diverged", first_divergent_token, fork.verdict if fork else "unverified")
    shared = min(len(stream.tokens), len(reference.tokens))
    if not shared:
        return Standing("uncompared")
    reasons = {stream.finish_reason, reference.finish_reason}
    # One that was stopped in a repetition would have gone on.
    ended = reasons <= {"stop", "length"} or reasons == {"repeats"}
    return Standing("identical" if ended else "same", shared)


def count_tokens(count: int) -> str:
    """Return `1 token`, `40 tokens`."""
    return "1 token" if count == 1 else f"{count:,} tokens"
