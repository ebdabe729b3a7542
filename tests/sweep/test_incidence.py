"""Incidence by hand, against lifelines, and its intervals against streams with a known hazard."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gelu_tui.sweep.document import Incidence, Interval
from gelu_tui.sweep.incidence import (
    CENSORED,
    DIVERGED,
    IDENTICAL,
    IncidenceCurve,
    incidence,
    last_compared,
)
from gelu_tui.sweep.intervals import wilson

GOLDEN = Path(__file__).parents[1] / "golden" / "incidence.json"
Pairs = list[tuple[int, int]]  # `compared`, and how it ended


def curve(pairs: Pairs, cap: int) -> IncidenceCurve:
    compared, ending = (np.array(column) for column in zip(*pairs, strict=True))
    found = incidence(compared, ending, cap)
    assert found is not None
    return found


# --- by hand --------------------------------------------------------------------------------------

HAND: Pairs = [
    (0, DIVERGED),  # at step 0 ten pairs are compared
    (1, DIVERGED),  # at step 1 nine
    (2, IDENTICAL),  # two tokens, the end token is step 1
    (2, CENSORED),  # stopped after two tokens: seven at step 1, six at step 2
    (2, DIVERGED),
    (3, IDENTICAL),
    (3, CENSORED),  # three at step 3
    (3, DIVERGED),
    (4, CENSORED),  # the limit
    (4, CENSORED),
]


def test_a_hand_worked_example() -> None:
    found = curve(HAND, 4)
    # Y: 10, 9, 6, 3; diverged: 1 in each; identical: 0, 1, 1, 0
    after = [9 / 10, 9 / 10 * 7 / 9, 9 / 10 * 7 / 9 * 4 / 6]
    assert found.share == pytest.approx(
        [
            1 / 10,
            1 / 10 + after[0] / 9,
            1 / 10 + after[0] / 9 + after[1] / 6,
            1 / 10 + after[0] / 9 + after[1] / 6 + after[2] / 3,
        ]
    )
    assert found.share == pytest.approx([0.1, 0.2, 0.31666667, 0.47222222])
    assert found.known == 10 - 2, "two were censored before the last step"
    assert found.mean().value == pytest.approx(4 - found.share.sum())


def test_what_is_counted_at_the_ends() -> None:
    # Equal to the limit: diverged in no step. Ended identically at the limit: no more.
    found = curve([(4, CENSORED), (4, IDENTICAL), (0, DIVERGED), (0, CENSORED)], 4)
    assert found.share == pytest.approx([1 / 3] * 4), "the pair without a token was never compared"
    assert curve([(9, DIVERGED), (4, CENSORED)], 4).share.tolist() == [0] * 4, "after the cap"
    assert incidence(np.array([], dtype=int), np.array([], dtype=int), 4) is None
    assert incidence(np.array([0]), np.array([CENSORED]), 0) is None


def test_the_last_step_that_can_be_spoken_of() -> None:
    def last(pairs: Pairs) -> int:
        return last_compared(*(np.array(column) for column in zip(*pairs, strict=True)), 256)

    assert last([(256, CENSORED), (7, CENSORED)]) == 256
    assert last([(9, DIVERGED), (7, IDENTICAL)]) == 256, "both are known for ever"
    assert last([(9, DIVERGED), (17, CENSORED)]) == 17


def test_points_are_where_the_curve_changes() -> None:
    found = curve([(2, DIVERGED), *[(9, CENSORED)] * 3], 9).points()
    assert [(point.token, point.share) for point in found] == [(0, 0), (2, 0.25), (8, 0.25)]
    assert [found[-1].low, found[-1].high] == pytest.approx(wilson(1, 4))
    assert curve([(0, DIVERGED)], 1).points() == (
        Incidence(0, 1, pytest.approx(wilson(1, 1)[0]), 1),
    )


@pytest.mark.parametrize("n", [1, 7, 400])
def test_nothing_diverged(n: int) -> None:
    found = curve([(256, CENSORED)] * n, 256)
    assert (found.low.max(), found.high[-1]) == (0, pytest.approx(wilson(0, n)[1]))
    # The interval of none of one reaches above 1/2.
    assert found.median() == Interval(None, 0.0 if n == 1 else None, None)
    mean = found.mean()
    assert (mean.value, mean.high) == (256, 256)
    assert mean.low == pytest.approx(256 * (1 - wilson(0, n)[1]))


def test_the_median_by_hand() -> None:
    four = curve([(3, DIVERGED), (5, DIVERGED), (8, IDENTICAL), (9, CENSORED)], 9)
    assert four.median().value == 5, "half of four have diverged at step 5"
    assert curve([(3, DIVERGED), (8, IDENTICAL), (9, CENSORED)], 9).median().value is None
    sure = curve([(step, DIVERGED) for step in range(100)], 100).median()
    # Of 100, the intervals of 41 to 59 hold 1/2, and that of 60 lies above: order statistics.
    assert (sure.value, sure.low, sure.high) == (49, 40, 59)
    assert wilson(41, 100)[1] >= 0.5 > wilson(40, 100)[1]
    assert wilson(60, 100)[0] >= 0.5 > wilson(59, 100)[0]


# --- against others -------------------------------------------------------------------------------

pair = st.tuples(st.integers(1, 12), st.sampled_from([DIVERGED, IDENTICAL]))


@given(st.lists(pair, min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_without_early_censoring_it_is_the_plain_share(ended: Pairs) -> None:
    cap = 10
    pairs = [(min(c, cap), e if c < cap else CENSORED) for c, e in ended]
    found, n = curve(pairs, cap), len(pairs)
    for step in range(cap):
        count = sum(e == DIVERGED and c <= step for c, e in pairs)
        assert found.share[step] == pytest.approx(count / n)
        assert found.variance[step] == pytest.approx(count * (n - count) / n**3, abs=1e-12)
        assert (found.low[step], found.high[step]) == pytest.approx(wilson(count, n), abs=1e-9)
    kept = np.array([c if e == DIVERGED else cap for c, e in pairs], dtype=float)
    assert found.mean().value == pytest.approx(kept.mean())
    assert found.lost_variance == pytest.approx(kept.var() / n, abs=1e-9)


def test_lifelines_stored_values() -> None:
    for case in json.loads(GOLDEN.read_text())["cases"]:
        ending = np.array(case["endings"])
        # `compared` of those that did not diverge counts the last step too.
        compared = np.array(case["steps"]) + (ending != DIVERGED)
        found = incidence(compared, ending, case["cap"])
        assert found is not None
        assert found.share[case["diverged_at"]] == pytest.approx(case["share"], rel=1e-9)
        assert found.variance[case["diverged_at"]] == pytest.approx(case["variance"], rel=1e-6)


# --- coverage -------------------------------------------------------------------------------------

REPETITIONS = 1500


def simulated(
    random: np.random.Generator, n: int, cap: int, diverge: float, end: float, stop: float
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs that at every step diverge, else end, with these probabilities; or are stopped."""
    diverged = random.geometric(diverge, n) - 1
    ended = random.geometric(end, n)  # the number of tokens, the end token included
    stopped = np.minimum(random.geometric(stop, n), cap) if stop else np.full(n, cap)
    ending = np.where(diverged < ended, DIVERGED, IDENTICAL)
    compared = np.minimum(diverged, ended)
    late = np.where(ending == DIVERGED, compared >= stopped, compared > stopped)
    return np.where(late, stopped, compared), np.where(late, CENSORED, ending)


