"""A scoring as text for a terminal, through Rich: reads without colour and fits 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from gelu_tui.core.comparison.noise import formulas_differ, times
from gelu_tui.core.functions.controls import is_the_function_itself
from gelu_tui.core.protocol import VariantInfo
from gelu_tui.core.reports.tables import plain_table
from gelu_tui.core.reports.terminal import PRECISIONS, model_lines
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.scoring.document import KlStatistics, ScoreDocument, ScoredVariant

_NOTHING = "–"


def score_report(document: ScoreDocument) -> RenderableType:
    """The functions, what they make of the text, how far they are from the reference, and why."""
    parts: list[RenderableType] = [_functions(document)]
    if document.positions:
        parts.append(_text_table(document))
    if compared := [variant for variant in document.variants if variant.kl is not None]:
        parts += [_kl_table(compared), _percentiles(compared), _buckets(compared)]
    parts += [Text(sentence) for sentence in _sentences(document)]
    parts.append(Text("\n".join(_footing(document)), style="dim"))
    spaced = [renderable for part in parts for renderable in (part, Text())]
    return Group(*spaced[:-1])


# --- tables ---------------------------------------------------------------------------------------


def _functions(document: ScoreDocument) -> Table:
    table = plain_table("function", "formula", "")
    for variant in document.variants:
        roles = [
            *(["reference"] if variant.name == document.reference else []),
            *(["control"] if variant.control else []),
            *(["native"] if variant.native else []),
            *(["failed"] if variant.error else []),
        ]
        formula = Text(visible_line(variant.formula))
        table.add_row(_name(variant), formula, Text(", ".join(roles), style="italic"))
    return table


def _text_table(document: ScoreDocument) -> Table:
    numbers = ("perplexity", "ln(PPL/ref)", "mean Δp", "RMS Δp")
    table = plain_table("on the text", *numbers, numbers=numbers)
    for variant in document.variants:
        delta = variant.delta_p
        ratio = "reference" if variant.name == document.reference else _NOTHING
        if variant.ln_ppl_ratio is not None:
            ratio = _with_error(variant.ln_ppl_ratio, variant.ln_ppl_ratio_se, "{:.2e}", "{:.0e}")
        table.add_row(
            _name(variant),
            _with_error(variant.perplexity, variant.perplexity_se, "{:.3f}", "{:.3f}"),
            ratio,
            _number("{:.4f}", delta.mean) if delta else _NOTHING,
            _number("{:.4f}", delta.rms) if delta else _NOTHING,
        )
    return table


def _kl_table(variants: Sequence[ScoredVariant]) -> Table:
    numbers = ("mean KL", "× floor", "same top-1 %")
    table = plain_table("against the reference", *numbers, numbers=numbers)
    for variant in variants:
        table.add_row(
            _name(variant),
            _with_error(_kl(variant).mean, _kl(variant).se, "{:.2e}", "{:.0e}"),
            _NOTHING if variant.times_noise_floor is None else times(variant.times_noise_floor),
            _with_error(variant.same_top_1, variant.same_top_1_se, "{:.2f}", "{:.2f}"),
        )
    return table


def _percentiles(variants: Sequence[ScoredVariant]) -> Table:
    numbers = ("median", "90 %", "95 %", "99 %", "99.9 %", "max")
    table = plain_table("KL", *numbers, numbers=numbers)
    for variant in variants:
        kl = _kl(variant)
        values = (kl.median, kl.p90, kl.p95, kl.p99, kl.p99_9, kl.max)
        table.add_row(_name(variant), *(_number("{:.1e}", value) for value in values))
    return table


def _buckets(variants: Sequence[ScoredVariant]) -> Table:
    """Mean KL by how sure the reference is; the number of positions in the last row."""
    buckets = variants[0].kl_buckets
    bounds = [_number("{:g}", b.below) for b in buckets if b.below is not None]
    numbers = (*(f"< {bound}" for bound in bounds), f"≥ {bounds[-1]}")
    table = plain_table("mean KL by p(top)", *numbers, numbers=numbers)
    for variant in variants:
        means = (_number("{:.1e}", bucket.mean_kl) for bucket in variant.kl_buckets)
        table.add_row(_name(variant), *means)
    table.add_row("positions", *(f"{bucket.positions:,}" for bucket in buckets), style="dim")
    return table


def _name(variant: ScoredVariant) -> Text:
    return Text(visible_line(variant.name))


def _kl(variant: ScoredVariant) -> KlStatistics:
    assert variant.kl is not None
    return variant.kl


def _number(form: str, value: float | None) -> str:
    if value is None:
        return _NOTHING
    if value == 0:
        return "0"
    shown = form.format(value)
    return (shown if float(shown) else shown.removeprefix("-")).replace("-", "−")


def _with_error(value: float | None, error: float | None, form: str, error_form: str) -> str:
    shown = _number(form, value)
    return shown if value is None or error is None else f"{shown} ± {_number(error_form, error)}"


# --- sentences ------------------------------------------------------------------------------------


def _sentences(document: ScoreDocument) -> list[str]:
    said = [_what(document)]
    if document.positions:
        said += [
            "KL in nats, Δp of the text's own tokens in percentage points. ± is one standard "
            "error, as if positions were independent; of ln(PPL/ref) it is the paired one. "
            "p(top) is the probability of the reference's most probable token.",
            *_floor(document),
        ]
    for variant in document.variants:
        if variant.error is not None:
            said.append(visible_line(f"{variant.error.message} {variant.error.hint}"))
        elif _is_suspicious(document, variant):
            said.append(
                f"KL of {visible_line(variant.name)} is exactly 0 at every position although its "
                "formula differs from the reference's: was it really engaged?"
            )
    return said


def _is_suspicious(document: ScoreDocument, variant: ScoredVariant) -> bool:
    if variant.kl is None or variant.kl.max > 0 or variant.control:
        return False
    reference = next(v for v in document.variants if v.name == document.reference)
    return formulas_differ(
        *(VariantInfo(v.name, v.formula, v.precision) for v in (variant, reference))
    )


def _what(document: ScoreDocument) -> str:
    source = document.source
    name = visible_line(source.name)
    text = f"the reference's stream of run {name}" if source.kind == "run" else name
    windows = f"{document.windows} window{'s' if document.windows > 1 else ''}"
    read = (
        f"All functions read {text}: {document.tokens:,} tokens in {windows} of at most "
        f"{document.settings.context}."
    )
    if document.status != "completed":
        return read
    return (
        f"{read} Scored are {document.positions:,} positions, all that have "
        "a token before them in their window (llama.cpp scores only each window's second half)."
    )


def _floor(document: ScoreDocument) -> list[str]:
    for variant in document.variants:
        if variant.control and variant.kl is not None:
            if is_the_function_itself(variant.formula):
                reference = visible_line(document.reference)
                return [
                    f"Noise floor: exactly 0; {reference} has only one order of operations, so "
                    f"{visible_line(variant.name)} is the same function."
                ]
            mean = variant.kl.mean
            return [
                f"Noise floor: {visible_line(variant.name)} differs from the reference in the "
                "order of its operations only, "
                + (
                    f"so its mean KL, {_number('{:.2e}', mean)}, is what rounding makes of an "
                    "equal function."
                    if mean
                    else "and its KL is exactly 0: both give the same values here, so it does not "
                    "show how far the model's own rounding carries a difference."
                )
            ]
    return []


def _footing(document: ScoreDocument) -> list[str]:
    how = [f"functions in {PRECISIONS[document.settings.activation_precision]}"]
    if rate := document.timing.tokens_per_second:
        how.append(f"{rate:.1f} tok/s through all functions")
    lines = [*model_lines(document.model, document.device), " · ".join(how)]
    if document.status != "completed":
        word = "Interrupted" if document.status == "cancelled" else "Failed"
        whole = f"{document.positions:,} of {document.tokens:,} tokens"
        lines.append(f"{word}: these are the figures of {whole}.")
    return lines
