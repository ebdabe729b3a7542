"""Prefill and decode over mlx-lm's models and caches."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import make_prompt_cache

from gelu_tui.engine.compute import caches
from gelu_tui.engine.compute.statistics import Logits
from gelu_tui.engine.compute.token_selection import Chooser
from gelu_tui.engine.failures import IsCancelled, stop_if

# As mlx-lm does it: release freed buffers now and then, not at every step.
_CLEAR_CACHE_EVERY = 256


def prefill(
    model: Any,
    tokens: list[int],
    chunk: int,
    progress: Callable[[int], None],
    cancelled: IsCancelled,
) -> list[Any]:
    """A batch-1 prompt cache of all tokens but the last, which is the first decode step's input.

    `progress` receives the tokens done after each chunk. Raises `Interrupted`.
    """
    cache = make_prompt_cache(model)
    end = len(tokens) - 1
    for start in range(0, end, chunk):
        stop_if(cancelled())
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
    choose: Chooser | None = None,
) -> Iterator[Decoded]:
    """Yield decode steps without end; every row continues with its own token, greedy by default.

    `ahead` starts the next step before waiting for the present one: on a GPU this hides the time
    that Python takes to describe a step. On a CPU starting a step blocks until it is done, so the
    present tokens are yielded first.
    """
    choose = choose or Chooser()

    def start(tokens: mx.array, step: int) -> tuple[mx.array, mx.array]:
        logits = model(tokens[:, None], cache=cache)[:, -1, :]
        started = choose(logits, step), logits.astype(mx.float32)
        mx.async_eval(*started)
        return started

    tokens, logits = start(mx.full((rows,), last_token, dtype=mx.int32), 0)
    for step in itertools.count(1):
        if ahead:
            following = start(tokens, step)
        ids = np.array(tokens).tolist()
        mx.eval(logits)
        view = np.array(logits, copy=False)
        view.flags.writeable = False
        yield Decoded(ids, view)
        del view
        if not ahead:
            following = start(tokens, step)
        if step % _CLEAR_CACHE_EVERY == 0:
            mx.clear_cache()
        tokens, logits = following
