"""The app's end of an engine: start it, send commands, receive typed events."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shlex
import signal
import sys
from asyncio.subprocess import SubprocessStreamProtocol
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Protocol

import msgspec

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.core.safe_text import visible_line

# -P: a folder named `mlx` in the working directory must not be imported instead of the library.
DEFAULT_COMMAND = (sys.executable, "-P", "-m", "gelu_tui.engine")

_LINE_LIMIT = 64 * 1024 * 1024
_HELLO_TIMEOUT_S = 30.0
_CLOSE_GRACE_S = 1.0


class EngineDied(GeluError):
    """The engine ended, or could not be started, while it was needed."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__("engine_died", message, hint or "See the engine log; then start it again.")


class Transport(Protocol):
    """Lines to one engine and lines from it."""

    @property
    def running(self) -> bool:
        """Whether the engine is alive."""

    async def start(self) -> None:
        """Start the engine. Raises `EngineDied` if that is impossible."""

    async def write(self, line: bytes) -> None:
        """Hand a line to the engine. Raises `OSError` or `RuntimeError` if it is gone."""

    async def read(self) -> bytes:
        """Return the next line with its line feed; without one, it is the end of the stream.

        Raises `ValueError` for a line that is too long.
        """

    async def exit_status(self) -> tuple[int | None, str]:
        """Wait a little for the end; return the exit code and the last line on stderr.

        A negative code is a signal; None means that the engine lives on without its output.
        """

    async def close(self) -> None:
        """End the engine and release everything. Raises nothing."""

    def kill(self) -> None:
        """End the engine at once, without waiting, from anywhere."""


EngineCommand = str | Sequence[str] | Callable[[], Transport] | None
"""How an engine is started: a command line, its words, or what makes a transport; None: ours."""


class EngineClient:
    """One engine. `start`, then `ask` or `send` and iterate `events`, then `close`.

    Also an async context manager, which closes at the end.
    """

    def __init__(self, command: EngineCommand = None) -> None:
        self._transport = command() if callable(command) else ChildProcess(command)
        self._ids = itertools.count(1)
        self._closing = False
        self.hello: p.Hello | None = None

    async def __aenter__(self) -> EngineClient:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def running(self) -> bool:
        """Whether the engine is alive."""
        return self._transport.running

    async def start(self) -> p.Hello:
        """Start the engine and wait for its handshake.

        Raises `EngineDied` if it cannot be started or does not answer, `ProtocolError` if it has
        another protocol version.
        """
        await self._transport.start()
        self._closing = False
        try:
            self.hello = await self._handshake()
        except BaseException:
            await self.close()
            raise
        return self.hello

    async def _handshake(self) -> p.Hello:
        try:
            event = await asyncio.wait_for(self._read(), _HELLO_TIMEOUT_S)
        except TimeoutError:
            raise EngineDied(
                f"The engine did not answer within {_HELLO_TIMEOUT_S:g} seconds."
            ) from None
        if not isinstance(event, p.Hello):
            raise p.ProtocolError("The engine did not begin with its protocol version.")
        if event.protocol != p.PROTOCOL_VERSION:
            raise p.ProtocolError(
                f"The engine speaks protocol version {event.protocol}, "
                f"this app {p.PROTOCOL_VERSION}."
            )
        return event

    async def send(self, command: p.Command) -> int:
        """Send one command and return its id. Raises `EngineDied` if the engine is gone."""
        if self.hello is None or self._closing:
            raise EngineDied("The engine is not running.")
        command = msgspec.structs.replace(command, id=next(self._ids))
        try:
            await self._transport.write(p.encode(command))
        except (OSError, RuntimeError):
            raise await self._death() from None
        return command.id

    async def ask(self, *commands: p.Command) -> AsyncIterator[p.Event]:
        """Send the commands and yield their answers, up to the last answer of the last command.

        A command that fails or is cancelled ends it too. Events about no command are yielded;
        answers to other commands are skipped. Raises as `events` does.
        """
        ids = [await self.send(command) for command in commands]
        async for event in self.events():
            if event.id not in (0, *ids):
                continue
            yield event
            ended = event.last and event.id == ids[-1]
            if ended or isinstance(event, p.Failed | p.Cancelled):
                return

    async def events(self) -> AsyncIterator[p.Event]:
        """Yield events as they come, until `close`.

        Raises `EngineDied` when the engine ends by itself and `ProtocolError` on garbage; after
        either the engine should be closed.
        """
        while True:
            try:
                event = await self._read()
            except GeluError:
                if self._closing:
                    return
                raise
            if self._closing:
                return
            yield event

    async def _read(self) -> p.Event:
        try:
            line = await self._transport.read()
        except ValueError:
            raise p.ProtocolError("The engine sent a line that is far too long.") from None
        if not line.endswith(b"\n"):
            raise EngineDied("The engine was closed.") if self._closing else await self._death()
        return p.decode_event(line)

    async def _death(self) -> EngineDied:
        code, last_line = await self._transport.exit_status()
        match code:
            case None:
                how = "closed its output"
            case _ if code < 0:
                how = f"was killed ({_signal_name(-code)})"
            case _:
                how = f"ended with exit code {code}"
        message = f"The engine {how}" + (f": {visible_line(last_line)}." if last_line else ".")
        if code == -signal.SIGKILL:
            return EngineDied(message, "If memory ran out, choose a smaller model.")
        log = f"Its log is {self.hello.log_file}." if self.hello else "Check --engine-command."
        return EngineDied(message, log)

    async def close(self) -> None:
        """End the engine. Raises nothing; cancelled while it waits, it still leaves no process."""
        self._closing = True
        await self._transport.close()

    def kill(self) -> None:
        """End the engine at once, without waiting: for a signal handler or a hung engine."""
        self._closing = True
        self._transport.kill()


