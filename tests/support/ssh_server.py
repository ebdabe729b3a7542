"""A real sshd on loopback, with keys and a configuration of its own.

Nothing of the machine's ssh is used or changed: the client's command is in a folder that the tests
put first in PATH, and gives ssh a configuration of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

_ROOT = Path(__file__).parent.parent.parent
_SBIN = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
_PATIENCE_S = 60


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class SshServer:
    """`host` is what a user types; `command` is what the user's shell finds as gelu-tui."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]
    host: str = "mac"
    env: dict[str, str] = field(default_factory=dict)

    def gelu_tui(self, script: str) -> None:
        """Install a shell script as the gelu-tui of the other side."""
        _executable(self.folder / "there" / "gelu-tui", script)

    def engine(self, command: str) -> None:
        """Install an engine as the gelu-tui of the other side."""
        self.gelu_tui(f"exec {command}\n")

    def profile(self, script: str) -> None:
        """Have a shell on the other side run this when it starts."""
        (self.folder / "profile").write_text(script)

    def known_hosts(self, text: str | None = None) -> None:
        """What the client knows of host keys; None: the right one."""
        key = (self.folder / "host_key.pub").read_text()
        right = f"[127.0.0.1]:{self.port} {key}"
        (self.folder / "known_hosts").write_text(right if text is None else text)

    def client(self, *lines: str) -> None:
        """Write the client's configuration; more `lines` come first, and so are obeyed."""
        own = [
            *lines,
            "HostName 127.0.0.1",
            f"Port {self.port}",
            f"User {getpass.getuser()}",
            f"IdentityFile {self.folder}/user_key",
            "IdentitiesOnly yes",
            f"UserKnownHostsFile {self.folder}/known_hosts",
            "GlobalKnownHostsFile /dev/null",
            "UpdateHostKeys no",
        ]
        (self.folder / "config").write_text("\n  ".join(["Host mac", *own]) + "\n")

    def sessions(self) -> list[psutil.Process]:
        """The server's processes of open connections."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children()
        return []

    def engines(self) -> list[psutil.Process]:
        """What the connections run that is no sshd."""
        found = []
        for session in self.sessions():
            with contextlib.suppress(psutil.NoSuchProcess):
                found += [p for p in session.children(recursive=True) if "sshd" not in p.name()]
        return found

    def cut(self) -> list[psutil.Process]:
        """Kill the connections; returns the engines that they had, which should end."""
        engines = self.engines()
        for session in self.sessions():
            for process in [*session.children(recursive=True), session]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    if "sshd" in process.name():
                        process.send_signal(signal.SIGKILL)
        return engines


@contextlib.asynccontextmanager
async def slow_line(server: SshServer, bytes_per_s: int) -> AsyncIterator[None]:
    """Have the client reach the server over a line that is so slow in both directions."""
    piece = 256

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError), contextlib.closing(sink):
            while data := await source.read(piece):
                sink.write(data)
                await sink.drain()
                await asyncio.sleep(len(data) / bytes_per_s)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", server.port, limit=piece)
        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))

    async with await asyncio.start_server(carry, "127.0.0.1", 0, limit=piece) as line:
        port = line.sockets[0].getsockname()[1]
        server.client(f"Port {port}", f"HostKeyAlias [127.0.0.1]:{server.port}")
        yield


def _executable(path: Path, script: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}")
    path.chmod(0o755)


def _missing() -> str:
    """Why no sshd can run here; empty where it can."""
    for program in ("ssh", "ssh-keygen"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    if shutil.which("sshd", path=_SBIN) is None:
        return "sshd is not installed (Debian: openssh-server)"
    return ""


@contextlib.contextmanager
def ssh_server(folder: Path, *options: str) -> Iterator[SshServer]:
    """Run an sshd until the end; more `options` are lines of its configuration.

    Skips the test with a sentence where there is none.
    """
    if reason := _missing():
        pytest.skip(f"No ssh server: {reason}.")
    if os.geteuid() == 0:
        with contextlib.suppress(OSError):  # Debian's sshd insists on it when root starts it
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    for name in ("host_key", "user_key"):
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
    shutil.copy(folder / "user_key.pub", folder / "authorized_keys")
    (folder / "profile").touch()
    # Whatever the user's real shell is: a shell that has a profile and a PATH of the test's own.
    shell = folder / "shell"
    path = f"{folder}/there:{os.environ['PATH']}"
    _executable(
        shell,
        f"export SHELL=/bin/sh HOME={folder} PATH={shlex.quote(path)}\n. {folder}/profile\n"
        'exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"\n',
    )
    # `sh -l` reads it, and a system's own profile may replace PATH.
    (folder / ".profile").write_text(f"PATH={shlex.quote(path)}\n")
    port = free_port()
    lines = [
        *options,
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        f"HostKey {folder}/host_key",
        f"AuthorizedKeysFile {folder}/authorized_keys",
        f"PidFile {folder}/pid",
        "StrictModes no",
        "UsePAM no",
        "PermitRootLogin yes",
        "PrintMotd no",
        f"ForceCommand {shell}",
        "KexAlgorithms curve25519-sha256",  # half of a connection is the default's arithmetic
    ]
    (folder / "sshd_config").write_text("\n".join(lines) + "\n")
    sshd = shutil.which("sshd", path=_SBIN)
    assert sshd is not None
    log = folder / "sshd.log"
    with log.open("wb") as err:
        words = [sshd, "-D", "-e", "-f", str(folder / "sshd_config")]
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=err, stderr=err)
    try:
        _wait_for(port, process, log)
        server = SshServer(folder, port, process)
        server.known_hosts()
        server.client()
        real = shutil.which("ssh")
        _executable(folder / "here" / "ssh", f'exec {real} -F {folder}/config "$@"\n')
        server.env = {"PATH": f"{folder}/here:{os.environ['PATH']}"}
        yield server
    finally:
        server_processes = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        process.wait(_PATIENCE_S)
        for left in server_processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                left.kill()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.skip(f"No ssh server: {log.read_text().strip()[-200:]}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise AssertionError(log.read_text())


def remote_python(*words: str) -> str:
    """A command of this Python with the package, whatever folder the login is in."""
    return shlex.join(["env", f"PYTHONPATH={_ROOT}", sys.executable, *words])
