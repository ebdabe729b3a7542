"""Saved runs, in one SQLite file that several instances may use at once."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import sqlite3
import zlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from gelu_tui.core import paths
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.runs.restore import read_document, readable
from gelu_tui.core.safe_text import visible_line

_RUNS = """
CREATE TABLE runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- an id never names another run later
    created TEXT NOT NULL,
    model TEXT NOT NULL,
    prompt TEXT NOT NULL,
    activations TEXT NOT NULL,            -- JSON, in the order of the panes
    reference TEXT NOT NULL,
    divergences TEXT NOT NULL,            -- JSON, first divergent tokens in the same order
    status TEXT NOT NULL,
    total_tokens INTEGER NOT NULL,
    document BLOB NOT NULL                -- the JSON of `gelu-tui run`, zlib
)
"""
# The statements that lead from each version of the schema (SQLite's `user_version`) to the next.
# Append a step to change the schema: files on users' disks have gone through the steps here.
_MIGRATIONS = ((_RUNS,),)
_LISTED = "id, created, model, substr(prompt, 1, 2000), activations, reference, divergences, status"

_DOCUMENT_LIMIT = 1 << 30  # bytes of a run's JSON: a damaged one could unpack to any number

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_REFUSED = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)


class Entry(msgspec.Struct, frozen=True):
    """One saved run as a list shows it; `created` is ISO 8601, UTC.

    `prompt` is at most its first 2,000 characters; `first_divergent_tokens` go with `activations`.
    Of a row whose data are damaged, `status` is `damaged`, and what cannot be read is empty.
    """

    id: int
    created: str = ""
    model: str = ""
    prompt: str = ""
    activations: tuple[str, ...] = ()
    reference: str = ""
    first_divergent_tokens: tuple[p.Index | None, ...] = ()
    status: p.Status | Literal["damaged"] = "damaged"
    total_tokens: p.Count = 0


class History:
    """The saved runs of one file, by default the user's.

    Each call is one transaction on a connection of its own, so calls may come from any thread.
    Every method raises `GeluError` where the file cannot be used. An older file is migrated in the
    transaction that first uses it. A damaged file is renamed, never deleted, and a new one is
    created; `pop_notice` then returns a message for the user.
    """

    def __init__(self, path: Path | None = None, *, patience_s: float = 10.0) -> None:
        self.path = path or paths.data_dir() / "history.sqlite"
        self._patience_s = patience_s
        self._notice: ErrorInfo | None = None

    def pop_notice(self) -> ErrorInfo | None:
        """Return the message about a damaged file once, then None."""
        notice, self._notice = self._notice, None
        return notice

    def save(self, document: ComparisonDocument, run: int | None = None) -> int:
        """Save a run, in place of `run` if it is given; return its id."""
        document = readable(document)
        row = (
            run,
            document.created,
            document.model.id,
            document.prompt,
            _json([variant.name for variant in document.variants]),
            document.reference,
            _json([variant.first_divergent_token for variant in document.variants]),
            document.status,
            sum(len(variant.tokens) for variant in document.variants),
            zlib.compress(msgspec.json.encode(document), 1),
        )
        statement = f"INSERT OR REPLACE INTO runs VALUES ({', '.join('?' * len(row))}) RETURNING id"
        return int(self._query("The run could not be saved", statement, *row, write=True)[0][0])

    def delete(self, run: int) -> None:
        """Delete a run and overwrite its bytes."""
        statement = "DELETE FROM runs WHERE id = ? RETURNING id"
        if not self._query("The run could not be deleted", statement, run, write=True):
            raise _no_such_run(run)

    def entries(self, search: str = "", limit: int | None = None) -> list[Entry]:
        """The runs whose prompt, model, functions or status contain every word, newest first."""
        words = search.casefold().split()
        found = "instr(folded(prompt, model, activations, status), ?)"
        rows = self._read(
            f"SELECT {_LISTED}, total_tokens FROM runs WHERE "
            f"{' AND '.join([found] * len(words)) or 'true'} ORDER BY id DESC LIMIT ?",
            *words,
            -1 if limit is None else limit,
        )
        return [_entry(*row) for row in rows]

    def load(self, run: int) -> ComparisonDocument:
        """Read a run's document."""
        rows = self._read("SELECT document FROM runs WHERE id = ?", run)
        if not rows:
            raise _no_such_run(run)
        try:
            return read_document(_unpacked(rows[0][0]))
        except (zlib.error, TypeError, GeluError) as error:
            if isinstance(error, GeluError) and error.info.kind != "not_a_document":
                raise
            message = f"Run {run} cannot be read: its data are damaged."
            hint = "The other runs can still be opened."
            raise GeluError("history_damaged", message, hint) from None

    def last(self) -> int:
        """The id of the newest run."""
        rows = self._read("SELECT id FROM runs ORDER BY id DESC LIMIT 1")
        if not rows:
            raise GeluError("no_run", "There are no saved runs yet.", "Every run saves itself.")
        return int(rows[0][0])

    def prompts(self, limit: int = 100) -> list[str]:
        """The prompts of saved runs without repetitions, the most recently used first."""
        statement = "SELECT prompt FROM runs GROUP BY prompt ORDER BY max(id) DESC LIMIT ?"
        return [prompt for (prompt,) in self._read(statement, limit) if isinstance(prompt, str)]

    # --- the file ---------------------------------------------------------------------------------

    def _read(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._query("The saved runs could not be read", statement, *values)

    def _query(
        self, what: str, statement: str, *values: Any, write: bool = False
    ) -> list[tuple[Any, ...]]:
        """The rows that a statement returns; `what` is the beginning of an error's sentence."""
        try:
            try:
                return self._rows(statement, values, write=write)
            except sqlite3.DatabaseError as error:
                if _code(error) not in _DAMAGED:
                    raise
                self._set_aside()
                return self._rows(statement, values, write=write)
        except (sqlite3.Error, OSError) as error:
            raise self._failure(what, error) from None

    def _rows(
        self, statement: str, values: tuple[Any, ...], *, write: bool
    ) -> list[tuple[Any, ...]]:
        if write:
            self._create()
        elif not self.path.exists():
            return []
        with self._transaction("IMMEDIATE" if write else "DEFERRED") as connection:
            ((version,),) = connection.execute("PRAGMA user_version")
            if version > len(_MIGRATIONS):
                message = f"The history in {self.path} was written by a newer gelu-tui."
                hint = "Update gelu-tui to use it; it is left as it is."
                raise GeluError("history_too_new", message, hint)
            if write:
                for number, step in enumerate(_MIGRATIONS[version:], version + 1):
                    for each in step:
                        connection.execute(each)
                    connection.execute(f"PRAGMA user_version = {number}")
            if write or version == len(_MIGRATIONS):
                return connection.execute(statement, values).fetchall()
        # An older file needs a transaction that may write; version 0 is just being created.
        return self._rows(statement, values, write=True) if version else []

    def _create(self) -> None:
        """Create an empty file that only its owner can read, if there is none."""
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
            connection.text_factory = lambda data: data.decode("utf-8", "replace")
            connection.create_function("folded", -1, _folded, deterministic=True)
            connection.execute("PRAGMA secure_delete = ON")  # a deleted run leaves no bytes
            connection.execute(f"BEGIN {kind}")
            with connection:  # commits, or rolls back if anything is raised
                yield connection

    def _set_aside(self) -> None:
        """Rename a damaged file."""
        from filelock import FileLock  # rarely needed

        with FileLock(f"{self.path}.lock", timeout=self._patience_s):
            if self._is_sound():
                return  # another instance was faster
            stem = f"{self.path.stem}.damaged-{datetime.now():%Y%m%d-%H%M%S}"
            stems = (f"{stem}{f'-{n}' if n > 1 else ''}" for n in itertools.count(1))
            found = (self.path.with_name(name + self.path.suffix) for name in stems)
            name = next(path for path in found if not path.exists())
            # The journal first: SQLite would apply one that is left behind to the new file.
            with contextlib.suppress(FileNotFoundError):
                Path(f"{self.path}-journal").rename(f"{name}-journal")
            self.path.rename(name)
        message = f"The history was damaged and is now {name.name}."
        hint = f"A fresh one has begun; the damaged file is kept in {name.parent}."
        self._notice = ErrorInfo("history_damaged", message, hint)

    def _is_sound(self) -> bool:
        try:
            with self._transaction("DEFERRED") as connection:
                return connection.execute("PRAGMA integrity_check(1)").fetchall() == [("ok",)]
        except sqlite3.DatabaseError as error:
            if _code(error) in _DAMAGED:
                return False
            raise

    def _failure(self, what: str, error: sqlite3.Error | OSError) -> GeluError:
        code = _code(error)
        kept = "what was saved before is kept."
        if isinstance(error, TimeoutError) or code in _LOCKED:
            kind = "history_locked"
            why = f"another program has kept the history locked for {self._patience_s:g} s"
            hint = f"Try again once it has let go of {self.path}."
        elif code == sqlite3.SQLITE_FULL or getattr(error, "errno", None) in _NO_ROOM:
            kind, why, hint = "history_full", "the disk is full", f"Make room on it; {kept}"
        elif isinstance(error, OSError) or code in _REFUSED:
            reason = f" ({error.strerror})" if isinstance(error, OSError) else ""
            kind, why = "history_refused", f"{self.path} cannot be opened for it{reason}"
            hint = "Check who owns the file and its folder, and that both can be written."
        elif code == sqlite3.SQLITE_IOERR:
            kind, why = "history_io", f"the file system refused ({error})"
            hint = f"Check that there is room for {self.path}; {kept}"
        else:
            kind, why, hint = "history", str(error), f"Look at {self.path}, or move it away."
        return GeluError(kind, f"{what}: {why}.", hint)


def _code(error: Exception) -> int:
    """SQLite's primary result code; 0 for an error that is not SQLite's own."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def local_time(created: str) -> str:
    """A document's time on the user's clock; anything that is not a time is returned as it is."""
    try:
        return f"{datetime.fromisoformat(created).astimezone():%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError, OSError):
        return visible_line(created)[:16]


def _no_such_run(run: int) -> GeluError:
    return GeluError("no_run", f"There is no saved run {run}.", "`gelu-tui history` lists them.")


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _folded(*parts: object) -> str:
    """Text to search in; a damaged row may hold bytes or numbers where text belongs."""
    return "\n".join(part for part in parts if isinstance(part, str)).casefold()


def _unpacked(data: Any) -> bytes:
    """The JSON of a run. Raises `zlib.error` or `TypeError` where it is damaged or far too long."""
    reader = zlib.decompressobj()
    unpacked = reader.decompress(data, _DOCUMENT_LIMIT)
    if not reader.eof:
        raise zlib.error("it does not end")
    return unpacked


def _entry(*row: Any) -> Entry:
    """An entry; the columns are in the order of its fields.

    SQLite does not check types, and a flipped bit in one row must not hide the others.
    """
    values: dict[str, Any] = {}
    for field, value in zip(msgspec.structs.fields(Entry), row, strict=True):
        is_json = field.name in ("activations", "first_divergent_tokens")
        with contextlib.suppress(msgspec.MsgspecError, TypeError, ValueError):
            decode = msgspec.json.decode if is_json else msgspec.convert
            values[field.name] = decode(value, type=field.type)
    entry = Entry(**values)
    whole = len(values) == len(row) and len(entry.activations) == len(entry.first_divergent_tokens)
    return entry if whole else msgspec.structs.replace(entry, status="damaged")
