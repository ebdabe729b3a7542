"""`gelu-tui activations`: the functions, their errors and properties; curves and speed if asked."""

from __future__ import annotations

from typing import Any, get_args

import click

from gelu_tui.cli import options as o
from gelu_tui.cli.conversation import Conversation
from gelu_tui.cli.output import Output, output_options
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.functions.registry import REGISTRY
from gelu_tui.core.functions.variants import Variant, check_variants, named, parse_variant
from gelu_tui.core.reports.export import ACTIVATIONS_FORMATS
from gelu_tui.core.settings.run_settings import Dtype, RunSettings
from gelu_tui.core.settings.user_file import SettingsFile

_POINTS = 481


@click.command("activations", short_help="List the activation functions.")
@o.options_of(RunSettings, "activations")
@click.option(
    "--range",
    "limits",
    metavar="LOW,HIGH",
    help="The x at which errors and curves are looked at, -6,6 if not given; then the formats "
    "json and html have the curves.",
)
@click.option(
    "--dtype",
    "in_dtype",  # not the setting, which is of a model's weights
    type=click.Choice(get_args(Dtype)),
    help="Let the engine compute values and derivatives in this dtype, in which x is rounded too.",
)
@click.option("--speed", is_flag=True, help="Measure the functions in MLX, against exact GELU.")
@o.options_of(RunSettings, "activation_precision")
@output_options("Tables, one JSON document, or a page with curves.", formats=ACTIVATIONS_FORMATS)
@o.engine_options
def activations_command(
    activations: tuple[str, ...],
    limits: str | None,
    in_dtype: Dtype | None,
    speed: bool,
    activation_precision: Any,
    output_format: str | None,
    output: str | None,
    color: str,
    engine_command: str | None,
) -> int:
    """List functions: names, formulas, errors against exact GELU, properties.

    Without -a those of the registry, and the formulas of your settings.
    """
    from gelu_tui.core.functions.properties import USUAL_RANGE, parse_range
    from gelu_tui.core.reports.activations import activations_document, activations_report

    printed = Output(output_format, output, color, ACTIVATIONS_FORMATS)
    variants = _variants(activations)
    x = USUAL_RANGE if limits is None else parse_range(limits)
    found, code = None, o.DONE
    if in_dtype is not None or speed:
        command = p.FunctionValues(
            tuple(variant.spec for variant in variants), *x, dtype=in_dtype or "float32",
            precision=activation_precision, points=_POINTS, speed=speed,
        )  # fmt: skip
        engine = Conversation(engine_command, always_cancels=True)
        found = engine.answer(p.FunctionValuesFound, command)
        if found is None:
            if engine.signal is None:
                gone = ErrorInfo("engine_died", "The engine ended without an answer.")
                o.complain(engine.error or gone)
            return engine.exit_code or o.FAILED
    has_curves = limits is not None or in_dtype is not None or printed.format == "html"
    document = activations_document(
        variants, x, found=found, curves=has_curves and (found is None or in_dtype is not None)
    )
    printed.document(document, lambda: activations_report(document))
    return code


def _variants(typed: tuple[str, ...]) -> list[Variant]:
    """The functions that were typed, or the registry and own formulas of the user's settings.

    Raises `UsageError`.
    """
    if o.was_given("activations"):
        specs = list(typed)
    else:
        file = click.get_current_context().obj
        settings = file.settings.activations if isinstance(file, SettingsFile) else ()
        specs = [*REGISTRY, *settings]
    found = list(dict.fromkeys(parse_variant(spec) for spec in named(specs)))
    for number, variant in enumerate(found):
        for other in found[:number]:
            if other.name == variant.name:
                check_variants([other, variant])
    return found
