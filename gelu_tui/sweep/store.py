"""The results of one sweep: a folder with `sweep.json` and an SQLite file.

Several processes may work on one sweep at once. Each finished prompt is saved in one transaction:
a process that is killed loses at most the prompt that it was saving.
"""

from __future__ import annotations

import contextlib
import functools
import math
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.runs.compressed import unpacked
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.runs.sqlite_file import Row, SqliteFile
from gelu_tui.core.safe_text import visible_line
from gelu_tui.sweep import sweep_folder
from gelu_tui.sweep.claims import CLAIMS_TABLE, WORKERS_TABLE, Heartbeat, Worker
from gelu_tui.sweep.document import Machine
from gelu_tui.sweep.encodable import encodable
from gelu_tui.sweep.header import SweepHeader
from gelu_tui.sweep.outcomes import FailedPrompt, PromptOutcome
from gelu_tui.sweep.prompts import Prompt

_RESULTS = """
CREATE TABLE results (
    key INTEGER PRIMARY KEY,  -- 2^32 times the model's index, and the prompt's number
    failed INTEGER NOT NULL,
    listed BLOB NOT NULL,     -- a SavedPrompt or a FailedPrompt: msgpack, zlib
    document BLOB NOT NULL    -- the saved run by `compact`; empty if it failed
)
"""
# Without it, counting what is done would read a part of every document.
_INDEX = "CREATE INDEX done ON results (key, failed)"
# See `core.runs.history`: a change of the schema is a step more.
_MIGRATIONS = ((_RESULTS, _INDEX, CLAIMS_TABLE, WORKERS_TABLE),)
_RESULTS_FILE = "results.sqlite"

_PAGE = 500  # rows that are read at once
_NUMBERS = 1 << 32
_PROMPT_START = 200

_T = TypeVar("_T")


class SavedPrompt(msgspec.Struct, frozen=True, kw_only=True):
    """What lists and statistics need of a finished prompt, without its saved run.

    `seconds` are those that the engine spent on it; `prompt` is its beginning.
    """

    outcome: PromptOutcome
    prompt: str
    created: str
    tokens: int  # of all streams
    seconds: float
    device: str
    versions: dict[str, str]
    self_check: p.SelfCheckReport | None
    checksum: int  # of the saved run


class Done(msgspec.Struct, frozen=True):
    """How many prompts have been finished, and how many have failed."""

    completed: int
    failed: int


