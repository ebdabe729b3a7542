"""What a token of a scored text is coloured by, in a few levels: for the eye."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from math import inf
from typing import Literal

import numpy as np

from gelu_tui.core.scoring.tokens import Figures

Measure = Literal["kl", "delta_p", "top"]
MEASURES: tuple[Measure, ...] = ("kl", "delta_p", "top")
MEASURE_NAMES: dict[Measure, str] = {
    "kl": "KL",
    "delta_p": "Δp of the text's token",
    "top": "other top-1 token",
}
TOP_LEVEL = 4

Bounds = tuple[float, float, float, float]  # where each level begins

# KL in nats; the size of Δp in percentage points; 1 where another token is the most probable one.
BOUNDS: dict[Measure, Bounds] = {
    "kl": (1e-6, 1e-4, 1e-2, 1.0),
    "delta_p": (0.1, 1.0, 5.0, 20.0),
    "top": (1.0, 1.0, 1.0, 1.0),
}
# The percentiles at which the levels of a scale begin that is relative to one function.
_PERCENTILES = (50.0, 90.0, 99.0, 99.9)
RELATIVE = ("below the median", "≥ median", "≥ 90 %", "≥ 99 %", "≥ 99.9 %")


def measured(figures: Figures, measure: Measure) -> float | None:
    """The value of a token; None where there is none."""
    if measure == "kl":
        return figures.kl
    if measure == "delta_p":
        return figures.delta_p
    return None if figures.same_top_1 is None else float(not figures.same_top_1)


def own_bounds(values: Iterable[float | None]) -> Bounds:
    """Where the levels begin on a function's own scale: at percentiles of its values' sizes."""
    known = [abs(value) for value in values if value is not None]
    if not known:
        return (inf, inf, inf, inf)
    a, b, c, d = map(float, np.percentile(known, _PERCENTILES))
    return (a, b, c, d)


def level(value: float | None, bounds: Sequence[float]) -> int:
    """How remarkable a value is: 0 to `TOP_LEVEL`, negative for a negative one; 0 without one."""
    if not value:  # where all values are 0, so are the bounds
        return 0
    found = bisect_right(bounds, abs(value))
    return -found if value < 0 else found


def legend(measure: Measure, bounds: Sequence[float]) -> tuple[str, ...]:
    """What each level means, from 0 up; of `top` there is only the last."""
    if measure == "top":
        return ("same top-1", "other top-1")
    form, unit = ("{:.0e}", "nats") if measure == "kl" else ("{:.2g}", "pp")
    first, *others = (_short(form, bound) for bound in bounds)
    return (f"< {first}", first, *others[:-1], f"≥ {others[-1]} {unit}")


def _short(form: str, bound: float) -> str:
    """A bound in few characters: 1e-6, 0.01, 1."""
    if form == "{:.0e}" and not 0.01 <= bound < 1000:
        return form.format(bound).replace("e-0", "e-").replace("e+0", "e")
    return f"{bound:.2g}"
