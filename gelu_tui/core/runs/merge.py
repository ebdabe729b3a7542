"""Two saved runs of one prompt as one comparison."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from msgspec.structs import replace

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.core.functions.variants import MAX_VARIANTS
from gelu_tui.core.runs.document import ComparisonDocument, VariantDocument
from gelu_tui.core.runs.restore import with_statistics
from gelu_tui.core.settings.run_settings import sampling_words

_SAME_NATS = 1e-3  # one function in batches of other sizes differs by less, other weights by more


class Choice(NamedTuple):
    """A stream of two runs: its run's id and its name; `same` if the other run has it too."""

    run: int
    name: str
    same: bool = False


def choices(
    one: ComparisonDocument, other: ComparisonDocument, ids: tuple[int, int]
) -> list[Choice]:
    """Return the streams that `merged` can be given, the reference of `one` first.

    A stream that is identical in both runs is in the list once.
    """
    twins = _twins(one, other)
    mine = sorted(one.variants, key=lambda variant: variant.name != one.reference)
    return [Choice(ids[0], v.name, v.name in twins) for v in mine] + [
        Choice(ids[1], v.name) for v in other.variants if v.name not in twins
    ]


def merged(
    one: ComparisonDocument,
    other: ComparisonDocument,
    ids: tuple[int, int],
    chosen: Collection[Choice] | None = None,
) -> ComparisonDocument:
    """Merge the streams of two runs; model, settings and reference are those of `one`.

    A stream of `other` is named `NAME #ID` where `one` has that name too, followed by what its run
    did differently (`gelu #12 bfloat16`), and one with limits by what it was elsewhere, where the
    references differ (`relu@0-5 #12 elsewhere silu`). It keeps its KL, its fork and its role as
    control only if both runs have the same reference stream: else they were measured against a
    stream that is not in the document. A stream that reached the lower limit of tokens of its run
    becomes stopped: it would have gone on. Only if there are too many streams, those of `other`
    that are identical in `one` are left out, and `same in #ID` is added to the formula of those
    that remain. Of the streams in `chosen`, and the reference, there are no others in the document;
    without, of all.

    Raises `GeluError` if the prompts differ, or if more than `MAX_VARIANTS` streams remain. `ids`
    are the ids of both runs.
    """
    both = f"Runs {ids[0]} and {ids[1]}"
    if one.prompt_tokens != other.prompt_tokens:
        if one.prompt == other.prompt:
            message = f"{both} fed the same prompt to the model as other tokens."
            hint = "Compare runs that are both raw or both chat, on models of one tokenizer."
        else:
            message = f"{both} have different prompts."
            hint = "Compare two runs of one prompt."
        raise GeluError("other_prompt", message, hint)
    count = len(one.variants) + len(other.variants)
    twins = _twins(one, other) if count > MAX_VARIANTS else set()
    wanted = None if chosen is None else {(choice.run, choice.name) for choice in chosen}
    if wanted is None and (left := count - len(twins)) > MAX_VARIANTS:
        without = f", {left} without those that are identical in both" if twins else ""
        limit = f"the limit of one comparison is {MAX_VARIANTS}"
        message = f"{both} have {count} streams together{without}; {limit}."
        hint = "Choose some of them."
        raise GeluError("too_many_variants", message, hint)
    max_tokens = max(one.settings.max_tokens, other.settings.max_tokens)
    kept = [
        _noted(v, f"same in #{ids[1]}") if v.name in twins else v for v in _uncut(one, max_tokens)
    ]
    added = [v for v in _uncut(other, max_tokens) if v.name not in twins]
    if wanted is not None:
        wanted.add((ids[0], one.reference))
        kept = [variant for variant in kept if (ids[0], variant.name) in wanted]
        added = [variant for variant in added if (ids[1], variant.name) in wanted]
        if (left := len(kept) + len(added)) > MAX_VARIANTS:
            message = f"{left} streams are chosen; the limit of one comparison is {MAX_VARIANTS}."
            raise GeluError("too_many_chosen", message, "Leave some out.")
    peaks = [x.peak_memory_bytes for x in (one, other) if x.peak_memory_bytes is not None]
    result = replace(
        one,
        settings=replace(one.settings, max_tokens=max_tokens),
        status=other.status if one.status == "completed" else one.status,
        error=one.error or other.error,
        timing=_together(one.timing, other.timing),
        peak_memory_bytes=max(peaks, default=None),
        variants=kept + _renamed(added, one, other, ids[1]),
    )
    return with_statistics(result)


