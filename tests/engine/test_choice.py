"""Which token is taken: mlx-lm's own rule for ties, and draws as mlx-lm's sampler makes them."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from gelu_tui.engine import device
from gelu_tui.engine.choice import Chooser

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
