"""Exporting a comparison to a file."""

from __future__ import annotations

import itertools
from datetime import datetime
from pathlib import Path

from gelu_tui.core.errors import GeluError
from gelu_tui.core.own_files import replace_file
from gelu_tui.core.reports.markdown import markdown_report
from gelu_tui.core.runs.document import ComparisonDocument, to_json


def export(document: ComparisonDocument, path: Path, *, overwrite: bool = False) -> None:
    """Write the report (.md) or the document itself (.json).

    Raises `GeluError`: `file_exists` where it may not overwrite, `export` for everything else.
    """
    text = exported(document, path.name)
    if path.exists() and (path.is_dir() or not overwrite):
        kind = "export" if path.is_dir() else "file_exists"
        raise GeluError(kind, f"{path} exists already.", "Give another name.")
    _write(path, text)


def write_new(suffix: str, text: str) -> Path:
    """Write a file, named after the time, into the working directory; return its path.

    Raises `GeluError`.
    """
    stem = f"gelu-tui-{datetime.now():%Y%m%d-%H%M%S}"
    names = (f"{stem}{f'-{number}' if number else ''}{suffix}" for number in itertools.count())
    path = next(path for name in names if not (path := Path(name)).exists())
    _write(path, text)
    return path.absolute()


def _write(path: Path, text: str) -> None:
    try:
        replace_file(path, text)
    except OSError as error:
        raise GeluError(
            "export",
            f"{path} cannot be written: {error.strerror or error}.",
            "Give a folder that exists, has room, and that you may write to.",
        ) from None


def exported(document: ComparisonDocument, name: str) -> str:
    """The text of a document in the format of a file's suffix. Raises `GeluError`."""
    suffix = Path(name).suffix.lower()
    if suffix == ".json":
        return to_json(document, indent=2) + "\n"
    if suffix in (".md", ".markdown"):
        return markdown_report(document)
    message = f"'{name}' names no format that can be written."
    hint = "Let the name end in .md for a report or in .json for the data."
    if suffix == ".svg":
        message = "A picture is made of the screen, not of a saved run."
        hint = "Open the run; then Ctrl+P, Export the screen as SVG."
    raise GeluError("export", message, hint)
