"""A run that was stopped, or reached its limit, as one that goes on."""

from __future__ import annotations

import math
from typing import NamedTuple

from msgspec import inspect
from msgspec.structs import replace

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.checks import what_if_fits
from gelu_tui.core.comparison.state import Comparison, Stream
from gelu_tui.core.comparison.what_if import next_steps, nothing_to_give
from gelu_tui.core.errors import GeluError, UsageError
from gelu_tui.core.functions.variants import CONTROL
from gelu_tui.core.runs.document import ComparisonDocument, VariantDocument
from gelu_tui.core.runs.restore import restore
from gelu_tui.core.settings.field import fields_of
from gelu_tui.core.settings.run_settings import RunSettings

_NO_MORE = "Run the prompt with other functions, or another prompt."


class GoingOn(NamedTuple):
    """The command that makes a run go on, and the comparison that its answers belong to."""

    command: p.Continue
    comparison: Comparison


def go_on(document: ComparisonDocument, max_tokens: int) -> GoingOn:
    """Return how a run goes on to `max_tokens` in each stream.

    It goes on where all streams that have not ended by themselves have all that an undisturbed run
    knows of a step, which may be a step or two before the end of some. Raises `GeluError` if none
    of its streams can go on.
    """
    _check_one_run(document)
    first = _first_step(document)
    reference = document.reference_variant.tokens
    variants = [_cut(variant, first, reference) for variant in document.variants]
    if all(map(_has_ended, variants)):
        message = "All streams of this run have ended by themselves: there is nothing to continue."
        raise GeluError("run_ended", message, _NO_MORE)
    if max_tokens <= first:
        message = f"The streams of this run have {first} tokens already; the limit is {max_tokens}."
        raise UsageError(message, f"Choose more than {first} tokens.", kind="max_tokens")
    settings = replace(document.settings, max_tokens=max_tokens)
    cut = replace(document, settings=settings, status="cancelled", error=None, variants=variants)
    comparison = restore(cut)
    comparison.status = comparison.timing = None
    for stream, variant in zip(comparison.streams, variants, strict=True):
        if not _has_ended(variant):
            stream.finish_reason, stream.tail = None, ""
    return GoingOn(_command(cut, comparison), comparison)


def replay_command(document: ComparisonDocument, comparison: Comparison) -> p.Replay:
    """Return the command that replays the forks of a run that has ended. Raises `GeluError`."""
    _check_one_run(document)
    return p.Replay(run=_command(document, comparison))


def what_if_command(document: ComparisonDocument, comparison: Comparison, stream: int) -> p.WhatIf:
    """Return the command that gives a stream the reference's token at its fork.

    Where that was done and it parted again, at the new fork too. Raises `GeluError` where there is
    nothing to give.
    """
    _check_one_run(document)
    reference, fork = comparison.reference, comparison.streams[stream].fork
    if fork is None:
        message = "The run kept nothing of a fork of this stream."
        raise GeluError("what_if", message, "Try another stream.")
    count = len(reference.tokens)
    why_not = nothing_to_give(fork, reference.name, count, reference.finish_reason)
    if why_not is not None:
        raise GeluError("what_if", why_not)
    steps = next_steps(fork, count)
    if not steps:
        raise GeluError("what_if", "This has been tried to the end of the reference's stream.")
    last = fork if steps[-1] == fork.step or fork.what_if is None else fork.what_if.fork
    known = last is not None and last.step == steps[-1]
    chance = last.probabilities.get("variant_a") if last is not None and known else None
    given = p.Given(stream, steps, math.log(chance) if chance else None)
    return p.WhatIf(run=_command(document, comparison), given=(given,))


def limit_of_more(document: ComparisonDocument, wanted: int) -> int:
    """Return the limit with which a run goes on where none is named.

    A stopped run goes on to its own limit, or to `wanted` if that is higher; one that reached its
    limit gets `wanted` tokens more.
    """
    own, has = document.settings.max_tokens, _tokens(document)
    limit = has + wanted if has >= own else max(own, wanted)
    allowed = fields_of(RunSettings)["max_tokens"].info
    assert isinstance(allowed, inspect.IntType) and allowed.le is not None
    return min(limit, allowed.le)


