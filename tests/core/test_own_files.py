"""What is written is a regular file of our own: a link, a device or a pipe is left as it is."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gelu_tui.core.errors import GeluError
from gelu_tui.core.own_files import open_log, replace_file, schema_of
from gelu_tui.core.reports.export import FORMATS, export
from gelu_tui.core.runs.history import History
from tests.support.comparisons import run_document

Write = Callable[[Path], object]


def save(path: Path) -> None:
    History(path).save(run_document())


def log(path: Path) -> None:
    with os.fdopen(open_log(path), "a") as file:
        file.write("line\n")


def export_over(path: Path) -> None:
    export(run_document(), path.with_suffix(".md"), FORMATS, overwrite=True)


WRITES: dict[str, Write] = {
    "history": save, "log": log, "export": export_over,
    "any": lambda path: replace_file(path, "text"),
}  # fmt: skip


def name_of(folder: Path, write: str) -> Path:
    return folder / ("file.md" if write == "export" else "file")


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("content", [b"", b"precious\n", b"SQLite format 3\0 or so"])
def test_a_link_to_a_file_of_the_users(tmp_path: Path, write: str, content: bytes) -> None:
    other = tmp_path / "precious"
    other.write_bytes(content)
    other.chmod(0o644)
    folder = tmp_path / "ours"
    folder.mkdir()
    name_of(folder, write).symlink_to(other)
    try:
        WRITES[write](name_of(folder, write))
    except (GeluError, OSError):
        assert name_of(folder, write).is_symlink()
    assert other.read_bytes() == content
    assert stat.S_IMODE(other.stat().st_mode) == 0o644


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("linked", [True, False])
def test_a_pipe(tmp_path: Path, write: str, linked: bool) -> None:
    pipe = tmp_path / "pipe" if linked else name_of(tmp_path, write)
    os.mkfifo(pipe, 0o644)
    mode = pipe.stat().st_mode
    if linked:
        name_of(tmp_path, write).symlink_to(pipe)
    try:
        WRITES[write](name_of(tmp_path, write))
    except (GeluError, OSError):
        pass
    else:
        assert linked, "a link may be replaced"
    assert pipe.stat().st_mode == mode


@pytest.mark.parametrize("write", WRITES)
def test_a_device(tmp_path: Path, write: str) -> None:
    name_of(tmp_path, write).symlink_to("/dev/null")
    before = Path("/dev/null").stat()
    try:
        WRITES[write](name_of(tmp_path, write))
    except GeluError as error:
        assert "is not a file" in error.info.message
    except OSError:
        pass
    after = Path("/dev/null").stat()
    assert (after.st_mode, after.st_rdev) == (before.st_mode, before.st_rdev)


def test_a_history_behind_a_link_is_used_and_keeps_its_mode(tmp_path: Path) -> None:
    real, link = tmp_path / "elsewhere.sqlite", tmp_path / "history.sqlite"
    first = History(real).save(run_document("first"))
    real.chmod(0o640)
    link.symlink_to(real)
    second = History(link).save(run_document("second"))
    assert [entry.id for entry in History(real).entries()] == [second, first]
    assert link.is_symlink() and stat.S_IMODE(real.stat().st_mode) == 0o640


def test_a_device_as_the_history_is_refused_in_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    for target in ("/dev/null", "/dev/zero"):
        path.symlink_to(target)
        for call in (History(path).entries, lambda: save(path)):
            with pytest.raises(GeluError, match="is not a file") as caught:
                call()
            assert caught.value.info.kind == "history_refused"
        path.unlink()


def test_a_file_is_complete_or_as_before(tmp_path: Path) -> None:
    path = tmp_path / "x.md"
    replace_file(path, "one")
    with pytest.raises(TypeError):
        replace_file(path, 2)  # type: ignore[arg-type]
    assert path.read_text() == "one"
    assert list(tmp_path.iterdir()) == [path]
    replace_file(path, "two", mode=0o600)
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("two", 0o600)


def test_a_file_of_parts_is_complete_or_as_before(tmp_path: Path) -> None:
    def parts() -> Iterator[bytes]:
        yield b"\xff"
        raise GeluError("x", "No more.", "")

    path = tmp_path / "x.parquet"
    replace_file(path, (b"\x00\xff", b"\r\n"))
    with pytest.raises(GeluError, match="No more"):
        replace_file(path, parts())
    assert path.read_bytes() == b"\x00\xff\r\n"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("data", "schema"),
    [
        (b'{"schema": "gelu-tui.score/1", "tokens": 3}', "gelu-tui.score/1"),
        (b'{"late": [{}], "schema": "gelu-tui.layers/1"}', "gelu-tui.layers/1"),
        (b'{"schema": "another/1"}', ""),
        (b'{"schema": 3}', ""),
        (b'{"tokens": 3}', ""),
        (b'["gelu-tui.score/1"]', ""),
        (b"a text about gelu-tui.score/1", ""),
        (b"\xff\xfe\x00", ""),
        (b"[" * 100_000, ""),
    ],
)
def test_the_schema_of_a_document(data: bytes, schema: str) -> None:
    assert schema_of(data) == schema
