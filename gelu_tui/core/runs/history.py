"""Saved runs, in one file that several instances may use at once."""

from __future__ import annotations

import zlib
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from gelu_tui.core import paths
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.runs.restore import read_document
from gelu_tui.core.runs.sqlite_file import HistoryFile
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
_MIGRATIONS = ((_RUNS,),)  # append a step to change the schema: the steps here are on disks
_LISTED = "id, created, model, substr(prompt, 1, 2000), activations, reference, divergences, status"


class Entry(msgspec.Struct, frozen=True):
    """One saved run as a list shows it; `created` is ISO 8601, UTC.

    `prompt` is at most its first 2,000 characters; `first_divergent_tokens` go with `activations`.
    """

    id: int
    created: str
    model: str
    prompt: str
    activations: tuple[str, ...]
    reference: str
    first_divergent_tokens: tuple[int | None, ...]
    status: str
    total_tokens: int


class History:
    """The saved runs of one file, by default the user's.

    Each call is one transaction on a connection of its own, so that calls may come from any thread.
    Every method raises `GeluError` where the file cannot be used. A damaged file is renamed and a
    fresh one begun; `pop_notice` then says so.
    """

    def __init__(self, path: Path | None = None, *, patience_s: float = 10.0) -> None:
        self.path = path or paths.data_dir() / "history.sqlite"
        self._file = HistoryFile(self.path, _MIGRATIONS, patience_s)

    def pop_notice(self) -> ErrorInfo | None:
        """What the user should be told about the file, once."""
        notice, self._file.notice = self._file.notice, None
        return notice

    def save(self, document: ComparisonDocument, run: int | None = None) -> int:
        """Save a run, in the place of `run` if it is given; returns its id."""
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
        rows = self._file.rows("The run could not be saved", statement, row, write=True)
        return int(rows[0][0])

    def delete(self, run: int) -> None:
        """Delete a run; its bytes are overwritten."""
        statement = "DELETE FROM runs WHERE id = ? RETURNING id"
        if not self._file.rows("The run could not be deleted", statement, (run,), write=True):
            raise _no_such_run(run)

    def entries(self, search: str = "", limit: int | None = None) -> list[Entry]:
        """The runs whose prompt, model, functions or status hold every word, newest first."""
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
        """A run's document."""
        rows = self._read("SELECT document FROM runs WHERE id = ?", run)
        if not rows:
            raise _no_such_run(run)
        try:
            data = zlib.decompress(rows[0][0])
        except (zlib.error, TypeError):
            raise GeluError(
                "history_damaged",
                f"Run {run} cannot be read: its data are damaged.",
                "The other runs can still be opened.",
            ) from None
        return read_document(data)

    def last(self) -> int:
        """The id of the newest run."""
        rows = self._read("SELECT id FROM runs ORDER BY id DESC LIMIT 1")
        if not rows:
            raise GeluError("no_run", "There are no saved runs yet.", "Every run saves itself.")
        return int(rows[0][0])

    def prompts(self, limit: int = 100) -> list[str]:
        """The prompts of saved runs, each once, the most recently used first."""
        statement = "SELECT prompt FROM runs GROUP BY prompt ORDER BY max(id) DESC LIMIT ?"
        return [row[0] for row in self._read(statement, limit)]

    def _read(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._file.rows("The saved runs could not be read", statement, values)


def local_time(created: str) -> str:
    """A document's time as the user's clock shows it; what is no time is shown as it is."""
    try:
        return f"{datetime.fromisoformat(created).astimezone():%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError, OSError):
        return visible_line(created)[:16]


def _no_such_run(run: int) -> GeluError:
    return GeluError("no_run", f"There is no saved run {run}.", "`gelu-tui history` lists them.")


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _entry(*row: Any) -> Entry:
    """The columns stand in the order of the fields."""
    values = list(row)
    values[4] = _decoded(row[4], tuple[str, ...])
    values[6] = _decoded(row[6], tuple[int | None, ...])
    return Entry(*values)


def _decoded(text: str, kind: Any) -> Any:
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.MsgspecError:  # a flipped bit in one row must not hide the others
        return ()
