"""A history that cannot be written or read is told of, and nothing is lost."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from gelu_tui.core.errors import GeluError
from gelu_tui.core.runs import history as history_module
from gelu_tui.core.runs.history import History
from tests.support.comparisons import run_document
from tests.support.histories import prompts, python


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


@pytest.mark.parametrize("target", ["history.sqlite", "absent.sqlite", "absent/history.sqlite"])
def test_a_link_that_leads_nowhere_is_no_empty_history(tmp_path: Path, target: str) -> None:
    """As one to a disk that is not there."""
    history = History(tmp_path / "history.sqlite")
    history.path.symlink_to(target)
    for use in (history.entries, lambda: history.save(run_document())):
        with pytest.raises(GeluError, match="is a link that leads nowhere"):
            use()
    assert list(tmp_path.iterdir()) == [history.path]


def test_a_file_with_another_name_keeps_mode_and_content(tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text("my text")
    mine.chmod(0o644)
    history = History(tmp_path / "history.sqlite")
    history.path.hardlink_to(mine)
    history.save(run_document("kept"))
    assert prompts(history) == ["kept"]
    assert mine.read_text() == "my text"
    assert mine.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.symlink_to("mine.txt")])
def test_a_lock_that_is_none_is_named(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """Only a damaged history is locked by a file."""
    history = History(tmp_path / "history.sqlite")
    history.path.write_text("not SQLite")
    make(tmp_path / "history.sqlite.lock")
    with pytest.raises(GeluError, match=r"history\.sqlite\.lock cannot be opened") as caught:
        history.save(run_document())
    assert caught.value.hint.startswith("Move it away")


def test_the_variable_that_names_a_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    with pytest.raises(GeluError, match="Not a directory") as caught:
        History(tmp_path / "file" / "gelu-tui" / "history.sqlite").save(run_document())
    assert caught.value.info.hint.startswith("Set XDG_DATA_HOME to a folder")
