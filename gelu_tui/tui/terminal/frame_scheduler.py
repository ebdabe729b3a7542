"""When frames are drawn: as soon as there is something new, and no more often than can be seen."""

from __future__ import annotations

import time
from collections.abc import Callable

from textual.message_pump import MessagePump
from textual.timer import Timer

NUMBERS_HZ = 2  # numbers that change faster cannot be read, and cost the engine its time


class Frames:
    """Schedules the frames of what streams, without waking the app between two events.

    The engine uses every core: a wake-up stops one of its threads, and the others wait for it.
    `draw` is called at most `hz` times a second and only when `may_draw()`, with whether to draw
    the numbers too.
    """

    def __init__(
        self,
        owner: MessagePump,
        hz: float,
        may_draw: Callable[[], bool],
        draw: Callable[[bool], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._owner = owner
        self._gap_s = 1 / hz
        self._may_draw = may_draw
        self._draw = draw
        self._clock = clock
        self._drawn_at = self._numbers_at = float("-inf")
        self._numbers_behind = False  # older than the tokens
        self._planned: Timer | None = None

    def want(self) -> None:
        """Schedule a frame for something new."""
        if self._planned is None:
            self._plan(self._drawn_at + self._gap_s - self._clock())

    def beat(self) -> None:
        """Draw the numbers if no token will: drawing both together is one frame less."""
        if self._numbers_behind and self.numbers_late and self._planned is None:
            self.want()

    @property
    def numbers_late(self) -> bool:
        """Whether the numbers are so old that no token is going to draw them."""
        return self._clock() - self._numbers_at >= 2 / NUMBERS_HZ

    def now(self, *, numbers: bool = True) -> None:
        """Draw at once."""
        if self._planned is not None:
            self._planned.stop()
            self._planned = None
        self._drawn_at = self._clock()
        if numbers:
            self._numbers_at = self._drawn_at
        self._numbers_behind = not numbers
        self._draw(numbers)

    def _plan(self, wait_s: float) -> None:
        if wait_s > 0:
            self._planned = self._owner.set_timer(wait_s, self._due)
        else:
            self._due()

    def _due(self) -> None:
        self._planned = None
        if self._may_draw():
            # A little early, so that a stream of even steps does not miss every second time.
            since = self._clock() - self._numbers_at
            self.now(numbers=since >= 1 / NUMBERS_HZ - self._gap_s / 2)
        else:
            self._plan(self._gap_s)
