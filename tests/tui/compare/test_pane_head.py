"""Rows as styled segments, and the texts around the panes: pure functions."""

from __future__ import annotations

from itertools import pairwise

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from textual.style import Style

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Perspective
from gelu_tui.tui.compare import labels
from gelu_tui.tui.compare.pane_head import head_row, numbers
from gelu_tui.tui.compare.status_line import status_texts
from gelu_tui.tui.engine_link.session import EngineLink, Phase
from gelu_tui.tui.engine_link.shown_run import ShownRun
from gelu_tui.tui.text_view.row_style import overlaid, segments, token_runs
from gelu_tui.tui.text_view.token_buffer import TokenBuffer
from gelu_tui.tui.text_view.wrapping import TAB, Row, cells, clusters
from tests.support.comparisons import LOADED, run_comparison, run_document

STYLES = (Style(bold=True), Style(dim=True), Style(italic=True))
SCRIPT = [*"ab .\t\n空の，é", "e\u0301", "👨‍👩‍👧", "🇩🇪", "👍🏽", "\u200d", "\u0301", "\x1b"]
tokens = st.lists(
    st.lists(st.sampled_from(SCRIPT), max_size=4).map("".join), min_size=1, max_size=12
)
widths = st.integers(min_value=2, max_value=20)


def buffer_of(texts: list[str]) -> TokenBuffer:
    buffer = TokenBuffer()
    for text in texts:
        buffer.append(text)
    return buffer


def style_of(token: int) -> Style:
    return STYLES[token % 3]


def rows_of(buffer: TokenBuffer, width: int) -> list[tuple[int, int, Row]]:
    """Every row: index and start of its line, and itself."""
    return [
        (index, line.start, row)
        for index, line in enumerate(buffer.lines)
        for row in line.rows(width)
    ]


# --- rows -----------------------------------------------------------------------------------------


@given(tokens, widths)
@example(["a\t\u200d", " "], 5)
def test_the_segments_hold_what_the_row_shows(texts: list[str], width: int) -> None:
    buffer = buffer_of(texts)
    for index, at, row in rows_of(buffer, width):
        start = at + row.start
        runs = token_runs(buffer, start, start + row.shown, style_of)
        made = segments(row, index, at, runs)
        shown = row.text[: row.shown]
        assert "".join(s.text for s in made) == shown.replace("\t", TAB)
        assert sum(cells(s.text) for s in made) <= width


@given(tokens, widths, st.lists(st.tuples(st.integers(0, 40), st.integers(0, 8)), max_size=4))
def test_a_cluster_is_never_cut_whatever_points_into_it(
    texts: list[str], width: int, marks: list[tuple[int, int]]
) -> None:
    buffer = buffer_of(texts)
    overlays = [(at, at + length, Style(reverse=True)) for at, length in marks]
    for index, at, row in rows_of(buffer, width):
        start = at + row.start
        runs = overlaid(token_runs(buffer, start, start + row.shown, style_of), overlays)
        shown = row.text[: row.shown]
        edges = {first for first, _, _ in clusters(shown)} | {len(shown)}
        for segment in segments(row, index, at, runs):
            assert segment.style is not None
            offset, line = segment.style.meta["offset"]
            assert line == index
            assert offset - row.start in edges, "a segment begins with a cluster"


@given(tokens)
def test_runs_cover_a_range_without_gaps_and_differ_from_their_neighbours(texts: list[str]) -> None:
    buffer = buffer_of(texts)
    runs = token_runs(buffer, 0, buffer.length, style_of)
    assert sum(last - first for first, last, _ in runs) == buffer.length
    for (_, end, one), (start, _, other) in pairwise(runs):
        assert end == start
        assert one != other


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 10)), max_size=4),
)
def test_an_overlay_changes_its_range_alone(
    lengths: list[int], marks: list[tuple[int, int]]
) -> None:
    runs, at = [], 0
    for number, length in enumerate(lengths):
        runs.append((at, at + length, style_of(number)))
        at += length
    laid = overlaid(runs, [(a, a + n, Style(reverse=True)) for a, n in marks])
    assert [first for first, _, _ in laid[1:]] == [last for _, last, _ in laid[:-1]]
    assert (laid[0][0], laid[-1][1]) == (0, at)
    for first, last, style in laid:
        for offset in range(first, last):
            (was,) = (s for a, b, s in runs if a <= offset < b)
            inside = any(a <= offset < a + n for a, n in marks)
            assert style == (was + Style(reverse=True) if inside else was)


