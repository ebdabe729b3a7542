"""Greedy generation of rows that differ in their functions, up to where each leaves the first."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.engine import device
from gelu_tui.engine.compute import caches
from gelu_tui.engine.compute.decode import decode, prefill
from gelu_tui.engine.compute.row_functions import RowFunction, RowFunctions
from gelu_tui.engine.failures import IsCancelled, stop_if
from gelu_tui.engine.jobs.observer import Emit
from gelu_tui.engine.models.loading import LoadedModel

_ROWS = 32  # of a batch, the reference's included


def free_running(
    loaded: LoadedModel,
    sites: RowFunctions,
    prompt: list[int],
    reference: RowFunction,
    rows: Sequence[RowFunction],
    max_tokens: int,
    emit: Emit,
    cancelled: IsCancelled,
) -> tuple[list[int | None], int]:
    """The first divergent token of each row against the reference's own stream, and the steps.

    None where a row emits what the reference does to its end or through `max_tokens`. Each batch
    has a row of the reference. Raises `Interrupted`, and `GeluError` without room in the context.
    """
    room = loaded.context_length - len(prompt)
    if room < 1:
        message = f"The context of {loaded.context_length} tokens has no room after the prompt."
        raise GeluError("prompt_too_long", message, "Leave --free-running out.")
    found: list[int | None] = []
    longest = 0
    for start in range(0, len(rows), _ROWS - 1):
        part = rows[start : start + _ROWS - 1]
        first, steps = _batch(
            loaded, sites, prompt, [reference, *part], min(max_tokens, room), emit, cancelled
        )
        found += first
        longest = max(longest, steps)
    return found, longest


def _batch(
    loaded: LoadedModel,
    sites: RowFunctions,
    prompt: list[int],
    rows: Sequence[RowFunction],
    max_tokens: int,
    emit: Emit,
    cancelled: IsCancelled,
) -> tuple[list[int | None], int]:
    """The same of the rows of one batch, all but the first."""
    model, filled = loaded.model, []
    chunk = device.prefill_chunk(loaded.info.dtype)
    for number, row in enumerate(rows):
        emit(p.Progress("prefill", "prompt", number, len(rows), "parts"))
        with sites.use(row):
            filled.append(prefill(model, prompt, chunk, lambda _: None, cancelled))
    cache = caches.join(filled)
    del filled
    first: list[int | None] = [None] * (len(rows) - 1)
    with sites.use(*rows):
        steps = decode(model, cache, [prompt[-1]] * len(rows), ahead=False)
        for step in range(max_tokens):
            stop_if(cancelled())
            emit(p.Progress("layers", "free running", step, max_tokens, "tokens"))
            reference, *others = next(steps).tokens
            for index, token in enumerate(others):
                if first[index] is None and token != reference:
                    first[index] = step
            if reference in loaded.tokenizer.end_ids or None not in first:
                return first, step + 1
    mx.clear_cache()
    return first, max_tokens
