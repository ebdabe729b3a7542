"""The words for a model, in the app and on the command line, and the report of `gelu-tui models`.

Text of other people's files is made visible here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.text import Text

from gelu_tui.core import protocol as p
from gelu_tui.core.models.folder import default_dtype
from gelu_tui.core.models.inventory import (
    HubSize,
    LocalModel,
    PublicModel,
    is_quantized,
    public_models,
)
from gelu_tui.core.models.memory import ALLOWANCE_BYTES, Memory
from gelu_tui.core.protocol.values import bits_in_words
from gelu_tui.core.reports.layout import FittedTable, filled
from gelu_tui.core.reports.progress import size
from gelu_tui.core.safe_text import visible_line

_SLOW = "Quantized weights are very slow on MLX's CPU backend."
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


def _memory_sentence(model: LocalModel | PublicModel, memory: Memory) -> str:
    """The memory it needs against the memory there is; empty where the need is unknown."""
    if model.weight_bytes is None or model.needed_bytes is None:
        return ""
    target = None
    if isinstance(model, LocalModel) and not model.quantization:
        target = default_dtype(on_gpu=memory.on_gpu)
    weights = f"{size(model.weight_bytes)} for weights" + (f" in {target}" if target else "")
    about = "about " if isinstance(model, PublicModel) and model.estimated else ""
    need = (
        f"Needs {about}{size(model.needed_bytes)} of memory: {weights}, "
        f"{size(ALLOWANCE_BYTES)} for caches and logits."
    )
    free = size(memory.usable_bytes)
    match memory.verdict(model.weight_bytes):
        case "fits":
            return f"{need} It fits: a model may take {free} now."
        case "tight":
            return f"{need} Tight: a model may take {free} now, and a long run may use it up."
        case "too big" if memory.limit:
            return f"{need} Too big for the {free} that are free under {memory.limit}: raise it."
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
    if model.usable and model.quantization and not memory.on_gpu:
        found.append(_SLOW)
    if model.native_activation:
        found.append(f"Its native activation function is {model.native_activation}.")
    return [sentence for sentence in found if sentence]


def fit(model: PublicModel, memory: Memory) -> str:
    """The verdict on the memory that it would take, in a word; empty where that is not known."""
    known = model.weight_bytes is not None and memory.total_bytes
    return memory.verdict(model.weight_bytes or 0) if known else ""


def rough_size(count: int | None, *, estimated: bool) -> str:
    """Bytes, with a tilde before those that are about right; empty where they are not known."""
    return "" if count is None else ("~" if estimated else "") + size(count)


def before_fetching(model: PublicModel, memory: Memory) -> str:
    """The sentences shown before a repository is fetched: its size, whether it fits, its gate."""
    if model.download_bytes is None:
        found = ["Not on this machine. Its size is asked of the hub when it is fetched."]
    else:
        about = "about " if model.estimated else ""
        found = [f"Not on this machine: {about}{size(model.download_bytes)} to fetch."]
        found += [_memory_sentence(model, memory)] if memory.total_bytes else []
    if memory.total_bytes and not memory.on_gpu and is_quantized(model.id):
        found.append(_SLOW)
    if model.gated:
        found.append(gate(model.id))
    return " ".join(found)


def gate(repo_id: str) -> str:
    """What has to be done before a gated repository can be fetched."""
    return (
        f"Gated: accept its licence at https://huggingface.co/{visible_line(repo_id)} and log in "
        "with `hf auth login`, both once; then it can be fetched."
    )


def short_name(model: LocalModel | PublicModel) -> str:
    """The last part of its id: a repository without its owner, a folder without its path."""
    return visible_line(Path(model.id).name or model.id)


def fetchable(found: p.ModelsFound, sizes: Iterable[HubSize]) -> list[PublicModel]:
    """The public models that are not on this machine, whole or in part."""
    here = {model.id for model in found.models}
    told = {size.id: size for size in sizes}
    listed = public_models(on_gpu=found.memory.on_gpu)
    return [model.with_size(told.get(model.id)) for model in listed if model.id not in here]


def models_document(found: p.ModelsFound, sizes: Iterable[HubSize] = ()) -> dict[str, Any]:
    """Everything that was found, for scripts."""
    return {
        "schema": "gelu-tui.models/1",
        "memory": found.memory,
        "allowance_bytes": ALLOWANCE_BYTES,
        "models": [_with_verdict(model, found.memory) for model in found.models],
        "other_models_in_cache": found.others,
        "fetchable": [_with_verdict(model, found.memory) for model in fetchable(found, sizes)],
    }


def _with_verdict(model: LocalModel | PublicModel, memory: Memory) -> dict[str, Any]:
    weights = model.weight_bytes
    verdict = None if weights is None else memory.verdict(weights)
    more = {"needed_bytes": model.needed_bytes, "verdict": verdict}
    return {**msgspec.to_builtins(model), **more}


def local_report(found: p.ModelsFound, machine: str = "this machine") -> RenderableType:
    """The models on the engine's machine; ids are whole, to be copied."""
    parts: list[RenderableType] = [_LocalModels(found, machine)]
    if not any(model.usable for model in found.models):
        parts += [Text(), Text(f"No Gemma on {machine} can be loaded yet.")]
    return Group(*parts, Text())


