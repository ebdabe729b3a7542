"""A model folder on disk: its config, its weight headers, what the weights take in memory.

Only headers are read, never the weights; not by safetensors' own reader, which is no faster, does
not report how many bytes are missing, and refuses unknown dtypes. The files may be incomplete or
hostile: everything unexpected in them raises `GeluError`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple

from gelu_tui.core.errors import GeluError
from gelu_tui.core.models.json_file import read_object
from gelu_tui.core.safe_text import visible_line

Quantization = dict[str, int | str]

# Bytes of a value, by the dtype names of safetensors.
_FLOAT_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
_BYTES = {**_FLOAT_BYTES, "U32": 4, "I32": 4, "U16": 2, "I16": 2, "U8": 1, "I8": 1, "BOOL": 1}
_DTYPE_NAMES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}

_INDEX = "model.safetensors.index.json"
_TOKENIZERS = ("tokenizer.json", "tokenizer.model")

# Headers of the largest Gemmas have 200 kB; the format itself allows 100 MB.
_HEADER_LIMIT = 100_000_000


def default_dtype(*, on_gpu: bool = sys.platform == "darwin") -> str | None:
    """The dtype of floating weights unless the user names one; None means as stored.

    MLX's CPU backend is fast with float32 only.
    """
    return None if on_gpu else "float32"


def read_config(folder: Path) -> dict[str, Any]:
    """Read config.json of a model folder. Raises `GeluError`."""
    found = read_object(folder / "config.json", "not_a_model")
    if found is not None:
        return found.content
    message = f"'{visible_line(str(folder))}' has no config.json, so it is not a model folder."
    hint = "Give the folder that holds config.json, the weights and the tokenizer."
    raise GeluError("not_a_model", message, hint)


def quantization(config: dict[str, Any]) -> Quantization | None:
    """Group size, bits and mode; None if the weights are not quantized."""
    found = config.get("quantization") or config.get("quantization_config")
    if not isinstance(found, dict):
        return None
    wanted = {key: found.get(key) for key in ("group_size", "bits", "mode")}
    return {key: value for key, value in wanted.items() if isinstance(value, int | str)}


class Tensor(NamedTuple):
    """One stored tensor: its dtype as safetensors names it, and its bytes."""

    dtype: str
    size: int


Weights = dict[str, Tensor]


def check_weights(folder: Path) -> Weights:
    """Read the headers of all weight files, which must be complete. Raises `GeluError`."""
    paths = sorted(folder.glob("model*.safetensors"))
    # mlx-lm needs no index either: without a readable one, the headers decide.
    indexed = _read_index(folder) or set()
    missing = sorted(indexed - {path.name for path in paths if path.is_file()})
    if missing or not paths:
        what, hint = "there are no weights", "Fetch the model again, or finish the download."
        if missing:
            what = f"the weight file {visible_line(missing[0])} is missing"
        elif other := [f for f in folder.glob("*") if f.suffix in (".bin", ".gguf", ".pth")]:
            hint = f"{other[0].name} is of another format: convert it with `mlx_lm.convert`."
        raise GeluError("weights_missing", f"In '{folder}' {what} (model*.safetensors).", hint)
    return {name: tensor for path in paths for name, tensor in _read_header(path).items()}


def _read_index(folder: Path) -> set[str] | None:
    """The weight files in the index: empty without an index, None if it cannot be read."""
    try:
        index = json.loads((folder / _INDEX).read_bytes())
        return set(map(str, index["weight_map"].values()))
    except FileNotFoundError:
        return set()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def missing_files(folder: Path) -> list[str]:
    """The files that are still to be downloaded, as far as the folder itself shows."""
    indexed = _read_index(folder)
    if indexed is None:
        return [_INDEX]
    missing = [n for n in ("config.json", *sorted(indexed)) if not (folder / n).is_file()]
    if not indexed and not any(path.is_file() for path in folder.glob("model*.safetensors")):
        missing.append("model.safetensors")
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        missing.append(_TOKENIZERS[0])
    return missing


def _read_header(path: Path) -> Weights:
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size, _HEADER_LIMIT):
                raise ValueError("it is truncated")
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        tensors, end = {}, 0
        for name, entry in header.items():
            first, last = map(int, entry["data_offsets"])
            if not 0 <= first <= last:
                raise ValueError("its header makes no sense")
            tensors[name] = Tensor(str(entry["dtype"]), last - first)
            end = max(end, last)
    except (
        OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError
    ) as error:  # fmt: skip
        reason = str(error)
    else:
        if (missing := 8 + length + end - size) <= 0:
            return tensors
        reason = f"{missing:,} bytes are missing at its end"
    message = f"The weight file '{path}' is not whole: {reason}."
    raise GeluError("weights_damaged", message, "Fetch it again.")


def predicted_bytes(weights: Weights, target: str | None) -> int:
    """Bytes that the weights will take in memory, floating ones in dtype `target` if given."""
    if target is None:
        return sum(size for _, size in weights.values())
    width = 4 if target == "float32" else 2
    return sum(
        size * width // _FLOAT_BYTES[dtype] if dtype in _FLOAT_BYTES else size
        for dtype, size in weights.values()
    )


def parameters(weights: Weights, config: dict[str, Any]) -> int:
    """The number of parameters; of quantized weights, before they were quantized."""
    found = config.get("quantization")
    settings = found if isinstance(found, dict) else {}
    total = 0
    for name, tensor in weights.items():
        layer, _, kind = name.rpartition(".")
        quantized = settings and f"{layer}.scales" in weights
        if quantized and kind == "weight":
            own = settings.get(layer)
            bits = (own if isinstance(own, dict) else settings).get("bits")
            total += tensor.size * 8 // bits if isinstance(bits, int) and bits > 0 else 0
        elif not (quantized and kind in ("scales", "biases")):
            total += tensor.size // _BYTES.get(tensor.dtype, 1)
    return total


def stored_dtype(weights: Weights) -> str:
    """The dtype of the norms, which are never quantized: the one the model computes in."""
    norms = (tensor.dtype for name, tensor in weights.items() if name.endswith("norm.weight"))
    return next((_DTYPE_NAMES[dtype] for dtype in norms if dtype in _DTYPE_NAMES), "unknown")
