"""The prompts of a sweep: a file, a built-in set, or a list. A file is read row by row.

Of a file only the places of its rows are held in memory; a row is read again when it is run.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import os
import sys
import tempfile
import threading
import tomllib
from abc import abstractmethod
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np
from msgspec.structs import replace

from gelu_tui.core.errors import GeluError, UsageError
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.settings.validation import suggestion
from gelu_tui.core.text_files import PROMPT_LIMIT, open_file, refuse_other_encodings
from gelu_tui.sweep.prompt_rows import (
    FIELDS,
    Wrong,
    bad,
    decoded,
    of_csv,
    of_json,
    prompt_of,
    row_id,
)
from gelu_tui.sweep.prompts import BadRow, Prompt

BUILTIN = "builtin:"
BUILTIN_FOLDER = Path(__file__).with_name("builtin")

_BOM = b"\xef\xbb\xbf"
_SOME = 64 * 1024  # the bytes by which an encoding is told
_DELIMITERS = (",", ";", "\t")

Fields = dict[str, Any]


class PromptSet:
    """Prompts by their number, from 0; iterating yields them in order.

    `digest` is of the contents (hexadecimal), `name` what the set is called.
    """

    name: str
    digest: str

    @property
    @abstractmethod
    def count(self) -> int:
        """The number of rows, those that are no prompts included."""

    @abstractmethod
    def get(self, number: int) -> Prompt | BadRow:
        """Return one row. Raises `GeluError` if the file was changed meanwhile."""

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Prompt | BadRow]:
        return map(self.get, range(self.count))


class EvenSample(PromptSet):
    """`count` of the prompts of a larger set, evenly spread, in its order."""

    def __init__(self, of: PromptSet, count: int) -> None:
        self.name, self.digest = of.name, of.digest
        self._of, self._count = of, count

    @property
    def count(self) -> int:
        return self._count

    def get(self, number: int) -> Prompt | BadRow:
        return replace(self._of.get(number * self._of.count // self._count), number=number)


class PromptList(PromptSet):
    """Prompts that are in memory: texts, or the fields of rows."""

    def __init__(self, rows: Sequence[str | Mapping[str, Any]], name: str = "prompts") -> None:
        self.name = name
        self._rows: list[Fields] = [{"prompt": x} if isinstance(x, str) else dict(x) for x in rows]
        try:
            content = msgspec.json.encode(self._rows)
        except (TypeError, UnicodeEncodeError):
            message = "A prompt of the list holds what is no text, number or list."
            hint = f"Give texts, or dictionaries with {', '.join(FIELDS)}."
            raise UsageError(message, hint) from None
        self._rows = msgspec.json.decode(content)
        self.digest = hashlib.sha256(b"list\0" + content).hexdigest()
        self._ids = _Ids()
        for fields in self._rows:
            self._ids.add(fields)

    @property
    def count(self) -> int:
        return len(self._rows)

    def get(self, number: int) -> Prompt | BadRow:
        return _row(number, 0, self._ids, lambda: self._rows[number])


class PromptFile(PromptSet):
    """Prompts in a file, of which each row is read when it is asked for; thread-safe."""

    def __init__(self, file: BinaryIO, name: str, shown: str, kind: str) -> None:
        """`kind` is jsonl, csv or text. Raises `UsageError` for what is no such file."""
        self.name = name
        self._file = file
        self._shown = shown
        self._kind = kind
        self._lock = threading.Lock()
        self._starts, self._ends, self._lines = array("Q"), array("Q"), array("Q")
        self._ids = _Ids()
        self._header: tuple[str, ...] = ()
        self._delimiter = ","
        self._stamp = _stamp(file)
        self.digest = self._index()

    @property
    def count(self) -> int:
        return len(self._starts)

    def get(self, number: int) -> Prompt | BadRow:
        return _row(number, self._lines[number], self._ids, lambda: self._fields(number))

    def _fields(self, number: int) -> Fields:
        start, end = self._starts[number], self._ends[number]
        with self._lock:
            if _stamp(self._file) != self._stamp:
                message = f"{self._shown} was changed while the sweep ran."
                hint = "Run the sweep again: with other prompts it is another sweep."
                raise GeluError("prompts_changed", message, hint)
            self._file.seek(start)
            data = self._file.read(min(end - start, PROMPT_LIMIT + 1))
        return self._parsed(data)

    def _parsed(self, data: bytes) -> Fields:
        match self._kind:
            case "jsonl":
                return of_json(data)
            case "csv":
                return of_csv(data, self._header, self._delimiter)
        return {"prompt": decoded(data).removesuffix("\n").removesuffix("\r")}

    def _index(self) -> str:
        """Find the rows, in one pass; return the digest."""
        self._file.seek(0)
        begin = self._file.read(_SOME)
        refuse_other_encodings(begin, self._shown)
        skipped = len(_BOM) if begin.startswith(_BOM) else 0
        self._file.seek(skipped)
        lines = _Lines(self._file, skipped, hashlib.sha256(self._kind.encode() + b"\0"))
        if self._kind == "csv":
            self._index_csv(lines)
        else:
            for start, line in lines:
                if line.strip():
                    self._add(start, lines.position, lines.number, line)
        return str(lines.digest.hexdigest())

    def _add(self, start: int, end: int, line: int, data: bytes) -> None:
        self._starts.append(start)
        self._ends.append(end)
        self._lines.append(line)
        fields = {}
        if self._kind == "jsonl":
            # What is wrong is told when the row is run.
            with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                fields = {"id": _id_decoder.decode(data).id}
        self._ids.add(fields)

    def _index_csv(self, lines: _Lines) -> None:
        self._read_header(lines)
        has_id = "id" in self._header
        start, line = lines.position, lines.number + 1
        texts = (x.decode("utf-8", "surrogateescape") for _, x in lines)
        reader = csv.reader(texts, delimiter=self._delimiter, strict=True)
        while True:
            try:
                cells = next(reader, None)
            except csv.Error:
                cells = ["?"]  # told when the row is run
            if cells is None:
                return
            if any(cell.strip() for cell in cells):
                self._add(start, lines.position, line, b"")
                if has_id and len(cells) == len(self._header):
                    self._ids.replace_last(cells[self._header.index("id")].strip()[:200])
            start, line = lines.position, lines.number + 1

    def _read_header(self, lines: _Lines) -> None:
        found = next((line for _, line in lines if line.strip()), b"")
        if not found:
            return  # it has no prompts
        text = found.decode("utf-8", "replace").strip()
        headers = [
            tuple(cell.strip().lower() for cell in next(csv.reader([text], delimiter=d), ()))
            for d in _DELIMITERS
        ]
        usable = (i for i, names in enumerate(headers) if {"prompt", "messages"} & set(names))
        which = next(usable, None)
        if which is None:
            near = next((x for name in headers[0] if (x := suggestion(name, FIELDS[:1]))), "")
            message = f"{self._shown} has no column named prompt: the first line names the columns."
            raise UsageError(message, near or f"Columns may be {', '.join(FIELDS)}.")
        self._header, self._delimiter = headers[which], _DELIMITERS[which]
        for name in self._header:
            if name in FIELDS and self._header.count(name) > 1:
                raise UsageError(f"{self._shown} has two columns named {name}.", "Rename one.")


class _Lines:
    """The lines of a file from a position on, and the digest of what was read.

    A line too long for a prompt is cut; `position` is the end of the last line, `number` its own.
    """

    def __init__(self, file: BinaryIO, position: int, digest: Any) -> None:
        self._file = file
        self.position = position
        self.number = 0
        self.digest = digest

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        return self

    def __next__(self) -> tuple[int, bytes]:
        start = self.position
        line = part = self._file.readline(PROMPT_LIMIT + 1)
        if not line:
            raise StopIteration
        while part:
            self.position += len(part)
            self.digest.update(part)
            part = b"" if part.endswith(b"\n") else self._file.readline(PROMPT_LIMIT)
        self.number += 1
        return start, line


class _Id(msgspec.Struct):
    id: str | int | None = None


_id_decoder = msgspec.json.Decoder(_Id)


class _Ids:
    """The names of rows: the id of each, with `#2`, `#3` … where others before it have the same."""

    def __init__(self) -> None:
        self._hashes = array("q")  # 0 for a row without an id
        self._again: dict[int, int] | None = None

    def add(self, fields: Mapping[str, Any]) -> None:
        """Add a row."""
        self._hashes.append(0)
        with contextlib.suppress(Wrong):  # which is told when the row is run
            self.replace_last(row_id(fields))

    def replace_last(self, name: str) -> None:
        """Give the row that was added last another id."""
        self._hashes[-1] = hash(name) or 1 if name else 0

    def name(self, number: int, own: str) -> str:
        """Return what a row is called, whose own id is `own`."""
        if not own:
            return str(number)
        if self._again is None:
            self._again = self._repeated()
        again = self._again.get(number)
        return f"{own}#{again}" if again else own

    def _repeated(self) -> dict[int, int]:
        hashes = np.frombuffer(self._hashes, dtype=np.int64)
        _, first = np.unique(hashes, return_index=True)
        is_again = hashes != 0
        is_again[first] = False
        found: dict[int, int] = {}
        counts: dict[int, int] = {}
        for number in np.flatnonzero(is_again).tolist():
            key = self._hashes[number]
            counts[key] = counts.get(key, 1) + 1
            found[number] = counts[key]
        return found


def _row(number: int, line: int, ids: _Ids, fields: Callable[[], Fields]) -> Prompt | BadRow:
    name = str(number)
    try:
        found = fields()
        name = ids.name(number, row_id(found))
        return prompt_of(number, name, found)
    except Wrong as wrong:
        return bad(number, name, wrong, line)


def _stamp(file: BinaryIO) -> tuple[int, int]:
    """What changes where a file is written to."""
    about = os.fstat(file.fileno())
    return about.st_size, about.st_mtime_ns


def kind_of(name: str) -> str:
    """Return jsonl, csv or text by a file's name. Raises `UsageError` for what is none of them."""
    suffix = Path(name).suffix.lower()
    if suffix in (".json", ".parquet", ".xlsx", ".toml", ".yaml", ".yml"):
        message = f"{visible_line(name)} is no file of prompts."
        hint = "Prompts are JSONL (an object a line), CSV with a header, or text (a prompt a line)."
        raise UsageError(message, hint)
    return {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "csv"}.get(suffix, "text")