class SweepStore:
    """One sweep's results. Calls may come from any thread.

    Every method raises `GeluError` where the files cannot be used. A damaged file is renamed, never
    deleted; what can be read of it is in the new one, what cannot is not done, and `pop_notice`
    then returns a message for the user.
    """

    def __init__(self, folder: Path, header: SweepHeader, *, patience_s: float = 30.0) -> None:
        self.folder = folder
        self.header = header
        self.id = folder.name
        self._file = SqliteFile(
            folder / _RESULTS_FILE,
            "results",
            _MIGRATIONS,
            lambda connection: None,
            _sound,
            patience_s=patience_s,
            noun="sweep",
            check_reads=False,  # which would read all of every sweep that is listed
        )
        self._checked = False
        self._heartbeat = Heartbeat(lambda: self._write("", self._worker.beat))

    @functools.cached_property
    def _worker(self) -> Worker:
        return Worker()

    @classmethod
    def create(cls, header: SweepHeader, root: Path | None = None) -> SweepStore:
        """The store of a sweep, begun if there is none yet; by default among the user's."""
        folder = (root or sweep_folder.sweeps_dir()) / header.id
        return cls(folder, sweep_folder.begin(folder, header))

    @classmethod
    def open(cls, folder: Path) -> SweepStore:
        """The store in a folder."""
        return cls(folder, sweep_folder.read_header(folder))

    def pop_notice(self) -> ErrorInfo | None:
        """Return the message about a damaged file once, then None."""
        notice, self._file.notice = self._file.notice, None
        return notice

    # --- work -------------------------------------------------------------------------------------

    def claim(self, model: int, count: int, among: Iterable[int]) -> list[int]:
        """Claim up to `count` prompts that are not done; return their numbers.

        `among` is read no further than needed, so an iterator can be passed again and again. It
        leaves out what others have claimed: at its end, begin anew to take what they let go of.
        """
        self._check()
        drawn: list[int] = []
        further = iter(among)

        def keys(again: list[int]) -> Iterator[int]:
            yield from (_key(model, number) for number in again)
            for number in further:
                drawn.append(number)
                yield _key(model, number)

        def work(connection: sqlite3.Connection) -> list[int]:
            def is_done(key: int) -> bool:
                query = "SELECT 1 FROM results WHERE key = ?"
                return connection.execute(query, (key,)).fetchone() is not None

            return self._worker.claim(connection, keys(list(drawn)), count, is_done)

        taken = self._write("Prompts could not be claimed", work) or []
        self._heartbeat.start()
        return [key % _NUMBERS for key in taken]

    def others(self) -> int:
        """The number of prompts on which other processes work now."""
        return self._read(self._worker.others) or 0

    def release(self) -> None:
        """Let go of what is claimed and not saved."""
        self._heartbeat.stop()
        self._write("Prompts could not be let go of", self._worker.release)

    def save(
        self,
        model: int,
        document: ComparisonDocument,
        outcome: PromptOutcome,
        prompt: Prompt,
        *,
        seconds: float | None = None,
    ) -> None:
        """Save a finished prompt; one that is saved already is left as it is.

        `seconds` are the engine's; without them those of the run, which overlap in a batch.
        """
        from gelu_tui.sweep.compact import pack  # numpy, which lists do without

        document = encodable(document)
        packed = pack(document)
        timing = document.timing
        own = (timing.prefill_s or 0.0) + (timing.decode_s or 0.0)
        listed = SavedPrompt(
            outcome=outcome,
            prompt=prompt.prompt[:_PROMPT_START],
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            tokens=sum(len(variant.tokens) for variant in document.variants),
            seconds=own if seconds is None else seconds,
            device=document.device,
            versions=document.versions,
            self_check=document.self_check,
            checksum=zlib.crc32(packed),
        )
        self._save(_key(model, prompt.number), encodable(listed), packed)

    def save_failed(self, model: int, failed: FailedPrompt) -> None:
        """Save that a prompt cannot be run; one that is finished is left as it is."""
        self._save(_key(model, failed.number), encodable(failed), b"")

    def _save(self, key: int, listed: SavedPrompt | FailedPrompt, document: bytes) -> None:
        row = (key, not document, zlib.compress(msgspec.msgpack.encode(listed)), document)

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO results VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET "
                "failed = excluded.failed, listed = excluded.listed, document = excluded.document "
                "WHERE failed AND NOT excluded.failed",
                row,
            )
            connection.execute("DELETE FROM claims WHERE key = ?", (key,))

        self._write("The prompt could not be saved", work)

    # --- results ----------------------------------------------------------------------------------

    def rows(self, model: int | None = None) -> Iterator[SavedPrompt]:
        """Finished prompts, by model and number."""
        return (row for row in self._listed(model) if isinstance(row, SavedPrompt))

    def outcomes(self, model: int | None = None) -> Iterator[PromptOutcome]:
        """The outcomes of finished prompts, by model and number."""
        return (row.outcome for row in self.rows(model))

    def failed(self, model: int | None = None) -> Iterator[FailedPrompt]:
        """Prompts that could not be run, by model and number."""
        return (row for row in self._listed(model) if isinstance(row, FailedPrompt))

    def done(self, model: int) -> set[int]:
        """The numbers of the prompts that are finished or have failed."""
        return {key % _NUMBERS for key, _ in self._keys(model)}

    def count(self, model: int | None = None) -> Done:
        """How many are finished and have failed, in a moment."""
        failed = [bool(failed) for _, failed in self._keys(model)]
        return Done(len(failed) - sum(failed), sum(failed))

    def seconds(self) -> float:
        """Those that engines spent on finished prompts."""
        return sum(row.seconds for row in self.rows())

    def load(self, model: int, number: int) -> ComparisonDocument:
        """The saved run of a prompt: its steps' numbers are float32, all else is exact.

        Raises `GeluError` (`no_run`) where it is not finished.
        """
        from gelu_tui.sweep.compact import unpack

        query = "SELECT failed, listed, document FROM results WHERE key = ?"
        found = self._query(query, _key(model, number))
        where = f"Prompt {number} of the sweep {visible_line(self.id)}"
        if not found:
            raise GeluError("no_run", f"{where} has not been run.", self._which(model, number))
        failed, listed, document = found[0]
        if failed and isinstance(row := _row(_key(model, number), failed, listed), FailedPrompt):
            said = f"{where} could not be run: {visible_line(row.error)}"
            raise GeluError("no_run", said, self._which(model, number))
        try:
            return unpack(document)
        except GeluError as error:
            if error.info.kind != "not_a_document":
                raise
            hint = "Run the sweep again: what is damaged runs anew."
            raise GeluError(
                "sweep_damaged", f"{where} cannot be read: it is damaged.", hint
            ) from None

    def _which(self, model: int, number: int) -> str:
        """A hint on which runs there are."""
        count, models = self.header.prompts.count, len(self.header.models)
        if number >= count or model >= models:
            several = f", its models from 0 to {models - 1}" if models > 1 else ""
            return f"Its prompts count from 0 to {count - 1}{several}."
        return f"`gelu-tui show {visible_line(self.id)}` prints what is done."

    def models(self) -> tuple[p.ModelInfo | None, ...]:
        """The models as they were loaded; None for one of which no prompt is finished."""
        return tuple(self._model(index) for index in range(len(self.header.models)))

    def _model(self, index: int) -> p.ModelInfo | None:
        for row in self.rows(index):
            with contextlib.suppress(GeluError):  # a damaged one says nothing
                return self.load(index, row.outcome.number).model
        return None

    def machines(self) -> tuple[Machine, ...]:
        """Where prompts were computed; of several self-checks the largest difference is told."""
        found: dict[tuple[str, tuple[tuple[str, str], ...]], Machine] = {}
        for row in self.rows():
            key = (row.device, tuple(sorted(row.versions.items())))
            known = found.get(key) or Machine(row.device, row.versions, 0)
            checks = [check for check in (known.self_check, row.self_check) if check is not None]
            check = max(checks, key=_difference, default=None)
            found[key] = Machine(row.device, row.versions, known.prompts + 1, check)
        return tuple(found.values())

    # --- rows -------------------------------------------------------------------------------------

    def _keys(self, model: int | None) -> list[Row]:
        query = "SELECT key, failed FROM results INDEXED BY done WHERE key >= ? AND key < ?"
        return [row for row in self._query(query, *_range(model)) if isinstance(row[0], int)]

    def _listed(self, model: int | None) -> Iterator[SavedPrompt | FailedPrompt]:
        """A row that is damaged is left out: it runs again."""
        query = (
            "SELECT key, failed, listed FROM results WHERE key >= ? AND key < ? "
            "ORDER BY key LIMIT ?"
        )
        start, end = _range(model)
        while page := self._query(query, start, end, _PAGE):
            for row in page:
                if (listed := _row(*row)) is not None:
                    yield listed
            start = page[-1][0] + 1

    def _check(self) -> None:
        """Delete what is damaged, so that it runs again: once, before anything is claimed."""
        if self._checked:
            return
        self._write("The sweep could not be read", lambda _: None)  # it is repaired if need be
        query = "SELECT * FROM results WHERE key >= ? ORDER BY key LIMIT ?"
        damaged, start = [], 0
        while page := self._query(query, start, _PAGE):
            damaged += [row[0] for row in page if _sound(row) is None]
            start = page[-1][0] + 1

        def work(connection: sqlite3.Connection) -> None:
            keys = [(key,) for key in damaged]
            connection.executemany("DELETE FROM results WHERE key = ?", keys)

        self._write("The sweep could not be read", work)
        self._checked = True

    def _query(self, statement: str, *values: Any) -> list[Row]:
        return self._file.query("The sweep could not be read", statement, *values)

    def _read(self, work: Callable[[sqlite3.Connection], _T]) -> _T | None:
        return self._file.run("The sweep could not be read", work)

    def _write(self, what: str, work: Callable[[sqlite3.Connection], _T]) -> _T | None:
        # SQLite would begin an empty sweep, whose header is lost.
        if sweep_folder.is_gone(self.folder):
            message = f"The sweep's folder is gone: {visible_line(str(self.folder))}."
            hint = "Run the sweep again to begin anew."
            raise GeluError("sweep_gone", message, hint)
        return self._file.run(what, work, write=True)


