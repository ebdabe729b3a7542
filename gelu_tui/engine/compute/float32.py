"""A model whose hidden states are float32 whatever its weights are, without a copy of them.

MLX computes in float32 as soon as one operand is. So the embeddings return float32, and each matrix
is widened for its own multiplication only, the output head in slices. Vectors are small, and some
are used without hidden states (Gemma's norms compute 1 + weight): they are widened beforehand.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from gelu_tui.engine.compute.elsewhere import LayersElsewhere

# Bytes of a widened weight; a larger one is multiplied in parts.
_SLICE = 64 * 1024 * 1024


@contextmanager
def in_float32(model: Any) -> Iterator[None]:
    """Within this context the model computes in float32; afterwards it is exactly as it was."""
    modules = [module for _, module in model.named_modules()]
    changed = [(module, type(module)) for module in modules if type(module) in _WIDENED]
    vectors: list[tuple[Any, str, mx.array]] = [
        (module, name, value)
        for module in modules
        for name, value in module.items()
        if isinstance(value, mx.array) and value.ndim < 2 and _wide(value) is not value
    ]
    elsewhere = LayersElsewhere.of(model)
    try:
        for layers in elsewhere:
            layers.float32 = True
        for module, kind in changed:
            module.__class__ = _WIDENED[kind]
        for module, name, value in vectors:
            module[name] = _wide(value)
        yield
    finally:
        for module, name, value in vectors:
            module[name] = value
        for module, kind in changed:
            module.__class__ = kind
        for layers in elsewhere:
            layers.float32 = False


def _wide(x: mx.array) -> mx.array:
    """Floating numbers as float32; scales of some quantizations are not floating."""
    narrow = mx.issubdtype(x.dtype, mx.floating) and x.dtype != mx.float32
    return x.astype(mx.float32) if narrow else x


def _in_slices(x: mx.array, weight: mx.array) -> mx.array:
    """x times the transpose of a weight of shape (outputs, inputs), some outputs at a time."""
    rows = max(1, _SLICE // (4 * weight.shape[1]))
    if weight.dtype == mx.float32 or weight.shape[0] <= rows:
        return x @ weight.T
    parts = []
    for at in range(0, weight.shape[0], rows):
        parts.append(x @ weight[at : at + rows].T)
        mx.eval(parts[-1])  # or all slices would be widened before the first is multiplied
    return mx.concatenate(parts, axis=-1)


class _Embedding(nn.Embedding):
    def __call__(self, x: mx.array) -> mx.array:
        return super().__call__(x).astype(mx.float32)

    def as_linear(self, x: mx.array) -> mx.array:
        return _in_slices(x, self.weight)


class _QuantizedEmbedding(nn.QuantizedEmbedding):
    def __call__(self, x: mx.array) -> mx.array:
        biases = self.get("biases")
        return mx.dequantize(
            self.weight[x],
            scales=_wide(self.scales[x]),
            biases=None if biases is None else _wide(biases[x]),
            group_size=self.group_size,
            bits=self.bits,
            mode=self.mode,
        ).astype(mx.float32)


class _Linear(nn.Linear):
    def __call__(self, x: mx.array) -> mx.array:
        y = _in_slices(x, self.weight)
        return y + self.bias if "bias" in self else y


_WIDENED: dict[type, type] = {
    nn.Embedding: _Embedding,
    nn.QuantizedEmbedding: _QuantizedEmbedding,
    nn.Linear: _Linear,
}
