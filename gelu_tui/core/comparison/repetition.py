"""Whether a stream repeats itself: the tail of its token ids is periodic.

A stream repeats itself while its last tokens are the same `period` tokens, at most `MAX_PERIOD`,
over and over: at least `LEAST_PERIODS` times, and at least `LEAST_TOKENS` tokens together.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from gelu_tui.core.protocol.values import Count, Index

MAX_PERIOD = 64
LEAST_PERIODS = 3
LEAST_TOKENS = 32


class Repetition(msgspec.Struct, frozen=True):
    """From the token `start` on, a stream is the same `period` tokens over and over."""

    start: Index
    period: Count

    @property
    def words(self) -> str:
        """The mark of such a stream, as panes and reports show it."""
        return f"repeats from token {self.start}"


class Repetitions:
    """Finds the repetition at the end of a growing stream; each token costs O(`MAX_PERIOD`).

    `now` is the one that reaches the last token, `before` the one that reached the token before.
    """

    def __init__(self, tokens: Iterable[int] = ()) -> None:
        self.now: Repetition | None = None
        self.before: Repetition | None = None
        self._length = 0
        self._last: list[int] = []  # the last `MAX_PERIOD` tokens, the newest first
        # For each period: how many tokens at the end equal the one that is a period before them.
        self._equal: list[int] = []
        for token in tokens:
            self.add(token)

    def add(self, token: int) -> None:
        """Take the next token."""
        pairs = zip(self._last, self._equal, strict=True)
        equal = [count + 1 if token == before else 0 for before, count in pairs]
        self._equal = [*equal, 0][:MAX_PERIOD]
        self._last = [token, *self._last[: MAX_PERIOD - 1]]
        self._length += 1
        self.before, self.now = self.now, self._longest() if any(equal) else None

    def _longest(self) -> Repetition | None:
        """The longest periodic tail, which is also the longest-lived; of two the shorter period."""
        found = [
            (count + period, -period)
            for period, count in enumerate(self._equal, 1)
            if count and count + period >= max(LEAST_TOKENS, LEAST_PERIODS * period)
        ]
        if not found:
            return None
        tokens, period = max(found)
        return Repetition(self._length - tokens, -period)
