"""From a name to a model in memory: where it is, whether it can be served, and its weights."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.engine import device
from gelu_tui.engine.families import Family, family_of
from gelu_tui.engine.mlx_lm_import import import_mlx_lm
from gelu_tui.engine.tokenizer import Tokenizer

Report = Callable[[p.Progress], None]
Cancelled = Callable[[], bool]

DTYPES = ("float32", "bfloat16", "float16")
_DEFAULT_CONTEXT = 8192

# Bytes a value, by the dtype names of the safetensors format.
_FLOAT_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


class LoadCancelled(Exception):
    """The user gave up on this load."""


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to decode, and what is to be said of it."""

    model: Any
    tokenizer: Tokenizer
    family: Family
    info: p.ModelInfo
    folder: Path
    context_length: int
    weight_bytes: int


def versions() -> dict[str, str]:
    """Versions of what computes."""
    names = {"gelu_tui": "gelu-tui", "mlx": "mlx", "mlx_lm": "mlx-lm"}
    found = {key: importlib.metadata.version(name) for key, name in names.items()}
    return {**found, "python": ".".join(map(str, sys.version_info[:3]))}


def load(spec: str, dtype: str | None, report: Report, cancelled: Cancelled) -> LoadedModel:
    """Find, check and load a model: `demo`, a folder, or a hub id.

    Weights load on this thread, the tokenizer beside them. Raises `GeluError` and `LoadCancelled`.
    """
    if dtype is not None and dtype not in DTYPES:
        raise GeluError("dtype", f"'{dtype}' is not a dtype.", f"Choose {', '.join(DTYPES)}.")
    folder = locate(spec, report, cancelled)
    config = read_config(folder)
    family = family_of(config)
    report(p.Progress("load", "tokenizer and weights", 0, 0, "parts"))
    files = check_weights(folder)
    target = dtype or (None if device.on_gpu() else "float32")
    _refuse_too_large(predicted_bytes(files, target))
    if cancelled():
        raise LoadCancelled
    model, config, tokenizer = _load_files(folder, target)
    if cancelled():
        raise LoadCancelled
    info = p.ModelInfo(
        id=spec if spec == "demo" or not Path(spec).exists() else str(Path(spec)),
        family=family.name,
        dtype=_dtype_name(model),
        quantization=_quantization(config),
        native_activation=family.native_activation,
    )
    return LoadedModel(
        model, tokenizer, family, info, folder, _context_length(config), _nbytes(model)
    )


# --- where ------------------------------------------------------------------------------------


def locate(spec: str, report: Report, cancelled: Cancelled) -> Path:
    """The folder of a model, converted or downloaded if need be."""
    if spec == "demo":
        return _demo(report, cancelled)
    if not spec:
        raise GeluError("model_not_found", "The model has no name.", "Give a folder or a hub id.")
    folder = Path(spec).expanduser()
    if folder.is_dir():
        return folder
    if folder.exists():
        raise GeluError(
            "model_not_found",
            f"'{spec}' is a file, not a model folder.",
            "Give the folder it is in.",
        )
    if spec.startswith((".", "/", "~")) or spec.count("/") != 1:
        raise GeluError(
            "model_not_found",
            f"There is no folder '{spec}'.",
            "Give a folder with config.json and weights, a hub id such as "
            "mlx-community/gemma-3-270m-it-bf16, or demo.",
        )
    from gelu_tui.engine import hub

    try:
        return hub.fetch_model(spec, report, cancelled, check_config=family_of)
    except hub.DownloadCancelled:
        raise LoadCancelled from None


def _demo(report: Report, cancelled: Cancelled) -> Path:
    from gelu_tui.engine import demo

    def progress(label: str, done: int, total: int) -> None:
        report(p.Progress("convert", label, done, total, "bytes"))

    try:
        return demo.ensure_demo(progress, cancelled)
    except demo.ConversionCancelled:
        raise LoadCancelled from None


