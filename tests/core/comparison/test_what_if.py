"""What came of the reference's token at a fork: its sentences, what is next, what can be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.checks import what_if_fits
from gelu_tui.core.comparison.what_if import (
    explain_what_if,
    is_whole,
    next_steps,
    nothing_to_give,
)
from gelu_tui.core.errors import ErrorInfo
from tests.support.made_up import fork_between

FORK = fork_between(1, 5, (7, " a"), (8, " b"), margins={"reference": 0.2, "variant": 0.1}).fork
CLEAR = replace(FORK, margins={"reference": 4.0, "variant": 0.1})
ERROR = ErrorInfo("not_finite", "The logits of 'relu' stopped being numbers at step 8.")
GOES = "Given gelu's token, relu goes on as gelu does for 2 tokens"


def tried(tokens: int = 2, given: tuple[int, ...] = (5,), **parts: object) -> p.Counterfactual:
    return replace(p.Counterfactual(given, tuple(range(tokens))), **parts)


@pytest.mark.parametrize(("fork", "what_if", "said"), [
    (FORK, tried(step=8, parts_again=True), f"{GOES} and parts again at token 8."),
    (FORK, tried(step=6, parts_again=True), "Given gelu's token, relu parts again at token 6, the "
     "very next one."),
    (FORK, tried(), f"{GOES}, to the end of its stream: the fork was a single close call."),
    (FORK, tried(finish_reason="stop"), f"{GOES}, to the end of the text: the fork was a single "
     "close call."),
    (CLEAR, tried(), f"{GOES}, to the end of its stream: the fork was a single one."),
    (FORK, tried(1), "Given gelu's token, relu goes on as gelu does for 1 token, which is how far "
     "it was tried."),
    (FORK, tried(finish_reason="cancelled"), f"{GOES}, where it was stopped."),
    (FORK, tried(finish_reason="failed", error=ERROR), f"{GOES}; then the logits of 'relu' stopped "
     "being numbers at step 8."),
    (FORK, tried(0, (5, 7), finish_reason="length"), "Given gelu's tokens at 5 and 7, relu goes on "
     "as gelu does for 0 tokens, to the end of its stream: these 2 forks are all that there is "
     "between them."),
    (FORK, tried(1, (1, 2, 3, 5, 6), step=7, parts_again=True), "Given gelu's tokens at 5 forks "
     "from 1 to 6, relu parts again at token 7, the very next one."),
])  # fmt: skip
def test_sentences(fork: p.Fork, what_if: p.Counterfactual, said: str) -> None:
    assert explain_what_if(replace(fork, what_if=what_if), "gelu", "relu", 8) == said


def test_names_are_shown_as_glyphs() -> None:
    fork = replace(FORK, what_if=tried())
    assert "\x1b" not in explain_what_if(fork, "a\x1b[2J", "b\x1b[2J", 8)


@pytest.mark.parametrize(("tokens", "reason", "said"), [
    (7, "length", None),
    (6, "stop", "At token 5 gelu ended: there is no token of it to go on from."),
    (6, "length", "Token 5 is gelu's last one: nothing follows to compare with."),
    (6, None, "Token 5 is gelu's last one: nothing follows to compare with."),
])  # fmt: skip
def test_where_there_is_nothing_to_give(
    tokens: int, reason: p.FinishReason | None, said: str | None
) -> None:
    assert nothing_to_give(FORK, "gelu", tokens, reason) == said


def test_what_is_given_next() -> None:
    assert next_steps(FORK, 8) == (5,)
    assert next_steps(FORK, 6) == ()
    for what_if, following in (
        (tried(2, step=7, parts_again=True), ()),  # the last token
        (tried(2, step=6, parts_again=True), (5, 6)),
        (tried(2), ()),
        (tried(1), (5,)),
        (tried(1, finish_reason="cancelled"), (5,)),
        (tried(2, finish_reason="cancelled", step=6, parts_again=True), (5, 6)),
    ):
        assert next_steps(replace(FORK, what_if=what_if), 8) == following
    assert is_whole(tried(2), 8) and not is_whole(tried(1), 8)


Tokens = st.lists(st.integers(0, 2), min_size=2, max_size=9)


@given(Tokens, Tokens, st.data())
def test_what_fits_is_what_the_tokens_say(
    reference: list[int], chosen: list[int], data: st.DataObject
) -> None:
    """Whatever is wrong by one is refused."""
    step = data.draw(st.integers(0, len(reference) - 1))
    tokens = tuple(chosen[: len(reference) - step - 1])
    pairs = list(zip(tokens, reference[step + 1 :], strict=False))
    parts = next((step + 1 + at for at, (a, b) in enumerate(pairs) if a != b), None)
    fits = p.Counterfactual((step,), tokens, step=parts, parts_again=parts is not None)
    assert what_if_fits(fits, step, reference)
    assert not what_if_fits(fits, step + 1, reference)
    assert not what_if_fits(replace(fits, given=()), step, reference)
    assert not what_if_fits(replace(fits, given=(step, step)), step, reference)
    assert not what_if_fits(replace(fits, parts_again=parts is None), step, reference)
    assert not what_if_fits(replace(fits, step=(parts or 0) + 1), step, reference)
    assert not what_if_fits(replace(fits, tokens=(*tokens, *reference)), step, reference)
    if parts is not None:
        a, b = reference[parts], tokens[parts - step - 1]
        again = fork_between(1, parts, (a, "a"), (b, "b")).fork
        assert what_if_fits(replace(fits, fork=again), step, reference)
        for wrong in (
            replace(again, step=parts + 1),
            replace(again, reference_token=a + 1),
            replace(again, variant_token=b + 1),
            replace(again, what_if=fits),
            replace(again, margins={}),
        ):
            assert not what_if_fits(replace(fits, fork=wrong), step, reference)
