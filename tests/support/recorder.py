"""A terminal that keeps what the app writes together with the times at which it came."""

from __future__ import annotations

import contextlib
import os
import re
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tests.support.terminal import Terminal

_READ_BYTES = 65536
_SLOW_READS_HZ = 50
# Where the cursor is put, and the question where it is.
_QUESTION = re.compile(rb"\x1b\[(\d+);(\d+)H\x1b\[6n")
_QUESTION_BYTES = 20


@dataclass(frozen=True)
class Chunk:
    """One read from the app; `at` in seconds of the monotonic clock."""

    at: float
    data: bytes


class Recorder(Terminal):
    """Records without emulating, so that measuring costs the machine next to nothing.

    `replay` emulates afterwards, chunk by chunk. `bytes_per_s` makes it a slow line: no more than
    that is read in a second, and what the app writes beyond it has to wait. With `buffered` it is a
    slow line behind sshd, which takes all that the app writes at once: then only the times at which
    it came are those of the line.
    """

    def __init__(
        self, command: Sequence[str], size: tuple[int, int], environment: Mapping[str, str]
    ) -> None:
        super().__init__(command, size, environment, fresh=True)
        self.bytes_per_s: int | None = None
        self.buffered = False
        self._asked: deque[tuple[float, bytes]] = deque()  # from when on, and the answer
        self._tail = b""  # a question may come in two reads
        self._recorded: list[Chunk] = []
        self._replayed = 0

    def record(self, seconds: float) -> list[Chunk]:
        """Read for so long; what was read."""
        first = len(self._recorded)
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if self.bytes_per_s is None:
                self._record_one(left, _READ_BYTES)
            elif self.buffered:
                self._record_one(0.005, _READ_BYTES)
            else:
                self._record_one(0, self.bytes_per_s // _SLOW_READS_HZ)
                time.sleep(1 / _SLOW_READS_HZ)
            self._answer()
        return self._recorded[first:]

    def press(self, keys: str) -> float:
        """Write keys; when."""
        at = time.monotonic()
        os.write(self.master, keys.encode())
        return at

    def stand_still(self, seconds: float) -> None:
        """Let nothing of a buffered line through for so long; the app may go on writing."""
        self._recorded.append(Chunk(time.monotonic() + seconds, b""))
        self.record(seconds)

    def replay(self, until: float, look: Callable[[float], None] = lambda at: None) -> None:
        """Emulate what came before `until`; after each chunk `look` is told when it came."""
        end = bisect_left(self._recorded, until, key=lambda chunk: chunk.at)
        for chunk in self._recorded[self._replayed : end]:
            self.take(chunk.data)
            look(chunk.at)
        self._replayed = max(self._replayed, end)

    def _record_one(self, timeout_s: float, count: int) -> None:
        if self._readable(timeout_s):
            with contextlib.suppress(OSError):
                data = os.read(self.master, count)
                at = time.monotonic()
                if self.buffered and self.bytes_per_s and self._recorded:
                    at = max(at, self._recorded[-1].at) + len(data) / self.bytes_per_s
                self._recorded.append(Chunk(at, data))
                self._look_for_questions(data, at)

    def _look_for_questions(self, data: bytes, at: float) -> None:
        seen = self._tail + data
        after = 0
        for found in _QUESTION.finditer(seen):
            self._asked.append((at, b"\x1b[%b;%bR" % found.groups()))
            after = found.end()
        self._tail = seen[max(after, len(seen) - _QUESTION_BYTES) :]

    def _answer(self) -> None:
        """Say where the cursor is, as every terminal does, once the question has come through."""
        while self._asked and self._asked[0][0] <= time.monotonic():
            os.write(self.master, self._asked.popleft()[1])

    def _read(self, timeout_s: float) -> None:
        # `until` and `until_shown` look at the live screen.
        self._record_one(timeout_s, _READ_BYTES)
        self._answer()
        self.replay(float("inf"))
