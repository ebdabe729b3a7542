"""Every bit of a small history, flipped: no traceback, no byte lost, and the other run is kept.

The test flips the bits that say where everything is, and one in each byte of a row. All bits of the
file, those of its text and of its unused space too, take minutes:

    python -m tests.core.runs.test_every_bit
"""

from __future__ import annotations

import collections
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from gelu_tui.core.errors import GeluError
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.runs.history import History
from tests.support.comparisons import run_document

PAGE = 4096
HEADER = 100  # of the file; then the first page's b-tree begins
RUNS = PAGE  # the page of the table begins here
AFTER = run_document("after", texts={"gelu": ["a"]})
# Some bits of the header are the versions of two programs.
REFUSALS = ("history_too_new", "history_refused")


@dataclass(frozen=True)
class Cell:
    """One row in a page: where its pointer is, where it begins, its values begin, and it ends."""

    pointer: int
    start: int
    values: int
    end: int

    def is_touched(self, byte: int) -> bool:
        return byte in range(self.pointer, self.pointer + 2) or byte in range(self.start, self.end)


@dataclass(frozen=True)
class Small:
    """A history of two runs: its bytes, and what each run holds, by the row that it is in."""

    content: bytes
    runs: dict[Cell, bytes]

    def kept(self, byte: int) -> set[bytes]:
        """The runs that a damaged byte does not touch."""
        return {run for cell, run in self.runs.items() if not cell.is_touched(byte)}

    def structure(self) -> list[tuple[int, int]]:
        """The bits that say where everything is, as byte and number: all of each such byte.

        And one of each byte of the first row's values, another one than of the byte before.
        """
        places = {*range(HEADER)}
        for page in range(0, len(self.content), PAGE):
            cells = cells_of(self.content, page)
            places |= {*range(page + HEADER * (not page), page + HEADER * (not page) + 8)}
            for cell in cells:
                places |= {*range(cell.pointer, cell.pointer + 2), *range(cell.start, cell.values)}
        bits = {(byte, bit) for byte in places for bit in range(8)}
        row = next(iter(self.runs))
        return sorted(bits | {(byte, byte % 8) for byte in range(row.values, row.end)})


def varint(content: bytes, at: int) -> tuple[int, int]:
    """SQLite's number at a place, and where it ends."""
    value = 0
    for end in range(at, at + 9):
        value = value << 7 | content[end] & 0x7F
        if content[end] < 0x80:
            return value, end + 1
    raise AssertionError("no number of this file is so long")


def cells_of(content: bytes, page: int) -> list[Cell]:
    """The rows of a leaf, none of which goes on in other pages."""
    head = page + HEADER * (not page)
    assert content[head] == 0x0D, "a leaf of a table"
    cells = []
    for index in range(int.from_bytes(content[head + 3 : head + 5], "big")):
        pointer = head + 8 + 2 * index
        start = page + int.from_bytes(content[pointer : pointer + 2], "big")
        size, at = varint(content, start)
        _, record = varint(content, at)
        values = record + varint(content, record)[0]
        cells.append(Cell(pointer, start, values, record + size))
    return cells


def small_history(folder: Path) -> Small:
    """Its ids, 2 and 3, differ in one bit. A run was deleted before them."""
    history = History(folder / "history.sqlite")
    for prompt in ("one", "two", "three"):
        history.save(run_document(prompt, texts={"gelu": ["a"]}))
    history.delete(1)
    content = history.path.read_bytes()
    runs = [held(history.load(run)) for run in (2, 3)]
    return Small(content, dict(zip(cells_of(content, RUNS), runs, strict=True)))


def held(document: ComparisonDocument) -> bytes:
    return msgspec.json.encode(document)


def readable(history: History) -> dict[int, bytes]:
    """The listed runs that load; what does not load is refused in a sentence."""
    runs = {}
    for entry in history.entries():
        try:
            runs[entry.id] = held(history.load(entry.id))
        except GeluError as error:
            assert error.info.kind == "history_damaged", error.info
    return runs


def flip(small: Small, folder: Path, byte: int, bit: int, *, save: bool) -> str:
    """Flip a bit, use the history as the app does, and return what became of the file."""
    for left in folder.iterdir():
        left.unlink()
    content = bytearray(small.content)
    content[byte] ^= 1 << bit
    path = folder / "history.sqlite"
    path.write_bytes(content)
    history = History(path)
    try:
        found = readable(history)
        assert small.kept(byte) <= {*found.values()}, "a run is lost"
        history.prompts()
        aside = list(folder.glob("*.damaged-*"))
        assert (aside or [path])[0].read_bytes() == content, "the damaged file was changed"
        if save:
            history.entries("two")
            assert not found or history.last() >= max(found)
            run = history.save(AFTER)
            after = readable(history)
            assert after == {**found, run: held(AFTER)} and run not in found
            # A bit that SQLite does not notice leaves a history that is written to.
            aside = list(folder.glob("*.damaged-*"))
    except GeluError as error:
        assert error.info.kind in REFUSALS, error.info
        assert path.read_bytes() == content, "the refused file was changed"
        return error.info.kind
    assert not aside or aside[0].read_bytes() == content, "the damaged file was changed"
    return "salvaged" if aside else "unnoticed"


@contextlib.contextmanager
def folder_in_memory() -> Iterator[Path]:
    """A folder; in memory where there is such a place: each of many files would wait for a disk."""
    place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=place) as folder:
        yield Path(folder)


def test_every_bit_that_says_where_everything_is(tmp_path: Path) -> None:
    small = small_history(tmp_path)
    places = small.structure()
    with folder_in_memory() as folder:
        seen = collections.Counter(flip(small, folder, *place, save=False) for place in places)
    assert seen.total() > 2000
    assert min(seen[each] for each in ("salvaged", "unnoticed", "history_too_new")) > 0


def whole_file(small: Small, folder: Path) -> Iterator[str]:
    """Flip every bit of the file, and save a run each time; yield what became of each."""
    for byte in range(len(small.content)):
        for bit in range(8):
            try:
                yield flip(small, folder, byte, bit, save=True)
            except Exception as error:
                print(f"byte {byte} bit {bit}: {type(error).__name__}: {error}", flush=True)
                yield "failed"


def main() -> None:
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as begun, folder_in_memory() as folder:
        seen = collections.Counter(whole_file(small_history(Path(begun)), folder))
    print(f"{seen.total():,} flips in {time.monotonic() - start:.0f} s: {dict(seen)}")
    sys.exit(1 if seen["failed"] else 0)


if __name__ == "__main__":
    main()
