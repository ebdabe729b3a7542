"""Fetching a model in an engine of its own, so that a comparison can go on meanwhile."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from gelu_tui.client import EngineClient, EngineCommand
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError


class Fetch:
    """One engine process that fetches one model, and ends with it."""

    def __init__(self, model: str, engine_command: EngineCommand = None) -> None:
        self.model = model
        self._client = EngineClient(engine_command)
        self._asked = False
        self._stopped = False

    async def events(self) -> AsyncIterator[p.Event]:
        """Progress, and at last one of `Fetched`, `Failed` and `Cancelled`. Raises nothing."""
        try:
            await self._client.start()
            if not self._stopped:
                self._asked = True
                async for event in self._client.ask(p.Fetch(self.model)):
                    yield event
                    if event.last:
                        return
            yield p.Cancelled("fetch")
        except GeluError as error:
            yield p.Cancelled("fetch") if self._stopped else p.Failed(error.info, "fetch")
        finally:
            await self._client.close()

    async def stop(self) -> None:
        """Ask the engine to stop; asked again, or before it listens, end it at once."""
        again, self._stopped = self._stopped, True
        if again or not self._asked:
            self.kill()
            return
        with contextlib.suppress(GeluError):  # its death is told by `events`
            await self._client.send(p.Cancel())

    def kill(self) -> None:
        """End the engine without waiting; what has arrived of the model is kept."""
        self._stopped = True
        self._client.kill()
