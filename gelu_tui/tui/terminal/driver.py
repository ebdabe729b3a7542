"""The terminal: whatever it sends, the app goes on; however the app ends, it is as it was."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import termios
import threading
import time

from textual import events
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

from gelu_tui.tui.terminal.terminal_input import TerminalInput

_TICK_S = 0.1
_READ_BYTES = 1 << 16
_STDERR = 2  # Textual draws there

# Answers that come when the app has ended are typed into the shell. So the last thing that is asked
# is answered last, and waited for. Row 3: the questions about frames use row 2.
_LAST_QUESTION = "\x1b7\x1b[3;1H\x1b[6n\x1b8"
_LAST_ANSWER = (2, 0)
_ANSWER_S = 2.0
# A terminal that has answered nothing for this long does not answer: the question about the place
# of the cursor, which nearly all know, and those about modes at the start.
_MUTE_S = 3.0
_MUTE_TO_MODES_S = 1.0
_ABANDON_S = 1.0  # a terminal that reads nothing more does not get its modes back

# Off again, in the order of `stop_application_mode`: first what makes the terminal send something.
_QUIET = "\x1b[?2048l\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1016l\x1b[?1004l\x1b[?2004l"
_KITTY_KEYS_OFF = "\x1b[<u"  # in the alternate screen, which has its own
_SHELL_SCREEN = "\x1b[?7h\x1b[?1049l\x1b[?25h"


class TerminalDriver(LinuxDriver):
    """Textual's driver for Linux and macOS with input that cannot fail, and an end that waits."""

    _taken = False  # the terminal has the app's modes
    _gone = False  # the terminal was closed
    _started_at = 0.0
    _asked_at: float | None = None  # when the cursor's place was first asked for

    def start_application_mode(self) -> None:
        self._input = TerminalInput()
        self._last_answer = threading.Event()
        self._leaving = False
        self._asked_at = None
        self._started_at = time.monotonic()
        self._taken = True
        try:
            super().start_application_mode()  # type: ignore[no-untyped-call]
        except Exception:
            self.abandon()
            raise

    def write(self, data: str) -> None:
        if self._asked_at is None and "\x1b[6n" in data:
            self._asked_at = time.monotonic()
        super().write(data)

    # --- what comes in ------------------------------------------------------------------------

    def _run_input_thread(self) -> None:
        # Textual's own prints a traceback and lets the app end as if nothing had happened.
        try:
            self.run_input_thread()
        except Exception as error:
            self._app.call_later(self._app._handle_exception, error)

    def run_input_thread(self) -> None:
        """Read until the app ends or the terminal is gone."""
        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            while not self.exit_event.is_set() and not self._gone:
                readable = selector.select(_TICK_S)
                messages = self._input.feed(self._read()) if readable else self._input.tick()
                for message in messages:
                    self.process_message(message)

    def _read(self) -> bytes:
        try:
            data = os.read(self.fileno, _READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return b""
        except OSError:
            data = b""
        if not data:
            # What the kernel sends to most programs then; not to one that nohup has started.
            self._gone = True
            signal.raise_signal(signal.SIGHUP)
        return data

    def process_message(self, message: Message) -> None:
        if self._leaving:
            place = isinstance(message, events.CursorPosition) and (message.y, message.x)
            if place == _LAST_ANSWER:
                self._last_answer.set()
            return
        with contextlib.suppress(RuntimeError):  # the event loop has ended
            super().process_message(message)

    # --- the end ------------------------------------------------------------------------------

    def stop_application_mode(self) -> None:
        """Give the terminal back, with nothing more to come from it."""
        patience_s = self._patience_s()
        self._leaving = True
        self.write(_QUIET + _KITTY_KEYS_OFF)
        if patience_s:
            self.write(_LAST_QUESTION)
        self.write(_SHELL_SCREEN)
        if patience_s:
            self._last_answer.wait(patience_s)
        self.disable_input()
        self._restore_settings()
        self._taken = False

    def _patience_s(self) -> float:
        """How long the last answer is waited for; 0 where none is to be expected."""
        now = time.monotonic()
        if self._gone:
            return 0.0
        if self._input.answers:
            return _ANSWER_S
        if self._asked_at is not None:
            return _ANSWER_S if now - self._asked_at < _MUTE_S else 0.0
        return _MUTE_TO_MODES_S if now - self._started_at < _MUTE_TO_MODES_S else 0.0

    def abandon(self) -> None:
        """Give the terminal back at once, from any thread, also where it reads nothing more."""
        if self._taken:
            off = (_QUIET + _KITTY_KEYS_OFF + _SHELL_SCREEN).encode()
            writer = threading.Thread(target=_write_all, args=(_STDERR, off), daemon=True)
            writer.start()
            writer.join(_ABANDON_S)
            self._restore_settings()

    def _restore_settings(self) -> None:
        if self.attrs_before is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self.fileno, termios.TCSANOW, self.attrs_before)


def _write_all(target: int, data: bytes) -> None:
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(target, data) :]
