"""The text report of a scoring, without an engine."""

from __future__ import annotations

import io
import math

import msgspec
from rich.console import Console

from gelu_tui.core import protocol as p
from gelu_tui.core.reports.score import score_report
from gelu_tui.core.scoring.document import ScoreDocument
from gelu_tui.core.scoring.statistics import Scoring
from tests.core.scoring.test_statistics import ERROR, begun, chunk, document


def shown(found: ScoreDocument) -> str:
    """The report at 80 columns, its blanks collapsed."""
    file = io.StringIO()
    Console(file=file, width=80).print(score_report(found))
    assert max(map(len, file.getvalue().splitlines())) <= 80
    return " ".join(file.getvalue().split())


def clustered(count: int, cluster: int = 1) -> Scoring:
    """So many positions, each a cluster, or `cluster` of them in each."""
    scoring = begun()
    for i in range(count):
        odd = i % 2
        top = 0.125 if odd else 0.5
        silu = p.ScoredRow(0, (math.log(0.25),), (0.2 if odd else 0.1,), (bool(odd),))
        control = p.ScoredRow(2, (math.log(top),), (0.002 if odd else 0.001,), (True,))
        chunk = p.ScoreChunk((math.log(top),), (top,), (silu, control), i // cluster)
        scoring.apply(chunk)
    return scoring


def test_what_plus_minus_is() -> None:
    few, many, one = (shown(document(clustered(*n))) for n in ((9, 1), (20, 2), (5, 5)))
    assert "clustered by window (only 9 windows, so that it is weak), since positions of" in few
    assert "one window are not independent; of ln(PPL/ref) it is the paired one." in few
    assert "(10 windows), since" in many and "weak" not in many
    assert "There is no standard error: positions of one window are not independent" in one
    assert "±" not in one
    older = msgspec.structs.replace(document(clustered(9)), clusters=0)
    assert "one standard error, as if positions were independent; of ln" in shown(older)


def test_documents_are_named() -> None:
    found = msgspec.structs.replace(document(clustered(9)), documents=9, cluster="document")
    words = shown(found)
    assert "All functions read 9 texts (x.txt): 5 tokens in 2 windows" in words
    assert "clustered by document (only 9 documents" in words


def test_figures_and_sentences() -> None:
    scoring = clustered(2)
    scoring.apply(p.ScoreFinished("completed", 2.0, 10**9))
    words = shown(document(scoring))
    for part in (
        "gelu_approx 4.000 ± 2.773 reference – –",
        "silu 1.50e−01 ± 5e−02 100 50.00 ± 50.00",
        "control 1.50e−03 ± 5e−04 1 100.00 ± 0",
        "positions 1 0 1 0 0",
        "All functions read x.txt: 5 tokens in 2 windows of at most 4. Scored are 2 positions",
        "so its mean KL, 1.50e−03, is what rounding makes of an equal function.",
        "1.0 tok/s through all functions",
    ):
        assert part in words, part


def test_what_rounds_to_zero_has_no_sign() -> None:
    scoring = begun(control=False)
    scoring.apply(chunk((0.5, 0.5 - 1e-9), (0.25, 0.25 - 1e-9), control=False))
    assert "0.0000 0.0000" in shown(document(scoring))


def test_a_variant_that_failed_says_why() -> None:
    scoring = begun()
    scoring.apply(p.ScoreFailed(0, ERROR))
    assert "No numbers. Another formula." in shown(document(scoring))


def test_nothing_was_scored() -> None:
    found = msgspec.structs.replace(document(begun()), status="cancelled")
    words = shown(found)
    assert "Interrupted: these are the figures of 0 of 5 tokens." in words
    assert "perplexity" not in words and "Noise floor" not in words


def test_a_floor_of_exactly_zero_is_no_floor() -> None:
    scoring = begun()
    rows = (p.ScoredRow(0, (-1.0,), (0.5,), (True,)), p.ScoredRow(2, (-1.0,), (0.0,), (True,)))
    scoring.apply(p.ScoreChunk((-1.0,), (0.5,), rows))
    assert "and its KL is exactly 0: both give the same values here" in shown(document(scoring))


def test_another_formula_without_any_effect_is_asked_about() -> None:
    scoring = begun()
    rows = (p.ScoredRow(0, (-1.0,), (0.0,), (True,)), p.ScoredRow(2, (-1.0,), (0.0,), (True,)))
    scoring.apply(p.ScoreChunk((-1.0,), (0.5,), rows))
    words = shown(document(scoring))
    assert "KL of silu is exactly 0 at every position although its formula differs" in words
    assert words.count("engaged") == 1
