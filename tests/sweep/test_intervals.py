"""Wilson's interval, means between 0 and 1, clustered ratios and the bootstrap, by brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from gelu_tui.sweep.document import Interval
from gelu_tui.sweep.intervals import bootstrap_mean, bounded_interval, clustered_ratio, wilson

Z2 = 1.959963984540054**2


def test_wilson_by_hand() -> None:
    # 2 of 10: (0.2 + z²/20 ± z √(0.016 + z²/400)) / (1 + z²/10)
    half = math.sqrt(Z2 * (0.2 * 0.8 / 10 + Z2 / 400))
    low, high = ((0.2 + Z2 / 20 + sign * half) / (1 + Z2 / 10) for sign in (-1, 1))
    assert wilson(2, 10) == (pytest.approx(low), pytest.approx(high))
    assert wilson(0, 400) == (0, pytest.approx(Z2 / (400 + Z2)))
    assert wilson(0, 0) == (0, 1)


@given(st.integers(1, 2000), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_wilson_is_scipys(n: int, part: float) -> None:
    count = round(part * n)
    expected = binomtest(count, n).proportion_ci(0.95, "wilson")
    assert wilson(count, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
@settings(max_examples=100, deadline=None)
def test_bounded_intervals_hold_their_mean(values: list[float]) -> None:
    mean, variance, n = float(np.mean(values)), float(np.var(values)) / len(values), len(values)
    low, high = bounded_interval(mean, variance, n)
    assert 0 <= low <= mean + 1e-12 and mean - 1e-12 <= high <= 1
    assert high > 0 and low < 1, "a few values prove nothing exactly"


def test_bounded_intervals_of_values_that_are_alike_are_narrow() -> None:
    # 0.7 ± 1.96 · 0.1/√n where the values are known to vary little
    low, high = bounded_interval(0.7, 0.01 / 400, 400)
    assert (low, high) == (pytest.approx(0.69, abs=3e-3), pytest.approx(0.71, abs=3e-3))


def test_a_clustered_ratio_by_hand() -> None:
    # mean 12/6 = 2; residuals 4 − 2·1, 2 − 2·2, 6 − 2·3: √(3/2 · 8) / 6
    mean, error = clustered_ratio(np.array([4.0, 2.0, 6.0]), np.array([1.0, 2.0, 3.0]))
    assert (mean, error) == (2, pytest.approx(math.sqrt(12) / 6))
    assert clustered_ratio(np.array([4.0]), np.array([2.0])) == (2, None)


def test_a_clustered_ratio_is_the_sandwich_of_all_positions() -> None:
    random = np.random.default_rng(3)
    sizes = random.integers(1, 9, 20)
    groups = [random.normal(random.normal(), 1, size) for size in sizes]
    values, of = np.concatenate(groups), np.repeat(np.arange(20), sizes)
    residuals = values - values.mean()
    meat = sum(a * b for a, i in zip(residuals, of, strict=True)
               for b, j in zip(residuals, of, strict=True) if i == j)  # fmt: skip
    mean, error = clustered_ratio(np.array([g.sum() for g in groups]), sizes.astype(float))
    assert mean == pytest.approx(values.mean())
    assert error == pytest.approx(math.sqrt(20 / 19 * meat) / len(values))


def test_the_standard_error_of_clusters_is_that_of_repetitions() -> None:
    random = np.random.default_rng(5)
    means, errors, naive = [], [], []
    for _ in range(1000):
        sizes = random.integers(5, 50, 40)
        shift = random.normal(0, 1, 40)  # what the positions of a prompt have in common
        sums = sizes * shift + random.normal(0, 1, 40) * np.sqrt(sizes)
        mean, error = clustered_ratio(sums, sizes.astype(float))
        assert error is not None
        means.append(mean)
        errors.append(error)
        naive.append(math.sqrt(2 / sizes.sum()))
    assert np.mean(errors) == pytest.approx(np.std(means), rel=0.07)
    assert np.mean(naive) < np.std(means) / 2, "positions are far from independent here"
    covered = np.abs(means) <= 1.96 * np.array(errors)
    assert 0.92 <= covered.mean() <= 0.97


# --- the bootstrap --------------------------------------------------------------------------------


def test_the_bootstrap_is_that_of_a_plain_loop() -> None:
    random = np.random.default_rng(7)
    values = random.normal(3, 10, 80)  # symmetric: BCa and percentiles agree
    found = bootstrap_mean(values)
    assert found == bootstrap_mean(values), "the seed is fixed"
    means = [random.choice(values, 80).mean() for _ in range(5000)]
    width = np.std(means)
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(np.percentile(means, 2.5), abs=0.15 * width)
    assert found.high == pytest.approx(np.percentile(means, 97.5), abs=0.15 * width)


def test_many_values_take_percentiles() -> None:
    values = np.random.default_rng(8).normal(0, 1, 3000)
    found = bootstrap_mean(values)
    error = values.std() / math.sqrt(3000)
    assert found.low == pytest.approx(values.mean() - 1.96 * error, abs=0.2 * error)
    assert found.high == pytest.approx(values.mean() + 1.96 * error, abs=0.2 * error)


@pytest.mark.parametrize("values", [[], [2.0], [2.0, 2.0, 2.0]])
def test_what_no_resample_can_tell(values: list[float]) -> None:
    expected = Interval(2.0, None, None) if values else Interval(None, None, None)
    assert bootstrap_mean(np.array(values)) == expected


def test_few_values_that_differ() -> None:
    found = bootstrap_mean(np.array([0.0] * 399 + [256.0]))
    assert found.low == 0 < 0.64 == found.value < found.high < 5
    both = bootstrap_mean(np.array([0.0, 1.0]))
    assert both == Interval(0.5, 0.0, 1.0)
