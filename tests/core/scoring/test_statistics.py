"""The statistics of a scoring by hand, and what becomes of events."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.scoring.document import KlBucket, ScoreDocument, ScoredVariant, ScoreSource
from gelu_tui.core.scoring.statistics import (
    Clusters,
    Scoring,
    against_reference,
    kl_buckets,
    kl_statistics,
    mean_and_error,
)
from tests.support.comparisons import LOADED

ERROR = ErrorInfo("not_finite", "No numbers.", "Another formula.")


def begun(*, control: bool = True) -> Scoring:
    names = ("silu", "gelu_approx", "control") if control else ("silu", "gelu_approx")
    variants = tuple(
        p.VariantInfo(name, f"{name}(x)", "float32", control=name == "control") for name in names
    )
    return Scoring(p.ScoreStarted(variants, 1, 5, 2, 5, 4))


def chunk(*probabilities: tuple[float, float], control: bool = True) -> p.ScoreChunk:
    """p of the text's token under the reference and under silu, which has a KL of 0.1, 0.2, …"""
    r = tuple(math.log(pair[0]) for pair in probabilities)
    v = tuple(math.log(pair[1]) for pair in probabilities)
    steps = range(1, len(probabilities) + 1)
    rows = [p.ScoredRow(0, v, tuple(step / 10 for step in steps), tuple(s > 1 for s in steps))]
    if control:
        rows.append(p.ScoredRow(2, r, tuple(step / 1000 for step in steps), (True,) * len(r)))
    return p.ScoreChunk(r, tuple(pair[0] for pair in probabilities), tuple(rows))


def document(scoring: Scoring) -> ScoreDocument:
    return scoring.document(LOADED, ScoreSource("text", "x.txt"), status="completed")


def variant(scoring: Scoring, name: str) -> ScoredVariant:
    return next(v for v in document(scoring).variants if v.name == name)


# --- by hand --------------------------------------------------------------------------------------


def test_mean_and_standard_error() -> None:
    # deviations −1, 0, 1: variance 1 with n − 1, over √3
    assert mean_and_error(np.array([1.0, 2.0, 3.0])) == (2.0, pytest.approx(1 / math.sqrt(3)))
    assert mean_and_error(np.array([7.0])) == (7.0, None)


def test_percentiles_interpolate_between_positions() -> None:
    each = Clusters(np.arange(11))
    found = kl_statistics(np.arange(11.0)[::-1], each)  # 0 to 10: the q-th percentile is q / 10
    assert (found.mean, found.median, found.max) == (5, 5, 10)
    assert found.p90 == pytest.approx(9)
    assert found.p95 == pytest.approx(9.5)
    assert found.p99 == pytest.approx(9.9)
    assert found.p99_9 == pytest.approx(9.99)
    assert found.se == pytest.approx(1)  # variance 11 over 11 positions
    assert found.clustered_se == pytest.approx(1), "each position a cluster"


def test_buckets_by_the_references_top_probability() -> None:
    top = np.array([0.1, 0.24, 0.25, 0.5, 0.74, 0.75, 0.95, 1.0])
    kl = np.array([1.0, 3.0, 5.0, 7.0, 9.0, 11.0, 13.0, 15.0])
    assert kl_buckets(kl, top) == (
        KlBucket(0.25, 2, 2.0),
        KlBucket(0.5, 1, 5.0),
        KlBucket(0.75, 2, 8.0),
        KlBucket(0.95, 1, 11.0),
        KlBucket(None, 2, 14.0),
    )
    assert kl_buckets(kl[:1], top[:1])[4] == KlBucket(None, 0, None)


CLUSTERS = Clusters(np.array([0, 1, 1]))


def test_clusters_by_hand() -> None:
    # mean 3; residual sums −3 and 3: √(2/1 · 18) / 4
    assert Clusters(np.array([5, 5, 9, 9])).error(np.array([1.0, 2.0, 4.0, 5.0])) == 1.5
    assert Clusters(np.array([5, 9, 5, 9])).error(np.array([1.0, 2.0, 5.0, 4.0])) == 0
    assert Clusters(np.zeros(4, dtype=int)).error(np.arange(4.0)) is None
    assert CLUSTERS.count == 2


def test_against_the_reference_by_hand() -> None:
    r, v = np.log([0.5, 0.25, 0.5]), np.log([0.25, 0.5, 0.5])
    zeros = np.zeros(3)
    found = against_reference(CLUSTERS, v, r, zeros, np.array([1.0, 0.0, 1.0]), zeros)
    # −ln p: ln 2, ln 4, ln 2 against ln 4, ln 2, ln 2: differences ln 2, −ln 2, 0
    assert found["ln_ppl_ratio"] == pytest.approx(0, abs=1e-15)
    assert found["ln_ppl_ratio_se"] == pytest.approx(math.log(2) / math.sqrt(3))
    assert found["delta_p"].mean == pytest.approx(0, abs=1e-13)
    assert found["delta_p"].rms == pytest.approx(math.sqrt((25**2 + 25**2) / 3))
    assert found["same_top_1"] == pytest.approx(200 / 3)
    # clusters of residuals 1/3, and −2/3 + 1/3: √(2 · (1/9 + 1/9)) / 3 of a share
    assert found["same_top_1_clustered_se"] == pytest.approx(100 * 2 / 9)
    # ln 2, and −ln 2 + 0
    assert found["ln_ppl_ratio_clustered_se"] == pytest.approx(2 * math.log(2) / 3)
    # of a share, √(p(1−p)/(n−1))
    assert found["same_top_1_se"] == pytest.approx(100 * math.sqrt(2 / 3 * 1 / 3 / 2))


