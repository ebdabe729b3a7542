"""A model's own inputs under the curves: of all layers or one, as a histogram and in words."""

from __future__ import annotations

from collections.abc import Sequence

from gelu_tui.core import protocol as p
from gelu_tui.core.lab.inputs import InputsFunction, ReadInputs, summary
from gelu_tui.core.reports.numbers import number
from gelu_tui.core.safe_text import visible_line
from gelu_tui.tui.widgets.bars import Histogram

_MARKS = ("0.005", "0.5", "0.995")
_MOST_FUNCTIONS = 4  # in a sentence


def places(read: ReadInputs) -> int:
    """How many histograms there are: that of all layers, and one for each site."""
    return 0 if read.found is None else 1 + len(read.found.layers)


def histogram(read: ReadInputs, place: int) -> Histogram | None:
    """That of all layers (0) or of one site, with its median and where 99 % lie."""
    if read.found is None:
        return None
    inputs = _inputs(read.found, place)
    edges, counts = inputs.histogram.edges, inputs.histogram.counts
    marks = [inputs.quantiles[share] for share in _MARKS]
    return Histogram(edges, counts, f"inputs of {_name(read.found, place)}", marks, "99 %")


def sentence(read: ReadInputs, place: int) -> str:
    """The summary of all, or a site's figures with the functions' errors there."""
    if read.found is None:
        return ""
    if place == 0:
        return summary(read.found.all, read.functions)
    site = read.found.layers[place - 1]
    low, high = (number("{:.3g}", site.quantiles[share]) for share in ("0.005", "0.995"))
    mean, std = number("{:.3g}", site.mean), number("{:.3g}", site.std)
    where = f"{_name(read.found, place).capitalize()}: 99 % in [{low}, {high}]"
    errors = _errors(site, read.functions)
    return f"{where}, mean {mean}, std {std}.{f' RMSE {errors}.' if errors else ''}"


def _errors(site: p.SiteInputs, functions: Sequence[InputsFunction]) -> str:
    """The functions' weighted errors at a site, the largest first."""
    found = [
        (each.weighted_rmse, visible_line(f.name))
        for f in functions
        for each in f.layers
        if (each.layer, each.site) == (site.layer, site.site) and each.weighted_rmse
    ]
    shown = sorted(found, reverse=True)[:_MOST_FUNCTIONS]
    return ", ".join(f"{name} {number('{:.1e}', rmse)}" for rmse, name in shown)


def _inputs(found: p.InputsFound, place: int) -> p.InputStatistics:
    return found.all if place == 0 else found.layers[place - 1]


def _name(found: p.InputsFound, place: int) -> str:
    if place == 0:
        return "all layers"
    site = found.layers[place - 1]
    several = len({each.site for each in found.layers}) > 1
    return f"layer {site.layer}{f', {site.site}' if several else ''}"
