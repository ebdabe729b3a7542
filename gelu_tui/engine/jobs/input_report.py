"""The event that says what is found of a model's inputs, from their counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from gelu_tui.core import protocol as p
from gelu_tui.engine.compute.function_errors import ErrorTable, Largest
from gelu_tui.engine.compute.input_counts import Counts
from gelu_tui.engine.compute.row_functions import Site

_QUANTILES = (0.001, 0.005, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.995, 0.999)
_INNER = (0.005, 0.995)
# Bins end where so many of the inputs lie below.
_BINS = (0.001, 0.01, 0.05, 0.2, 0.5, 0.8, 0.95, 0.99, 0.999)


def inputs_found(
    positions: int, sites: Mapping[Site, Counts], every: Counts, tables: Mapping[int, ErrorTable]
) -> p.InputsFound:
    """What is found until now; the tables are filled."""
    borders = borders_of(every)
    layers = sorted(sites, key=lambda site: site.layer)  # of one layer in the order of its sites
    return p.InputsFound(
        positions,
        tuple(
            p.SiteInputs(layer=site.layer, site=site.kind, **_statistics(sites[site]))
            for site in layers
        ),
        p.InputStatistics(**_statistics(every)),
        tuple(
            _on_inputs(number, table, every, {site: sites[site] for site in layers}, borders)
            for number, table in tables.items()
        ),
    )


def borders_of(counts: Counts) -> list[int]:
    """The number of the first value of each bin, and what comes after the last one."""
    there = np.flatnonzero(counts.inputs)
    inner = (place + 1 for place in counts.places(_BINS))
    return sorted({int(there[0]), *inner, int(there[-1]) + 1})


def _statistics(counts: Counts) -> dict[str, Any]:
    mean, std = counts.moments()
    edges, of_bins = counts.histogram()
    return {
        "count": counts.total,
        "mean": mean,
        "std": std,
        "minimum": counts.minimum,
        "maximum": counts.maximum,
        "quantiles": {
            f"{share:g}": x
            for share, x in zip(_QUANTILES, counts.quantiles(_QUANTILES), strict=True)
        },
        "histogram": p.Histogram(tuple(edges.tolist()), tuple(of_bins.tolist())),
    }


def _on_inputs(
    number: int,
    table: ErrorTable,
    every: Counts,
    sites: Mapping[Site, Counts],
    borders: list[int],
) -> p.FunctionOnInputs:
    ends = every.minimum, every.maximum
    first, last = every.places(_INNER)  # of all inputs, as the sentence about them says
    if table.limits is not None:
        sites = {site: each for site, each in sites.items() if table.limits.includes(*site)}
        every = Counts.none(every.grid)
        for each in sites.values():
            every.add(each)
    largest = table.largest(every)
    has_inner = every.inputs[first : last + 1].any()
    inner = table.largest(every, first, last + 1) if has_inner else Largest(0.0, every.minimum)
    return p.FunctionOnInputs(
        variant=number,
        max_abs_error=largest.error,
        at=largest.at,
        inner_max_abs_error=inner.error,
        inner_at=inner.at,
        weighted_rmse=table.rmse(every),
        geglu_relative_error=table.geglu_error(every),
        differs_in_dtype=table.differs(every),
        differs_in_bfloat16=table.differs_in_bfloat16(every),
        layers=tuple(_at_site(table, site, counts) for site, counts in sites.items()),
        bins=_bins(table, every, borders, ends),
    )


def _at_site(table: ErrorTable, site: Site, counts: Counts) -> p.ErrorAtSite:
    largest = table.largest(counts)
    return p.ErrorAtSite(
        layer=site.layer,
        site=site.kind,
        max_abs_error=largest.error,
        at=largest.at,
        weighted_rmse=table.rmse(counts),
        geglu_relative_error=table.geglu_error(counts),
    )


def _bins(
    table: ErrorTable, counts: Counts, borders: list[int], ends: tuple[float, float]
) -> tuple[p.ErrorBin, ...]:
    low = [ends[0], *counts.grid.low[borders[1:-1]].tolist(), ends[1]]
    return tuple(
        p.ErrorBin(
            low=low[i],
            high=low[i + 1],
            share_of_inputs=int(counts.inputs[borders[i] : borders[i + 1]].sum()) / counts.total,
            share_of_error=shares[0],
            share_of_geglu_error=shares[1],
            share_of_difference=shares[2],
        )
        for i, shares in enumerate(table.shares(counts, borders))
    )
