"""One engine that answers some commands, with progress on stderr and signals obeyed."""

from __future__ import annotations

from collections.abc import Callable

from gelu_tui.cli import options as o
from gelu_tui.cli.interruption import Interruption
from gelu_tui.cli.progress import ProgressLine
from gelu_tui.client import EngineClient
from gelu_tui.core import protocol as p
from gelu_tui.core.comparison import Comparison
from gelu_tui.core.errors import ErrorInfo, GeluError


class Conversation:
    """`hold` it once; afterwards the attributes are what the engine reported.

    `error` is what ended it early, if anything did, and `signal` the signal that came. Until
    `worth_a_cancel` returns True there are no results, and a signal ends the engine at once.
    """

    def __init__(self, engine_command: str | None, worth_a_cancel: Callable[[], bool]) -> None:
        self._client = EngineClient(engine_command)
        self._progress = ProgressLine()
        self._interruption = Interruption(self._client, worth_a_cancel)
        self.loaded: p.Loaded | None = None
        self.comparison: Comparison | None = None
        self.error: ErrorInfo | None = None

    @property
    def signal(self) -> int | None:
        """The signal that came, if one did."""
        return self._interruption.signal

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
        with self._interruption.watched():
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