# --- heads ----------------------------------------------------------------------------------------


def test_the_numbers_of_a_reference_of_a_fork_and_of_an_equal_stream() -> None:
    seen = Perspective(run_comparison())
    reference, equal, forked = (numbers(seen, i, 60, 3, running=False) for i in range(3))
    assert (reference.relation, reference.state) == ("reference", "the reference")
    assert "against this stream" in reference.kl
    assert (equal.relation, equal.state) == ("identical", "identical (5 tokens)")
    assert (forked.relation, forked.state) == ("diverged", "► diverges at 2")
    assert forked.counts == "5/256 limit"
    assert forked.kl.endswith("mean KL 2.0e-03 nats")
    assert "avg" in forked.rates and "first token" in forked.rates


LOOP = ["A", *["実", "際"] * 20]


@pytest.mark.parametrize(
    ("index", "width", "shown"),
    [
        (0, 60, "the reference · repeats from token 1"),
        (1, 80, "identical (41 tokens) · repeats from token 1"),
        (1, 40, "identical · repeats from token 1"),
        (2, 60, "► diverges at 0 · repeats from token 1"),
        (2, 28, "► at 0 · repeats from 1"),
    ],
)
def test_a_repetition_is_marked_also_where_room_is_short(
    index: int, width: int, shown: str
) -> None:
    texts = {"gelu": LOOP, "relu": LOOP, "silu": ["B", *LOOP[1:]]}
    found = numbers(Perspective(run_comparison(texts=texts)), index, width, 3, running=False)
    row = "".join(text for text, _ in head_row(found.state, found.counts, "", width - 1))
    assert row.startswith(shown)


@pytest.mark.parametrize("width", [20, 30, 40, 80])
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_the_numbers_fit_their_width(width: int, rows: int) -> None:
    seen = Perspective(run_comparison())
    for index in range(3):
        found = numbers(seen, index, width, rows, running=False)
        beside = len(found.rates) + 2 if rows == 2 else 0
        assert cells(found.kl) <= max(width - 1 - beside, 16)


def test_the_rates_say_as_much_as_has_room_beside_the_kl() -> None:
    seen = Perspective(run_comparison())

    def told(index: int, width: int, rows: int) -> str:
        return numbers(seen, index, width, rows, running=False).rates

    assert "first token" in told(2, 60, 3)
    # Two panes on 80 columns: the reference has no KL, and the rates have the row.
    assert "first token" in told(0, 39, 2)
    assert "TTFT" in told(0, 35, 2)
    assert told(2, 39, 2).endswith("tok/s")
    assert told(2, 52, 2).endswith("tok/s avg")
    assert told(0, 80, 1).endswith("tok/s")


def test_a_verdict_is_told_of_its_own_pair_alone() -> None:
    comparison = run_comparison(
        texts={"gelu": ["a", "b", "c"], "silu": ["a", "x", "y"], "relu": ["a", "b", "z"]}
    )
    for stream in comparison.streams[1:]:
        assert stream.fork is not None
        stream.fork = msgspec.structs.replace(stream.fork, verdict="formula")
    of_run = Perspective(comparison)
    told = numbers(of_run, 2, 60, 3, running=False)
    assert told.state == "► diverges at 2 · formula"
    assert told.why.startswith("The formula made this fork: ")
    from_silu = Perspective(comparison, 1)
    assert numbers(from_silu, 0, 60, 3, running=False).state == "► diverges at 1 · formula"
    # silu and relu were never compared in the run.
    assert numbers(from_silu, 2, 60, 3, running=False).state == "► diverges at 1"


def test_a_kl_says_whose_it_is_where_the_screen_compares_with_another_stream() -> None:
    swapped = Perspective(run_comparison(), 2)
    for width in (60, 48):
        for index, largest in ((1, "mean KL 1"), (2, "mean KL 2")):
            told = numbers(swapped, index, width, 3, running=False).kl
            assert largest in told and told.endswith("e-03 nats from gelu_approx")
    assert numbers(swapped, 2, 31, 3, running=False).kl.endswith("mean KL 2e-03 from gelu_approx")
    for index in range(3):  # without room for that, there is none
        assert numbers(swapped, index, 20, 3, running=False).kl == ""


