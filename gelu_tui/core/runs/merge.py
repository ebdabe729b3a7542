"""Two saved runs of one prompt as one comparison."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import TokenStep
from gelu_tui.core.errors import GeluError
from gelu_tui.core.functions.variants import MAX_VARIANTS
from gelu_tui.core.runs.document import ComparisonDocument, VariantDocument
from gelu_tui.core.runs.restore import with_statistics
from gelu_tui.core.settings.run_settings import sampling_words

_SAME_NATS = 1e-3  # one function in batches of other sizes differs by less, other weights by more


def merged(
    one: ComparisonDocument, other: ComparisonDocument, ids: tuple[int, int]
) -> ComparisonDocument:
    """The streams of both runs in one document; model, settings and reference are those of `one`.

    A stream of `other` is `NAME #ID` where `one` has its name too, followed by what its run did in
    another way (`gelu #12 bfloat16`). It has KL and fork, and may be the control, only if its run's
    reference is the same stream as this one's: else they were measured against something that is
    not there. A stream that reached its own run's lower limit of tokens counts as stopped, not as
    ended: it would have gone on. Only if there are too many streams, those of `other` that `one`
    has token by token are left out; `same in #ID` before the formula of each that stays tells of
    it. Times are those of both runs together.

    Raises `GeluError` where the model was fed different prompts, or where more than `MAX_VARIANTS`
    streams remain. `ids` name the runs in what is said.
    """
    _refuse_other_prompt(one, other, ids)
    count = len(one.variants) + len(other.variants)
    twins = _twins(one, other) if count > MAX_VARIANTS else set()
    _refuse_too_many(count, len(twins), ids)
    limit = max(one.settings.max_tokens, other.settings.max_tokens)
    variants = [
        *(_noted(v, f"same in #{ids[1]}") if v.name in twins else v for v in _uncut(one, limit)),
        *_named_apart([v for v in _uncut(other, limit) if v.name not in twins], one, other, ids[1]),
    ]
    peaks = [x.peak_memory_bytes for x in (one, other) if x.peak_memory_bytes is not None]
    both = replace(
        one,
        settings=replace(one.settings, max_tokens=limit),
        status=other.status if one.status == "completed" else one.status,
        error=one.error or other.error,
        timing=_together(one.timing, other.timing),
        peak_memory_bytes=max(peaks, default=None),
        variants=variants,
    )
    return with_statistics(both)


def _refuse_other_prompt(
    one: ComparisonDocument, other: ComparisonDocument, ids: tuple[int, int]
) -> None:
    if one.prompt_tokens == other.prompt_tokens:
        return
    if one.prompt == other.prompt:
        message = f"Runs {ids[0]} and {ids[1]} fed the same prompt to the model as other tokens."
        hint = "Compare runs that are both raw or both chat, on models of one tokenizer."
    else:
        message = f"Runs {ids[0]} and {ids[1]} have different prompts."
        hint = "Compare two runs of one prompt."
    raise GeluError("other_prompt", message, hint)


def _refuse_too_many(streams: int, twins: int, ids: tuple[int, int]) -> None:
    if streams - twins <= MAX_VARIANTS:
        return
    without = f", {streams - twins} without those that are identical in both" if twins else ""
    raise GeluError(
        "too_many_variants",
        f"Runs {ids[0]} and {ids[1]} have {streams} streams together{without}; "
        f"the limit of one comparison is {MAX_VARIANTS}.",
        "Run one of them again with fewer functions.",
    )


def _twins(one: ComparisonDocument, other: ComparisonDocument) -> set[str]:
    """The names of the streams that are in both runs: function, model and every token."""
    mine = {variant.name: variant for variant in one.variants}
    if one.model != other.model:
        return set()
    return {
        variant.name
        for variant in other.variants
        if variant.name in mine
        and _is_same_stream(mine[variant.name], variant)
        and mine[variant.name].finish_reason == variant.finish_reason
    }


def _is_same_stream(one: VariantDocument, other: VariantDocument) -> bool:
    def identity(variant: VariantDocument) -> Sequence[object]:
        return (variant.name, variant.formula, variant.precision, variant.tokens)

    return identity(one) == identity(other)


def _named_apart(
    variants: Iterable[VariantDocument],
    one: ComparisonDocument,
    other: ComparisonDocument,
    run: int,
) -> list[VariantDocument]:
    """Streams of `other` as they stand beside those of `one`."""
    differences = _differences(one, other)
    taken = {variant.name for variant in one.variants}
    placed = [
        replace(variant, name=" ".join([variant.name, f"#{run}", *differences]))
        if differences or variant.name in taken
        else variant
        for variant in variants
    ]
    if not differences and _is_same_reference(one.reference_variant, other.reference_variant):
        return placed
    return [
        replace(v, steps=[replace(s, kl=None) for s in v.steps], fork=None, control=False)
        for v in placed
    ]


def _is_same_reference(one: VariantDocument, other: VariantDocument) -> bool:
    """Whether both are one stream of one model; equal tokens alone may come from other weights."""

    def near(mine: TokenStep, its: TokenStep) -> bool:
        if mine.logprob is None or its.logprob is None:
            return mine.logprob is its.logprob
        return abs(mine.logprob - its.logprob) < _SAME_NATS

    return _is_same_stream(one, other) and all(map(near, one.steps, other.steps))


def _differences(one: ComparisonDocument, other: ComparisonDocument) -> list[str]:
    """What the second run did in another way than the first, in a word or two each."""
    words = [its for mine, its in zip(_how(one), _how(other), strict=True) if mine != its]
    if one.model.id == other.model.id:
        return words
    # Of a hub id the owner is the part that says least.
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
    """A run's streams; what only its own limit ended has not ended where more were allowed."""
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
    """The times of one run after the other; what one of them lacks is not known."""
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