def test_perplexity_by_hand() -> None:
    scoring = begun()
    scoring.apply(chunk((0.5, 0.25), (0.125, 0.25)))
    reference, silu = variant(scoring, "gelu_approx"), variant(scoring, "silu")
    assert reference.perplexity == pytest.approx(4)  # 1/√(0.5 · 0.125)
    assert silu.perplexity == pytest.approx(4)
    # −ln p: ln 2 and ln 8, each ln 2 from their mean: se = ln 2 · √2 / √2
    assert reference.perplexity_se == pytest.approx(4 * math.log(2))
    assert silu.perplexity_se == pytest.approx(0)
    assert silu.ln_ppl_ratio_se == pytest.approx(math.log(2))


def test_a_perplexity_that_overflows_is_left_out() -> None:
    scoring = begun(control=False)
    row = p.ScoredRow(0, (-1e6, -1e6), (1e6, 1e6), (False, False))
    scoring.apply(p.ScoreChunk((-1.0, -1.0), (0.5, 0.5), (row,)))
    silu = variant(scoring, "silu")
    assert (silu.perplexity, silu.perplexity_se, silu.ln_ppl_ratio) == (None, None, 1e6 - 1)


# --- events ---------------------------------------------------------------------------------------


def test_chunks_add_up_and_the_floor_divides() -> None:
    scoring = begun()
    scoring.apply(chunk((0.5, 0.5), (0.3, 0.5)))
    scoring.apply(chunk((0.9, 0.5)))
    silu, control = variant(scoring, "silu"), variant(scoring, "control")
    assert silu.kl is not None and control.kl is not None
    assert silu.kl.mean == pytest.approx((0.1 + 0.2 + 0.1) / 3)
    assert silu.times_noise_floor == pytest.approx(100)
    assert (control.times_noise_floor, control.control, silu.control) == (1, True, False)
    found = document(scoring)
    assert (found.positions, found.tokens, found.windows) == (3, 5, 2)
    assert found.settings.control
    assert found.timing.score_s is None
    reference = variant(scoring, "gelu_approx")
    assert reference.kl is reference.delta_p is reference.same_top_1 is None
    assert reference.kl_buckets == ()


def test_without_a_control_there_is_no_floor() -> None:
    scoring = begun(control=False)
    scoring.apply(chunk((0.5, 0.5), (0.3, 0.5), control=False))
    assert variant(scoring, "silu").times_noise_floor is None
    assert not document(scoring).settings.control


def test_a_floor_of_exactly_zero_divides_nothing() -> None:
    scoring = begun()
    rows = (p.ScoredRow(0, (-1.0,), (0.5,), (True,)), p.ScoredRow(2, (-1.0,), (0.0,), (True,)))
    scoring.apply(p.ScoreChunk((-1.0,), (0.5,), rows))
    assert {v.times_noise_floor for v in document(scoring).variants} == {None}


def test_a_variant_that_failed_has_no_figures() -> None:
    scoring = begun()
    scoring.apply(chunk((0.5, 0.5)))
    scoring.apply(p.ScoreFailed(0, ERROR))
    control = p.ScoredRow(2, (-1.0,), (0.001,), (True,))
    scoring.apply(p.ScoreChunk((-1.0,), (0.5,), (control,)))
    silu = variant(scoring, "silu")
    assert (silu.error, silu.kl, silu.perplexity) == (ERROR, None, None)
    assert variant(scoring, "control").kl is not None
    assert document(scoring).positions == 2


def test_before_the_first_chunk() -> None:
    found = document(begun())
    assert found.positions == 0
    assert [v.perplexity for v in found.variants] == [None] * 3


ROW = p.ScoredRow(0, (-1.0,), (0.1,), (True,))


@pytest.mark.parametrize(
    "rows",
    [
        (),
        (ROW, ROW, p.ScoredRow(99, (-1.0,), (0.1,), (True,))),
        (p.ScoredRow(0, (-1.0, -1.0), (0.1,), (True,)),),
        (p.ScoredRow(1, (-1.0,), (0.1,), (True,)),),
    ],
)
def test_an_engine_that_contradicts_itself(rows: tuple[p.ScoredRow, ...]) -> None:
    with pytest.raises(p.ProtocolError):
        begun(control=False).apply(p.ScoreChunk((-1.0,), (0.5,), rows))


def test_chunks_of_one_cluster_are_together() -> None:
    scoring = begun(control=False)
    for cluster, kl in ((0, 1.0), (0, 2.0), (1, 4.0), (1, 5.0)):
        row = p.ScoredRow(0, (-1.0,), (kl,), (True,))
        scoring.apply(p.ScoreChunk((-1.0,), (0.5,), (row,), cluster))
    silu = variant(scoring, "silu")
    assert silu.kl is not None
    assert (silu.kl.clustered_se, silu.perplexity_clustered_se) == (1.5, 0)
    assert document(scoring).clusters == 2


def test_a_reference_that_is_not_there() -> None:
    with pytest.raises(p.ProtocolError):
        Scoring(p.ScoreStarted((), 0, 5, 1, 5, 4))
