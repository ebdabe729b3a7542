"""Answers of one function against the reference's on the same prompts.

The interval of the difference and the test of equivalence are Tango's score method for paired
shares (Stat. Med. 17, 1998, 891), one of those that Fagerland, Lydersen and Laake recommend
(Stat. Med. 33, 2014, 2850). Unlike a Wald interval it has a width where no answer changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from gelu_tui.sweep.document import Interval, TaskResult
from gelu_tui.sweep.intervals import Z

_ONE_SIDED = 1.6448536269514722  # the normal quantile at 0.95


def task_result(
    *,
    n: int,
    right: int,
    gained: int,
    lost: int,
    norm: tuple[int, int] | None,
    margin_pp: float,
) -> TaskResult | None:
    """The result over `n` prompts with an answer, of which `right` were answered rightly.

    `gained` were right here and wrong by the reference, `lost` the other way round; `norm` are the
    right ones by length-normalised log-probability, here and by the reference. None of no prompts.
    """
    if not n:
        return None
    return TaskResult(
        n=n,
        acc=right / n,
        acc_norm=norm[0] / n if norm else None,
        reference_acc=(right - gained + lost) / n,
        reference_acc_norm=norm[1] / n if norm else None,
        gained=gained,
        lost=lost,
        p_mcnemar=mcnemar(gained, lost),
        difference_pp=difference_pp(gained, lost, n),
        margin_pp=margin_pp,
        equivalent=equivalent(gained, lost, n, margin_pp / 100),
    )


def mcnemar(gained: int, lost: int) -> float:
    """The two-sided p of the exact McNemar test: gained ~ Binomial(gained + lost, 1/2)."""
    if not gained + lost:
        return 1.0
    from scipy.stats import binomtest

    return float(binomtest(gained, gained + lost, 0.5).pvalue)


def difference_pp(gained: int, lost: int, n: int) -> Interval:
    """100 (gained − lost)/n with its 95 % interval: the differences that `tango_z` allows."""
    difference = (gained - lost) / n
    low = _crossing(lambda delta: tango_z(gained, lost, n, delta) - Z, -1.0, difference)
    high = _crossing(lambda delta: tango_z(gained, lost, n, delta) + Z, difference, 1.0)
    return Interval(100 * difference, 100 * low, 100 * high)


def equivalent(gained: int, lost: int, n: int, margin: float) -> bool:
    """Whether both one-sided tests at 5 % refuse a difference of `margin` or more (a share).

    Two one-sided tests (Schuirmann 1987): |difference| ≥ margin is refused if and only if the 90 %
    interval lies within.
    """
    return (
        tango_z(gained, lost, n, -margin) > _ONE_SIDED
        and tango_z(gained, lost, n, margin) < -_ONE_SIDED
    )


def tango_z(gained: int, lost: int, n: int, delta: float) -> float:
    """The score statistic of "the shares differ by `delta`": standard normal if they do.

    (gained − lost − nδ) / √(n (2q + δ(1 − δ))), q the most likely share of lost ones under δ: the
    larger root of 2n q² + (δ(2n − gained + lost) − gained − lost) q − lost δ(1 − δ) = 0.
    """
    linear = delta * (2 * n - gained + lost) - gained - lost
    constant = -lost * delta * (1 - delta)
    root = math.sqrt(max(linear * linear - 8 * n * constant, 0.0))
    # The form without a difference of near numbers.
    q = (root - linear) / (4 * n) if linear <= 0 else -2 * constant / (root + linear)
    spread = n * (2 * max(q, 0.0) + delta * (1 - delta))
    excess = gained - lost - n * delta
    if spread <= 1e-12:
        return 0.0 if abs(excess) < 1e-9 else math.copysign(math.inf, excess)
    return excess / math.sqrt(spread)


def _crossing(height: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function is 0 between two differences; the end where it is not in between."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if height(middle) > 0 else (low, middle)
    return (low + high) / 2
