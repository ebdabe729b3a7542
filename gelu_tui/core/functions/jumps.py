"""Where a function is not smooth: the lowest derivative that jumps, and where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gelu_tui.core.functions.expressions import Node
from gelu_tui.core.functions.numpy_operations import Array, values

LIMIT = 6.0  # functions are looked at for x in [−LIMIT, LIMIT]
HIGHEST = 3  # a jump of a higher derivative is not looked for

_STEP = 1 / 256
_GRID = np.linspace(-LIMIT, LIMIT, int(2 * LIMIT / _STEP) + 1)
_LEAST = 0.02  # a smaller jump is none
_FINER = (8, 64, 512)  # how much finer the next looks are
_PLACES = 4  # how many of the largest changes are looked at again
_ROUNDING = 20 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Jump:
    """A derivative that jumps (0: the value itself) at x, or is infinite there."""

    derivative: int
    at: float


def first_jump(node: Node) -> Jump | None:
    """Return where the lowest derivative jumps that does; None up to the third: it is smooth.

    Of several jumps of that derivative the largest.
    """
    ys = values(node, _GRID)
    for derivative in range(HIGHEST + 1):
        changes = _changes(ys, derivative, _STEP)
        for index in np.argsort(changes)[::-1][:_PLACES]:
            if changes[index] < _LEAST:
                break
            reach = slice(max(0, index - derivative - 2), index + derivative + 3)
            largest, size = float(changes[reach].max()), 1 + float(np.abs(ys[reach]).max())
            at = _jump_near(node, derivative, float(_GRID[index]), largest, size)
            if at is not None:
                return Jump(derivative, at)
    return None


def _changes(ys: Array, derivative: int, step: float) -> Array:
    """How much a derivative changes from one step to the next, by differences."""
    with np.errstate(all="ignore"):
        found: Array = np.abs(np.diff(ys, derivative + 1)) / step**derivative
    return found


def _jump_near(
    node: Node, derivative: int, start: float, change: float, size: float
) -> float | None:
    """Look closer: on finer grids a jump stays as large, while a curve's bends shrink.

    `size` is that of the values.
    """
    # Finer than this, differences of so high an order are rounding alone.
    rounding = _ROUNDING * size * 2 ** (derivative + 1) / (0.1 * change)
    finest = rounding ** (1 / derivative) if derivative else 0.0
    place = None
    for step in (_STEP / times for times in _FINER):
        if step < finest:
            break
        xs = np.arange(start - _STEP, start + (derivative + 2) * _STEP, step)
        finer = _changes(values(node, xs), derivative, step)
        wrong = np.flatnonzero(~np.isfinite(finer))
        at = int(wrong[len(wrong) // 2] if wrong.size else np.argmax(finer))
        if not wrong.size and finer[at] <= 0.4 * change:
            return None
        place = round(float(xs[at]) + (derivative + 1) / 2 * step, 4) + 0.0
        change = float(np.nan_to_num(finer[at]))
    return place
