"""Fetching a model from the hub: progress, cancel, and errors as sentences.

The work is done on a thread of its own (`hub_files`), while this one reports and watches for a
cancel: so a cancel is quick even when the network is silent, and `report` is called on one thread.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

from gelu_tui.core import protocol as p
from gelu_tui.engine import hub_files

_POLL_S = 0.1
_STOP_GRACE_S = 0.2
_RATE_WINDOW_S = 3.0


class DownloadCancelled(Exception):
    """The user cancelled; what has arrived is kept, and the next fetch goes on from there."""


def fetch_model(
    repo_id: str,
    report: Callable[[p.Progress], None],
    cancelled: Callable[[], bool],
    check_config: Callable[[dict[str, Any]], object] | None = None,
) -> Path:
    """Return the folder of a hub model in the hub's own cache, downloading what is missing.

    A model that is in the cache whole needs no network. `report` gets bytes and bytes a second;
    `check_config` sees the model's config.json before its weights are fetched, on another thread,
    and may refuse it by a `GeluError`. Raises `GeluError` and `DownloadCancelled`.
    """
    transfer = hub_files.Transfer()
    work: Future[Path] = Future()

    def run() -> None:
        try:
            work.set_result(hub_files.fetch(repo_id, transfer, check_config))
        except BaseException as error:  # it is raised again by work.result()
            work.set_exception(error)

    threading.Thread(target=run, name="hub", daemon=True).start()
    meter = _Meter(transfer, report)
    while not wait([work], timeout=_POLL_S).done:
        if cancelled():
            transfer.stop.set()
            # The thread ends at its next byte, or when its connection times out; until then it
            # holds the lock of its file, so that a new fetch cannot write into the same one.
            wait([work], timeout=_STOP_GRACE_S)
            raise DownloadCancelled
        meter.read()
    if work.exception() is None:
        meter.read()
    return work.result()


class _Meter:
    """Turns the state of a transfer into progress events."""

    def __init__(self, transfer: hub_files.Transfer, report: Callable[[p.Progress], None]) -> None:
        self._transfer = transfer
        self._report = report
        self._seen = ("", 0, 0, 0)
        self._marks: deque[tuple[float, int]] = deque()  # (seconds, bytes received)

    def read(self) -> None:
        """Report what changed since the last reading."""
        transfer = self._transfer
        rate = self._rate(transfer.received)
        now = (transfer.label, transfer.done, transfer.total, int(rate))
        if now != self._seen:
            self._seen = now
            self._report(p.Progress("download", *now[:3], unit="bytes", rate=rate))

    def _rate(self, received: int) -> float:
        now = time.monotonic()
        self._marks.append((now, received))
        while now - self._marks[0][0] > _RATE_WINDOW_S:
            self._marks.popleft()
        then, before = self._marks[0]
        return (received - before) / (now - then) if now > then else 0.0
