"""A process that has imported the command line and the app once, and forks itself for each start.

What it starts is a process of its own, with the arguments, environment, working directory, files
and exit code of a real one. What it does not do again is to start Python and import modules. In a
command that has no terminal the stand-ins for the engine run inside it, in memory.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import importlib
import io
import os
import pickle
import pkgutil
import re
import select
import shlex
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

_ROOT = Path(__file__).parent.parent.parent
_INT = struct.Struct("i")

# Read when Python starts, or when a library is loaded.
_AT_START = re.compile("PYTHON|LC_|LANG|LD_|DYLD_|TZ$|MALLOC|OPENBLAS|OMP")

_PRELOADED = (
    "gelu_tui.cli",
    "gelu_tui.core",
    "gelu_tui.sweep",
    "gelu_tui.tui",
    "gelu_tui.engine.device",
)
_LIBRARIES = ("rich.live", "scipy.stats")  # which the package imports when it needs them
_STAND_INS = ("fake_engine", "in_memory", "sweep_engine")


# --- the tests' end -------------------------------------------------------------------------------


def can_run(env: Mapping[str, str]) -> bool:
    """Whether a command with this environment may come of a process that was started without it."""
    return at_start(env) == at_start(_own_environment())


def at_start(env: Mapping[str, str]) -> dict[str, str]:
    """What of an environment is read when Python starts, or when a library is loaded."""
    return {name: value for name, value in env.items() if _AT_START.match(name)}


class Process:
    """A process that the server has started; of `subprocess.Popen` what the tests use.

    `fileno` can be read from once it has ended. `files` are its stdin, stdout and stderr. A
    terminal as its stdin becomes the one of its session, which is a new one.
    """

    def __init__(
        self,
        command: Sequence[str | bytes],
        env: Mapping[str, str],
        files: Sequence[int],
        cwd: Path | None = None,
        *,
        forked: bool = True,
    ) -> None:
        """Start a Python with the options of `command`; where it is not `forked`, any program."""
        self.returncode: int | None = None
        self._answers, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(_server(), [b"x"], [*files, theirs.fileno()])
        words = [os.fsencode(word) for word in command]
        forked = forked and command[0] == sys.executable and can_run(env)
        self._answers.sendall(pickle.dumps((words, dict(env), cwd or Path.cwd(), forked)))
        self.pid = self._answer()

    def fileno(self) -> int:
        return self._answers.fileno()

    def poll(self) -> int | None:
        if self.returncode is None and select.select([self], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self, timeout_s: float | None = None) -> int:
        """Raises `TimeoutError`."""
        if self.returncode is None:
            self._answers.settimeout(timeout_s)
            self.returncode = self._answer()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        self._answers.close()

    def _answer(self) -> int:
        return int(_INT.unpack(self._answers.recv(_INT.size, socket.MSG_WAITALL))[0])


def run(
    words: Sequence[str | bytes],
    env: Mapping[str, str],
    stdin: bytes,
    cwd: Path | None,
    timeout_s: float,
) -> tuple[int, bytes, bytes]:
    """Run a command; return its exit code (negative for a signal), its stdout and its stderr.

    Raises `TimeoutError` if it does not end in time; it is killed then.
    """
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
        files[0].write(stdin)
        files[0].seek(0)
        command = (sys.executable, "-P", "-m", "gelu_tui", *words)
        process = Process(command, env, [file.fileno() for file in files], cwd)
        stack.callback(process.close)
        try:
            code = process.wait(timeout_s)
        except TimeoutError:
            process.kill()
            raise
        return code, _content(files[1]), _content(files[2])


def _content(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()


def _own_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


@functools.cache
def _server() -> socket.socket:
    """The socket of the server, which is started; it ends when the socket is closed."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", __file__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            # Numpy starts no threads then: a process with threads is not to be forked.
            env={**_own_environment(), "OPENBLAS_NUM_THREADS": "1"},
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


# --- the server -----------------------------------------------------------------------------------


def _preload() -> None:
    for name in _PRELOADED:
        module = importlib.import_module(name)
        for found in pkgutil.walk_packages(getattr(module, "__path__", ()), f"{name}."):
            importlib.import_module(found.name)
    for name in _LIBRARIES:
        importlib.import_module(name)
    sys.path.insert(0, str(_ROOT))
    for name in _STAND_INS:
        importlib.import_module(f"tests.support.{name}")
    sys.path.remove(str(_ROOT))


