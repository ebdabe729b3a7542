"""What a damaged history still has comes back, and the rest is set aside."""

from __future__ import annotations

import contextlib
import io
import sqlite3
import stat
import zlib

import pytest
from msgspec.structs import replace
from rich.console import Console

from gelu_tui.core.errors import GeluError
from gelu_tui.core.reports.history_table import HistoryTable
from gelu_tui.core.runs.history import History
from tests.support.comparisons import run_document
from tests.support.histories import in_file, prompts


@pytest.mark.parametrize("reading", [True, False])
@pytest.mark.parametrize(
    ("how", "kept"), [("garbage", 0), ("header", 20), ("middle", 0), ("truncated", 8)]
)
def test_a_damaged_file_is_set_aside_and_a_fresh_one_begins(
    history: History, how: str, kept: int, reading: bool
) -> None:
    for _ in range(20):
        history.save(run_document("x" * 3000))
    content = bytearray(history.path.read_bytes())
    match how:
        case "garbage":
            content[:] = b"\x1b[31mno database\n" * 500
        case "header":
            content[:100] = b"?" * 100
        case "middle":
            content[4096:] = b"?" * (len(content) - 4096)
        case "truncated":
            del content[len(content) // 2 :]
    history.path.write_bytes(content)
    if reading:
        assert len(history.entries()) == kept
    run = history.save(run_document("after"))
    assert [entry.id for entry in history.entries()] == [run, *range(kept, 0, -1)]
    assert prompts(history) == ["after", *["x" * 3000] * kept]
    (aside,) = history.path.parent.glob("history.damaged-*.sqlite")
    assert aside.read_bytes() == content
    assert stat.S_IMODE(history.path.stat().st_mode) == 0o600
    notice = history.pop_notice()
    assert notice is not None and aside.name in notice.message
    assert ("could be read" in notice.hint) == bool(kept)
    assert history.pop_notice() is None
    left = {path.name for path in history.path.parent.iterdir()}
    assert left <= {history.path.name, aside.name, "history.sqlite.lock"}


def test_damaged_twice_in_one_second(history: History) -> None:
    history.path.parent.mkdir()
    for content in (b"first" * 999, b"second" * 999):
        history.path.write_bytes(content)
        assert history.entries() == []
    aside = [path.read_bytes() for path in history.path.parent.glob("*.damaged-*")]
    assert sorted(aside) == [b"first" * 999, b"second" * 999]


def test_one_damaged_run_does_not_hide_the_others(history: History) -> None:
    good, bad = history.save(run_document("good")), history.save(run_document("bad"))
    with sqlite3.connect(history.path) as connection:
        connection.execute(
            "UPDATE runs SET document = X'00ff', activations = '[', prompt = CAST(X'ff' AS TEXT) "
            "WHERE id = ?",
            (bad,),
        )
    connection.close()
    entries = history.entries()
    assert [entry.prompt for entry in entries] == ["\ufffd", "good"]
    assert [entry.status for entry in entries] == ["damaged", "completed"]
    assert history.load(good).prompt == "good"
    with pytest.raises(GeluError, match=f"Run {bad} cannot be read"):
        history.load(bad)


# SQLite stores any type in any column.
_OTHER_TYPES = ("X'00ff'", "''", "'['", "'[1'", "-1", "1e300", "'{\"a\": 1}'", "'[null]'")
_COLUMNS = (
    "created", "model", "prompt", "activations", "reference", "divergences", "status",
    "total_tokens", "document",
)  # fmt: skip


@pytest.mark.parametrize("column", _COLUMNS)
def test_values_of_another_type_in_the_newest_run(history: History, column: str) -> None:
    good, bad = history.save(run_document("good")), history.save(run_document("bad"))
    for value in _OTHER_TYPES:
        in_file(history, f"UPDATE runs SET {column} = {value} WHERE id = {bad}")
        assert [entry.id for entry in history.entries()] == [bad, good]
        assert history.entries()[1].status == "completed"
        assert [entry.id for entry in history.entries("good")] == [good]
        assert "good" in history.prompts() and all(isinstance(x, str) for x in history.prompts())
        assert history.last() == bad
        for width in (40, 80, 200):
            Console(file=io.StringIO(), width=width).print(HistoryTable(history.entries()))
        with contextlib.suppress(GeluError):
            assert history.load(bad).prompt == "bad"
    assert history.pop_notice() is None


def test_bytes_as_the_prompt_of_the_newest_run_are_shown_as_damaged(history: History) -> None:
    history.save(run_document("good"))
    history.save(run_document("bad"))
    in_file(history, "UPDATE runs SET prompt = X'62' WHERE id = 2")
    assert [(entry.id, entry.status, entry.prompt) for entry in history.entries()] == [
        (2, "damaged", ""),
        (1, "completed", "good"),
    ]
    assert history.load(2).prompt == "bad"


def test_a_document_that_does_not_end(history: History) -> None:
    run = history.save(run_document())
    half = zlib.compress(b"[" * 9999)[:-5].hex()
    in_file(history, f"UPDATE runs SET document = X'{half}'")
    with pytest.raises(GeluError, match=f"Run {run} cannot be read"):
        history.load(run)


def test_a_fork_that_is_none_does_not_make_the_saved_run_unreadable(history: History) -> None:
    saved = run_document()
    third = saved.variants[2]
    assert third.fork is not None
    wrong = replace(third, fork=replace(third.fork, step=99))
    run = history.save(replace(saved, variants=[*saved.variants[:2], wrong]))
    assert history.load(run).variants[2] == replace(third, fork=None)
