"""`gelu-tui history`, `show` and `open`: saved runs and sweeps, without a model."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import asdict, replace

from gelu_tui.cli import options as o
from gelu_tui.cli.completers import runs, saved
from gelu_tui.cli.output import Output, output_options
from gelu_tui.cli.sweep import with_settings_of
from gelu_tui.core.comparison.standing import STATUS
from gelu_tui.core.errors import UsageError
from gelu_tui.core.reports.export import FORMATS, SCORE_FORMATS, Formats
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.runs.find_run import is_in_history, read_file
from gelu_tui.core.runs.history import History, local_time, run_number
from gelu_tui.core.runs.restore import read_document
from gelu_tui.core.safe_text import visible, visible_line
from gelu_tui.core.scoring.document import ScoreDocument, read_score
from gelu_tui.core.settings.user_file import SettingsFile
from gelu_tui.sweep.saved_sweeps import delete_sweep, find_in_sweeps, find_saved, list_sweeps
from gelu_tui.sweep.store import SweepStore

if TYPE_CHECKING:
    from rich.console import RenderableType


@click.command("history", short_help="List the saved runs and sweeps, or delete one.")
@click.option("--search", default="", metavar="WORDS", help="Only those that hold all of them.")
@o.number_option("--limit", 1, None, 20, "List at most N of each, the newest first.", metavar="N")
@click.option(
    "--delete",
    metavar="ID",
    help="Delete this run or sweep, and list nothing.",
    shell_complete=saved,
)
@o.text_or_json_option
@o.color_option
def history_command(
    search: str, limit: int, delete: str | None, output_format: str, color: str
) -> None:
    """List the saved runs, and below them the sweeps.

    Of a run: prompt, model, functions, first divergent tokens; of a sweep: how much is finished.
    """
    if delete is not None:
        _delete(delete)
        return
    with user_history() as history:
        entries = history.entries(search, limit + 1)
    sweeps = [sweep for sweep in list_sweeps() if sweep.holds(search)]
    found, more = entries[:limit], max(len(entries), len(sweeps)) > limit
    if output_format == "json":
        document = {"schema": "gelu-tui.history/1", "runs": found, "sweeps": sweeps[:limit]}
        o.print_json(document, indent=2)
    elif found or sweeps:
        from rich.console import Group
        from rich.text import Text

        from gelu_tui.core.reports.history_table import HistoryTable
        from gelu_tui.sweep.report.sweeps_table import SweepsTable

        parts: list[RenderableType] = [HistoryTable(found)] if found else []
        parts += [Text()] if found and sweeps else []
        parts += [SweepsTable(sweeps[:limit])] if sweeps else []
        o.print_report(Group(*parts), color)
        if more:
            click.echo(f"These are the newest {limit}; --limit lists more.", err=True)
    else:
        none = f"No saved run holds all of: {visible_line(search)}" if search else "No runs yet."
        click.echo(none, err=True)


def _delete(name: str) -> None:
    if not name.isdecimal():
        click.echo(f"The sweep {visible_line(delete_sweep(name))} is deleted.", err=True)
        return
    with user_history() as history:
        history.delete(run_number(name))
    click.echo(f"Run {name} is deleted.", err=True)


@click.command("show", short_help="Print a saved run, or the report of a sweep.")
@click.argument("run", metavar="ID", shell_complete=runs)
@output_options(
    "As `run` or `sweep` prints it; its JSON document; a report; a page; or rows.", "parquet"
)
@o.color_option
def show_command(run: str, output_format: str | None, output: str | None, color: str) -> None:
    """Print a saved run or the report of a sweep.

    ID may be `last`, or a file that `run` or `score --format json` wrote. ID/NUMBER is a run of a
    sweep, with several models ID/MODEL/NUMBER; their numbers are from 0.
    """
    where = (output_format, output, color)
    if isinstance(found := find_in_sweeps(run), SweepStore):
        _show_sweep(found, *where)
        return
    document = _run_or_score(run)
    is_score = isinstance(document, ScoreDocument)
    formats: Formats[Any] = SCORE_FORMATS if is_score else FORMATS
    if output_format not in (None, "text", *formats):
        message = f"A {'scoring' if is_score else 'run'} has no format {output_format}."
        raise UsageError(message, f"Give text or {' or '.join(formats)}.")
    printed = Output(*where, formats)
    printed.document(document, lambda: _report(document))
    if printed.format == "text" and document.error is not None:
        o.complain(document.error)


def _show_sweep(
    store: SweepStore, output_format: str | None, output: str | None, color: str
) -> None:
    from gelu_tui.sweep.report.formats import SWEEP_FORMATS
    from gelu_tui.sweep.report.rows import SweepData
    from gelu_tui.sweep.report.text import sweep_report
    from gelu_tui.sweep.stored_document import stored_document

    printed = Output(output_format, output, color, SWEEP_FORMATS)
    document = stored_document(store)
    printed.document(SweepData(document, store), lambda: sweep_report(document))
    if (notice := store.pop_notice()) is not None:
        o.complain(notice)


def _run_or_score(run: str) -> ComparisonDocument | ScoreDocument:
    if is_in_history(run) or find_in_sweeps(run) is not None:
        return saved_run(run)
    data = read_file(Path(run))
    return read_score(data) or read_document(data)


def _report(document: ComparisonDocument | ScoreDocument) -> RenderableType:
    """The report of `score`, or the prompt, when it was run, and the report of `run`."""
    if isinstance(document, ScoreDocument):
        from gelu_tui.core.reports.score import score_report

        return score_report(document)
    from rich.console import Group
    from rich.text import Text

    from gelu_tui.core.reports.terminal import comparison_report

    heading = Text(visible(document.prompt), style="bold")
    when = Text(f"{local_time(document.created)} · {STATUS[document.status]}", style="dim")
    return Group(heading, when, Text(), comparison_report(document))


@click.command("open", short_help="Open a saved run or sweep in the app.")
@click.argument("run", metavar="FILE.json|ID", shell_complete=runs)
@o.app_options
@click.pass_obj
def open_command(file: SettingsFile, /, run: str, **options: Any) -> int:
    """Open a saved run, a sweep or a scoring in the app, without loading its model.

    ID may be `last`; a scoring is a file that `score --tokens --format json` wrote.
    ID/NUMBER is a run of a sweep, with several models ID/MODEL/NUMBER.
    """
    from gelu_tui.cli.app import open_app

    settings = o.in_force(file, options)
    if isinstance(found := find_in_sweeps(run), SweepStore):
        settings = with_settings_of(found.header.settings, settings)
        return open_app(None, settings, file, sweep=found)
    is_file = found is None and not is_in_history(run)
    if is_file and (scored := read_score(read_file(Path(run)))) is not None:
        from gelu_tui.tui.lab.text_scoring import ShownText

        return open_app(None, settings, file, text=ShownText.of(scored))
    number, document = numbered_run(run)
    settings = replace(settings, **asdict(document.settings))
    return open_app(None, settings, file, document, number)


@contextlib.contextmanager
def user_history() -> Iterator[History]:
    """Yield the user's history, and report a problem of its file."""
    history = History()
    try:
        yield history
    finally:
        if (notice := history.pop_notice()) is not None:
            o.complain(notice)


def saved_run(run: str) -> ComparisonDocument:
    """Return a saved run, also one of a sweep, by its id, `last`, or its file's name.

    Raises `GeluError`.
    """
    return numbered_run(run)[1]


def numbered_run(run: str) -> tuple[int | None, ComparisonDocument]:
    """Return the same with its id, which is None unless it is in the history.

    Raises `GeluError`.
    """
    return find_saved(run, user_history)
