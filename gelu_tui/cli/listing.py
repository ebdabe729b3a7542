"""`gelu-tui activations`."""

from __future__ import annotations

from gelu_tui.cli.options import print_json
from gelu_tui.core.functions.registry import NATIVE_OF, REGISTRY
from gelu_tui.core.functions.variants import parse_variant


def print_activations(output_format: str, color: str) -> None:
    """Print the registry."""
    if output_format == "text":
        from gelu_tui.cli.console import print_report
        from gelu_tui.core.reports.terminal import activations_table

        print_report(activations_table(), color)
        return
    from gelu_tui.core.functions.curves import curve

    entries = []
    for activation in REGISTRY.values():
        of = curve(parse_variant(activation.name))
        entries.append(
            {
                "name": activation.name,
                "formula": activation.formula,
                "expression": activation.expression,
                "aliases": activation.aliases,
                "native_of": NATIVE_OF.get(activation.name, ()),
                "max_error": of.error,
                "max_error_at": of.error_at,
            }
        )
    print_json({"schema": "gelu-tui.activations/1", "activations": entries}, indent=2)
