"""The client of one engine: start it, send commands, receive typed events."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import shlex
import signal
import sys
from asyncio.subprocess import SubprocessStreamProtocol
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.core.parent_death import parent_named
from gelu_tui.core.process_end import how_it_ended, rank_that_ended, what_helps
from gelu_tui.core.remote import SSH_FAILED, how_ssh_ended, last_words, ssh_host
from gelu_tui.core.safe_text import visible_line

# -P: a folder named `mlx` in the working directory must not be imported instead of the library.
DEFAULT_COMMAND = (sys.executable, "-P", "-m", "gelu_tui.engine")

_LOG_TAIL = 64 * 1024
_OF_THE_LOG = re.compile(r"\d{4}-\d\d-\d\d |  File |Traceback ")  # an entry, or a traceback's lines

_LINE_LIMIT = 64 * 1024 * 1024
_HELLO_TIMEOUT_S = 30.0
_CLOSE_GRACE_S = 1.0
# How long the end of an engine whose output has ended is waited for, and then its last words.
_END_S = 2.0
_LAST_WORDS_S = 0.5


class EngineDied(GeluError):
    """The engine ended, or could not be started, while it was needed."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__("engine_died", message, hint or "See the engine log; then start it again.")


class Transport(Protocol):
    """Lines to one engine and lines from it.

    `start` raises `EngineDied`, `write` `OSError` or `RuntimeError` if the engine is gone. `read`
    returns a line with its line feed, without one at the end of the stream, and raises `ValueError`
    for a line that is too long. `exit_status` waits shortly for the end and returns the exit code
    (negative for a signal, None if the engine lives on without its output) and the last lines on
    stderr. `close` ends the engine and raises nothing; `kill` does not wait.
    """

    @property
    def running(self) -> bool: ...
    async def start(self) -> None: ...
    async def write(self, line: bytes) -> None: ...
    async def read(self) -> bytes: ...
    async def exit_status(self) -> tuple[int | None, list[str]]: ...
    async def close(self) -> None: ...
    def kill(self) -> None: ...


EngineCommand = str | Sequence[str] | Callable[[], Transport] | None
"""How an engine is started: a command line, its words, or a function that returns a transport;
None: our own engine."""


