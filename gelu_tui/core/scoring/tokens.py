"""The tokens of a scored text: what each is, where it stands, and its numbers in a document."""

from __future__ import annotations

import math
from array import array
from typing import NamedTuple, TypeVar

import msgspec

from gelu_tui.core import protocol as p

_T = TypeVar("_T")


class ScoredText:
    """The tokens of a text as far as it is scored, in its order.

    `ids`, `texts`, `windows` (numbers from 0) and `positions` have an entry for each token.
    `positions` are the places of their statistics; −1 for a token that has none, because nothing is
    before it in its window.
    """

    def __init__(self, bos: tuple[int, ...] = ()) -> None:
        self.bos = bos
        self.ids = array("q")
        self.texts: list[str] = []
        self.windows = array("q")
        self.positions = array("q")
        self._scored = 0

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, chunk: p.ScoreChunk) -> None:
        """Add the tokens of a chunk. Raises `ProtocolError` if its numbers are of others."""
        count, scored = len(chunk.tokens), len(chunk.logprob)
        if not count:
            return
        if len(chunk.texts) != count or not 0 <= count - scored <= 1:
            raise p.ProtocolError("The engine scored other tokens than it told.")
        self.ids.extend(chunk.tokens)
        self.texts.extend(chunk.texts)
        self.windows.extend([chunk.window] * count)
        self.positions.extend([-1] * (count - scored))
        self.positions.extend(range(self._scored, self._scored + scored))
        self._scored += scored

    def column(self, numbers: array[float]) -> list[float | None]:
        """A column of statistics by token; empty if it is, and shorter if it ends before."""
        if not numbers:
            return []
        known = len(numbers)
        cut = (at for at in self.positions if at < known)
        return [None if at < 0 else numbers[at] for at in cut]

    def window_of(self, token: int) -> tuple[tuple[int, ...], int]:
        """A token's window as the model is fed it, as far as known, and the token's place in it."""
        number = self.windows[token]
        first, last = token, token + 1
        while first > 0 and self.windows[first - 1] == number:
            first -= 1
        while last < len(self) and self.windows[last] == number:
            last += 1
        return (*self.bos, *self.ids[first:last]), len(self.bos) + token - first


class TokenColumns(msgspec.Struct, frozen=True):
    """One function's numbers, in the order of the tokens; None for a token that has none.

    Those of a function that failed are as many as it had until then. `kl` (nats) and `same_top_1`
    are against the reference, and empty for itself.
    """

    logprob: list[p.Number | None] = []
    kl: list[p.Number | None] = []
    same_top_1: list[bool | None] = []


class Figures(NamedTuple):
    """One function's numbers of one token; `delta_p` is p_v − p_r in percentage points."""

    logprob: float | None
    kl: float | None
    delta_p: float | None
    same_top_1: bool | None


class ScoredTokens(msgspec.Struct, frozen=True):
    """The text of a scoring, token by token.

    `ids`, `texts` (what a token completes; empty while a character lacks bytes) and `windows`
    (numbers from 0) have an entry for each token; in front of each window the model was fed `bos`.
    `variants` are in the order of the document's. `activations` are the functions as they were
    chosen, without the control.
    """

    bos: list[p.Index]
    ids: list[p.Index]
    texts: list[p.TokenText]
    windows: list[p.Count]
    variants: list[TokenColumns]
    activations: list[p.Name]

    def figures(self, token: int, variant: int, reference: int) -> Figures:
        """The numbers of a token under a variant; `reference` is the index of the other one."""
        own, other = self.variants[variant], self.variants[reference]
        logprob, before = _at(own.logprob, token), _at(other.logprob, token)
        return Figures(
            logprob,
            _at(own.kl, token),
            None if variant == reference else delta_p(logprob, before),
            _at(own.same_top_1, token),
        )

    def check(self) -> None:
        """Raise `ValueError` where the parts contradict each other."""
        count = len(self.ids)
        if len(self.texts) != count or len(self.windows) != count:
            raise ValueError("its tokens have not one text each")
        if any(a > b for a, b in zip(self.windows, self.windows[1:], strict=False)):
            raise ValueError("its windows are not in order")
        for columns in self.variants:
            lengths = {len(columns.logprob), len(columns.kl) or len(columns.logprob)}
            lengths |= {len(columns.same_top_1) or len(columns.logprob)}
            if len(lengths) > 1 or max(lengths) > count:
                raise ValueError("its tokens have not the same numbers")


def delta_p(logprob: float | None, reference: float | None) -> float | None:
    """p_v − p_r in percentage points; None where one of them is unknown."""
    if logprob is None or reference is None:
        return None
    # A probability is at most 1, whatever a saved file says.
    return 100 * (math.exp(min(0.0, logprob)) - math.exp(min(0.0, reference)))


def _at(column: list[_T | None], token: int) -> _T | None:
    return column[token] if token < len(column) else None
