"""`gelu-tui bench --sweep`: a sweep against mlx-lm, with the time that storing it takes."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from gelu_tui.cli.conversation import Conversation
from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.runs.document import document
from gelu_tui.core.runs.sweep_bench import SweepBench, sweep_bench
from gelu_tui.sweep.outcome_of import outcomes_of
from gelu_tui.sweep.plan import make_plan
from gelu_tui.sweep.prompt_files import BUILTIN, open_prompts
from gelu_tui.sweep.prompts import Prompt
from gelu_tui.sweep.store import SweepStore

_SET = BUILTIN + "mixed"


def some_prompts(count: int) -> tuple[str, ...]:
    """So many prompts of the built-in set, or all of it, evenly from its first to its last."""
    every = [row.prompt for row in open_prompts(_SET, None) if isinstance(row, Prompt)]
    count = min(count, len(every))
    return tuple(every[i * len(every) // count] for i in range(count))


def measure(engine: Conversation, load: p.Load, command: p.BenchSweep) -> SweepBench | None:
    """Return what was measured; None where `engine` knows why there is nothing."""
    runs: list[p.BenchedRun] = []
    reports: list[p.BenchSweepReport] = []

    def take(event: p.Event) -> None:
        match event:
            case p.BenchedRun():
                runs.append(event)
            case p.BenchSweepReport():
                reports.append(event)

    engine.hold(take, load, command)
    if not reports or engine.loaded is None:
        return None
    storing_s = _storing_seconds(runs, engine.loaded, command.prompts, reports[0].functions)
    return sweep_bench(reports[0], storing_s)


def _storing_seconds(
    runs: list[p.BenchedRun],
    loaded: p.Loaded,
    prompts: tuple[str, ...],
    functions: tuple[str, ...],
) -> float:
    """Seconds that reading the events of all runs takes and storing them, as a sweep does."""
    chosen = {"models": (loaded.model.id,), "activations": functions, "control": False}
    plan = make_plan(prompts, (), chosen, local=False)
    with tempfile.TemporaryDirectory() as folder:
        store = SweepStore.create(plan.header(loaded.model.native_activation), Path(folder))
        began = time.perf_counter()
        for number, run in enumerate(runs):
            comparison: Comparison | None = None
            for line in run.events:
                event = p.decode_event(bytes(line))
                if isinstance(event, p.Started):
                    comparison = Comparison.begin(event)
                elif comparison is not None:
                    comparison.apply(event)
            prompt = plan.prompts.get(number)
            assert comparison is not None and isinstance(prompt, Prompt)
            comparison.check()
            made = document(comparison, loaded)
            store.save(0, made, outcomes_of(made, prompt, 0, None), prompt)
        return time.perf_counter() - began
