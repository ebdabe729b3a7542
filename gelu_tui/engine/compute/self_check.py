"""The A/A control: does one function on several rows give bit-identical logits on this machine?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from gelu_tui.core.protocol import SelfCheckReport
from gelu_tui.engine.compute import caches
from gelu_tui.engine.compute.activation_sites import RowFunctions
from gelu_tui.engine.compute.decode import decode, prefill
from gelu_tui.engine.compute.functions import Function

STEPS = 3
PROMPT_TOKENS = 8


def self_check(
    model: Any,
    functions: RowFunctions,
    function: Function,
    prompt: list[int],
    rows: int,
    chunk: int,
    cancelled: Callable[[], bool],
) -> SelfCheckReport:
    """Decode a few steps with the same function on every row and compare the logits bit by bit.

    The prompt is prefilled twice and its caches alternate between the rows, so a prefill that does
    not repeat itself shows too. `functions` belong to an installed row-wise model. Raises
    `Interrupted`.
    """
    head = prompt[:PROMPT_TOKENS]
    with functions.use(function):
        prefilled = [prefill(model, head, chunk, lambda _: None, cancelled) for _ in range(2)]
    cache = caches.join([prefilled[row % 2] for row in range(rows)])
    with functions.use(*[function] * rows):
        steps = decode(model, cache, head[-1], rows, ahead=False)
        differences = list(_differences(islice(steps, STEPS)))
    return SelfCheckReport(rows, STEPS, not any(differences), max(differences))


def _differences(steps: Iterator[Any]) -> Iterator[float]:
    """Per step, the largest absolute difference of any row from the first; nan counts as inf."""
    for step in steps:
        difference = np.abs(step.logits - step.logits[:1]).max()
        yield float(np.nan_to_num(difference, nan=np.inf))
