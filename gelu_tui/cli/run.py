"""`gelu-tui run`: the comparison without the app."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from gelu_tui.cli import options as o
from gelu_tui.cli.completers import runs
from gelu_tui.cli.conversation import Conversation
from gelu_tui.cli.output import Output, output_options
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.protocol.requests import compare_command
from gelu_tui.core.runs.document import ComparisonDocument, document
from gelu_tui.core.runs.going_on import has_more
from gelu_tui.core.runs.saved_run import SavedRun
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.core.settings.user_file import Settings, SettingsFile
from gelu_tui.core.text_files import PROMPT_LIMIT, decode_prompt

if TYPE_CHECKING:
    from gelu_tui.cli.earlier_run import EarlierRun

_PATIENCE_S = 30.0  # for a history that another program has locked: all else is done by then


@click.command("run", short_help="Compare without the app: text, JSON or events.")
@o.prompt_argument(required=False)
@click.option(
    "--continue",
    "earlier",
    metavar="ID",
    help="Without a PROMPT: let this saved run go on where it ended, with its own settings. A "
    "stopped run goes on to its limit, a finished one by as many tokens as a run has; "
    "--max-tokens names another limit. ID as for `show`.",
    shell_complete=runs,
)
@o.options_of(RunSettings)
@output_options(
    "Streams and a table; one JSON document; a report in Markdown; a page for a browser; a row "
    "for each token; or the engine's events as they come.",
    "jsonl",
)
@o.options_of(Settings, "save_runs")
@o.engine_options
@click.pass_obj
def run_command(
    file: SettingsFile,
    /,
    prompt: str | None,
    earlier: str | None,
    output_format: str | None,
    output: str | None,
    **options: Any,
) -> int:
    """Compare on PROMPT without the app; '-' reads it from stdin.

    On a terminal the reference's text and a line for each function are shown as they are made.
    """
    settings = o.in_force(file, options)
    before = None if earlier is None else _earlier_run(earlier, prompt, settings)
    commands = _commands(prompt, settings) if before is None else before.commands
    printed = Output(output_format, output, settings.color)
    o.warn_of_no_effect(settings)
    comparison = before.going_on.comparison if before is not None else None
    asked = comparison.settings.max_tokens if comparison is not None else settings.max_tokens
    engine = Conversation(settings.engine_command, earlier=comparison)
    saved = _saved_run(before) if settings.save_runs else None
    shown: tuple[str, ...] = ()
    if printed.is_text_on_a_terminal:
        from gelu_tui.cli.live import LiveRun

        with LiveRun(engine, settings.color) as live:
            engine.hold(_keeping(saved, engine, live.take, before), *commands)
        shown = live.shown
    else:
        show = printed.line if printed.format == "jsonl" else lambda _: None
        engine.hold(_keeping(saved, engine, show, before), *commands)
    whole = None
    if engine.comparison is not None and engine.loaded is not None:
        whole = _document(engine, engine.status, before)
    try:
        if whole is not None:
            _print(whole, printed, shown)
        for error in engine.errors:
            o.complain(error)
        room = engine.comparison.settings.max_tokens if engine.comparison else asked
        if room < asked:
            message = f"The context has room for {room} tokens after this prompt, not {asked}."
            o.complain(ErrorInfo("context", message))
    finally:
        if whole is not None and saved is not None:
            _save(saved, whole, before)
    return engine.exit_code


def _commands(prompt: str | None, settings: Settings) -> tuple[p.Command, ...]:
    """The commands that load the model and run the prompt. Raises `UsageError`."""
    if prompt is None:
        context = click.get_current_context()
        raise click.MissingParameter(ctx=context, param_hint="'PROMPT'", param_type="argument")
    command = compare_command(_read_prompt(prompt), settings.of_run())
    return p.Load(settings.model, settings.dtype), command


def _read_prompt(argument: str) -> str:
    """The prompt itself, or stdin for '-', without its last line feed. Raises `UsageError`."""
    if argument == "-":
        data = sys.stdin.buffer.read(PROMPT_LIMIT + 1) if sys.stdin else b""
        return decode_prompt(data, "The prompt on stdin")
    if any("\udc80" <= char <= "\udcff" for char in argument):
        try:
            # What the locale could not decode (LC_ALL=C) may still be valid UTF-8.
            return os.fsencode(argument).decode()
        except UnicodeError:
            pass
    return argument


def _print(whole: ComparisonDocument, printed: Output, shown: tuple[str, ...]) -> None:
    """Print all but the streams that were shown as they came."""
    if printed.format != "jsonl":
        from gelu_tui.core.reports.terminal import comparison_report

        printed.document(whole, lambda: comparison_report(whole, shown=shown))


def _earlier_run(run: str, prompt: str | None, settings: RunSettings) -> EarlierRun:
    # Most runs do not wait for what reads saved ones.
    from gelu_tui.cli.earlier_run import earlier_run

    return earlier_run(run, prompt, settings.max_tokens)


def _save(saved: SavedRun, whole: ComparisonDocument, before: EarlierRun | None) -> None:
    """Save what has new tokens; a failure is reported and does not fail the run."""
    if before is not None and not has_more(whole, before.document):
        return
    if any(variant.tokens for variant in whole.variants):
        problem = saved.save_here(whole)
        if problem is not None:
            o.complain(problem)


def _keeping(
    saved: SavedRun | None,
    engine: Conversation,
    show: Callable[[p.Event], object],
    before: EarlierRun | None,
) -> Callable[[p.Event], None]:
    """A function that shows an event, and now and then saves what there is of the run."""

    def take(event: p.Event) -> None:
        show(event)
        if saved is not None and isinstance(event, p.Step):
            saved.keep(lambda: _document(engine, "cancelled", before))

    return take


def _saved_run(before: EarlierRun | None) -> SavedRun:
    from gelu_tui.core.runs.history import History

    return SavedRun(History(patience_s=_PATIENCE_S), before.number if before is not None else None)


def _document(
    engine: Conversation, status: p.Status, before: EarlierRun | None
) -> ComparisonDocument:
    """The document of the engine's comparison, which has begun."""
    assert engine.comparison is not None and engine.loaded is not None
    whole = document(engine.comparison, engine.loaded, status=status, error=engine.error)
    return whole if before is None else before.followed_by(whole)
