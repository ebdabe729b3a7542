"""One engine that answers some commands, with progress on stderr and signals obeyed."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator

from gelu_tui.cli import options as o
from gelu_tui.cli.progress import ProgressLine
from gelu_tui.client import EngineClient
from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.errors import ErrorInfo, GeluError

_CANCEL_GRACE_S = 5.0


class Conversation:
    """`hold` it once; afterwards the attributes are what the engine reported.

    `error` is what ended it early, if anything did, and `signal` the number of the signal that
    came. The first signal cancels what the engine does, if `worth_a_cancel` returns that there are
    results to wait for; the second one kills the engine.
    """

    def __init__(self, engine_command: str | None, worth_a_cancel: Callable[[], bool]) -> None:
        self._client = EngineClient(engine_command)
        self._progress = ProgressLine()
        self._worth_a_cancel = worth_a_cancel
        self.loaded: p.Loaded | None = None
        self.comparison: Comparison | None = None
        self.error: ErrorInfo | None = None
        self.signal: int | None = None

    @property
    def status(self) -> p.Status:
        """How it ended."""
        if self.signal is not None:
            return "cancelled"
        return "failed" if self.error is not None else "completed"

    @property
    def exit_code(self) -> int:
        """0 done, 1 failed, 128 + the signal's number where one ended it."""
        if self.signal is not None:
            return 128 + self.signal
        return o.FAILED if self.error is not None else o.DONE

    async def hold(self, take: Callable[[p.Event], object], *commands: p.Command) -> None:
        """Send all commands at once and pass every event to `take`, the handshake too."""
        with self._signals_taken():
            try:
                take(await self._client.start())
                if self.signal is not None:
                    return  # it came before there was an engine to kill
                async for event in self._client.ask(*commands):
                    self._apply(event)
                    take(event)
            except GeluError as error:
                if self.signal is None:
                    self.error = error.info
            finally:
                self._progress.clear()
                await self._client.close()

    def _apply(self, event: p.Event) -> None:
        match event:
            case p.Loaded():
                self.loaded = event
            case p.Started():
                self.comparison = Comparison.begin(event)
            case p.Failed() | p.Finished() | p.ScoreFinished():
                self.error = event.error
        if self.comparison is not None:
            self.comparison.apply(event)
        self._progress.show(event, self.comparison)

    # --- signals ----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _signals_taken(self) -> Iterator[None]:
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