def _engines_in_memory() -> None:
    from gelu_tui import client
    from tests.support import fake_engine, in_memory, sweep_engine

    def transport(command: str | Sequence[str] | None, *more: Any) -> client.Transport:
        """Stands for `ChildProcess`: engines that compute nothing need no process."""
        match _words(command):
            case [*_, "tests.support.sweep_engine", "--step-s", step_s]:
                return in_memory.InMemory(sweep_engine.SweepEngine(float(step_s)))
            case [_, fake_engine.__file__, "--scenario", scenario, "--step-s", step_s]:
                return in_memory.InMemory(fake_engine.FakeEngine(scenario, float(step_s)))
        return child_process(command, *more)

    child_process = client.ChildProcess
    vars(client)["ChildProcess"] = transport


def _words(command: str | Sequence[str] | None) -> Sequence[str]:
    try:
        return shlex.split(command) if isinstance(command, str) else command or ()
    except ValueError:
        return ()


def _until_asked(control: socket.socket) -> list[str]:
    """Serve until the tests have ended; in each process that it starts, return its command."""
    running: dict[int, socket.socket] = {}  # who is told how a process ends
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    while True:
        readable, *_ = select.select([control, ended], [], [])
        if ended in readable:
            os.read(ended, 4096)
            _tell_ends(running)
        if control not in readable:
            continue
        said, fds, *_ = socket.recv_fds(control, 1, 4)
        if not said:
            os._exit(0)
        *files, reply = fds
        connection = socket.socket(fileno=reply)
        request = pickle.load(connection.makefile("rb"))
        if (pid := os.fork()) == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for each in (control, connection, *running.values()):
                each.close()
            os.close(ended)
            os.close(wake)
            return _become_command(files, *request)
        for each in files:
            os.close(each)
        running[pid] = connection
        connection.sendall(_INT.pack(pid))


def _tell_ends(running: dict[int, socket.socket]) -> None:
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            pid, status = found
            with running.pop(pid) as connection, contextlib.suppress(OSError):
                connection.sendall(_INT.pack(os.waitstatus_to_exitcode(status)))


def _become_command(
    files: Sequence[int], command: Sequence[bytes], env: Mapping[str, str], cwd: Path, forked: bool
) -> list[str]:
    """Be as a process that was started with this; return its command, unless it is executed."""
    for number, each in enumerate(files):
        os.dup2(each, number)
        os.close(each)
    if os.isatty(0):
        os.login_tty(os.dup(0))
    os.chdir(cwd)
    if not forked:
        os.execvpe(command[0], command, env)
    os.environ.clear()
    os.environ.update(env)
    for name in ("stdin", "stdout", "stderr"):
        opened = _opened_again(getattr(sys, name))
        vars(sys).update({name: opened, f"__{name}__": opened})
    return [os.fsdecode(word) for word in command]


def _opened_again(stream: Any) -> Any:
    """A standard stream as Python makes it at its start, with nothing in its buffers."""
    return io.TextIOWrapper(
        os.fdopen(stream.fileno(), f"{stream.mode}b", closefd=False),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering or os.isatty(stream.fileno()),
    )


def _run(command: Sequence[str]) -> None:
    """Do what Python does with this command line."""
    match [word for word in command[:2] if word != "-P"] + [*command[2:]]:
        case [_, "-c", script, *rest]:
            sys.argv = ["-c", *rest]
            exec(script, {"__name__": "__main__"})
        case [_, "-m", "gelu_tui", *rest]:
            from gelu_tui.cli import main

            folder = importlib.import_module("gelu_tui").__path__[0]
            sys.argv = [f"{folder}/__main__.py", *rest]
            main()


def _end(code: int) -> None:
    """End as Python does, but leave all modules as they are.

    To take apart what was preloaded takes several times as long as most commands.
    """
    vars(threading)["_shutdown"]()
    vars(atexit)["_run_exitfuncs"]()
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            return  # Python says what it has to say of this
    os._exit(code & 0xFF)


if __name__ == "__main__":
    _preload()
    gc.freeze()
    command = _until_asked(socket.socket(fileno=int(sys.argv[1])))
    if not os.isatty(0):
        _engines_in_memory()
    try:
        _run(command)
    except SystemExit as ended:
        if isinstance(ended.code, int):
            _end(ended.code)
        raise
