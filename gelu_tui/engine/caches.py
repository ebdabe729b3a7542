"""Joining the caches of rows that were prefilled one by one."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import mlx.core as mx


def join(rows: Sequence[list[Any]]) -> list[Any]:
    """Join per-row prompt caches (batch 1, equal length) into one of `len(rows)` rows.

    The result is of mlx-lm's own cache types, with every bookkeeping field of the first row: all
    rows hold the same number of tokens, so no padding and no mask is needed.
    """
    joined = []
    for layer in zip(*rows, strict=True):
        cache = copy.copy(layer[0])
        if cache.keys is not None:
            cache.keys = mx.concatenate([row.keys for row in layer], axis=0)
            cache.values = mx.concatenate([row.values for row in layer], axis=0)
        joined.append(cache)
    return joined


def arrays(cache: list[Any]) -> list[mx.array]:
    """The arrays that a prompt cache holds."""
    return [a for layer in cache if layer.keys is not None for a in (layer.keys, layer.values)]


def nbytes(cache: list[Any]) -> int:
    """Bytes that a prompt cache holds."""
    return sum(a.nbytes for a in arrays(cache))
