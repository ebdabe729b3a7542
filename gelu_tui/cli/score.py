"""`gelu-tui score`: teacher-forced statistics over a text, or over a saved run's own stream."""

from __future__ import annotations

import sys
from typing import Any

import click
from msgspec.structs import replace

from gelu_tui.cli import options as o
from gelu_tui.cli.completers import files, runs
from gelu_tui.cli.conversation import Conversation
from gelu_tui.cli.output import Output, output_options
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import UsageError
from gelu_tui.core.protocol.requests import score_command as checked_command
from gelu_tui.core.reports.export import SCORE_FORMATS
from gelu_tui.core.scoring.document import ScoreSource
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.core.settings.user_file import SettingsFile
from gelu_tui.core.text_files import TEXT_LIMIT, decode_text, read_text_file


@click.command("score", short_help="Teacher-forced statistics over a text.")
@click.option(
    "--text",
    "texts",
    metavar="FILE",
    multiple=True,
    shell_complete=files,
    help="The text; '-' reads it from stdin. Given several times, each is a document.",
)
@click.option(
    "--run",
    metavar="ID",
    shell_complete=runs,
    help="Instead of a text: a saved run's prompt and the text that its reference generated. "
    "`last`, or a file that `run --format json` wrote; model and functions are the run's unless "
    "given.",
)
@o.options_of(RunSettings, "model", "activations", "reference", "activation_precision", "dtype")
@click.option(
    "--control/--no-control",
    "control_added",  # not the setting: on here, whatever the settings say for comparisons
    default=True,
    show_default=True,
    help="Add a function that differs from the reference in the order of operations only: the "
    "noise floor.",
)
@click.option(
    "--context",
    cls=o.SettingOption,
    unset="512, or the model's context if smaller",
    type=int,
    metavar="N",
    help="Tokens of a window, BOS included.",
)
@output_options("Tables, one JSON document, or a page for a browser.", formats=SCORE_FORMATS)
@o.engine_options
@click.pass_obj
def score_command(
    file: SettingsFile,
    /,
    texts: tuple[str, ...],
    run: str | None,
    control_added: bool,
    context: int | None,
    output_format: str | None,
    output: str | None,
    **options: Any,
) -> int:
    """Feed one text to all functions and compare their predictions of every token.

    The text is cut into windows, and each begins with BOS; every token that has another one before
    it in its window is scored.
    """
    settings = o.in_force(file, {**options, "control": control_added})
    printed = Output(output_format, output, settings.color, SCORE_FORMATS)
    if texts and run is None:
        command = checked_command(settings.of_run(), texts=[*map(_read, texts)], context=context)
        names = ["stdin" if text == "-" else text for text in texts]
        source = ScoreSource("text", ", ".join(names))
    elif run is not None and not texts:
        command = _of_run(run, settings.of_run(), context)
        source = ScoreSource("run", run)
    else:
        raise UsageError(
            "Either --text or --run is needed, not both.", "See `gelu-tui score --help`."
        )
    from gelu_tui.core.reports.score import score_report
    from gelu_tui.core.scoring.statistics import Gathering  # numpy, which no completion waits for

    engine = Conversation(settings.engine_command)
    gathering = Gathering()
    model = p.Load(command.settings.model, command.settings.dtype)
    engine.hold(gathering.take, model, command)
    scoring = gathering.scoring
    if scoring is not None and engine.loaded is not None:
        document = scoring.document(engine.loaded, source, status=engine.status, error=engine.error)
        printed.document(document, lambda: score_report(document))
    for error in engine.errors:
        o.complain(error)
    return engine.exit_code


def _read(name: str) -> str:
    if name != "-":
        return read_text_file(name)
    data = sys.stdin.buffer.read(TEXT_LIMIT + 1) if sys.stdin else b""
    return decode_text(data, "The text on stdin")


def _of_run(run: str, settings: RunSettings, context: int | None) -> p.Score:
    """Score a run's prompt and its reference's tokens; settings not typed are the run's."""
    from gelu_tui.cli.history import saved_run

    document = saved_run(run)
    for names in (("model", "dtype"), ("activations", "reference"), ("activation_precision",)):
        if not o.was_given(names[0]):
            own = {x: getattr(document.settings, x) for x in names if not o.was_given(x)}
            settings = replace(settings, **own)
    tokens = (*document.prompt_tokens, *document.reference_variant.tokens)
    return checked_command(settings, tokens=tokens, context=context)
