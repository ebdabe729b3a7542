"""Streams, first divergent tokens and rates, whatever the order in which events arrive."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.standing import Standing
from gelu_tui.core.comparison.state import Comparison, Peaks, Perspective
from gelu_tui.core.errors import ErrorInfo
from tests.support.comparisons import begun


def begin(streams: int, reference: int = 0, schedule: p.Schedule = "lockstep") -> Comparison:
    return begun(*(f"v{i}" for i in range(streams)), reference=reference, schedule=schedule)


def token(stream: int, token_id: int, decode_s: float = 0.0, text: str = "") -> p.StreamStep:
    return p.StreamStep(stream, token_id, text, -0.1, 1.0, None, decode_s)


def feed(comparison: Comparison, *rows: tuple[int, ...], first: int = 0) -> None:
    """Steps of all streams, in lockstep."""
    for number, row in enumerate(rows, first):
        steps = tuple(token(stream, token_id) for stream, token_id in enumerate(row))
        comparison.apply(p.Step(number, 0.0, steps))


def divergences(comparison: Comparison) -> list[int | None]:
    return [stream.first_divergent_token for stream in comparison.streams]


# --- divergence, by example -----------------------------------------------------------------------


def test_the_first_differing_token_counts_and_stays() -> None:
    comparison = begin(3, reference=1)
    feed(comparison, (5, 5, 5), (6, 6, 7), (8, 9, 9), (1, 2, 3))
    assert divergences(comparison) == [2, None, 1]


def test_a_first_token_may_differ() -> None:
    comparison = begin(2)
    feed(comparison, (5, 6))
    assert divergences(comparison) == [None, 0]


def test_a_stream_that_ends_earlier_diverges_at_its_end() -> None:
    comparison = begin(3)
    feed(comparison, (5, 5, 5), (6, 6, 6))
    comparison.apply(p.StreamFinished(1, "stop"))
    assert divergences(comparison) == [None, None, None]  # the reference may end there as well
    comparison.apply(p.Step(2, 0.0, (token(0, 7), token(2, 7))))
    assert divergences(comparison) == [None, 2, None]


def test_a_reference_that_ends_earlier() -> None:
    comparison = begin(2)
    feed(comparison, (5, 5), (6, 6))
    comparison.apply(p.StreamFinished(0, "stop"))
    comparison.apply(p.Step(2, 0.0, (token(1, 7),)))
    assert divergences(comparison) == [None, 2]


def test_an_end_token_against_another_token_is_a_difference_at_its_step() -> None:
    comparison = begin(2)
    feed(comparison, (5, 5), (6, 106))
    comparison.apply(p.StreamFinished(1, "stop"))
    feed(comparison, (7,), first=2)
    assert divergences(comparison) == [None, 1]


def test_ending_together_is_no_difference() -> None:
    comparison = begin(2)
    feed(comparison, (5, 5), (106, 106))
    comparison.apply(p.StreamFinished(0, "stop"))
    comparison.apply(p.StreamFinished(1, "stop"))
    assert divergences(comparison) == [None, None]


@pytest.mark.parametrize("reason", ["cancelled", "failed"])
def test_a_stream_that_was_stopped_has_not_ended(reason: p.FinishReason) -> None:
    comparison = begin(2)
    feed(comparison, (5, 5))
    comparison.apply(p.StreamFinished(1, reason))
    feed(comparison, (6,), (7,), first=1)
    assert divergences(comparison) == [None, None]


def test_solo_one_stream_after_another_reference_last() -> None:
    comparison = begin(3, reference=2, schedule="solo")
    for stream, tokens in ((0, [5, 6, 7]), (1, [5, 9, 7]), (2, [5, 6, 8, 9])):
        for step, token_id in enumerate(tokens):
            comparison.apply(p.Step(step, 0.0, (token(stream, token_id),)))
        comparison.apply(p.StreamFinished(stream, "length"))
    assert divergences(comparison) == [2, 1, None]


def test_seen_from_another_stream_without_a_new_run() -> None:
    comparison = begin(3)
    feed(comparison, (1, 1, 1), (2, 2, 9), (3, 4, 3))
    seen = Perspective(comparison, reference=2)
    assert [seen.first_divergent_token(i) for i in range(3)] == [1, 1, None]
    assert not seen.of_run
    feed(comparison, (5, 5, 5), first=3)
    assert [seen.standing(i) for i in range(2)] == [Standing("diverged", 1)] * 2
    assert divergences(comparison) == [None, 2, 1]  # the run's own are untouched


def test_every_pair_seen_from_either_side() -> None:
    comparison = begin(3)
    feed(comparison, (1, 1, 1), (2, 2, 9), (3, 4, 3))
    seen = [Perspective(comparison, i) for i in range(3)]
    assert [[each.first_divergent_token(i) for i in range(3)] for each in seen] == [
        [None, 2, 1],
        [2, None, 1],
        [1, 1, None],
    ]


# --- divergence, against the definition -----------------------------------------------------------


@dataclass
class Plan:
    """What the streams will produce, and in which order it arrives."""

    streams: list[list[int]]
    reasons: list[p.FinishReason]
    reference: int
    order: list[list[int]]  # each entry: the streams that have a token in one event


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    count = draw(st.integers(1, 4))
    common = draw(st.lists(st.integers(0, 2), max_size=8))
    streams = []
    for _ in range(count):
        shared = draw(st.integers(0, len(common)))
        streams.append(common[:shared] + draw(st.lists(st.integers(0, 2), max_size=4)))
    reasons = [draw(st.sampled_from(["stop", "length", "cancelled", "failed"])) for _ in streams]
    turns = [index for index, stream in enumerate(streams) for _ in range(len(stream) + 1)]
    turns = draw(st.permutations(turns))
    order: list[list[int]] = []
    for turn in turns:  # some neighbours travel in one event, even twice the same stream
        if order and draw(st.booleans()):
            order[-1].append(turn)
        else:
            order.append([turn])
    return Plan(streams, reasons, draw(st.integers(0, count - 1)), order)


def defined(comparison: Comparison) -> list[int | None]:
    """The design's definition, word by word, on what has arrived."""
    reference = comparison.reference
    found: list[int | None] = []
    for stream in comparison.streams:
        here, there = stream.tokens, reference.tokens
        pairs = list(zip(here, there, strict=False))
        differing = [step for step, (a, b) in enumerate(pairs) if a != b]
        shorter = stream if len(here) < len(there) else reference
        ended = shorter.finish_reason in ("stop", "length") and len(here) != len(there)
        found.append(differing[0] if differing else len(pairs) if ended else None)
    return found


