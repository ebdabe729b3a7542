"""However the app ends: the run is saved, the engine ends, the terminal's settings are restored."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from textual.app import App

from gelu_tui.tui.terminal.driver import TerminalDriver

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GRACE_S = 3.0


class Shutdown:
    """Handles signals, and ends the process from a thread if the event loop does not in time.

    From before the app takes the terminal until it has given it back: a signal at any moment
    between would leave the terminal's modes on.

    A terminal that reads nothing more (a stalled connection, Ctrl+S) blocks the thread that writes
    to it, the event loop too: so the signal handlers are Python's own, not asyncio's.
    """

    def __init__(
        self, app: App[None], kill: Callable[[], None], save: Callable[[], object]
    ) -> None:
        self._app = app
        self._kill = kill
        self._save = save
        self._loop: asyncio.AbstractEventLoop | None = None
        self._before: dict[int, Any] = {}
        self._clock: threading.Timer | None = None
        self._code: int | None = None  # a signal has come

    def begin(self) -> None:
        """Install the signal handlers; from the main thread."""
        self._before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}

    def join_loop(self) -> None:
        """Let the running event loop end the app after a signal, also one that has come before."""
        self._loop = asyncio.get_running_loop()
        if self._code is not None:
            self._exit()

    def end(self) -> None:
        """Restore the signal handlers: the app has ended."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def hurry(self, code: int = 0) -> None:
        """End the process within three seconds, whatever the terminal does."""
        if self._clock is None:
            self._clock = threading.Timer(_GRACE_S, self._force, (code,))
            self._clock.daemon = True
            self._clock.start()

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        self._code = 128 + number
        self._kill()
        self.hurry(self._code)
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended already
                # In the app's turn, when its first screen is complete.
                self._loop.call_soon_threadsafe(self._app.call_later, self._exit)

    def _exit(self) -> None:
        self._save()
        self._app.exit(return_code=self._code or 0)

    def _force(self, code: int) -> None:
        with contextlib.suppress(Exception):  # nothing can be done about an error any more
            self._save()
        driver = self._app._driver
        if isinstance(driver, TerminalDriver):
            driver.abandon()
        os._exit(code)
