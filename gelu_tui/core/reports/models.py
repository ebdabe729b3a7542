"""The report of `gelu-tui models`: readable at 80 columns, ids whole so that they can be copied."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from gelu_tui.core import protocol as p
from gelu_tui.core.models.inventory import PUBLIC_MODELS, LocalModel, PublicModel
from gelu_tui.core.models.memory import ALLOWANCE_BYTES
from gelu_tui.core.reports import model_texts as texts
from gelu_tui.core.reports.progress import size
from gelu_tui.core.safe_text import visible_line

SCHEMA = "gelu-tui.models/1"

_COLUMNS = ("family", "parameters", "stored as", "on disk", "needs", "native")
_INDENT = (0, 0, 0, 2)


def fetchable(found: p.ModelsFound) -> list[PublicModel]:
    """The public models that are not on this machine, whole or in part."""
    here = {model.id for model in found.models}
    return [model for model in PUBLIC_MODELS if model.id not in here]


def models_document(found: p.ModelsFound) -> dict[str, Any]:
    """Everything that was found, for scripts."""
    models = [
        {
            **msgspec.to_builtins(model),
            "needed_bytes": model.needed_bytes,
            "verdict": None
            if model.weight_bytes is None
            else found.memory.verdict(model.weight_bytes),
        }
        for model in found.models
    ]
    return {
        "schema": SCHEMA,
        "memory": found.memory,
        "allowance_bytes": ALLOWANCE_BYTES,
        "models": models,
        "other_models_in_cache": found.others,
        "fetchable": fetchable(found),
    }


def models_report(found: p.ModelsFound) -> RenderableType:
    """Local models, then what can be fetched."""
    cells = [_cells(model) for model in found.models]
    widths = [max(map(cell_len, column)) for column in zip(_COLUMNS, *cells, strict=True)]
    parts: list[RenderableType] = [
        _line("On this machine", "memory"),
        _row(_COLUMNS, widths, "dim"),
    ]
    for model, row in zip(found.models, cells, strict=True):
        parts.append(_line(visible_line(model.id), texts.standing(model, found.memory)))
        if any(row):
            parts.append(_row(row, widths))
        if model.reason:
            parts.append(Padding(Text(visible_line(model.reason)), _INDENT))
    if not any(model.usable for model in found.models):
        parts += [Text(), Text("No Gemma on this machine can be loaded yet.")]
    title = Text("Can be fetched: gelu-tui models --fetch ID", style="bold")
    notes = Text(_notes(found), style="dim")
    return Group(*parts, Text(), title, _fetchable(found), Text(), notes)


def _cells(model: LocalModel) -> tuple[str, ...]:
    return (
        texts.family(model) or ("–" if model.disk_bytes else ""),
        texts.parameters(model),
        texts.stored(model),
        texts.disk(model),
        texts.needs(model),
        model.native_activation or "",
    )


def _row(cells: Sequence[str], widths: Sequence[int], style: str = "") -> RenderableType:
    pairs = zip(cells, widths, strict=True)
    padded = (cell + " " * (width - cell_len(cell)) for cell, width in pairs)
    return Padding(Text("  ".join(padded).rstrip(), style=style), _INDENT)


def _line(left: str, right: str) -> RenderableType:
    line = Table.grid(padding=(0, 2, 0, 0), expand=True)
    line.add_column(overflow="fold", ratio=1)
    line.add_column(justify="right", no_wrap=True)
    line.add_row(Text(left, style="bold"), right)
    return line


def _fetchable(found: p.ModelsFound) -> RenderableType:
    table = Table.grid(padding=(0, 2, 0, 0))
    for model in fetchable(found):
        table.add_row(model.id, model.family, "gated: see below" if model.gated else "")
    return table


def _notes(found: p.ModelsFound) -> str:
    lines = [
        f"Memory: {size(found.memory.total_bytes)}, of which a model may take "
        f"{size(found.memory.usable_bytes)} now. What a model needs is its weights and "
        f"{size(ALLOWANCE_BYTES)} for caches and logits.",
        "The size of a download is asked of the hub when it begins. Gated: accept the licence on "
        "the model's page at https://huggingface.co, then `hf auth login`, both once.",
    ]
    if found.others:
        lines.append(f"Not listed: {found.others} models of other families.")
    return "\n".join(lines)
