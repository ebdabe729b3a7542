"""`gelu-tui models`: what is on the engine's machine, fetching what is not, deleting what is."""

from __future__ import annotations

import sys
from typing import TypeVar

import click

from gelu_tui.cli import completers
from gelu_tui.cli import options as o
from gelu_tui.cli.conversation import Conversation
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, UsageError
from gelu_tui.core.models.inventory import PUBLIC_IDS, HubSize
from gelu_tui.core.remote import machine_of
from gelu_tui.core.reports.progress import size
from gelu_tui.core.safe_text import visible_line

_Answer = TypeVar("_Answer", bound=p.Event)


@click.command("models", short_help="List Gemma models, fetch or delete one.")
@click.option(
    "--folder",
    "folders",
    multiple=True,
    metavar="DIR",
    type=click.Path(),
    shell_complete=completers.folders,
    help="Look here too: a model, or a folder of models. May be repeated.",
)
@click.option(
    "--fetch",
    metavar="ID",
    shell_complete=completers.models,
    help="Fetch a model from the hub, or make the demo ready. Ctrl-C stops; files that have "
    "arrived whole are kept, and the same command fetches those that are missing.",
)
@click.option(
    "--delete",
    metavar="ID",
    shell_complete=completers.cached,
    help="Delete a model from the hub's cache, or the converted demo. Asks first.",
)
@click.option("--yes", is_flag=True, help="Delete without a question.")
@o.text_or_json_option
@o.engine_options
def models_command(
    folders: tuple[str, ...],
    fetch: str | None,
    delete: str | None,
    yes: bool,
    output_format: str,
    color: str,
    engine_command: str | None,
) -> int:
    """List the Gemma models of the machine and some that can be fetched; fetch or delete one."""
    if fetch is not None and delete is not None:
        raise UsageError("--fetch and --delete do not go together.", "Give one of them.")
    as_json = output_format == "json"
    if fetch is not None:
        return _fetch(fetch, engine_command, as_json=as_json)
    if delete is not None:
        return _delete(delete, engine_command, as_json=as_json, yes=yes)
    return _list(folders, engine_command, color, as_json=as_json)


def _list(
    folders: tuple[str, ...], engine_command: str | None, color: str, *, as_json: bool
) -> int:
    """Print what is here at once, and what can be fetched when the hub has told its sizes.

    Where it cannot be asked, sizes that are about right are printed.
    """
    from gelu_tui.core.reports import models as reports

    found: p.ModelsFound | None = None
    sizes: tuple[HubSize, ...] = ()

    def take(event: p.Event) -> None:
        nonlocal found, sizes
        match event:
            case p.ModelsFound():
                found = event
                if not as_json:
                    o.print_report(reports.local_report(event, machine_of(engine_command)), color)
            case p.HubSizes():
                sizes = event.sizes

    engine = Conversation(engine_command, always_cancels=True)
    engine.hold(take, p.ListModels(folders), p.AskHub(PUBLIC_IDS))
    if found is None:
        raise _gave_no_answer(engine, "Stopped.")
    if as_json:
        o.print_json(reports.models_document(found, sizes), indent=2)
    else:
        o.print_report(reports.fetchable_report(found, sizes), color)
    return o.DONE if engine.signal is None else engine.exit_code


def _fetch(model: str, engine_command: str | None, *, as_json: bool) -> int:
    message = "Stopped: files that have arrived whole are kept."
    hint = "The same command fetches those that are missing."
    if model == "demo":
        message, hint = "Stopped.", "The demo is converted from the start next time."
    fetched = _answer(p.Fetched, p.Fetch(model), engine_command, message, hint)
    facts = {"model": fetched.model, "folder": fetched.folder}
    if as_json:
        o.print_json({"schema": "gelu-tui.fetched/1", **facts}, indent=2)
    else:
        click.echo(visible_line(fetched.folder))
    return o.DONE


def _delete(model: str, engine_command: str | None, *, as_json: bool, yes: bool) -> int:
    if not yes:
        planned = _answer(p.ModelDeleted, p.DeleteModel(model, dry_run=True), engine_command)
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            hint = "Add --yes where nobody can answer."
            raise UsageError("Deleting a model has to be confirmed.", hint)
        takes = size(planned.freed_bytes)
        machine = machine_of(engine_command)
        question = f"Delete {visible_line(model)} from {machine}? It takes {takes}."
        if not click.confirm(question, err=True):
            return o.FAILED
    deleted = _answer(p.ModelDeleted, p.DeleteModel(model), engine_command)
    folder, freed = deleted.folder, deleted.freed_bytes
    if as_json:
        facts = {"model": deleted.model, "folder": folder, "freed_bytes": freed}
        o.print_json({"schema": "gelu-tui.deleted/1", **facts}, indent=2)
    else:
        click.echo(f"Deleted {visible_line(folder)}: {size(freed)} freed.")
    return o.DONE


def _answer(
    kind: type[_Answer],
    command: p.Command,
    engine_command: str | None,
    stopped: str = "Stopped.",
    hint: str = "",
) -> _Answer:
    """Return an engine's answer; without one, print the reason and exit."""
    engine = Conversation(engine_command, always_cancels=True)
    if (answer := engine.answer(kind, command)) is not None:
        return answer
    raise _gave_no_answer(engine, stopped, hint)


def _gave_no_answer(engine: Conversation, stopped: str, hint: str = "") -> click.exceptions.Exit:
    """Print why, and return how to exit."""
    if engine.signal is not None:
        o.complain(ErrorInfo("cancelled", stopped, hint))
    else:
        o.complain(engine.error or ErrorInfo("engine_died", "The engine ended without an answer."))
    return click.exceptions.Exit(engine.exit_code or o.FAILED)
