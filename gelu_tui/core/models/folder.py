"""A model folder as it lies on the disk: config, weight headers, what the weights take in memory.

Only headers are read, never the weights; not by safetensors' own reader, which is no faster, does
not report how many bytes are missing, and refuses dtypes that it does not know. Everything here may
be another program's work, or half of it, or hostile: what is not as it should be is a `GeluError`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gelu_tui.core.errors import GeluError
from gelu_tui.core.safe_text import visible_line

Quantization = dict[str, int | str]

# Bytes a value, by the dtype names of the safetensors format.
_FLOAT_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
_BYTES = {**_FLOAT_BYTES, "U32": 4, "I32": 4, "U16": 2, "I16": 2, "U8": 1, "I8": 1, "BOOL": 1}
_DTYPE_NAMES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_WIDTHS = {"float32": 4, "bfloat16": 2, "float16": 2}

_INDEX = "model.safetensors.index.json"
_TOKENIZERS = ("tokenizer.json", "tokenizer.model")

# Headers of the largest Gemmas have 200 kB; the format itself allows 100 MB.
_HEADER_LIMIT = 100_000_000


def default_dtype(*, on_gpu: bool = sys.platform == "darwin") -> str | None:
    """The dtype of floating weights when the user names none; None means as stored.

    MLX's CPU backend is fast with float32 only.
    """
    return None if on_gpu else "float32"


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


def quantization(config: dict[str, Any]) -> Quantization | None:
    """Group size, bits and mode, None for weights that are not quantized."""
    found = config.get("quantization") or config.get("quantization_config")
    if not isinstance(found, dict):
        return None
    wanted = {key: found.get(key) for key in ("group_size", "bits", "mode")}
    return {key: value for key, value in wanted.items() if isinstance(value, int | str)}


# --- weights ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tensor:
    """One tensor of a header: its dtype as the format names it, and its size."""

    dtype: str
    size: int

    @property
    def elements(self) -> int:
        """Number of stored values; of a dtype that is not known, its bytes."""
        return self.size // _BYTES.get(self.dtype, 1)


@dataclass(frozen=True)
class WeightFile:
    """A safetensors file and its header."""

    path: Path
    tensors: dict[str, Tensor]


def check_weights(folder: Path) -> list[WeightFile]:
    """The weight files, each whole by its own header. Raises `GeluError`."""
    paths = sorted(folder.glob("model*.safetensors"))
    # mlx-lm needs no index either: where there is none to be read, the headers decide.
    indexed = _read_index(folder) or set()
    missing = sorted(indexed - {path.name for path in paths if path.is_file()})
    if missing or not paths:
        other = next(
            (f.name for f in folder.glob("*") if f.suffix in (".bin", ".gguf", ".pth")), None
        )
        what = (
            f"the weight file {visible_line(missing[0])} is missing"
            if missing
            else "there are no weights"
        )
        raise GeluError(
            "weights_missing",
            f"In '{folder}' {what} (model*.safetensors).",
            f"{other} is of another format: convert it with `mlx_lm.convert`."
            if other and not missing
            else "Fetch the model again, or finish the download.",
        )
    return [_read_header(path) for path in paths]


def _read_index(folder: Path) -> set[str] | None:
    """The weight files that the index names: none without an index; None if it cannot be read."""
    try:
        index = json.loads((folder / _INDEX).read_bytes())
        return set(map(str, index["weight_map"].values()))
    except FileNotFoundError:
        return set()
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def missing_files(folder: Path) -> list[str]:
    """What a download of this model has still to bring, as far as the folder itself can tell."""
    indexed = _read_index(folder)
    if indexed is None:
        return [_INDEX]
    found = {path.name for path in folder.glob("model*.safetensors") if path.is_file()}
    wanted = ["config.json", *sorted(indexed)]
    missing = [name for name in wanted if not (folder / name).is_file()]
    if not indexed and not found:
        missing.append("model.safetensors")
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        missing.append(_TOKENIZERS[0])
    return missing


def _read_header(path: Path) -> WeightFile:
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > min(size, _HEADER_LIMIT):
                raise ValueError("it is truncated")
            header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        tensors = {}
        end = 0
        for name, entry in header.items():
            first, last = map(int, entry["data_offsets"])
            if not 0 <= first <= last:
                raise ValueError("its header makes no sense")
            tensors[name] = Tensor(str(entry["dtype"]), last - first)
            end = max(end, last)
    except (
        OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError
    ) as error:  # fmt: skip
        raise _damaged(path, str(error)) from None
    if 8 + length + end > size:
        raise _damaged(path, f"{8 + length + end - size:,} bytes are missing at its end")
    return WeightFile(path, tensors)


def _damaged(path: Path, reason: str) -> GeluError:
    return GeluError(
        "weights_damaged", f"The weight file '{path}' is not whole: {reason}.", "Fetch it again."
    )


def predicted_bytes(files: Sequence[WeightFile], target: str | None) -> int:
    """Bytes the weights will take, floating ones in `target` if given."""
    width = _WIDTHS.get(target or "")
    total = 0
    for file in files:
        for tensor in file.tensors.values():
            stored = _FLOAT_BYTES.get(tensor.dtype)
            total += tensor.size * width // stored if width and stored else tensor.size
    return total


def parameters(files: Sequence[WeightFile], config: dict[str, Any]) -> int:
    """How many parameters the weights hold; of quantized ones, what they were made from."""
    tensors = {name: tensor for file in files for name, tensor in file.tensors.items()}
    found = config.get("quantization")
    settings = found if isinstance(found, dict) else {}
    total = 0
    for name, tensor in tensors.items():
        layer, _, kind = name.rpartition(".")
        quantized = settings and f"{layer}.scales" in tensors
        if quantized and kind == "weight":
            own = settings.get(layer)
            bits = (own if isinstance(own, dict) else settings).get("bits")
            total += tensor.size * 8 // bits if isinstance(bits, int) and bits > 0 else 0
        elif not (quantized and kind in ("scales", "biases")):
            total += tensor.elements
    return total


def stored_dtype(files: Sequence[WeightFile]) -> str:
    """The dtype of the norms, which are never quantized: what the model was made to compute in."""
    for file in files:
        for name, tensor in file.tensors.items():
            if name.endswith("norm.weight") and tensor.dtype in _DTYPE_NAMES:
                return _DTYPE_NAMES[tensor.dtype]
    return "unknown"
