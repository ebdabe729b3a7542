"""One engine that gets some commands and answers, with progress on stderr and signals obeyed."""

from __future__ import annotations

from collections.abc import Callable

from gelu_tui.cli.interruption import Interruption
from gelu_tui.cli.progress import ProgressLine
from gelu_tui.client import EngineClient
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, GeluError


class Conversation:
    """`hold` it once; afterwards `signal` and `error` say what ended it early, if anything did."""

    def __init__(
        self, engine_command: str | None, worth_a_cancel: Callable[[], bool] = lambda: True
    ) -> None:
        self._client = EngineClient(engine_command)
        self._progress = ProgressLine()
        self._interruption = Interruption(self._client, worth_a_cancel)
        self.error: ErrorInfo | None = None

    @property
    def signal(self) -> int | None:
        """The signal that came, if one did."""
        return self._interruption.signal

    async def hold(self, take: Callable[[p.AnyEvent], bool], *commands: p.AnyCommand) -> None:
        """Send the commands and hand on every event until `take` returns that it was the last."""
        with self._interruption.watched():
            try:
                await self._client.start()
                if self.signal is None:  # else it came before there was an engine to kill
                    for command in commands:
                        await self._client.send(command)
                    await self._follow(take)
            except GeluError as error:
                if self.signal is None:
                    self.error = error.info
            finally:
                self._progress.clear()
                await self._client.close()

    async def _follow(self, take: Callable[[p.AnyEvent], bool]) -> None:
        async for event in self._client.events():
            match event:
                case p.Failed():
                    self.error = event.error
                    return
                case p.Cancelled():
                    return
            self._progress.show(event, None)
            if take(event):
                return
