"""Reading a saved comparison back, without the model."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace

from gelu_tui.core import protocol as p
from gelu_tui.core.activations import CONTROL, MAX_VARIANTS
from gelu_tui.core.comparison import Comparison, Stream
from gelu_tui.core.document import (
    SCHEMA,
    ComparisonDocument,
    ForkDocument,
    StepDocument,
    VariantDocument,
)
from gelu_tui.core.errors import GeluError
from gelu_tui.core.registry import REGISTRY
from gelu_tui.core.settings.run_settings import known_dtype

_NAME, _, _VERSION = SCHEMA.partition("/")
_MARGINS = {"reference", "variant"}
_PROBABILITIES = {"reference_a", "reference_b", "variant_a", "variant_b"}
_RANKS = {"b_in_reference", "a_in_variant"}

_decoder = msgspec.json.Decoder(ComparisonDocument)


class _Schema(msgspec.Struct):
    schema: str = ""
    settings: Any = None


_schema_decoder = msgspec.json.Decoder(_Schema)


class NotADocument(GeluError):
    """What was read is not a comparison that gelu-tui saved."""

    def __init__(self, why: str) -> None:
        super().__init__(
            "not_a_document",
            f"This is not a saved comparison: {why}.",
            "Give a file that `gelu-tui run --format json` or an export wrote.",
        )


def read_document(data: bytes) -> ComparisonDocument:
    """Parse and check a document, so that `restore` and the reports can rely on it.

    Raises `GeluError` for what is no document, does not fit together, or is of a newer version.
    """
    try:
        head = _schema_decoder.decode(data)
        schema = head.schema
        name, _, version = schema.partition("/")
        if name == _NAME and version.isdecimal() and int(version) > int(_VERSION):
            raise GeluError(
                "too_new",
                f"This comparison was saved by a newer gelu-tui ({schema[:60]}).",
                "Update gelu-tui to read it.",
            )
        if schema != SCHEMA:
            raise NotADocument(f"its schema is not {SCHEMA}")
        document = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise NotADocument(str(error)[:200]) from None
    _check(document)
    return document if "activations" in head.settings else _completed(document)


def _completed(document: ComparisonDocument) -> ComparisonDocument:
    """The document with the settings that older versions did not write into it."""
    settings = replace(
        document.settings,
        model=document.model.id,
        dtype=known_dtype(document.model.dtype),
        activations=tuple(
            v.name if v.name in REGISTRY else f"{v.name}={v.formula}"
            for v in document.variants
            if not (v.control and v.name == CONTROL)  # the setting `control` adds it
        ),
        reference=document.reference,
    )
    return replace(document, settings=settings)


def restore(document: ComparisonDocument) -> Comparison:
    """The comparison as it stood when the document was made.

    Text that the steps lack (a document of the first version has none in them) is in `tail`.
    """
    names = [variant.name for variant in document.variants]
    native = document.model.native_activation
    comparison = Comparison.begin(
        p.Started(
            prompt=document.prompt,
            prompt_text=document.prompt_text,
            prompt_tokens=document.prompt_tokens,
            variants=tuple(
                # An own formula cannot have the name of a built-in function.
                p.VariantInfo(v.name, v.formula, v.precision, v.name == native, v.control)
                for v in document.variants
            ),
            reference=names.index(document.reference),
            settings=document.settings,
        )
    )
    for index, (stream, saved) in enumerate(
        zip(comparison.streams, document.variants, strict=True)
    ):
        _fill(stream, index, saved)
    for index, saved in enumerate(document.variants):
        tail = saved.text[len("".join(comparison.streams[index].segments)) :]
        comparison.apply(p.StreamFinished(index, saved.finish_reason, tail, saved.error))
        if saved.fork is not None:
            comparison.apply(saved.fork.told(index))
    comparison.self_check = document.self_check
    timing = document.timing
    # Nearly what the run's own clock said last: self-check and pauses between are not in it.
    comparison.elapsed_s = (timing.prefill_s or 0.0) + (timing.decode_s or 0.0)
    comparison.apply(
        p.Finished(document.status, timing, document.peak_memory_bytes or 0, document.error)
    )
    return comparison


def loaded_of(document: ComparisonDocument) -> p.Loaded:
    """The model of a document as far as it is told; what only the engine knows is 0 or empty."""
    return p.Loaded(
        model=document.model,
        folder="",
        device=document.device,
        blas=None,
        versions=document.versions,
        load_s=document.timing.load_s or 0.0,
        context_length=0,
        has_chat_template=document.settings.chat is True,
        weight_bytes=0,
    )


def _fill(stream: Stream, index: int, saved: VariantDocument) -> None:
    stream.tokens.extend(saved.tokens)
    stream.segments.extend(step.text for step in saved.steps)
    for number, step in enumerate(saved.steps):
        if step.kl is not None:
            stream.add_kl(number, step.kl)
    stream.steps.extend(
        p.StreamStep(index, token, step.text, step.logprob, step.margin, step.kl, seconds)
        for token, step, seconds in zip(saved.tokens, saved.steps, _decode_s(saved), strict=True)
    )
    stream.time_to_first_token_s = saved.time_to_first_token_s
    stream.prompt_tps = saved.prompt_tps


def _decode_s(saved: VariantDocument) -> list[float]:
    """Decode seconds after each step; from the mean rate where a document lacks them."""
    steps: list[StepDocument] = saved.steps
    if saved.generation_tps and steps and steps[-1].decode_s <= 0:
        return [count / saved.generation_tps for count in range(1, len(steps) + 1)]
    return [step.decode_s for step in steps]


# --- what a type cannot say -----------------------------------------------------------------------


def _check(document: ComparisonDocument) -> None:
    """Raises `NotADocument` where the parts contradict each other."""
    names = [variant.name for variant in document.variants]
    if not 1 <= len(names) <= MAX_VARIANTS or len(set(names)) < len(names):
        raise NotADocument(f"it needs 1 to {MAX_VARIANTS} variants of different names")
    if document.reference not in names:
        raise NotADocument("its reference is none of its variants")
    reference = document.variants[names.index(document.reference)]
    for index, variant in enumerate(document.variants):
        if len(variant.steps) != len(variant.tokens):
            raise NotADocument(f"variant {index} has not one step for each token")
        if not variant.text.startswith("".join(step.text for step in variant.steps)):
            raise NotADocument(f"the text of variant {index} is not that of its steps")
        if variant.fork is not None and not _fits(variant.fork, variant, reference):
            raise NotADocument(f"the fork of variant {index} is not where its tokens differ")


def _fits(fork: ForkDocument, variant: VariantDocument, reference: VariantDocument) -> bool:
    step = fork.step
    return (
        0 <= step < min(len(variant.tokens), len(reference.tokens))
        and variant.tokens[:step] == reference.tokens[:step]
        and variant.tokens[step] == fork.variant_token != fork.reference_token
        and reference.tokens[step] == fork.reference_token
        and fork.margins.keys() >= _MARGINS
        and fork.probabilities.keys() >= _PROBABILITIES
        and fork.ranks.keys() >= _RANKS
    )
