"""`gelu-tui score`: teacher-forced statistics over a text, or over a saved run's own stream."""

from __future__ import annotations

from typing import Any

import click
from msgspec.structs import replace

from gelu_tui.cli import options as o
from gelu_tui.cli.conversation import Conversation
from gelu_tui.cli.output import Output, output_options
from gelu_tui.cli.text_source import command_of, text_options
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import UsageError
from gelu_tui.core.protocol.gathering import Gathering
from gelu_tui.core.reports.export import SCORE_FORMATS
from gelu_tui.core.scoring.document import ScoreSource
from gelu_tui.core.settings.run_settings import RunSettings, with_functions_of
from gelu_tui.core.settings.user_file import Settings, SettingsFile
from gelu_tui.core.settings.yardsticks import WithYardsticks, YardstickName


@click.command("score", short_help="Teacher-forced statistics over a text.")
@text_options
@o.options_of(RunSettings, "model", "activations", "reference", "activation_precision", "dtype")
@click.option(
    "--control/--no-control",
    "control_added",  # not the setting: on here, whatever the settings say for comparisons
    default=True,
    show_default=True,
    help="Add a function that differs from the reference in the order of operations only: the "
    "noise floor.",
)
@o.options_of(WithYardsticks, "yardsticks")
@click.option(
    "--tokens",
    is_flag=True,
    help="Add every token with its numbers to the JSON document; a page and CSV have them always.",
)
@click.option(
    "--app",
    "in_app",
    is_flag=True,
    help="Open the app with it: the text in colour, while it is scored.",
)
@output_options(
    "Tables, one JSON document, a page for a browser, or a row for each token and function.",
    formats=SCORE_FORMATS,
)
@o.engine_options
@click.pass_obj
def score_command(
    file: SettingsFile,
    /,
    texts: tuple[str, ...],
    run: str | None,
    control_added: bool,
    yardsticks: tuple[YardstickName, ...],
    context: int | None,
    tokens: bool,
    in_app: bool,
    output_format: str | None,
    output: str | None,
    **options: Any,
) -> int:
    """Feed one text to all functions and compare their predictions of every token.

    The text is cut into windows, and each begins with BOS; every token that has another one before
    it in its window is scored.
    """
    settings = o.in_force(file, {**options, "control": control_added})
    if in_app and (output_format or output):
        raise UsageError("--app shows it on the screen.", "Leave out --format and --output.")
    printed = Output(output_format, output, settings.color, SCORE_FORMATS)
    command, source = command_of(
        p.Score, settings.of_run(), texts, run, context, yardsticks=yardsticks
    )
    if in_app:
        return _in_app(command, source, settings, file)
    from gelu_tui.core.reports.score import score_report
    from gelu_tui.core.scoring.statistics import Scoring  # numpy, which no completion waits for

    engine = Conversation(settings.engine_command)
    gathering = Gathering(p.ScoreStarted, Scoring)
    model = p.Load(command.settings.model, command.settings.dtype)
    engine.hold(gathering.take, model, command)
    scoring = gathering.state
    if scoring is not None and engine.loaded is not None:
        with_tokens = tokens or printed.format in ("html", "csv")
        document = scoring.document(
            engine.loaded,
            source,
            status=engine.status,
            error=engine.error,
            activations=command.settings.activations if with_tokens else (),
        )
        printed.document(document, lambda: score_report(document))
    for error in engine.errors:
        o.complain(error)
    return engine.exit_code


def _in_app(command: p.Score, source: ScoreSource, settings: Settings, file: SettingsFile) -> int:
    from gelu_tui.cli.app import open_app
    from gelu_tui.tui.lab.text_scoring import ShownText

    of_comparisons = replace(settings, control=False)
    settings = with_functions_of(of_comparisons, command.settings)
    return open_app(None, settings, file, text=ShownText(command, source))
