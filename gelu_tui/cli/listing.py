"""`gelu-tui activations`."""

from __future__ import annotations

import click

from gelu_tui.cli import options as o
from gelu_tui.core.functions.registry import NATIVE_OF, REGISTRY
from gelu_tui.core.functions.variants import parse_variant


@click.command("activations", short_help="List the activation functions.")
@o.text_or_json_option
@o.color_option
def activations_command(output_format: str, color: str) -> None:
    """List the registry: names, formulas, errors against exact GELU."""
    if output_format == "text":
        from gelu_tui.core.reports.terminal import activations_table

        o.print_report(activations_table(), color)
        return
    from gelu_tui.core.functions.curves import curve

    entries = [
        {
            "name": function.name,
            "formula": function.formula,
            "expression": function.expression,
            "aliases": function.aliases,
            "native_of": NATIVE_OF.get(function.name, ()),
            "max_error": of.error,
            "max_error_at": of.error_at,
        }
        for function in REGISTRY.values()
        for of in [curve(parse_variant(function.name))]
    ]
    o.print_json({"schema": "gelu-tui.activations/1", "activations": entries}, indent=2)
