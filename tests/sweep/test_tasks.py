"""Answers against the reference's: McNemar, Tango's interval, two one-sided tests."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.stats import multinomial

from gelu_tui.sweep.intervals import wilson
from gelu_tui.sweep.tasks import difference_pp, equivalent, mcnemar, tango_z, task_result

# (gained, lost, n), of which there are at least as many as discordant ones
counts = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 400)).map(
    lambda found: (found[0], found[1], max(1, found[0] + found[1] + found[2]))
)


def test_mcnemar_by_hand() -> None:
    # 1 of 8: 2 · (1 + 8) / 2⁸
    assert mcnemar(1, 7) == mcnemar(7, 1) == pytest.approx(2 * 9 / 256)
    assert mcnemar(0, 5) == pytest.approx(2 / 32)
    assert (mcnemar(0, 0), mcnemar(4, 4)) == (1, 1)


def test_the_interval_of_a_published_example() -> None:
    # Of Fagerland, Lydersen and Laake (2014): 1 and 7 of 21 pairs are discordant, −0.517 to −0.026
    found = difference_pp(1, 7, 21)
    assert found.value == pytest.approx(-100 * 6 / 21)
    assert (found.low, found.high) == (pytest.approx(-51.7, abs=0.1), pytest.approx(-2.6, abs=0.1))


@pytest.mark.parametrize("n", [1, 20, 400])
def test_no_answer_changed(n: int) -> None:
    found = difference_pp(0, 0, n)
    # Only gains, or only losses, are left: Wilson's interval of none of n.
    limit = 100 * wilson(0, n)[1]
    assert found.value == 0
    assert (found.low, found.high) == (pytest.approx(-limit, rel=1e-6), pytest.approx(limit))


def most_likely_lost(gained: int, lost: int, n: int, delta: float) -> float:
    """The most likely share of lost answers, under shares that differ by `delta`; numerically."""
    low, high = max(0.0, -delta), (1 - delta) / 2

    def surprise(q: float) -> float:
        terms = ((gained, q + delta), (lost, q), (n - gained - lost, 1 - 2 * q - delta))
        return -sum(count * math.log(max(share, 1e-300)) for count, share in terms if count)

    found = minimize_scalar(surprise, bounds=(low, high), method="bounded", options={"xatol": 1e-9})
    return float(found.x)


@given(counts, st.floats(-0.4, 0.4))
@settings(max_examples=150, deadline=None)
def test_the_score_statistic_is_that_of_the_likelihood(
    found: tuple[int, int, int], delta: float
) -> None:
    gained, lost, n = found
    q = most_likely_lost(gained, lost, n, delta)
    variance = n * (2 * q + delta - delta * delta)
    if variance < 1e-3:
        return  # the two are equal by certainty
    expected = (gained - lost - n * delta) / math.sqrt(variance)
    assert tango_z(gained, lost, n, delta) == pytest.approx(expected, rel=2e-3, abs=2e-3)


@given(counts)
@settings(max_examples=150, deadline=None)
def test_the_limits_are_where_the_statistic_is_the_quantile(found: tuple[int, int, int]) -> None:
    gained, lost, n = found
    interval = difference_pp(gained, lost, n)
    assert interval.low is not None and interval.high is not None and interval.value is not None
    assert -100 <= interval.low <= interval.value <= interval.high <= 100
    for limit, sign in ((interval.low, 1), (interval.high, -1)):
        if abs(limit) < 99.999:
            z = tango_z(gained, lost, n, limit / 100)
            assert z == pytest.approx(sign * 1.959964, abs=1e-4)
    mirrored = difference_pp(lost, gained, n)
    assert mirrored.low == pytest.approx(-interval.high, abs=1e-6)


@pytest.mark.parametrize(
    ("n", "gain", "loss"), [(60, 0.1, 0.05), (200, 0.02, 0.02), (200, 0.03, 0.01), (100, 0.2, 0.25)]
)
def test_the_interval_covers(n: int, gain: float, loss: float) -> None:
    """Over all outcomes by their exact probabilities."""
    most = 5 + int(n * max(gain, loss) + 6 * math.sqrt(n * max(gain, loss)))
    covered = everything = 0.0
    for gained, lost in product(range(most), repeat=2):
        if gained + lost > n:
            continue
        shares = [gain, loss, 1 - gain - loss]
        probability = multinomial.pmf([gained, lost, n - gained - lost], n, shares)
        everything += probability
        if probability > 1e-9:
            covered += probability * (abs(tango_z(gained, lost, n, gain - loss)) <= 1.959964)
    assert everything == pytest.approx(1, abs=1e-4)
    assert 0.93 <= covered <= 0.97


# --- equivalence ----------------------------------------------------------------------------------


def test_equivalence_by_hand() -> None:
    # No answer changed: z = ±√(n m / (1 − m)), which exceeds 1.64485 from n = 267.9 on.
    assert tango_z(0, 0, 268, -0.01) == pytest.approx(math.sqrt(268 * 0.01 / 0.99))
    assert equivalent(0, 0, 268, 0.01) and not equivalent(0, 0, 267, 0.01)
    # 10 gained and 10 lost of 2000, δ = −0.01: 4000 q² − 60 q + 0.101 = 0
    q = (60 + math.sqrt(60**2 - 4 * 4000 * 0.101)) / 8000
    assert q == pytest.approx(0.013068, abs=1e-6)
    z = 20 / math.sqrt(2000 * (2 * q - 0.0101))
    assert z == pytest.approx(3.5316, abs=1e-4)
    assert tango_z(10, 10, 2000, -0.01) == pytest.approx(z)
    assert tango_z(10, 10, 2000, 0.01) == pytest.approx(-z)
    assert equivalent(10, 10, 2000, 0.01)
    assert not equivalent(60, 40, 2000, 0.01), "the difference is the margin itself"


@given(counts, st.floats(0.005, 0.2))
@settings(max_examples=100, deadline=None)
def test_equivalent_is_that_the_90_percent_interval_lies_within(
    found: tuple[int, int, int], margin: float
) -> None:
    deltas = np.linspace(-0.5, 0.5, 401)
    within = [d for d in deltas if abs(tango_z(*found, float(d))) <= 1.644854]
    if not within:
        return  # narrower than the grid
    inside = -margin < within[0] and within[-1] < margin
    if min(abs(within[0] + margin), abs(within[-1] - margin)) > 0.003:
        assert equivalent(*found, margin) == inside


def test_equivalence_is_claimed_in_error_at_most_in_5_percent() -> None:
    """The true difference is the margin; over all outcomes by their exact probabilities."""
    n, margin, loss = 600, 0.02, 0.01
    shares = [loss + margin, loss, 1 - 2 * loss - margin]
    wrongly = sum(
        multinomial.pmf([gained, lost, n - gained - lost], n, shares)
        for gained, lost in product(range(45), range(25))
        if equivalent(gained, lost, n, margin)
    )
    assert 0.02 <= wrongly <= 0.06


def test_the_result() -> None:
    found = task_result(n=10, right=7, gained=3, lost=1, norm=(6, 5), margin_pp=2.0)
    assert found is not None
    assert (found.acc, found.reference_acc) == (0.7, 0.5)
    assert (found.acc_norm, found.reference_acc_norm) == (0.6, 0.5)
    assert found.p_mcnemar == pytest.approx(2 * 5 / 16)
    assert (found.difference_pp.value, found.equivalent, found.margin_pp) == (20, False, 2.0)
    assert task_result(n=0, right=0, gained=0, lost=0, norm=None, margin_pp=1.0) is None
