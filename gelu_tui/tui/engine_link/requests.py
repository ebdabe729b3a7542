"""Requests to an engine process of their own, so that a comparison can go on meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TypeVar

from gelu_tui.client import EngineClient, EngineCommand, EngineDied
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError

_Answer = TypeVar("_Answer", bound=p.Event)

_CANCEL_GRACE_S = 2.0


async def ask(
    command: p.Command,
    kind: type[_Answer],
    engine_command: EngineCommand = None,
    on_progress: Callable[[p.Progress], None] = lambda _: None,
) -> _Answer:
    """Return an engine's answer to a command; the engine ends with it, and if this is cancelled.

    Raises `GeluError` if the command or the engine fails.
    """
    async with EngineClient(engine_command) as client:
        try:
            async for event in client.ask(command):
                match event:
                    case p.Progress():
                        on_progress(event)
                    case p.Failed(error):
                        raise GeluError(error.kind, error.message, error.hint)
                    case _ if isinstance(event, kind):
                        return event
                    case _:
                        pass
        except asyncio.CancelledError:
            await _cancel(client)
            raise
    raise EngineDied("The engine ended without an answer.")


async def _cancel(client: EngineClient) -> None:
    """Let the engine tidy up before it ends: a fetch removes files that are not whole."""
    with contextlib.suppress(GeluError, TimeoutError):
        async with asyncio.timeout(_CANCEL_GRACE_S):
            await client.send(p.Cancel())
            async for event in client.events():
                if not isinstance(event, p.Progress):
                    return
