"""When the next frame may be drawn: not while the terminal still works on the last ones."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

# Asks the terminal where its cursor is. It answers when it has come so far in what it was sent,
# which is the only thing that sees a slow line behind ssh: sshd takes megabytes at once.
QUESTION = "\x1b[6n"

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
        self._asked: deque[float] = deque()
        self._answers = False
        self._asked_at = self._answered_at = float("-inf")
        self.delay_s = 0.0  # how long the last answer took

    def may_draw(self, *, queued: int) -> bool:
        """Whether a frame drawn now would be seen soon; `queued` writes wait in this process."""
        if queued:
            return False
        room = len(self._asked) < (1 if self.delay_s > _SLOW_S else _IN_FLIGHT)
        return room or not self._answers or self._silent

    def drawn(self) -> bool:
        """A frame is on its way; whether the question shall follow it."""
        if self._asked and self._silent and (not self._answers or self._overtaken):
            self._asked.clear()
        if not self._answers and self._asked:
            return False  # one question is enough to find out whether this terminal answers
        now = self._clock()
        quick = self._answers and not self._asked and self.delay_s < _QUICK_S
        if quick and now - self._asked_at < _TRUSTED_S:
            return False
        self._asked_at = now
        self._asked.append(now)
        return True

    def answered(self) -> None:
        """The terminal has come to a question; answers that nobody waits for are ignored."""
        if self._asked:
            self._answers = True
            self._answered_at = self._clock()
            self.delay_s = self._answered_at - self._asked.popleft()

    @property
    def _silent(self) -> bool:
        since = self._clock() - max(self._asked_at, self._answered_at)
        return since > min(max(_SILENCE_S, 3 * self.delay_s), _LONG_SILENCE_S)

    @property
    def _overtaken(self) -> bool:
        """Whether the line has moved since the oldest question: then its answer is lost."""
        return self._answered_at >= self._asked[0]
