"""Workers on other machines, which Dask's SSHCluster starts there."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from typing import Any

from gelu_tui.core.safe_text import visible_line
from gelu_tui.sweep.worker import NoWorkers

_CONNECT_S = 10.0
_START_S = 60.0
_NOT_NEEDED = "30 minutes"  # after which a scheduler without an owner ends
_CHECK = "import distributed, gelu_tui.sweep.cluster.station"


class SshHosts:
    """`start`, then `close`. The scheduler is on the first host, a worker on each."""

    def __init__(self, hosts: tuple[str, ...], python: str) -> None:
        self._hosts, self._python = hosts, python
        self._cluster: Any = None
        self.address = ""

    async def start(self) -> None:
        """Start them. Raises `NoWorkers` that names the host and the cause."""
        for host, found in zip(
            self._hosts,
            await asyncio.gather(*map(self._check, self._hosts), return_exceptions=True),
            strict=True,
        ):
            if isinstance(found, NoWorkers):
                raise found
            if isinstance(found, BaseException):
                raise _unreachable(host, found)
        from distributed.deploy.ssh import SSHCluster

        cluster = SSHCluster(
            [self._hosts[0], *self._hosts],
            connect_options={"connect_timeout": _CONNECT_S},
            scheduler_options={
                "port": 0,
                "dashboard": False,
                "dashboard_address": "127.0.0.1:0",
                "idle_timeout": _NOT_NEEDED,
            },
            worker_options={"nthreads": 1, "memory_limit": 0, "death_timeout": 60},
            remote_python=shlex.quote(self._python),
            asynchronous=True,
        )
        try:
            self._cluster = await asyncio.wait_for(cluster, _START_S)
        except Exception as error:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(cluster.close(), 5.0)
            why = visible_line(str(error))[:200] or type(error).__name__
            message = f"Dask could not be started on {', '.join(self._hosts)}: {why}."
            raise NoWorkers("cluster_ssh", message, "Try `ssh` to each of them.") from None
        self.address = self._cluster.scheduler_address

    async def _check(self, host: str) -> None:
        import asyncssh

        async with asyncssh.connect(host, connect_timeout=_CONNECT_S) as connection:
            command = f"{shlex.quote(self._python)} -c {shlex.quote(_CHECK)}"
            done = await asyncio.wait_for(connection.run(command), _START_S)
            if done.exit_status == 0:
                return
            lines = str(done.stderr or "").strip().splitlines()
            said = visible_line(lines[-1])[:200] if lines else f"exit code {done.exit_status}"
            message = f"On {visible_line(host)}, {visible_line(self._python)} cannot start"
            message += f" a worker: {said.rstrip('.')}."
            hint = (
                "Install gelu-tui[cluster] there; --ssh-python names the interpreter that has it."
            )
            raise NoWorkers("cluster_ssh", message, hint)

    async def close(self) -> None:
        """End the workers and the scheduler. Raises nothing."""
        if self._cluster is not None:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(self._cluster.close(), 10.0)


def _unreachable(host: str, error: BaseException) -> NoWorkers:
    why = visible_line(getattr(error, "strerror", None) or str(error))[:200].rstrip(".")
    if isinstance(error, TimeoutError):
        why = f"no answer within {_CONNECT_S:g} seconds"
    message = f"The host {visible_line(host)} cannot be reached by ssh: {why}."
    return NoWorkers(
        "cluster_ssh", message, f"Try `ssh {visible_line(host)} true`: it must not ask."
    )
