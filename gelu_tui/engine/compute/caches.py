"""Joined caches of rows that were prefilled one by one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten, tree_map
from mlx_lm.models.cache import BatchKVCache, make_prompt_cache

from gelu_tui.engine.compute.elsewhere import CacheElsewhere


def join(rows: Sequence[list[Any]]) -> list[Any]:
    """Join per-row prompt caches (batch 1, equal length) into one of `len(rows)` rows.

    The result has mlx-lm's own cache types, whichever the family uses, with the counters of the
    first row: all rows hold the same number of tokens, so that no padding or mask is needed.
    """

    def together(first: Any, *others: Any) -> Any:
        return mx.concatenate([first, *others], axis=0) if isinstance(first, mx.array) else first

    joined = []
    for layer in zip(*rows, strict=True):
        if isinstance(layer[0], CacheElsewhere):
            joined.append(layer[0].join(layer))
            continue
        cache = copy.copy(layer[0])
        cache.state = tree_map(together, *(row.state for row in layer))
        joined.append(cache)
    return joined


def arrays(cache: list[Any]) -> list[mx.array]:
    """The arrays that a prompt cache holds."""
    leaves = (leaf for layer in cache for _, leaf in tree_flatten(layer.state))
    return [leaf for leaf in leaves if isinstance(leaf, mx.array)]


class _GroupedMask(BatchKVCache):
    """For attention that has a dimension of its own for the heads that share a key."""

    def make_mask(self, N: int, return_array: bool = False, **more: Any) -> mx.array:  # noqa: N803
        return super().make_mask(N, return_array, **more)[:, :, None]


def can_mix(model: Any) -> bool:
    """Whether mlx-lm can batch this model's caches of different length."""
    return all(hasattr(layer, "merge") for layer in make_prompt_cache(model))


def mix(model: Any, rows: Sequence[list[Any]]) -> list[Any]:
    """Put per-row prompt caches of any length into mlx-lm's batch caches, padded on the left."""
    mixed = []
    for layer in zip(*rows, strict=True):
        cache = layer[0].merge(list(layer))
        if type(cache) is BatchKVCache and _is_grouped(model):
            cache.__class__ = _GroupedMask
        mixed.append(cache)
        mx.eval(arrays([cache]))
    return mixed


def extend(cache: list[Any], other: list[Any]) -> None:
    """Append the rows of one batch cache to another, layer by layer to need less memory."""
    for layer, more in zip(cache, other, strict=True):
        layer.extend(more)
        mx.eval(arrays([layer]))


def select(cache: list[Any], rows: Sequence[int]) -> None:
    """Keep only these rows of a batch cache, in this order."""
    chosen = mx.array(list(rows))
    for layer in cache:
        layer.filter(chosen)
        mx.eval(arrays([layer]))


def _is_grouped(model: Any) -> bool:
    """Whether it is a Gemma 2 whose attention has a dimension of groups, which masks lack."""
    return any(
        type(module).__module__ == "mlx_lm.models.gemma2" and getattr(module, "repeats", 1) > 1
        for _, module in model.named_modules()
    )


def bytes_of_row(model: Any) -> Callable[[int], int]:
    """The bytes of one row's cache as a function of the tokens that it holds."""
    cache = make_prompt_cache(model)
    model(mx.array([[0]]), cache=cache)  # not evaluated: an array knows its size before
    fixed, growing = 0, []  # bytes; bytes a token and the most tokens that are held
    for layer in cache:
        keys = getattr(layer, "keys", None)
        if keys is None:
            fixed += layer.nbytes
        else:
            held = getattr(layer, "max_size", None)
            growing.append((layer.nbytes // keys.shape[2], held))

    def total(tokens: int) -> int:
        return fixed + sum(each * min(tokens, held or tokens) for each, held in growing)

    return total
