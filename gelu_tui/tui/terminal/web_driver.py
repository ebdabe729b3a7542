"""The app in a browser: Textual's driver for a server that shows it, such as textual-serve."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Any

from textual.drivers.web_driver import WebDriver


class ServedDriver(WebDriver):
    """Textual's driver, for which a closed page, or a server that is gone, is a hang-up.

    With Textual's own the app would outlive its server, with its engine, and nobody to see it.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        write = self._write

        def write_or_drop(data: bytes) -> int:
            with contextlib.suppress(BrokenPipeError):  # the end of the input tells of it
                return write(data)
            return len(data)

        self._write = write_or_drop  # type: ignore[assignment]

    def run_input_thread(self) -> None:
        """Read until the server closes the input."""
        super().run_input_thread()
        if not self.exit_event.is_set():
            _hang_up()

    def on_meta(self, packet_type: str, payload: dict[str, object]) -> None:
        """Act on a word of the server's; `quit` is that of a page that was closed."""
        if packet_type == "quit":
            _hang_up()
        else:
            super().on_meta(packet_type, payload)


def _hang_up() -> None:
    os.kill(os.getpid(), signal.SIGHUP)
