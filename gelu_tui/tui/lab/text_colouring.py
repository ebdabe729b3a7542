"""What a text is coloured by: a function, a measure and a scale, and the levels that these give."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gelu_tui.core.scoring.measures import BOUNDS, MEASURES, Bounds, Measure, own_bounds
from gelu_tui.core.scoring.statistics import Scoring
from gelu_tui.tui.lab.text_scoring import ShownText, Values

_WORST = 100


class Colouring:
    """The choice, and what was computed for it last: `bounds` of the levels, the `worst` tokens.

    `variant` is an index of the scoring's variants; −1 before there is one.
    """

    def __init__(self) -> None:
        self.variant = -1
        self.measure: Measure = "kl"
        self.own_scale = True
        self.bounds: Bounds = BOUNDS["kl"]
        self.worst: list[int] = []

    @property
    def choice(self) -> tuple[object, ...]:
        """What the user has chosen."""
        return self.variant, self.measure, self.own_scale

    @property
    def is_relative(self) -> bool:
        """Whether the levels are those of the function's own scale."""
        return self.own_scale and self.measure != "top"

    def begin(self, scoring: Scoring) -> None:
        """Take the first function that is compared, unless one is chosen; not the control."""
        others = _compared(scoring)
        if self.variant not in range(len(scoring.rows)):
            others.sort(key=lambda index: scoring.started.variants[index].control)
            self.variant = others[0] if others else scoring.started.reference

    def turned(self, scoring: Scoring, by: int) -> int:
        """The next function that is compared."""
        others = _compared(scoring) or [self.variant]
        at = others.index(self.variant) if self.variant in others else -1
        return others[(at + by) % len(others)]

    def turn_measure(self) -> None:
        self.measure = MEASURES[(MEASURES.index(self.measure) + 1) % len(MEASURES)]

    def compute(self, shown: ShownText) -> None:
        """Compute the bounds and the worst tokens of what is scored so far."""
        values = shown.values(self.variant, self.measure)
        has_own = self.is_relative and len(values)
        self.bounds = own_bounds(values) if has_own else BOUNDS[self.measure]
        self.worst = shown.worst(self.variant, self.measure, _WORST)

    def levels(self, shown: ShownText) -> tuple[Callable[[int], int], tuple[object, ...]]:
        """The level of each token that is scored by now, and a key that differs where they do."""
        assert shown.state is not None
        positions = shown.state.text.positions
        levels = levels_of(shown.values(self.variant, self.measure), self.bounds)
        count = len(levels)

        def level_of(token: int) -> int:
            at = positions[token] if token < len(positions) else -1
            return int(levels[at]) if 0 <= at < count else 0

        return level_of, (shown, self.variant, self.measure, self.bounds, count)


def _compared(scoring: Scoring) -> list[int]:
    return [index for index in range(len(scoring.rows)) if index != scoring.started.reference]


def levels_of(values: Values, bounds: Bounds) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """The level of each value, negative for a negative one; 0 for 0."""
    found = np.searchsorted(np.array(bounds), np.abs(values), side="right")
    return np.where(values == 0, 0, found * np.sign(values).astype(np.int64))
