"""`gelu-tui layers`: which layer does it, over a text or over a saved run's own stream."""

from __future__ import annotations

from typing import Any

import click
from msgspec.structs import replace

from gelu_tui.cli import options as o
from gelu_tui.cli.conversation import Conversation
from gelu_tui.cli.output import Output, output_options
from gelu_tui.cli.text_source import command_of, text_options
from gelu_tui.core import protocol as p
from gelu_tui.core.protocol.gathering import Gathering
from gelu_tui.core.reports.export import LAYERS_FORMATS
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.core.settings.user_file import SettingsFile


@click.command("layers", short_help="Which layer does it, over a text.")
@text_options
@o.options_of(
    RunSettings,
    "model", "activations", "reference", "max_tokens", "activation_precision", "dtype",
)  # fmt: skip
@click.option(
    "--free-running",
    is_flag=True,
    help="Also generate greedily with each single swap, after the run's prompt or the text's last "
    "window: where does it diverge, within --max-tokens?",
)
@click.option(
    "--restart",
    is_flag=True,
    help="Begin anew, where an earlier time was interrupted and its figures are kept.",
)
@output_options("Tables, or one document.", formats=LAYERS_FORMATS)
@o.engine_options
@click.pass_obj
def layers_command(
    file: SettingsFile,
    /,
    texts: tuple[str, ...],
    run: str | None,
    context: int | None,
    free_running: bool,
    restart: bool,
    output_format: str | None,
    output: str | None,
    **options: Any,
) -> int:
    """Swap the activation function in one layer at a time, and measure what it does to a text.

    Every function of -a is compared with the reference: the named one, else the model's own; it
    need not be among them. Two figures for each layer: only that layer has the function, and all
    others have it. Interrupted, it prints what there is, and the same command goes on from there:
    until it is complete, the figures are kept in the data folder, below `layers`.
    """
    from gelu_tui.core.lab.layers import LayersState, with_reference
    from gelu_tui.core.reports.layers import layers_report

    settings = o.in_force(file, options)
    printed = Output(output_format, output, settings.color, LAYERS_FORMATS)
    chosen = replace(settings.of_run(), control=False)
    command, source = command_of(
        p.Layers,
        chosen,
        texts,
        run,
        context,
        with_reference,
        free_running=free_running,
        restart=restart,
    )
    if run is not None and free_running:
        from gelu_tui.cli.history import saved_run

        command = replace(command, prompt=len(saved_run(run).prompt_tokens))
    engine = Conversation(settings.engine_command)
    gathering = Gathering(p.LayersStarted, LayersState)
    model = p.Load(command.settings.model, command.settings.dtype)
    engine.hold(gathering.take, model, command)
    state = gathering.state
    if state is not None and engine.loaded is not None:
        document = state.document(engine.loaded, source, status=engine.status, error=engine.error)
        printed.document(document, lambda: layers_report(document))
    for error in engine.errors:
        o.complain(error)
    return engine.exit_code
