"""What a finished comparison adds to the statistics of its sweep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.what_if import agreed
from gelu_tui.core.runs.document import ComparisonDocument, VariantDocument
from gelu_tui.sweep.answer_text import is_found
from gelu_tui.sweep.outcomes import Outcome, PromptOutcome, StreamOutcome, WhatIfOutcome
from gelu_tui.sweep.prompts import Prompt
from gelu_tui.sweep.teacher_forced import Forced
from gelu_tui.sweep.who_what_bench import who_what_bench


class TokenStream(Protocol):
    """The tokens of a finished stream, the end token included, and why it ended."""

    @property
    def tokens(self) -> Sequence[int]: ...
    @property
    def finish_reason(self) -> p.FinishReason: ...


def outcomes_of(
    document: ComparisonDocument,
    prompt: Prompt,
    model: int = 0,
    forced: Forced | None = None,
) -> PromptOutcome:
    """The outcome of each stream against the reference, in the order of the document's variants.

    `forced` is what reading the reference's stream again gave. Raises `GeluError` for a regular
    expression that takes too long.
    """
    reference = document.reference_variant
    check = document.self_check
    noise = (check.max_logit_difference or 0.0) if check is not None else 0.0
    forced = forced or Forced()
    streams = []
    for variant in document.variants:
        steps = variant.steps[: variant.compared_steps]
        fork = variant.fork
        whole = forced.full_kl.get(variant.name, (0.0, 0))
        correct, correct_norm = answered(prompt, variant)
        outcome = compare_streams(reference, variant, fork.verdict if fork else "unverified")
        outcome = msgspec.structs.replace(
            outcome,
            kl=sum((step.kl for step in steps if step.kl is not None), 0.0),
            kl_steps=len(steps),
            full_kl=whole[0],
            full_kl_steps=whole[1],
            close_calls=sum(s.margin is not None and abs(s.margin) < noise for s in variant.steps),
            correct=correct,
            correct_norm=correct_norm,
            what_if=_what_if(fork),
        )
        streams.append(outcome)
    return PromptOutcome(
        prompt.number, prompt.id, prompt.category, model, tuple(streams), forced.yardsticks
    )


def _what_if(fork: p.Fork | None) -> WhatIfOutcome | None:
    """What came of the reference's token; None where that was not followed to its end."""
    tried = fork.what_if if fork is not None else None
    if tried is None or tried.finish_reason in ("cancelled", "failed"):
        return None
    ended = tried.finish_reason == "stop" and not tried.parts_again
    return WhatIfOutcome(tried.parts_again, agreed(tried), ended)


def compare_streams(
    reference: TokenStream, stream: TokenStream, verdict: p.Verdict = "unverified"
) -> StreamOutcome:
    """The outcome of two finished streams by their tokens; `verdict` is what made them part.

    A stream that ended by itself or at the limit before the other parts from it at its end. One
    that was stopped (by the user, an error, or in a repetition) is compared until there.
    """
    a, b = reference.tokens, stream.tokens
    shared = min(len(a), len(b))
    equal = next((step for step in range(shared) if a[step] != b[step]), shared)
    ended = reference if len(a) < len(b) else stream
    at_end = len(a) != len(b) and ended.finish_reason in ("stop", "length")
    diverged = equal < shared or at_end
    both_ended = reference.finish_reason == stream.finish_reason == "stop"
    outcome: Outcome = verdict if diverged else "same"
    return StreamOutcome(
        tokens=len(b),
        finish_reason=stream.finish_reason,
        outcome=outcome,
        first_divergent_token=equal if diverged else None,
        compared=equal,
        identical=both_ended and not diverged,
        wwb=who_what_bench(list(a), list(b)),
    )


def across_models(
    first: PromptOutcome,
    other: PromptOutcome,
    first_streams: Sequence[TokenStream],
    other_streams: Sequence[TokenStream],
) -> tuple[tuple[StreamOutcome, StreamOutcome], ...]:
    """Each function's stream on one model against the same function's on the first model.

    Returns pairs of the reference's outcome and the other's, with their answers. Token ids are
    compared; there is no KL between models, and no replay, so that what made a fork is unverified.
    """
    pairs = []
    for a, b, a_stream, b_stream in zip(
        first.streams, other.streams, first_streams, other_streams, strict=True
    ):
        found = compare_streams(a_stream, b_stream)
        answers = {"correct": b.correct, "correct_norm": b.correct_norm}
        pairs.append((a, msgspec.structs.replace(found, close_calls=b.close_calls, **answers)))
    return tuple(pairs)


def answered(prompt: Prompt, variant: VariantDocument) -> tuple[bool | None, bool | None]:
    """Whether the answer is right, and by length-normalised probability; None without an answer.

    Of choices the answer is the one with the largest log-probability, or the largest by the number
    of its characters, as lm-eval's `acc` and `acc_norm` (EleutherAI/lm-evaluation-harness,
    lm_eval/api/task.py, `process_results`: `len` of the choice without the white space in front of
    it); of equal ones the first. A generated text is right if it equals the answer apart from white
    space at the ends, or if the regular expression is found in it. Raises `GeluError` for a regular
    expression that takes too long.
    """
    answer = prompt.answer
    if answer is None:
        return None, None
    if prompt.choices:
        scores = variant.choices
        if len(scores) != len(prompt.choices):
            return None, None  # the stream failed before they were asked for
        sums = [score.logprob for score in scores]
        lengths = [max(1, len(choice.lstrip())) for choice in prompt.choices]
        by_length = [each / length for each, length in zip(sums, lengths, strict=True)]
        return sums.index(max(sums)) == answer, by_length.index(max(by_length)) == answer
    if variant.error is not None:
        return None, None
    text = variant.text
    if prompt.match == "exact":
        return text.strip() == str(answer).strip(), None
    return is_found(str(answer), text), None
