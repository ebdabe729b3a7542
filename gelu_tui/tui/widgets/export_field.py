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
from gelu_tui.tui.widgets.message_line import MessageLine
from gelu_tui.tui.widgets.question import Question


class Write(Protocol):
    """Writes a file, in a thread. Raises `GeluError`: `file_exists` if it may not overwrite."""

    def __call__(self, path: Path, *, overwrite: bool) -> None: ...


class ExportField(TextField):
    """Asks for a name and writes there; its screen's `Question` asks whether to overwrite.

    What becomes of it stands in the screen's `MessageLine`.
    """

    class Closed(Message):
        """The field has gone: the screen gives the focus to something else."""

    _write: Write | None = None

    def ask(self, name: str, write: Write) -> None:
        """Show the field with a name that can be changed, and take the focus."""
        self._write = write
        self.value = name
        self.display = True
        self.focus()

    def close(self, said: str = "") -> None:
        """Hide the field, and show `said` in the screen's line of messages."""
        self._show(said)
        self.display = False
        self.post_message(self.Closed())

    def _show(self, said: str | ErrorInfo) -> None:
        self.screen.query_one(MessageLine).show_message(said)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value.strip():
            try:
                self._begin(expanded(event.value.strip()))
            except GeluError as error:
                self._show(error.info)

    def _begin(self, path: Path, *, overwrite: bool = False) -> None:
        if (write := self._write) is None:
            return

        def failed(error: ErrorInfo) -> None:
            if error.kind != "file_exists":
                self._show(error)
                return
            self.screen.query_one(Question).ask(
                f"{path} exists. Overwrite it? y: yes · any other key: no",
                lambda: self._begin(path, overwrite=True),
            )

        def written(_: None) -> None:
            self.close(f"Written: {path.absolute()}")

        run_in_thread(self.screen, partial(write, path, overwrite=overwrite), written, failed)
