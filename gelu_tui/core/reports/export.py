"""A comparison in the formats of files, and writing it to one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, TypeVar

from gelu_tui.core.errors import GeluError
from gelu_tui.core.lab.inputs import InputsDocument
from gelu_tui.core.lab.layers import LayersDocument
from gelu_tui.core.own_files import encoded, replace_file
from gelu_tui.core.paths import look
from gelu_tui.core.runs.document import ComparisonDocument, to_json
from gelu_tui.core.scoring.document import ScoreDocument

_D = TypeVar("_D")


@dataclass(frozen=True)
class Format(Generic[_D]):
    """How a document is written, and the suffixes of file names that mean it.

    `parts` are the bytes of a file, made while they are written, so that a long one needs little
    memory. `is_text`: UTF-8, which a terminal can show. `check` raises `GeluError` where the format
    cannot be written here.
    """

    parts: Callable[[_D], Iterable[bytes]]
    suffixes: tuple[str, ...]
    is_text: bool = True
    check: Callable[[], None] = lambda: None

    @classmethod
    def of(cls, text: Callable[[_D], str], *suffixes: str) -> Format[_D]:
        """The format of a text that is made as a whole."""
        return cls(lambda document: (encoded(text(document)),), suffixes)

    @classmethod
    def made_by(cls, function: str, *suffixes: str) -> Format[Any]:
        """The format of a text that a function of this package makes, `html.score.score_page`.

        It is imported when it is called: numpy may come with it, and no command waits for what it
        does not write.
        """
        module, _, name = function.rpartition(".")

        def text(document: Any) -> str:
            made: str = getattr(import_module(f"gelu_tui.core.reports.{module}"), name)(document)
            return made

        return cls.of(text, *suffixes)

    def text(self, document: _D) -> str:
        """The whole text of a document, for a format of text."""
        return b"".join(self.parts(document)).decode()


Formats = Mapping[str, Format[_D]]
"""Every format but the terminal's text, by the name that `--format` takes."""


def _json(document: Any) -> str:
    return to_json(document, indent=2) + "\n"


_HTML = (".html", ".htm")

FORMATS: Formats[ComparisonDocument] = {
    "json": Format.of(_json, ".json"),
    "markdown": Format.made_by("markdown.markdown_report", ".md", ".markdown"),
    "html": Format.made_by("html.comparison.comparison_page", *_HTML),
    "csv": Format.made_by("tokens_csv.tokens_csv", ".csv"),
}
SCORE_FORMATS: Formats[ScoreDocument] = {
    "json": Format.of(_json, ".json"),
    "html": Format.made_by("html.score.score_page", *_HTML),
    "csv": Format.made_by("score_csv.score_csv", ".csv"),
}


ACTIVATIONS_FORMATS: Formats[Any] = {
    "json": Format.of(_json, ".json"),
    "markdown": Format.made_by("activations.activations_markdown", ".md", ".markdown"),
    "html": Format.made_by("html.activations.activations_page", *_HTML),
    "csv": Format.made_by("activations.activations_csv", ".csv"),
}
INPUTS_FORMATS: Formats[InputsDocument] = {
    "json": Format.of(_json, ".json"),
    "markdown": Format.made_by("inputs.inputs_markdown", ".md", ".markdown"),
    "html": Format.made_by("html.inputs.inputs_page", *_HTML),
    "csv": Format.made_by("inputs.inputs_csv", ".csv"),
}
LAYERS_FORMATS: Formats[LayersDocument] = {
    "json": Format.of(_json, ".json"),
    "markdown": Format.made_by("layers.layers_markdown", ".md", ".markdown"),
    "html": Format.made_by("html.layers.layers_page", *_HTML),
    "csv": Format.made_by("layers.layers_csv", ".csv"),
}


def format_of(name: str, formats: Formats[Any] = FORMATS) -> str | None:
    """The format that the suffix of a file's name means; None if it means none."""
    suffix = Path(name).suffix.lower()
    return next((known for known, how in formats.items() if suffix in how.suffixes), None)


def export(document: _D, path: Path, formats: Formats[_D], *, overwrite: bool = False) -> None:
    """Write a document in the format of the file's suffix.

    Raises `GeluError`: `file_exists` where it may not overwrite, `export` for everything else.
    """
    parts = _format_for(path.name, formats).parts(document)
    try:
        there = look(path)
    except OSError as error:
        raise _not_written(path, error) from None
    if there == "folder" or (there and not overwrite):
        kind = "export" if there == "folder" else "file_exists"
        raise GeluError(kind, f"{path} exists already.", "Give another name.")
    write_file(path, parts)


def write_new(suffix: str, text: str) -> Path:
    """Write a file, named after the time, into the working directory; return its path.

    Raises `GeluError`.
    """
    stem = f"gelu-tui-{datetime.now():%Y%m%d-%H%M%S}"
    names = (f"{stem}{f'-{number}' if number else ''}{suffix}" for number in itertools.count())
    path = next(path for name in names if not (path := Path(name)).exists())
    write_file(path, text)
    return path.absolute()


def write_file(path: Path, content: str | Iterable[bytes]) -> None:
    """Write a file: it is complete or as before. Raises `GeluError`."""
    try:
        replace_file(path, content)
    except OSError as error:
        raise _not_written(path, error) from None


def _not_written(path: Path, error: OSError) -> GeluError:
    message = f"{path} cannot be written: {error.strerror or error}."
    return GeluError("export", message, "Give a folder that exists, has room, and is writable.")


def exported(document: _D, name: str, formats: Formats[_D]) -> str:
    """The text of a document in the format of a file's suffix. Raises `GeluError`."""
    return _format_for(name, formats).text(document)


def _format_for(name: str, formats: Formats[_D]) -> Format[_D]:
    if (known := format_of(name, formats)) is not None:
        return formats[known]
    message = f"'{name}' names no format that can be written."
    *endings, last = (how.suffixes[0] for how in formats.values())
    hint = f"Let the name end in {', '.join(endings)} or {last}."
    if Path(name).suffix.lower() == ".svg":
        message = "A picture is made of the screen, not of a saved run."
        hint = "Open the run; then Ctrl+P, Export the screen as SVG."
    raise GeluError("export", message, hint)
