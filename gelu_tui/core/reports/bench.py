"""The text report of a bench, readable at 80 columns."""

from __future__ import annotations

import statistics

from rich.console import RenderableType
from rich.text import Text

from gelu_tui.core import protocol as p
from gelu_tui.core.reports.layout import FittedTable, spaced
from gelu_tui.core.reports.terminal import self_check_sentence
from gelu_tui.core.runs.document import BenchDocument, StartUp
from gelu_tui.core.runs.sweep_bench import SweepBench
from gelu_tui.core.safe_text import visible_line

_PHASES = {
    "prefill": "prefill",
    "decode": "decode",
    "statistics": "statistics, beside the decode",
    "conclusion": "after a prompt's last step",
}


def bench_report(bench: BenchDocument) -> RenderableType:
    """Measured ways, their ratios, and where they were measured."""
    tables: list[RenderableType] = []
    notes = list(map(visible_line, bench.machine))
    if bench.report is not None:
        tables += _tables(bench.report, bench.start_up)
        notes += _notes(bench.report, bench.start_up)
    if bench.sweep is not None:
        tables += _sweep_tables(bench.sweep)
        notes += _sweep_notes(bench.sweep)
    return spaced(*tables, Text("\n".join(notes), style="dim"))


def _tables(report: p.BenchReport, start_up: StartUp | None) -> list[RenderableType]:
    ways = [
        {
            "way": row.name,
            "ms a step": f"{row.step_s * 1e3:.1f}",
            "tok/s, all rows": f"{row.tokens_per_second:.2f}",
            "peak memory": f"{row.peak_memory_bytes / 1e6:,.0f} MB",
            "caches": f"{row.cache_bytes / 1e6:,.0f} MB" if row.cache_bytes else "",
        }
        for row in report.rows
    ]
    figures = report.ratios | {"statistics ÷ decode time, most rows": report.statistics_share}
    if start_up is not None:
        figures["command to first token ÷ plain mlx-lm script"] = start_up.ratio
    ratios = [{"ratio": name, "median": f"{value:.3f}"} for name, value in figures.items()]
    return [FittedTable(ways), FittedTable(ratios)]


def _notes(report: p.BenchReport, start_up: StartUp | None) -> list[str]:
    notes = [
        f"{report.tokens} tokens after {report.prompt_tokens} of prompt, rounds: {report.rounds}",
        *map(self_check_sentence, report.self_checks),
    ]
    if start_up is not None:
        notes.append(
            f"Command to first token {start_up.gelu_tui_s:.2f} s, "
            f"by a plain mlx-lm script {start_up.mlx_lm_s:.2f} s."
        )
    return notes


# --- of a sweep -----------------------------------------------------------------------------------


def _sweep_tables(bench: SweepBench) -> list[RenderableType]:
    report = bench.report
    ways, shares = [], []
    for way in report.ways:
        seconds = statistics.median(way.seconds)
        ways.append(
            {
                "way": way.name + " *" * way.extrapolated,
                "rows": str(way.rows),
                "seconds": f"{seconds:.2f}",
                "prompts/s": f"{report.prompts / seconds:.3g}",
                "tok/s": f"{way.streams * report.tokens / seconds:.1f}",
                "memory": f"{way.peak_memory_bytes / 1e6:,.0f} MB",
            }
        )
        if way.phases:
            shares.append(_shares(way, seconds, bench.storing_s))
    goals = {budget.ratio: budget for budget in bench.budgets}
    ratios = [
        {
            "ratio of speed": name,
            "median": f"{value:.2f}",
            "goal": f"≥ {goals[name].goal:g}" if name in goals else "",
            "": ("met" if goals[name].met else "missed") if name in goals else "",
        }
        for name, value in bench.ratios.items()
    ]
    return [FittedTable(ways), FittedTable(ratios), FittedTable(_turned(shares))]


def _shares(way: p.SweepWay, seconds: float, storing_s: float) -> dict[str, str]:
    """Where the time of a sweep goes."""
    parts = {words: way.phases.get(phase, 0.0) for phase, words in _PHASES.items()}
    serial = sum(way.phases.values()) - way.phases.get("statistics", 0.0)
    parts |= {"the rest": max(0.0, seconds - serial), "to store it, not included": storing_s}
    return {"of the time": way.name} | {
        words: f"{part / seconds:.1%}" if seconds else "" for words, part in parts.items()
    }


def _turned(columns: list[dict[str, str]]) -> list[dict[str, str]]:
    """The rows of a table whose columns are given."""
    heading, *rest = columns[0]
    return [
        {heading: name} | {column[heading]: column[name] for column in columns} for name in rest
    ]


def _sweep_notes(bench: SweepBench) -> list[str]:
    report = bench.report
    notes = [
        f"{report.prompts} prompts of {report.prompt_tokens} tokens together, {report.tokens} "
        f"tokens of each under {', '.join(report.functions)}; rounds: {report.rounds}",
        f"Prompts at once: {report.prompts_at_once}"
        + (f", because {report.reason}." if report.reason else "."),
        f"To read and store what all prompts said took {bench.storing_s:.2f} s. A sweep does it "
        "beside the decode; the ratios count it as if it came after.",
        *(
            f"* measured with {way.measured} of {way.streams} pairs of a prompt and a function, "
            "and extrapolated at their mean."
            for way in report.ways
            if way.extrapolated
        ),
        "mlx-lm's batch_generate computes the native function in all rows.",
    ]
    return notes + list(map(self_check_sentence, report.self_checks))
