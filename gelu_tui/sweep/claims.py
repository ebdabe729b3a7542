"""Which process works on which prompts of a sweep.

A claim lasts until its prompt is saved, its process lets go of it, or its process is gone. Whether
a process of this machine is gone is known; one of another machine is, if it has not been heard of
for a minute.
"""

from __future__ import annotations

import os
import platform
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from gelu_tui.core.errors import GeluError

CLAIMS_TABLE = """
CREATE TABLE claims (
    key INTEGER PRIMARY KEY,  -- as in `results`
    worker TEXT NOT NULL
)
"""
WORKERS_TABLE = """
CREATE TABLE workers (
    id TEXT PRIMARY KEY,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started REAL NOT NULL,    -- seconds since 1970, as `seen`
    seen REAL NOT NULL        -- when it was last heard of
)
"""

SILENCE_S = 60.0
_BEAT_S = 15.0
_SAME_START_S = 2.0  # clocks are set now and then


def this_host() -> str:
    """The name of this machine, or of the container in which a process number means one process."""
    try:
        space = str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # not Linux
        space = ""
    return f"{platform.node()} {space}".strip()


class Worker:
    """One user of a sweep, known to the others by its process."""

    def __init__(self) -> None:
        self.id = secrets.token_hex(8)
        self.host = this_host()
        self.pid = os.getpid()
        self.started = psutil.Process().create_time()

    def claim(
        self,
        connection: sqlite3.Connection,
        keys: Iterable[int],
        count: int,
        is_done: Callable[[int], bool],
    ) -> list[int]:
        """Claim the first `count` keys that are neither done nor claimed, and return them."""
        self.beat(connection)
        drop_dead(connection)
        taken: list[int] = []
        for key in keys:
            if is_done(key):
                continue
            claimed = connection.execute(
                "INSERT OR IGNORE INTO claims VALUES (?, ?)", (key, self.id)
            )
            if claimed.rowcount:
                taken.append(key)
                if len(taken) == count:
                    break
        return taken

    def beat(self, connection: sqlite3.Connection) -> None:
        """Tell the others that this one lives."""
        row = (self.id, self.host, self.pid, self.started, time.time())
        connection.execute("INSERT OR REPLACE INTO workers VALUES (?, ?, ?, ?, ?)", row)

    def release(self, connection: sqlite3.Connection) -> None:
        """Let go of all claims."""
        connection.execute("DELETE FROM claims WHERE worker = ?", (self.id,))
        connection.execute("DELETE FROM workers WHERE id = ?", (self.id,))

    def others(self, connection: sqlite3.Connection) -> int:
        """The number of prompts that other living processes have claimed."""
        living = [row[0] for row in _workers(connection) if is_alive(*row[1:])]
        claims = connection.execute("SELECT worker FROM claims WHERE worker != ?", (self.id,))
        return sum(worker in living for (worker,) in claims)


def drop_dead(connection: sqlite3.Connection) -> None:
    """Delete the claims of processes that are gone."""
    for worker, *about in _workers(connection):
        if not is_alive(*about):
            connection.execute("DELETE FROM workers WHERE id = ?", (worker,))
    connection.execute("DELETE FROM claims WHERE worker NOT IN (SELECT id FROM workers)")


def is_alive(host: Any, pid: Any, started: Any, seen: Any) -> bool:
    """Whether a process may still be at work; of damaged values it is not."""
    if not isinstance(started, float) or not isinstance(seen, float):
        return False
    if host != this_host():
        return time.time() - seen < SILENCE_S
    try:
        process = psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return False
        return bool(abs(process.create_time() - started) < _SAME_START_S)
    except psutil.AccessDenied:  # of another user, but there
        return True
    except (psutil.Error, TypeError, ValueError, OverflowError):
        return False


def _workers(connection: sqlite3.Connection) -> list[Any]:
    return connection.execute("SELECT id, host, pid, started, seen FROM workers").fetchall()


class Heartbeat:
    """Calls `beat` from time to time, on a thread, until it is stopped."""

    def __init__(self, beat: Callable[[], object]) -> None:
        self._beat = beat
        self._stopped: threading.Event | None = None

    def start(self) -> None:
        """Begin, unless it has begun."""
        if self._stopped is None:
            self._stopped = threading.Event()
            arguments = (self._stopped,)
            threading.Thread(target=self._run, args=arguments, name="beat", daemon=True).start()

    def stop(self) -> None:
        """End; one that is calling `beat` ends after it."""
        if self._stopped is not None:
            self._stopped.set()
            self._stopped = None

    def _run(self, stopped: threading.Event) -> None:
        while not stopped.wait(_BEAT_S):
            with suppress(GeluError):
                self._beat()
