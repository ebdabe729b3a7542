"""Which workers a sweep has, as it was asked for."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from gelu_tui.core.errors import UsageError
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.settings.validation import shown

_MOST_WORKERS = 256
_PORT = 8786  # Dask's
_SCHEMES = ("tcp", "tls")


@dataclass(frozen=True)
class Cluster:
    """One of: `workers` processes of this machine, a running Dask `scheduler`, or hosts by `ssh`.

    `ssh_python` is the interpreter on those hosts.
    """

    workers: int = 0
    scheduler: str = ""
    ssh: tuple[str, ...] = ()
    ssh_python: str = sys.executable

    @property
    def expected(self) -> int:
        """The number of workers that will be there; 0 where nobody knows."""
        return self.workers or len(self.ssh)

    @property
    def beginning(self) -> str:
        """What is done before there are workers, in a clause."""
        if self.scheduler:
            return f"Connecting to {visible_line(self.scheduler)}"
        count = f"{self.expected} worker{'s' * (self.expected != 1)}"
        return f"Starting {count}{' by ssh' if self.ssh else ''}"


def cluster_of(
    workers: int | None, scheduler: str | None, ssh: str | Sequence[str] | None, python: str | None
) -> Cluster | None:
    """Return the choice, None for no cluster. Raises `UsageError` for one that cannot be."""
    chosen = [
        name
        for name, value in (("--workers", workers), ("--scheduler", scheduler), ("--ssh", ssh))
        if value is not None
    ]
    if len(chosen) > 1:
        message = f"{' and '.join(chosen)} are two ways to find workers."
        raise UsageError(message, "Give one of them.")
    if python and not ssh:
        raise UsageError("--ssh-python has no effect without --ssh.", "Give --ssh HOST,HOST too.")
    if workers is not None and (type(workers) is not int or not 1 <= workers <= _MOST_WORKERS):
        message = f"--workers must be a number from 1 to {_MOST_WORKERS}, not {workers}."
        raise UsageError(message, "Each is a process with an engine of its own.")
    address = "" if scheduler is None else _address(scheduler.strip())
    hosts: tuple[str, ...] = ()
    if ssh is not None:
        words = ssh.split(",") if isinstance(ssh, str) else ssh
        hosts = tuple(host for word in words if (host := word.strip()))
        if not hosts:
            raise UsageError("--ssh names no host.", "Give them as --ssh mac1,mac2.")
        if bad := [host for host in hosts if host.startswith("-") or set(host) & set(" \t\n'\"")]:
            raise UsageError(f"{shown(bad[0])} is no host.", "Give them as --ssh mac1,mac2.")
    if not chosen:
        return None
    return Cluster(workers or 0, address, hosts, python or sys.executable)


def _address(typed: str) -> str:
    """Return the whole address of a scheduler: scheme, host and port. Raises `UsageError`."""
    try:
        parts = urlsplit(typed if "://" in typed else f"tcp://{typed}")
        scheme, host, port = parts.scheme, parts.hostname, parts.port or _PORT
    except ValueError:
        scheme, host, port = "", None, 0
    if scheme not in _SCHEMES or not host:
        message = f"--scheduler {shown(typed)} is no address of a scheduler."
        raise UsageError(message, "Give it as tcp://host:8786; `dask scheduler` prints it.")
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
