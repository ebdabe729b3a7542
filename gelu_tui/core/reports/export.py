"""A saved comparison as a file of the user's."""

from __future__ import annotations

import itertools
import os
from datetime import datetime
from pathlib import Path

from gelu_tui.core.errors import GeluError
from gelu_tui.core.runs.document import ComparisonDocument, to_json

REPORT, DATA = (".md", ".markdown"), (".json",)


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
    """Write a file of a new name, made of the time, into the working directory; returns its path.

    Raises `GeluError`.
    """
    stem = f"gelu-tui-{datetime.now():%Y%m%d-%H%M%S}"
    names = (f"{stem}{f'-{number}' if number else ''}{suffix}" for number in itertools.count())
    path = next(path for name in names if not (path := Path(name)).exists())
    _write(path, text)
    return path.absolute()


def _write(path: Path, text: str) -> None:
    """Write a file that is whole or not there."""
    partial = path.with_name(f".{path.name[:200]}.{os.getpid()}.partial")
    try:
        try:
            partial.write_text(text, encoding="utf-8")
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise GeluError(
            "export",
            f"{path} cannot be written: {error.strerror or error}.",
            "Give a folder that exists, has room, and that you may write to.",
        ) from None


def exported(document: ComparisonDocument, name: str) -> str:
    """The text of a document in the format that the end of a file's name asks for.

    Raises `GeluError`.
    """
    match Path(name).suffix.lower():
        case suffix if suffix in DATA:
            return to_json(document, indent=2) + "\n"
        case suffix if suffix in REPORT:
            from gelu_tui.core.reports.markdown import markdown_report

            return markdown_report(document)
        case ".svg":
            raise GeluError(
                "export",
                "A picture is made of the screen, not of a saved run.",
                "Open the run; then Ctrl+P, Export the screen as SVG.",
            )
        case _:
            raise GeluError(
                "export",
                f"'{name}' names no format that can be written.",
                "Let the name end in .md for a report or in .json for the data.",
            )
