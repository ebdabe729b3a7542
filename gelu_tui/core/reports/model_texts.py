"""What is said of a model, the same in the app and on the command line.

All of it may hold text of other people's files: it is made visible here.
"""

from __future__ import annotations

from pathlib import Path

from gelu_tui.core.models.folder import default_dtype
from gelu_tui.core.models.inventory import LocalModel, PublicModel, State, is_gated
from gelu_tui.core.models.memory import ALLOWANCE_BYTES, Memory
from gelu_tui.core.protocol.values import bits_in_words
from gelu_tui.core.reports.progress import size
from gelu_tui.core.safe_text import visible_line

_LONGEST = 16  # characters of a word that a file names
_STANDING: dict[State, str] = {
    "absent": "no model",
    "partial": "partial",
    "damaged": "damaged",
    "not_served": "not served",
}


def standing(model: LocalModel, memory: Memory) -> str:
    """The verdict on its memory in a word, or why it cannot be loaded."""
    if model.usable and model.weight_bytes is not None:
        return memory.verdict(model.weight_bytes)
    if model.source == "demo" and model.state == "absent":
        return "missing"
    return _STANDING.get(model.state, "")


def family(model: LocalModel) -> str:
    """The family that its config names."""
    return visible_line(model.family or "")[:_LONGEST]


def stored(model: LocalModel) -> str:
    """Bits where it is quantized, else its dtype."""
    if model.quantization:
        return visible_line(bits_in_words(model.quantization))[:_LONGEST]
    return "" if model.dtype in (None, "unknown") else model.dtype or ""


def parameters(model: LocalModel) -> str:
    """E.g. `268 M`, `4.3 B`."""
    count = model.parameters
    if not count:
        return ""
    if count >= 999_500_000:
        return f"{count / 1e9:.1f} B"
    return f"{count / 1e6:.0f} M" if count >= 999_500 else f"{count:,}"


def disk(model: LocalModel) -> str:
    """Its size on the disk, empty where it has none."""
    return size(model.disk_bytes) if model.disk_bytes else ""


def needs(model: LocalModel) -> str:
    """The memory it needs, empty where that cannot be told."""
    return "" if model.needed_bytes is None else size(model.needed_bytes)


def memory_sentence(model: LocalModel, memory: Memory) -> str:
    """What it needs against what there is; empty where the need cannot be told."""
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
    """Why it should not be loaded, in one short sentence."""
    return (
        f"Too big: it needs {size(model.weight_bytes or 0)} for its weights alone, and a model may "
        f"take {size(memory.usable_bytes)}."
    )


def sentences(model: LocalModel, memory: Memory) -> list[str]:
    """Everything worth knowing of one model, the most important first."""
    said = [visible_line(model.reason)] if model.reason else []
    if model.usable or model.state == "not_served":
        said.append(memory_sentence(model, memory))
    if model.usable and model.quantization and not memory.on_metal:
        said.append("Quantized weights are very slow on MLX's CPU backend.")
    if model.native_activation:
        said.append(f"Its native activation function is {model.native_activation}.")
    return [sentence for sentence in said if sentence]


def before_fetching(repo_id: str) -> str:
    """What to know before a repository is fetched."""
    if is_gated(repo_id):
        return (
            f"Gated: accept its licence at https://huggingface.co/{visible_line(repo_id)} and log "
            "in with `hf auth login`, both once; then it can be fetched."
        )
    return "Not on this machine. Its size is asked of the hub when it is fetched."


def short_name(model: LocalModel | PublicModel) -> str:
    """The last part of its id: a repository without its owner, a folder without its path."""
    return visible_line(Path(model.id).name or model.id)
