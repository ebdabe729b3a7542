"""Which token is taken: mlx-lm's own rule for ties, and draws as mlx-lm's sampler makes them."""

from __future__ import annotations

import functools
import math

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.sample_utils import make_sampler
from msgspec.structs import replace

from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.engine import device
from gelu_tui.engine.compute.token_selection import Chooser, seeded
from tests.support.commands import sampled

VOCABULARY = 500


@pytest.fixture(scope="module", autouse=True)
def _prepared() -> None:
    device.prepare()


# --- ties ---------------------------------------------------------------------------------------


def by_mlx_lm(logits: mx.array) -> list[int]:
    """Each row alone, as `mlx_lm.generate.generate_step` takes it."""
    tokens = []
    for row in range(len(logits)):
        alone = logits[row : row + 1]
        logprobs = alone - mx.logsumexp(alone, keepdims=True)
        tokens.append(int(mx.argmax(logprobs, axis=-1).item()))
    return tokens


def by_logits(logits: mx.array) -> list[int]:
    return np.array(mx.argmax(logits, axis=-1)).tolist()


def chosen(logits: mx.array, chooser: Chooser | None = None, step: int = 0) -> list[int]:
    return np.array((chooser or Chooser())(logits, step)).tolist()


def close_calls(scale: float, dtype: mx.Dtype) -> mx.array:
    """Rows whose highest logits are equal or a few units in the last place apart."""
    generator = np.random.default_rng(3)
    rows = generator.normal(0, scale, (64, VOCABULARY)).astype(np.float32)
    for row in rows:
        near = generator.permutation(VOCABULARY)[:6]
        top = np.abs(row).max() * 1.1
        # Of floats below the top, and of floats as far apart as log-probabilities are.
        for step, place in enumerate(near):
            ulp = generator.choice([np.spacing(top), np.float32(2**-23), np.float32(2**-21)])
            row[place] = top - generator.integers(0, 3) * ulp * (step > 0)
    return mx.array(rows).astype(dtype)


@pytest.mark.parametrize("scale", [1e-6, 0.01, 1.0, 5.0, 1e4])
@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16, mx.float16], ids=str)
def test_ties_are_broken_as_mlx_lm_breaks_them(scale: float, dtype: mx.Dtype) -> None:
    logits = close_calls(scale, dtype)
    assert mx.isfinite(logits).all()
    expected = by_mlx_lm(logits)
    assert chosen(logits) == expected
    order = np.random.default_rng(4).permutation(len(logits))
    assert chosen(logits[mx.array(order)]) == [expected[row] for row in order]
    if scale < 1:  # the subtraction matters here, or nothing would have been shown
        assert by_logits(logits) != expected


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e4])
def test_a_gpu_works_the_rule_out_for_all_rows(
    scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits = close_calls(scale, mx.float32)
    elsewhere = chosen(logits)
    monkeypatch.setattr(device, "on_gpu", lambda: True)
    assert chosen(logits) == by_mlx_lm(logits) == elsewhere


@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16], ids=str)
def test_the_lowest_id_wins_among_equals(dtype: mx.Dtype) -> None:
    logits = np.zeros((3, VOCABULARY), np.float32)
    logits[0, [400, 30, 31]] = 8.0
    logits[1, [499, 0]] = 8.0
    # 2^-24 more than many zeros: nothing once their logarithm is subtracted.
    logits[2, 17] = 2**-24
    assert chosen(mx.array(logits).astype(dtype)) == [30, 0, 0]
    assert by_logits(mx.array(logits).astype(dtype)) == [30, 0, 17]


def test_where_no_logit_is_near_the_rule_is_not_worked_out(monkeypatch: pytest.MonkeyPatch) -> None:
    if device.on_gpu():
        pytest.skip("there it always is")
    logits = np.random.default_rng(5).normal(0, 3, (4, VOCABULARY)).astype(np.float32)
    expected = by_mlx_lm(mx.array(logits))
    monkeypatch.setattr(mx, "logsumexp", None)
    assert chosen(mx.array(logits)) == expected
    logits[2, logits[2].argmax() - 1] = logits[2].max()
    with pytest.raises(TypeError):
        chosen(mx.array(logits))


# --- draws --------------------------------------------------------------------------------------

