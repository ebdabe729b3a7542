"""Damage to any part of a history file: no traceback, and what can be read is kept."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gelu_tui.core.errors import GeluError
from gelu_tui.core.runs.history import History
from tests.support.comparisons import run_document

PAGE = 4096
RUNS = 12
AFTER = run_document("after")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A history of some pages: short runs, runs that take several pages, and a deleted one."""
    history = History(tmp_path_factory.mktemp("sound") / "history.sqlite")
    for run in range(1, RUNS + 2):
        words = [f"w{run}_{i}" for i in range(25 * (run % 5) + 1)]
        texts = {"gelu": words, "silu": ["a"]}
        history.save(run_document(f"prompt {run} " + "x" * 300 * (run % 4), texts=texts))
    history.delete(5)
    return history.path.read_bytes()


def damaged(tmp_path: Path, content: bytes) -> History:
    for left in tmp_path.iterdir():
        left.unlink()
    path = tmp_path / "history.sqlite"
    path.write_bytes(content)
    return History(path)


def readable(history: History) -> set[int]:
    """The ids of the listed runs that load; what does not load is refused in a sentence."""
    ids = set()
    for entry in history.entries():
        try:
            history.load(entry.id)
            ids.add(entry.id)
        except GeluError as error:
            assert error.info.kind == "history_damaged"
    return ids


def readable_by_sqlite(path: Path) -> set[int]:
    """The ids whose whole row SQLite reads."""
    ids = set()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        for run in range(1, RUNS + 2):
            with contextlib.suppress(sqlite3.DatabaseError):
                rows = connection.execute("SELECT * FROM runs WHERE id = ?", (run,)).fetchall()
                ids |= {run} if rows else set()
    return ids


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), writes_first=st.booleans())
def test_a_flipped_bit(
    tmp_path: Path, sound: bytes, place: float, bit: int, writes_first: bool
) -> None:
    content = bytearray(sound)
    content[int(place * len(content))] ^= 1 << bit
    history = damaged(tmp_path, content)
    try:
        saved = [history.save(AFTER)] if writes_first else []
        history.prompts()
        history.entries("prompt 3")
        assert len(readable(history) - {*saved}) >= RUNS - 1
        assert history.last() == history.entries()[0].id
        saved.append(history.save(AFTER))
        assert readable(history) >= {*saved}
    except GeluError as error:  # some bits of the header are the versions of two programs
        assert error.info.kind in ("history_too_new", "history_refused")
        assert history.path.read_bytes() == content


@pytest.mark.parametrize("filling", [b"\0", b"?", b"\r"])
def test_a_page_that_is_lost(tmp_path: Path, sound: bytes, filling: bytes) -> None:
    pages = len(sound) // PAGE
    assert pages > 8
    kept = []
    for page in range(pages):
        content = sound[: page * PAGE] + filling * PAGE + sound[(page + 1) * PAGE :]
        history = damaged(tmp_path, content)
        known = readable_by_sqlite(history.path)
        before = readable(history)
        assert before >= known
        run = history.save(AFTER)
        assert readable(history) == before | {run}
        kept.append(len(before))
    assert min(kept) >= RUNS - 5 and kept[0] == kept[1] == RUNS


@pytest.mark.parametrize("version", [3, 5, 255])
def test_a_header_that_forbids_writing(tmp_path: Path, sound: bytes, version: int) -> None:
    content = bytearray(sound)
    content[18] = version
    history = damaged(tmp_path, content)
    assert len(readable(history)) == RUNS
    run = history.save(AFTER)
    assert len(readable(history)) == RUNS + 1 and run in readable(history)
    notice = history.pop_notice()
    assert notice is not None and "was damaged" in notice.message


def test_random_bytes_all_over(tmp_path: Path, sound: bytes) -> None:
    for size in (0, 1, 100, PAGE, 3 * PAGE + 17):
        history = damaged(tmp_path, os.urandom(size))
        assert history.entries() == []
        run = history.save(AFTER)
        assert readable(history) == {run}


def test_a_database_of_another_program(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE moz_places (id INTEGER PRIMARY KEY, url TEXT)")
    content = path.read_bytes()
    history = History(path)
    run = history.save(AFTER)
    assert readable(history) == {run}
    (aside,) = tmp_path.glob("*.damaged-*")
    assert aside.read_bytes() == content


def test_the_head_of_a_leaf(tmp_path: Path, sound: bytes) -> None:
    leaf = next(at for at in range(PAGE, len(sound), PAGE) if sound[at] == 0x0D)
    for bit in (*range(0, 8, 2), *range(3 * 8, 5 * 8, 2)):  # its kind, the number of its cells
        content = bytearray(sound)
        content[leaf + bit // 8] ^= 1 << bit % 8
        assert len(readable(damaged(tmp_path, content))) == RUNS


def test_a_schema_that_is_no_text(tmp_path: Path, sound: bytes) -> None:
    for word in (b"runs", b"prompt", b"CREATE", b"sqlite_sequence"):
        content = bytearray(sound)
        content[sound.index(word) + 1] ^= 0x80
        history = damaged(tmp_path, content)
        assert len(readable(history)) == RUNS
        assert history.pop_notice() is not None
