"""Saved runs: what is saved comes back, whoever else writes and whatever happens to the file."""

from __future__ import annotations

import contextlib
import io
import os
import sqlite3
import stat
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec.structs import replace
from rich.console import Console

from gelu_tui.core.errors import GeluError
from gelu_tui.core.reports.history_table import HistoryTable
from gelu_tui.core.runs import history as history_module
from gelu_tui.core.runs.history import History, local_time
from tests.support.comparisons import run_document

_ROOT = Path(__file__).parents[3]


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path / "data" / "history.sqlite")


def prompts(history: History) -> list[str]:
    """The prompts of all runs, each of which must load."""
    entries = history.entries()
    return [history.load(entry.id).prompt for entry in entries]


def python(code: str, *words: object) -> subprocess.Popen[str]:
    """A process that has `History`, `run_document` and `sys`, and `words` as its arguments."""
    imports = (
        "import os, sys\nfrom pathlib import Path\n"
        "from gelu_tui.core.runs.history import History\n"
        "from tests.support.comparisons import run_document\n"
    )
    return subprocess.Popen(
        (sys.executable, "-c", imports + code, *map(str, words)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=_ROOT,
    )


# --- saving and finding ---------------------------------------------------------------------------


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


# --- several at once ------------------------------------------------------------------------------


def test_instances_side_by_side_lose_nothing(history: History) -> None:
    code = (
        "history = History(Path(sys.argv[1]), patience_s=60)\n"
        "for i in range(12): history.save(run_document(f'{sys.argv[2]}.{i}'))\n"
    )
    writers = [python(code, history.path, writer) for writer in range(4)]
    for writer in writers:
        _, said = writer.communicate(timeout=120)
        assert writer.returncode == 0, said
    assert sorted(prompts(history)) == sorted(f"{w}.{i}" for w in range(4) for i in range(12))


def test_instances_that_find_a_damaged_file_together_keep_every_run(history: History) -> None:
    history.path.parent.mkdir()
    history.path.write_bytes(b"damaged" * 1000)
    code = (
        "history = History(Path(sys.argv[1]), patience_s=60)\n"
        "for i in range(3): history.save(run_document(f'{sys.argv[2]}.{i}'))\n"
    )
    writers = [python(code, history.path, writer) for writer in range(4)]
    for writer in writers:
        _, said = writer.communicate(timeout=120)
        assert writer.returncode == 0, said
    assert len(prompts(history)) == 12
    assert len(list(history.path.parent.glob("*.damaged-*"))) == 1


def test_a_writer_killed_at_any_moment_harms_no_run(history: History) -> None:
    code = (
        "history = History(Path(sys.argv[1]))\n"
        "texts = {'gelu': ['word'] * 2000}\n"
        "print('ready', flush=True)\n"
        "while True: print(history.save(run_document(texts=texts)), flush=True)\n"
    )
    saved = 0
    for round_number in range(5):
        writer = python(code, history.path)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        saved = int(writer.stdout.readline())
        time.sleep(0.007 * round_number)
        writer.kill()
        rest, _ = writer.communicate(timeout=60)
        saved = max([saved, *map(int, rest.split("\n")[:-1])])
        assert saved <= len(prompts(history)) <= saved + 1  # at most one more, if not yet told
        saved = history.save(run_document())
    assert len(prompts(history)) == saved
    assert history.pop_notice() is None


def test_a_writer_killed_in_the_middle_of_its_transaction(history: History) -> None:
    first = history.save(run_document("kept"))
    code = (
        "import sqlite3, time\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('PRAGMA cache_spill = ON'); c.execute('PRAGMA cache_size = 1')\n"
        "c.execute('BEGIN IMMEDIATE')\n"
        "c.execute('UPDATE runs SET prompt = ?, document = ?', ('gone', os.urandom(10**6)))\n"
        "for i in range(9): c.execute('INSERT INTO runs SELECT NULL, created, model, prompt, "
        "activations, reference, divergences, status, total_tokens, document FROM runs LIMIT 1')\n"
        "print('spilled', flush=True); time.sleep(60)\n"
    )
    writer = python(code, history.path)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "spilled\n"
    journal = Path(f"{history.path}-journal")
    assert journal.stat().st_size > 0 and history.path.stat().st_size > 10**6
    writer.kill()
    writer.communicate(timeout=60)
    assert prompts(history) == ["kept"]
    assert history.load(first) == run_document("kept")


def test_locked_for_too_long(history: History) -> None:
    history.save(run_document("kept"))
    holder = sqlite3.connect(history.path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    hasty = History(history.path, patience_s=0.1)
    for call in (lambda: hasty.save(run_document()), hasty.entries):
        with pytest.raises(GeluError, match=r"kept the history locked for 0\.1 s") as caught:
            call()
        assert caught.value.info.kind == "history_locked"
    holder.close()
    assert prompts(hasty) == ["kept"]


# --- files that cannot be used --------------------------------------------------------------------


def test_a_full_disk_is_told_and_nothing_is_lost(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    history.save(run_document("kept"))
    connect = sqlite3.connect

    def full(*values: object, **options: object) -> sqlite3.Connection:
        """SQLite itself reports the disk as full where it may not add a page."""
        connection = connect(*values, **options)  # type: ignore[call-overload]
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        return connection  # type: ignore[no-any-return]

    with monkeypatch.context() as patched:
        patched.setattr(history_module.sqlite3, "connect", full)
        with pytest.raises(GeluError, match="could not be saved: the disk is full") as caught:
            history.save(run_document(texts={"gelu": [os.urandom(9).hex()] * 5000}))
        assert caught.value.info.kind == "history_full"
        assert prompts(history) == ["kept"]
    history.save(run_document("later"))
    assert prompts(history) == ["later", "kept"]


@pytest.mark.parametrize("room", [0, 1000, 50_000])
def test_a_file_system_that_takes_no_more_bytes(history: History, room: int) -> None:
    history.save(run_document("kept"))
    size = history.path.stat().st_size
    code = (
        "import resource\nfrom gelu_tui.core.errors import GeluError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)\n"
        "texts = {'gelu': [os.urandom(9).hex() for _ in range(9000)]}\n"
        "try: History(Path(sys.argv[1])).save(run_document(texts=texts))\n"
        "except GeluError as error: print(error.info.kind, error.info.message)\n"
    )
    writer = python(code, history.path, size + room if room else 0)
    out, err = writer.communicate(timeout=60)
    assert (writer.returncode, err) == (0, "")
    assert out.startswith(("history_io ", "history_full ")), out
    assert prompts(history) == ["kept"]
    history.save(run_document("later"))
    assert prompts(history) == ["later", "kept"]


def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    history = History(folder / "history.sqlite")
    history.save(run_document("kept"))
    history.path.chmod(0o444)
    folder.chmod(0o555)
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_mode & 0o011 != 0o011:
            parent.chmod(parent.stat().st_mode | 0o011)  # pytest's folders, to be walked through
    # Root may write everywhere, so the test gives that up where it has it.
    code = (
        "from gelu_tui.core.errors import GeluError\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"
        "history = History(Path(sys.argv[1]))\n"
        "print([entry.prompt for entry in history.entries()])\n"
        "for path in (history.path, history.path.with_name('new.sqlite')):\n"
        "    try: History(path).save(run_document())\n"
        "    except GeluError as error: print(error.info.kind, error.info.message)\n"
    )
    reader = python(code, history.path)
    out, err = reader.communicate(timeout=60)
    folder.chmod(0o755)
    assert err == ""
    first, *refused = out.splitlines()
    assert first == "['kept']"
    assert len(refused) == 2
    assert all(line.startswith("history_refused The run could not be saved: ") for line in refused)


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to("/dev/null/none")])
def test_what_is_no_file(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "history.sqlite"
    make(path)
    with pytest.raises(GeluError, match="could not be saved") as caught:
        History(path).save(run_document())
    assert caught.value.info.kind == "history_refused"


def test_the_variable_that_names_a_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    with pytest.raises(GeluError, match="Not a directory") as caught:
        History(tmp_path / "file" / "gelu-tui" / "history.sqlite").save(run_document())
    assert caught.value.info.hint.startswith("Set XDG_DATA_HOME to a folder")


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


def in_file(history: History, statement: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(history.path)) as connection, connection:
        return connection.execute(statement).fetchall()


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


# --- damaged files --------------------------------------------------------------------------------


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
