"""The app's end of the engine: start the process, send commands, receive typed events."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Iterable, Sequence

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.core.safe_text import visible_line

# -P: a folder named `mlx` in the working directory must not be imported instead of the library.
DEFAULT_COMMAND = (sys.executable, "-P", "-m", "gelu_tui.engine")

_LINE_LIMIT = 64 * 1024 * 1024
_HELLO_TIMEOUT_S = 30.0
_CLOSE_GRACE_S = 1.0


class EngineDied(GeluError):
    """The engine process ended, or stopped making sense, while it was needed."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__("engine_died", message, hint or "See the engine log; then start it again.")


class EngineClient:
    """One engine process. `start`, then `send` and iterate `events`, then `close`.

    Also an async context manager, which closes at the end.
    """

    def __init__(self, command: str | Sequence[str] | None = None) -> None:
        self._command = DEFAULT_COMMAND if command is None else command
        self._process: asyncio.subprocess.Process | None = None
        self._stderr_lines: deque[str] = deque(maxlen=5)
        self._stderr_task: asyncio.Task[None] | None = None
        self._closing = False
        self.hello: p.Hello | None = None

    async def __aenter__(self) -> EngineClient:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.returncode is None

    async def start(self) -> p.Hello:
        """Start the process and wait for its handshake.

        Raises `EngineDied` if it cannot be started or says nothing, `ProtocolError` if it speaks
        another version.
        """
        try:
            words = shlex.split(self._command) if isinstance(self._command, str) else self._command
            # A session of its own: Ctrl-C and a hang-up reach the app, which decides; the engine
            # ends when its stdin does.
            self._process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                limit=_LINE_LIMIT,
                start_new_session=True,
            )
        except (OSError, ValueError, TypeError) as error:
            raise _cannot_start(self._command, error) from None
        assert self._process.stdin is not None
        # A long prompt to an engine that hangs must not hold up whoever sends it.
        self._process.stdin.transport.set_write_buffer_limits(high=_LINE_LIMIT)
        self._closing = False
        self._stderr_lines.clear()
        self._stderr_task = asyncio.create_task(self._collect_stderr())
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

    async def send(self, command: p.AnyCommand) -> None:
        """Send one command. Raises `EngineDied` if the engine is gone."""
        if self._process is None or self._process.stdin is None or self._closing:
            raise EngineDied("The engine is not running.")
        try:
            self._process.stdin.write(p.encode(command))
            await self._process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError, RuntimeError):
            raise await self._death() from None

    async def events(self) -> AsyncIterator[p.AnyEvent]:
        """Yield events as they come, until `close`.

        Raises `EngineDied` when the process ends by itself and `ProtocolError` on garbage; after
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

    async def _read(self) -> p.AnyEvent:
        process = self._process
        if process is None or process.stdout is None:
            raise EngineDied("The engine is not running.")
        try:
            line = await process.stdout.readline()
        except ValueError:
            raise p.ProtocolError("The engine sent a line that is far too long.") from None
        if not line.endswith(b"\n"):
            raise await self._death()
        return p.decode_event(line)

    async def _death(self) -> EngineDied:
        assert self._process is not None
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), 2.0)
        if self._stderr_task is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._stderr_task), 0.5)
        code = self._process.returncode
        match code:
            case None:
                how = "closed its output"
            case _ if code < 0:
                how = f"was killed ({_signal_name(-code)})"
            case _:
                how = f"ended with exit code {code}"
        said = f": {visible_line(self._stderr_lines[-1])}" if self._stderr_lines else ""
        if code == -signal.SIGKILL:
            return EngineDied(
                f"The engine {how}{said}.", "If memory ran out, choose a smaller model."
            )
        log = f"Its log is {self.hello.log_file}." if self.hello else "Check --engine-command."
        return EngineDied(f"The engine {how}{said}.", log)

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
        """End the process: politely, then by SIGTERM, then by SIGKILL.

        Raises nothing; cancelled while it waits, it still leaves no process.
        """
        self._closing = True
        process = self._process
        if process is None:
            return
        if process.stdin is not None:
            with contextlib.suppress(OSError, RuntimeError):
                process.stdin.write(p.encode(p.Shutdown()))
                process.stdin.close()
        try:
            for kill in (None, signal.SIGTERM, signal.SIGKILL):
                if kill is not None:
                    self._signal_group(kill)
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(process.wait(), _CLOSE_GRACE_S)
                    break
        finally:
            self._signal_group(signal.SIGKILL)  # for when the waiting itself was cancelled
            if self._stderr_task is not None:
                self._stderr_task.cancel()

    def kill(self) -> None:
        """End the process at once, without waiting: for a signal handler or a hung engine."""
        self._closing = True
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
