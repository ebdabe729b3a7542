"""Saved runs: what is saved comes back."""

from __future__ import annotations

import os
import stat
import time

import pytest

from gelu_tui.core.errors import GeluError
from gelu_tui.core.runs.history import History, local_time
from tests.support.comparisons import run_document
from tests.support.histories import prompts


def test_a_run_comes_back_as_it_was_saved(history: History) -> None:
    document = run_document()
    run = history.save(document)
    assert history.load(run) == document
    (entry,) = history.entries()
    assert entry.activations == ("gelu_approx", "gelu", "silu")
    assert entry.first_divergent_tokens == (None, None, 2)
    assert (entry.id, entry.model, entry.status, entry.total_tokens) == (
        run,
        "demo",
        "completed",
        15,
    )
    assert history.pop_notice() is None


def test_newest_first_and_found_by_words(history: History) -> None:
    history.save(run_document("Warum ist der HIMMEL blau? Straße"))
    history.save(run_document("50% of_the sky"))
    history.save(run_document("sky", texts={"relu": ["a"]}, status="cancelled"))
    assert prompts(history) == ["sky", "50% of_the sky", "Warum ist der HIMMEL blau? Straße"]
    found = {
        "himmel": 1, "STRASSE blau": 1, "himmel sky": 0, "sky": 2, "%": 1, "_": 2, "relu": 1,
        "demo silu": 2, "cancelled": 1, "' OR 1=1 --": 0,
    }  # fmt: skip
    assert {words: len(history.entries(words)) for words in found} == found
    assert [entry.prompt for entry in history.entries(limit=1)] == ["sky"]


def test_a_run_that_goes_on_is_saved_in_its_place(history: History) -> None:
    run = history.save(run_document(status="cancelled"))
    assert history.save(run_document(status="completed"), run) == run
    assert [entry.status for entry in history.entries()] == ["completed"]


def test_deleted_means_gone_and_its_id_is_not_given_again(history: History) -> None:
    run = history.save(run_document("a secret that is to be forgotten"))
    history.delete(run)
    assert history.entries() == []
    assert b"forgotten" not in history.path.read_bytes()
    assert history.save(run_document()) > run
    with pytest.raises(GeluError, match=f"There is no saved run {run}"):
        history.load(run)
    with pytest.raises(GeluError, match=f"There is no saved run {run}"):
        history.delete(run)


def test_the_last_run_and_recent_prompts(history: History) -> None:
    for prompt in ("a", "b", "a", "c"):
        run = history.save(run_document(prompt))
    assert history.last() == run
    assert history.prompts() == ["c", "a", "b"]
    assert history.prompts(limit=1) == ["c"]


def test_before_the_first_run_there_is_no_file(history: History) -> None:
    assert history.entries() == history.prompts() == []
    with pytest.raises(GeluError, match="no saved runs yet"):
        history.last()
    assert not history.path.parent.exists()


def test_only_the_user_can_read_it(history: History) -> None:
    previous = os.umask(0)
    try:
        history.save(run_document())
    finally:
        os.umask(previous)
    assert stat.S_IMODE(history.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(history.path.parent.stat().st_mode) == 0o700
    history.path.chmod(0o644)  # as a copy from elsewhere may be
    history.save(run_document())
    assert stat.S_IMODE(history.path.stat().st_mode) == 0o600


def test_a_time_on_the_users_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert local_time("2025-11-22T00:12:00+00:00") == "2025-11-22 09:12"
        assert local_time("0001-01-01T00:00:00+23:00")
        assert local_time("\x1b[31m yesterday") == "␛[31m yesterday"
    finally:
        monkeypatch.undo()
        time.tzset()
