"""`gelu-tui models`: what is on this machine, and fetching what is not."""

from __future__ import annotations

import asyncio

import click

from gelu_tui.cli import options as o
from gelu_tui.cli.interruption import Interruption
from gelu_tui.cli.progress import ProgressLine
from gelu_tui.client import EngineClient
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.safe_text import visible_line


def print_models(folders: tuple[str, ...], output_format: str, color: str) -> None:
    """Print the models of this machine, then those that can be fetched."""
    from gelu_tui.core.memory import machine_memory
    from gelu_tui.core.models import find_models
    from gelu_tui.core.models_report import models_document, models_report

    found, memory = find_models(folders), machine_memory()
    if output_format == "json":
        o.print_json(models_document(found, memory), indent=2)
        return
    from gelu_tui.cli.console import print_report

    print_report(models_report(found, memory), color)


def fetch_model(model: str, output_format: str, engine_command: str | None) -> int:
    """Fetch a model and print its folder; returns the exit code."""
    fetch = _Fetch(model, engine_command)
    asyncio.run(fetch.run())
    if fetch.fetched is not None:
        if output_format == "json":
            model, folder = fetch.fetched.model, fetch.fetched.folder
            o.print_json(
                {"schema": "gelu-tui.fetched/1", "model": model, "folder": folder}, indent=2
            )
        else:
            click.echo(visible_line(fetch.fetched.folder))
        return o.DONE
    if fetch.signal is not None:
        o.complain(_stopped(model))
        return 128 + fetch.signal
    o.complain(fetch.error or ErrorInfo("engine_died", "The engine ended without a word."))
    return o.FAILED


def _stopped(model: str) -> ErrorInfo:
    if model == "demo":
        return ErrorInfo("cancelled", "Stopped.", "The demo is converted anew next time.")
    return ErrorInfo(
        "cancelled",
        "Stopped: what has arrived is kept.",
        "The same command goes on from there.",
    )


class _Fetch:
    """One engine that fetches one model; the first signal cancels, the second kills."""

    def __init__(self, model: str, engine_command: str | None) -> None:
        self._model = model
        self._client = EngineClient(engine_command)
        self._progress = ProgressLine()
        self.fetched: p.Fetched | None = None
        self.error: ErrorInfo | None = None
        self._interruption = Interruption(self._client)

    @property
    def signal(self) -> int | None:
        """The signal that ended it early, if one did."""
        return self._interruption.signal

    async def run(self) -> None:
        """From start to the last event; afterwards the attributes say how it ended."""
        with self._interruption.watched():
            try:
                await self._client.start()
                if self.signal is None:
                    await self._client.send(p.Fetch(self._model))
                    await self._follow()
            except GeluError as error:
                self.error = error.info
            finally:
                self._progress.clear()
                await self._client.close()

    async def _follow(self) -> None:
        async for event in self._client.events():
            match event:
                case p.Fetched():
                    self.fetched = event
                    return
                case p.Failed():
                    self.error = event.error
                    return
                case p.Cancelled():
                    return
                case _:
                    self._progress.show(event, None)
