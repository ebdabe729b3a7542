"""A sweep in the formats of files; those of rows are written piece by piece."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import chain, islice
from typing import Any

from gelu_tui.core.errors import GeluError
from gelu_tui.core.reports.export import Format, Formats
from gelu_tui.core.runs.document import to_json
from gelu_tui.sweep.report.html import sweep_page
from gelu_tui.sweep.report.markdown import sweep_markdown
from gelu_tui.sweep.report.rows import (
    PROMPT_COLUMNS,
    SWEEP_TOKEN_COLUMNS,
    Cell,
    SweepData,
    prompt_rows,
    sweep_token_rows,
)

_AT_ONCE = 10_000  # rows that are in memory
_Rows = Callable[[SweepData], Iterable[tuple[Cell, ...]]]


def _csv(columns: Mapping[str, type], rows: _Rows, data: SweepData) -> Iterator[bytes]:
    """True and False are 1 and 0; a value that there is not is empty."""
    for some in _batches(chain((tuple(columns),), rows(data))):
        file = io.StringIO()
        cells = ((int(c) if isinstance(c, bool) else c for c in row) for row in some)
        csv.writer(file, lineterminator="\n").writerows(cells)
        yield file.getvalue().encode()


def _parquet(columns: Mapping[str, type], rows: _Rows, data: SweepData) -> Iterator[bytes]:
    arrow, parquet = _pyarrow()
    types = {str: arrow.string(), int: arrow.int64(), float: arrow.float64(), bool: arrow.bool_()}
    schema = arrow.schema([(name, types[of]) for name, of in columns.items()])
    file = _Parts()
    with parquet.ParquetWriter(file, schema) as writer:
        for some in _batches(rows(data)):
            arrays = [list(column) for column in zip(*some, strict=True)]
            writer.write_table(arrow.table(dict(zip(columns, arrays, strict=True)), schema))
            yield file.take()
    yield file.take()


def _batches(rows: Iterable[tuple[Cell, ...]]) -> Iterator[list[tuple[Cell, ...]]]:
    left = iter(rows)
    while some := list(islice(left, _AT_ONCE)):
        yield some


class _Parts(io.RawIOBase):
    """A file to write to, whose bytes are taken away as they come."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        self._written += len(self._parts[-1])
        return len(self._parts[-1])

    def tell(self) -> int:  # a Parquet file says where in it each column is
        return self._written

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        message = "Parquet files are written with pyarrow, which is not installed."
        hint = "Install it with pip install 'gelu-tui[parquet]', or write CSV."
        raise GeluError("export", message, hint) from None
    return pyarrow, pyarrow.parquet


def _html(data: SweepData) -> str:
    return sweep_page(data.document, None if data.rows is None else data.run)


def _row_formats(columns: Mapping[str, type], rows: _Rows) -> dict[str, Format[SweepData]]:
    return {
        "csv": Format(partial(_csv, columns, rows), (".csv",)),
        "parquet": Format(partial(_parquet, columns, rows), (".parquet",), False, _check_pyarrow),
    }


def _check_pyarrow() -> None:
    _pyarrow()


SWEEP_FORMATS: Formats[SweepData] = {
    "json": Format.of(lambda data: to_json(data.document, indent=2) + "\n", ".json"),
    "markdown": Format.of(lambda data: sweep_markdown(data.document), ".md", ".markdown"),
    "html": Format.of(_html, ".html", ".htm"),
    **_row_formats(PROMPT_COLUMNS, prompt_rows),
}
# A row for each token instead of each prompt and function.
SWEEP_TOKEN_FORMATS: Formats[SweepData] = _row_formats(SWEEP_TOKEN_COLUMNS, sweep_token_rows)
