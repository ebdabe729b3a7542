"""An engine of the lab's own, that computes functions: without a model, beside whatever runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gelu_tui.client import EngineClient, EngineCommand, EngineDied
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError


class FunctionSource:
    """Started by the first question; `close` ends it."""

    def __init__(self, engine_command: EngineCommand) -> None:
        self._engine_command = engine_command
        self._client: EngineClient | None = None
        self._turn = asyncio.Lock()

    async def ask(
        self,
        command: p.FunctionValues,
        on_progress: Callable[[p.Progress], None] = lambda _: None,
    ) -> p.FunctionValuesFound:
        """Return the engine's answer. Raises `GeluError`; the next question starts another one."""
        async with self._turn:
            if self._client is None:
                client = EngineClient(self._engine_command)
                await client.start()
                self._client = client
            try:
                async for event in self._client.ask(command):
                    match event:
                        case p.FunctionValuesFound():
                            return event
                        case p.Progress():
                            on_progress(event)
                        case p.Failed(error):
                            raise GeluError(error.kind, error.message, error.hint)
            except EngineDied:
                await self._end()
                raise
            raise EngineDied("The engine ended without an answer.")

    async def close(self) -> None:
        """End the engine, if there is one. Raises nothing."""
        await self._end()

    async def _end(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()
