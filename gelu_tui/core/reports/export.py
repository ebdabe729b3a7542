"""A comparison in the formats of files, and writing it to one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from gelu_tui.core.errors import GeluError
from gelu_tui.core.own_files import replace_file
from gelu_tui.core.paths import look
from gelu_tui.core.reports.markdown import markdown_report
from gelu_tui.core.reports.tokens_csv import tokens_csv
from gelu_tui.core.runs.document import ComparisonDocument, to_json


@dataclass(frozen=True)
class Format:
    """How a document is written, and the suffixes of file names that mean it."""

    text: Callable[[ComparisonDocument], str]
    suffixes: tuple[str, ...]


# Every format but the terminal's text, by the name that `--format` takes.
FORMATS: Mapping[str, Format] = {
    "json": Format(lambda document: to_json(document, indent=2) + "\n", (".json",)),
    "markdown": Format(markdown_report, (".md", ".markdown")),
    "csv": Format(tokens_csv, (".csv",)),
}


def format_of(name: str) -> str | None:
    """The format that the suffix of a file's name means; None if it means none."""
    suffix = Path(name).suffix.lower()
    return next((known for known, how in FORMATS.items() if suffix in how.suffixes), None)


def export(document: ComparisonDocument, path: Path, *, overwrite: bool = False) -> None:
    """Write a document in the format of the file's suffix.

    Raises `GeluError`: `file_exists` where it may not overwrite, `export` for everything else.
    """
    text = exported(document, path.name)
    try:
        there = look(path)
    except OSError as error:
        raise _not_written(path, error) from None
    if there == "folder" or (there and not overwrite):
        kind = "export" if there == "folder" else "file_exists"
        raise GeluError(kind, f"{path} exists already.", "Give another name.")
    write_file(path, text)


def write_new(suffix: str, text: str) -> Path:
    """Write a file, named after the time, into the working directory; return its path.

    Raises `GeluError`.
    """
    stem = f"gelu-tui-{datetime.now():%Y%m%d-%H%M%S}"
    names = (f"{stem}{f'-{number}' if number else ''}{suffix}" for number in itertools.count())
    path = next(path for name in names if not (path := Path(name)).exists())
    write_file(path, text)
    return path.absolute()


def write_file(path: Path, text: str) -> None:
    """Write a file: it is complete or missing. Raises `GeluError`."""
    try:
        replace_file(path, text)
    except OSError as error:
        raise _not_written(path, error) from None


def _not_written(path: Path, error: OSError) -> GeluError:
    message = f"{path} cannot be written: {error.strerror or error}."
    return GeluError("export", message, "Give a folder that exists, has room, and is writable.")


def exported(document: ComparisonDocument, name: str) -> str:
    """The text of a document in the format of a file's suffix. Raises `GeluError`."""
    if (known := format_of(name)) is not None:
        return FORMATS[known].text(document)
    message = f"'{name}' names no format that can be written."
    hint = "Let the name end in .md for a report, in .json for the data, in .csv for its tokens."
    if Path(name).suffix.lower() == ".svg":
        message = "A picture is made of the screen, not of a saved run."
        hint = "Open the run; then Ctrl+P, Export the screen as SVG."
    raise GeluError("export", message, hint)
