"""Clients of `odd_engine.py`, and what becomes of their processes."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from gelu_tui.client import ChildProcess, EngineClient

ODD = str(Path(__file__).with_name("odd_engine.py"))


def odd(what: str) -> EngineClient:
    return EngineClient([sys.executable, ODD, what])


def process_of(engine: EngineClient) -> asyncio.subprocess.Process:
    assert isinstance(engine._transport, ChildProcess)
    assert engine._transport._process is not None
    return engine._transport._process


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits for its parent to notice does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] == "Z")


async def gone(pid: int) -> bool:
    """Whether a process ends, in whatever time a loaded machine takes for it."""
    deadline = time.monotonic() + 30  # those of `odd_engine` would live for a minute
    while alive(pid):
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True
