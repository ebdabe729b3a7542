"""What answers tell of is gathered from the event on that it begins with."""

from __future__ import annotations

from gelu_tui.core import protocol as p
from gelu_tui.core.protocol.gathering import Gathering

STARTED = p.ScoreStarted((), 0, 5, 1, 5, 4)
NEXT = p.Progress("score", "window 1 of 1", 1, 5, "tokens")


class Told:
    def __init__(self, started: p.ScoreStarted) -> None:
        self.events: list[p.Event] = []

    def apply(self, event: p.Event) -> None:
        self.events.append(event)


def test_it_begins_with_its_event_and_applies_that_too() -> None:
    gathering = Gathering(p.ScoreStarted, Told)
    gathering.take(p.Progress("load", "", 0, 1, "bytes"))
    gathering.take(p.LayersFinished("completed", 1.0, 0))
    assert gathering.state is None
    gathering.take(STARTED)
    gathering.take(NEXT)
    assert gathering.state is not None and gathering.state.events == [STARTED, NEXT]


def test_another_beginning_begins_anew() -> None:
    gathering = Gathering(p.ScoreStarted, Told)
    for event in (STARTED, NEXT, STARTED):
        gathering.take(event)
    assert gathering.state is not None and gathering.state.events == [STARTED]