LOGITS = np.array([2.5, 2.2, 2.0, 1.4, 1.3, 0.9, 0.5, 0.4, 0.0, -0.3, -1.0, -4.0], np.float32)
DRAWS = 2000
THEIR_DRAWS = 40_000  # of all steps at once
WAYS = {
    "temperature": sampled(0.8, 42),
    "hot": sampled(3.0, 42),
    "top-p": sampled(0.8, 42, top_p=0.7),
    "top-k": sampled(1.2, 42, top_k=5),
    "min-p": sampled(1.2, 42, min_p=0.2),
    "all": sampled(1.5, 42, top_p=0.95, top_k=7, min_p=0.05),
    "limits that are off": sampled(0.8, 42, top_p=0.0, top_k=10**9, min_p=0.0),
}


@functools.cache
def our_counts(sampling: RunSettings, reverse: bool = False) -> np.ndarray:
    """One token a step, as one stream draws them."""
    logits = LOGITS[::-1].copy() if reverse else LOGITS
    chooser, row = Chooser(sampling), mx.array(logits[None])
    drawn = mx.concatenate([chooser(row, step) for step in range(DRAWS)])
    return np.bincount(np.array(drawn), minlength=logits.size)


@functools.cache
def counts_of_mlx_lm(sampling: RunSettings) -> np.ndarray:
    """mlx-lm's own sampler, fed log-probabilities as `generate_step` does."""
    top_k = sampling.top_k if sampling.top_k < LOGITS.size else 0
    sampler = make_sampler(
        sampling.temperature, top_p=sampling.top_p, min_p=sampling.min_p, top_k=top_k
    )
    row = mx.array(LOGITS[None])
    mx.random.seed(1)
    logprobs = mx.repeat(row - mx.logsumexp(row, keepdims=True), THEIR_DRAWS, axis=0)
    return np.bincount(np.array(sampler(logprobs)), minlength=LOGITS.size)


def differ(one: np.ndarray, other: np.ndarray) -> bool:
    """The chi-square test of homogeneity, at a level of 1 in 1000.

    The critical value is Wilson and Hilferty's: k(1 − 2/(9k) + 3.09 √(2/(9k)))³.
    """
    table = np.array([one, other], np.float64)
    table = table[:, table.sum(axis=0) > 0]
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    statistic = ((table - expected) ** 2 / expected).sum()
    k = table.shape[1] - 1
    critical = k * (1 - 2 / (9 * k) + 3.09 * math.sqrt(2 / (9 * k))) ** 3
    return bool(statistic > critical)


@pytest.mark.parametrize("way", WAYS)
def test_a_stream_is_distributed_as_mlx_lm_draws(way: str) -> None:
    assert not differ(our_counts(WAYS[way]), counts_of_mlx_lm(WAYS[way]))


def test_with_another_seed_too() -> None:
    assert not differ(our_counts(replace(WAYS["all"], seed=43)), counts_of_mlx_lm(WAYS["all"]))


def test_the_distributions_are_told_apart() -> None:
    """What the tests above must be able to see."""
    right = counts_of_mlx_lm(WAYS["temperature"])
    assert differ(our_counts(replace(WAYS["temperature"], temperature=0.9)), right)
    assert differ(our_counts(replace(WAYS["temperature"], top_k=8)), right)
    assert differ(our_counts(WAYS["top-p"]), right)
    assert differ(our_counts(replace(WAYS["min-p"], min_p=0.3)), counts_of_mlx_lm(WAYS["min-p"]))
    assert differ(our_counts(WAYS["temperature"], reverse=True), right)


def test_the_steps_of_a_stream_are_independent() -> None:
    chooser, row = Chooser(sampled(1.0, 7)), mx.array([[0.5, 0.2, 0.0, -0.4]])
    drawn = np.array(mx.concatenate([chooser(row, step) for step in range(DRAWS)]))
    pairs = np.bincount(drawn[:-1] * 4 + drawn[1:], minlength=16).reshape(4, 4)
    expected = pairs.sum(axis=1, keepdims=True) * pairs.sum(axis=0) / pairs.sum()
    statistic = ((pairs - expected) ** 2 / expected).sum()
    assert statistic < 21.7  # chi-square of 9 degrees of freedom, 1 in 100
    shifted = Chooser(sampled(1.0, 8))
    other = np.array(mx.concatenate([shifted(row, step) for step in range(DRAWS)]))
    assert 0.2 < (drawn[1:] == other[:-1]).mean() < 0.36, "seeds are no shifts of each other"


