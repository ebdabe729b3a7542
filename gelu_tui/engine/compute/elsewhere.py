"""Placeholders in a model for layers that other processes hold, and for the caches of those.

The classes here are abstract; `engine.pipeline` implements them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from gelu_tui.engine.compute.row_functions import RowFunctions


class LayersElsewhere(nn.Module):
    """Replaces the last layers of a model, which other processes compute.

    `functions` and `float32` apply to those layers as they do to the model's own modules.
    """

    def __init__(self) -> None:
        super().__init__()
        self.functions: RowFunctions | None = None  # None: the model's own function
        self.float32 = False  # hidden states, whatever the weights are

    @staticmethod
    def of(model: Any) -> list[LayersElsewhere]:
        """Those of a model: one at most."""
        return [module for module in model.modules() if isinstance(module, LayersElsewhere)]

    @abstractmethod
    def __call__(self, hidden: mx.array, mask: Any, cache: CacheElsewhere | None) -> mx.array: ...

    @abstractmethod
    def first_not_finite(self) -> str | None:
        """The name of the first tensor that holds nan or infinity, if any does."""


class CacheElsewhere:
    """The caches of layers elsewhere. Its methods are those of mlx-lm's caches, and `join`."""

    state = ()  # there is nothing to evaluate here
    nbytes = 0

    @abstractmethod
    def join(self, rows: Sequence[CacheElsewhere]) -> CacheElsewhere:
        """As `caches.join`."""

    @abstractmethod
    def merge(self, rows: Sequence[CacheElsewhere]) -> CacheElsewhere:
        """A batch cache of prompt caches of any length."""

    @abstractmethod
    def extend(self, other: CacheElsewhere) -> None:
        """Append the rows of another batch cache."""

    @abstractmethod
    def filter(self, rows: mx.array) -> None:
        """Keep only these rows of a batch cache, in this order."""
