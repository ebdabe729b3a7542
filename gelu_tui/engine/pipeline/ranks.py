"""This process among those that mlx.launch has started."""

from __future__ import annotations

import os
import platform

from gelu_tui.core.errors import UsageError
from gelu_tui.core.protocol import Rank

_VARIABLE = "MLX_RANK"


def own_rank() -> int:
    """The number of this rank, as mlx.launch tells it. Raises `UsageError` without a launcher."""
    number = os.environ.get(_VARIABLE, "")
    if not number.isdecimal():
        raise UsageError(
            "engine --pipeline is one of several ranks, and no launcher has told it which.",
            "Let mlx.launch start it, or use engine --ranks or engine --hostfile.",
        )
    return int(number)


def this_rank(first: int, end: int, weight_bytes: int) -> Rank:
    """What is told of this rank, which holds the layers `first` to `end`."""
    return Rank(platform.node() or "unknown", first, end, weight_bytes)
