"""A run of the app is one entry of the history, however often and from wherever it is saved."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import threading
from pathlib import Path

import msgspec
import pytest

from gelu_tui.core.runs import history as history_module
from gelu_tui.core.runs import saved_run
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.runs.history import History
from gelu_tui.tui.engine_link.shown_run import SavedRun
from tests.support.comparisons import run_document


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "history.sqlite")


async def test_partial_first_then_whole(history: History) -> None:
    saved = SavedRun(history)
    assert await saved.save(run_document(status="cancelled")) is None
    assert await saved.save(run_document(status="completed")) is None
    assert saved.save_now(run_document(status="failed")) is None
    assert [(e.id, e.status) for e in history.entries()] == [(saved.run, "failed")]
    assert await SavedRun(history).save(run_document()) is None
    assert len(history.entries()) == 2


async def test_an_older_save_that_comes_late_does_not_replace_a_newer_one(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = threading.Event()
    in_thread = asyncio.to_thread

    async def to_thread(work: object, *values: object) -> object:
        await in_thread(late.wait, 20)
        return await in_thread(work, *values)  # type: ignore[arg-type]

    monkeypatch.setattr(asyncio, "to_thread", to_thread)
    saved = SavedRun(history)
    older = asyncio.create_task(saved.save(run_document(status="cancelled")))
    await asyncio.sleep(0)
    assert saved.save_now(run_document(status="completed")) is None
    late.set()
    assert await older is None
    assert [entry.status for entry in history.entries()] == ["completed"]


async def test_many_at_once_are_one_entry(history: History) -> None:
    saved = SavedRun(history)
    told = await asyncio.gather(*(saved.save(run_document(f"{i}")) for i in range(8)))
    assert told == [None] * 8
    assert [entry.prompt for entry in history.entries()] == ["7"]


async def test_errors_are_returned_and_the_next_save_may_work(history: History) -> None:
    history.path.mkdir()
    saved = SavedRun(history)
    told = await saved.save(run_document())
    assert told is not None and told.kind == "history_refused"
    history.path.rmdir()
    assert await saved.save(run_document()) is None
    assert len(history.entries()) == 1


async def test_a_damaged_history_is_told_once_and_the_run_is_saved(history: History) -> None:
    history.path.write_bytes(b"damaged" * 1000)
    saved = SavedRun(history)
    told = await saved.save(run_document())
    assert told is not None and told.kind == "history_damaged"
    assert await saved.save(run_document()) is None
    assert len(history.entries()) == 1


def test_a_dying_app_does_not_wait_long_for_a_locked_history(history: History) -> None:
    history.save(run_document())
    holder = sqlite3.connect(history.path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    told = SavedRun(history).save_now(run_document())
    assert told is not None and told.kind == "history_locked"
    patience = re.search(r"locked for ([\d.]+) s", told.message)
    assert patience is not None and float(patience[1]) < 10, "that of History itself is 10 s"
    holder.close()


async def test_a_run_that_runs_is_kept_every_now_and_then(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = SavedRun(history)
    saved.keep(lambda: pytest.fail("it has only just begun"))
    monkeypatch.setattr(saved_run, "_KEEP_EVERY_S", 0.0)
    saved = SavedRun(history)
    for number in range(3):
        saved.keep(lambda n=number: run_document(f"{n}", status="cancelled"))  # type: ignore[misc]
        assert saved._keeper is not None
        await asyncio.to_thread(saved._keeper.join)
        saved._next_keep = 0.0
    assert [entry.prompt for entry in history.entries()] == ["2"]
    assert await saved.save(run_document("whole")) is None
    assert [(e.prompt, e.status) for e in history.entries()] == [("whole", "completed")]


async def test_one_keeper_at_a_time_and_none_after_the_end(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved_run, "_KEEP_EVERY_S", 0.0)
    saved, goes_on = SavedRun(history), threading.Event()
    save = history.save

    def slow(self: History, document: ComparisonDocument, run: int | None = None) -> int:
        goes_on.wait(20)
        return save(document, run)

    monkeypatch.setattr(History, "save", slow)
    saved.keep(lambda: run_document("part", status="cancelled"))
    saved.keep(lambda: pytest.fail("the first is not done"))
    whole = asyncio.create_task(saved.save(run_document("whole")))
    await asyncio.sleep(0)
    goes_on.set()
    assert await whole is None
    assert [entry.prompt for entry in history.entries()] == ["whole"]


async def test_what_a_keeper_was_told_is_told_at_the_end(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved_run, "_KEEP_EVERY_S", 0.0)
    history.path.write_bytes(b"damaged" * 1000)
    saved = SavedRun(history)
    saved.keep(lambda: run_document("part", status="cancelled"))
    assert saved._keeper is not None
    await asyncio.to_thread(saved._keeper.join)
    told = await saved.save(run_document("whole"))
    assert told is not None and told.kind == "history_damaged"
    assert await saved.save(run_document("whole")) is None


def test_a_document_is_encoded_in_pieces_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    document = run_document(texts={"gelu": ["word"] * 25, "silu": ["a"] * 10})
    for size in (1, 3, 10, 25, 1000):
        monkeypatch.setattr(history_module, "_PIECE", size)
        assert history_module._encoded(document) == msgspec.json.encode(document)
