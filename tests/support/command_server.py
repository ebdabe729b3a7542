"""A process that has imported the command line once, and forks itself for each command.

A command of it is a process of its own, with the arguments, environment, working directory, files
and exit code of a real one. What it does not do again is to start Python and import modules. The
stand-ins for the engine run inside it, in memory.
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
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

_ROOT = Path(__file__).parent.parent.parent

# Read when Python starts, or when a library is loaded.
_AT_START = re.compile("PYTHON|LC_|LANG|LD_|DYLD_|TZ$|MALLOC|OPENBLAS|OMP")

_PRELOADED = (
    "gelu_tui.cli",
    "gelu_tui.core",
    "gelu_tui.sweep",
    "gelu_tui.tui.keys",
    "gelu_tui.tui.themes",
    "gelu_tui.engine.device",
)
_LIBRARIES = ("rich.live", "scipy.stats")  # which the package imports when it needs them


# --- the tests' end -------------------------------------------------------------------------------


def can_run(env: Mapping[str, str]) -> bool:
    """Whether a command with this environment may come of a process that was started without it."""
    return _at_start(env) == _at_start(_own_environment())


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
    request = pickle.dumps(([os.fsencode(word) for word in words], dict(env), cwd or Path.cwd()))
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
        files[0].write(stdin)
        files[0].seek(0)
        ours, theirs = socket.socketpair()
        stack.enter_context(ours)
        with theirs:
            socket.send_fds(_server(), [b"x"], [*(f.fileno() for f in files), theirs.fileno()])
        ours.settimeout(timeout_s)
        ours.sendall(request)
        answers = stack.enter_context(ours.makefile("rb"))
        pid = int(answers.readline())
        try:
            code = int(answers.readline())
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            raise
        return code, _content(files[1]), _content(files[2])


def _content(file: BinaryIO) -> bytes:
    file.seek(0)
    return file.read()


def _own_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def _at_start(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if _AT_START.match(name)}


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
    from tests.support import fake_engine, in_memory, sweep_engine

    sys.path.remove(str(_ROOT))
    from gelu_tui import client

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


def _until_asked(control: socket.socket) -> None:
    """Serve until the tests have ended; returns in the process of each command."""
    while True:
        said, fds, *_ = socket.recv_fds(control, 1, 4)
        if not said:
            os._exit(0)
        if os.fork() == 0:
            control.close()
            *files, reply = fds
            with socket.socket(fileno=reply) as connection:
                return _become_command(files, connection)
        for each in fds:
            os.close(each)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _become_command(files: Sequence[int], reply: socket.socket) -> None:
    """Fork once more: one process is the command, the other one tells how it ends."""
    words, env, cwd = pickle.load(reply.makefile("rb"))
    pid = os.fork()
    if pid:
        for each in files:
            os.close(each)
        reply.sendall(b"%d\n" % pid)
        status = os.waitpid(pid, 0)[1]
        reply.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
        os._exit(0)
    for number, each in enumerate(files):
        os.dup2(each, number)
        os.close(each)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    command = importlib.import_module("gelu_tui").__path__[0]
    sys.argv = [f"{command}/__main__.py", *map(os.fsdecode, words)]
    sys.stdin, sys.stdout, sys.stderr = map(_opened_again, (sys.stdin, sys.stdout, sys.stderr))


def _opened_again(stream: Any) -> Any:
    """A standard stream as Python makes it at its start, with nothing in its buffers."""
    return io.TextIOWrapper(
        os.fdopen(stream.fileno(), f"{stream.mode}b", closefd=False),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
    )


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
    _until_asked(socket.socket(fileno=int(sys.argv[1])))
    from gelu_tui.cli import main

    try:
        main()
    except SystemExit as ended:
        if isinstance(ended.code, int):
            _end(ended.code)
        raise
