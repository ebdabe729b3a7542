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
_LOST_S = 3.0  # no answer for so long: it is lost, as when tmux is attached elsewhere


class Pace:
    """Counts frames out and answers in. A terminal that has never answered is not waited for."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._asked: deque[float] = deque()
        self._answers = False
        self._asked_at = float("-inf")
        self.delay_s = 0.0  # how long the last answer took

    def may_draw(self, *, queued: int) -> bool:
        """Whether a frame drawn now would be seen soon; `queued` writes wait in this process."""
        if queued:
            return False
        if self._asked and self._clock() - self._asked[0] > _LOST_S:
            self._asked.clear()
            self._answers = False
        return not self._answers or len(self._asked) < (1 if self.delay_s > _SLOW_S else _IN_FLIGHT)

    def drawn(self) -> bool:
        """A frame is on its way; whether the question shall follow it."""
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
            self.delay_s = self._clock() - self._asked.popleft()
