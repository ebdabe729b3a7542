"""All statistics of a scoring once more, the plain way: whole windows, float64, nothing shared.

Logits come from mlx-lm's own model with a function put in by a subclass, one forward pass a window
(with a cache only because mlx-lm's Gemma 3n computes something else without). Formulas are written
out from their definitions, percentiles found by sorting.
"""

from __future__ import annotations

import math
import statistics
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import make_prompt_cache

from tests.support.subclasses import with_function


def log_probabilities(model: Any, name: str, window: list[int]) -> np.ndarray:
    """ln p in float64, shape (len(window) − 1, vocabulary)."""
    with with_function(model, name):
        cache = make_prompt_cache(model)
        logits = model(mx.array([window[:-1]]), cache=cache)[0].astype(mx.float32)
        mx.eval(logits)
    wide = np.array(logits).astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    return wide - np.log(np.exp(wide).sum(axis=1, keepdims=True))


def scored(
    model: Any,
    reference: str,
    name: str,
    windows: list[list[int]],
    clusters: list[int] | None = None,
) -> dict[str, Any]:
    """The statistics of function `name` against `reference`, by the names of the document.

    `clusters` has the number of each window's; by default each is one.
    """
    nll, nll_r, kl, same, delta, sure, cluster = [], [], [], [], [], [], []
    for number, window in enumerate(windows):
        r = log_probabilities(model, reference, window)
        v = log_probabilities(model, name, window)
        for place, token in enumerate(window[1:]):
            nll.append(-v[place, token])
            nll_r.append(-r[place, token])
            kl.append(sum(np.exp(r[place]) * (r[place] - v[place])))
            same.append(100.0 if r[place].argmax() == v[place].argmax() else 0.0)
            delta.append(100 * (math.exp(v[place, token]) - math.exp(r[place, token])))
            sure.append(math.exp(r[place].max()))
            cluster.append(number if clusters is None else clusters[number])
    perplexity = math.exp(statistics.fmean(nll))
    differences = [a - b for a, b in zip(nll, nll_r, strict=True)]
    return {
        "perplexity": perplexity,
        "perplexity_se": perplexity * error(nll),
        "perplexity_clustered_se": perplexity * clustered_error(nll, cluster),
        "ln_ppl_ratio": math.log(perplexity / math.exp(statistics.fmean(nll_r))),
        "ln_ppl_ratio_se": error(differences),
        "ln_ppl_ratio_clustered_se": clustered_error(differences, cluster),
        "same_top_1": statistics.fmean(same),
        "same_top_1_se": error(same),
        "same_top_1_clustered_se": clustered_error(same, cluster),
        "delta_p.mean": statistics.fmean(delta),
        "delta_p.rms": math.sqrt(statistics.fmean(d * d for d in delta)),
        "kl.mean": statistics.fmean(kl),
        "kl.se": error(kl),
        "kl.clustered_se": clustered_error(kl, cluster),
        "kl.median": percentile(kl, 50),
        "kl.p90": percentile(kl, 90),
        "kl.p95": percentile(kl, 95),
        "kl.p99": percentile(kl, 99),
        "kl.p99_9": percentile(kl, 99.9),
        "kl.max": max(kl),
        **buckets(kl, sure),
    }


def error(values: list[float]) -> float:
    return statistics.stdev(values) / math.sqrt(len(values))


def clustered_error(values: list[float], clusters: list[int]) -> float:
    """CR1 by its definition: (X'X)⁻¹ (Σ X_g' e_g e_g' X_g) (X'X)⁻¹ of a regression on 1 alone.

    X'X is the number of positions; the sum runs over all pairs of positions of equal clusters.
    """
    mean, n, g = statistics.fmean(values), len(values), len(set(clusters))
    pairs = zip(values, clusters, strict=True)
    residuals = [(value - mean, cluster) for value, cluster in pairs]
    meat = math.fsum(a * b for a, i in residuals for b, j in residuals if i == j)
    return math.sqrt(g / (g - 1) * meat) / n


def percentile(values: list[float], q: float) -> float:
    ordered = sorted(values)
    place = (len(ordered) - 1) * q / 100
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def buckets(kl: list[float], sure: list[float]) -> dict[str, Any]:
    found = {}
    for index, (low, high) in enumerate(
        [(0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 0.95), (0.95, 2)]
    ):
        inside = [k for k, s in zip(kl, sure, strict=True) if low <= s < high]
        found[f"kl_buckets.{index}.positions"] = len(inside)
        found[f"kl_buckets.{index}.mean_kl"] = statistics.fmean(inside) if inside else None
    return found
