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
CLEAR_CACHE_EVERY = 256


def vocabulary_of(model: Any, rows: int = 1) -> int:
    """How many logits a position has. Nothing is computed: an array knows its shape before.

    `rows` are those that the functions in use are for.
    """
    return int(model(mx.zeros((rows, 1), mx.int32)).shape[-1])


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


def decode_again(
    model: Any,
    cache: list[Any],
    rows: list[list[int]],
    progress: Callable[[int], None],
    cancelled: IsCancelled,
) -> Logits:
    """Put tokens that were decoded before into a cache, as decoding did: step by step.

    A prefill of them would round differently. `rows` are the tokens of each row, two or more, from
    the prompt's last one on. The last one of each is not fed: returned are the logits, of shape
    (rows, vocabulary), that it was chosen from. `progress` receives the steps done. Raises
    `Interrupted`.
    """
    steps = mx.array(rows, dtype=mx.int32)
    last = steps.shape[1] - 2
    for step in range(last):
        stop_if(cancelled())
        # Only the cache is evaluated, so that the output head does not run.
        model(steps[:, step : step + 1], cache=cache)
        mx.eval(caches.arrays(cache))
        progress(step + 1)
        if (step + 1) % CLEAR_CACHE_EVERY == 0:
            mx.clear_cache()
    stop_if(cancelled())
    logits = model(steps[:, last : last + 1], cache=cache)[:, -1, :]
    return np.array(logits.astype(mx.float32))


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
    last_tokens: list[int],
    *,
    ahead: bool,
    choose: Chooser | None = None,
    first_step: int = 0,
) -> Iterator[Decoded]:
    """Yield decode steps without end; every row continues with its own token, greedy by default.

    `last_tokens` are the tokens that each row's next one follows, at `first_step`.

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

    tokens, logits = start(mx.array(last_tokens, dtype=mx.int32), first_step)
    for step in itertools.count(first_step + 1):
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
        if step % CLEAR_CACHE_EVERY == 0:
            mx.clear_cache()
        tokens, logits = following