def _twins(one: ComparisonDocument, other: ComparisonDocument) -> set[str]:
    """The names of the streams that both runs have: same function, model, tokens and end."""
    if one.model != other.model:
        return set()
    same_elsewhere = _reference_function(one) == _reference_function(other)
    mine = {variant.name: variant for variant in one.variants}
    return {
        its.name
        for its in other.variants
        if (same := mine.get(its.name)) is not None
        and (its.limits is None or same_elsewhere)
        and _is_same_stream(same, its)
        and same.finish_reason == its.finish_reason
    }


def _reference_function(document: ComparisonDocument) -> tuple[str, ...]:
    """What a function with limits is outside of them, in this run."""
    variant = document.reference_variant
    return variant.name, variant.formula, variant.precision


def _is_same_stream(one: VariantDocument, other: VariantDocument) -> bool:
    fields = ("name", "formula", "precision", "tokens")
    return all(getattr(one, field) == getattr(other, field) for field in fields)


def _renamed(
    variants: list[VariantDocument], one: ComparisonDocument, other: ComparisonDocument, run: int
) -> list[VariantDocument]:
    """Streams of `other` with the names and statistics that they have beside those of `one`."""
    differences = _differences(one, other)
    if differences or not _is_same_reference(one.reference_variant, other.reference_variant):
        variants = [
            replace(v, steps=[replace(s, kl=None) for s in v.steps], fork=None, control=False)
            for v in variants
        ]
    taken = {variant.name for variant in one.variants}
    elsewhere = []
    if _reference_function(one) != _reference_function(other):
        elsewhere = [f"elsewhere {other.reference}"]
    renamed = []
    for variant in variants:
        words = [*(elsewhere if variant.limits else ()), *differences]
        if words or variant.name in taken:
            variant = replace(variant, name=" ".join([variant.name, f"#{run}", *words]))
        renamed.append(variant)
    return renamed


def _is_same_reference(one: VariantDocument, other: VariantDocument) -> bool:
    """Whether both are one stream of one model; equal tokens alone may come from other weights."""
    pairs = [(a.logprob, b.logprob) for a, b in zip(one.steps, other.steps, strict=False)]
    return _is_same_stream(one, other) and all(
        a is b if a is None or b is None else abs(a - b) < _SAME_NATS for a, b in pairs
    )


def _differences(one: ComparisonDocument, other: ComparisonDocument) -> list[str]:
    """What the second run did differently from the first, in a word or two each."""
    words = [its for mine, its in zip(_how(one), _how(other), strict=True) if mine != its]
    if one.model.id == other.model.id:
        return words
    # The owner is the least important part of a hub id.
    mine, its = (x.model.id.rstrip("/").rpartition("/")[2] for x in (one, other))
    return [other.model.id if mine == its else its, *words]


def _how(document: ComparisonDocument) -> tuple[str, ...]:
    model, settings = document.model, document.settings
    return (
        model.dtype,
        model.bits or "unquantized",
        f"precision {settings.activation_precision}",
        settings.schedule,
        " ".join(sampling_words(settings)) or "temperature 0",
        document.device,
    )


def _uncut(document: ComparisonDocument, limit: int) -> list[VariantDocument]:
    """A run's streams; those that only its own, lower limit ended become stopped."""
    own = document.settings.max_tokens
    return [
        replace(_noted(variant, f"limit {own}"), finish_reason="cancelled")
        if own < limit and variant.finish_reason == "length"
        else variant
        for variant in document.variants
    ]


def _noted(variant: VariantDocument, note: str) -> VariantDocument:
    return replace(variant, formula=f"{note} · {variant.formula}")


def _together(one: p.Timing, other: p.Timing) -> p.Timing:
    """The times of both runs one after the other; None where one of them has none."""
    decode_s = _sum(one.decode_s, other.decode_s)
    tokens = _sum(*((x.tokens_per_second or 0) * (x.decode_s or 0) or None for x in (one, other)))
    return p.Timing(
        load_s=one.load_s,
        prefill_s=_sum(one.prefill_s, other.prefill_s),
        decode_s=decode_s,
        decode_steps=one.decode_steps + other.decode_steps,
        tokens_per_second=tokens / decode_s if tokens and decode_s else None,
    )


def _sum(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other
