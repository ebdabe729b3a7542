"""What `gelu-tui bench --sweep` measured, and how it stands to the goals."""

from __future__ import annotations

import statistics

import msgspec

from gelu_tui.core import protocol as p

SWEEP, REPLAYED = "sweep", "sweep with replays"
ONE_BY_ONE, BATCHED = "mlx-lm, one after another", "mlx-lm, batch_generate"
_GOALS = {ONE_BY_ONE: 15.0, BATCHED: 1.0}


class Budget(msgspec.Struct, frozen=True):
    """A ratio that has a goal."""

    ratio: str
    goal: float
    reached: float
    met: bool


class SweepBench(msgspec.Struct, frozen=True):
    """A measured sweep. `storing_s` are to read the events of all its prompts and to store them.

    They count as if nothing else happened meanwhile, so the ratios are the least that there are.
    """

    report: p.BenchSweepReport
    storing_s: float
    ratios: dict[str, float]
    budgets: tuple[Budget, ...]


def sweep_bench(report: p.BenchSweepReport, storing_s: float) -> SweepBench:
    """Return the medians of the ratios of speed within each round, and which goals they reach."""
    ways = {way.name: way for way in report.ways}
    ratios, budgets = {}, []
    for base, goal in _GOALS.items():
        for name in (SWEEP, REPLAYED):
            if base in ways and name in ways:
                ratio = f"{name}, stored ÷ {base}"
                ratios[ratio] = _speed(ways[name], ways[base], storing_s)
                if name == SWEEP:
                    reached = ratios[ratio]
                    budgets.append(Budget(ratio, goal, reached, reached >= goal))
    return SweepBench(report, storing_s, ratios, tuple(budgets))


def _speed(way: p.SweepWay, base: p.SweepWay, storing_s: float) -> float:
    pairs = zip(way.seconds, base.seconds, strict=True)
    return statistics.median(theirs / (own + storing_s) for own, theirs in pairs)
