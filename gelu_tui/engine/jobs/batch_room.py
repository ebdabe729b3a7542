"""How many prompts may be in one batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlx_lm.models.cache import ArraysCache, make_prompt_cache

from gelu_tui.core import protocol as p
from gelu_tui.engine import device
from gelu_tui.engine.compute import caches
from gelu_tui.engine.compute.decode import vocabulary_of
from gelu_tui.engine.jobs.request import Request

_MOST_ROWS = 64  # unless another limit is asked for: more gain little

# Float32 logits of a row that are held at once: of the present step and of those that are still
# observed, and what their statistics compute with.
_HELD_LOGITS = 8

# The rest is for a layer's cache while it is copied, and for replays.
_SHARE_OF_FREE_MEMORY = 0.7


class BatchRoom:
    """The room for rows, by their number and by the memory that is free when the batch begins.

    All rows of a batch are as long as its longest one. `size` says how many prompts like the first
    one fit.
    """

    def __init__(self, model: Any, first: Request, most_rows: int) -> None:
        """`most_rows` is the limit that was asked for; 0: as many as fit."""
        self._count = len(first.variants)
        self._logit_bytes = 4 * vocabulary_of(model) * _HELD_LOGITS
        self._cache_bytes = caches.bytes_of_row(model)
        self._free = device.free_memory() * _SHARE_OF_FREE_MEMORY
        self._most_rows = most_rows or _MOST_ROWS
        self._recurrent = any(isinstance(c, ArraysCache) for c in make_prompt_cache(model))
        rows = min(self._most_rows, int(self._free // self._row_bytes(_length(first))))
        prompts, reason = max(1, rows // self._count), ""
        if first.started.settings.schedule == "solo":
            prompts, reason = 1, "each function runs alone"
        elif not caches.can_mix(model):
            prompts, reason = 1, "mlx-lm cannot batch the caches of this model"
        self.size = p.BatchSize(prompts * self._count, prompts, reason)

    def has_room(self, new: Request, there: Sequence[Request], *, first_step: bool) -> bool:
        """Whether a prompt fits beside those that are there; the first one always does.

        `first_step`: one of them has not made its first step.
        """
        if not there:
            return True
        if self._must_begin_alone(new) or (first_step and any(map(self._must_begin_alone, there))):
            return False
        rows = (len(there) + 1) * self._count
        longest = max(map(_length, (new, *there)))
        return rows <= self._most_rows and rows * self._row_bytes(longest) <= self._free

    def _must_begin_alone(self, request: Request) -> bool:
        """A recurrent layer that has read nothing computes otherwise than one with a state of 0."""
        return self._recurrent and len(request.started.prompt_tokens) == 1

    def _row_bytes(self, tokens: int) -> int:
        return self._logit_bytes + self._cache_bytes(tokens)


def _length(request: Request) -> int:
    """The tokens that a row may hold."""
    return len(request.started.prompt_tokens) + request.started.settings.max_tokens
