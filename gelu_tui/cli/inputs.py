"""`gelu-tui inputs`: what a model gives to its activation, and the functions' errors on it."""

from __future__ import annotations

from typing import Any

import click

from gelu_tui.cli import options as o
from gelu_tui.cli.conversation import Conversation
from gelu_tui.cli.output import Output, output_options
from gelu_tui.cli.text_source import command_of, text_options
from gelu_tui.core import protocol as p
from gelu_tui.core.lab.inputs import ReadInputs
from gelu_tui.core.protocol.gathering import Gathering
from gelu_tui.core.reports.export import INPUTS_FORMATS
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.core.settings.user_file import SettingsFile


@click.command("inputs", short_help="The inputs of a model's activation, and the errors on them.")
@text_options
@click.option(
    "--causal",
    is_flag=True,
    help="Also put each function into the reference's place for the inputs of one bin alone, and "
    "measure the KL of each bin: a dozen forward passes for each function.",
)
@o.options_of(RunSettings, "model", "activations", "reference", "activation_precision", "dtype")
@output_options("Tables, a document, or a page for a browser.", formats=INPUTS_FORMATS)
@o.engine_options
@click.pass_obj
def inputs_command(
    file: SettingsFile,
    /,
    texts: tuple[str, ...],
    run: str | None,
    context: int | None,
    causal: bool,
    output_format: str | None,
    output: str | None,
    **options: Any,
) -> int:
    """Read a text, and count what each layer of the model gives to its activation.

    The model computes with the reference if one is named, else with its own function. The functions
    are held against exact GELU on these inputs: in all layers and in each, by ranges of x, and with
    what their results are multiplied with.
    """
    settings = o.in_force(file, {**options, "control": False})
    printed = Output(output_format, output, settings.color, INPUTS_FORMATS)
    command, source = command_of(
        p.GateInputs, settings.of_run(), texts, run, context, causal=causal
    )
    from gelu_tui.core.reports.inputs import inputs_report

    engine = Conversation(settings.engine_command)
    gathering = Gathering(p.InputsStarted, ReadInputs)
    model = p.Load(command.settings.model, command.settings.dtype)
    engine.hold(gathering.take, model, command)
    read = gathering.state
    if read is not None and engine.loaded is not None:
        document = read.document(
            engine.loaded, source, causal=causal, status=engine.status, error=engine.error
        )
        printed.document(document, lambda: inputs_report(document))
    for error in engine.errors:
        o.complain(error)
    return engine.exit_code
