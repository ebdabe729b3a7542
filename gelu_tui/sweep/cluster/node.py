"""A Dask worker of a sweep's own, as a child process; its orders come on stdin.

It ends with its parent: when stdin does.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading

import msgspec

from gelu_tui.core.parent_death import end_with_named_parent


class Orders(msgspec.Struct, frozen=True):
    """Where the scheduler is, and with which keys one speaks to it (arguments of `Security`)."""

    scheduler: str
    name: str
    security: dict[str, str | bool]


def main() -> None:
    """Serve until stdin ends, or the scheduler is gone."""
    end_with_named_parent()
    orders = msgspec.json.decode(sys.stdin.buffer.readline(), type=Orders)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    asyncio.run(_serve(orders))
    os._exit(0)  # whatever threads still do


def _end_with_stdin() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


async def _serve(orders: Orders) -> None:
    import dask
    from distributed import Worker
    from distributed.security import Security

    from gelu_tui.sweep.cluster.dask import QUIET, silence

    silence()
    with dask.config.set(QUIET):
        worker = Worker(
            orders.scheduler,
            name=orders.name,
            nthreads=1,
            host="127.0.0.1",
            protocol="tls",
            dashboard_address="127.0.0.1:0",
            memory_limit=0,  # of this process, which computes nothing
            security=Security(**orders.security),
        )
        async with worker:
            await worker.finished()


if __name__ == "__main__":
    main()
