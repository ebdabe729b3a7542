"""Sweeps that no engine made: their documents, whose figures are counted in the plainest way."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from statistics import mean, stdev

from msgspec.structs import replace
from scipy import stats

from gelu_tui.core import protocol as p
from gelu_tui.core.functions.variants import CONTROL
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.sweep import document as d
from gelu_tui.sweep.outcomes import (
    FailedPrompt,
    Outcome,
    PromptOutcome,
    WhatIfOutcome,
)
from gelu_tui.sweep.settings import SweepSettings
from gelu_tui.sweep.summary import summary
from tests.support.comparisons import run_document
from tests.support.sweep_outcomes import FUNCTIONS, MAX_TOKENS, all_outcomes

FIRST_WORDS = ("Why is the sky blue?", "空が青いのはなぜですか？", "Write a sort function.",
               "Once upon a time there was a lighthouse keeper who", "List five rivers of Europe",
               "Solve 3x + 5 = 20 and explain each step of the solution.")  # fmt: skip
SWEEP_ID = "mixed-1a2b3c4d"

# --- documents ------------------------------------------------------------------------------------


def sweep_document(
    prompts: int = 40,
    functions: Sequence[str] = FUNCTIONS,
    *,
    models: Sequence[str] = ("demo",),
    total: int | None = None,
    failed: Sequence[FailedPrompt] = (),
    max_tokens: int = MAX_TOKENS,
    outcomes: Sequence[PromptOutcome] | None = None,
    first_words: Sequence[str] = FIRST_WORDS,
    **drawn: object,
) -> d.SweepDocument:
    """The document of a sweep with `prompts` finished on each model, of `total` in the set.

    `drawn` are the other parameters of `prompt_outcomes`.
    """
    total = prompts + len(failed) if total is None else total
    if outcomes is None:
        outcomes = all_outcomes(prompts, functions, len(models), max_tokens=max_tokens, **drawn)
    infos = tuple(
        p.VariantInfo(name, "f(x)", "float32", native=not place, control=name == CONTROL)
        for place, name in enumerate(functions)
    )
    settings = SweepSettings(
        name="mixed", prompts="builtin:mixed", models=tuple(models), chat=False,
        activations=tuple(name for name in functions if name != CONTROL), reference=functions[0],
        max_tokens=max_tokens, control=CONTROL in functions, dtype="float32",
    )  # fmt: skip
    results = [
        _result(outcomes, model, models, functions, place, max_tokens, first_words)
        for model in range(len(models))
        for place in range(1, len(functions))
    ]
    results += [
        _against_first(outcomes, model, models, functions, place, max_tokens)
        for model in range(1, len(models))
        for place, name in enumerate(functions)
        if name != CONTROL
    ]
    done = bool(outcomes) and len(outcomes) + len(failed) >= total * len(models)
    check = p.SelfCheckReport(64, 8, True, 0.0)
    document = d.SweepDocument(
        schema=d.SWEEP_SCHEMA, id=SWEEP_ID, created="2025-11-22T00:12:00+00:00",
        versions={"gelu_tui": "0.1.0", "mlx": "0.32.4"}, name="mixed", settings=settings,
        models=tuple(
            p.ModelInfo(name, "gemma3_text", "float32", None, functions[0], {"feed-forward": 18})
            for name in models
        ),
        functions=infos, reference=functions[0], prompts=total, completed=len(outcomes),
        failed=tuple(failed), status="completed" if done else "incomplete", error=None,
        results=tuple(result for result in results if result.prompts),
        differences=tuple(
            d.PairedDifference(name, functions[1], other, d.Interval(61.2, 38.9, 83.4))
            for name in models for other in functions[2:3] if prompts
        ),
        machines=(d.Machine("cpu", {"gelu_tui": "0.1.0", "mlx": "0.32.4"}, len(outcomes), check),),
        categories={name: sum(o.category == name for o in outcomes if not o.model)
                    for name in dict.fromkeys(o.category for o in outcomes)},
        tokens=sum(s.tokens for o in outcomes for s in o.streams), seconds=1234.5,
    )  # fmt: skip
    return replace(document, summary=summary(document))


def _result(
    outcomes: Sequence[PromptOutcome],
    model: int,
    models: Sequence[str],
    functions: Sequence[str],
    place: int,
    cap: int,
    first_words: Sequence[str],
) -> d.SweepResult:
    own = [o for o in outcomes if o.model == model]
    control = functions.index(CONTROL) if CONTROL in functions else None
    estimates = _estimates(own, place, cap, control)
    categories = [*dict.fromkeys(o.category for o in own if o.category)]
    several = f"{model}/" if len(models) > 1 else ""
    worst = sorted(
        (o for o in own if o.streams[place].first_divergent_token is not None),
        key=lambda o: (o.streams[place].outcome != "formula", o.streams[place].compared),
    )
    return d.SweepResult(
        **{name: getattr(estimates, name) for name in estimates.__struct_fields__},
        model=models[model], variant=functions[place], reference=functions[0],
        control=functions[place] == CONTROL,
        by_category={
            name: _estimates([o for o in own if o.category == name], place, cap, None)
            for name in categories
        },
        worst=tuple(
            d.WorstPrompt(
                o.id, first_words[o.number % len(first_words)], o.streams[place].compared,
                verdict, f"{SWEEP_ID}/{several}{o.number}",
            )
            for o in worst[:5]
            if (verdict := o.streams[place].outcome) != "same"
        ),
    )  # fmt: skip


def _against_first(
    outcomes: Sequence[PromptOutcome],
    model: int,
    models: Sequence[str],
    functions: Sequence[str],
    place: int,
    cap: int,
) -> d.SweepResult:
    drawn = random.Random(place)
    streams = []
    for outcome in (o for o in outcomes if o.model == model):
        fdt = drawn.randint(0, cap - 1)
        stream = replace(outcome.streams[place], outcome="unverified", compared=fdt, kl_steps=0,
                         first_divergent_token=fdt, identical=False)  # fmt: skip
        streams.append(replace(outcome, streams=(stream,)))
    estimates = _estimates(streams, 0, cap, None)
    return d.SweepResult(
        **{name: getattr(estimates, name) for name in estimates.__struct_fields__},
        model=models[model], variant=functions[place], reference=functions[place], control=False,
        reference_model=models[0],
    )  # fmt: skip


def _estimates(
    outcomes: Sequence[PromptOutcome], place: int, cap: int, control: int | None
) -> d.VariantEstimates:
    streams = [outcome.streams[place] for outcome in outcomes]
    n = len(streams)
    fdts = sorted(s.first_divergent_token for s in streams if s.first_divergent_token is not None)
    kinds: tuple[Outcome, ...] = ("same", "formula", "rounding", "tie", "unverified")
    counts = {kind: sum(s.outcome == kind for s in streams) for kind in kinds}
    times = [float(s.compared if s.first_divergent_token is not None else cap) for s in streams]
    half = 1.96 * stdev(times) / n**0.5 if n > 1 else None
    average = mean(times) if times else None
    ends = (None, None) if average is None or half is None else (average - half, average + half)
    answered = [(o.streams[0], s) for o, s in zip(outcomes, streams, strict=True)
                if s.correct is not None]  # fmt: skip
    return d.VariantEstimates(
        prompts=n, diverged=len(fdts), identical=sum(s.identical for s in streams),
        close_calls=sum(s.close_calls for s in streams),
        outcomes={kind: d.Outcomes(count, *_wilson(count, n)) for kind, count in counts.items()},
        incidence=tuple(
            d.Incidence(token, *_wilson(sum(fdt <= token for fdt in fdts), n))
            for token in sorted({0, *fdts, cap - 1})
        ),
        median_fdt=d.Interval(*_ordered(fdts, n)),
        mean_tokens_to_divergence=d.Interval(average, *ends),
        kl=_kl(outcomes, place, control),
        full_kl=_kl(outcomes, place, control, full=True),
        wwb=d.WhoWhatBench(
            *(mean(s.wwb[i] for s in streams) for i in range(4))
        ) if streams else None,
        task=_task([(bool(a.correct), bool(b.correct)) for a, b in answered]), tokens=cap,
        what_if=_what_if([s.what_if for s in streams if s.what_if is not None]),
    )  # fmt: skip


def _what_if(tried: Sequence[WhatIfOutcome]) -> d.WhatIfEstimate | None:
    distances = sorted(each.tokens for each in tried if each.parts_again)
    share = d.Outcomes(len(distances), *_wilson(len(distances), len(tried)))
    found = d.Interval(*_ordered(distances, len(tried)))
    return d.WhatIfEstimate(len(tried), share, found) if tried else None


def _ordered(fdts: Sequence[int], n: int) -> tuple[float | None, float | None, float | None]:
    """The median and its interval by order statistics; None where it is not reached."""
    low, middle, high = (int(n / 2 + half * n**0.5) for half in (-0.98, 0, 0.98))

    def at(place: int) -> float | None:
        return float(fdts[max(0, place)]) if place < len(fdts) else None

    return at(middle), at(low), at(high)


@cache
def _wilson(count: int, n: int) -> tuple[float, float, float]:
    if not n:
        return 0.0, 0.0, 1.0
    interval = stats.binomtest(count, n).proportion_ci(method="wilson")
    return count / n, float(interval.low), float(interval.high)


def _kl(
    outcomes: Sequence[PromptOutcome], place: int, control: int | None, *, full: bool = False
) -> d.SweepKl | None:
    streams = [outcome.streams[place] for outcome in outcomes]
    pairs = [(s.full_kl, s.full_kl_steps) if full else (s.kl, s.kl_steps) for s in streams]
    positions = sum(steps for _, steps in pairs)
    if not positions:
        return None
    average = sum(total for total, _ in pairs) / positions
    means = [total / steps for total, steps in pairs if steps]
    error = stdev(means) / len(means) ** 0.5 if len(means) > 1 else None
    floor = None if control is None else _kl(outcomes, control, None, full=full)
    times = average / floor.mean if floor and floor.mean else None
    return d.SweepKl(average, error, positions, len(means), times)


def _task(pairs: Sequence[tuple[bool, bool]]) -> d.TaskResult | None:
    if not pairs:
        return None
    n = len(pairs)
    own, reference = sum(b for _, b in pairs) / n, sum(a for a, _ in pairs) / n
    gained, lost = sum(b and not a for a, b in pairs), sum(a and not b for a, b in pairs)
    chance = float(stats.binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0
    half = 196 * (gained + lost) ** 0.5 / n
    difference = 100 * (own - reference)
    interval = d.Interval(difference, difference - half, difference + half)
    equivalent = half < 1 and abs(difference) < 1 - half
    return d.TaskResult(n, own, own, reference, reference, gained, lost, chance, interval, 1.0,
                        equivalent)  # fmt: skip


# --- rows -----------------------------------------------------------------------------------------


@dataclass
class Rows:
    """What reports read of a store; `loaded` counts the runs that were read."""

    finished: Sequence[PromptOutcome]
    run: Callable[[int, int], ComparisonDocument] = lambda model, number: a_run(number)
    loaded: list[tuple[int, int]] = field(default_factory=list)

    def outcomes(self, model: int | None = None) -> Iterator[PromptOutcome]:
        return (o for o in self.finished if model is None or o.model == model)

    def load(self, model: int, number: int) -> ComparisonDocument:
        self.loaded.append((model, number))
        return self.run(model, number)


def a_run(number: int = 0, functions: Sequence[str] = FUNCTIONS) -> ComparisonDocument:
    """The saved run of a prompt: the third function forks at step 2."""
    start, rest = ["The", " sky"], [" blue", "."]
    texts = {name: [*start, " was" if place == 2 else " is", *rest]
             for place, name in enumerate(functions)}  # fmt: skip
    return run_document(FIRST_WORDS[number % len(FIRST_WORDS)], texts=texts, control=CONTROL)


@cache
def _to_be_hostile() -> d.SweepDocument:
    return sweep_document(prompts=9, total=40)


def hostile_sweep(text: str) -> d.SweepDocument:
    """A sweep whose every text is the given one: ids, prompts, categories, names, reasons."""
    made = _to_be_hostile()
    names = {name: f"{text}{place}" for place, name in enumerate(FUNCTIONS)}
    results = [
        replace(
            result,
            model=text,
            variant=names[result.variant],
            reference=names[result.reference],
            by_category={text: result.by_category["questions"]},
            worst=tuple(
                replace(worst, id=text, prompt=text, run=f"{text}/1") for worst in result.worst
            ),
        )
        for result in made.results
    ]
    return replace(
        made, id=text, name=text, failed=(FailedPrompt(text, text, 3, text),),
        created=text, versions={text: text}, summary=(text, text),
        functions=tuple(replace(f, name=names[f.name], formula=text) for f in made.functions),
        models=(replace(made.models[0], id=text, family=text, sites={text: 1}),),
        results=tuple(results), differences=(d.PairedDifference(text, text, text, d.Interval(
            1.0, None, 2.0)),),
        machines=(replace(made.machines[0], device=text, versions={text: text}),),
    )  # fmt: skip
