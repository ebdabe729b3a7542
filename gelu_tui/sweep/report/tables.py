"""The tables of a sweep, the same in every format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from gelu_tui.core.functions.variants import CONTROL
from gelu_tui.core.reports.numbers import number
from gelu_tui.core.safe_text import quoted, visible_line
from gelu_tui.sweep.document import SweepDocument, SweepResult, VariantEstimates
from gelu_tui.sweep.outcomes import Outcome
from gelu_tui.sweep.report import figures as f

_CURVE = 16  # cells of a curve of incidence
_OUTCOMES: tuple[Outcome, ...] = ("formula", "rounding", "tie", "unverified")
WORST = 3  # prompts shown of each function
INCIDENCE, KL = "Diverged within the first tokens", "By how much"  # tables that pages draw too
WORST_TITLE = "Prompts that diverge first"


@dataclass(frozen=True)
class ReportTable:
    """At least one row, keyed by its headers.

    The first column and those in `left` are aligned left. Cells of `cut` may be shortened where
    room is short; those of `blocks` are a curve of block characters, for a terminal.
    """

    title: str
    rows: Sequence[Mapping[str, str]]
    note: str = ""
    left: tuple[str, ...] = ()
    cut: str | None = None
    blocks: str | None = None

    @property
    def without_blocks(self) -> list[dict[str, str]]:
        return [{k: cell for k, cell in row.items() if k != self.blocks} for row in self.rows]


def model_tables(document: SweepDocument, results: Sequence[SweepResult]) -> list[ReportTable]:
    """The tables of the results of one model against one reference; at least one result."""
    cap = document.settings.max_tokens
    tables = (
        _outcomes(results), _times(results, cap), _incidence(results, cap), _what_if(results),
        _kl(results),
        _answers(results), _wwb(results), *_categories(results), _worst(results),
    )  # fmt: skip
    return [table for table in tables if table is not None]


def name_of(result: SweepResult) -> str:
    """The function's name; a yardstick, and a control that is not named so, are marked."""
    if result.yardstick:
        return f"{result.variant} (yardstick)"
    is_marked = result.control and result.variant != CONTROL
    return visible_line(result.variant) + " (control)" * is_marked


def _outcomes(results: Sequence[SweepResult]) -> ReportTable:
    """How many streams diverge, and what made them."""
    kinds = [kind for kind in _OUTCOMES if kind != "unverified" or _has(results, kind)]
    is_one_number = len({result.prompts for result in results}) == 1
    rows = []
    for result in results:
        n = result.prompts
        row = {"function": name_of(result)}
        if not is_one_number:
            row["prompts"] = f"{n:,}"
        row["diverged"] = f.share_diverged(result)
        for kind in kinds:
            found = result.outcomes.get(kind)
            share = f"{f.percents((found.share if found else 0.0,), n)[0]} %"
            row[kind] = "–" if result.yardstick else share
        rows.append(row)
    count = f"{results[0].prompts:,} prompt{'s' * (results[0].prompts != 1)}; " * is_one_number
    note = f"{count}shares of prompts, with 95 % intervals; then by what made the divergence."
    if any(result.yardstick for result in results):
        note += " A yardstick is the reference function in the model after a change that is known."
    return ReportTable("How many diverge", rows, note)


def _has(results: Sequence[SweepResult], kind: Outcome) -> bool:
    functions = (result for result in results if not result.yardstick)
    return any(kind in each.outcomes and each.outcomes[kind].count for each in functions)


def _times(results: Sequence[SweepResult], cap: int) -> ReportTable:
    ends = [f"> {_reach(result, cap):,}" for result in results]
    rows = [
        {
            "function": name_of(result),
            "median FDT": f.with_interval(result.median_fdt, "{:.0f}", beyond=end),
            "mean tokens before": f.with_interval(result.mean_tokens_to_divergence, "{:.0f}"),
            "identical ends": f"{result.identical:,}",
        }
        for result, end in zip(results, ends, strict=True)
    ]
    is_short = any(_reach(result, cap) < cap for result in results)
    so_far = ", or as many as were compared so far" * is_short
    note = (
        f"FDT: first divergent token, counted from 0. Mean tokens before a divergence, of {cap:,} "
        f"at most{so_far}. Identical ends: prompts where both ended by an end token after the same "
        "tokens."
    )
    return ReportTable("How soon", rows, note)


