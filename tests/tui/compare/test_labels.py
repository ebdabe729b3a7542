"""The pure parts: labels, layout, and a stream as styled text."""

from __future__ import annotations

import itertools

import pytest

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison, Perspective
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.tui.compare import labels
from gelu_tui.tui.compare.layout import (
    MIN_PANE_ROWS,
    Arrangement,
    Layout,
    arrangement,
    pane_columns,
)
from gelu_tui.tui.compare.pane_head import numbers
from gelu_tui.tui.text_view.pieces import ending, pieces
from tests.support.comparisons import begun, feed


def comparison(reference: list[str], variant: list[str]) -> Comparison:
    """Two streams with these token texts; equal texts are equal tokens."""
    made = begun("gelu", "silu")
    feed(made, reference, variant, step_s=1.0)
    return made


def end(made: Comparison, *reasons: p.FinishReason) -> None:
    for stream, reason in enumerate(reasons):
        made.apply(p.StreamFinished(stream, reason))


def plain(made: Comparison) -> str:
    stream = made.streams[1]
    fork = stream.first_divergent_token
    return "".join(pieces(stream, fork)) + ending(stream, fork)


def test_while_streams_agree_all_of_it_is_quiet() -> None:
    made = comparison(["The", " sky"], ["The", " sky"])
    assert plain(made) == "The sky"


def test_only_the_first_divergent_token_is_marked() -> None:
    made = comparison(["The", " sky", " is"], ["The", " sea", " is"])
    assert plain(made) == "The ►sea is"


@pytest.mark.parametrize(
    ("token", "after", "expected"),
    [
        ("\n", "b", "a►↵\nb"),
        ("\n\n", "b", "a►↵↵\nb"),
        ("\t", "b", "a►→b"),
        (" ", "b", "a►␣b"),
        ("\x1b", "b", "a►␛b"),
        ("", "b", "a►…b"),
    ],
)
def test_a_blank_first_divergent_token_has_a_form(token: str, after: str, expected: str) -> None:
    assert plain(comparison(["a", "x", "y"], ["a", token, after])) == expected


def test_an_empty_first_divergent_token_is_named_by_its_fork() -> None:
    made = comparison(["a", "x"], ["a", ""])
    fork = p.ForkFound(1, p.Fork(1, 1, 2, "x", "<eos>", reason="no replay yet"))
    made.apply(fork)
    assert plain(made) == "a►<eos>"


def test_a_stream_that_ends_before_the_reference_diverges_at_its_end() -> None:
    made = comparison(["a", "b"], ["a"])
    end(made, "length", "stop")
    assert made.streams[1].first_divergent_token == 1
    assert plain(made) == "a ►end of text"


def test_a_failed_stream_says_why_after_its_text() -> None:
    made = comparison(["a"], ["a"])
    made.apply(p.StreamFinished(1, "failed", error=ErrorInfo("nan", "Not\x1b finite.", "Try f32.")))
    assert plain(made) == "a\n✗ Not␛ finite. Try f32."


@pytest.mark.parametrize(
    ("reference", "variant", "reasons", "expected"),
    [
        ([], [], (), "not compared"),
        (["a"], ["a"], (), "same so far (1 token)"),
        ([], ["a"], (), "not compared"),
        (["a", "b"], ["a", "c"], (), "► diverges at 1"),
        (["a"], ["a"], ("length", "length"), "identical (1 token)"),
        (["a", "b"], ["a", "b"], ("stop", "stop"), "identical (2 tokens)"),
        (["a", "b"], ["a", "b"], ("cancelled", "cancelled"), "same so far (2 tokens)"),
    ],
)
def test_how_a_stream_stands(
    reference: list[str],
    variant: list[str],
    reasons: tuple[p.FinishReason, ...],
    expected: str,
) -> None:
    made = comparison(reference, variant)
    end(made, *reasons)
    assert numbers(Perspective(made), 1, 80, 3, running=False).state == expected


def test_the_reference_is_named_as_such() -> None:
    made = comparison(["a"], ["b"])
    assert numbers(Perspective(made), 0, 80, 3, running=True).state == "the reference"


