"""Every statistic against float64, on the logits of the real model, some of them very close."""

from __future__ import annotations

import itertools
from pathlib import Path

import mlx.core as mx
import numpy as np
import numpy.typing as npt
import pytest

from gelu_tui.core.functions.controls import control_of
from gelu_tui.core.functions.variants import parse_variant
from gelu_tui.engine import device
from gelu_tui.engine.compute.activation_sites import rowwise
from gelu_tui.engine.compute.functions import function_of
from gelu_tui.engine.compute.statistics import Distribution, Logits, kl_divergence
from tests.support import in_process

pytestmark = [pytest.mark.demo, pytest.mark.timeout(1200)]

PROMPT = "Blue"
NAMES = ("gelu_approx", "gelu", "keras_gelu_approx", "gelu_fast_approx", "silu", "relu")
REFERENCE = 0  # of NAMES
PAIRS = list(itertools.permutations(range(len(NAMES) + 1), 2))
TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def logits(demo_model: Path) -> npt.NDArray[np.float32]:
    """(steps, functions, vocabulary), the last function being the control of the first.

    The steps are the tokens of the prompt, all rows are fed it: every pair has one context.
    """
    device.prepare()
    loaded = in_process.load(demo_model)
    tokens = loaded.tokenizer.encode(PROMPT)
    variants = [*map(parse_variant, NAMES)]
    variants.append(control_of(variants[REFERENCE]))
    functions = [function_of(variant, "float32") for variant in variants]
    with rowwise(loaded.model) as sites, sites.use(*functions):
        found = loaded.model(mx.array([tokens] * len(functions)))
    return np.array(found.astype(mx.float32)).swapaxes(0, 1)


def log_softmax64(logits: Logits) -> npt.NDArray[np.float64]:
    wide = logits.astype(np.float64)
    wide -= wide.max()
    return wide - np.log(np.exp(wide).sum())


def kl64(reference: Logits, variant: Logits) -> float:
    """By the definition; the sum's rounding is some 1e-16, against a KL of 1e-12."""
    r, v = log_softmax64(reference), log_softmax64(variant)
    return float((np.exp(r) * (r - v)).sum())


def test_probabilities_ranks_and_margins(logits: npt.NDArray[np.float32]) -> None:
    for row in logits.reshape(-1, logits.shape[-1]):
        distribution, exact = Distribution.of(row), log_softmax64(row)
        order = np.lexsort((np.arange(row.size), -row))
        assert distribution.top(10) == order[:10].tolist()
        assert np.isclose(distribution.probabilities(), np.exp(exact), rtol=TOLERANCE, atol=0).all()
        wide = row.astype(np.float64)
        for place in (0, 1, 2, 9, 1_000, row.size - 1):
            token = int(order[place])
            assert distribution.rank(token) == place
            assert distribution.logprob(token) == pytest.approx(exact[token], rel=TOLERANCE)
            p = float(np.exp(exact[token]))
            assert distribution.probability(token) == pytest.approx(p, rel=TOLERANCE)
            others = np.delete(wide, token).max()
            assert distribution.margin(token) == pytest.approx(wide[token] - others, rel=TOLERANCE)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: "-".join(map(str, pair)))
def test_kl(logits: npt.NDArray[np.float32], pair: tuple[int, int]) -> None:
    for step in logits:
        r, v = (Distribution.of(step[row]) for row in pair)
        expected = kl64(step[pair[0]], step[pair[1]])
        for found in (kl_divergence(r, v), kl_divergence(r, v, r.probabilities())):
            assert found == pytest.approx(expected, rel=TOLERANCE, abs=1e-15)
            assert found >= 0.0


def test_the_pairs_are_of_all_sizes(logits: npt.NDArray[np.float32]) -> None:
    """Else the test of KL would show little: from rounding alone to another function."""
    of = NAMES.index
    rows = {name: [kl64(step[0], step[of(name)]) for step in logits] for name in NAMES[1:]}
    assert max(rows["keras_gelu_approx"]) < 1e-9
    assert min(rows["gelu"]) > 1e-10 and max(rows["gelu"]) < 1e-4
    assert min(rows["silu"]) > 1e-2
    assert np.array_equal(logits[:, of("keras_gelu_approx")], logits[:, -1]), "the control's order"


def test_kl_of_equal_rows_is_exactly_zero(logits: npt.NDArray[np.float32]) -> None:
    for row in logits.reshape(-1, logits.shape[-1]):
        assert kl_divergence(Distribution.of(row), Distribution.of(row.copy())) == 0.0
