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

    `model` is a new file with the same schema, in which the table was created first. Every page of
    the damaged file that may be a leaf is read as the whole table, behind the model's first page:
    so no damage to the header, the schema or the inner pages hides a row. Rows may come twice, and
    may be wrong. Raises `OSError` where a copy cannot be written.
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
                leaf = _LEAF + page[1:]
                for content in (leaf, _recounted(leaf)):
                    file.seek((_ROOT - 1) * size)
                    file.write(content)
                    file.flush()
                    yield from _rows_of(copy, table)


def _recounted(leaf: bytes) -> bytes:
    """The page with the number of its cells as its pointers have it: a wrong one hides them all."""
    count = 0
    for at in range(_POINTERS, len(leaf) - 1, 2):
        pointer = int.from_bytes(leaf[at : at + 2], "big")
        if not at + 2 <= pointer < len(leaf):
            break
        count += 1
    return leaf[: _CELLS.start] + count.to_bytes(2, "big") + leaf[_CELLS.stop :]


def _page(path: Path, number: int, size: int) -> bytes:
    with path.open("rb") as file:
        file.seek((number - 1) * size)
        return file.read(size).ljust(size, b"\0")


def _rows_of(copy: Path, table: str) -> Iterator[tuple[Any, ...]]:
    # Nobody else writes to the copy; nor is there a journal to be applied.
    address = f"file:{quote(str(copy))}?immutable=1"
    with contextlib.closing(sqlite3.connect(address, uri=True)) as connection:
        connection.text_factory = lambda data: data.decode("utf-8", "replace")
        ids: dict[int, None] = {}
        for order in ("", "ORDER BY rowid DESC"):  # damage in the middle stops both
            with contextlib.suppress(sqlite3.DatabaseError):
                for (row,) in connection.execute(f"SELECT rowid FROM {table} {order}"):
                    ids[row] = None
        for row in ids:
            with contextlib.suppress(sqlite3.DatabaseError):
                yield from connection.execute(f"SELECT * FROM {table} WHERE rowid = ?", (row,))