def test_counts_while_running_after_the_end_and_when_cut_off() -> None:
    made = comparison(["a", "b"], ["a", "b"])
    stream = made.streams[1]
    assert labels.counts(stream, 256, running=True) == "2/256"
    assert labels.counts(stream, 256, running=False) == "2/256 cut\xa0off"
    end(made, "length", "stop")
    assert labels.counts(stream, 256, running=True) == "2/256 ended"
    assert labels.counts(made.reference, 2, running=False) == "2/2 limit"
    assert labels.counts(comparison([], []).streams[1], 9, running=True) == "0/9"


def test_an_impossible_probability_of_a_saved_file_is_told_as_the_largest_that_there_is() -> None:
    made = comparison([], [])
    made.apply(p.Step(0, 1.0, (p.StreamStep(1, 5, "a", 1e6, None, None, 1.0),)))
    assert labels.token(made.streams[1], 0, "gelu")[1] == "p 100.0 %"


def test_rates_now_and_on_average_with_their_unit() -> None:
    made = comparison(["a", "b"], ["a", "b"])
    assert labels.rates(made.streams[1], running=True) == (
        "1.0 tok/s · avg 1.0 · first token 1.00 s",
        "1.0 tok/s · avg 1.0 · TTFT 1.00 s",
        "1.0 tok/s · avg 1.0",
        "1.0 tok/s",
    )
    end(made, "length", "length")
    assert labels.rates(made.streams[1], running=False)[0].startswith("1.0 tok/s avg")
    assert labels.rates(comparison([], []).streams[1], running=True) == ()


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, "0 B"), (999, "999 B"), (12_345, "12.3 kB"), (243_000_000, "243 MB"), (4.2e9, "4.20 GB")],
)
def test_sizes(count: float, expected: str) -> None:
    assert labels.size(count) == expected


def test_progress_with_and_without_a_total() -> None:
    known = p.Progress("download", "a\x1bb", 61_000_000, 244_000_000, "bytes", 12_000_000.0)
    assert labels.progress(known) == "Downloading a␛b  ██░░░░░░░░ 25%  61.0 MB of 244 MB  12.0 MB/s"
    assert labels.progress(p.Progress("load", "", 3, 0, "parts")) == "Loading  3 parts"
    assert labels.progress(p.Progress("load", "weights", 0, 0, "parts")) == "Loading weights"
    over = p.Progress("convert", "x", 11, 10, "parts")
    assert "100%" in labels.progress(over)


@pytest.mark.parametrize(
    ("panes", "width", "height", "columns"),
    [
        (5, 200, 46, 5),
        (5, 120, 32, 3),
        (5, 80, 20, 3),
        (4, 120, 32, 4),
        (8, 80, 20, 2),
        (3, 80, 20, 3),
        (2, 80, 20, 2),
        (1, 80, 20, 1),
    ],
)
def test_columns(panes: int, width: int, height: int, columns: int) -> None:
    assert pane_columns(panes, width, height) == columns


def test_panes_are_never_unreadably_narrow() -> None:
    for panes, width, height in itertools.product(range(1, 9), range(40, 260, 7), range(5, 60, 5)):
        found = arrangement(panes, width, height)
        if found.tabs:
            assert pane_columns(panes, width, height) is None
            continue
        assert 1 <= found.columns <= panes
        assert width // found.columns >= min(width, 22)
        assert panes == 1 or height // -(-panes // found.columns) >= MIN_PANE_ROWS


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        ("auto", Arrangement(3)),
        ("columns", Arrangement(5)),
        ("grid", Arrangement(3)),
        ("tabs", Arrangement(1, tabs=True)),
    ],
)
def test_a_layout_of_ones_own(layout: Layout, expected: Arrangement) -> None:
    assert arrangement(5, 120, 32, layout) == expected


def test_where_panes_do_not_fit_there_are_tabs() -> None:
    assert arrangement(8, 50, 16) == Arrangement(1, tabs=True)
    assert arrangement(1, 50, 4) == Arrangement(1)
