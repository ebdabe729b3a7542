"""Joined caches of rows that were prefilled one by one."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten, tree_map


def join(rows: Sequence[list[Any]]) -> list[Any]:
    """Join per-row prompt caches (batch 1, equal length) into one of `len(rows)` rows.

    The result has mlx-lm's own cache types, whichever the family uses, with the counters of the
    first row: all rows hold the same number of tokens, so that no padding or mask is needed.
    """

    def together(first: Any, *others: Any) -> Any:
        return mx.concatenate([first, *others], axis=0) if isinstance(first, mx.array) else first

    joined = []
    for layer in zip(*rows, strict=True):
        cache = copy.copy(layer[0])
        cache.state = tree_map(together, *(row.state for row in layer))
        joined.append(cache)
    return joined


def arrays(cache: list[Any]) -> list[mx.array]:
    """The arrays that a prompt cache holds."""
    leaves = (leaf for layer in cache for _, leaf in tree_flatten(layer.state))
    return [leaf for leaf in leaves if isinstance(leaf, mx.array)]