def _reach(result: SweepResult, cap: int) -> int:
    """Up to how many tokens the curve of a result speaks."""
    return min(result.tokens or cap, cap)


def _incidence(results: Sequence[SweepResult], cap: int) -> ReportTable:
    """The share that has diverged within the first tokens, as numbers and as a curve."""
    columns = f.lengths(cap)
    curve = [max(0, round(cap * (i + 1) / _CURVE) - 1) for i in range(_CURVE)]
    rows = []
    for result in results:
        reach = _reach(result, cap)
        shares = [f.share_by(result.incidence, length - 1) for length in columns]
        cells = [
            cell if length <= reach else "–"
            for length, cell in zip(columns, f.percents(shares, result.prompts), strict=True)
        ]
        row = dict(zip((f"{length:,}" for length in columns), cells, strict=True))
        drawn = f.blocks([f.share_by(result.incidence, t) * (t < reach) for t in curve])
        rows.append({"function": name_of(result), **row, "0–100 %": f"{drawn}▏"})
    note = "% of prompts that have diverged within so many tokens."
    return ReportTable(INCIDENCE, rows, note, left=("0–100 %",), blocks="0–100 %")


def _what_if(results: Sequence[SweepResult]) -> ReportTable | None:
    """Whether streams part again that were given the reference's token at their fork."""
    tried = [(result, result.what_if) for result in results if result.what_if is not None]
    if not tried:
        return None
    rows = [
        {
            "function": name_of(result),
            "forks tried": f"{found.tried:,}",
            "part again": f.share_with_interval(found.parts_again, found.tried),
            "after tokens": f.with_interval(found.distance, "{:.0f}"),
        }
        for result, found in tried
    ]
    note = (
        "Of the prompts that diverged: given the reference's token at the fork, the share that "
        "part again before the reference's stream ends, and how many tokens after it half have."
    )
    return ReportTable("What if", rows, note)


def _kl(results: Sequence[SweepResult]) -> ReportTable | None:
    if all(result.kl is None and result.full_kl is None for result in results):
        return None
    has_full = any(result.full_kl is not None for result in results if not result.yardstick)
    rows = []
    for result in results:
        row = {
            "function": name_of(result),
            "mean KL": f.kl_words(result.kl),
            "× floor": f.times_floor(result.kl),
        }
        if has_full:
            row["whole stream"] = f.kl_words(result.full_kl)
            row["× its floor"] = f.times_floor(result.full_kl)
        else:
            row["positions"] = f"{result.kl.positions:,}" if result.kl else "–"
        rows.append(row)
    note = "KL in nats up to and including the fork; ± is one standard error, clustered by prompt. "
    if has_full:
        note += "Whole stream: over all tokens of the reference's stream, teacher forced. "
    has_floor = any(result.control for result in results)
    note += "The floor is the control's mean KL." if has_floor else "There is no control: no floor."
    return ReportTable(KL, rows, note)


def _answers(results: Sequence[SweepResult]) -> ReportTable | None:
    tasks = [(result, result.task) for result in results if result.task is not None]
    if not tasks:
        return None
    has_norm = any(task.acc_norm is not None for _, task in tasks)
    result, first = tasks[0]
    is_across = result.reference_model is not None  # each function has a reference of its own
    margin = f"±{first.margin_pp:g} pp"

    def row(name: str, acc: float, acc_norm: float | None, *others: str) -> dict[str, str]:
        cells = {"function": name, "acc %": number("{:.1f}", 100 * acc)}
        if has_norm:
            norm = None if acc_norm is None else 100 * acc_norm
            cells["acc_norm"] = number("{:.1f}", norm)
        headers = ("difference, pp", "+/−", "p", margin)
        return cells | dict(zip(headers, others or ("reference", "", "", ""), strict=True))

    reference = [row(visible_line(result.reference), first.reference_acc, first.reference_acc_norm)]
    rows = [
        *(reference if not is_across else ()),
        *(
            row(
                name_of(result), task.acc, task.acc_norm,
                f.with_interval(task.difference_pp, "{:.1f}"), f"{task.gained}/{task.lost}",
                f.chance(task.p_mcnemar), "yes" if task.equivalent else "no",
            )
            for result, task in tasks
        ),
    ]  # fmt: skip
    counts = sorted({task.n for _, task in tasks})
    count = " to ".join(f"{n:,}" for n in dict.fromkeys((counts[0], counts[-1])))
    norm = "; acc_norm by length-normalised probability" * has_norm
    note = (
        f"{count} prompts with an answer. acc: right answers{norm}. +/−: prompts gained and lost. "
        f"p: McNemar's exact test. {margin}: equivalent within it, by two one-sided tests at 5 %."
    )
    if is_across:
        note += " Differences are from the same function on the first model."
    return ReportTable("Right answers", rows, note)


