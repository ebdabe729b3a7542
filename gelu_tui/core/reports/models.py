"""The words for a model, in the app and on the command line, and the report of `gelu-tui models`.

Text of other people's files is made visible here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.cells import cell_len, set_cell_size
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from gelu_tui.core import protocol as p
from gelu_tui.core.models.folder import default_dtype
from gelu_tui.core.models.inventory import PUBLIC_MODELS, LocalModel, PublicModel, is_gated
from gelu_tui.core.models.memory import ALLOWANCE_BYTES, Memory
from gelu_tui.core.protocol.values import bits_in_words
from gelu_tui.core.reports.progress import size
from gelu_tui.core.safe_text import visible_line

_LONGEST = 16  # characters of a word that a file names


def readiness(model: LocalModel, memory: Memory) -> str:
    """The verdict on its memory in a word, or why it cannot be loaded."""
    if model.usable:
        return "" if model.weight_bytes is None else memory.verdict(model.weight_bytes)
    if model.state == "absent":
        return "missing" if model.source == "demo" else "no model"
    return model.state.replace("_", " ")


def facts(model: LocalModel) -> dict[str, str]:
    """The cells of a table of models, by their headers; empty where nothing is known."""
    stored = "" if model.dtype in (None, "unknown") else model.dtype or ""
    if model.quantization:
        stored = visible_line(bits_in_words(model.quantization))[:_LONGEST]
    return {
        "family": visible_line(model.family or "")[:_LONGEST],
        "parameters": _parameters(model.parameters or 0),
        "stored": stored,
        "on disk": size(model.disk_bytes) if model.disk_bytes else "",
        "needs": "" if model.needed_bytes is None else size(model.needed_bytes),
        "native": model.native_activation or "",
    }


def _parameters(count: int) -> str:
    """E.g. `268 M`, `4.3 B`."""
    if count >= 999_500_000:
        return f"{count / 1e9:.1f} B"
    return f"{count / 1e6:.0f} M" if count >= 999_500 else f"{count:,}" if count else ""


def _memory_sentence(model: LocalModel, memory: Memory) -> str:
    """The memory it needs against the memory there is; empty where the need is unknown."""
    if model.weight_bytes is None or model.needed_bytes is None:
        return ""
    target = None if model.quantization else default_dtype(on_gpu=memory.on_metal)
    weights = f"{size(model.weight_bytes)} for weights" + (f" in {target}" if target else "")
    need = (
        f"Needs {size(model.needed_bytes)} of memory: {weights}, "
        f"{size(ALLOWANCE_BYTES)} for caches and logits."
    )
    free = size(memory.usable_bytes)
    match memory.verdict(model.weight_bytes):
        case "fits":
            return f"{need} It fits: a model may take {free} now."
        case "tight":
            return f"{need} Tight: a model may take {free} now, and a long run may use it up."
        case "too big" if model.weight_bytes < memory.total_bytes:
            return f"{need} Too big for the {free} that are free: close other programs."
        case _:
            return f"{need} Too big for this machine, which has {size(memory.total_bytes)}."


def too_big(model: LocalModel, memory: Memory) -> str:
    """Why it should not be loaded, in a short sentence."""
    return (
        f"Too big: it needs {size(model.weight_bytes or 0)} for its weights alone, and a model may "
        f"take {size(memory.usable_bytes)}."
    )


def sentences(model: LocalModel, memory: Memory) -> list[str]:
    """All sentences on one model, the most important first."""
    found = [visible_line(model.reason)]
    if model.usable or model.state == "not_served":
        found.append(_memory_sentence(model, memory))
    if model.usable and model.quantization and not memory.on_metal:
        found.append("Quantized weights are very slow on MLX's CPU backend.")
    if model.native_activation:
        found.append(f"Its native activation function is {model.native_activation}.")
    return [sentence for sentence in found if sentence]


def before_fetching(repo_id: str) -> str:
    """The sentence shown before a repository is fetched."""
    if is_gated(repo_id):
        return (
            f"Gated: accept its licence at https://huggingface.co/{visible_line(repo_id)} and log "
            "in with `hf auth login`, both once; then it can be fetched."
        )
    return "Not on this machine. Its size is asked of the hub when it is fetched."


def short_name(model: LocalModel | PublicModel) -> str:
    """The last part of its id: a repository without its owner, a folder without its path."""
    return visible_line(Path(model.id).name or model.id)


# --- the report -----------------------------------------------------------------------------------


def _fetchable(found: p.ModelsFound) -> list[PublicModel]:
    """The public models that are not on this machine, whole or in part."""
    here = {model.id for model in found.models}
    return [model for model in PUBLIC_MODELS if model.id not in here]


def models_document(found: p.ModelsFound) -> dict[str, Any]:
    """Everything that was found, for scripts."""
    models = []
    for model in found.models:
        weights = model.weight_bytes
        verdict = None if weights is None else found.memory.verdict(weights)
        more = {"needed_bytes": model.needed_bytes, "verdict": verdict}
        models.append(msgspec.to_builtins(model) | more)
    return {
        "schema": "gelu-tui.models/1",
        "memory": found.memory,
        "allowance_bytes": ALLOWANCE_BYTES,
        "models": models,
        "other_models_in_cache": found.others,
        "fetchable": _fetchable(found),
    }


def models_report(found: p.ModelsFound) -> RenderableType:
    """Local models, then what can be fetched; readable at 80 columns, ids whole to be copied."""
    headers = ("family", "parameters", "stored as", "on disk", "needs", "native")
    rows = [list(facts(model).values()) for model in found.models]
    for model, row in zip(found.models, rows, strict=True):
        row[0] = row[0] or ("–" if model.disk_bytes else "")
    widths = [max(map(cell_len, column)) for column in zip(headers, *rows, strict=True)]
    parts = [_line("On this machine", "memory"), _row(headers, widths, "dim")]
    for model, row in zip(found.models, rows, strict=True):
        parts.append(_line(visible_line(model.id), readiness(model, found.memory)))
        if any(row):
            parts.append(_row(row, widths))
        if model.reason:
            parts.append(Padding(Text(visible_line(model.reason)), (0, 0, 0, 2)))
    if not any(model.usable for model in found.models):
        parts += [Text(), Text("No Gemma on this machine can be loaded yet.")]
    title = Text("Can be fetched: gelu-tui models --fetch ID", style="bold")
    table = Table.grid(padding=(0, 2, 0, 0))
    for public in _fetchable(found):
        table.add_row(public.id, public.family, "gated: see below" if public.gated else "")
    notes = [
        f"Memory: {size(found.memory.total_bytes)}, of which a model may take "
        f"{size(found.memory.usable_bytes)} now. What a model needs is its weights and "
        f"{size(ALLOWANCE_BYTES)} for caches and logits.",
        "The size of a download is asked of the hub when it begins. Gated: accept the licence on "
        "the model's page at https://huggingface.co, then `hf auth login`, both once.",
    ]
    if found.others:
        notes.append(f"Not listed: {found.others} models of other families.")
    return Group(*parts, Text(), title, table, Text(), Text("\n".join(notes), style="dim"))


def _row(cells: Iterable[str], widths: Sequence[int], style: str = "") -> RenderableType:
    line = "  ".join(map(set_cell_size, cells, widths)).rstrip()
    return Padding(Text(line, style=style), (0, 0, 0, 2))


def _line(left: str, right: str) -> RenderableType:
    columns = Column(overflow="fold", ratio=1), Column(justify="right", no_wrap=True)
    line = Table.grid(*columns, padding=(0, 2, 0, 0), expand=True)
    line.add_row(Text(left, style="bold"), right)
    return line
