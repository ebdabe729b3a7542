"""`gelu-tui models`: what is on the engine's machine, fetching what is not, deleting what is."""

from __future__ import annotations

import asyncio
import sys
from typing import TypeVar

import click

from gelu_tui.cli import options as o
from gelu_tui.cli.conversation import Conversation
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, UsageError
from gelu_tui.core.reports.progress import size
from gelu_tui.core.safe_text import visible_line

_Answer = TypeVar("_Answer", bound=p.Event)


def print_models(
    folders: tuple[str, ...], output_format: str, color: str, engine_command: str | None
) -> int:
    """Print the models that are there, then those that can be fetched; returns the exit code."""
    found = _answer(p.ModelsFound, p.ListModels(folders), engine_command)
    if isinstance(found, int):
        return found
    from gelu_tui.core.reports.models import models_document, models_report

    if output_format == "json":
        o.print_json(models_document(found), indent=2)
        return o.DONE
    from gelu_tui.cli.console import print_report

    print_report(models_report(found), color)
    return o.DONE


def fetch_model(model: str, output_format: str, engine_command: str | None) -> int:
    """Fetch a model and print its folder; returns the exit code."""
    fetched = _answer(p.Fetched, p.Fetch(model), engine_command, _stopped(model))
    if isinstance(fetched, int):
        return fetched
    model, folder = fetched.model, fetched.folder
    if output_format == "json":
        o.print_json({"schema": "gelu-tui.fetched/1", "model": model, "folder": folder}, indent=2)
    else:
        click.echo(visible_line(folder))
    return o.DONE


def delete_model(model: str, output_format: str, engine_command: str | None, *, yes: bool) -> int:
    """Delete a model once that is confirmed, and print what is freed; returns the exit code."""
    if not yes and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "Deleting a model has to be confirmed.", "Add --yes where nobody can answer."
        )
    planned = _answer(p.ModelDeleted, p.DeleteModel(model, dry_run=True), engine_command)
    if isinstance(planned, int):
        return planned
    question = (
        f"Delete {visible_line(model)} from this machine? It takes {size(planned.freed_bytes)}."
    )
    if not yes and not click.confirm(question, err=True):
        return o.FAILED
    deleted = _answer(p.ModelDeleted, p.DeleteModel(model), engine_command)
    if isinstance(deleted, int):
        return deleted
    if output_format == "json":
        facts = {
            "model": deleted.model,
            "folder": deleted.folder,
            "freed_bytes": deleted.freed_bytes,
        }
        o.print_json({"schema": "gelu-tui.deleted/1", **facts}, indent=2)
    else:
        click.echo(f"Deleted {visible_line(deleted.folder)}: {size(deleted.freed_bytes)} freed.")
    return o.DONE


def _answer(
    kind: type[_Answer],
    command: p.Command,
    engine_command: str | None,
    stopped: ErrorInfo = ErrorInfo("cancelled", "Stopped."),  # noqa: B008
) -> _Answer | int:
    """What an engine answers; the exit code if it does not, and then the reason is printed."""
    engine = Conversation(engine_command, lambda: True)
    answers: list[_Answer] = []

    def take(event: p.Event) -> None:
        if isinstance(event, kind):
            answers.append(event)

    asyncio.run(engine.hold(take, command))
    if answers:
        return answers[0]
    if engine.signal is not None:
        o.complain(stopped)
        return engine.exit_code
    o.complain(engine.error or ErrorInfo("engine_died", "The engine ended without an answer."))
    return o.FAILED


def _stopped(model: str) -> ErrorInfo:
    if model == "demo":
        return ErrorInfo("cancelled", "Stopped.", "The demo is converted anew next time.")
    return ErrorInfo(
        "cancelled",
        "Stopped: files that have arrived whole are kept.",
        "The same command fetches those that are missing.",
    )