@pytest.mark.parametrize("way", WAYS)
def test_noise_is_one_for_all_rows(way: str) -> None:
    logits = mx.array(np.random.default_rng(6).normal(0, 2, (5, VOCABULARY)).astype(np.float32))
    chooser = Chooser(WAYS[way])
    seen = set()
    for step in range(20):
        together = chosen(logits, chooser, step)
        assert together == [chosen(logits[row : row + 1], chooser, step)[0] for row in range(5)]
        assert chosen(logits[::-1], chooser, step) == together[::-1]
        assert chosen(mx.repeat(logits[:1], 8, axis=0), chooser, step) == together[:1] * 8
        seen.add(tuple(together))
    assert len(seen) > 10


def test_a_seed_says_what_is_drawn() -> None:
    logits = mx.array(np.random.default_rng(6).normal(0, 1, (1, VOCABULARY)).astype(np.float32))
    seeds = (0, 1, 2**31, 2**32, 2**32 + 1, 42 + 7 * 2**32, 42, 2**63 - 1)

    def stream(seed: int) -> tuple[int, ...]:
        chooser = Chooser(sampled(1.0, seed))
        return tuple(chosen(logits, chooser, step)[0] for step in range(12))

    streams = {stream(seed) for seed in seeds}
    assert len(streams) == len(seeds)
    assert stream(2**63 - 1) in streams


@pytest.mark.parametrize("way", WAYS)
def test_the_token_has_the_highest_score(way: str) -> None:
    logits = mx.array(np.random.default_rng(6).normal(0, 2, (3, VOCABULARY)).astype(np.float32))
    chooser = Chooser(WAYS[way])
    scores = np.array(chooser.scores(logits, 5))
    assert scores.shape == logits.shape and scores.dtype == np.float32
    assert scores.argmax(axis=-1).tolist() == chosen(logits, chooser, 5)
    assert np.isfinite(scores).any(axis=-1).all()


def test_differences_of_scores_are_those_of_logits_and_of_one_noise() -> None:
    logits = np.random.default_rng(6).normal(0, 2, (3, VOCABULARY)).astype(np.float32)
    scores = np.array(Chooser(sampled(0.8, 42)).scores(mx.array(logits), 5))
    noise = np.diff(scores - logits, axis=-1)
    assert np.abs(noise - noise[0]).max() < 1e-5
    assert 0.8 < noise.std() < 2.2  # √2 · 0.8 · π/√6 = 1.45


def test_at_temperature_0_scores_are_logits_and_the_rest_is_idle() -> None:
    logits = mx.array(LOGITS[None])
    chooser = Chooser(sampled(0.0, 42, top_p=0.5, top_k=3, min_p=0.5))
    assert mx.array_equal(chooser.scores(logits, 3), logits)
    assert chosen(logits, chooser, 3) == [0]


@pytest.mark.parametrize("temperature", [5e-324, 1e-45, 1e-37, 1e-6, 100.0])
def test_extreme_temperatures(temperature: float) -> None:
    logits = mx.array(np.stack([LOGITS, LOGITS[::-1] * 1e6]))
    chooser = Chooser(sampled(temperature, 42, top_p=0.9, min_p=0.01))
    found = np.array([chosen(logits, chooser, step) for step in range(50)])
    assert not mx.isnan(chooser.scores(logits, 0)).any()
    assert (found[:, 1] == len(LOGITS) - 1).all()
    assert (found[:, 0] == 0).all() == (temperature < 1)


def test_a_seed_is_found_only_where_something_is_drawn() -> None:
    assert seeded(sampled(0.0)) == sampled(0.0)
    assert seeded(sampled(0.0, 5)) == sampled(0.0, 5)
    assert seeded(sampled(0.7, 5)) == sampled(0.7, 5)
    found = {seeded(sampled(0.7, top_k=3)).seed for _ in range(8)}
    assert len(found) > 1 and all(seed is not None and 0 <= seed < 2**31 for seed in found)
