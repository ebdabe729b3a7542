"""A real pseudo-terminal with a terminal emulator behind it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil
import pyte

KEYS = {"enter": "\r", "f2": "\x1bOQ", "f5": "\x1b[15~", "ctrl+g": "\x07", "ctrl+q": "\x11"}


class Terminal:
    """A command on a pseudo-terminal; `screen()` is what a user would see now."""

    def __init__(self, command: list[str], columns: int, rows: int, **environment: str) -> None:
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self.raw = bytearray()
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.modes_before = termios.tcgetattr(slave)
        inherited = {k: v for k, v in os.environ.items() if k not in ("COLORTERM", "NO_COLOR")}
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            # A session with this terminal as its own, as a shell's: closing it sends SIGHUP.
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
            env={**inherited, "TERM": "xterm-256color", "LANG": "C.UTF-8", **environment},
        )
        self._slave = slave

    def pump(self, seconds: float = 0.0) -> None:
        """Read what the command writes, for at least `seconds`."""
        end = time.monotonic() + seconds
        while True:
            ready, _, _ = select.select([self.master], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                return
            try:
                data = os.read(self.master, 65536)
            except OSError:  # the other side is closed
                return
            self.raw += data
            self._stream.feed(data)

    def screen(self) -> str:
        """The rows as text."""
        self.pump()
        return "\n".join(line.rstrip() for line in self._screen.display)

    def send(self, text: str) -> None:
        """Type; names of KEYS are keys."""
        os.write(self.master, KEYS.get(text, text).encode())

    def until(self, condition: Callable[[], object], what: str, timeout_s: float = 120.0) -> None:
        end = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > end:
                raise AssertionError(f"never: {what}; on the screen:\n{self.screen()}")
            self.pump(0.05)

    def until_shown(self, text: str, timeout_s: float = 120.0) -> None:
        self.until(lambda: text in self.screen(), f"{text!r} shown", timeout_s)

    def engines(self) -> list[psutil.Process]:
        """The engine processes that this command has started."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if "gelu_tui.engine" in child.cmdline()]

    def until_ended(self, timeout_s: float = 10.0) -> int:
        self.until(lambda: self.process.poll() is not None, "the command has ended", timeout_s)
        self.pump(0.1)
        return self.process.returncode

    def modes(self) -> list[object]:
        """The terminal's modes now; a command must leave them as it found them."""
        return termios.tcgetattr(self._slave)

    def hang_up(self) -> None:
        """Close the terminal, as a dropped SSH connection does."""
        os.close(self._slave)
        os.close(self.master)
        self.master = self._slave = -1

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        for descriptor in (self.master, self._slave):
            if descriptor >= 0:
                os.close(descriptor)


@contextmanager
def terminal(*arguments: str, columns: int = 80, rows: int = 24) -> Iterator[Terminal]:
    """`gelu-tui` with these arguments on a terminal of this size."""
    opened = Terminal([sys.executable, "-m", "gelu_tui", *arguments], columns, rows)
    try:
        yield opened
    finally:
        opened.close()


def gone(process: psutil.Process, timeout_s: float = 3.0) -> bool:
    """Whether a process ends within the time."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        try:
            if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False