def open_prompts(spec: str | Sequence[str | Mapping[str, Any]], folder: Path | None) -> PromptSet:
    """Return the prompts that a setting names: a list, a file, `builtin:NAME`, or '-' for stdin.

    A relative path is relative to `folder`. Raises `UsageError`.
    """
    if not isinstance(spec, str):
        found: PromptSet = PromptList(spec)
    elif spec == "-":
        found = PromptFile(_stdin(), "stdin", "The text on stdin", "text")
    elif spec.startswith(BUILTIN):
        path = builtin_file(spec)
        if path.suffix == ".toml":
            return PromptList(tomllib.loads(path.read_text(encoding="utf-8"))["prompts"], path.stem)
        found = PromptFile(open_file(str(path)), path.stem, spec, kind_of(path.name))
    else:
        path = Path(spec).expanduser()
        path = path if folder is None else folder / path
        kind = kind_of(path.name)
        found = PromptFile(open_file(str(path)), path.stem, visible_line(str(path)), kind)
    if not found.count:
        what = "The list" if not isinstance(spec, str) else visible_line(spec)
        raise UsageError(f"{what} has no prompts.", "Give one or more.", kind="empty_prompt")
    return found


def builtin_file(name: str) -> Path:
    """Return the file of a built-in set, `builtin:NAME`. Raises `UsageError`."""
    known = {path.stem: path for path in sorted(BUILTIN_FOLDER.glob("*.*")) if path.suffix in
             (".toml", ".jsonl")}  # fmt: skip
    wanted = name.removeprefix(BUILTIN)
    if wanted in known:
        return known[wanted]
    hint = suggestion(wanted, known) or f"There are {', '.join(known)}."
    raise UsageError(f"There is no built-in set named '{visible_line(wanted)[:40]}'.", hint)


def _stdin() -> BinaryIO:
    """A file with what is on stdin, which cannot be read twice; open as long as it is used."""
    kept: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115
    while sys.stdin is not None and (chunk := sys.stdin.buffer.read(1 << 20)):
        kept.write(chunk)
    kept.flush()
    return kept