def _key(model: int, number: int) -> int:
    return model * _NUMBERS + number


def _range(model: int | None) -> tuple[int, int]:
    return (0, 1 << 62) if model is None else (_key(model, 0), _key(model + 1, 0))


def _row(key: Any, failed: Any, listed: Any) -> SavedPrompt | FailedPrompt | None:
    """What a row holds; None if it is damaged, or that of another prompt."""
    try:
        if failed:
            row = msgspec.msgpack.decode(unpacked(listed), type=FailedPrompt)
            return row if row.number == key % _NUMBERS else None
        saved = msgspec.msgpack.decode(unpacked(listed), type=SavedPrompt)
        outcome = saved.outcome
    except (zlib.error, TypeError, ValueError, RecursionError):
        return None
    return saved if _key(outcome.model, outcome.number) == key else None


def _sound(row: Row) -> Row | None:
    """A row as it is; None if any of it is damaged."""
    if len(row) != 4:
        return None
    key, failed, listed, document = row
    found = _row(key, failed, listed)
    if found is None or not isinstance(document, bytes):
        return None
    if isinstance(found, SavedPrompt) and zlib.crc32(document) != found.checksum:
        return None
    return row


def _difference(check: p.SelfCheckReport) -> float:
    """The largest difference of a self-check; infinite where logits were not finite."""
    return math.inf if check.max_logit_difference is None else check.max_logit_difference
