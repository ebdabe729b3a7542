"""Model folders and a hub's cache as they lie on a disk: real headers, weights that are holes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
_BYTES = {"F32": 4, "BF16": 2, "U32": 4}

Tensors = dict[str, tuple[str, int]]  # dtype and number of values

PLAIN: Tensors = {
    "model.embed_tokens.weight": ("BF16", 1_000_000),
    "model.norm.weight": ("BF16", 1_000),
}
# 4 bits: eight values in each U32; one scale and one bias for every 64 values.
QUANTIZED: Tensors = {
    "model.embed_tokens.weight": ("U32", 1_000_000 // 8),
    "model.embed_tokens.scales": ("BF16", 1_000_000 // 64),
    "model.embed_tokens.biases": ("BF16", 1_000_000 // 64),
    "model.norm.weight": ("BF16", 1_000),
}


def weight_file(path: Path, tensors: Tensors) -> None:
    """A safetensors file, whole."""
    header = {}
    at = 0
    for name, (dtype, count) in tensors.items():
        end = at + count * _BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": [count], "data_offsets": [at, end]}
        at = end
    encoded = json.dumps({"__metadata__": {"format": "mlx"}, **header}).encode()
    with path.open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        file.truncate(8 + len(encoded) + at)


def model_folder(
    folder: Path,
    model_type: object = "gemma3_text",
    tensors: Tensors = PLAIN,
    **config: Any,
) -> Path:
    """A folder with config, weights and tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"model_type": model_type, **config}))
    (folder / "tokenizer.json").write_text("{}")
    weight_file(folder / "model.safetensors", tensors)
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