def fetchable_report(found: p.ModelsFound, sizes: Iterable[HubSize] = ()) -> RenderableType:
    """What can be fetched, with its size and whether it would fit; then notes on both lists."""
    title = Text("Can be fetched: gelu-tui models --fetch ID", style="bold")
    models = fetchable(found, sizes)
    rows = [
        {
            "id": model.id,
            "family": model.family,
            "download": rough_size(model.download_bytes, estimated=model.estimated),
            "memory": fit(model, found.memory) + (", gated" if model.gated else ""),
        }
        for model in models
    ]
    table = [FittedTable(rows, left=("family", "memory"))] if rows else []
    limit = f" ({found.memory.limit})" if found.memory.limit else ""
    notes = [
        f"Memory: {size(found.memory.total_bytes)}{limit}, of which a model may take "
        f"{size(found.memory.usable_bytes)} now. What a model needs is its weights and "
        f"{size(ALLOWANCE_BYTES)} for caches and logits.",
        "Gated: accept the licence on the model's page at https://huggingface.co, then `hf auth "
        "login`, both once.",
    ]
    if any(model.estimated for model in models):
        notes.append("~ is about right: the hub could not be asked.")
    if not found.memory.on_gpu:
        notes.append(_SLOW)
    if found.others:
        notes.append(f"Not listed: {found.others} models of other families.")
    return Group(title, *table, Text(), Text("\n".join(notes), style="dim"))


_HEADERS = ("family", "parameters", "stored as", "on disk", "needs", "native")


@dataclass(frozen=True)
class _LocalModels:
    """Each model's id and whether it fits, its facts, and why it cannot be loaded."""

    found: p.ModelsFound
    machine: str

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        models, memory, width = self.found.models, self.found.memory, options.max_width
        rows = [list(facts(model).values()) for model in models]
        for model, row in zip(models, rows, strict=True):
            row[0] = row[0] or ("–" if model.disk_bytes else "")
        widths = [max(map(cell_len, column)) for column in zip(_HEADERS, *rows, strict=True)]
        is_table = sum(widths) + 2 * len(widths) <= width
        yield from _heading(f"On {self.machine}", "memory" if is_table else "", width)
        if is_table:
            yield Text("  " + _aligned(_HEADERS, widths), style="dim")
        for model, row in zip(models, rows, strict=True):
            yield from _heading(visible_line(model.id), readiness(model, memory), width)
            if is_table and any(row):
                yield Text("  " + _aligned(row, widths))
            elif any(row):
                cells = [f"{h} {cell}" for h, cell in zip(_HEADERS, row, strict=True) if cell]
                yield from (Text(f"  {line}") for line in filled(cells, width - 2))
            if model.reason:
                yield Padding(Text(visible_line(model.reason)), (0, 0, 0, 2))


def _aligned(cells: Iterable[str], widths: Sequence[int]) -> str:
    return "  ".join(map(set_cell_size, cells, widths)).rstrip()


def _heading(left: str, right: str, width: int) -> list[Text]:
    """An id, whole also where the terminal has to break it, and a word about it."""
    title = Text(left, style="bold", no_wrap=True, overflow="ignore")
    gap = width - title.cell_len - cell_len(right)
    if gap >= 2 and right:
        title.append(" " * gap + right, style="not bold")
        return [title]
    return [title, Text(f"  {right}")] if right else [title]
