"""Pairs of streams without a fork that the run kept: why not, in a sentence."""

from __future__ import annotations

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.fork_sentences import explain_pair, token_text
from gelu_tui.core.comparison.state import Comparison
from tests.support.comparisons import begun


def streams_of(*tokens: list[int]) -> Comparison:
    comparison = begun(*(f"v{i}" for i in range(len(tokens))), schedule="solo")
    for stream, ids in enumerate(tokens):
        for step, token in enumerate(ids):
            said = p.StreamStep(stream, token, "", None, None, None, 0.1)
            comparison.apply(p.Step(step, 0.1, (said,)))
    return comparison


def test_identical_streams() -> None:
    comparison = streams_of([1, 2], [1, 2])
    assert explain_pair(comparison, 0, 1) == "v0 and v1: same so far (2 tokens)."
    for stream in (0, 1):
        comparison.apply(p.StreamFinished(stream, "length"))
    assert explain_pair(comparison, 0, 1) == "v0 and v1: identical (2 tokens)."


def test_a_stream_that_ended_first() -> None:
    comparison = streams_of([1, 2, 3], [1])
    comparison.apply(p.StreamFinished(1, "stop"))
    assert explain_pair(comparison, 0, 1) == "v1 ended after 1 token, where v0 went on."
    assert explain_pair(comparison, 1, 0) == "v1 ended after 1 token, where v0 went on."


def test_streams_that_wait() -> None:
    comparison = streams_of([1, 2, 3], [])
    assert explain_pair(comparison, 0, 1) == "v1 has no tokens to compare."
    assert explain_pair(comparison, 1, 0) == "v1 has no tokens to compare."


def test_a_fork_that_the_run_kept_nothing_of() -> None:
    comparison = streams_of([1, 2], [1, 3])
    assert explain_pair(comparison, 0, 1) == (
        "At token 1 v0 took “token 2” and v1 took “token 3”. "
        "The run kept no candidates of this fork."
    )


def test_the_text_of_a_token_that_has_none_in_its_stream() -> None:
    comparison = streams_of([1, 2], [1, 3])
    comparison.apply(p.ForkFound(1, p.Fork(1, 2, 3, "<0xE7>", "空", (), (), {}, {}, {})))
    assert [token_text(comparison, stream, 1) for stream in (0, 1)] == ["<0xE7>", "空"]
    assert token_text(comparison, 0, 0) == "" == token_text(comparison, 0, 9)
