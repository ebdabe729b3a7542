"""Requests to an engine process of their own, so that a comparison can go on meanwhile."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from gelu_tui.client import EngineClient
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError


async def ask(command: p.AnyCommand, engine_command: str | None = None) -> p.AnyEvent:
    """Return the answer to a command from an engine that ends with it. Raises `GeluError`."""
    async with EngineClient(engine_command) as client:
        await client.send(command)
        answer = await anext(client.events())
    if isinstance(answer, p.Failed):
        raise GeluError(answer.error.kind, answer.error.message, answer.error.hint)
    return answer


class Fetch:
    """One engine process that fetches one model, and ends with it."""

    def __init__(self, model: str, engine_command: str | None = None) -> None:
        self.model = model
        self._client = EngineClient(engine_command)
        self._sent = False
        self._stopped = False

    async def events(self) -> AsyncIterator[p.AnyEvent]:
        """Progress, and at last one of `Fetched`, `Failed` and `Cancelled`. Raises nothing."""
        try:
            await self._client.start()
            if not self._stopped:
                await self._client.send(p.Fetch(self.model))
                self._sent = True
                async for event in self._client.events():
                    yield event
                    if isinstance(event, p.Fetched | p.Failed | p.Cancelled):
                        return
            yield p.Cancelled("fetch")
        except GeluError as error:
            yield p.Cancelled("fetch") if self._stopped else p.Failed(error.info, "fetch")
        finally:
            await self._client.close()

    async def stop(self) -> None:
        """Ask the engine to stop; asked again, or before it listens, end it at once."""
        again, self._stopped = self._stopped, True
        if again or not self._sent:
            self.kill()
            return
        with contextlib.suppress(GeluError):  # its death is told by `events`
            await self._client.send(p.Cancel())

    def kill(self) -> None:
        """End the engine without waiting; files that have arrived whole are kept."""
        self._stopped = True
        self._client.kill()
