"""`gelu-tui activations`."""

from __future__ import annotations

from gelu_tui.cli.options import print_json
from gelu_tui.core.activations import NATIVE_OF, REGISTRY, Variant, error_against_gelu


def print_activations(output_format: str, color: str) -> None:
    """Print the registry."""
    if output_format == "text":
        from gelu_tui.cli.console import print_report
        from gelu_tui.core.report import activations_table

        print_report(activations_table(), color)
        return
    entries = []
    for activation in REGISTRY.values():
        error, x = error_against_gelu(Variant(activation.name, activation.formula))
        entries.append(
            {
                "name": activation.name,
                "formula": activation.formula,
                "expression": activation.expression,
                "aliases": activation.aliases,
                "native_of": NATIVE_OF.get(activation.name, ()),
                "max_error": error,
                "max_error_at": x,
            }
        )
    print_json({"schema": "gelu-tui.activations/1", "activations": entries}, indent=2)
