"""Histories of other versions."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from gelu_tui.core.errors import GeluError
from gelu_tui.core.runs import history as history_module
from gelu_tui.core.runs.history import History
from tests.support.comparisons import run_document
from tests.support.histories import in_file


def test_a_newer_version_is_left_as_it_is(history: History) -> None:
    history.save(run_document())
    with sqlite3.connect(history.path) as connection:
        connection.execute("PRAGMA user_version = 2")
    connection.close()
    before = history.path.read_bytes()
    for call in (lambda: history.save(run_document()), history.entries, history.last):
        with pytest.raises(GeluError, match="newer gelu-tui") as caught:
            call()
        assert caught.value.info.kind == "history_too_new"
    assert history.path.read_bytes() == before


_NOTES = ("ALTER TABLE runs ADD COLUMN note TEXT", "UPDATE runs SET note = 'old'")


def with_another_step(
    history: History, monkeypatch: pytest.MonkeyPatch, *statements: str
) -> History:
    """The history as a later version sees it, whose schema one more step leads to."""
    monkeypatch.setattr(history_module, "_MIGRATIONS", (*history_module._MIGRATIONS, statements))
    return History(history.path)


@pytest.mark.parametrize("call", [History.entries, History.last, lambda h: h.delete(2)])
def test_an_older_file_is_migrated_by_whatever_comes_first(
    call: Callable[[History], object], history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    for prompt in ("one", "two"):
        history.save(run_document(prompt))
    assert in_file(history, "PRAGMA user_version") == [(1,)]
    later = with_another_step(history, monkeypatch, *_NOTES)
    call(later)
    assert in_file(history, "PRAGMA user_version") == [(2,)]
    assert in_file(history, "SELECT note FROM runs WHERE id = 1") == [("old",)]
    assert later.load(1).prompt == "one"


def test_a_new_file_goes_through_every_step(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = with_another_step(history, monkeypatch, "CREATE TABLE notes (note TEXT)")
    later.save(run_document())
    assert in_file(history, "PRAGMA user_version") == [(2,)]
    assert in_file(history, "SELECT * FROM notes") == []


def test_a_migration_that_fails_changes_nothing(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.save(run_document())
    before = history.path.read_bytes()
    later = with_another_step(history, monkeypatch, *_NOTES, "no statement")
    with pytest.raises(GeluError, match="could not be read"):
        later.entries()
    assert history.path.read_bytes() == before
    monkeypatch.undo()
    assert len(History(history.path).entries()) == 1


def test_two_that_migrate_at_once_do_it_once(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.save(run_document())
    with_another_step(history, monkeypatch, *_NOTES)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: len(History(history.path).entries()), range(8)))
    assert found == [1] * 8
    assert in_file(history, "PRAGMA user_version") == [(2,)]
