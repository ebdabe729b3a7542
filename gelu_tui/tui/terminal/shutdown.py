"""However the app ends: the run is saved, the engine ends, the terminal's settings are restored."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import termios
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from textual.app import App

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_GRACE_S = 3.0


class Shutdown:
    """Handles signals, and ends the process from a thread if the event loop does not in time.

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

    def begin(self) -> None:
        """Install the signal handlers; from the main thread."""
        self._loop = asyncio.get_running_loop()
        self._before = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}

    def end(self) -> None:
        """Restore the signal handlers: the app ends in order."""
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
        self._kill()
        self.hurry(128 + number)
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended already
                self._loop.call_soon_threadsafe(self._exit, number)

    def _exit(self, number: int) -> None:
        self._save()
        self._app.exit(return_code=128 + number)

    def _force(self, code: int) -> None:
        with contextlib.suppress(Exception):  # nothing can be done about an error any more
            self._save()
        attributes = getattr(self._app._driver, "attrs_before", None)
        if attributes is not None:
            with contextlib.suppress(OSError, termios.error):
                termios.tcsetattr(0, termios.TCSANOW, attributes)
        os._exit(code)
