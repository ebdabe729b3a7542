"""Where a document is printed, stdout or a file, and in which format."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from gelu_tui.cli import options as o
from gelu_tui.core.errors import UsageError
from gelu_tui.core.own_files import encoded
from gelu_tui.core.paths import expanded
from gelu_tui.core.reports.export import FORMATS, Formats, format_of, write_file
from gelu_tui.core.runs.document import to_json
from gelu_tui.core.safe_text import visible_line

if TYPE_CHECKING:
    from rich.console import RenderableType

_F = TypeVar("_F", bound=Callable[..., Any])


def output_options(
    help_text: str, *more: str, formats: Formats[Any] = FORMATS
) -> Callable[[_F], _F]:
    """Add `--format`, with text, those of files and `more`, and `--output`."""
    format_option = click.option(
        "--format",
        "output_format",
        cls=o.SettingOption,
        unset="text, or what the suffix of --output means",
        type=click.Choice(["text", *formats, *more]),
        help=help_text,
    )
    output_option = click.option(
        "-o",
        "--output",
        metavar="FILE",
        type=click.Path(),
        help="Write it into this file instead; one that exists is replaced.",
    )

    def decorate(function: _F) -> _F:
        return format_option(output_option(function))

    return decorate


class Output:
    """Where to and how a document is printed. Raises `GeluError` if it cannot be written."""

    def __init__(
        self,
        output_format: str | None,
        file: str | None,
        color: str,
        formats: Formats[Any] = FORMATS,
    ) -> None:
        self._file = expanded(file) if file is not None else None
        self._formats = formats
        meant = None if file is None else format_of(file, formats)
        if file is not None and Path(file).suffix.lower() == ".jsonl":
            meant = "jsonl"
        self.format = output_format or meant or "text"
        self._color = color
        self._lines: IO[str] | None = None
        if self._file is not None:
            _check(self._file)
        if (how := formats.get(self.format)) is not None:
            how.check()
            if not how.is_text and self._file is None and sys.stdout.isatty():
                message = f"The format {self.format} is not for a terminal."
                raise UsageError(message, f"Add --output FILE{how.suffixes[0]}.")

    @property
    def is_text_on_a_terminal(self) -> bool:
        """Whether somebody watches, so that it may be shown as it comes."""
        on_stdout = self._file is None and sys.stdout.isatty()
        return self.format == "text" and on_stdout and os.environ.get("TERM") != "dumb"

    def document(self, document: Any, report: Callable[[], RenderableType]) -> None:
        """Print a document; `report` is what the format `text` shows. Raises `GeluError`."""
        how = self._formats.get(self.format)
        if how is None and self._file is None:
            o.print_report(report(), self._color)
            return
        if how is not None:
            parts = how.parts(document)
        else:
            parts = (encoded(o.report_text(report(), self._color, is_file=True)),)
        if self._file is None:
            for part in parts:
                click.echo(part, nl=False)  # bytes: UTF-8, whatever the locale is
        elif self._file.is_symlink() or (self._file.exists() and not self._file.is_file()):
            # /dev/stdout is a link: write to what it leads to, as `>` does.
            with self._file.open("wb") as file:
                file.writelines(parts)
        else:
            write_file(self._file, parts)

    def line(self, value: Any) -> None:
        """Print one line of JSON at once, for the format `jsonl`."""
        if self._file is None:
            o.print_json(value)
            return
        if self._lines is None:
            self._lines = self._file.open("w", encoding="utf-8", buffering=1)
        self._lines.write(to_json(value) + "\n")


def _check(file: Path) -> None:
    """Raise `UsageError` for a file that cannot be written: before minutes of work, not after."""
    shown = visible_line(str(file))
    if file.is_dir():
        raise UsageError(f"{shown} is a folder, not a file.", "Give the name of a file.")
    if not file.parent.is_dir():
        raise UsageError(f"There is no folder {visible_line(str(file.parent))}.", "Make it first.")
    if not os.access(file if file.exists() else file.parent, os.W_OK):
        raise UsageError(f"{shown} cannot be written.", "Choose a place that you may write to.")
