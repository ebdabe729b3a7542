"""The A/A control: whether one function on several rows has bit-identical logits here."""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from gelu_tui.core.protocol import SelfCheckReport
from gelu_tui.engine import device
from gelu_tui.engine.compute import caches
from gelu_tui.engine.compute.batch_decode import BatchDecoder
from gelu_tui.engine.compute.decode import Decoded, decode, prefill
from gelu_tui.engine.compute.functions import Function
from gelu_tui.engine.compute.row_functions import RowFunctions
from gelu_tui.engine.compute.statistics import Logits
from gelu_tui.engine.failures import IsCancelled, stop_if

_STEPS = 3
_PROMPT_TOKENS = 8
_LENGTHS = (8, 5, 2)  # of the prompts of a batch


def self_check(
    model: Any,
    sites: RowFunctions,
    function: Function,
    prompt: list[int],
    rows: int,
    cancelled: IsCancelled,
) -> SelfCheckReport:
    """Decode a few steps with the same function on every row and compare the logits bit by bit.

    The prompt is prefilled twice and its caches alternate between the rows, so a prefill that does
    not repeat itself shows too. `sites` belong to an installed row-wise model. The difference of a
    step is the largest absolute one of any row from the first, infinite for nan. Raises
    `Interrupted`.
    """
    head, chunk = prompt[:_PROMPT_TOKENS], device.prefill_chunk()
    with sites.use(function):
        prefilled = [prefill(model, head, chunk, lambda _: None, cancelled) for _ in range(2)]
    cache = caches.join([prefilled[row % 2] for row in range(rows)])
    with _separate(sites, function, rows):
        steps = islice(decode(model, cache, [head[-1]] * rows, ahead=False), _STEPS)
        differences = [_difference(step.logits, step.logits[:1]) for step in steps]
    return SelfCheckReport(rows, _STEPS, not any(differences), max(differences))


def batch_check(
    model: Any,
    sites: RowFunctions,
    function: Function,
    prompt: list[int],
    rows: int,
    alone: int,
    cancelled: IsCancelled,
) -> SelfCheckReport:
    """As `self_check`, for a batch of prompts of different length.

    Every row is compared with the first one of the same prompt in a batch of its own, which has
    `alone` rows. So the difference is what may make the tokens of a batch other ones than those of
    a run alone.
    """
    tokens = (prompt * max(_LENGTHS))[: max(_LENGTHS)]
    heads = [tokens[:length] for length in _LENGTHS]
    with sites.use(function):
        prefilled = [
            prefill(model, head, device.prefill_chunk(), lambda _: None, cancelled)
            for head in heads
        ]
    expected: list[list[Decoded]] = []
    for head, cache in zip(heads, prefilled, strict=True):
        stop_if(cancelled())
        with _separate(sites, function, alone):
            steps = decode(model, caches.join([cache] * alone), [head[-1]] * alone, ahead=False)
            expected.append(list(islice(steps, _STEPS)))
    which = [row % len(heads) for row in range(rows)]
    decoder = BatchDecoder(model, sites)
    decoder.admit([prefilled[i] for i in which], [function] * rows, [heads[i][-1] for i in which])
    differences = []
    for step in range(_STEPS):
        stop_if(cancelled())
        logits = decoder.step([expected[i][step].tokens[0] for i in which]).logits
        differences += [
            _difference(logits[row], expected[i][step].logits[0]) for row, i in enumerate(which)
        ]
    return SelfCheckReport(rows, _STEPS, not any(differences), max(differences), mixed=True)


def _separate(sites: RowFunctions, function: Function, rows: int) -> Any:
    """The same function on every row, called row by row as different ones are."""
    return sites.use(*(partial(function) for _ in range(rows)))


def _difference(some: Logits, other: Logits) -> float:
    """The largest absolute difference, infinite for nan."""
    return float(np.nan_to_num(np.abs(some - other).max(), nan=np.inf))
