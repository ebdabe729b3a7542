"""The engine as a process: commands that wait together, and which of them share a batch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import odd_models, tiny_models
from tests.support.engine_process import ENDLESS, EngineProcess, compare, environment, load


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    with EngineProcess(environment(tmp_path_factory.mktemp("home"))) as process:
        assert process.next()["event"] == "hello"
        load(process, str(tiny_models.write(tmp_path_factory.mktemp("m"), "gemma3_text")))
        yield process


def asked(number: int, prompt: str = "the sky", **more: Any) -> dict[str, Any]:
    settings = {"max_tokens": 12, **more}
    return {**compare(prompt, "gelu", "relu", **settings), "rows": 8, "id": number}


def until_all_end(engine: EngineProcess, ids: set[int]) -> list[dict[str, Any]]:
    events, ends = [], set(ids)
    while ends:
        events.append(engine.next())
        if events[-1]["event"] in ("finished", "failed", "cancelled", "prompt_rendered"):
            ends.discard(events[-1]["id"])
    return events


def place(events: list[dict[str, Any]], name: str, number: int) -> int:
    return next(at for at, e in enumerate(events) if (e["event"], e["id"]) == (name, number))


def test_only_neighbours_with_equal_settings_share_a_batch(engine: EngineProcess) -> None:
    other = {**asked(4), "settings": {**asked(4)["settings"], "max_tokens": 5}}
    render = {"command": "render_prompt", "prompt": "is", "id": 6}
    engine.send(asked(1), asked(2, "is"), asked(3, ""), other, asked(5), render, asked(7))
    events = until_all_end(engine, {1, 2, 3, 4, 5, 6, 7})
    sizes = [(e["id"], e["rows"], e["prompts"]) for e in events if e["event"] == "batch_size"]
    assert sizes == [(1, 8, 4), (4, 8, 4), (5, 8, 4), (7, 8, 4)]
    started, ended = (
        {number: place(events, name, number) for number in (1, 2, 3, 4, 5, 7)}
        for name in ("started", "finished")
    )
    # The batch may begin before the others have arrived, but not end.
    assert max(started[number] for number in (1, 2, 3)) < min(ended[n] for n in (1, 2, 3))
    assert max(ended[number] for number in (1, 2, 3)) < started[4] < ended[4] < started[5]
    assert ended[5] < place(events, "prompt_rendered", 6) < started[7]
    assert {e["status"] for e in events if e["event"] == "finished"} == {"completed"}


def test_sampled_comparisons_share_a_batch_each_with_its_own_seed(engine: EngineProcess) -> None:
    sampled = [asked(number, temperature=1.0, seed=number) for number in (1, 2)]
    engine.send(*sampled)
    events = until_all_end(engine, {1, 2})
    assert [e["id"] for e in events if e["event"] == "batch_size"] == [1]
    assert place(events, "started", 2) < place(events, "finished", 1)
    seeds = [e["settings"]["seed"] for e in events if e["event"] == "started"]
    assert seeds == [1, 2]


def test_one_of_them_may_fail(engine: EngineProcess) -> None:
    engine.send(asked(1, "sky " * 300), asked(2), {**asked(3), "choices": [""]}, asked(4))
    events = until_all_end(engine, {1, 2, 3, 4})
    failed = {e["id"]: e["error"]["kind"] for e in events if e["event"] == "failed"}
    assert failed == {1: "prompt_too_long", 3: "empty_choice"}
    assert sum(e["event"] == "finished" for e in events) == 2


def test_a_cancel_is_of_all_and_of_none_that_comes_later(tmp_path: Path) -> None:
    with EngineProcess(environment(tmp_path / "home")) as engine:
        assert engine.next()["event"] == "hello"
        load(engine, str(odd_models.long_running(tmp_path / "m")))
        engine.send(*(asked(number, max_tokens=ENDLESS) for number in range(1, 7)))
        engine.until("step")
        engine.send({"command": "cancel"}, asked(7, max_tokens=3))
        events = until_all_end(engine, {1, 2, 3, 4, 5, 6, 7})
        statuses = {e["id"]: e["status"] for e in events if e["event"] == "finished"}
        cancelled = {e["id"] for e in events if e["event"] == "cancelled"}
        assert statuses.pop(7) == "completed"
        assert set(statuses.values()) == {"cancelled"}
        assert set(statuses) | cancelled == {1, 2, 3, 4, 5, 6}
