"""When a frame may be drawn, by a clock that the test turns."""

from __future__ import annotations

import pytest

from gelu_tui.tui.terminal.backpressure import Pace, number_of, question


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
    asked = pace.drawn()
    assert asked
    clock.now += 0.01
    pace.answered(asked)
    clock.now += 1
    return pace


def ask(pace: Pace) -> int:
    """Draw a frame that is followed by a question; its number."""
    number = pace.drawn()
    assert number is not None
    return number


def test_a_terminal_that_never_answers_is_asked_once_and_not_waited_for(clock: Clock) -> None:
    pace = Pace(clock)
    asked = 0
    for _ in range(20):
        clock.now += 0.1
        assert pace.may_draw(queued=0)
        asked += pace.drawn() is not None
    assert asked == 1


def test_nothing_is_drawn_while_writes_wait(answering: Pace) -> None:
    assert not answering.may_draw(queued=1)
    assert answering.may_draw(queued=0)


def test_two_frames_are_on_the_way_at_most(answering: Pace) -> None:
    first = ask(answering)
    assert answering.may_draw(queued=0)
    ask(answering)
    assert not answering.may_draw(queued=0)
    answering.answered(first)
    assert answering.may_draw(queued=0)


def test_one_frame_on_a_slow_line(answering: Pace, clock: Clock) -> None:
    number = ask(answering)
    clock.now += 0.5
    answering.answered(number)
    assert answering.delay_s == pytest.approx(0.5)
    number = ask(answering)
    assert not answering.may_draw(queued=0)
    clock.now += 0.1
    answering.answered(number)
    ask(answering)
    assert answering.may_draw(queued=0), "the line is quick again"


def test_a_quick_terminal_is_asked_twice_a_second(answering: Pace, clock: Clock) -> None:
    asked = 0
    for _ in range(40):
        assert answering.may_draw(queued=0)
        if (number := answering.drawn()) is not None:
            asked += 1
            clock.now += 0.01
            answering.answered(number)
        clock.now += 0.1
    assert asked == pytest.approx(8, abs=1)


def test_a_terminal_that_becomes_slow_is_asked_for_every_frame(
    answering: Pace, clock: Clock
) -> None:
    number = ask(answering)
    clock.now += 0.1
    answering.answered(number)
    assert answering.drawn() is not None, "a tenth of a second is not quick"


def test_silence_is_broken_by_single_frames(answering: Pace, clock: Clock) -> None:
    ask(answering)
    ask(answering)
    clock.now += 2.9
    assert not answering.may_draw(queued=0)
    clock.now += 0.2
    assert answering.may_draw(queued=0)
    assert answering.drawn() is not None, "and it asks again"
    assert not answering.may_draw(queued=0), "one frame, until the next silence"


class Line:
    """A line that needs so long for each frame, one after the other; what is written, waits."""

    def __init__(self, pace: Pace, clock: Clock, frame_s: float = 0.01) -> None:
        self.pace, self.clock, self.frame_s = pace, clock, frame_s
        # Frames under way, and the number of the question that follows each, if one does.
        self.waiting: list[int | None] = []
        self.free_at = clock.now

    def draws(self, seconds: float, *, moves: bool = True) -> int:
        """Draw whenever it may be; how many frames that were."""
        drawn = 0
        end = self.clock.now + seconds
        while self.clock.now < end:
            if self.pace.may_draw(queued=0):
                drawn += 1
                if not self.waiting:
                    self.free_at = self.clock.now + self.frame_s
                self.waiting.append(self.pace.drawn())
            self.clock.now += 0.1
            while moves and self.waiting and self.free_at <= self.clock.now:
                self.free_at += self.frame_s
                if (number := self.waiting.pop(0)) is not None:
                    self.pace.answered(number)
        return drawn


def test_a_line_that_stood_still_owes_no_more_than_a_few_frames(
    answering: Pace, clock: Clock
) -> None:
    line = Line(answering, clock)
    line.draws(1)
    assert line.draws(12, moves=False) < 12, "a second of frames, and one for each silence"
    line.draws(1)
    assert line.draws(2) == pytest.approx(20, abs=1), "it is quick again"


def test_after_lost_answers_a_quick_terminal_is_soon_drawn_to_as_before(
    answering: Pace, clock: Clock
) -> None:
    line = Line(answering, clock)
    line.draws(3600, moves=False)
    line.waiting.clear()
    line.draws(30)
    assert line.draws(2) == pytest.approx(20, abs=1)


@pytest.mark.parametrize("frame_s", [0.5, 1.0, 4.0, 8.0])
def test_however_slow_the_line_no_frames_pile_up(
    answering: Pace, clock: Clock, frame_s: float
) -> None:
    line = Line(answering, clock, frame_s)
    assert line.draws(600) > 0.5 * 600 / frame_s, "it is used"
    assert len(line.waiting) <= 3


def test_a_lost_answer_costs_one_silence_and_no_more(answering: Pace, clock: Clock) -> None:
    line = Line(answering, clock, frame_s=0.6)
    line.draws(10)
    line.waiting = [None for _ in line.waiting]
    assert line.draws(4) >= 1, "after three seconds a frame is tried"
    assert line.draws(6) == pytest.approx(10, abs=2), "and its answer is known for what it is"
    assert answering.delay_s < 1


def test_an_answer_tells_which_question_it_is_for() -> None:
    assert question(3).endswith("\x1b[2;3H\x1b[6n\x1b8")
    assert number_of(1, 2) == 3
    assert number_of(0, 2) is None, "Shift+F3 on some terminals"
    assert number_of(1, 40) is None
