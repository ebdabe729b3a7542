"""When a stream repeats itself, against the definition read word by word."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.repetition import (
    LEAST_PERIODS,
    LEAST_TOKENS,
    MAX_PERIOD,
    Repetition,
    Repetitions,
)
from gelu_tui.core.comparison.standing import standing
from gelu_tui.core.runs.document import to_json
from gelu_tui.core.runs.restore import read_document
from tests.support.comparisons import feed, run_comparison, run_document

few = st.integers(0, 2)
units = st.lists(few, min_size=1, max_size=MAX_PERIOD + 2)


@st.composite
def streams(draw: st.DrawFn) -> list[int]:
    """Anything, then a part over and over, and perhaps what follows it."""
    made = draw(st.lists(few, max_size=20))
    for _ in range(draw(st.integers(1, 2))):
        made += draw(units) * draw(st.integers(1, 5))
    return made + draw(st.lists(few, max_size=3))


def by_definition(tokens: list[int]) -> Repetition | None:
    """The longest periodic tail, of equal ones that of the shortest period."""
    found = []
    for period in range(1, MAX_PERIOD + 1):
        start = len(tokens)
        while start > 0 and (
            start + period > len(tokens) or tokens[start - 1] == tokens[start - 1 + period]
        ):
            start -= 1
        if len(tokens) - start >= max(LEAST_TOKENS, LEAST_PERIODS * period):
            found.append((start, period))
    return Repetition(*min(found)) if found else None


@given(streams())
def test_the_tail_is_found_as_the_definition_says(tokens: list[int]) -> None:
    assert Repetitions(tokens).now == by_definition(tokens)
    assert Repetitions(tokens).before == by_definition(tokens[:-1])


@given(st.lists(few, max_size=20), units.filter(lambda unit: len(unit) <= MAX_PERIOD))
def test_what_is_found_stays_while_the_stream_goes_on_so(first: list[int], unit: list[int]) -> None:
    found = set()
    repetitions = Repetitions([*first, *unit * LEAST_PERIODS, *unit * LEAST_TOKENS])
    for token in unit * 3:
        repetitions.add(token)
        found.add(repetitions.now)
    (only,) = found
    assert only is not None
    assert only.start <= len(first)
    assert len(unit) % only.period == 0


def test_its_least_length_and_its_end() -> None:
    assert Repetitions([7] * (LEAST_TOKENS - 1)).now is None
    repetitions = Repetitions([1, 2, *[7] * LEAST_TOKENS])
    assert repetitions.now == Repetition(2, 1)
    repetitions.add(8)
    assert (repetitions.now, repetitions.before) == (None, Repetition(2, 1))


# --- a comparison's streams -----------------------------------------------------------------------

LOOP = ["A", *["実", "際"] * 16]


def test_documents_hold_it_and_compute_it_when_they_are_read() -> None:
    saved = run_document(texts={"gelu": LOOP, "relu": ["B", *LOOP[1:]], "silu": LOOP[:20]})
    assert [v.repeats for v in saved.variants] == [Repetition(1, 2), Repetition(1, 2), None]
    assert '"repeats":{"start":1,"period":2}' in to_json(saved)
    older = to_json(saved).replace('"repeats":{"start":1,"period":2}', '"repeats":null')
    assert read_document(older.encode()).variants == saved.variants


def test_an_end_token_after_it_is_no_part_of_the_text() -> None:
    ended = run_comparison(texts={"gelu": [*LOOP, ""]}, finish="stop").streams[0]
    assert ended.repeats == Repetition(1, 2)
    left = run_comparison(texts={"gelu": [*LOOP, "."]}, finish="length").streams[0]
    assert left.repeats is None


def test_a_stream_that_was_stopped_in_it_would_have_gone_on() -> None:
    comparison = run_comparison(texts={"gelu": LOOP, "relu": LOOP}, finish="repeats")
    gelu, relu = comparison.streams
    assert standing(gelu, relu, None).relation == "identical"
    feed(comparison, [], ["実"])
    comparison.apply(p.StreamFinished(1, "length"))
    assert relu.first_divergent_token is None
    assert standing(gelu, relu, None).relation == "same"
