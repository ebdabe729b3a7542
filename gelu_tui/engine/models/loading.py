"""Checking a model and loading it into memory."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from gelu_tui.core import backends
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.core.functions.registry import names
from gelu_tui.core.models.families import Family
from gelu_tui.core.models.folder import default_dtype
from gelu_tui.core.models.json_file import shown
from gelu_tui.core.models.memory import machine_memory
from gelu_tui.core.safe_text import visible_line
from gelu_tui.engine import device
from gelu_tui.engine.failures import Interrupted, IsCancelled, Report
from gelu_tui.engine.models.checkpoint import Checkpoint, open_checkpoint
from gelu_tui.engine.models.locate import locate
from gelu_tui.engine.models.tokenizer import Tokenizer

if TYPE_CHECKING:
    from gelu_tui.engine.compute.row_functions import Site

DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to decode, and its facts; `places` are those of all ranks."""

    model: Any
    tokenizer: Tokenizer
    family: Family
    info: p.ModelInfo
    folder: Path
    context_length: int
    weight_bytes: int
    places: tuple[Site, ...]
    ranks: tuple[p.Rank, ...] = ()


class OtherRanks(Protocol):
    """Processes that load and hold some of the layers; see `engine.pipeline.leader`."""

    def split(self, checkpoint: Checkpoint, spec: str, dtype: str | None) -> None:
        """Let them load their parts, and leave the checkpoint's model without these."""

    def wait(self) -> tuple[p.Rank, ...]:
        """Wait until they have."""


def versions() -> dict[str, str]:
    """Return the versions of this package, MLX, mlx-lm and Python."""
    names = {"gelu_tui": "gelu-tui", "mlx": "mlx", "mlx_lm": "mlx-lm"}
    found = {key: importlib.metadata.version(name) for key, name in names.items()}
    return {**found, "python": ".".join(map(str, sys.version_info[:3]))}


def load(
    spec: str,
    dtype: str | None,
    report: Report,
    cancelled: IsCancelled,
    others: OtherRanks | None = None,
) -> LoadedModel:
    """Find, check and load a model: `demo`, a folder, or a hub id.

    Weights load on this thread, the tokenizer beside them. Raises `GeluError` and `Interrupted`.
    """
    if dtype is not None and dtype not in DTYPES:
        raise GeluError("dtype", f"'{dtype}' is not a dtype.", f"Choose {', '.join(DTYPES)}.")
    located = locate(spec, report, cancelled)
    report(p.Progress("load", "tokenizer and weights", 0, 0, "parts"))
    checkpoint = open_checkpoint(located.folder)
    target = dtype or default_dtype(on_gpu=device.on_gpu())
    narrowed = target == "float16" and checkpoint.dtype != target
    checkpoint.cast(target)
    from gelu_tui.engine.compute.activation_sites import places_of, sites_of

    sites, places = sites_of(checkpoint.model), places_of(checkpoint.model)
    if others is not None:
        others.split(checkpoint, spec, target)
    needed = check_memory(checkpoint.weight_bytes)
    if cancelled():
        raise Interrupted
    tokenizer = _read(checkpoint)
    ranks = () if others is None else others.wait()
    if narrowed and (name := first_not_finite(checkpoint.model)):
        message = f"The weights in '{name}' do not fit float16: some become infinite."
        raise GeluError("dtype", message, "Choose --dtype bfloat16 or float32.")
    if cancelled():
        raise Interrupted
    configuration, family = checkpoint.configuration, checkpoint.family
    info = p.ModelInfo(
        id=located.id,
        family=family.name,
        dtype=checkpoint.dtype,
        quantization=checkpoint.quantization,
        native_activation=family.native_activation,
        sites=sites,
        warnings=(
            *configuration.warnings,
            *_other_activation(configuration.text, family),
            *_of_backends(),
        ),
    )
    context = configuration.context_length
    return LoadedModel(
        checkpoint.model, tokenizer, family, info, located.folder, context, needed, places, ranks
    )


def check_memory(weight_bytes: int) -> int:
    """The bytes that a model with so many of weights needs. Raises `GeluError` without room."""
    memory, free = machine_memory(), device.free_memory()
    needed = weight_bytes + memory.reserve(weight_bytes)
    if needed > free:
        limit = memory.limit
        room = f"{free / 1e9:.1f} GB are free" + (f" under {limit}" if limit else "")
        raise GeluError(
            "memory",
            f"This model needs {needed / 1e9:.1f} GB of memory, and {room}.",
            "Choose a smaller or a quantized model, or "
            + ("raise that limit." if limit else "close other programs."),
        )
    return needed


def _other_activation(values: dict[str, Any], family: Family) -> list[str]:
    """A warning if the configuration names another function than mlx-lm computes with."""
    key = "hidden_act" if values.get("hidden_activation") is None else "hidden_activation"
    found = values.get(key)
    native = family.native_activation
    if found is None or (isinstance(found, str) and names().get(found) == native):
        return []
    return [
        f"{key} in config.json is ignored: it is {shown(found)}, and mlx-lm computes {family.name} "
        f"with {native}."
    ]


def _of_backends() -> list[str]:
    """A warning for each thing that is wrong with MLX's installed backends."""
    wrong = backends.problems(importlib.metadata.version("mlx"), backends.installed())
    return [f"{problem.message} {problem.hint}" for problem in wrong]


def _read(checkpoint: Checkpoint) -> Tokenizer:
    """Read the weights into memory, and return the tokenizer."""
    import mlx.core as mx

    weights = checkpoint.model.parameters()
    with reading(checkpoint.folder), ThreadPoolExecutor(1) as beside:
        # Reading the tokenizer holds the interpreter lock and evaluating does not, so only
        # these two parts of a load can run at once.
        tokenizer = beside.submit(Tokenizer.load, checkpoint.folder)
        mx.eval(weights)
    return tokenizer.result()


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Raise `GeluError` where weights cannot be read within this context."""
    try:
        yield
    except (ValueError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        if "alloc" in reason.lower() or "memory" in reason.lower():
            message = f"Memory ran out while loading: {reason}."
            raise GeluError("memory", message, "Choose a smaller model.") from error
        where = visible_line(str(folder))
        message = f"The weights in '{where}' cannot be read: {visible_line(reason)}."
        raise GeluError("unreadable", message, "Check the disk.") from error


def first_not_finite(model: Any) -> str | None:
    """The name of the first tensor of a model that holds nan or infinity, if any does."""
    import mlx.core as mx
    from mlx.utils import tree_flatten

    for name, value in tree_flatten(model.parameters()):
        if mx.issubdtype(value.dtype, mx.floating) and not mx.isfinite(value).all().item():
            return str(name)
    from gelu_tui.engine.compute.elsewhere import LayersElsewhere

    found = (layers.first_not_finite() for layers in LayersElsewhere.of(model))
    return next(found, None)