@settings(max_examples=400, deadline=1000)
@given(plans())
def test_at_every_moment_divergence_is_what_the_definition_says(plan: Plan) -> None:
    comparison = begin(len(plan.streams), plan.reference, "solo")
    position = [0] * len(plan.streams)
    for number, group in enumerate(plan.order):
        steps = []
        endings = []
        for index in group:
            if position[index] < len(plan.streams[index]):
                steps.append(token(index, plan.streams[index][position[index]]))
                position[index] += 1
            else:
                endings.append(p.StreamFinished(index, plan.reasons[index]))
        comparison.apply(p.Step(number, 0.0, tuple(steps)))
        for ending in endings:
            comparison.apply(ending)
        assert divergences(comparison) == defined(comparison)
    assert [stream.tokens for stream in comparison.streams] == plan.streams
    seen = Perspective(comparison)
    for index, stream in enumerate(comparison.streams):
        if stream is not comparison.reference:
            agreed = seen.standing(index).tokens
            assert stream.tokens[:agreed] == comparison.reference.tokens[:agreed]
            assert agreed == (
                min(len(stream.tokens), len(comparison.reference.tokens))
                if stream.first_divergent_token is None
                else stream.first_divergent_token
            )


# --- the rest of the events -----------------------------------------------------------------------


def test_text_grows_by_what_each_token_completes() -> None:
    comparison = begin(1)
    for step, text in enumerate(["空", "", "👍", "x"]):
        comparison.apply(p.Step(step, 0.0, (token(0, step, text=text),)))
    comparison.apply(p.StreamFinished(0, "length", "\ufffd"))
    stream = comparison.streams[0]
    assert stream.segments == ["空", "", "👍", "x"]
    assert stream.text == "空👍x\ufffd"
    assert stream.finish_reason == "length"


def test_events_find_their_stream() -> None:
    comparison = begin(2)
    fork = p.Fork(0, 1, 2, "a", "b", (), (), {}, {}, {})
    error = ErrorInfo("memory", "Memory ran out.")
    report = p.SelfCheckReport(2, 4, True, 0.0)
    finished = p.Finished("failed", p.Timing(None, None, None, 0, None), 0, error)
    prefill = p.Progress("prefill", "prompt", 1, 2, "tokens")
    for event in (
        p.Prefilled(0, 0.5, 20.0),
        p.ForkFound(1, fork),
        p.StreamFinished(1, "failed", error=error),
        p.SelfChecked(report),
        prefill,
        p.Progress("load", "weights", 1, 2, "bytes"),
        finished,
    ):
        comparison.apply(event)
    first, second = comparison.streams
    assert (first.prefill_s, first.prompt_tps, first.fork) == (0.5, 20.0, None)
    assert (second.fork, second.error) == (fork, error)
    assert comparison.self_check == report
    ended = (comparison.status, comparison.timing, comparison.peak_memory_bytes, comparison.error)
    assert ended == (finished.status, finished.timing, finished.peak_memory_bytes, error)


