"""Intervals and standard errors; all intervals are 95 %, two-sided and pointwise."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gelu_tui.sweep.document import Interval

Floats = npt.NDArray[np.float64]

Z = 1.959963984540054  # the normal quantile at 0.975
_RESAMPLES = 9999
_CELLS = 5_000_000  # of resamples times values in memory at once


def wilson(count: int, n: int) -> tuple[float, float]:
    """Wilson's score interval of a share of `n` independent prompts (JASA 22, 1927, 209).

    With none of n it is 0 to z²/(n + z²), about 3.8/n. Of no prompts it is 0 to 1. The same as
    `scipy.stats.binomtest(count, n).proportion_ci(method="wilson")`, which is a hundred times
    slower because it searches for a p-value too: a screen asks for a hundred of them at once.
    """
    if not n:
        return 0.0, 1.0
    share = count / n
    low, high = bounded_interval(share, share * (1 - share) / n, n)
    return float(low), float(high)


def bounded_interval(
    mean: npt.ArrayLike, variance: npt.ArrayLike, n: npt.ArrayLike
) -> tuple[Floats, Floats]:
    """Wilson's interval of a mean of values from 0 to 1, whose estimate has this variance.

    The number of prompts in Wilson's formula is the effective one, at which a share would have that
    variance: m(1 − m)/variance. So Rothman's limits of a survival probability (J. Chronic Dis. 31,
    1978, 557), Dorey and Korn's (Stat. Med. 6, 1987, 679), and Korn and Graubard's of a survey
    (Survey Methodology 24, 1998, 193). A normal interval on any scale would have no width where
    nothing diverged, and covers too little where little did.

    The variance of few values is not known well: r = E[W²]/E[W], which is 1 of a share and smaller
    where the values W are, is estimated with one value of 1 added to the sums over the n prompts.
    Without values above 0 this is Wilson's interval of none of n. All arrays have one shape.
    """
    m, v, count = (np.asarray(x, dtype=np.float64) for x in (mean, variance, n))
    m = np.clip(m, 0.0, 1.0)
    squares = count * (count * v + m * m)  # the sum of W², as the variance has it
    ratio = (squares + 1) / (count * m + 1)
    spread = ratio - m
    known = spread > 1e-12
    effective = np.where(known, count * (1 - m) / np.where(known, spread, 1.0), count)
    effective = np.where(effective > 0, effective, count)  # every value is 1
    z2 = Z * Z
    middle = m + z2 / (2 * effective)
    half = Z * np.sqrt(m * (1 - m) / effective + z2 / (4 * effective**2))
    scale = 1 + z2 / effective
    return np.clip((middle - half) / scale, 0.0, m), np.clip((middle + half) / scale, m, 1.0)


def clustered_ratio(sums: Floats, sizes: Floats) -> tuple[float, float | None]:
    """Return Σ sums / Σ sizes and its standard error, clustered: each pair is one cluster.

    CR1: √(G/(G−1) · Σ (sum_g − mean · size_g)²) / Σ sizes with G clusters (Liang and Zeger 1986
    with the factor of small samples; Stata's `vce(cluster)` of a mean). None for a single cluster.
    """
    total, clusters = float(sizes.sum()), len(sizes)
    mean = float(sums.sum()) / total
    if clusters < 2:
        return mean, None
    residuals = sums - mean * sizes
    squares = float((residuals * residuals).sum())
    return mean, float(np.sqrt(clusters / (clusters - 1) * squares)) / total


def bootstrap_mean(values: Floats) -> Interval:
    """The mean and its bootstrap interval over prompts, by `scipy.stats.bootstrap` (fixed seed).

    BCa (Efron 1987) up to 2,000 prompts, percentiles above, where both agree. Without limits for
    fewer than two prompts, and where all values are equal: no resample of those differs.
    """
    if not len(values):
        return Interval(None, None, None)
    mean = float(values.mean())
    if len(values) < 2 or float(np.ptp(values)) == 0:
        return Interval(mean, None, None)
    from scipy.stats import bootstrap

    few = len(values) <= 2000
    found: Any = bootstrap(
        (values,),
        np.mean,
        n_resamples=_RESAMPLES if few else 1999,
        batch=max(1, _CELLS // len(values)),
        method="BCa" if few else "percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    low, high = (None if np.isnan(x) else float(x) for x in (found.low, found.high))
    return Interval(mean, low, high)
