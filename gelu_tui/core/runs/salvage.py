"""What can still be read of a table in a damaged SQLite file."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

# https://sqlite.org/fileformat2.html
_PAGE_SIZE = slice(16, 18)
_PAGE_COUNT = slice(28, 32)
_ROOT = 2  # the page on which the first table of a file begins
_LEAF = b"\x0d"
_CELLS = slice(3, 5)  # of a leaf: the number of its cells
_POINTERS = 8  # where their places begin


def readable_rows(damaged: Path, table: str, model: bytes) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a table that SQLite can still read, its first column first: the row's id.

    `model` is a new file with the same schema, in which the table was created first. Every row of
    every page of the damaged file that may be a leaf is read as the whole table, behind the model's
    first page: so no damage to the header, the schema, the inner pages or another row hides it.
    Rows may come twice, and may be wrong. Raises `OSError` where a copy cannot be written.
    """
    size = int.from_bytes(model[_PAGE_SIZE], "big")
    pages = -(-damaged.stat().st_size // size)
    with tempfile.TemporaryDirectory(dir=damaged.parent, prefix=".salvage-") as folder:
        copy = Path(folder) / "copy.sqlite"
        shutil.copyfile(damaged, copy)
        with copy.open("r+b") as file:
            os.truncate(copy, max(pages, _ROOT) * size)  # whole pages
            first = bytearray(model[:size])
            first[_PAGE_COUNT] = max(pages, _ROOT).to_bytes(4, "big")
            file.write(first)
            for number in range(_ROOT, pages + 1):
                file.seek((number - 1) * size)
                # The page at the place of the root was overwritten by those before it.
                page = _page(damaged, number, size) if number == _ROOT else file.read(size)
                if page[:1] in (b"\0", b""):
                    continue  # text that goes on, or an unused page
                for leaf in _leaves_of_one(page):
                    file.seek((_ROOT - 1) * size)
                    file.write(leaf)
                    file.flush()
                    yield from _rows_of(copy, table)


def _leaves_of_one(page: bytes) -> Iterator[bytes]:
    """Yield the page as a leaf with one of its rows, for each of them.

    SQLite finds a row by its neighbours, so a damaged one would hide others. A wrong number of rows
    hides none either: there are as many as places that can be right, or as the page says. What two
    places say is one row.
    """
    seen = set()
    count = int.from_bytes(page[_CELLS], "big")
    head = _LEAF + page[1 : _CELLS.start] + (1).to_bytes(2, "big") + page[_CELLS.stop : _POINTERS]
    for index, at in enumerate(range(_POINTERS, len(page) - 1, 2)):
        place = page[at : at + 2]
        if at + 2 <= int.from_bytes(place, "big") < len(page):
            if place in seen:
                continue
            seen.add(place)
            yield head + place + page[_POINTERS + 2 :]
        elif index >= count:
            break


def _page(path: Path, number: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek((number - 1) * size)
        return file.read(size).ljust(size, b"\0")


def _rows_of(copy: Path, table: str) -> Iterator[tuple[Any, ...]]:
    # Nobody else writes to the copy; nor is there a journal to be applied.
    address = f"file:{quote(str(copy))}?immutable=1"
    with contextlib.closing(sqlite3.connect(address, uri=True)) as connection:
        connection.text_factory = lambda data: data.decode("utf-8", "replace")
        with contextlib.suppress(sqlite3.DatabaseError):
            yield from connection.execute(f"SELECT * FROM {table}")
