"""`gelu-tui schema`: JSON Schemas of the documents, of the settings file and of sweep files."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from gelu_tui.cli import options as o

NAMES = (
    "comparison",
    "score",
    "inputs",
    "layers",
    "sweep",
    "activations",
    "bench",
    "settings",
    "sweep-file",
)
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


@click.command("schema", short_help="Print the JSON Schema of a document.")
@click.argument("name", metavar="NAME", type=click.Choice(NAMES))
def schema_command(name: str) -> int:
    """Print the JSON Schema of a document that a command prints, or of a file that you write.

    NAME is comparison, score, inputs, layers, sweep, activations, bench, settings or sweep-file.
    """
    o.print_json(schema(name), indent=2)
    return o.DONE


def schema(name: str) -> dict[str, Any]:
    """Return a schema by its name, one of `NAMES`."""
    struct, version = _document(name)
    made = msgspec.json.schema(struct)
    properties = made["$defs"][struct.__name__]["properties"]
    if version:
        properties["schema"] = {"const": version}
    return {"$schema": _DIALECT, "title": version or f"gelu-tui {name}", **made}


def _document(name: str) -> tuple[type[msgspec.Struct], str]:
    """A document's type, and the value of its field `schema`; empty if it has none."""
    match name:
        case "comparison":
            from gelu_tui.core.runs.document import SCHEMA, ComparisonDocument

            return ComparisonDocument, SCHEMA
        case "activations":
            from gelu_tui.core.reports.activations import ACTIVATIONS_SCHEMA, ActivationsDocument

            return ActivationsDocument, ACTIVATIONS_SCHEMA
        case "bench":
            from gelu_tui.core.runs.document import BENCH_SCHEMA, BenchDocument

            return BenchDocument, BENCH_SCHEMA
        case "score":
            from gelu_tui.core.scoring.document import SCORE_SCHEMA, ScoreDocument

            return ScoreDocument, SCORE_SCHEMA
        case "inputs":
            from gelu_tui.core.lab.inputs import INPUTS_SCHEMA, InputsDocument

            return InputsDocument, INPUTS_SCHEMA
        case "layers":
            from gelu_tui.core.lab.layers import LAYERS_SCHEMA, LayersDocument

            return LayersDocument, LAYERS_SCHEMA
        case "sweep":
            from gelu_tui.sweep.document import SWEEP_SCHEMA, SweepDocument

            return SweepDocument, SWEEP_SCHEMA
        case "sweep-file":
            from gelu_tui.sweep.settings import SweepSettings

            return SweepSettings, ""
    from gelu_tui.core.settings.user_file import Settings

    return Settings, ""
