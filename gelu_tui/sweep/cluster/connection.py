"""The connection to a cluster: started for this sweep, or running already."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any
from urllib.parse import urlsplit

from gelu_tui.core.safe_text import visible_line
from gelu_tui.sweep.cluster.choice import Cluster
from gelu_tui.sweep.cluster.dask import import_distributed
from gelu_tui.sweep.cluster.local_cluster import LocalCluster
from gelu_tui.sweep.cluster.ssh_hosts import SshHosts
from gelu_tui.sweep.worker import NoWorkers

_REACH_S = 5.0
_HANDSHAKE_S = 15.0
_ANSWER_S = 30.0


class Connection:
    """`open`, then `close`; `client` is Dask's."""

    def __init__(self, choice: Cluster) -> None:
        self._choice = choice
        self._own: LocalCluster | SshHosts | None = None
        self.address = choice.scheduler
        self.client: Any = None

    async def open(self) -> None:
        """Start the cluster if need be, and connect. Raises `NoWorkers`."""
        import_distributed()
        security = None
        if self._choice.workers:
            self._own = local = LocalCluster(self._choice.workers)
            await local.start()
            self.address, security = local.address, local.security
        elif self._choice.ssh:
            self._own = hosts = SshHosts(self._choice.ssh, self._choice.ssh_python)
            await hosts.start()
            self.address = hosts.address
        else:
            await _reach(self.address)
        await self._connect(security)

    async def _connect(self, security: Any) -> None:
        from distributed import Client

        client = Client(
            self.address,
            asynchronous=True,
            security=security,
            set_as_default=False,
            timeout=_HANDSHAKE_S,
        )
        try:
            self.client = await client
        except Exception as error:
            with contextlib.suppress(Exception):
                await client.close(timeout=1.0)
            why = "" if isinstance(error, OSError) else f": {visible_line(str(error))[:200]}"
            message = f"What answers at {visible_line(self.address)} is no Dask scheduler{why}."
            hint = "Check the address; one that begins with tls:// needs keys in Dask's settings."
            raise NoWorkers("cluster_unreachable", message, hint) from None

    async def workers(self) -> dict[str, dict[str, Any]]:
        """What the scheduler knows about its workers, by address. Raises `NoWorkers`."""
        if isinstance(self._own, LocalCluster):
            self._own.check()
        asked = asyncio.ensure_future(self.client.scheduler.identity(n_workers=-1))
        ends = time.monotonic() + _ANSWER_S
        try:
            while not asked.done() and self.is_open and time.monotonic() < ends:
                await asyncio.wait({asked}, timeout=0.5)
            if not (asked.done() and self.is_open) or asked.exception() is not None:
                raise self.lost()
            workers: dict[str, dict[str, Any]] = asked.result()["workers"]
            return workers
        finally:
            asked.cancel()

    @property
    def is_open(self) -> bool:
        """Whether the scheduler is there."""
        return self.client is not None and self.client.status == "running"

    def lost(self) -> NoWorkers:
        """The error of a scheduler that is gone."""
        message = f"The Dask scheduler {visible_line(self.address)} is gone."
        hint = "Nothing that was finished is lost: start it, and the same command goes on."
        return NoWorkers("cluster_lost", message, hint)

    def kill(self) -> None:
        """End workers of this machine at once."""
        if isinstance(self._own, LocalCluster):
            self._own.kill()

    async def close(self) -> None:
        """Close it, and end what was started for it. Raises nothing."""
        if self.client is not None:
            with contextlib.suppress(Exception):
                patience_s = 2.0 if self.is_open else 0.1
                await asyncio.wait_for(self.client.close(timeout=patience_s), 5.0)
        if self._own is not None:
            await self._own.close()


async def _reach(address: str) -> None:
    """Raise `NoWorkers` if nothing listens at an address."""
    parts = urlsplit(address)
    try:
        opening = asyncio.open_connection(parts.hostname, parts.port)
        _, writer = await asyncio.wait_for(opening, _REACH_S)
        writer.close()
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error)
        if isinstance(error, TimeoutError):
            why = f"no answer within {_REACH_S:g} seconds"
        message = f"There is no scheduler at {visible_line(address)}: {visible_line(why)}."
        raise NoWorkers(
            "cluster_unreachable", message, "`dask scheduler` prints its address."
        ) from None
