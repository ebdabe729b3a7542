"""Saved runs, in one SQLite file that several instances may use at once."""

from __future__ import annotations

import contextlib
import sqlite3
import zlib
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from gelu_tui.core import paths
from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import TokenStep
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.runs.compressed import unpacked
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.runs.restore import read_document, readable
from gelu_tui.core.runs.sqlite_file import Row, SqliteFile
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

_SEARCHED = ("prompt", "model", "activations", "status")
_PIECE = 1000  # steps
_MOST_DIGITS = 18  # of an id, so that SQLite can hold it


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


_FIELDS = msgspec.structs.fields(Entry)  # takes longer than to check a row


class History:
    """The saved runs of one file, by default the user's.

    Each call is one transaction, and may come from any thread. Every method raises `GeluError`
    where the file cannot be used. A damaged file is renamed, never deleted, and what can be read of
    it is in the new one; `pop_notice` then returns a message for the user.
    """

    def __init__(self, path: Path | None = None, *, patience_s: float = 10.0) -> None:
        self.path = path or paths.data_dir() / "history.sqlite"
        self._file = SqliteFile(
            self.path, "runs", _MIGRATIONS, _prepare, _sound, patience_s=patience_s
        )

    def pop_notice(self) -> ErrorInfo | None:
        """Return the message about a damaged file once, then None."""
        notice, self._file.notice = self._file.notice, None
        return notice

    def save(self, document: ComparisonDocument, run: int | None = None) -> int:
        """Save a run, in place of `run` if it is given; return its id."""
        row = _row(run, readable(document))
        statement = f"INSERT OR REPLACE INTO runs VALUES ({', '.join('?' * len(row))}) RETURNING id"
        return int(
            self._file.query("The run could not be saved", statement, *row, write=True)[0][0]
        )

    def delete(self, run: int) -> None:
        """Delete a run and overwrite its bytes."""
        statement = "DELETE FROM runs WHERE id = ? RETURNING id"
        if not self._file.query("The run could not be deleted", statement, run, write=True):
            raise _no_such_run(run)

    def entries(self, search: str = "", limit: int | None = None) -> list[Entry]:
        """The runs whose prompt, model, functions or status contain every word, newest first."""
        words = search.casefold().split()
        found = f"instr(folded({', '.join(f'CAST({name} AS BLOB)' for name in _SEARCHED)}), ?)"
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
            return read_document(unpacked(rows[0][0]))
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

    def _read(self, statement: str, *values: Any) -> list[Row]:
        return self._file.query("The saved runs could not be read", statement, *values)


def _prepare(connection: sqlite3.Connection) -> None:
    connection.create_function("folded", -1, _folded, deterministic=True)


def local_time(created: str) -> str:
    """A document's time on the user's clock; anything that is not a time is returned as it is."""
    try:
        return f"{datetime.fromisoformat(created).astimezone():%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError, OSError):
        return visible_line(created)[:16]


def run_number(text: str) -> int:
    """The number that a text of digits names. Raises `GeluError` if no run can have it."""
    digits = text.lstrip("0") or "0"
    if len(digits) > _MOST_DIGITS:
        raise _no_such_run(text)
    return int(digits)


def _no_such_run(run: int | str) -> GeluError:
    return GeluError("no_run", f"There is no saved run {run}.", "`gelu-tui history` lists them.")


def _row(run: int | None, document: ComparisonDocument) -> Row:
    return (
        run,
        document.created,
        document.model.id,
        document.prompt,
        _json([variant.name for variant in document.variants]),
        document.reference,
        _json([variant.first_divergent_token for variant in document.variants]),
        document.status,
        sum(len(variant.tokens) for variant in document.variants),
        zlib.compress(_encoded(document), 1),
    )


def _encoded(document: ComparisonDocument) -> bytes:
    """The JSON of a document, made in pieces: encoding one keeps all other threads waiting."""

    def pieces(steps: list[TokenStep]) -> msgspec.Raw:
        starts = range(0, len(steps), _PIECE)
        encoded = (msgspec.json.encode(steps[at : at + _PIECE])[1:-1] for at in starts)
        return msgspec.Raw(b"[" + b",".join(encoded) + b"]")

    variants = [msgspec.structs.asdict(v) | {"steps": pieces(v.steps)} for v in document.variants]
    return msgspec.json.encode(msgspec.structs.asdict(document) | {"variants": variants})


def _sound(row: Row) -> Row | None:
    """A row of a damaged file as it should be; None if its run cannot be read."""
    run, *listed, data = row
    try:
        whole = unpacked(data)
        if _entry(run, *listed).status != "damaged":
            return row
        return _row(run, read_document(whole))
    except (zlib.error, TypeError, GeluError):
        return None


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _folded(*parts: bytes | None) -> str:
    """Text to search in; of a damaged row it may be anything."""
    return b"\n".join(filter(None, parts)).decode("utf-8", "replace").casefold()


def _entry(*row: Any) -> Entry:
    """An entry; the columns are in the order of its fields.

    SQLite does not check types, and a flipped bit in one row must not hide the others.
    """
    values: dict[str, Any] = {}
    for field, value in zip(_FIELDS, row, strict=True):
        is_json = field.name in ("activations", "first_divergent_tokens")
        with contextlib.suppress(msgspec.MsgspecError, TypeError, ValueError):
            decode = msgspec.json.decode if is_json else msgspec.convert
            values[field.name] = decode(value, type=field.type)
    entry = Entry(**values)
    whole = len(values) == len(row) and len(entry.activations) == len(entry.first_divergent_tokens)
    return entry if whole else msgspec.structs.replace(entry, status="damaged")