def has_more(whole: ComparisonDocument, before: ComparisonDocument) -> bool:
    """Whether a run that went on has more than what is saved of it."""
    gained = _total(whole) - _total(before)
    return gained > 0 or (gained == 0 and whole.status == "completed")


def _total(document: ComparisonDocument) -> int:
    return sum(len(variant.tokens) for variant in document.variants)


def _tokens(document: ComparisonDocument) -> int:
    return max(len(variant.tokens) for variant in document.variants)


def _check_one_run(document: ComparisonDocument) -> None:
    made = [v for v in document.variants if not (v.control and v.name == CONTROL)]
    if len(made) != len(document.settings.activations):
        message = "Two runs are shown as one here."
        raise GeluError("two_runs", message, "Open one of them from the history.")


def _first_step(document: ComparisonDocument) -> int:
    """The step at which all streams go on that have not ended before."""
    open_streams = [v for v in document.variants if not _has_ended(v)]
    first = min((len(v.tokens) for v in open_streams), default=_tokens(document))
    reference = document.reference_variant.tokens
    for variant in document.variants:
        if variant.tokens and variant.text and not any(step.text for step in variant.steps):
            return 0  # the first version stored no text of tokens
        pairs = enumerate(zip(reference, variant.tokens, strict=False))
        at = next((step for step, (a, b) in pairs if a != b), None)
        if at is not None and variant.fork is None:
            first = min(first, at)  # the engine ended before it could tell of the fork
    return first


def _has_ended(variant: VariantDocument) -> bool:
    """Whether a stream ended by itself: its function, not the limit or what stopped the run."""
    broke = variant.error is not None and variant.error.kind == "not_finite"
    reason = variant.finish_reason
    return reason in ("stop", "repeats") or (reason == "failed" and broke)


def _cut(variant: VariantDocument, first: int, reference: list[int]) -> VariantDocument:
    """A stream up to a step; it goes on there unless it had ended before."""
    tokens, steps = variant.tokens[:first], variant.steps[:first]
    fork = variant.fork if variant.fork is not None and variant.fork.step < first else None
    what_if = fork.what_if if fork is not None else None
    if what_if is not None and not what_if_fits(what_if, what_if.given[0], reference[:first]):
        assert fork is not None
        fork = replace(fork, what_if=None)  # it tells of more than is left
    if _has_ended(variant) and len(variant.tokens) <= first:
        return replace(variant, fork=fork)
    return replace(
        variant,
        tokens=tokens,
        steps=steps,
        text="".join(step.text for step in steps),
        finish_reason="cancelled",
        error=None,
        fork=fork,
        time_to_first_token_s=variant.time_to_first_token_s if first else None,
    )


def _is_judged(stream: Stream) -> bool:
    """Whether the fork of a stream has a verdict, or can have none."""
    if stream.fork is None:  # an engine may not have told of it
        return stream.first_divergent_token is not None
    return stream.fork.verdict != "unverified"


def _command(document: ComparisonDocument, comparison: Comparison) -> p.Continue:
    started = p.Started(
        document.prompt,
        document.prompt_text,
        document.prompt_tokens,
        tuple(stream.variant for stream in comparison.streams),
        comparison.reference_index,
        comparison.settings,
        comparison.messages,
        comparison.choices,
    )
    streams = tuple(
        p.EarlierStream(
            tuple(stream.tokens),
            stream.steps[-1].logprob if stream.steps else None,
            stream.steps[-1].decode_s if stream.steps else 0.0,
            ended=stream.finish_reason is not None,
            error=stream.error,
            judged=_is_judged(stream),
        )
        for stream in comparison.streams
    )
    return p.Continue(
        started=started,
        model=document.model,
        streams=streams,
        load_s=document.timing.load_s,
        prefill_s=document.timing.prefill_s,
    )
