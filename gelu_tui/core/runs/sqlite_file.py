"""An SQLite file that several processes use at once: opened, migrated, repaired."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.paths import variable_of
from gelu_tui.core.runs.salvage import readable_rows

_T = TypeVar("_T")
Row = tuple[Any, ...]
Migrations = Sequence[Sequence[str]]

_MOST_VERSIONS = 1000  # a larger number is no version but damage
_SOME = 100
_WRITE_VERSION = 18  # its place in the header; SQLite writes 1 or 2

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_REFUSED = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)
_NOT_DAMAGE = (*_LOCKED, *_REFUSED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


class _Damaged(Exception):
    """The file is damaged although SQLite raised nothing."""

    def __str__(self) -> str:
        return "the file is damaged"


# Python cannot decode SQLite's own message where that repeats a damaged schema.
_SIGNS_OF_DAMAGE = (sqlite3.DatabaseError, _Damaged, UnicodeDecodeError)


class SqliteFile:
    """One file. Calls may come from any thread: each has a connection of its own.

    The statements of `migrations` lead from each version of the schema (SQLite's `user_version`)
    to the next; an older file is migrated in the transaction that first uses it. `prepare` is
    called with every connection.

    A damaged file is renamed, never deleted or changed. A fresh one takes its place, with the rows
    of the table `table`, the first that is created, that can still be read and that `sound`
    returns; `notice` then holds a message for the user. Damage is looked for once, before the
    file is first used; with `check_reads` False only before it is first written, so that a large
    file opens at once.

    `noun` is what messages call the file, and the beginning of the kinds of its errors.
    """

    def __init__(
        self,
        path: Path,
        table: str,
        migrations: Migrations,
        prepare: Callable[[sqlite3.Connection], object],
        sound: Callable[[Row], Row | None],
        *,
        patience_s: float,
        noun: str = "history",
        check_reads: bool = True,
    ) -> None:
        self.path = path
        self.notice: ErrorInfo | None = None
        self._table = table
        self._migrations = migrations
        self._prepare = prepare
        self._sound = sound
        self._patience_s = patience_s
        self._noun = noun
        self._check_reads = check_reads
        self._checked = False

    def query(self, what: str, statement: str, *values: Any, write: bool = False) -> list[Row]:
        """The rows that a statement returns; none where there is no file and `write` is False.

        Raises `GeluError` as `run` does.
        """

        def work(connection: sqlite3.Connection) -> list[Row]:
            return connection.execute(statement, values).fetchall()

        return self.run(what, work, write=write) or []

    def run(
        self, what: str, work: Callable[[sqlite3.Connection], _T], *, write: bool = False
    ) -> _T | None:
        """What `work` returns, all of it one transaction: None without a file that may be read.

        `work` is called a second time where the file had to be repaired. Raises `GeluError` where
        the file cannot be used; `what` is the beginning of its sentence.
        """
        try:
            try:
                return self._run(what, work, write=write)
            except _SIGNS_OF_DAMAGE as error:
                if _code(error) in _NOT_DAMAGE and not self._forbids_writing(error):
                    raise
                self._set_aside()
                return self._run(what, work, write=write)
        except (sqlite3.Error, OSError, *_SIGNS_OF_DAMAGE) as error:
            raise self._failure(what, error) from None

    def _run(
        self, what: str, work: Callable[[sqlite3.Connection], _T], *, write: bool
    ) -> _T | None:
        if write:
            self._create()
        elif not self.path.exists() and not self.path.is_symlink():
            return None
        self._refuse_others(what)
        with self._transaction("IMMEDIATE" if write else "DEFERRED") as connection:
            version = self._version(connection)
            if version > len(self._migrations):
                message = f"The {self._noun} in {self.path} was written by a newer gelu-tui."
                hint = "Update gelu-tui to use it; it is left as it is."
                raise GeluError(f"{self._noun}_too_new", message, hint)
            if not self._checked and (write or self._check_reads):
                if not self._is_intact(connection):
                    raise _Damaged
                self._checked = True
            if write:
                self._migrate(connection, version)
            if write or version == len(self._migrations):
                return work(connection)
        # An older file needs a transaction that may write; version 0 is just being created.
        return self._run(what, work, write=True) if version else None

    def _create(self) -> None:
        """Create an empty file that only its owner can read, if there is none."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Never opened where it exists: closing it again would drop SQLite's locks on it in other
        # threads of this process.
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        found = self.path.lstat()
        # What a link leads to keeps its mode, and so does a file that has another name too.
        is_own = stat.S_ISREG(found.st_mode) and found.st_nlink == 1
        if is_own and found.st_mode & 0o077 and found.st_uid == os.geteuid():
            with contextlib.suppress(PermissionError):
                self.path.chmod(0o600)

    def _refuse_others(self, what: str) -> None:
        """Raise `GeluError` for a device or a pipe, and for a link to a file that is not ours.

        Through a link SQLite would make a history of any empty file.
        """
        is_link = self.path.is_symlink()
        found = self.path.stat() if not is_link or self.path.exists() else None
        why = ""
        if found is None:
            why = "is a link that leads nowhere"
        elif not stat.S_ISREG(found.st_mode):
            why = "is a folder" if stat.S_ISDIR(found.st_mode) else "is not a file"
        elif not found.st_size and is_link:
            why = "is a link to an empty file"
        if why:
            noun = self._noun
            hint = f"Move it away: a {noun} is begun there. A link may lead to a {noun}."
            raise GeluError(f"{noun}_refused", f"{what}: {self.path} {why}.", hint)

    @contextlib.contextmanager
    def _transaction(self, kind: str) -> Iterator[sqlite3.Connection]:
        opened = sqlite3.connect(self.path, timeout=self._patience_s, isolation_level=None)
        with contextlib.closing(opened) as connection:
            connection.text_factory = lambda data: data.decode("utf-8", "replace")
            self._prepare(connection)
            connection.execute("PRAGMA secure_delete = ON")  # a deleted row leaves no bytes
            connection.execute(f"BEGIN {kind}")
            with connection:  # commits, or rolls back if anything is raised
                yield connection

    def _version(self, connection: sqlite3.Connection) -> int:
        ((version,),) = connection.execute("PRAGMA user_version")
        if not 0 <= version <= _MOST_VERSIONS:
            raise _Damaged
        return int(version)

    def _migrate(self, connection: sqlite3.Connection, version: int) -> None:
        for number, step in enumerate(self._migrations[version:], version + 1):
            for each in step:
                connection.execute(each)
            connection.execute(f"PRAGMA user_version = {number}")

    def _is_intact(self, connection: sqlite3.Connection) -> bool:
        """Whether pages and schema are as this program writes them; values are not looked at."""
        version = self._version(connection)
        if version <= len(self._migrations):
            with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as own:
                for step in self._migrations[:version]:
                    for each in step:
                        own.execute(each)
                ours, found = _schema(own), _schema(connection)
                if not ours <= found or (found and not ours):
                    return False
        said = connection.execute(f"PRAGMA integrity_check({_SOME})").fetchall()
        # Some versions of SQLite report values of another type too: `TEXT value in runs.id`.
        return all(line == "ok" or " value in " in line for (line,) in said)

    # --- damage -----------------------------------------------------------------------------------

    def _set_aside(self) -> None:
        """Rename a damaged file, and put a fresh one with its readable rows in its place."""
        from filelock import FileLock  # rarely needed

        with FileLock(f"{self.path}.lock", timeout=self._patience_s):
            if self._is_sound():
                return  # another instance was faster
            fresh, count = self._salvaged()
            stem = f"{self.path.stem}.damaged-{datetime.now():%Y%m%d-%H%M%S}"
            stems = (f"{stem}{f'-{n}' if n > 1 else ''}" for n in itertools.count(1))
            found = (self.path.with_name(name + self.path.suffix) for name in stems)
            name = next(path for path in found if not os.path.lexists(path))
            # The journal first: SQLite would apply one that is left behind to the new file.
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self.path}-journal").rename(f"{name}-journal")
            # The path never names no file: another instance would begin one there.
            try:
                os.link(self.path, name, follow_symlinks=False)
            except (OSError, NotImplementedError):  # a file system without links
                self.path.rename(name)
            fresh.replace(self.path)
        message = f"The {self._noun} was damaged and is now {name.name}."
        runs = "the run" if count == 1 else f"the {count:,} runs"
        kept = f" with {runs} that could be read" if count else ""
        hint = f"A fresh one has begun{kept}; the damaged file is kept in {name.parent}."
        self.notice = ErrorInfo(f"{self._noun}_damaged", message, hint)

    def _is_sound(self) -> bool:
        if not self.path.exists():
            return True
        try:
            with self._transaction("DEFERRED") as connection:
                return _may_be_written(connection) and self._is_intact(connection)
        except _SIGNS_OF_DAMAGE as error:
            if _code(error) in _NOT_DAMAGE:
                raise
            return False

    def _forbids_writing(self, error: Exception) -> bool:
        """Whether the file itself is why it may not be written, which no program of ours makes so.

        It is asked only then: all of the file is read.
        """
        if _code(error) != sqlite3.SQLITE_READONLY:
            return False
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            return not _may_be_written(connection)

    def _salvaged(self) -> tuple[Path, int]:
        """A new file beside the damaged one, with the rows that can be read, and their number."""
        fresh = self.path.with_name(f".{self.path.name}.{os.getpid()}.new")
        fresh.unlink(missing_ok=True)
        try:
            return fresh, self._fill(fresh)
        except BaseException:
            fresh.unlink(missing_ok=True)
            raise

    def _fill(self, fresh: Path) -> int:
        os.close(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        count = 0
        with contextlib.closing(sqlite3.connect(fresh, isolation_level=None)) as connection:
            self._migrate(connection, 0)
            model = fresh.read_bytes()
            connection.execute("BEGIN")
            others = []  # a damaged id may be that of another row
            for row in readable_rows(self.path, self._table, model):
                if (kept := self._sound(row)) is not None:
                    statement = f"SELECT * FROM {self._table} WHERE rowid = ?"
                    found = connection.execute(statement, kept[:1]).fetchone()
                    if found is None:
                        count += self._insert(connection, kept)
                    elif found != kept:
                        others.append((None, *kept[1:]))
            count += sum(self._insert(connection, row) for row in others)
            connection.execute("COMMIT")
        return count

    def _insert(self, connection: sqlite3.Connection, row: Row) -> int:
        marks = ", ".join("?" * len(row))
        statement = f"INSERT OR IGNORE INTO {self._table} VALUES ({marks})"
        return connection.execute(statement, row).rowcount

    # --- what is told -----------------------------------------------------------------------------

    def _failure(self, what: str, error: Exception) -> GeluError:
        code = _code(error)
        kept = "what was saved before is kept."
        if isinstance(error, TimeoutError) or code in _LOCKED:
            kind = "locked"
            why = f"another program has kept the {self._noun} locked for {self._patience_s:g} s"
            hint = f"Try again once it has let go of {self.path}."
        elif code == sqlite3.SQLITE_FULL or getattr(error, "errno", None) in _NO_ROOM:
            kind, why, hint = "full", "the disk is full", f"Make room on it; {kept}"
        elif isinstance(error, OSError) or code in _REFUSED:
            reason = f" ({error.strerror})" if isinstance(error, OSError) else ""
            what_file = getattr(error, "filename", None) or self.path
            kind, why = "refused", f"{what_file} cannot be opened for it{reason}"
            hint = "Check who owns the file and its folder, and that both can be written."
            if isinstance(error, OSError) and (variable := variable_of(self.path)):
                hint = f"Set {variable} to a folder that can be written, or unset it."
            if getattr(error, "errno", None) in (errno.EISDIR, errno.ELOOP):
                hint = f"Move it away; {kept}"
        elif code == sqlite3.SQLITE_IOERR:
            kind, why = "io", f"the file system refused ({error})"
            hint = f"Check that there is room for {self.path}; {kept}"
        else:
            kind, why, hint = "", str(error), f"Look at {self.path}, or move it away."
        return GeluError(f"{self._noun}_{kind}".rstrip("_"), f"{what}: {why}.", hint)


def _code(error: Exception) -> int:
    """SQLite's primary result code; 0 for an error that is not SQLite's own."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _may_be_written(connection: sqlite3.Connection) -> bool:
    """Whether the version for writing in a file's header is one that SQLite writes."""
    # Not by opening the file: closing it would drop SQLite's locks on it.
    return connection.serialize()[_WRITE_VERSION : _WRITE_VERSION + 1] <= b"\2"


def _schema(connection: sqlite3.Connection) -> set[Row]:
    return set(connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master"))
