"""Reading a saved comparison back, without the model."""

from __future__ import annotations

import codecs
from typing import Any

import msgspec
from msgspec.structs import replace

from gelu_tui.core.comparison.checks import fork_fits, names_fit
from gelu_tui.core.comparison.noise import mean_kl, noise_floor, times_noise_floor
from gelu_tui.core.comparison.state import Comparison, Stream
from gelu_tui.core.errors import GeluError
from gelu_tui.core.functions.registry import REGISTRY
from gelu_tui.core.functions.variants import CONTROL, MAX_VARIANTS
from gelu_tui.core.runs.document import SCHEMA, ComparisonDocument, VariantDocument
from gelu_tui.core.settings.run_settings import known_dtype
from gelu_tui.core.text_files import other_encoding


class _Head(msgspec.Struct):
    schema: str = ""
    settings: Any = None


def _not_a_document(why: str) -> GeluError:
    hint = "Give a file that `gelu-tui run --format json` or an export wrote."
    return GeluError("not_a_document", f"This is not a saved comparison: {why}.", hint)


def read_document(data: bytes) -> ComparisonDocument:
    """Parse and check a document, so that `restore` and the reports can rely on it.

    Raises `GeluError` if it is not a document, contradicts itself, or is of a newer version.
    """
    if encoding := other_encoding(data):
        raise _not_a_document(f"it is {encoding}, not UTF-8")
    data = data.removeprefix(codecs.BOM_UTF8)
    try:
        head = msgspec.json.decode(data, type=_Head)
        schema = head.schema
        (name, _, version), (own, _, ours) = schema.partition("/"), SCHEMA.partition("/")
        if name == own and version.isdecimal() and int(version) > int(ours):
            message = f"This comparison was saved by a newer gelu-tui ({schema[:60]})."
            raise GeluError("too_new", message, "Update gelu-tui to read it.")
        if schema != SCHEMA:
            raise _not_a_document(f"its schema is not {SCHEMA}")
        document = msgspec.json.decode(data, type=ComparisonDocument)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise _not_a_document(str(error)[:200]) from None
    check(document)
    if "activations" not in head.settings:  # older versions did not write these settings
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
        document = replace(document, settings=settings)
    return with_statistics(document)


def readable(document: ComparisonDocument) -> ComparisonDocument:
    """The document without forks that `read_document` would refuse: an engine may tell them."""
    reference = document.reference_variant.tokens
    kept = [v if fork_fits(v.fork, v.tokens, reference) else replace(v, fork=None)
            for v in document.variants]  # fmt: skip
    return replace(document, variants=kept)


def with_statistics(document: ComparisonDocument) -> ComparisonDocument:
    """The document with its statistics computed from its streams."""
    comparison = restore(document)
    return replace(
        document,
        noise_floor=noise_floor(comparison),
        variants=[
            replace(
                variant,
                first_divergent_token=stream.first_divergent_token,
                mean_kl=mean_kl(comparison, stream),
                times_noise_floor=times_noise_floor(comparison, stream),
                repeats=stream.repeats,
            )
            for variant, stream in zip(document.variants, comparison.streams, strict=True)
        ],
    )


def restore(document: ComparisonDocument) -> Comparison:
    """The comparison of a document, as the screens show it."""
    timing = document.timing
    comparison = Comparison(
        prompt=document.prompt,
        prompt_text=document.prompt_text,
        prompt_tokens=document.prompt_tokens,
        settings=document.settings,
        reference_index=document.variants.index(document.reference_variant),
        streams=[_stream(variant, document.is_native(variant)) for variant in document.variants],
        self_check=document.self_check,
        status=document.status,
        error=document.error,
        timing=timing,
        peak_memory_bytes=document.peak_memory_bytes or 0,
        # Nearly the run's own last value, which has the self-check and pauses in it too.
        elapsed_s=(timing.prefill_s or 0.0) + (timing.decode_s or 0.0),
        messages=document.messages,
        choices=document.choices,
    )
    comparison.update_divergence()
    return comparison


def _stream(saved: VariantDocument, native: bool) -> Stream:
    """One stream; `tail` is the text that the steps lack (the first version stored none)."""
    stream = Stream(
        replace(saved.info, native=native),
        tail=saved.text[len("".join(step.text for step in saved.steps)) :],
        finish_reason=saved.finish_reason,
        error=saved.error,
        time_to_first_token_s=saved.time_to_first_token_s,
        prompt_tps=saved.prompt_tps,
        fork=saved.fork,
        choices=saved.choices,
    )
    steps, rate = saved.steps, saved.generation_tps
    if rate and steps and steps[-1].decode_s <= 0:  # the first version stored no times either
        steps = [replace(step, decode_s=count / rate) for count, step in enumerate(steps, 1)]
    for token, step in zip(saved.tokens, steps, strict=True):
        stream.add(token, step)
    return stream


def check(document: ComparisonDocument) -> None:
    """Raise `GeluError` (`not_a_document`) where the parts contradict each other."""
    names = [variant.name for variant in document.variants]
    if not names_fit(names):
        raise _not_a_document(f"it needs 1 to {MAX_VARIANTS} variants of different names")
    if document.reference not in names:
        raise _not_a_document("its reference is none of its variants")
    reference = document.reference_variant
    for index, variant in enumerate(document.variants):
        if len(variant.steps) != len(variant.tokens):
            raise _not_a_document(f"variant {index} has not one step for each token")
        if not variant.text.startswith("".join(step.text for step in variant.steps)):
            raise _not_a_document(f"the text of variant {index} is not that of its steps")
        if not fork_fits(variant.fork, variant.tokens, reference.tokens):
            raise _not_a_document(f"the fork of variant {index} is not where its tokens differ")