def _wwb(results: Sequence[SweepResult]) -> ReportTable | None:
    found = [(result, result.wwb) for result in results if result.wwb is not None]
    if not found:
        return None
    rows = [
        {
            "function": name_of(result),
            "FDT": number("{:.1f}", wwb.fdt),
            "FDT norm": number("{:.3f}", wwb.fdt_norm),
            "SDT": number("{:.1f}", wwb.sdt),
            "SDT norm": number("{:.3f}", wwb.sdt_norm),
        }
        for result, wwb in found
    ]
    note = (
        "Means over prompts of OpenVINO who-what-bench's metrics, on token ids; it encodes the "
        "texts again and aligns them with difflib."
    )
    return ReportTable("As who-what-bench measures", rows, note)


def _categories(results: Sequence[SweepResult]) -> list[ReportTable | None]:
    if results[0].reference_model is not None:  # a yardstick, in short
        return []

    def accuracy(found: VariantEstimates) -> str:
        return "–" if found.task is None else number("{:.1f}", 100 * found.task.acc)

    has_tasks = any(each.task for result in results for each in result.by_category.values())
    tables = [_by_category(results, "Diverged, by category", _share_diverged)]
    return [*tables, *([_by_category(results, "Right answers, by category", accuracy)] * has_tasks)]


def _share_diverged(found: VariantEstimates) -> str:
    return f.percents((found.diverged / max(1, found.prompts),), found.prompts)[0]


def _by_category(
    results: Sequence[SweepResult], title: str, cell: Callable[[VariantEstimates], str]
) -> ReportTable | None:
    names = [*dict.fromkeys(name for result in results for name in result.by_category)]
    if not names:
        return None
    rows = []
    for name in names:
        found = {name_of(result): result.by_category.get(name) for result in results}
        count = max((each.prompts for each in found.values() if each is not None), default=0)
        row = {"category": visible_line(name) or "(no category)", "prompts": f"{count:,}"}
        for function, each in found.items():
            header = f"{function} (function)" if function in ("category", "prompts") else function
            row[header] = cell(each) if each else "–"
        rows.append(row)
    return ReportTable(title, rows, "% of the category's prompts; the JSON has their intervals.")


def _worst(results: Sequence[SweepResult]) -> ReportTable | None:
    """The prompts that diverge first, those by the formula before others."""
    rows = [
        {
            "function": name_of(result),
            "FDT": f"{worst.fdt:,}",
            "verdict": worst.verdict,
            "run": visible_line(worst.run),
            "prompt": f"{visible_line(worst.id)} {quoted(worst.prompt, 60)}",
        }
        for result in results
        for worst in result.worst[:WORST]
    ]
    if not rows:
        return None
    note = "gelu-tui show RUN prints one, gelu-tui open RUN opens it in the app."
    return ReportTable(WORST_TITLE, rows, note, ("verdict", "run", "prompt"),
                       cut="prompt")  # fmt: skip


def differences_tables(document: SweepDocument) -> list[ReportTable]:
    """How much later one function parts from the reference than another, for each model."""
    note = "Tokens by which a function parts later from the reference than another, by prompt."
    several = len(document.models) > 1
    tables = []
    for model in dict.fromkeys(each.model for each in document.differences):
        rows = [
            {
                "function": visible_line(each.variant),
                "than": visible_line(each.other),
                "tokens later": f.with_interval(each.mean_tokens, "{:.1f}"),
            }
            for each in document.differences
            if each.model == model
        ]
        title = f"How much later, on {visible_line(model)}" if several else "How much later"
        tables.append(ReportTable(title, rows, note, ("than",)))
    return tables
