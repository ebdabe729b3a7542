"""When a frame may be drawn, by a clock that the test turns."""

from __future__ import annotations

import pytest

from gelu_tui.tui.pace import Pace


class Clock:
    """Seconds that pass only when they are told to."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def answering(clock: Clock) -> Pace:
    """The pace of a terminal that has answered quickly once."""
    pace = Pace(clock)
    assert pace.drawn()
    clock.now += 0.01
    pace.answered()
    clock.now += 1
    return pace


def test_a_terminal_that_never_answers_is_asked_once_and_not_waited_for(clock: Clock) -> None:
    pace = Pace(clock)
    asked = 0
    for _ in range(20):
        clock.now += 0.1
        assert pace.may_draw(queued=0)
        asked += pace.drawn()
    assert asked == 1


def test_nothing_is_drawn_while_writes_wait(answering: Pace) -> None:
    assert not answering.may_draw(queued=1)
    assert answering.may_draw(queued=0)


def test_two_frames_are_on_the_way_at_most(answering: Pace) -> None:
    assert answering.drawn()
    assert answering.may_draw(queued=0)
    assert answering.drawn()
    assert not answering.may_draw(queued=0)
    answering.answered()
    assert answering.may_draw(queued=0)


def test_one_frame_on_a_slow_line(answering: Pace, clock: Clock) -> None:
    answering.drawn()
    clock.now += 0.5
    answering.answered()
    assert answering.delay_s == pytest.approx(0.5)
    answering.drawn()
    assert not answering.may_draw(queued=0)
    clock.now += 0.1
    answering.answered()
    answering.drawn()
    assert answering.may_draw(queued=0), "the line is quick again"


def test_a_quick_terminal_is_asked_twice_a_second(answering: Pace, clock: Clock) -> None:
    asked = 0
    for _ in range(40):
        assert answering.may_draw(queued=0)
        if answering.drawn():
            asked += 1
            clock.now += 0.01
            answering.answered()
        clock.now += 0.1
    assert asked == pytest.approx(8, abs=1)


def test_a_terminal_that_becomes_slow_is_asked_for_every_frame(
    answering: Pace, clock: Clock
) -> None:
    assert answering.drawn()
    clock.now += 0.1
    answering.answered()
    assert answering.drawn(), "a tenth of a second is not quick"


def test_a_lost_answer_does_not_stop_the_drawing(answering: Pace, clock: Clock) -> None:
    answering.drawn()
    answering.drawn()
    clock.now += 2.9
    assert not answering.may_draw(queued=0)
    clock.now += 0.2
    assert answering.may_draw(queued=0)
    assert answering.drawn(), "and it asks again"
    answering.answered()
    answering.answered()
    assert answering.may_draw(queued=0), "answers that come too late do no harm"
