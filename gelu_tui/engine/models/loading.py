"""Checking a model and loading it into memory."""

from __future__ import annotations

import importlib.metadata
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.core.functions.registry import names
from gelu_tui.core.models.configuration import (
    Configuration,
    check_layers,
    configure,
    keys_behind,
)
from gelu_tui.core.models.families import Family, family_of
from gelu_tui.core.models.folder import (
    check_weights,
    default_dtype,
    predicted_bytes,
    quantization,
    read_config,
)
from gelu_tui.core.models.json_file import read_object, shown
from gelu_tui.engine import device
from gelu_tui.engine.failures import Interrupted, IsCancelled, Report
from gelu_tui.engine.models.locate import locate
from gelu_tui.engine.models.mlx_lm_import import import_mlx_lm
from gelu_tui.engine.models.tokenizer import Tokenizer
from gelu_tui.engine.models.tokenizer_files import configured_end_ids

# In mlx-lm's sentences on tensors that are missing, too many, or of another shape.
_TENSOR = re.compile(r"(?:parameters?: |not in model: |for parameter )([\w.]+\w)")

DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to decode, and its facts."""

    model: Any
    tokenizer: Tokenizer
    family: Family
    info: p.ModelInfo
    folder: Path
    context_length: int
    weight_bytes: int


def versions() -> dict[str, str]:
    """Return the versions of this package, MLX, mlx-lm and Python."""
    names = {"gelu_tui": "gelu-tui", "mlx": "mlx", "mlx_lm": "mlx-lm"}
    found = {key: importlib.metadata.version(name) for key, name in names.items()}
    return {**found, "python": ".".join(map(str, sys.version_info[:3]))}


def load(spec: str, dtype: str | None, report: Report, cancelled: IsCancelled) -> LoadedModel:
    """Find, check and load a model: `demo`, a folder, or a hub id.

    Weights load on this thread, the tokenizer beside them. Raises `GeluError` and `Interrupted`.
    """
    if dtype is not None and dtype not in DTYPES:
        raise GeluError("dtype", f"'{dtype}' is not a dtype.", f"Choose {', '.join(DTYPES)}.")
    located = locate(spec, report, cancelled)
    folder = located.folder
    config = read_config(folder)
    family = family_of(config)
    configuration = configure(config, family)
    # mlx-lm reads these two with the weights, whatever they are.
    configured_end_ids(folder)
    read_object(folder / "hf_quant_config.json", "config")
    report(p.Progress("load", "tokenizer and weights", 0, 0, "parts"))
    files = check_weights(folder)
    check_layers(configuration.text, files)
    target = dtype or default_dtype(on_gpu=device.on_gpu())
    needed, free = predicted_bytes(files, target), device.free_memory()
    if needed > free:
        raise GeluError(
            "memory",
            f"This model needs {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free.",
            "Choose a smaller or a quantized model, or close other programs.",
        )
    if cancelled():
        raise Interrupted
    model, config, tokenizer = _load_files(folder, target, configuration)
    from mlx.utils import tree_flatten

    from gelu_tui.engine.compute.activation_sites import sites_of

    if cancelled():
        raise Interrupted
    weights = tree_flatten(model.parameters())
    info = p.ModelInfo(
        id=located.id,
        family=family.name,
        dtype=_dtype_name(weights),
        quantization=quantization(config),
        native_activation=family.native_activation,
        sites=sites_of(model),
        warnings=(*configuration.warnings, *_other_activation(configuration.text, family)),
    )
    context, size = configuration.context_length, sum(value.nbytes for _, value in weights)
    return LoadedModel(model, tokenizer, family, info, folder, context, size)


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


def _load_files(
    folder: Path, target: str | None, configuration: Configuration
) -> tuple[Any, dict[str, Any], Tokenizer]:
    """The model with its weights in memory, its config, and its tokenizer."""
    import_mlx_lm()
    import mlx.core as mx
    from mlx.utils import tree_flatten
    from mlx_lm.utils import load_model

    try:
        model, config = load_model(
            folder, lazy=True, model_config=configuration.values, trust_remote_code=False
        )
        narrowed = target == "float16" and _dtype_name(tree_flatten(model.parameters())) != target
        if target is not None:
            model.set_dtype(getattr(mx, target))
        weights = model.parameters()
        with ThreadPoolExecutor(1) as beside:
            # Reading the tokenizer holds the interpreter lock and evaluating does not, so only
            # these two parts of a load can run at once.
            tokenizer = beside.submit(Tokenizer.load, folder)
            mx.eval(weights)
    except (ValueError, RuntimeError, KeyError, TypeError, AttributeError, OSError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        if "alloc" in reason.lower() or "memory" in reason.lower():
            message = f"Memory ran out while loading: {reason}."
            raise GeluError("memory", message, "Choose a smaller model.") from error
        raise _misfit(folder, reason) from error
    if narrowed and (name := first_not_finite(model)):
        message = f"The weights in '{name}' do not fit float16: some become infinite."
        raise GeluError("dtype", message, "Choose --dtype bfloat16 or float32.")
    return model, config, tokenizer.result()


def _misfit(folder: Path, reason: str) -> GeluError:
    """The error of weights that mlx-lm cannot put into the model of the configuration."""
    message = f"The weights in '{folder}' do not fit their config.json or cannot be read: {reason}"
    message = f"{message.rstrip('.')}."
    hint = "Fetch the model again, or check that config.json belongs to these weights."
    if tensor := _TENSOR.search(reason):
        message += f" What is expected follows from {keys_behind(tensor[1])}."
        hint = "Take the config.json that belongs to these weights."
    return GeluError("weights_damaged", message, hint)


def _dtype_name(weights: Any) -> str:
    """The dtype that the model computes in: that of its norms, which are never quantized."""
    import mlx.core as mx

    for name, value in weights:
        if name.endswith("norm.weight") and mx.issubdtype(value.dtype, mx.floating):
            return str(value.dtype).removeprefix("mlx.core.")
    return "unknown"


def first_not_finite(model: Any) -> str | None:
    """The name of the first tensor of a model that holds nan or infinity, if any does."""
    import mlx.core as mx
    from mlx.utils import tree_flatten

    for name, value in tree_flatten(model.parameters()):
        if mx.issubdtype(value.dtype, mx.floating) and not mx.isfinite(value).all().item():
            return str(name)
    return None
