"""However the app ends: the run is saved, the engine goes, the terminal gets its settings back."""

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


class Ending:
    """Signals, and a clock outside of the event loop.

    A terminal that takes nothing more (a stalled connection, Ctrl+S) blocks whoever writes to it,
    the event loop too: so signals are Python's own, and what the loop does not manage in time a
    thread does.
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
        """Take the signals; from the main thread."""
        self._loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            self._before[number] = signal.signal(number, self._on_signal)

    def end(self) -> None:
        """Give the signals back: the app ends in order."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def hurry(self, code: int = 0) -> None:
        """See to it that the process ends soon, whatever the terminal does."""
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
        with contextlib.suppress(Exception):  # the last moment: what fails now, fails
            self._save()
        attributes = getattr(self._app._driver, "attrs_before", None)
        if attributes is not None:
            with contextlib.suppress(OSError, termios.error):
                termios.tcsetattr(0, termios.TCSANOW, attributes)
        os._exit(code)
