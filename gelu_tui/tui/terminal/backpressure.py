"""When the next frame may be drawn: not while the terminal still draws the last ones."""

from __future__ import annotations

import time
from collections.abc import Callable

from textual import events
from textual.app import App

_NUMBERS = 8  # of questions; a terminal of fewer columns than that shows nothing of use
_SLOW_S = 0.25  # from here on one frame is on the way, not two
# A terminal that answers this soon is not asked for every frame: each answer wakes the app.
_QUICK_S = 0.05
_TRUSTED_S = 0.5
# After such a silence the line is stalled, or the answers are lost, as those of a terminal that was
# detached. Both look the same, so one frame is tried, and no more until the next silence.
_SILENCE_S = 3.0
_LONG_SILENCE_S = 10.0  # on a line whose answers take seconds


def question(number: int) -> str:
    """Return the sequence that asks for the cursor's place, first set to the column `number`.

    The terminal answers once it has read that far: only this shows a slow line behind ssh, as sshd
    reads megabytes at once. Not in the first row, whose answers look like keys.
    """
    return f"\x1b7\x1b[2;{number}H\x1b[6n\x1b8"


def number_of(row: int, column: int) -> int | None:
    """Return which question an answer is for, if any; row and column count from 0."""
    return column + 1 if row == 1 and column < _NUMBERS else None


class Pace:
    """Counts frames and answers. A terminal that has never answered is not waited for."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._asked: dict[int, float] = {}  # when each question was asked, the oldest first
        self._number = 0
        self._answers = False
        self._asked_at = self._answered_at = float("-inf")
        self.delay_s = 0.0  # how long the last answer took

    def may_draw(self, *, queued: int) -> bool:
        """Whether a frame drawn now would be seen soon; `queued` writes wait in this process."""
        if queued:
            return False
        # With one frame on the way, a quick but long line would be idle half of the time; with two,
        # a slow line would show frames that are twice as old.
        room = len(self._asked) < (1 if self.delay_s > _SLOW_S else 2)
        return room or not self._answers or self._silent

    def drawn(self) -> int | None:
        """Record a frame; return the number of the question to send after it, if any."""
        if not self._answers and self._asked and not self._silent:
            return None  # one question is enough to find out whether this terminal answers
        now = self._clock()
        quick = self._answers and not self._asked and self.delay_s < _QUICK_S
        if quick and now - self._asked_at < _TRUSTED_S:
            return None
        self._number = self._number % _NUMBERS + 1
        self._asked.pop(self._number, None)
        self._asked[self._number] = self._asked_at = now
        return self._number

    def answered(self, number: int) -> None:
        """Record the answer to a question; answers to no open question are ignored."""
        if number not in self._asked:
            return
        self._answers = True
        self._answered_at = self._clock()
        self.delay_s = self._answered_at - self._asked[number]
        # Answers come in the order of the questions: those of the ones before are lost.
        while next(iter(self._asked)) != number:
            del self._asked[next(iter(self._asked))]
        del self._asked[number]

    @property
    def _silent(self) -> bool:
        since = self._clock() - max(self._asked_at, self._answered_at)
        return since > min(max(_SILENCE_S, 3 * self.delay_s), _LONG_SILENCE_S)


class FrameGate:
    """Holds frames back until the app's terminal has drawn the ones before."""

    def __init__(self, app: App[None]) -> None:
        self._app = app
        self._pace = Pace()

    def may_draw(self) -> bool:
        """Whether a frame drawn now would be seen soon."""
        # Textual queues thirty frames and then blocks the app: on a slow line twenty seconds of old
        # pictures. The queue is private; where there is none, it is taken as empty.
        queue = getattr(getattr(self._app._driver, "_writer_thread", None), "_queue", None)
        return self._pace.may_draw(queued=queue.qsize() if queue is not None else 0)

    def drawn(self) -> None:
        """Record a frame, and ask the terminal to answer when it has drawn it."""
        driver = self._app._driver
        if driver is not None and (number := self._pace.drawn()) is not None:
            self._app.call_after_refresh(driver.write, question(number))

    def answered(self, event: events.CursorPosition) -> None:
        """Record where the terminal's cursor is: the answer to a question."""
        if (number := number_of(event.y, event.x)) is not None:
            self._pace.answered(number)
