"""When streams part: the cumulative incidence of divergence by token, its median and its mean.

Each pair of streams ends in one of three ways. It diverges at a step. Or both streams end by an end
token after the same tokens: the competing event, since this pair can never diverge. Or it is
censored: the streams were compared up to the limit, or to where they were stopped, and whether they
would have diverged later is not known.

The share F(n) of pairs that have diverged at step n or before is the Aalen–Johansen estimate
(Scand. J. Stat. 5, 1978, 141). With Y(s) pairs compared at step s, of which d₁(s) diverge and d₂(s)
end, q₁ = d₁/Y, q = (d₁ + d₂)/Y and S(s) = Π (1 − q):

    F(n) = Σ_{s ≤ n} S(s − 1) q₁(s)

Without censoring before n it is the plain share. Taking the share of pairs that are seen to diverge
would count censored ones as equal for ever; Kaplan–Meier with identical ends as censored would say
what happened if no stream ended.

Its variance is Greenwood's with two ways of leaving, the multinomial delta method (Marubini and
Valsecchi 1995, section 10.3), exact without censoring:

    Var F(n) = Σ_{s ≤ n} A (F(n) − F(s))² − 2B (F(n) − F(s)) + C
    A = d/(Y (Y − d)),  B = q₁ S(s − 1)/Y,  C = S(s − 1)² q₁(1 − q₁)/Y,  d = d₁ + d₂
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gelu_tui.sweep.document import Incidence, Interval
from gelu_tui.sweep.intervals import Floats, bounded_interval

Ints = npt.NDArray[np.integer]

# How a pair of streams ended.
CENSORED, DIVERGED, IDENTICAL = 0, 1, 2

_ROUNDING = 1e-9  # of sums of shares


@dataclass(frozen=True)
class IncidenceCurve:
    """F at the steps 0 to cap − 1, with its interval, and the mean of what it says."""

    share: Floats
    variance: Floats
    low: Floats
    high: Floats
    lost: float  # mean tokens before `cap` that diverging takes away: Σ F
    lost_variance: float
    known: int  # pairs that were not censored before the last step

    @property
    def cap(self) -> int:
        return len(self.share)

    def points(self) -> tuple[Incidence, ...]:
        """The curve at its first step, where it changes, and at its last; flat in between."""
        keep = np.flatnonzero(np.diff(self.share, prepend=-1.0))
        if self.cap - 1 not in keep[-1:]:
            keep = np.append(keep, self.cap - 1)
        columns = (x[keep].tolist() for x in (self.share, self.low, self.high))
        return tuple(map(Incidence, keep.tolist(), *columns))

    def median(self) -> Interval:
        """The first step with F ≥ 1/2, and the interval of steps that F's intervals allow.

        So Brookmeyer and Crowley (Biometrics 38, 1982, 29): from the first step whose upper limit
        is at least 1/2 to the first whose lower limit is. Each is None where no step is, which is
        "not reached within the limit"; a share that ends below 1/2 has no median at all.
        """
        value, low, high = map(_first_half, (self.share, self.high, self.low))
        return Interval(value, low, high)

    def mean(self) -> Interval:
        """The restricted mean of tokens before divergence, up to `cap`: Σ (1 − F).

        A pair that ends identically counts as `cap`, since it never diverges. The interval is that
        of a mean between 0 and `cap` (`bounded_interval`) with the variance by the delta method.
        """
        cap = self.cap
        low, high = bounded_interval(self.lost / cap, self.lost_variance / cap**2, self.known)
        return Interval(cap - self.lost, cap * (1 - float(high)), cap * (1 - float(low)))


def _first_half(shares: Floats) -> float | None:
    reached = np.flatnonzero(shares >= 0.5 - _ROUNDING)
    return float(reached[0]) if len(reached) else None


def last_compared(compared: Ints, ending: Ints, limit: int) -> int:
    """The number of steps that can be spoken of: `limit`, or how far the last censored pair got.

    It is less than the limit only where no pair was compared so far and some might have diverged.
    """
    if not len(compared):
        return 0
    reached = int(compared.max())
    return limit if reached >= limit or not (ending == CENSORED).any() else reached


def incidence(compared: Ints, ending: Ints, cap: int) -> IncidenceCurve | None:
    """The curve over the steps below `cap`; None for no pairs, or no steps.

    `compared`, shape (pairs,), is the step of a divergence, or the number of equal tokens of pairs
    that ended otherwise; `ending` says how. Ends at or after `cap` are censored there.
    """
    if cap <= 0 or not len(compared):
        return None
    late = compared >= cap
    diverged = (ending == DIVERGED) & ~late
    identical = (ending == IDENTICAL) & (compared <= cap)
    # The last step at which a pair could diverge. An end token is itself a token of the stream.
    last = np.where(diverged, compared, np.minimum(compared, cap) - 1)
    compared_at_all = last >= 0
    leaving = np.bincount(last[compared_at_all], minlength=cap)
    at_risk = leaving[::-1].cumsum()[::-1].astype(np.float64)
    d1 = np.bincount(last[diverged], minlength=cap).astype(np.float64)
    d = d1 + np.bincount(last[identical & compared_at_all], minlength=cap)
    known = _not_censored_before(last[~diverged & ~identical], len(compared), cap)

    y = np.maximum(at_risk, 1.0)
    q1 = d1 / y
    after = np.cumprod((y - d) / y)
    before = np.concatenate(([1.0], after[:-1]))
    share = np.minimum(np.cumsum(before * q1), 1.0)

    stay = y - d
    a = np.where(stay > 0, d / (y * np.maximum(stay, 1.0)), 0.0)  # no pair is left: F stays
    b = q1 * before / y
    c = before**2 * q1 * (1 - q1) / y
    sum_a, sum_b, sum_c = np.cumsum(a), np.cumsum(b), np.cumsum(c)
    a1, a2, b1 = np.cumsum(a * share), np.cumsum(a * share**2), np.cumsum(b * share)
    variance = share**2 * sum_a - 2 * share * a1 + a2 - 2 * (share * sum_b - b1) + sum_c
    variance = np.maximum(variance, 0.0)
    low, high = bounded_interval(share, variance, known)

    # The same for Σ F: the change of F after step s, summed over all later steps.
    steps = np.arange(cap, 0, -1.0)  # from s to the cap
    later = share[::-1].cumsum()[::-1] - steps * share
    lost_variance = float((a * later**2 - 2 * b * later * steps + c * steps**2).sum())
    return IncidenceCurve(
        share, variance, low, high, float(share.sum()), max(lost_variance, 0.0), int(known[-1])
    )


def _not_censored_before(last: Ints, pairs: int, cap: int) -> Floats:
    """The number of pairs whose state is known at each step; at least 1, to divide by."""
    censored = np.bincount(last + 1, minlength=cap + 1)[:cap]
    known: Floats = np.maximum(pairs - censored.cumsum(), 1).astype(np.float64)
    return known