# --- checks before loading ----------------------------------------------------------------------


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a model folder. Raises `GeluError`."""
    try:
        config = json.loads((folder / "config.json").read_bytes())
    except FileNotFoundError:
        raise GeluError(
            "not_a_model",
            f"'{folder}' has no config.json, so it is not a model folder.",
            "Give the folder that holds config.json, the weights and the tokenizer.",
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise GeluError(
            "not_a_model", f"config.json in '{folder}' cannot be read: {error}.", "Fetch it again."
        ) from None
    if not isinstance(config, dict):
        raise GeluError(
            "not_a_model", f"config.json in '{folder}' is not an object.", "Fetch it again."
        )
    return config


@dataclass(frozen=True)
class WeightFile:
    """A safetensors file and its header: tensor name to dtype, shape and place."""

    path: Path
    tensors: dict[str, dict[str, Any]]


def check_weights(folder: Path) -> list[WeightFile]:
    """The weight files, each whole by its own header. Raises `GeluError`."""
    paths = sorted(folder.glob("model*.safetensors"))
    wanted = _indexed_files(folder)
    missing = sorted(wanted - {path.name for path in paths})
    if missing or not paths:
        other = next(
            (f.name for f in folder.glob("*") if f.suffix in (".bin", ".gguf", ".pth")), None
        )
        what = f"the weight file {missing[0]} is missing" if missing else "there are no weights"
        raise GeluError(
            "weights_missing",
            f"In '{folder}' {what} (model*.safetensors).",
            f"{other} is of another format: convert it with `mlx_lm.convert`."
            if other and not missing
            else "Fetch the model again, or finish the download.",
        )
    return [_read_header(path) for path in paths]


def _indexed_files(folder: Path) -> set[str]:
    try:
        index = json.loads((folder / "model.safetensors.index.json").read_bytes())
        return set(index["weight_map"].values())
    except FileNotFoundError:
        return set()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return set()  # mlx-lm does not need it either; the headers decide


def _read_header(path: Path) -> WeightFile:
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > size:
                raise ValueError("it is truncated")
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        places = [entry["data_offsets"] for entry in header.values()]
        end = max((int(end) for begin, end in places if 0 <= begin <= end), default=0)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(path, str(error)) from None
    if 8 + length + end > size:
        raise _damaged(path, f"{8 + length + end - size:,} bytes are missing at its end")
    return WeightFile(path, header)


def _damaged(path: Path, reason: str) -> GeluError:
    return GeluError(
        "weights_damaged", f"The weight file '{path}' is not whole: {reason}.", "Fetch it again."
    )


def predicted_bytes(files: list[WeightFile], target: str | None) -> int:
    """Bytes the weights will take, floating ones in `target` if given."""
    width = {"float32": 4, "bfloat16": 2, "float16": 2}.get(target or "")
    total = 0
    for file in files:
        for entry in file.tensors.values():
            begin, end = entry["data_offsets"]
            stored = _FLOAT_BYTES.get(str(entry.get("dtype")))
            total += (end - begin) * width // stored if width and stored else end - begin
    return total


def _refuse_too_large(needed: int) -> None:
    free = device.free_memory()
    if needed > free:
        raise GeluError(
            "memory",
            f"This model needs {needed / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free.",
            "Choose a smaller or a quantized model, or close other programs.",
        )


# --- weights ------------------------------------------------------------------------------------


def _load_files(folder: Path, target: str | None) -> tuple[Any, dict[str, Any], Tokenizer]:
    """The model with its weights in memory, its config, and its tokenizer."""
    import_mlx_lm()
    import mlx.core as mx
    from mlx_lm.utils import load_model

    try:
        model, config = load_model(folder, lazy=True, trust_remote_code=False)
        if target is not None:
            model.set_dtype(getattr(mx, target))
        weights = model.parameters()
        with ThreadPoolExecutor(1) as beside:
            # Reading the tokenizer holds the interpreter lock and evaluating does not: so the two
            # can be done at once, and nothing else of a load can.
            tokenizer = beside.submit(Tokenizer.load, folder)
            mx.eval(weights)
    except (ValueError, RuntimeError, KeyError, TypeError, AttributeError, OSError) as error:
        raise _load_failure(folder, error) from error
    return model, config, tokenizer.result()


def _load_failure(folder: Path, error: Exception) -> GeluError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    if "alloc" in reason.lower() or "memory" in reason.lower():
        return GeluError(
            "memory", f"Memory ran out while loading: {reason}.", "Choose a smaller model."
        )
    return GeluError(
        "weights_damaged",
        f"The weights in '{folder}' do not fit their config.json or cannot be read: {reason}.",
        "Fetch the model again, or check that config.json belongs to these weights.",
    )


def _dtype_name(model: Any) -> str:
    """The dtype that the model computes in: that of its norms, which are never quantized."""
    import mlx.core as mx
    from mlx.utils import tree_flatten

    for name, value in tree_flatten(model.parameters()):
        if name.endswith("norm.weight") and mx.issubdtype(value.dtype, mx.floating):
            return str(value.dtype).removeprefix("mlx.core.")
    return "unknown"


def _nbytes(model: Any) -> int:
    from mlx.utils import tree_flatten

    return sum(value.nbytes for _, value in tree_flatten(model.parameters()))


def _quantization(config: dict[str, Any]) -> dict[str, int | str] | None:
    found = config.get("quantization") or config.get("quantization_config")
    if not isinstance(found, dict):
        return None
    return {key: found[key] for key in ("group_size", "bits", "mode") if key in found}


def _context_length(config: dict[str, Any]) -> int:
    inner = config.get("text_config") or {}
    length = config.get("max_position_embeddings") or inner.get("max_position_embeddings")
    return int(length) if length else _DEFAULT_CONTEXT


__all__ = [
    "DTYPES",
    "LoadCancelled",
    "LoadedModel",
    "check_weights",
    "load",
    "locate",
    "predicted_bytes",
    "read_config",
    "versions",
]
