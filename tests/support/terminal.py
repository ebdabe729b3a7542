"""A real terminal for a test: a pseudo-terminal with an emulator on its other end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence

import psutil
import pyte

from tests.support.command_server import Process, at_start

# What an app switches on, and how it switches it off again.
_MODES = {
    "alternate screen": (b"\x1b[?1049h", b"\x1b[?1049l"),
    "hidden cursor": (b"\x1b[?25l", b"\x1b[?25h"),
    "mouse": (b"\x1b[?1000h", b"\x1b[?1000l"),
    "mouse movement": (b"\x1b[?1003h", b"\x1b[?1003l"),
    "mouse as SGR": (b"\x1b[?1006h", b"\x1b[?1006l"),
    "focus reports": (b"\x1b[?1004h", b"\x1b[?1004l"),
    "bracketed paste": (b"\x1b[?2004h", b"\x1b[?2004l"),
    "no line wrap": (b"\x1b[?7l", b"\x1b[?7h"),
    "Kitty's keys": (b"\x1b[>", b"\x1b[<u"),
}


class Terminal:
    """The app in a pseudo-terminal of its own session, as a shell or sshd would start it.

    As nearly all terminals it says where its cursor is when it is asked.
    """

    def __init__(
        self,
        command: Sequence[str],
        size: tuple[int, int],
        environment: Mapping[str, str],
        *,
        fresh: bool = False,
    ) -> None:
        """Start it; `fresh`: by a Python of its own, not forked from one with all its modules."""
        columns, rows = size
        self.output = bytearray()
        self._screen = pyte.Screen(columns, rows)
        self._screen.write_process_input = lambda report: self.answer(report)
        self._stream = pyte.ByteStream(self._screen)
        self._text: str | None = None  # of the screen as it is
        self.master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._settings = termios.tcgetattr(slave)
        self._slave = slave
        env = {**at_start(os.environ), "TERM": "xterm-256color", **environment}
        self.process = Process(command, env, [slave] * 3, forked=not fresh)

    @property
    def text(self) -> str:
        if self._text is None:
            # Not pyte's `display`, which fails on a wide character that a resize has cut in half.
            cells, columns = self._screen.buffer, range(self._screen.columns)
            rows = range(self._screen.lines)
            lines = ("".join(cells[row][column].data for column in columns) for row in rows)
            self._text = "\n".join(lines)
        return self._text

    def send(self, keys: str | bytes) -> None:
        os.write(self.master, keys.encode() if isinstance(keys, str) else keys)

    def answer(self, report: str) -> None:
        """Answer a question of the program; a test may put another answer in this place."""
        self.send(report)

    def unread(self) -> bytes:
        """What nobody has read: a shell would take it for typed."""
        found = b""
        before = termios.tcgetattr(self._slave)
        by_character = [*before]
        by_character[3] &= ~termios.ICANON  # else only whole lines could be read
        termios.tcsetattr(self._slave, termios.TCSANOW, by_character)
        while select.select([self._slave], [], [], 0)[0]:
            found += os.read(self._slave, 65536)
        termios.tcsetattr(self._slave, termios.TCSANOW, before)
        return found

    def until(self, condition: Callable[[], object], what: str, timeout_s: float = 60) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"never: {what}; on the screen:\n{self.text}")
            self._read(0.02)

    def until_shown(self, text: str, timeout_s: float = 60) -> None:
        shown = " ".join(text.split())
        self.until(lambda: shown in " ".join(self.text.split()), f"'{text}' shown", timeout_s)

    def wait(self, timeout_s: float = 60) -> int:
        """Wait for the app to end; its exit code, negative for a signal."""
        self.until(lambda: self.process.poll() is not None, "the app has ended", timeout_s)
        while self._read(0):  # a read takes no more than a part of a frame
            pass
        assert self.process.returncode is not None
        return self.process.returncode

    def engines(self) -> list[psutil.Process]:
        """The engine processes that the app has started."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [child for child in children if "engine" in _command_line(child)]

    def left_behind(self) -> list[str]:
        """What is not as the app found it; empty for a restored terminal."""
        left = self.modes_left()
        if termios.tcgetattr(self._slave)[:4] != self._settings[:4]:
            left.append("line settings")
        return left

    def modes_left(self) -> list[str]:
        """What the app has switched on and not off again."""
        return [
            name
            for name, (on, off) in _MODES.items()
            if self.output.rfind(on) >= 0 and self.output.rfind(off) < self.output.rfind(on)
        ]

    def restored(self) -> bool:
        """Whether the terminal is as it was found."""
        return not self.left_behind()

    def resize(self, size: tuple[int, int]) -> None:
        """Give the terminal another size, as a dragged window does."""
        columns, rows = size
        self._screen.resize(rows, columns)
        self._text = None
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def take_nothing(self) -> None:
        """Take nothing more from the app, as after Ctrl+S: what it writes has to wait."""
        termios.tcflow(self._slave, termios.TCOOFF)

    def hang_up(self) -> None:
        """Close the terminal, as a lost connection does."""
        os.close(self._slave)
        os.close(self.master)
        self.master = self._slave = -1

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.close()
        for descriptor in (self.master, self._slave):
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def _read(self, timeout_s: float) -> bool:
        """Take in what the app has written; return whether there was anything.

        Waits so long for it, or for the end of the app.
        """
        if not self._readable(timeout_s):
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False
        self.take(data)
        return True

    def _readable(self, timeout_s: float) -> bool:
        """Wait until there is something to read, or the app has ended."""
        watched: list[int | Process] = [self.process] if self.process.poll() is None else []
        if self.master >= 0:
            watched.append(self.master)
        return self.master in select.select(watched, [], [], timeout_s)[0]

    def take(self, data: bytes) -> None:
        """Take in what the app has written."""
        self.output += data
        self._text = None
        # pyte takes a private SGR for a colour, and prints half of what it does not know.
        self._stream.feed(data.replace(b"\x1b[<u", b"").replace(b"\x1b[>", b"\x1b["))


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # a zombie counts as one
        return ""


def alive(process: psutil.Process) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return bool(process.is_running()) and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
