"""The text report of a scoring, readable at 80 columns."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import RenderableType
from rich.text import Text

from gelu_tui.core.comparison.noise import formulas_differ, times
from gelu_tui.core.functions.controls import is_the_function_itself
from gelu_tui.core.reports.layout import FittedTable, spaced
from gelu_tui.core.reports.noise_sentences import engagement_question, same_function
from gelu_tui.core.reports.numbers import number, with_error
from gelu_tui.core.reports.scale import Scale, marks_of
from gelu_tui.core.reports.scale import sentences as scale_sentences
from gelu_tui.core.reports.terminal import PRECISIONS, model_lines
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.scoring.document import KlStatistics, ScoreDocument, ScoredVariant

# With fewer clusters the standard error is itself too uncertain, and on average too small.
_FEW_CLUSTERS = 10


def score_report(document: ScoreDocument) -> RenderableType:
    """The functions, their statistics on the text and against the reference, and notes."""
    sentences = [Text(sentence) for sentence in score_sentences(document)]
    footing = Text("\n".join(score_footing(document)), style="dim")
    marks = marks_of(document)
    scale: list[RenderableType] = [Scale(marks)] if marks else []
    scale += [Text(sentence) for sentence in scale_sentences(marks)]
    return spaced(*score_tables(document), *scale, *sentences, footing)


def score_tables(document: ScoreDocument) -> list[FittedTable]:
    """The functions, their statistics on the text, and those against the reference."""
    tables = [_functions(document)]
    if document.positions:
        tables.append(_text_table(document))
    if compared := [(v, v.kl) for v in document.variants if v.kl is not None]:
        tables += _kl_tables(document, compared)
    if document.yardsticks:
        tables.append(_yardsticks(document))
    return tables


def _yardsticks(document: ScoreDocument) -> FittedTable:
    rows = []
    for y in document.yardsticks:
        error = _error(document, y.clustered_se, y.se)
        row = {
            "yardstick": y.name,
            "mean KL": with_error(y.mean_kl, error, "{:.2e}", "{:.0e}"),
            "× floor": "–" if y.times_floor is None else times(y.times_floor),
            "same top-1 %": with_error(y.same_top_1, y.same_top_1_clustered_se, "{:.2f}", "{:.2f}"),
        }
        rows.append(row)
    return FittedTable(rows)


def _functions(document: ScoreDocument) -> FittedTable:
    rows: list[dict[str, str | Text]] = []
    for variant in document.variants:
        roles = {
            "reference": variant.name == document.reference,
            "control": variant.control,
            "native": variant.native,
            "failed": variant.error is not None,
        }
        words = Text(", ".join(role for role, is_so in roles.items() if is_so), style="italic")
        rows.append({"function": variant.name, "formula": variant.formula, "": words})
    return FittedTable(rows, left=("formula", ""))


def _text_table(document: ScoreDocument) -> FittedTable:
    rows = []
    for v in document.variants:
        ratio_error = _error(document, v.ln_ppl_ratio_clustered_se, v.ln_ppl_ratio_se)
        ratio = with_error(v.ln_ppl_ratio, ratio_error, "{:.2e}", "{:.0e}")
        error = _error(document, v.perplexity_clustered_se, v.perplexity_se)
        row = {
            "on the text": v.name,
            "perplexity": with_error(v.perplexity, error, "{:.3f}", "{:.3f}"),
            "ln(PPL/ref)": "reference" if v.name == document.reference else ratio,
            "mean Δp": number("{:.4f}", v.delta_p.mean if v.delta_p else None),
            "RMS Δp": number("{:.4f}", v.delta_p.rms if v.delta_p else None),
        }
        rows.append(row)
    return FittedTable(rows)


def _error(document: ScoreDocument, clustered: float | None, naive: float | None) -> float | None:
    """The clustered standard error; the naive one of an older document, which has no other."""
    return clustered if document.clusters else naive


def _kl_tables(
    document: ScoreDocument, compared: Sequence[tuple[ScoredVariant, KlStatistics]]
) -> list[FittedTable]:
    """Mean KL and agreement, percentiles of KL, and mean KL by the reference's top probability."""
    means = []
    for v, kl in compared:
        error = _error(document, kl.clustered_se, kl.se)
        same_error = _error(document, v.same_top_1_clustered_se, v.same_top_1_se)
        row = {
            "against the reference": v.name,
            "mean KL": with_error(kl.mean, error, "{:.2e}", "{:.0e}"),
            "× floor": "–" if v.times_noise_floor is None else times(v.times_noise_floor),
            "same top-1 %": with_error(v.same_top_1, same_error, "{:.2f}", "{:.2f}"),
        }
        means.append(row)
    headers = ("KL", "median", "90 %", "95 %", "99 %", "99.9 %", "max")
    percentiles = [_kl_row(headers, v.name, _percentiles(kl)) for v, kl in compared]
    buckets = compared[0][0].kl_buckets
    bounds = [f"{bucket.below:g}" for bucket in buckets[:-1]]
    labels = ("mean KL by p(top)", *(f"< {bound}" for bound in bounds), f"≥ {bounds[-1]}")
    rows = [_kl_row(labels, v.name, [b.mean_kl for b in v.kl_buckets]) for v, _ in compared]
    positions = dict(
        zip(labels, ("positions", *(f"{b.positions:,}" for b in buckets)), strict=True)
    )
    by_bucket = FittedTable(rows, footer=positions)
    return [FittedTable(means), FittedTable(percentiles), by_bucket]


