"""When the next frame may be drawn: not while the terminal still works on the last ones."""

from __future__ import annotations

import time
from collections.abc import Callable

from textual import events
from textual.app import App

# So many questions are told apart; a terminal of fewer columns than that shows nothing of use.
_NUMBERS = 8


def question(number: int) -> str:
    """Asks the terminal where its cursor is, which for that is put into the column of this number.

    It answers when it has come so far in what it was sent, which is the only thing that sees a slow
    line behind ssh: sshd takes megabytes at once. Not in the first row: its answers look like keys.
    """
    return f"\x1b7\x1b[2;{number}H\x1b[6n\x1b8"


def number_of(row: int, column: int) -> int | None:
    """Which question an answer is for, if any; row and column count from 0."""
    return column + 1 if row == 1 and column < _NUMBERS else None


# Frames on the way. With one, a line that is quick but long would stand still half of the time;
# with two, a slow line would show what is twice as old.
_IN_FLIGHT = 2
_SLOW_S = 0.25
# A terminal that has just answered so soon is not asked for every frame: each answer is one more
# thing to wake up for.
_QUICK_S = 0.05
_TRUSTED_S = 0.5
# Silence for so long: the line stands still, or the answers are lost, as those of a terminal that
# was detached. Nobody can tell which, so one frame is tried, and not more until the next silence.
_SILENCE_S = 3.0
_LONG_SILENCE_S = 10.0  # on a line whose answers take seconds


class Pace:
    """Counts frames out and answers in. A terminal that has never answered is not waited for."""

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
        room = len(self._asked) < (1 if self.delay_s > _SLOW_S else _IN_FLIGHT)
        return room or not self._answers or self._silent

    def drawn(self) -> int | None:
        """A frame is on its way; the number of the question that shall follow it, if one shall."""
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
        """The terminal has come to a question; answers that nobody waits for are ignored."""
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
    """Holds frames back until the app's terminal has taken the ones before."""

    def __init__(self, app: App[None]) -> None:
        self._app = app
        self._pace = Pace()

    def may_draw(self) -> bool:
        """Whether a frame drawn now would be seen soon.

        Textual queues thirty frames and then blocks the app: on a slow line twenty seconds of old
        pictures. The queue is private; where it cannot be seen, it counts as empty.
        """
        writer = getattr(self._app._driver, "_writer_thread", None)
        queue = getattr(writer, "_queue", None)
        return self._pace.may_draw(queued=queue.qsize() if queue is not None else 0)

    def drawn(self) -> None:
        """A frame is under way: ask the terminal to answer when it has drawn it."""
        driver = self._app._driver
        if driver is not None and (number := self._pace.drawn()) is not None:
            self._app.call_after_refresh(driver.write, question(number))

    def answered(self, event: events.CursorPosition) -> None:
        """The terminal reports where its cursor is: the answer to a question."""
        number = number_of(event.y, event.x)
        if number is not None:
            self._pace.answered(number)
