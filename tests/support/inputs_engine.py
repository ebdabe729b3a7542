"""A stand-in for an engine that reads a model's inputs: made-up inputs of three layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from gelu_tui.core import protocol as p
from gelu_tui.core.functions.curves import EXACT
from gelu_tui.core.functions.numpy_operations import Array, values
from gelu_tui.core.functions.variants import parse_variants, resolve_reference

_SHARES = (0.001, 0.005, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.995, 0.999)
LAYERS = 3
POSITIONS = 40


def inputs_events(command: p.GateInputs) -> Iterator[p.Event]:
    """The answers to a command, half of the positions after the other."""
    variants = parse_variants(command.settings.activations)
    infos = tuple(p.VariantInfo.of(v, "float32", "gelu_approx") for v in variants)
    reference = resolve_reference(variants, command.settings.reference, "gelu_approx")
    yield p.InputsStarted(infos, reference, POSITIONS, 1, POSITIONS, 512)
    for done in (POSITIONS // 2, POSITIONS):
        yield p.Progress("inputs", "window 1 of 1", done, POSITIONS, "tokens", 10.0)
        layers = [_drawn(layer, done) for layer in range(LAYERS)]
        every = np.concatenate(layers)
        yield p.InputsFound(
            done,
            tuple(
                p.SiteInputs(layer=layer, site="feed-forward", **_statistics(x))
                for layer, x in enumerate(layers)
            ),
            p.InputStatistics(**_statistics(every)),
            tuple(
                _on_inputs(number, values(variant.node, every) - values(EXACT.node, every), every)
                for number, variant in enumerate(variants)
            ),
        )
    yield p.InputsFinished("completed", 1.0, 0)


def _drawn(layer: int, positions: int) -> Array:
    """The inputs of a layer; a later one's are narrower."""
    random = np.random.default_rng(layer)
    return random.standard_normal(20 * positions) * 1.5 / (1 + layer) - 0.25


def _statistics(x: Array) -> dict[str, Any]:
    edges = np.linspace(x.min(), x.max(), 60)
    counts, _ = np.histogram(x, edges)
    return {
        "count": x.size,
        "mean": float(x.mean()),
        "std": float(x.std()),
        "minimum": float(x.min()),
        "maximum": float(x.max()),
        "quantiles": {f"{share:g}": float(np.quantile(x, share)) for share in _SHARES},
        "histogram": p.Histogram(tuple(edges.tolist()), tuple(counts.tolist())),
    }


def _on_inputs(number: int, errors: Array, x: Array) -> p.FunctionOnInputs:
    worst = int(np.abs(errors).argmax())
    largest = {"max_abs_error": float(np.abs(errors[worst])), "at": float(x[worst])}
    rmse = float(np.sqrt((errors**2).mean()))
    return p.FunctionOnInputs(
        variant=number,
        **largest,
        inner_max_abs_error=largest["max_abs_error"],
        inner_at=largest["at"],
        weighted_rmse=rmse,
        geglu_relative_error=rmse,
        differs_in_dtype=0.5,
        differs_in_bfloat16=0.25,
        layers=tuple(
            p.ErrorAtSite(layer=layer, site="feed-forward", **largest,
                          weighted_rmse=rmse / (1 + layer), geglu_relative_error=rmse)
            for layer in range(LAYERS)
        ),
        bins=(),
    )  # fmt: skip
