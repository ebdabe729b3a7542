"""Statistics against a float64 reference, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gelu_tui.engine.compute.statistics import Distribution, NotANumber, kl_divergence

VOCABULARY = 262_144


def log_softmax64(logits: np.ndarray) -> np.ndarray:
    wide = logits.astype(np.float64)
    wide = wide - wide.max()
    return wide - np.log(np.exp(wide).sum())


def kl64(reference: np.ndarray, variant: np.ndarray) -> float:
    r, v = log_softmax64(reference), log_softmax64(variant)
    return float((np.exp(r) * (r - v)).sum())


def logits(seed: int, size: int = VOCABULARY, scale: float = 4.0) -> np.ndarray:
    generator = np.random.default_rng(seed)
    values = generator.standard_normal(size) * scale
    values[: min(5, size)] += [18, 17.5, 15, 12, 12][: min(5, size)]  # a head, as models have
    return values.astype(np.float32)


def perturbed(base: np.ndarray, scale: float, seed: int = 1) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(base.size) * scale
    return (base + noise).astype(np.float32)


@pytest.mark.parametrize("scale", [1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.3, 1.0, 3.0, 10.0])
def test_kl_equals_float64(scale: float) -> None:
    reference = logits(0)
    variant = perturbed(reference, scale)
    found = kl_divergence(Distribution.of(reference), Distribution.of(variant))
    assert found == pytest.approx(kl64(reference, variant), rel=1e-3)


@pytest.mark.parametrize("outlier", [0.5, 5.0, 30.0])
def test_kl_with_one_outlier_among_close_logits(outlier: float) -> None:
    reference = logits(0)
    variant = perturbed(reference, 1e-3)
    variant[1234] += outlier
    found = kl_divergence(Distribution.of(reference), Distribution.of(variant))
    assert found == pytest.approx(kl64(reference, variant), rel=1e-3)


def test_kl_of_unlike_distributions() -> None:
    reference, variant = logits(0), logits(9)[::-1].copy()
    found = kl_divergence(Distribution.of(reference), Distribution.of(variant))
    assert found == pytest.approx(kl64(reference, variant), rel=1e-3)


def test_kl_of_equal_logits_is_exactly_zero() -> None:
    reference = logits(3)
    assert kl_divergence(Distribution.of(reference), Distribution.of(reference.copy())) == 0.0


def test_kl_by_hand() -> None:
    r = Distribution.of(np.log(np.array([0.5, 0.25, 0.25], np.float32)))
    v = Distribution.of(np.log(np.array([0.25, 0.5, 0.25], np.float32)))
    assert kl_divergence(r, v) == pytest.approx(0.25 * math.log(2), rel=1e-5)


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize("x", [-3.0, 0.0, 0.5, 6.0])
@pytest.mark.parametrize("y", [-2.0, 0.5, 0.50390625, 9.0])
def test_kl_of_two_tokens_is_that_of_two_coins(x: float, y: float) -> None:
    r, v = (Distribution.of(np.array([0, logit], np.float32)) for logit in (x, y))
    p, q = sigmoid(x), sigmoid(y)
    expected = p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q))
    assert kl_divergence(r, v) == pytest.approx(expected, rel=1e-5, abs=1e-15)
    assert r.probability(1) == pytest.approx(p, rel=1e-6)
    assert r.logprob(0) == pytest.approx(-math.log1p(math.exp(x)), rel=1e-6)
    assert r.margin(1) == -r.margin(0) == x
    assert r.rank(1) == (0 if x > 0 else 1)


@pytest.mark.parametrize("size", [2, 3, 1000])
@pytest.mark.parametrize("power", [-20, -12, -6, -3, 0, 2, 4])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_kl_of_even_chances_with_one_token_moved(size: int, power: int, sign: float) -> None:
    """ln((n − 1 + e^d)/n) − d/n, near d²/2 · (n − 1)/n² for a small d."""
    d = sign * 2.0**power
    even, moved = np.zeros(size, np.float32), np.zeros(size, np.float32)
    moved[size // 2] = d
    r, v = Distribution.of(even), Distribution.of(moved)
    small = d * d / 2 * (size - 1) / size**2
    expected = small if power < -12 else math.log1p(math.expm1(d) / size) - d / size
    assert kl_divergence(r, v) == pytest.approx(expected, rel=1e-3)


def test_a_constant_added_to_all_logits_is_no_difference() -> None:
    values = logits(2)
    for shift in (0.25, 8.0, -24.0):
        r, v = Distribution.of(values), Distribution.of(values + np.float32(shift))
        assert 0.0 <= kl_divergence(r, v) < 1e-12
        assert v.logprob(3) == pytest.approx(r.logprob(3), rel=1e-5)


def test_even_chances() -> None:
    even = Distribution.of(np.zeros(VOCABULARY, np.float32))
    assert even.logprob(77) == pytest.approx(-math.log(VOCABULARY), rel=1e-12)
    assert even.probability(77) == pytest.approx(1 / VOCABULARY, rel=1e-12)
    assert even.margin(77) == 0.0
    assert even.rank(77) == 77
    assert even.top(3) == [0, 1, 2]


@given(st.integers(0, 50), st.floats(0, 20), st.integers(2, 400))
def test_kl_is_never_negative(seed: int, scale: float, size: int) -> None:
    reference = logits(seed, size)
    variant = perturbed(reference, scale, seed + 1)
    assert kl_divergence(Distribution.of(reference), Distribution.of(variant)) >= 0.0


def test_logprob_margin_rank_and_top() -> None:
    values = logits(5)
    distribution = Distribution.of(values)
    order = np.lexsort((np.arange(values.size), -values))
    assert distribution.top(10) == order[:10].tolist()
    exact = log_softmax64(values)
    for place in (0, 1, 2, 9, 1000):
        token = int(order[place])
        assert distribution.rank(token) == place
        assert distribution.logprob(token) == pytest.approx(exact[token], rel=1e-5, abs=1e-6)
    best, second = order[:2]
    assert distribution.margin(int(best)) == float(values[best]) - float(values[second])
    assert distribution.margin(int(second)) < 0
    assert distribution.probabilities().sum() == pytest.approx(1, rel=1e-4)


def test_ties_go_to_the_lower_id() -> None:
    distribution = Distribution.of(np.array([1, 3, 3, 2, 3], np.float32))
    assert distribution.top(4) == [1, 2, 4, 3]
    assert [distribution.rank(token) for token in range(5)] == [4, 0, 1, 3, 2]
    assert distribution.margin(1) == 0.0


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_not_a_number_is_refused(bad: float) -> None:
    values = logits(0, 100)
    values[50] = bad
    with pytest.raises(NotANumber):
        Distribution.of(values)


def test_inputs_are_left_alone() -> None:
    reference, variant = logits(0), logits(1)
    copies = reference.copy(), variant.copy()
    r, v = Distribution.of(reference), Distribution.of(variant)
    kl_divergence(r, v)
    r.probabilities()
    v.top(10)
    assert np.array_equal(reference, copies[0])
    assert np.array_equal(variant, copies[1])
