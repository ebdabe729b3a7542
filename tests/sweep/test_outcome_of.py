"""What a finished comparison adds to a sweep, by hand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec.structs import replace

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import TokenStep
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.runs.document import ComparisonDocument, VariantDocument
from gelu_tui.sweep.outcome_of import across_models, answered, compare_streams, outcomes_of
from gelu_tui.sweep.outcomes import WhatIfOutcome
from gelu_tui.sweep.prompts import Prompt
from gelu_tui.sweep.teacher_forced import Forced
from tests.support.comparisons import run_document

EOS = 1


@dataclass
class Tokens:
    tokens: list[int] = field(default_factory=list)
    finish_reason: p.FinishReason = "length"


@pytest.mark.parametrize(
    ("reference", "stream", "fdt", "compared", "identical"),
    [
        (Tokens([5, 6, 7]), Tokens([5, 6, 8]), 2, 2, False),
        (Tokens([5, 6, 7]), Tokens([5, 6, 7]), None, 3, False),
        (Tokens([5, EOS], "stop"), Tokens([5, EOS], "stop"), None, 2, True),
        # one ends, the other goes on: the end token is another one
        (Tokens([5, EOS], "stop"), Tokens([5, 6, 7]), 1, 1, False),
        # one was stopped, or had an error: compared until there
        (Tokens([5, 6, 7]), Tokens([5, 6], "cancelled"), None, 2, False),
        (Tokens([5, 6, 7]), Tokens([5], "failed"), None, 1, False),
        (Tokens([5, 6, 7]), Tokens([8], "failed"), 0, 0, False),
        (Tokens([5, 5, 5], "repeats"), Tokens([5, 5, 5], "repeats"), None, 3, False),
        # a limit that the other's context did not have
        (Tokens([5, 6], "length"), Tokens([5, 6, 7], "length"), 2, 2, False),
        (Tokens([], "failed"), Tokens([5]), None, 0, False),
    ],
)
def test_two_streams(
    reference: Tokens, stream: Tokens, fdt: int | None, compared: int, identical: bool
) -> None:
    for a, b in ((reference, stream), (stream, reference)):
        found = compare_streams(a, b, "formula")
        assert (found.first_divergent_token, found.compared) == (fdt, compared)
        assert found.identical == identical
        assert found.outcome == ("same" if fdt is None else "formula")
        assert (found.tokens, found.finish_reason) == (len(b.tokens), b.finish_reason)


# --- a document -----------------------------------------------------------------------------------

PROMPT = Prompt(number=7, id="a", prompt="Why?", category="questions")


def document(**changes: Any) -> ComparisonDocument:
    """Streams a b c d, a b x y (fork at 2, by the formula) and a b c d, the control."""
    texts = {"gelu": list("abcd"), "silu": list("abxy"), "control": list("abcd")}
    made = run_document(texts=texts, control="control")
    steps = {
        "gelu": [(4.0, None), (0.1, None), (3.0, None), (0.3, None)],
        "silu": [(4.0, 0.5), (0.2, 0.25), (0.05, 2.0), (9.0, None)],
        "control": [(4.0, 0.0), (0.1, 0.125), (3.0, 0.0), (None, 0.0)],
    }
    variants = []
    for variant in made.variants:
        own = [TokenStep(-1.0, margin, kl) for margin, kl in steps[variant.name]]
        fork = variant.fork and replace(variant.fork, verdict="formula")
        variants.append(replace(variant, steps=own, fork=fork))
    check = p.SelfCheckReport(3, 8, False, 0.25)
    return replace(made, variants=variants, self_check=check, **changes)


@pytest.mark.parametrize(("tried", "expected"), [
    (p.Counterfactual((2,), (7, 8), "", "length", True, 4), WhatIfOutcome(True, 1)),
    (p.Counterfactual((2,), (7,), "", "length"), WhatIfOutcome(False, 1)),
    (p.Counterfactual((2,), (7, EOS), "", "stop"), WhatIfOutcome(False, 2, ended=True)),
    (p.Counterfactual((2,), (7, EOS), "", "stop", True, 4), WhatIfOutcome(True, 1)),
    (p.Counterfactual((2,), (7,), "", "cancelled"), None),
    (p.Counterfactual((2,), (), "", "failed"), None),
    (None, None),
])  # fmt: skip
def test_what_came_of_the_reference_s_token(
    tried: p.Counterfactual | None, expected: WhatIfOutcome | None
) -> None:
    made = document()
    variants = [replace(v, fork=replace(v.fork, what_if=tried)) if v.fork else v
                for v in made.variants]  # fmt: skip
    found = outcomes_of(replace(made, variants=variants), PROMPT).streams
    assert [stream.what_if for stream in found] == [None, expected, None]


def test_the_outcome_of_a_document() -> None:
    found = outcomes_of(document(), PROMPT, 1, Forced({"silu": (6.5, 4), "control": (0.5, 4)}))
    assert (found.number, found.id, found.category, found.model) == (7, "a", "questions", 1)
    reference, silu, control = found.streams
    assert (reference.outcome, reference.compared, reference.kl_steps) == ("same", 4, 0)
    assert (reference.close_calls, reference.tokens) == (1, 4), "a margin of 0.1, noise 0.25"
    assert (silu.outcome, silu.first_divergent_token, silu.compared) == ("formula", 2, 2)
    assert (silu.kl, silu.kl_steps) == (2.75, 3), "up to and including the fork"
    assert (silu.full_kl, silu.full_kl_steps, silu.close_calls) == (6.5, 4, 2)
    assert silu.wwb == (2, 0.5, 2, 0.5)
    assert (control.outcome, control.kl, control.kl_steps) == ("same", 0.125, 4)
    assert (control.close_calls, control.full_kl) == (1, 0.5)


def test_without_noise_no_call_is_close() -> None:
    exact = p.SelfCheckReport(3, 8, True, 0.0)
    for check in (None, exact, replace(exact, identical=False, max_logit_difference=None)):
        found = outcomes_of(replace(document(), self_check=check), PROMPT)
        assert [stream.close_calls for stream in found.streams] == [0, 0, 0]


def test_a_fork_that_was_not_replayed_is_unverified() -> None:
    made = document()
    silu = replace(made.variants[1], fork=None)
    found = outcomes_of(replace(made, variants=[made.variants[0], silu, made.variants[2]]), PROMPT)
    assert found.streams[1].outcome == "unverified"


def test_models_are_compared_function_by_function() -> None:
    first = outcomes_of(document(), PROMPT, 0)
    other = outcomes_of(document(), PROMPT, 1)
    right = replace(other, streams=tuple(replace(s, correct=True) for s in other.streams))
    streams = [Tokens([5, 6, 7]), Tokens([5, 9, 9]), Tokens([5])]
    pairs = across_models(first, right, [Tokens([5, 6, 7])] * 3, streams)
    assert [pair[0] for pair in pairs] == list(first.streams)
    found = [pair[1] for pair in pairs]
    assert [s.outcome for s in found] == ["same", "unverified", "unverified"]
    assert [s.first_divergent_token for s in found] == [None, 1, 1]
    assert {s.kl_steps for s in found} == {0} and {s.correct for s in found} == {True}


# --- answers --------------------------------------------------------------------------------------


def variant(text: str = "", scores: tuple[float, ...] = (), **changes: Any) -> VariantDocument:
    choices = tuple(p.ChoiceScore(logprob, 1) for logprob in scores)
    return replace(document().variants[0], text=text, choices=choices, **changes)


def test_choices_by_sum_and_by_length() -> None:
    choices = ("Rome", "New York City", "Oslo")
    prompt = replace(PROMPT, choices=choices, answer=1)
    # −4.0/4, −6.5/13, −5/4: Rome by the sum, New York City by its length
    assert answered(prompt, variant(scores=(-4.0, -6.5, -5.0))) == (False, True)
    assert answered(replace(prompt, answer=0), variant(scores=(-4.0, -6.5, -5.0))) == (True, False)
    # white space in front of a choice is no part of it, and of equal ones the first counts
    spaced = replace(prompt, choices=(" ab", "         cd"), answer=0)
    assert answered(spaced, variant(scores=(-3.0, -3.0))) == (True, True)
    assert (
        answered(replace(spaced, choices=("", "x")), variant(scores=(-3.0, -2.0))) == (False,) * 2
    )
    assert answered(prompt, variant(scores=())) == (None, None), "it failed before"


@pytest.mark.parametrize(
    ("match", "answer", "text", "right"),
    [
        ("exact", "Rome", " Rome\n", True),
        ("exact", " Rome ", "Rome", True),
        ("exact", "Rome", "Rome.", False),
        ("exact", "Rome", "rome", False),
        ("regex", r"\b42\b", "It is 42, surely.", True),
        ("regex", r"^42", "It is 42", False),
        ("regex", r"(?i)rome", "ROME", True),
    ],
)
def test_generated_text(match: Any, answer: str, text: str, right: bool) -> None:
    prompt = replace(PROMPT, answer=answer, match=match)
    assert answered(prompt, variant(text)) == (right, None)


def test_no_answer() -> None:
    assert answered(PROMPT, variant("Rome")) == (None, None)
    failed = variant("Rome", error=ErrorInfo("not_finite", "No numbers."))
    assert answered(replace(PROMPT, answer="Rome"), failed) == (None, None)


def test_a_regular_expression_that_never_ends() -> None:
    prompt = replace(PROMPT, answer=r"(a|a)+$", match="regex")
    with pytest.raises(GeluError) as caught:
        answered(prompt, variant("a" * 40 + "b"))
    assert caught.value.info.kind == "slow_pattern"
