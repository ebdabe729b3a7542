"""The bars of a variant's layers: a pure function from figures to rows of text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gelu_tui.core.lab.layers import VariantLayers
from gelu_tui.core.reports.layers import has_kinds, largest, place_of
from gelu_tui.core.reports.numbers import number
from gelu_tui.core.reports.share_bar import bar

_VALUE = 9  # cells of a number, and the gap before it
_LEAST_BAR = 8
_BOTH = 2 * (_LEAST_BAR + _VALUE) + 8  # cells from which both bars are shown
_MOST_DECADES = 8  # below the largest value; what is smaller has the shortest bar


@dataclass(frozen=True)
class Scale:
    """From a KL to the share of a bar's length."""

    high: float
    low: float = 0.0  # of a logarithmic scale: above 0

    @classmethod
    def of(cls, values: Sequence[float], *, log: bool) -> Scale:
        """The scale of some values, the largest of which fills the bar."""
        positive = [value for value in values if value > 0]
        if not positive:
            return cls(1.0, 0.1 if log else 0.0)
        high = max(positive)
        if not log:
            return cls(high)
        top = math.ceil(math.log10(high))
        bottom = math.floor(math.log10(min(positive)))
        return cls(10.0**top, 10.0 ** max(min(bottom, top - 1), top - _MOST_DECADES))

    def share(self, value: float) -> float:
        """How much of the bar a value fills, from 0 to 1."""
        if value <= 0:
            return 0.0
        if not self.low:
            return min(1.0, value / self.high)
        decades = math.log10(self.high / self.low)
        return min(1.0, max(0.02, math.log10(value / self.low) / decades))

    @property
    def words(self) -> str:
        """What a full bar is, and an empty one."""
        low = number("{:.0e}", self.low) if self.low else "0"
        return f"{low} to {number('{:.0e}' if self.low else '{:.2g}', self.high)}"


@dataclass(frozen=True)
class BarRows:
    """A heading, and a row for each site."""

    heading: str
    rows: list[str]


def bar_rows(
    variant: VariantLayers, width: int, *, log: bool, by_size: bool, ascii_only: bool = False
) -> BarRows:
    """Draw both bars of each site in `width` cells; where it is narrow only the first.

    Left is the KL of the swap in this layer alone, right that of the swap in all others.
    """
    kinds = has_kinds(variant)
    names = [place_of(layer, kinds=kinds) for layer in variant.layers]
    label = max(len("layer"), *map(len, names))
    both = width >= _BOTH
    room = width - label - 1 - (2 if both else 1) * (_VALUE + 1)
    cells = max(1, (room - 1) // 2 if both else room)
    alone = Scale.of([layer.noising.kl for layer in variant.layers], log=log)
    rest_kls = [layer.denoising.kl for layer in variant.layers]
    rest = Scale.of([*rest_kls, variant.all.kl if variant.all else 0.0], log=log)

    def half(value: float, scale: Scale) -> str:
        drawn = bar(scale.share(value), cells)
        if ascii_only:
            drawn = "#" * len(drawn)
        return f"{drawn:<{cells}} {number('{:.2e}', value):<{_VALUE}}"

    ordered = largest(variant) if by_size else variant.layers
    rows = []
    for layer in ordered:
        parts = [f"{place_of(layer, kinds=kinds):>{label}}", half(layer.noising.kl, alone)]
        if both:
            parts.append(half(layer.denoising.kl, rest))
        rows.append(" ".join(parts).rstrip())
    half_width = cells + 1 + _VALUE
    columns = [("only here", alone), ("all but here", rest)][: 2 if both else 1]
    titles = [_title(name, scale, half_width) for name, scale in columns]
    heading = " ".join(f"{title:<{half_width}}" for title in titles)
    return BarRows(f"{'layer':>{label}} {heading}".rstrip(), rows)


def _title(name: str, scale: Scale, width: int) -> str:
    """What a column of bars is, and its scale where there is room: half a number would lie."""
    title = f"{name}: {scale.words}"
    return title if len(title) <= width else name[:width]
