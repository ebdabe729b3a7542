"""The SQLite file under the history: opened, prepared, set aside when damaged."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from gelu_tui.core.errors import ErrorInfo, GeluError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_REFUSED = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)


class HistoryFile:
    """A file with one schema; `rows` does one statement in one transaction of its own connection.

    `migrations` hold the statements that lead from each version of the schema (SQLite's
    `user_version`) to the next, the first ones from an empty file to version 1. An older file is
    migrated by the first statement that is executed on it, in the same transaction. A damaged file
    is renamed, never deleted; `notice` then holds the message for the user.
    """

    def __init__(self, path: Path, migrations: Sequence[Sequence[str]], patience_s: float) -> None:
        self.path = path
        self.notice: ErrorInfo | None = None
        self._migrations = migrations
        self._patience_s = patience_s

    def rows(
        self, what: str, statement: str, values: Sequence[Any], *, write: bool = False
    ) -> list[tuple[Any, ...]]:
        """The rows that a statement returns; none where there is no file yet to read.

        Raises `GeluError`, whose sentence begins with `what`.
        """
        try:
            try:
                return self._rows(statement, values, write=write)
            except sqlite3.DatabaseError as error:
                if _code(error) not in _DAMAGED:
                    raise
                self._set_aside()
                return self._rows(statement, values, write=write)
        except (sqlite3.Error, OSError) as error:
            raise self._told(what, error) from None

    def _rows(self, statement: str, values: Sequence[Any], *, write: bool) -> list[tuple[Any, ...]]:
        if write:
            self._create()
        elif not self.path.exists():
            return []
        with self._transaction("IMMEDIATE" if write else "DEFERRED") as connection:
            ((version,),) = connection.execute("PRAGMA user_version")
            if version > len(self._migrations):
                raise GeluError(
                    "history_too_new",
                    f"The history in {self.path} was written by a newer gelu-tui.",
                    "Update gelu-tui to use it; it is left as it is.",
                )
            if write:
                for number, step in enumerate(self._migrations[version:], version + 1):
                    for each in step:
                        connection.execute(each)
                    connection.execute(f"PRAGMA user_version = {number}")
            if write or version == len(self._migrations):
                return connection.execute(statement, values).fetchall()
        # An older file needs a transaction that may write; version 0 is just being created.
        return self._rows(statement, values, write=True) if version else []

    def _create(self) -> None:
        """An empty file that only its owner can read, if there is none."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Never opened where it exists: closing it again would drop SQLite's locks on it in other
        # threads of this process.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        if self.path.stat().st_mode & 0o077:
            with contextlib.suppress(PermissionError):  # another owner's, made readable on purpose
                self.path.chmod(0o600)

    @contextlib.contextmanager
    def _transaction(self, kind: str) -> Iterator[sqlite3.Connection]:
        opened = sqlite3.connect(self.path, timeout=self._patience_s, isolation_level=None)
        with contextlib.closing(opened) as connection:
            connection.text_factory = _decoded
            connection.create_function("folded", -1, _folded, deterministic=True)
            connection.execute("PRAGMA secure_delete = ON")  # a deleted run leaves no bytes
            connection.execute(f"BEGIN {kind}")
            with connection:  # commits, or rolls back whatever was raised
                yield connection

    # --- a damaged file ---------------------------------------------------------------------------

    def _set_aside(self) -> None:
        from filelock import FileLock  # rarely needed

        with FileLock(f"{self.path}.lock", timeout=self._patience_s):
            if self._sound():
                return  # another instance was faster
            name = self._free_name()
            # The journal first: left behind, it would be played into the fresh file.
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self.path}-journal").rename(f"{name}-journal")
            self.path.rename(name)
        self.notice = ErrorInfo(
            "history_damaged",
            f"The history was damaged and is now {name.name}.",
            f"A fresh one has begun; the damaged file is kept in {name.parent}.",
        )

    def _sound(self) -> bool:
        try:
            with self._transaction("DEFERRED") as connection:
                return connection.execute("PRAGMA integrity_check(1)").fetchall() == [("ok",)]
        except sqlite3.DatabaseError as error:
            if _code(error) in _DAMAGED:
                return False
            raise

    def _free_name(self) -> Path:
        stem = f"{self.path.stem}.damaged-{datetime.now():%Y%m%d-%H%M%S}"
        name, count = self.path.with_name(stem + self.path.suffix), 1
        while name.exists():
            count += 1
            name = self.path.with_name(f"{stem}-{count}{self.path.suffix}")
        return name

    # --- errors -----------------------------------------------------------------------------------

    def _told(self, what: str, error: sqlite3.Error | OSError) -> GeluError:
        code = _code(error)
        if isinstance(error, TimeoutError) or code in _LOCKED:
            return GeluError(
                "history_locked",
                f"{what}: another program has kept the history locked for {self._patience_s:g} s.",
                f"Try again once it has let go of {self.path}.",
            )
        if code == sqlite3.SQLITE_FULL or getattr(error, "errno", None) in _NO_ROOM:
            return GeluError(
                "history_full",
                f"{what}: the disk is full.",
                "Make room on it; what was saved before is kept.",
            )
        if isinstance(error, OSError) or code in _REFUSED:
            reason = f" ({error.strerror})" if isinstance(error, OSError) else ""
            return GeluError(
                "history_refused",
                f"{what}: {self.path} cannot be opened for it{reason}.",
                "Check who owns the file and its folder, and that both can be written.",
            )
        if code == sqlite3.SQLITE_IOERR:
            return GeluError(
                "history_io",
                f"{what}: the file system refused ({error}).",
                f"Check that there is room for {self.path}; what was saved before is kept.",
            )
        return GeluError("history", f"{what}: {error}.", f"Look at {self.path}, or move it away.")


def _code(error: Exception) -> int:
    """SQLite's primary result code; 0 for an error that is not SQLite's own."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _decoded(text: bytes) -> str:
    return text.decode("utf-8", "replace")


def _folded(*parts: str) -> str:
    return "\n".join(parts).casefold()
