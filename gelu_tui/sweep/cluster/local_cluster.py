"""A cluster of this machine: Dask's scheduler in this process, and workers as children.

Dask's own `LocalCluster` starts its workers by `multiprocessing`, which runs a user's script again
and fails where a terminal app has taken over the output. All ports are on loopback, and encrypted
with keys that only these processes have: another user of the machine cannot use them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from typing import Any

import msgspec

from gelu_tui.core.parent_death import parent_named
from gelu_tui.sweep.cluster.dask import QUIET
from gelu_tui.sweep.cluster.node import Orders
from gelu_tui.sweep.worker import NoWorkers

_MOST_STARTS = 12  # of each worker
_PAUSE_S = 0.5


class LocalCluster:
    """`start`, then `close`. A worker that ends is started again."""

    def __init__(self, workers: int) -> None:
        self._count = workers
        self._scheduler: Any = None
        self._keepers: list[asyncio.Task[None]] = []
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._closing = False
        self.security: Any = None
        self.address = ""

    async def start(self) -> None:
        """Start the scheduler, and begin to start the workers."""
        import dask
        from distributed import Scheduler
        from distributed.security import Security

        self.security = Security.temporary()
        with dask.config.set(QUIET):
            self._scheduler = Scheduler(
                host="127.0.0.1",
                port=0,
                protocol="tls",
                dashboard=False,
                dashboard_address="127.0.0.1:0",
                security=self.security,
            )
        await self._scheduler
        self.address = self._scheduler.address
        keys = {name: getattr(self.security, name) for name in self.security.__slots__}
        keys = {name: key for name, key in keys.items() if isinstance(key, str | bool)}
        for number in range(1, self._count + 1):
            orders = Orders(self.address, str(number), keys)
            self._keepers.append(asyncio.create_task(self._keep(orders)))

    def check(self) -> None:
        """Raise `NoWorkers` if no worker is left, and none will be."""
        if self._keepers and all(keeper.done() for keeper in self._keepers):
            message = "The workers on this machine end again and again."
            raise NoWorkers("cluster_lost", message, "Try it without --workers.")

    async def _keep(self, orders: Orders) -> None:
        words = (sys.executable, "-P", "-m", "gelu_tui.sweep.cluster.node")
        for _ in range(_MOST_STARTS):
            process = await asyncio.create_subprocess_exec(
                *words,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                start_new_session=True,  # Ctrl+C is for the owner
                env=parent_named(),
            )
            self._processes[orders.name] = process
            if self._closing:
                self.kill()
            assert process.stdin is not None
            with contextlib.suppress(OSError):
                process.stdin.write(msgspec.json.encode(orders) + b"\n")
                await process.stdin.drain()
            await process.wait()
            await asyncio.sleep(_PAUSE_S)

    def kill(self) -> None:
        """End the workers at once; their engines end with them."""
        self._closing = True
        for process in self._processes.values():
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(process.pid, signal.SIGKILL)

    async def close(self) -> None:
        """End all of it. Raises nothing."""
        self._closing = True
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        self.kill()
        for process in self._processes.values():
            await process.wait()
        if self._scheduler is not None:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(self._scheduler.close(), 5.0)
