"""The tokens of a scored text: gathered, saved, read again, and their levels of colour."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.reports.score_csv import score_rows
from gelu_tui.core.runs.document import to_json
from gelu_tui.core.scoring.document import ScoreDocument, ScoreSource, read_score
from gelu_tui.core.scoring.measures import BOUNDS, legend, level, own_bounds
from gelu_tui.core.scoring.restore import restored
from gelu_tui.core.scoring.statistics import Scoring
from gelu_tui.core.scoring.tokens import delta_p
from tests.support.comparisons import LOADED

NAMES = ("silu", "gelu_approx", "control")
logprobs = st.floats(-50, 0)
kls = st.floats(0, 100) | st.just(0.0)


@st.composite
def scorings(draw: st.DrawFn) -> Scoring:
    """Windows of chunks, with a BOS or without; a function may fail on the way."""
    variants = tuple(p.VariantInfo(name, "f(x)", "float32") for name in NAMES)
    bos = draw(st.sampled_from([(), (2,)]))
    scoring = Scoring(p.ScoreStarted(variants, 1, 99, 9, 99, 64, bos=bos))
    going = {0, 2}
    for window in range(draw(st.integers(1, 4))):
        for number in range(draw(st.integers(1, 3))):
            if len(going) > 1 and draw(st.integers(0, 9)) == 0:
                going.discard(failed := draw(st.sampled_from(sorted(going))))
                scoring.apply(p.ScoreFailed(failed, ErrorInfo("x", "No numbers.")))
            scored = draw(st.integers(1, 4))
            skipped = int(not bos and number == 0)
            column = st.tuples(*[logprobs] * scored)
            rows = tuple(
                p.ScoredRow(
                    index,
                    draw(column),
                    draw(st.tuples(*[kls] * scored)),
                    draw(st.tuples(*[st.booleans()] * scored)),
                )
                for index in sorted(going)
            )
            texts = draw(st.tuples(*[st.text(max_size=3)] * (scored + skipped)))
            ids = tuple(range(5, 5 + scored + skipped))
            chunk = p.ScoreChunk(
                draw(column), (0.5,) * scored, rows, window, window, tokens=ids, texts=texts
            )
            scoring.apply(p.decode_event(p.encode(chunk)))
    return scoring


def document(scoring: Scoring) -> ScoreDocument:
    return scoring.document(
        LOADED, ScoreSource("text", "x"), status="completed", activations=("silu", "gelu_approx")
    )


@given(scorings())
@settings(max_examples=150, deadline=None)
def test_what_is_saved_is_read_again(scoring: Scoring) -> None:
    made = document(scoring)
    read = read_score(to_json(made).encode())
    assert read == made
    again = restored(read)
    assert (again.text.ids, again.text.texts) == (scoring.text.ids, scoring.text.texts)
    assert (again.text.windows, again.text.positions) == (
        scoring.text.windows,
        scoring.text.positions,
    )
    for before, after in zip(scoring.rows, again.rows, strict=True):
        if before.error is None:
            assert (before.logprob, before.kl, before.same_top) == (
                after.logprob, after.kl, after.same_top,
            )  # fmt: skip
        else:
            assert after.error is not None
    for token in range(len(scoring.text)):
        assert again.text.window_of(token) == scoring.text.window_of(token)


@given(scorings())
@settings(max_examples=100, deadline=None)
def test_every_token_has_a_row_of_each_function(scoring: Scoring) -> None:
    rows = list(score_rows(document(scoring)))
    assert len(rows) == len(scoring.text) * len(NAMES)
    for index, name in enumerate(NAMES):
        own = [row for row in rows if row[4] == name]
        scored = [row[5] for row in own if row[5] is not None]
        assert scored == list(scoring.rows[index].logprob)
        kl = [row[7] for row in own if row[7] is not None]
        assert kl == list(scoring.rows[index].kl)
        assert all(row[8] is None for row in own) or index != 1


@given(scorings(), st.integers(0, 1000))
@settings(max_examples=100, deadline=None)
def test_a_window_begins_with_bos_and_has_its_own_tokens(scoring: Scoring, at: int) -> None:
    text = scoring.text
    token = at % len(text)
    tokens, place = text.window_of(token)
    assert tokens[place] == text.ids[token]
    assert tokens[: len(text.bos)] == text.bos
    own = [i for i, window in enumerate(text.windows) if window == text.windows[token]]
    assert list(tokens[len(text.bos) :]) == [text.ids[i] for i in own]
    assert (text.positions[token] < 0) == (place == 0)


def test_tokens_that_are_not_those_of_the_numbers_break_the_protocol() -> None:
    variants = (p.VariantInfo("gelu", "f(x)", "float32"),)
    for tokens, texts in (((5,), ("a",)), ((5, 6, 7, 8), ("a",) * 4), ((5, 6), ("a",))):
        scoring = Scoring(p.ScoreStarted(variants, 0, 9, 1, 9, 64))
        with pytest.raises(p.ProtocolError):
            scoring.apply(p.ScoreChunk((-1.0,) * 2, (0.5,) * 2, (), tokens=tokens, texts=texts))


def test_a_scoring_without_tokens_is_not_restored() -> None:
    variants = (p.VariantInfo("gelu", "f(x)", "float32"),)
    scoring = Scoring(p.ScoreStarted(variants, 0, 9, 1, 9, 64))
    scoring.apply(p.ScoreChunk((-1.0,), (0.5,), (), tokens=(5,), texts=("a",)))
    made = scoring.document(LOADED, ScoreSource("text", "x"), status="completed")
    with pytest.raises(GeluError, match="without its tokens"):
        restored(made)
    whole = document(scoring)
    assert whole.text is not None
    torn = replace(whole, text=msgspec.structs.replace(whole.text, windows=[3]))
    assert restored(torn).text.windows[0] == 3


# --- levels ---------------------------------------------------------------------------------------


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=200))
def test_own_levels_are_the_percentiles_of_the_sizes(values: list[float]) -> None:
    bounds = own_bounds(values)
    assert bounds == pytest.approx(np.percentile(np.abs(values), [50, 90, 99, 99.9]))
    above = sum(abs(level(value, bounds)) >= 2 for value in values)
    assert above <= max(1, math.ceil(0.1 * len(values))) + values.count(0) or (
        len(set(map(abs, values))) < len(values)
    )


def test_levels_and_their_legend() -> None:
    assert [level(x, BOUNDS["kl"]) for x in (None, 0.0, 1e-7, 1e-6, 0.5, 1.0)] == [0, 0, 0, 1, 3, 4]
    assert [level(x, BOUNDS["delta_p"]) for x in (-30.0, -0.05, 0.2)] == [-4, 0, 1]
    assert level(1.0, BOUNDS["top"]) == 4
    assert level(0.0, (0.0, 0.0, 0.0, 0.0)) == 0
    assert legend("kl", BOUNDS["kl"]) == ("< 1e-6", "1e-6", "1e-4", "0.01", "≥ 1 nats")
    assert legend("delta_p", BOUNDS["delta_p"]) == ("< 0.1", "0.1", "1", "5", "≥ 20 pp")
    assert own_bounds([]) == (math.inf,) * 4


def test_delta_p_is_in_percentage_points() -> None:
    assert delta_p(math.log(0.3), math.log(0.5)) == pytest.approx(-20)
    assert delta_p(None, -1.0) is None
    assert delta_p(1e50, 0.0) == 0, "a probability is at most 1, whatever a file says"