class EngineClient:
    """One engine. `start`, then `ask` or `send` and iterate `events`, then `close`.

    `environment` is added to this process's for a child process. Also an async context manager,
    which closes at the end.
    """

    def __init__(
        self, command: EngineCommand = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self._transport = command() if callable(command) else ChildProcess(command, environment)
        self._ids = itertools.count(1)
        self._is_own = command is None
        self._host = ssh_host(command)
        self._place = f" on {visible_line(self._host)}" if self._host else ""
        self._handshake = p.Handshake(self._place)
        self._log_size: int | None = None  # when the engine said hello
        self._closing = False
        self._sent: p.Command | None = None
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
        self._handshake = p.Handshake(self._place)
        self.hello = None
        self._closing = False
        await self._transport.start()
        if self._closing:  # killed while there was no process to kill yet
            self._transport.kill()
        try:
            hello = await asyncio.wait_for(self._read_hello(), _HELLO_TIMEOUT_S)
        except BaseException as error:
            await self.close()
            if isinstance(error, TimeoutError):
                raise self._no_answer() from None
            raise
        self.hello = hello
        self._log_size = _size(hello.log_file)
        return hello

    async def send(self, command: p.Command) -> int:
        """Send one command and return its id. Raises `EngineDied` if the engine is gone."""
        if self.hello is None or self._closing:
            raise EngineDied("The engine is not running.")
        self._sent = command = msgspec.structs.replace(command, id=next(self._ids))
        try:
            await self._transport.write(p.encode(command))
        except (OSError, RuntimeError):
            raise await self._death() from None
        return command.id

    async def ask(self, *commands: p.Command) -> AsyncIterator[p.Event]:
        """Send the commands and yield their answers, up to the last answer of the last command.

        Also stops after a command that fails or is cancelled. Events about no command are yielded;
        answers to other commands are skipped. Raises as `events` does.
        """
        ids = [await self.send(command) for command in commands]
        async for event in self.events():
            if event.id not in (0, *ids):
                continue
            yield event
            if (event.last and event.id == ids[-1]) or isinstance(event, p.Failed | p.Cancelled):
                return

    async def events(self) -> AsyncIterator[p.Event]:
        """Yield events as they come, until `close`.

        Raises `EngineDied` if the engine ends by itself and `ProtocolError` on garbage; close the
        engine after either.
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

    async def _read_hello(self) -> p.Hello:
        hello = None
        while hello is None:
            hello = self._handshake.take(await self._read_line())
        return hello

    async def _read(self) -> p.Event:
        line = await self._read_line()
        try:
            return p.decode_event(line)
        except p.ProtocolError:
            # Not what an engine says, but a shell's farewell?
            if self._host and (await self._transport.exit_status())[0] is not None:
                raise await self._death() from None
            raise

    async def _read_line(self) -> bytes:
        try:
            line = await self._transport.read()
        except ValueError:
            raise p.ProtocolError("The engine sent a line that is far too long.") from None
        if not line.endswith(b"\n"):
            raise EngineDied("The engine was closed.") if self._closing else await self._death()
        return line

    def _no_answer(self) -> EngineDied:
        message = f"The engine{self._place} did not answer within {_HELLO_TIMEOUT_S:g} seconds"
        if said := self._handshake.noise:
            return EngineDied(f"{message}: {said}.", "Look at what its shell does when it starts.")
        return EngineDied(f"{message}.")

    async def _death(self) -> EngineDied:
        code, lines = await self._transport.exit_status()
        if (rank := rank_that_ended(lines)) is not None:
            message = f"The engine's rank {rank.number} {how_it_ended(rank.code)}"
            message += f": {visible_line(rank.words)}." if rank.words else "."
            return EngineDied(message, what_helps(rank.code, rank.words, "See its log."))
        said, ended = last_words(lines) or self._last_words_in_log(), how_it_ended(code)
        said = visible_line(said)
        if not (began := self.hello is not None):
            said = "; ".join(filter(None, (said, self._handshake.noise)))
        if self._host:
            told = how_ssh_ended(visible_line(self._host), code, said, began=began)
            if told is not None:
                return EngineDied(*told)
            if began and code == SSH_FAILED:
                code, ended = -signal.SIGKILL, "was killed"  # by which signal ssh does not tell
        message = f"The engine{self._place} {ended}"
        message += f": {said}." if said else "."
        if code == -signal.SIGKILL and isinstance(self._sent, p.Fetch):
            kept = "files that have arrived whole are kept"
            return EngineDied(message, f"If memory ran out, close other programs; {kept}.")
        log = "Check --engine-command."
        if self._host:
            log = f"Try it by hand: `ssh {visible_line(self._host)} gelu-tui engine`."
        if self.hello is not None:
            log = f"Its log is {self.hello.log_file}{self._place}."
        return EngineDied(message, what_helps(code, said, log))

    def _last_words_in_log(self) -> str:
        """What a library of our own engine wrote last, past the log's own lines."""
        if self.hello is None or self._log_size is None or not self._is_own:
            return ""
        try:
            with Path(self.hello.log_file).open("rb") as file:
                file.seek(self._log_size)
                lines = file.read(_LOG_TAIL).decode("utf-8", "replace").splitlines()
        except OSError:
            return ""
        said = [line.strip() for line in lines if line.strip() and not _OF_THE_LOG.match(line)]
        return said[-1][:200] if said else ""

    async def close(self) -> None:
        """End the engine. Raises nothing; cancelled while it waits, it still leaves no process."""
        self._closing = True
        await self._transport.close()

    def kill(self) -> None:
        """End the engine at once, without waiting: for a signal handler or a hung engine."""
        self._closing = True
        self._transport.kill()


def _size(file: str) -> int | None:
    try:
        return Path(file).stat().st_size
    except OSError:
        return None


class ChildProcess:
    """The transport of an engine in a child process, over its stdin and stdout."""

    def __init__(
        self, command: str | Sequence[str] | None, environment: Mapping[str, str] | None = None
    ) -> None:
        self._command = DEFAULT_COMMAND if command is None else command
        self._environment = environment or {}
        self._process: asyncio.subprocess.Process | None = None
        self._pipes: asyncio.SubprocessTransport | None = None
        self._stderr_lines: deque[str] = deque(maxlen=50)
        self._stderr_task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            words = shlex.split(self._command) if isinstance(self._command, str) else self._command
            # As asyncio.create_subprocess_exec, which does not return the pipes. In a new session,
            # so that Ctrl-C and a hang-up reach only the app; the engine ends with its stdin.
            self._pipes, protocol = await loop.subprocess_exec(
                lambda: SubprocessStreamProtocol(limit=_LINE_LIMIT, loop=loop),
                *words,
                start_new_session=True,
                env={**parent_named(), **self._environment},
            )
        except (OSError, ValueError, TypeError) as error:
            text = self._command if isinstance(self._command, str) else " ".join(self._command)
            message = "The engine command is empty."
            if shown := visible_line(text)[:80].strip():
                why = visible_line(getattr(error, "strerror", None) or str(error))
                message = f"The engine command '{shown}' cannot be started: {why}."
            by_ssh = ssh_host(self._command) is not None
            hint = "Install OpenSSH's client." if by_ssh else "Check --engine-command."
            raise EngineDied(message, hint) from None
        self._process = asyncio.subprocess.Process(self._pipes, protocol, loop)
        assert self._process.stdin is not None
        # A long prompt to an engine that hangs must not block the sender.
        self._process.stdin.transport.set_write_buffer_limits(high=_LINE_LIMIT)
        self._stderr_lines.clear()
        self._stderr_task = asyncio.create_task(self._collect_stderr())

    async def write(self, line: bytes) -> None:
        assert self._process is not None and self._process.stdin is not None
        self._process.stdin.write(line)
        await self._process.stdin.drain()

    async def read(self) -> bytes:
        if self._process is None or self._process.stdout is None:
            raise EngineDied("The engine is not running.")
        return await self._process.stdout.readline()

    async def exit_status(self) -> tuple[int | None, list[str]]:
        assert self._process is not None and self._stderr_task is not None
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), _END_S)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self._stderr_task), _LAST_WORDS_S)
        return self._process.returncode, list(self._stderr_lines)

    async def _collect_stderr(self) -> None:
        assert self._process is not None and self._process.stderr is not None
        rest = b""
        while chunk := await self._process.stderr.read(4096):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._remember(line)
            rest = rest[-4096:]  # a progress bar without line feeds must not pile up
        self._remember(rest)

    def _remember(self, line: bytes) -> None:
        if text := line.decode("utf-8", "replace").strip():
            self._stderr_lines.append(text[:200])

    async def close(self) -> None:
        """End the process by a command, then by SIGTERM, then by SIGKILL.

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
        self._signal_group(signal.SIGKILL)

    def _signal_group(self, number: int) -> None:
        # The engine leads its own session, so its group is the engine and what it started.
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)