@pytest.mark.parametrize("stream", [-1, 2, 10**9])
def test_events_about_no_stream_are_refused(stream: int) -> None:
    comparison = begin(2)
    for event in (
        p.Step(0, 0.0, (token(stream, 1),)),
        p.Prefilled(stream, 1.0, 1.0),
        p.StreamFinished(stream, "stop"),
        p.ForkFound(stream, p.Fork(0, 1, 2, "a", "b", (), (), {}, {}, {})),
    ):
        with pytest.raises(p.ProtocolError, match=f"stream {stream}"):
            comparison.apply(event)


@pytest.mark.parametrize("reference", [-1, 2])
def test_a_comparison_without_its_reference_is_refused(reference: int) -> None:
    with pytest.raises(p.ProtocolError, match="without its reference"):
        begin(2, reference)


# --- rates ----------------------------------------------------------------------------------------


def test_rates_in_lockstep_count_the_common_time_once() -> None:
    comparison = begin(2)
    assert comparison.tokens_per_second is None
    for step in range(4):
        seconds = 0.5 * (step + 1)
        comparison.apply(p.Step(step, seconds, (token(0, 1, seconds), token(1, 1, seconds))))
    assert comparison.total_tokens == 8
    assert comparison.tokens_per_second == pytest.approx(4.0)
    assert comparison.streams[0].generation_tps == pytest.approx(2.0)


def test_rates_in_solo_add_the_streams_own_times() -> None:
    comparison = begin(2, schedule="solo")
    comparison.apply(p.Step(0, 0.5, (token(0, 1, 0.5),)))
    comparison.apply(p.Step(0, 2.0, (token(1, 1, 1.5),)))
    assert comparison.tokens_per_second == pytest.approx(1.0)
    assert [s.generation_tps for s in comparison.streams] == pytest.approx([2.0, 1 / 1.5])


def test_recent_rate_looks_at_the_window_only() -> None:
    comparison = begin(1)
    stream = comparison.streams[0]
    times = [10.0, 20.0, 20.5, 21.0, 21.5]
    seen = []
    for step, seconds in enumerate(times):
        comparison.apply(p.Step(step, seconds, (token(0, 1, seconds),)))
        seen.append(stream.recent_tps(window_s=2.0))
    assert seen[0] is None
    assert seen[1:] == pytest.approx([0.1, 2.0, 2.0, 2.0])


def test_no_time_is_no_rate() -> None:
    comparison = begin(1)
    feed(comparison, (1,), (1,))
    stream = comparison.streams[0]
    assert stream.generation_tps is None
    assert stream.recent_tps() is None
    assert comparison.tokens_per_second is None


def test_time_to_first_token_counts_the_whole_wait_in_lockstep() -> None:
    comparison = begin(2)
    comparison.apply(p.Prefilled(0, 1.0, 1.0))
    comparison.apply(p.Prefilled(1, 1.0, 1.0))
    comparison.apply(p.Step(0, 2.5, (token(0, 1, 0.5), token(1, 1, 0.5))))
    comparison.apply(p.Step(1, 3.0, (token(0, 1, 1.0), token(1, 1, 1.0))))
    assert [s.time_to_first_token_s for s in comparison.streams] == [2.5, 2.5]
    assert comparison.elapsed_s == 3.0


def test_time_to_first_token_is_the_streams_own_in_solo() -> None:
    comparison = begin(2, schedule="solo")
    comparison.apply(p.Prefilled(0, 1.0, 1.0))
    comparison.apply(p.Step(0, 1.5, (token(0, 1, 0.5),)))
    comparison.apply(p.Prefilled(1, 2.0, 1.0))
    comparison.apply(p.Step(0, 60.0, (token(1, 1, 0.25),)))
    assert [s.time_to_first_token_s for s in comparison.streams] == [1.5, 2.25]


@given(st.lists(st.floats(0, 10), min_size=1, max_size=3000))
def test_peaks_keep_the_largest_of_equal_shares(values: list[float]) -> None:
    peaks = Peaks()
    for value in values:
        peaks.add(value)
    size = peaks.size
    shares = [values[start : start + size] for start in range(0, len(values), size)]
    assert peaks.values == [max(share) for share in shares]
    assert len(peaks.values) <= 512
    assert peaks.largest == max(values)
