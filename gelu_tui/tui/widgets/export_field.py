"""The name of a file to write, asked for within the screen."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Protocol

from textual import on
from textual.message import Message
from textual.widgets import Input

from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.paths import expanded
from gelu_tui.tui.widgets.background import run_in_thread
from gelu_tui.tui.widgets.keys_in_turn import TextField
from gelu_tui.tui.widgets.question import Question


class Write(Protocol):
    """Writes a file, in a thread. Raises `GeluError`: `file_exists` if it may not overwrite."""

    def __call__(self, path: Path, *, overwrite: bool) -> None: ...


class ExportField(TextField):
    """Asks for a name and writes there; its screen's `Question` asks whether to overwrite.

    The screen shows what is `Told`, and hides the field when it is over.
    """

    class Told(Message):
        """What to show: why it was not written, or where it was: then it is over."""

        def __init__(self, words: str | ErrorInfo) -> None:
            super().__init__()
            self.words = words

        @property
        def is_over(self) -> bool:
            return isinstance(self.words, str)

    _write: Write | None = None

    def ask(self, name: str, write: Write) -> None:
        """Show the field with a name that can be changed, and take the focus."""
        self._write = write
        self.value = name
        self.display = True
        self.focus()

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value.strip():
            try:
                self._begin(expanded(event.value.strip()))
            except GeluError as error:
                self.post_message(self.Told(error.info))

    def _begin(self, path: Path, *, overwrite: bool = False) -> None:
        if (write := self._write) is None:
            return

        def failed(error: ErrorInfo) -> None:
            if error.kind != "file_exists":
                self.post_message(self.Told(error))
                return
            self.screen.query_one(Question).ask(
                f"{path} exists. Overwrite it? y: yes · any other key: no",
                lambda: self._begin(path, overwrite=True),
            )

        def written(_: None) -> None:
            self.post_message(self.Told(f"Written: {path.absolute()}"))

        run_in_thread(self.screen, partial(write, path, overwrite=overwrite), written, failed)
