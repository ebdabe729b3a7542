"""Random weights that are the same on every machine: from a tensor's name and shape alone."""

from __future__ import annotations

import zlib

import numpy as np

# Their norms are stored as they are; those of the others are stored less one.
_PLAIN_NORMS = ("gemma3n", "gemma4_text")


def tensor(model: str, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """One float32 parameter of a golden model; NumPy never changes what RandomState gives."""
    seed = zlib.crc32(f"{model}/{name}".encode())
    values = np.random.RandomState(seed).standard_normal(shape).astype(np.float32)
    if name.endswith("norm.weight") or "layernorm" in name or "norm" in name.split(".")[-2]:
        one = 1 if model.partition("-")[0] in _PLAIN_NORMS else 0
        return one + np.float32(0.1) * values
    if "embed" in name:
        return np.float32(0.05) * values
    if name.endswith(("scalar", "scale")):
        return 1 + np.float32(0.1) * values
    return np.float32(0.3) * values
