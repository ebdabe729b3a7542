"""Prefill and greedy decode over mlx-lm's models and caches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import make_prompt_cache

from gelu_tui.core.statistics import Logits
from gelu_tui.engine import caches

TokenRule = Callable[[mx.array], mx.array]

# As mlx-lm does it: give freed buffers back now and then, not at every step.
_CLEAR_CACHE_EVERY = 256


def highest_logit(logits: mx.array) -> mx.array:
    """(rows, vocabulary) to (rows,): the token of the highest logit, the lowest id among equals."""
    return mx.argmax(logits, axis=-1)


def highest_logprob(logits: mx.array) -> mx.array:
    """mlx-lm's own rule for one row: argmax after subtracting logsumexp in the model's dtype.

    The subtraction rounds, so in bfloat16 it can make ties that the logits do not have.
    """
    return mx.argmax(logits - mx.logsumexp(logits, axis=-1, keepdims=True), axis=-1)


class Interrupted(Exception):
    """A cancel was seen between two chunks."""


def prefill(
    model: Any,
    tokens: list[int],
    chunk: int,
    progress: Callable[[int], None],
    cancelled: Callable[[], bool],
) -> list[Any]:
    """A batch-1 prompt cache of all tokens but the last, which is the first decode step's input.

    `progress` gets the tokens done after each chunk. Raises `Interrupted`.
    """
    cache = make_prompt_cache(model)
    end = len(tokens) - 1
    for start in range(0, end, chunk):
        if cancelled():
            raise Interrupted
        model(mx.array([tokens[start : min(start + chunk, end)]]), cache=cache)
        mx.eval(caches.arrays(cache))
        progress(min(start + chunk, end))
        mx.clear_cache()
    return cache


@dataclass(frozen=True)
class Decoded:
    """One decode step: the chosen token of each row, and (rows, vocabulary) float32 logits.

    `logits` is a view of MLX's memory, read only.
    """

    tokens: list[int]
    logits: Logits


def decode(
    model: Any,
    cache: list[Any],
    last_token: int,
    rows: int,
    *,
    ahead: bool,
    rule: TokenRule = highest_logit,
) -> Iterator[Decoded]:
    """Yield decode steps without end; every row continues with its own token.

    `ahead` starts the next step before waiting for the present one: on a GPU this hides the time
    that Python takes to describe a step. On a CPU starting a step blocks until it is nearly done,
    so there the present tokens are handed out first.
    """

    def forward(tokens: mx.array) -> tuple[mx.array, mx.array]:
        logits = model(tokens[:, None], cache=cache)[:, -1, :]
        return rule(logits), logits.astype(mx.float32)

    tokens, logits = forward(mx.full((rows,), last_token, dtype=mx.int32))
    mx.async_eval(tokens, logits)
    step = 0
    while True:
        next_tokens, next_logits = forward(tokens)
        if ahead:
            mx.async_eval(next_tokens, next_logits)
        ids = np.array(tokens).tolist()
        mx.eval(logits)
        view = np.array(logits, copy=False)
        view.flags.writeable = False
        yield Decoded(ids, view)
        del view
        if not ahead:
            mx.async_eval(next_tokens, next_logits)
        step += 1
        if step % _CLEAR_CACHE_EVERY == 0:
            mx.clear_cache()
        tokens, logits = next_tokens, next_logits
