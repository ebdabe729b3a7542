"""What if, asked of an engine process: answers, refusals, a cancel."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.runs.document import document
from gelu_tui.core.runs.going_on import what_if_command
from tests.support import tiny_models
from tests.support.engine_process import EngineProcess, compare, environment, failure, load

NOTHING = "There is no token of the reference to give at these steps."


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[EngineProcess]:
    with EngineProcess(environment(tmp_path), cwd=tmp_path) as process:
        assert process.next()["event"] == "hello"
        yield process


def test_of_a_run_that_was_made_there(engine: EngineProcess, tmp_path: Path) -> None:
    loaded = load(engine, str(tiny_models.write(tmp_path / "m", "gemma3_text")))
    engine.send(compare(max_tokens=12))
    told = engine.until("finished")
    events = [p.decode_event(json.dumps(event).encode()) for event in told]
    started = next(event for event in events if isinstance(event, p.Started))
    run = Comparison.begin(started)
    for event in events:
        run.apply(event)
    ran_on = p.decode_event(json.dumps(loaded).encode())
    assert isinstance(ran_on, p.Loaded)
    forks = ((i, s.fork) for i, s in enumerate(run.streams))
    index = next(i for i, fork in forks if fork is not None and fork.step < 8)
    command = replace(what_if_command(document(run, ran_on), run, index), id=7)
    engine.send(p.encode(command))
    answers = engine.until("what_if_ended")
    assert {event["id"] for event in answers} == {7}
    (found,) = (event for event in answers if event["event"] == "what_if_answered")
    run.apply(p.decode_event(json.dumps(found).encode()))
    run.check()
    # What no app asks for is refused, and the engine goes on.
    for given in (
        (),
        (p.Given(9, (1,)),),
        (p.Given(run.reference_index, (1,)),),
        (p.Given(index, ()),),
        (p.Given(index, (11,)),),
        (p.Given(index, (5, 2)),),
    ):
        engine.send(p.encode(replace(command, given=given)))
        assert failure(engine)["message"] == NOTHING
    engine.send(p.encode(command), {"command": "cancel"})
    # It may be done before the cancel is read, or have some tokens.
    assert engine.until("what_if_ended", "cancelled")[-1]["id"] == 7
