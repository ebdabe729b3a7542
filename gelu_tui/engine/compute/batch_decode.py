"""Decoding rows of several prompts together: they enter and leave at any step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx
import numpy as np

from gelu_tui.engine.compute import caches
from gelu_tui.engine.compute.decode import CLEAR_CACHE_EVERY, Decoded
from gelu_tui.engine.compute.row_functions import RowFunction, RowFunctions

Choose = Callable[[mx.array], mx.array]  # (rows, vocabulary) in the model's dtype to (rows,) ids


class BatchDecoder:
    """The rows of a batch: their caches, functions and last tokens. All begin at batch size 1.

    A step is not started before the one before it is read, also on a GPU: rows may come and go
    between the two.
    """

    def __init__(self, model: Any, sites: RowFunctions) -> None:
        self._model, self._sites = model, sites
        self._cache: list[Any] = []
        self._functions: list[RowFunction] = []
        self._tokens: list[int] = []
        self._steps = 0

    @property
    def rows(self) -> int:
        return len(self._tokens)

    def admit(
        self, rows: Sequence[list[Any]], functions: Sequence[RowFunction], tokens: Sequence[int]
    ) -> None:
        """Append rows: their prefilled caches, functions, and the tokens that come next."""
        mixed = caches.mix(self._model, rows)
        if self._cache:
            caches.extend(self._cache, mixed)
        else:
            self._cache = mixed
        self._functions.extend(functions)
        self._tokens.extend(tokens)
        mx.clear_cache()

    def select(self, rows: Sequence[int]) -> None:
        """Keep only these rows, in this order."""
        if list(rows) == list(range(self.rows)):
            return
        if rows:
            caches.select(self._cache, rows)
        else:
            self._cache = []
        self._functions = [self._functions[row] for row in rows]
        self._tokens = [self._tokens[row] for row in rows]
        mx.clear_cache()

    def step(self, choose: Choose | list[int]) -> Decoded:
        """Decode one token of every row; `choose` may be the tokens themselves.

        `Decoded.logits` is a view of MLX's memory, read only.
        """
        inputs = mx.array(self._tokens, dtype=mx.int32)[:, None]
        with self._sites.use(*self._functions):
            logits = self._model(inputs, cache=self._cache)[:, -1, :]
        chosen = mx.array(choose) if isinstance(choose, list) else choose(logits)
        wide = logits.astype(mx.float32)
        mx.eval(chosen, wide)
        view = np.array(wide, copy=False)
        view.flags.writeable = False
        self._tokens = np.array(chosen).tolist()
        self._steps += 1
        if self._steps % CLEAR_CACHE_EVERY == 0:
            mx.clear_cache()
        return Decoded(self._tokens, view)
