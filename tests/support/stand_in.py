"""What every stand-in for the engine is: the real protocol, in memory or as a process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable

import msgspec

from gelu_tui.core import protocol as p


class CancelSeen(Exception):
    """The app asked to stop."""


class Died(Exception):
    """The engine kills itself; the argument is what it writes to stderr before."""


class StandIn(ABC):
    """Takes lines of the app and writes its own; `serve` says which."""

    def __init__(self) -> None:
        self.commands: asyncio.Queue[p.Command] = asyncio.Queue()
        self.cancelled = asyncio.Event()
        self.answered = 0  # the id of the command that is being answered
        self.write: Callable[[bytes], object]
        self.hangs = False  # it ignores what would stop it
        self.is_deaf = False  # it reads nothing

    def emit(self, event: p.Event) -> None:
        self.write(p.encode(msgspec.structs.replace(event, id=self.answered)))

    def take(self, line: bytes) -> None:
        """Take one line of the app's."""
        command = p.decode_command(line)
        if not isinstance(command, p.Cancel):
            self.commands.put_nowait(command)
        elif not self.hangs:
            self.cancelled.set()

    async def sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self.cancelled.wait()
        except TimeoutError:
            return
        raise CancelSeen

    @abstractmethod
    async def serve(self, write: Callable[[bytes], object]) -> None:
        """Write events until it is cancelled. Raises `Died` where the engine kills itself."""


async def forever() -> None:
    await asyncio.Event().wait()


def write_to_stdout(line: bytes) -> None:
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()


async def serve_in_process(engine: StandIn) -> None:
    """Be an engine process: the end of stdin, or a shutdown, ends it at once."""
    loop = asyncio.get_running_loop()

    def read() -> None:
        for line in sys.stdin.buffer:
            if isinstance(p.decode_command(line), p.Shutdown):
                break
            loop.call_soon_threadsafe(engine.take, line)
        os._exit(0)

    if engine.hangs:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if not engine.is_deaf:
        threading.Thread(target=read, daemon=True).start()
    try:
        await engine.serve(write_to_stdout)
    except Died as died:
        print(died, file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