class ChildProcess:
    """The transport of an engine in a child process, over its stdin and stdout."""

    def __init__(self, command: str | Sequence[str] | None) -> None:
        self._command = DEFAULT_COMMAND if command is None else command
        self._process: asyncio.subprocess.Process | None = None
        self._pipes: asyncio.SubprocessTransport | None = None
        self._stderr_lines: deque[str] = deque(maxlen=5)
        self._stderr_task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start the process. Raises `EngineDied` if it cannot be started."""
        loop = asyncio.get_running_loop()
        try:
            words = shlex.split(self._command) if isinstance(self._command, str) else self._command
            # As asyncio.create_subprocess_exec does it, which keeps the pipes to itself. A session
            # of its own: Ctrl-C and a hang-up reach the app, which decides; the engine ends when
            # its stdin does.
            self._pipes, protocol = await loop.subprocess_exec(
                lambda: SubprocessStreamProtocol(limit=_LINE_LIMIT, loop=loop),
                *words,
                start_new_session=True,
            )
        except (OSError, ValueError, TypeError) as error:
            raise _cannot_start(self._command, error) from None
        self._process = asyncio.subprocess.Process(self._pipes, protocol, loop)
        assert self._process.stdin is not None
        # A long prompt to an engine that hangs must not hold up whoever sends it.
        self._process.stdin.transport.set_write_buffer_limits(high=_LINE_LIMIT)
        self._stderr_lines.clear()
        self._stderr_task = asyncio.create_task(self._collect_stderr())

    async def write(self, line: bytes) -> None:
        """Write a line to stdin. Raises `OSError` or `RuntimeError` if it is closed."""
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(line)
        await self._process.stdin.drain()

    async def read(self) -> bytes:
        """Return the next line of stdout. Raises `ValueError` if it is too long."""
        if self._process is None or self._process.stdout is None:
            raise EngineDied("The engine is not running.")
        return await self._process.stdout.readline()

    async def exit_status(self) -> tuple[int | None, str]:
        """Wait for the end; return the exit code, or None, and the last line on stderr."""
        assert self._process is not None and self._stderr_task is not None
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), 2.0)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._stderr_task), 0.5)
        return self._process.returncode, self._stderr_lines[-1] if self._stderr_lines else ""

    async def _collect_stderr(self) -> None:
        assert self._process is not None and self._process.stderr is not None
        rest = b""
        while chunk := await self._process.stderr.read(4096):
            *lines, rest = (rest + chunk).split(b"\n")
            self._remember(lines)
            rest = rest[-4096:]  # a progress bar without line feeds must not pile up
        self._remember([rest])

    def _remember(self, lines: Iterable[bytes]) -> None:
        texts = (line.decode("utf-8", "replace").strip() for line in lines)
        self._stderr_lines.extend(text[:200] for text in texts if text)

    async def close(self) -> None:
        """End the process: by a command, then by SIGTERM, then by SIGKILL.

        Raises nothing; cancelled while it waits, it still leaves no process.
        """
        process, pipes = self._process, self._pipes
        if process is None or process.stdin is None or pipes is None:
            return
        with contextlib.suppress(OSError, RuntimeError):
            process.stdin.write(p.encode(p.Shutdown()))
            process.stdin.close()
        try:
            for number in (None, signal.SIGTERM, signal.SIGKILL):
                if number is not None:
                    self._signal_group(number)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), _CLOSE_GRACE_S)
                    break
        finally:
            self._signal_group(signal.SIGKILL)  # for when the waiting itself was cancelled
            if self._stderr_task is not None:
                self._stderr_task.cancel()
            # Else the garbage collector closes them, perhaps when their event loop is closed.
            pipes.close()

    def kill(self) -> None:
        """End the process at once, without waiting."""
        self._signal_group(signal.SIGKILL)

    def _signal_group(self, number: int) -> None:
        # The engine leads its own session, so its group is it and what it started, no one else.
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)


def _cannot_start(command: str | Sequence[str], error: Exception) -> EngineDied:
    shown = visible_line(command if isinstance(command, str) else " ".join(command))[:80]
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    if not shown.strip():
        return EngineDied("The engine command is empty.", "Check --engine-command.")
    return EngineDied(
        f"The engine command '{shown}' cannot be started: {visible_line(why)}.",
        "Check --engine-command.",
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