def shares(cap: int, diverge: float, end: float) -> np.ndarray:
    """The true F: Σ ((1 − diverge)(1 − end))^s · diverge."""
    return np.cumsum(((1 - diverge) * (1 - end)) ** np.arange(cap) * diverge)


CASES = {
    "half diverge": (200, 256, 1 / 300, 1 / 500, 0.0),
    "nearly all diverge": (200, 256, 1 / 100, 1 / 2000, 0.0),
    "few diverge": (400, 256, 1 / 2000, 1 / 400, 0.0),
    "many are stopped early": (200, 256, 1 / 150, 1 / 1000, 1 / 300),
    "few prompts": (60, 64, 1 / 40, 1 / 100, 0.0),
}


@pytest.mark.parametrize("name", CASES)
def test_intervals_cover_what_they_say(name: str) -> None:
    n, cap, diverge, end, stop = CASES[name]
    truth = shares(cap, diverge, end)
    mean, half = cap - truth.sum(), np.flatnonzero(truth >= 0.5)
    random = np.random.default_rng(20)
    share_covered, mean_covered, median_covered = np.zeros(cap), 0, 0
    means = []
    for _ in range(REPETITIONS):
        found = incidence(*simulated(random, n, cap, diverge, end, stop), cap)
        assert found is not None
        share_covered += (found.low <= truth) & (truth <= found.high)
        interval, median = found.mean(), found.median()
        means.append(interval.value)
        mean_covered += interval.low <= mean <= interval.high
        if len(half) and median.low is not None and median.low <= half[0]:
            median_covered += median.high is None or half[0] <= median.high
    assert np.mean(means) == pytest.approx(mean, rel=0.01), "unbiased"
    # Limits of a count are discrete at a single step, so that single steps vary around 95 %.
    later = share_covered[cap // 2 :] / REPETITIONS
    assert 0.93 <= later.mean() <= 0.97
    assert later.min() >= 0.92 and later.max() <= 0.98
    assert 0.93 <= mean_covered / REPETITIONS <= 0.97
    if len(half):
        assert 0.93 <= median_covered / REPETITIONS <= 0.97
    else:
        assert median_covered == 0
