"""Row-wise feed-forward: one set of weights, another activation function in every batch row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from gelu_tui.core.families import Family
from gelu_tui.engine.families import layers_of
from gelu_tui.engine.functions import Function


class RowFunctions:
    """The functions of the rows that go through the model now; shared by all its layers."""

    def __init__(self) -> None:
        self.rows: tuple[Function, ...] = ()

    @contextmanager
    def use(self, *rows: Function) -> Iterator[None]:
        """Within this context, batch row i is computed with function i."""
        previous, self.rows = self.rows, rows
        try:
            yield
        finally:
            self.rows = previous

    def __call__(self, gate: mx.array) -> mx.array:
        """Apply function i to row i of (rows, length, width).

        Raises ValueError when the batch has another number of rows: a row that silently took its
        neighbour's function would be a wrong result.
        """
        if gate.shape[0] != len(self.rows):
            raise ValueError(f"{gate.shape[0]} rows, but {len(self.rows)} activation functions")
        if len(self.rows) == 1:
            return self.rows[0](gate)
        parts = mx.split(gate, len(self.rows), axis=0)
        return mx.concatenate(
            [function(part) for function, part in zip(self.rows, parts, strict=True)], axis=0
        )


class RowwiseFeedForward(nn.Module):
    """mlx-lm's gated feed-forward over the SAME projection modules, plain or quantized.

    down(f_i(gate(x)) · up(x)), f_i by row; see `MLP` in mlx-lm's gemma, gemma2 and gemma3_text.
    """

    def __init__(self, original: Any, functions: RowFunctions) -> None:
        super().__init__()
        self.gate_proj = original.gate_proj
        self.up_proj = original.up_proj
        self.down_proj = original.down_proj
        self._functions = functions  # an underscore keeps it out of the parameters

    def __call__(self, x: mx.array) -> mx.array:
        """(rows, length, hidden) to the same shape."""
        return self.down_proj(self._functions(self.gate_proj(x)) * self.up_proj(x))


@contextmanager
def rowwise(model: Any, family: Family) -> Iterator[RowFunctions]:
    """Within this context the model's feed-forward modules are row-wise; afterwards the model is
    exactly as it was: the very same module objects stand in their places.

    Neither mlx-lm's classes nor its module globals are touched.
    """
    functions = RowFunctions()
    blocks: Sequence[Any] = layers_of(model, family)
    originals = [block.mlp for block in blocks]
    try:
        for block, original in zip(blocks, originals, strict=True):
            block.mlp = RowwiseFeedForward(original, functions)
        yield functions
    finally:
        for block, original in zip(blocks, originals, strict=True):
            block.mlp = original
