"""`gelu-tui models`: what is on this machine, and fetching what is not."""

from __future__ import annotations

import asyncio

import click

from gelu_tui.cli import options as o
from gelu_tui.cli.conversation import Conversation
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo
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
    conversation = Conversation(engine_command)
    fetched: list[p.Fetched] = []

    def take(event: p.AnyEvent) -> bool:
        if isinstance(event, p.Fetched):
            fetched.append(event)
        return bool(fetched)

    asyncio.run(conversation.hold(take, p.Fetch(model)))
    if fetched:
        model, folder = fetched[0].model, fetched[0].folder
        if output_format == "json":
            o.print_json(
                {"schema": "gelu-tui.fetched/1", "model": model, "folder": folder}, indent=2
            )
        else:
            click.echo(visible_line(folder))
        return o.DONE
    if conversation.signal is not None:
        o.complain(_stopped(model))
        return 128 + conversation.signal
    o.complain(conversation.error or ErrorInfo("engine_died", "The engine ended without a word."))
    return o.FAILED


def _stopped(model: str) -> ErrorInfo:
    if model == "demo":
        return ErrorInfo("cancelled", "Stopped.", "The demo is converted anew next time.")
    return ErrorInfo(
        "cancelled",
        "Stopped: files that have arrived whole are kept.",
        "The same command fetches those that are missing.",
    )
