"""The A/A control: whether one function on several rows has bit-identical logits here."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np

from gelu_tui.core.protocol import SelfCheckReport
from gelu_tui.engine import device
from gelu_tui.engine.compute import caches
from gelu_tui.engine.compute.activation_sites import RowFunctions
from gelu_tui.engine.compute.decode import decode, prefill
from gelu_tui.engine.compute.functions import Function
from gelu_tui.engine.failures import IsCancelled

_STEPS = 3
_PROMPT_TOKENS = 8


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
    differences = []
    with sites.use(*[function] * rows):
        for step in islice(decode(model, cache, [head[-1]] * rows, ahead=False), _STEPS):
            difference = np.abs(step.logits - step.logits[:1]).max()
            differences.append(float(np.nan_to_num(difference, nan=np.inf)))
    return SelfCheckReport(rows, _STEPS, not any(differences), max(differences))
