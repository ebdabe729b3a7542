"""Signals on the command line: the first cancels what the engine does, the second kills it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator

from gelu_tui.client import EngineClient
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError

_CANCEL_GRACE_S = 5.0


class Interruption:
    """What came; `worth_a_cancel` says whether there is something to wait for."""

    def __init__(self, client: EngineClient, worth_a_cancel: Callable[[], bool]) -> None:
        self._client = client
        self._worth_a_cancel = worth_a_cancel
        self.signal: int | None = None

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Take signals meanwhile; those that are ignored (a hang-up under nohup) stay so."""
        loop = asyncio.get_running_loop()
        numbers = [
            number
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
            if signal.getsignal(number) is not signal.SIG_IGN
        ]
        for number in numbers:
            loop.add_signal_handler(number, self._on_signal, number)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def _on_signal(self, number: int) -> None:
        again = self.signal is not None
        self.signal = self.signal or number
        if again or not self._client.running or not self._worth_a_cancel():
            self._client.kill()
            return
        loop = asyncio.get_running_loop()
        self._cancel = loop.create_task(self._send_cancel())
        loop.call_later(_CANCEL_GRACE_S, self._client.kill)

    async def _send_cancel(self) -> None:
        with contextlib.suppress(GeluError):
            await self._client.send(p.Cancel())
