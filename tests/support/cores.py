"""Every worker of the tests stays on one core, with the processes that it starts.

MLX hands each operation of a forward pass to a thread of its own. For a tiny model waking that
thread on another core costs more than the operation: a third of the processor time of such tests.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

_ALL = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set[int]()  # not on a Mac


def stay_on_one(worker: int) -> None:
    """Keep this process on one core, and let its threads work on when they wake another one."""
    if _ALL:
        os.sched_setaffinity(0, {sorted(_ALL)[worker % len(_ALL)]})
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


@contextmanager
def all_cores() -> Iterator[None]:
    """What is started within this context may use every core, as a user's process does."""
    if not _ALL:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, _ALL)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
