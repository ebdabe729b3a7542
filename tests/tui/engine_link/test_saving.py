"""A run of the app is one entry of the history, however often and from wherever it is saved."""

from __future__ import annotations

import asyncio
import re
import sqlite3
import threading
from pathlib import Path

import pytest

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
