"""A saved comparison as a file of the user's."""

from __future__ import annotations

import os
from pathlib import Path

from gelu_tui.core.document import ComparisonDocument, to_json
from gelu_tui.core.errors import GeluError

REPORT, DATA = (".md", ".markdown"), (".json",)


def export(document: ComparisonDocument, path: Path, *, overwrite: bool = False) -> None:
    """Write the report (.md) or the document itself (.json); a file is whole or not there.

    Raises `GeluError`: `file_exists` where it may not overwrite, `export` for everything else.
    """
    content = _content(document, path)
    if path.exists() and (path.is_dir() or not overwrite):
        kind = "export" if path.is_dir() else "file_exists"
        raise GeluError(kind, f"{path} exists already.", "Give another name.")
    partial = path.with_name(f".{path.name[:200]}.{os.getpid()}.partial")
    try:
        try:
            partial.write_text(content, encoding="utf-8")
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise GeluError(
            "export",
            f"{path} cannot be written: {error.strerror or error}.",
            "Give a folder that exists and that you may write to.",
        ) from None


def _content(document: ComparisonDocument, path: Path) -> str:
    match path.suffix.lower():
        case suffix if suffix in DATA:
            return to_json(document, indent=2) + "\n"
        case suffix if suffix in REPORT:
            from gelu_tui.core.markdown import markdown_report

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
                f"'{path.name}' names no format that can be written.",
                "Let the name end in .md for a report or in .json for the data.",
            )