@given(st.integers(1, 130), st.integers(1, 3), st.integers(0, 2), st.integers(0, 2))
def test_no_number_is_against_a_stream_that_is_not_told(
    width: int, rows: int, reference: int, index: int
) -> None:
    seen = Perspective(run_comparison(), reference)
    told = numbers(seen, index, width, rows, running=False)
    assert "floor" not in told.kl, "there is no control"
    if not seen.of_run and "KL" in told.kl and index != seen.comparison.reference_index:
        assert told.kl.endswith(" from gelu_approx")
        assert cells(told.kl) <= width


def test_a_self_check_is_no_floor() -> None:
    comparison = run_comparison()
    comparison.apply(p.SelfChecked(p.SelfCheckReport(2, 3, False, 1e-3)))
    assert "floor" not in numbers(Perspective(comparison), 2, 120, 3, running=False).kl


# --- the line of a token --------------------------------------------------------------------------


def test_what_is_known_of_a_token_the_most_wanted_first() -> None:
    stream = run_comparison().streams[2]
    parts = labels.token(stream, 2, "gelu\x1b")
    assert parts[0] == "2 ‘ was’"
    assert parts[1].startswith("p 60.7")
    assert "margin 1.50" in parts
    assert f"id {stream.tokens[2]}" in parts
    assert parts[-1] == "KL against gelu␛"
    assert "KL 2.0e-03 nats" in parts
    # Where the screen compares with another stream, the name does not go when room is short.
    swapped = labels.token(stream, 2, "gelu\x1b", of_run=False)
    assert "KL 2.0e-03 nats from gelu␛" in swapped
    assert len(swapped) == len(parts) - 1


def test_what_is_not_known_of_a_token_is_left_out() -> None:
    comparison = run_comparison()
    comparison.apply(p.Step(5, 1.0, (p.StreamStep(0, 7, "\n", None, None, None, 1.0),)))
    assert labels.token(comparison.streams[0], 5, "gelu") == ["5 ‘↵’", "id 7"]


# --- the status line ------------------------------------------------------------------------------


def engine(phase: Phase, loaded: p.Loaded | None = None) -> EngineLink:
    made = EngineLink(p.Load("demo\x1b", None))
    made.phase, made.loaded = phase, loaded
    return made


@pytest.mark.parametrize(
    ("phase", "said"),
    [
        (Phase.STARTING, "Starting the engine"),
        (Phase.LOADING, "Loading demo␛"),
        (Phase.STOPPING, "Stopping"),
        (Phase.NO_MODEL, "demo␛ is not loaded"),
        (Phase.ASLEEP, "No model loaded: a run loads it"),
        (Phase.LOST, "No engine"),
    ],
)
def test_what_the_engine_does_without_a_model(phase: Phase, said: str) -> None:
    assert status_texts(engine(phase), None) == (said, "")


def test_the_status_of_a_run_from_its_begin_to_its_end() -> None:
    comparison = run_comparison()
    shown = ShownRun(comparison, LOADED)
    assert status_texts(engine(Phase.READY, LOADED), None)[0].startswith("ready · demo")
    left, right = status_texts(engine(Phase.RUNNING, LOADED), shown)
    assert left.startswith("running · demo · float32 · lockstep")
    assert "in all" in right
    assert status_texts(engine(Phase.READY, LOADED), shown)[0].startswith("ready")
    for outcome, said in (("completed", "done"), ("cancelled", "stopped"), ("failed", "failed")):
        comparison.apply(p.Finished(outcome, p.Timing(1, 0.2, 0.1, 5, 100.0), 2 * 10**9))
        left, right = status_texts(engine(Phase.READY, LOADED), shown)
        assert left.startswith(f"{said} · demo")
        assert right.endswith("peak 2.00 GB")


def test_a_saved_run_is_told_as_such_until_another_runs() -> None:
    shown = ShownRun.reopened(run_document())
    assert status_texts(engine(Phase.ASLEEP), shown)[0].startswith("saved run of 2025-11-22 00:12")
    assert status_texts(engine(Phase.RUNNING, LOADED), shown)[0].startswith("running")
