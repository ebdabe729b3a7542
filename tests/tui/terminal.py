"""A real terminal for a test: a pseudo-terminal with an emulator on its other end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyte

_START = """
import sys
from gelu_tui.tui.app import run_app
from gelu_tui.tui.options import AppOptions
{before}
sys.exit(run_app(AppOptions(
    activations=("gelu", "gelu_approx", "gelu_fast_approx", "silu", "relu"),
    max_tokens=40, engine_command={engine!r}, prompt={prompt!r},
)))
"""


class Terminal:
    """The app in a pseudo-terminal of its own session, as a shell or sshd would start it."""

    def __init__(self, script: str, home: Path, columns: int, rows: int) -> None:
        self.output = b""
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self.master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self._settings = termios.tcgetattr(slave)
        self._slave = slave
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
        }
        self.process = subprocess.Popen(
            (sys.executable, "-c", script),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=environment,
            preexec_fn=lambda: os.login_tty(slave),
            pass_fds=(slave,),
        )

    @property
    def text(self) -> str:
        return "\n".join(self._screen.display)

    def send(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def until(self, condition: Callable[[], object], what: str, timeout_s: float = 20) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"never: {what}; on the screen:\n{self.text}")
            self._read(0.05)

    def until_shown(self, text: str) -> None:
        self.until(lambda: text in " ".join(self.text.split()), f"'{text}' on the screen")

    def wait(self, timeout_s: float = 10) -> int:
        """Wait for the app to end; its exit code, negative for a signal."""
        self.until(lambda: self.process.poll() is not None, "the app has ended", timeout_s)
        self._read(0.2)
        assert self.process.returncode is not None
        return self.process.returncode

    def children(self) -> set[int]:
        """The processes that the app has started."""
        listed = subprocess.run(
            ("ps", "-axo", "pid=,ppid=,args="), capture_output=True, text=True, check=True
        ).stdout
        rows = (line.split(maxsplit=2) for line in listed.splitlines())
        return {
            int(pid)
            for pid, parent, arguments in rows
            if int(parent) == self.process.pid and "fake_engine" in arguments
        }

    def restored(self) -> bool:
        """Whether the terminal is as it was found: main screen, cursor, line settings."""
        return (
            self.output.rfind(b"\x1b[?1049l") > self.output.rfind(b"\x1b[?1049h")
            and self.output.rfind(b"\x1b[?25h") > self.output.rfind(b"\x1b[?25l")
            and termios.tcgetattr(self._slave)[:4] == self._settings[:4]
        )

    def hang_up(self) -> None:
        """Close the terminal, as a lost connection does."""
        os.close(self._slave)
        os.close(self.master)
        self.master = self._slave = -1

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for descriptor in (self.master, self._slave):
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def _read(self, timeout_s: float) -> None:
        if self.master < 0:
            time.sleep(timeout_s)
            return
        if select.select([self.master], [], [], timeout_s)[0]:
            with contextlib.suppress(OSError):
                data = os.read(self.master, 65536)
                self.output += data
                # pyte takes a private SGR for a colour.
                self._stream.feed(data.replace(b"\x1b[>", b"\x1b["))


@contextmanager
def terminal(
    engine: str,
    home: Path,
    *,
    prompt: str | None = None,
    before: str = "",
    size: tuple[int, int] = (80, 24),
) -> Iterator[Terminal]:
    """The app in a terminal; `before` is Python that runs first in its process."""
    opened = Terminal(_START.format(before=before, engine=engine, prompt=prompt), home, *size)
    try:
        yield opened
    finally:
        opened.close()


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        if Path("/proc/self").exists():
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, 0)
            return True
        return False
    return state != "Z"
