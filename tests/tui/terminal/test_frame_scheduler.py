"""When frames are drawn, by a clock and timers that the test turns."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest
from textual.message_pump import MessagePump

from gelu_tui.tui.terminal.frame_scheduler import Frames


class Timer:
    """Calls once, unless it is stopped."""

    def __init__(self, at: float, call: Callable[[], None]) -> None:
        self.at, self.call, self.stopped = at, call, False

    def stop(self) -> None:
        self.stopped = True


class Turned:
    """A clock with timers, and what was drawn by it: when, and whether with numbers."""

    def __init__(self, hz: float = 10) -> None:
        self.at = 100.0
        self.timers: list[Timer] = []
        self.drawn: list[tuple[float, bool]] = []
        self.terminal_takes = True
        self.frames = Frames(
            cast(MessagePump, self),
            hz,
            lambda: self.terminal_takes,
            lambda numbers: self.drawn.append((round(self.at - 100, 3), numbers)),
            lambda: self.at,
        )

    def set_timer(self, delay: float, call: Callable[[], None]) -> Timer:
        self.timers.append(Timer(self.at + delay, call))
        return self.timers[-1]

    def turn(self, seconds: float) -> None:
        end = self.at + seconds
        while due := [t for t in self.timers if t.at <= end and not t.stopped]:
            timer = min(due, key=lambda t: t.at)
            self.timers.remove(timer)
            self.at = timer.at
            timer.call()
        self.at = end

    @property
    def waiting(self) -> int:
        return sum(not timer.stopped for timer in self.timers)


@pytest.fixture
def it() -> Turned:
    return Turned()


def test_the_first_token_is_drawn_at_once(it: Turned) -> None:
    it.frames.want()
    assert it.drawn == [(0, True)]


def test_nothing_wakes_the_app_between_two_tokens(it: Turned) -> None:
    it.frames.want()
    assert it.waiting == 0
    it.turn(30)
    assert len(it.drawn) == 1


def test_quick_tokens_share_a_frame_and_none_is_forgotten(it: Turned) -> None:
    for _ in range(100):
        it.frames.want()
        it.turn(0.01)
    it.turn(1)
    times = [at for at, _ in it.drawn]
    assert times == pytest.approx([n / 10 for n in range(11)]), "ten a second, and the last token"


def test_numbers_come_twice_a_second(it: Turned) -> None:
    for _ in range(380):
        it.frames.want()
        it.turn(0.01)
    with_numbers = [at for at, numbers in it.drawn if numbers]
    assert with_numbers == pytest.approx([n / 2 for n in range(8)], abs=0.051)


def test_late_numbers_are_drawn_without_a_token(it: Turned) -> None:
    it.frames.want()
    it.turn(0.2)
    it.frames.want()
    assert it.drawn == [(0, True), (0.2, False)]
    it.turn(0.5)
    it.frames.beat()
    assert len(it.drawn) == 2, "a token may still bring them"
    it.turn(0.5)
    it.frames.beat()
    it.turn(0.5)
    it.frames.beat()
    assert it.drawn[2:] == [(1.2, True)], "once"


def test_a_terminal_that_takes_nothing_is_tried_again(it: Turned) -> None:
    it.terminal_takes = False
    it.frames.want()
    it.turn(0.35)
    assert it.drawn == []
    it.terminal_takes = True
    it.turn(1)
    assert [at for at, _ in it.drawn] == pytest.approx([0.4])


def test_what_is_drawn_at_once_needs_no_frame_any_more(it: Turned) -> None:
    it.frames.want()
    it.turn(0.02)
    it.frames.want()
    it.frames.now()
    it.turn(1)
    assert it.drawn == [(0, True), (0.02, True)]
