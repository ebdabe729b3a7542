"""Model folders and a hub's cache as they lie on a disk: real headers, weights that are holes."""

from __future__ import annotations

import hashlib
import json
from math import prod
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten
from mlx_lm.models import gemma3_text

from tests.support import tiny_models

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_BYTES = {"F32": 4, "BF16": 2, "U32": 4}

Tensors = dict[str, tuple[str, tuple[int, ...]]]  # dtype and shape

SIZES = {
    "hidden_size": 64, "num_hidden_layers": 1, "intermediate_size": 64, "num_attention_heads": 1,
    "num_key_value_heads": 1, "head_dim": 64, "rms_norm_eps": 1e-6, "query_pre_attn_scalar": 64,
    "vocab_size": 15_200, "max_position_embeddings": 8192,
    "sliding_window": 512, "sliding_window_pattern": 1,
}  # fmt: skip
PARAMETERS = 1_001_920  # of a gemma3_text of these sizes
FOUR_BITS = {"group_size": 64, "bits": 4}


def weight_header(tensors: Tensors) -> tuple[bytes, int]:
    """How a safetensors file begins, and how many bytes of weights follow."""
    header = {}
    at = 0
    for name, (dtype, shape) in tensors.items():
        end = at + prod(shape) * _BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, end]}
        at = end
    encoded = json.dumps({"__metadata__": {"format": "mlx"}, **header}).encode()
    return len(encoded).to_bytes(8, "little") + encoded, at


def weight_file(path: Path, tensors: Tensors) -> None:
    """A safetensors file, whole."""
    header, size = weight_header(tensors)
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + size)


def tensors_of(config: dict[str, Any], dtype: str = "BF16", bits: int | None = None) -> Tensors:
    """What a model of this configuration stores; of a family that is not served, anything."""
    module = tiny_models.MODULES.get(config["model_type"], gemma3_text)
    model = module.Model(module.ModelArgs.from_dict(config))
    model.pop("lm_head", None)
    if bits is not None:
        nn.quantize(model, group_size=64, bits=bits)
    return {
        name: ("U32" if value.dtype == mx.uint32 else dtype, value.shape)
        for name, value in tree_flatten(model.parameters())
    }


def model_folder(
    folder: Path,
    model_type: str = "gemma3_text",
    *,
    dtype: str = "BF16",
    bits: int | None = None,
    **config: Any,
) -> Path:
    """A folder with config, weights and tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {**SIZES, "model_type": model_type, **config}
    weight_file(folder / "model.safetensors", tensors_of(config, dtype, bits))
    if bits is not None:
        config.setdefault("quantization", {"group_size": 64, "bits": bits})
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text("{}")
    return folder


def cached_repo(cache: Path, repo_id: str, model: Path) -> Path:
    """Put a model folder into a hub's cache, as huggingface_hub would; returns its storage."""
    storage = cache / f"models--{repo_id.replace('/', '--')}"
    snapshot = storage / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (storage / "blobs").mkdir()
    (storage / "refs").mkdir()
    (storage / "refs" / "main").write_text(COMMIT)
    for file in model.iterdir():
        blob = storage / "blobs" / hashlib.sha256(file.name.encode()).hexdigest()
        file.rename(blob)
        (snapshot / file.name).symlink_to(Path("..", "..", "blobs", blob.name))
    return storage