def _percentiles(kl: KlStatistics) -> tuple[float, ...]:
    return kl.median, kl.p90, kl.p95, kl.p99, kl.p99_9, kl.max


def _kl_row(headers: Sequence[str], name: str, kls: Sequence[float | None]) -> dict[str, str]:
    return dict(zip(headers, [name, *(number("{:.1e}", kl) for kl in kls)], strict=True))


def score_sentences(document: ScoreDocument) -> list[str]:
    """What was scored, what the figures are, the noise floor, and what went wrong."""
    sentences = [_text(document)]
    if document.positions:
        sentences += [
            f"KL in nats, Δp of the text's own tokens in percentage points. {_errors(document)} "
            "p(top) is the probability of the reference's most probable token.",
            *_floor(document),
        ]
    sentences += [
        f"{y.name}, under {visible_line(document.reference)}: {visible_line(y.description)}."
        for y in document.yardsticks
        if y.error is None
    ]
    reference = next(v for v in document.variants if v.name == document.reference)
    for variant in document.variants:
        is_zero = variant.kl is not None and variant.kl.max == 0 and not variant.control
        if variant.error is not None:
            sentences.append(visible_line(f"{variant.error.message} {variant.error.hint}"))
        elif is_zero and formulas_differ(variant, reference):
            sentences.append(engagement_question(variant.name, "every position"))
    for yardstick in document.yardsticks:
        if (error := yardstick.error) is not None:
            sentences.append(visible_line(f"{error.message} {error.hint}"))
    return sentences


def _errors(document: ScoreDocument) -> str:
    """What ± is, and how far it can be believed."""
    paired = "of ln(PPL/ref) it is the paired one."
    clusters, noun = document.clusters, document.cluster
    if not clusters:  # of a version that had no other
        return f"± is one standard error, as if positions were independent; {paired}"
    if clusters == 1:
        return (
            f"There is no standard error: positions of one {noun} are not independent, and this "
            "is one only."
        )
    found = f"{clusters:,} {noun}s"
    weak = f"only {found}, so that it is weak" if clusters < _FEW_CLUSTERS else found
    return (
        f"± is one standard error, clustered by {noun} ({weak}), since positions of one {noun} "
        f"are not independent; {paired}"
    )


def _text(document: ScoreDocument) -> str:
    name = visible_line(document.source.name)
    text = f"the reference's stream of run {name}" if document.source.kind == "run" else name
    if document.documents > 1:
        text = f"{document.documents} texts ({text})"
    windows = f"{document.windows} window{'s' if document.windows > 1 else ''}"
    sentence = (
        f"All functions read {text}: {document.tokens:,} tokens in {windows} of at most "
        f"{document.settings.context}."
    )
    if document.status == "completed":
        sentence += (
            f" Scored are {document.positions:,} positions, all that have a token before them in "
            "their window (llama.cpp scores only each window's second half)."
        )
    return sentence


def _floor(document: ScoreDocument) -> list[str]:
    control = next((v for v in document.variants if v.control and v.kl is not None), None)
    if control is None or control.kl is None:
        return []
    if is_the_function_itself(control.formula):
        return [same_function(document.reference, control.name)]
    mean = control.kl.mean
    effect = (
        f"so its mean KL, {number('{:.2e}', mean)}, is what rounding makes of an equal function."
        if mean
        else "and its KL is exactly 0: both give the same values here, so it does not show how far "
        "the model's own rounding carries a difference."
    )
    return [
        f"Noise floor: {visible_line(control.name)} differs from the reference in the order of its "
        f"operations only, {effect}"
    ]


def score_footing(document: ScoreDocument) -> list[str]:
    """The model, how it was computed, and whether it is all."""
    how = [f"functions computed in {PRECISIONS[document.settings.activation_precision]}"]
    if rate := document.timing.tokens_per_second:
        how.append(f"{rate:.1f} tok/s through all functions")
    lines = [*model_lines(document.model, document.device), " · ".join(how)]
    if document.status != "completed":
        word = "Interrupted" if document.status == "cancelled" else "Failed"
        whole = f"{document.positions:,} of {document.tokens:,} tokens"
        lines.append(f"{word}: these are the figures of {whole}.")
    return lines
