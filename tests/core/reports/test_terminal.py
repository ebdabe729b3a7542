"""The text report: where a stream parts, and the blank tokens that a reader would overlook."""

from __future__ import annotations

import pytest

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.standing import Standing
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.reports.progress import progress_sentence
from gelu_tui.core.reports.terminal import hint_lines, self_check_sentence, stream_text
from gelu_tui.core.runs.document import VariantDocument, document
from gelu_tui.core.safe_text import quoted
from tests.support.comparisons import LOADED, begun

Tokens = list[tuple[int, str]]


def compared(reference: Tokens, variant: Tokens) -> Comparison:
    """A comparison whose two streams hold these tokens and have not ended."""
    comparison = begun("first", "second")
    for stream, tokens in enumerate((reference, variant)):
        for step, (token, text) in enumerate(tokens):
            said = p.StreamStep(stream, token, text, -1.0, 1.0, None, 0.1)
            comparison.apply(p.Step(step, 0.1, (said,)))
    return comparison


def second(comparison: Comparison) -> VariantDocument:
    return document(comparison, LOADED).variants[1]


def shown(reference: Tokens, variant: Tokens) -> str:
    return stream_text(second(compared(reference, variant))).plain


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        ([(1, "\n\n"), (2, "The"), (3, "\n\nsky"), (4, "\n")], "↵↵\nThe\n\nsky↵"),
        ([(1, "\n"), (1, "\n")], "↵↵"),
        ([(1, "")], "(no text)"),
        ([(1, "\x1b[31m"), (2, "\u202e")], "␛[31m⟨U+202E⟩"),
    ],
)
def test_a_stream_without_a_fork(tokens: Tokens, text: str) -> None:
    assert shown(tokens, tokens) == text


@pytest.mark.parametrize(
    ("reference", "variant", "text"),
    [
        ([(1, "a"), (2, " b")], [(1, "a"), (3, " c"), (4, " d")], "a► c◄ d"),
        ([(1, "a")], [(2, "b")], "►b◄"),
        ([(1, "\n\n"), (2, "[")], [(1, "\n\n"), (3, "The"), (4, " sky\n")], "↵↵\n►The◄ sky↵"),
        ([(1, "a"), (2, ",")], [(1, "a"), (3, ".\n"), (4, "Next")], "a►.↵◄\nNext"),
        ([(1, "a"), (2, "b")], [(1, "a"), (3, " "), (4, "c")], "a►␣◄c"),
        ([(1, "a"), (2, "b")], [(1, "a"), (3, "\x1b]0;")], "a►␛]0;◄"),
    ],
    ids=["inside", "at once", "after line feeds", "a line feed", "a blank", "hostile"],
)
def test_the_first_divergent_token_is_marked(reference: Tokens, variant: Tokens, text: str) -> None:
    assert shown(reference, variant) == text


def test_a_token_that_is_a_part_of_a_character_shows_its_piece() -> None:
    comparison = compared([(1, "a"), (2, "b")], [(1, "a"), (3, ""), (4, "空")])
    tops = (p.Candidate(2, "b", 0.5),)
    fork = p.ForkFound(1, p.Fork(1, 2, 3, "b", "<0xE7>", tops, tops, {}, {}, {}))
    comparison.apply(fork)
    assert stream_text(second(comparison)).plain == "a►<0xE7>◄空"


def test_a_stream_that_ends_first_is_marked_at_its_end() -> None:
    comparison = compared([(1, "a"), (2, "b")], [(1, "a")])
    assert stream_text(second(comparison)).plain == "a"
    comparison.apply(p.StreamFinished(1, "stop"))
    assert stream_text(second(comparison)).plain == "a►end of text◄"


def test_where_a_stream_stands() -> None:
    def said(comparison: Comparison) -> list[tuple[str, str]]:
        made = document(comparison, LOADED)
        standings = [made.standing(variant) for variant in made.variants]
        return [(standing.long, standing.short) for standing in standings]

    same = [(1, "a"), (2, "b")]
    comparison = compared(same, same)
    assert said(comparison) == [
        ("the reference", "reference"),
        ("same so far (2 tokens)", "=2"),
    ]
    comparison.apply(p.StreamFinished(0, "length"))
    comparison.apply(p.StreamFinished(1, "cancelled"))
    assert said(comparison)[1] == ("same so far (2 tokens)", "=2")
    comparison.apply(p.StreamFinished(1, "length"))
    assert said(comparison)[1] == ("identical (2 tokens)", "=2")
    assert said(compared(same, [(1, "a"), (3, "c")]))[1] == ("diverges at 1", "1")
    assert said(compared([], same))[1] == ("not compared", "–")


def test_a_row_of_the_list_knows_no_number_of_equal_tokens() -> None:
    assert Standing("same", None).short == "="


def test_quoted_tokens_are_short_and_on_one_line() -> None:
    assert quoted("\n\n", 18) == "“↵↵”"
    assert quoted("x" * 18, 18) == f"“{'x' * 18}”"
    assert quoted("x" * 19, 18) == f"“{'x' * 17}…”"


def test_an_error_in_lines() -> None:
    assert hint_lines("No.", "") == ["gelu-tui: No."]
    assert hint_lines("No\n\x1b.", "Do\n.", "x+\n  ^") == [
        "gelu-tui: No↵␛.",
        "  x+",
        "    ^",
        "  Do↵.",
    ]


@pytest.mark.parametrize(
    ("event", "sentence"),
    [
        (
            p.Progress(
                "convert", "converting the model", 512_000_000, 1_024_000_000, "bytes", 310e6
            ),
            "Converting the model · 512 MB of 1.02 GB · 50 % · 310 MB/s",
        ),
        (
            p.Progress("download", "config.json", 300, 1_500, "bytes", 20_000.0),
            "Downloading config.json · 300 B of 1.5 kB · 20 % · 20.0 kB/s",
        ),
        (
            p.Progress("download", "big", 1, 24_000_000_000, "bytes"),
            "Downloading big · 1 B of 24.00 GB · 0 %",
        ),
        (p.Progress("load", "weights", 0, 0, "parts"), "Loading weights"),
        (p.Progress("load", "weights", 3, 0, "parts"), "Loading weights · 3 parts"),
        (
            p.Progress("prefill", "gelu", 8, 16, "tokens"),
            "Reading the prompt: gelu · 8 of 16 tokens · 50 %",
        ),
        (
            p.Progress("score", "window 2 of 6", 512, 2048, "tokens", 24.6),
            "Scoring window 2 of 6 · 512 of 2048 tokens · 25 % · 25 tokens/s",
        ),
    ],
    ids=lambda value: value.phase if isinstance(value, p.Progress) else "",
)
def test_progress_in_words(event: p.Progress, sentence: str) -> None:
    assert progress_sentence(event) == sentence


def test_a_self_check_says_what_it_was_of() -> None:
    def said(*report: object) -> str:
        return self_check_sentence(p.SelfCheckReport(*report))  # type: ignore[arg-type]

    assert said(64, 3, True, 0.0, True) == said(64, 3, True, 0.0)
    assert "one function on 4 rows differs by up to 2e-05" in said(4, 3, False, 2e-5)
    assert said(64, 3, False, 2e-5, True) == (
        "Self-check: with several prompts in one batch of 64 rows, logits differ by up to 2e-05 "
        "from those of a prompt alone; a token whose margin is smaller may be another one there."
    )
    assert "not finite" in said(64, 3, False, None, True)
