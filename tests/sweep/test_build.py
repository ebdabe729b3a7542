"""The document of a sweep from its outcomes, counted again in the plainest way."""

from __future__ import annotations

import statistics
import tracemalloc
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.sweep.build import SweepHead, build_document
from gelu_tui.sweep.document import Interval, Outcomes, SweepDocument
from gelu_tui.sweep.intervals import bootstrap_mean, wilson
from gelu_tui.sweep.outcomes import (
    FailedPrompt,
    PromptOutcome,
    StreamOutcome,
    WhatIfOutcome,
)
from gelu_tui.sweep.report.figures import share_diverged, share_with_interval
from gelu_tui.sweep.settings import SweepSettings
from tests.support.comparisons import LOADED
from tests.support.sweep_outcomes import FUNCTIONS, HAZARDS, prompt_outcomes

N, CAP = 120, 64
MODELS = (LOADED.model, replace(LOADED.model, id="other"))


@dataclass
class Stored:
    """Outcomes by model; every stream of a prompt is a run of its number."""

    models: list[list[PromptOutcome]]
    loads: int = 0
    streams: dict[tuple[int, int], list[list[int]]] = field(default_factory=dict)

    def rows(self, model: int) -> Iterable[SimpleNamespace]:
        return (SimpleNamespace(outcome=o, prompt=f"text {o.id}") for o in self.models[model])

    def load(self, model: int, number: int) -> SimpleNamespace:
        self.loads += 1
        tokens = self.streams.get((model, number), [[number, 7, 8]] * len(FUNCTIONS))
        reason = "length"
        return SimpleNamespace(
            variants=[SimpleNamespace(tokens=t, finish_reason=reason) for t in tokens]
        )


def head(models: Sequence[p.ModelInfo | None] = MODELS[:1], prompts: int = N) -> SweepHead:
    names = tuple(model.id if model else "?" for model in models)
    return SweepHead(
        id="mixed-1a2b",
        created="2026-11-29T00:00:00+00:00",
        versions={"gelu_tui": "0.1.0"},
        name="mixed",
        settings=SweepSettings(max_tokens=CAP, models=names),
        models=tuple(models),
        functions=tuple(
            p.VariantInfo(name, name, "float32", control=name == FUNCTIONS[-1])
            for name in FUNCTIONS
        ),
        reference=FUNCTIONS[0],
        prompts=prompts,
    )


@pytest.fixture(scope="module")
def outcomes() -> list[PromptOutcome]:
    hazards = {**HAZARDS, "gelu": (0.003, 0.0)}
    return prompt_outcomes(N, max_tokens=CAP, answers=True, full_kl=True, hazards=hazards)


@pytest.fixture(scope="module")
def document(outcomes: list[PromptOutcome]) -> SweepDocument:
    return build_document(head(), Stored([outcomes]))


def of(outcomes: Iterable[PromptOutcome], name: str) -> list[StreamOutcome]:
    return [outcome.streams[FUNCTIONS.index(name)] for outcome in outcomes]


@pytest.mark.parametrize("place", range(len(FUNCTIONS) - 1))
def test_every_figure_of_a_function(
    document: SweepDocument, outcomes: list[PromptOutcome], place: int
) -> None:
    found, name = document.results[place], FUNCTIONS[place + 1]
    streams, references = of(outcomes, name), of(outcomes, FUNCTIONS[0])
    assert (found.variant, found.reference, found.model) == (name, FUNCTIONS[0], "demo")
    assert found.control == (name == FUNCTIONS[-1])
    assert (found.prompts, found.tokens) == (N, CAP)
    diverged = [s for s in streams if s.first_divergent_token is not None]
    assert found.diverged == len(diverged)
    assert found.identical == sum(s.identical for s in streams)
    assert found.close_calls == sum(s.close_calls for s in streams)
    for outcome, shown in found.outcomes.items():
        count = sum(s.outcome == outcome for s in streams)
        assert (shown.count, shown.share) == (count, count / N)
        assert (shown.low, shown.high) == wilson(count, N)
    # nobody was stopped early, so that incidence is the plain share
    last = found.incidence[-1]
    assert (last.token, last.share) == (CAP - 1, pytest.approx(len(diverged) / N))
    kept = [CAP if s.first_divergent_token is None else s.first_divergent_token for s in streams]
    assert found.mean_tokens_to_divergence.value == pytest.approx(statistics.fmean(kept))
    assert found.kl is not None and found.full_kl is not None
    positions = sum(s.kl_steps for s in streams)
    assert found.kl.positions == positions and found.kl.clusters == N
    assert found.kl.mean == pytest.approx(sum(s.kl for s in streams) / positions)
    full_floor = sum(s.full_kl for s in of(outcomes, FUNCTIONS[-1]))
    assert found.full_kl.times_floor == pytest.approx(sum(s.full_kl for s in streams) / full_floor)
    assert found.wwb is not None
    fdt = statistics.fmean(s.wwb[0] for s in streams)
    length = statistics.fmean(r.tokens for r in references)
    assert found.wwb.fdt == pytest.approx(fdt)
    assert found.wwb.fdt_norm == pytest.approx(fdt / length)
    assert found.wwb.sdt_norm == pytest.approx(statistics.fmean(s.wwb[3] for s in streams))
    task, pairs = found.task, list(zip(streams, references, strict=True))
    assert task is not None and task.n == N
    assert task.gained == sum(bool(s.correct and not r.correct) for s, r in pairs)
    assert task.lost == sum(bool(r.correct and not s.correct) for s, r in pairs)
    assert (task.acc, task.acc_norm) == (statistics.fmean(bool(s.correct) for s in streams),) * 2


def test_what_if_is_counted_over_the_forks_that_were_tried() -> None:
    outcomes = prompt_outcomes(400, max_tokens=CAP, what_if=True, categories=())
    made = build_document(head(prompts=400), Stored([outcomes]))
    for found in made.results:
        tried = [s.what_if for s in of(outcomes, found.variant) if s.what_if is not None]
        if not tried:
            assert found.what_if is None
            continue
        assert found.what_if is not None and found.what_if.tried == len(tried) <= found.diverged
        count, share = sum(each.parts_again for each in tried), found.what_if.parts_again
        assert (share.count, share.share) == (count, count / len(tried))
        assert (share.low, share.high) == wilson(count, len(tried))
        words = f"given the reference's token there, {share_with_interval(share, len(tried))}"
        assert found.control or words in " ".join(made.summary)
    assert build_document(head(), Stored([prompt_outcomes(9)])).results[0].what_if is None


def test_the_distance_counts_those_that_did_not_part_as_censored() -> None:
    def distance(*found: tuple[bool, int]) -> float | None:
        some = [nothing(1, what_if=WhatIfOutcome(*each))[0] for each in found]
        rows = [replace(one, number=number) for number, one in enumerate(some)]
        result = build_document(head(prompts=len(rows)), Stored([rows])).results[0]
        assert result.what_if is not None
        return result.what_if.distance.value

    assert distance((True, 3), (True, 5), (True, 9)) == 5
    assert distance((True, 3), (False, 60), (False, 60)) is None
    # as the product of 3/4, 2/3 and 0/1: one was followed for 4 tokens only
    assert distance((True, 3), (False, 4), (True, 7), (True, 9)) == 7
    assert distance((False, 4)) is None


def test_categories_are_sweeps_of_their_own(
    document: SweepDocument, outcomes: list[PromptOutcome]
) -> None:
    assert document.categories == dict.fromkeys({o.category for o in outcomes}, N // 8)
    alone = [o for o in outcomes if o.category == "code"]
    expected = build_document(head(prompts=len(alone)), Stored([alone])).results
    for whole, part in zip(document.results, expected, strict=True):
        found = whole.by_category["code"]
        for name in found.__struct_fields__:
            assert getattr(found, name) == getattr(part, name), name
    assert sum(r.prompts for r in document.results[0].by_category.values()) == N


def test_the_worst_prompts(document: SweepDocument, outcomes: list[PromptOutcome]) -> None:
    found = document.results[1].worst  # of gelu_fast_approx
    assert len(found) == 20
    streams = list(zip(outcomes, of(outcomes, "gelu_fast_approx"), strict=True))
    diverged = [(o, s) for o, s in streams if s.first_divergent_token is not None]
    order = sorted(
        diverged, key=lambda each: (each[1].outcome != "formula", each[1].compared, each[0].number)
    )
    assert [(w.id, w.fdt, w.verdict) for w in found] == [
        (o.id, s.compared, s.outcome) for o, s in order[:20]
    ]
    assert found[0].run == f"mixed-1a2b/{order[0][0].number}"
    assert found[0].prompt == f"text {order[0][0].id}"


def test_differences_are_paired_by_prompt(
    document: SweepDocument, outcomes: list[PromptOutcome]
) -> None:
    names = [(each.variant, each.other) for each in document.differences]
    assert len(set(names)) == len(names) == 6
    kept = [
        np.array([float(CAP if s.identical else s.compared) for s in of(outcomes, name)])
        for name in ("gelu", "gelu_fast_approx")
    ]
    assert document.differences[0].mean_tokens == bootstrap_mean(kept[0] - kept[1])
    quick = build_document(head(), Stored([outcomes]), differences=False)
    assert quick == replace(document, differences=())


def test_what_was_stopped_is_in_no_difference(outcomes: list[PromptOutcome]) -> None:
    stopped = StreamOutcome(3, "cancelled", "same", None, 3, False)
    cut = [*outcomes[:-1], replace(outcomes[-1], streams=(stopped,) * len(FUNCTIONS))]
    found = build_document(head(), Stored([cut])).differences
    without = build_document(head(), Stored([outcomes[:-1]])).differences
    assert found == without


def test_all_of_it_is_json(document: SweepDocument, outcomes: list[PromptOutcome]) -> None:
    again = msgspec.json.decode(msgspec.json.encode(document), type=SweepDocument)
    assert again == document
    assert document.tokens == sum(s.tokens for o in outcomes for s in o.streams)
    assert (document.completed, document.status) == (N, "completed")


# --- several models -------------------------------------------------------------------------------


def test_models_are_compared_on_the_same_prompts(outcomes: list[PromptOutcome]) -> None:
    other = [replace(o, model=1) for o in outcomes if o.number % 3]
    streams = [[4, 7, 9], [4, 7, 8], [5], [4, 7, 8], [4, 7, 8]]
    stored = Stored([outcomes, other], streams={(1, 4): streams})
    found = build_document(head(MODELS), stored)
    assert stored.loads == 2 * len(other)
    assert [m.id for m in found.models] == ["demo", "other"]
    assert [(r.model, r.reference_model) for r in found.results] == [
        *[("demo", None)] * 4, *[("other", None)] * 4, *[("other", "demo")] * 5,
    ]  # fmt: skip
    across = found.results[8:]
    assert [r.variant for r in across] == [r.reference for r in across] == list(FUNCTIONS)
    assert {r.prompts for r in across} == {len(other)}
    assert [r.diverged for r in across] == [1, 0, 1, 0, 0], "all are 4 7 8 on the first model"
    worst = across[2].worst[0]
    assert (worst.id, worst.fdt, worst.run) == ("0004", 0, "mixed-1a2b/1/4")
    assert across[0].kl is None and across[0].task is not None
    assert found.status == "incomplete" and found.completed == N + len(other)
    assert {r.worst[0].run.count("/") for r in found.results if r.worst} == {2}
    words = "\n".join(found.summary)
    parted = share_diverged(across[0])
    assert f"\n`demo` and `other`, both with `gelu_approx`, part in {parted}; tasks: " in words
    for function in range(3):
        shares = [share_diverged(found.results[function + 4 * model]) for model in range(2)]
        assert f"part on `demo` in {shares[0]}" in found.summary[1 + function]
        assert f"; on `other` in {shares[1]}" in found.summary[1 + function]
    assert len(found.summary) <= 1 + 3 + 1 + 1 + 2 + 2
    assert "several families" not in " ".join(found.summary)
    mixed = (MODELS[0], replace(MODELS[1], family="gemma"))
    words = " ".join(build_document(head(mixed), stored, differences=False).summary)
    assert "These models are of several families: between them token ids are compared" in words
    assert found.summary[0].startswith("Incomplete: 200 of 240 runs (120 prompts, 2 models)")


def test_a_model_that_was_not_loaded(outcomes: list[PromptOutcome]) -> None:
    found = build_document(head((MODELS[0], None)), Stored([outcomes, []]))
    assert [m.id for m in found.models] == ["demo"] and len(found.results) == 4
    assert found.status == "incomplete"


# --- in words -------------------------------------------------------------------------------------


def summary(outcomes: list[PromptOutcome], prompts: int = 0, **fields: object) -> str:
    made = build_document(head(prompts=prompts or len(outcomes)), Stored([outcomes]), **fields)
    return "\n".join(made.summary)


def test_the_sentences(document: SweepDocument) -> None:
    gelu, fast, keras, control, tasks, close, last = document.summary
    count = document.results[0].diverged
    shares = [round(100 * share) for share in (count / N, *wilson(count, N))]
    share = "{} % [{}, {}]".format(*shares)
    assert 0 < count < N / 2
    assert gelu == (
        f"Over 120 prompts of 64 tokens, `gelu_approx` and `gelu` part in {share}; "
        "in none of them by the formula."
    )
    assert fast.startswith("`gelu_approx` and `gelu_fast_approx` part in ")
    assert fast.endswith(" of all by the formula.")
    assert tasks.startswith("Tasks: of 120 answers `gelu_approx` has ")
    assert tasks.count(" within ±1 pp") == 3
    assert "`control` is the control, `gelu_approx` in another order of operations" in control
    assert control.endswith("]. That much is rounding alone.")
    assert last == "Intervals are 95 %, each by itself, and not corrected for several functions."
    assert keras and close


@pytest.mark.parametrize(
    ("share", "low", "high", "prompts", "shown"),
    [
        (0.03, 0.0174, 0.0515, 40, "3 % [2, 5]"),
        (0.03, 0.0174, 0.0515, 400, "3.0 % [1.7, 5.1]"),
        (0.0, 0.0, 0.0095, 400, "0 % [0, 0.9]"),
        (0.001, 0.0002, 0.0049, 1000, "0.1 % [0.02, 0.5]"),
        (0.999, 0.995, 1.0, 1000, "99.9 % [99.5, 100]"),
        (1.0, 0.5, 1.0, 2, "100 % [50, 100]"),
    ],
)
def test_per_cents(share: float, low: float, high: float, prompts: int, shown: str) -> None:
    assert share_with_interval(Outcomes(0, share, low, high), prompts) == shown


def nothing(n: int, **changes: object) -> list[PromptOutcome]:
    same = StreamOutcome(CAP, "length", "same", None, CAP, False, wwb=(CAP, 1.0, 0, 0.0))
    streams = (replace(same, **changes),) * len(FUNCTIONS)
    return [PromptOutcome(i, str(i), "", 0, streams) for i in range(n)]


def test_nothing_diverged() -> None:
    words = summary(nothing(400))
    assert "Over 400 prompts of 64 tokens, `gelu_approx` and `gelu` part in 0 % [0, 1.0]." in words
    assert "formula" not in words.split("\n")[0] and "say little" not in words
    few = summary(nothing(2))
    assert "part in 0 % [0, 66]" in few and "2 prompts say little" in few
    assert build_document(head(), Stored([nothing(3)])).differences[0].mean_tokens == Interval(
        0.0, None, None
    )


def test_no_prompt_and_one() -> None:
    empty = build_document(head(), Stored([[]]))
    assert empty.status == "incomplete" and empty.results[0].incidence == ()
    assert empty.results[0].median_fdt == Interval(None, None, None)
    assert empty.summary[0].startswith("Incomplete: 0 of 120 prompts are finished")
    assert "Over" not in " ".join(empty.summary)
    assert "Over 1 prompt of 64 tokens" in summary(nothing(1))


def test_what_is_missing_is_said_first() -> None:
    failed = (FailedPrompt("a", "too long"), FailedPrompt("b", "empty"))
    words = summary(nothing(40), prompts=42, failed=failed).split("\n")
    assert words[0] == "2 prompts could not be run and are in no figure."
    words = summary(nothing(40), prompts=42, failed=failed[:1]).split("\n")
    assert words[0].startswith("Incomplete: 40 of 42 prompts are finished")
    assert words[1] == "1 prompt could not be run and is in no figure."
    error = ErrorInfo("engine_died", "The engine died.")
    assert summary(nothing(40), error=error).startswith("Failed: 40 of 40 prompts")


def test_close_calls_and_unverified_forks_are_told() -> None:
    words = summary(nothing(30, close_calls=2))
    assert "In 240 steps of these streams the two best tokens were nearer" in words
    parted = nothing(30, outcome="unverified", first_divergent_token=5, compared=5)
    assert "in 30 the cause was not verified" in summary(parted)
    assert "half have parted at token 5 [5, 5]" in summary(parted)


def test_hostile_names_are_shown_as_glyphs() -> None:
    hostile = replace(head(), functions=(
        *head().functions[:1],
        *(replace(f, name=f"{f.name}\x1b[2J") for f in head().functions[1:]),
    ))  # fmt: skip
    made = build_document(hostile, Stored([nothing(3)]))
    assert "\x1b" not in "".join(made.summary) and "gelu␛[2J" in "".join(made.summary)


def test_memory_is_flat() -> None:
    """Each stream is held as one packed row, and no outcome is kept."""

    class Endless(Stored):
        def rows(self, model: int) -> Iterable[SimpleNamespace]:
            (one,) = self.models[model]
            for number in range(5_000):
                outcome = replace(one, number=number)
                yield SimpleNamespace(outcome=outcome, prompt="x" * 100)

    tracemalloc.start()
    made = build_document(
        head(prompts=5_000), Endless([nothing(1, outcome="formula", first_divergent_token=5)]),
        differences=False,
    )  # fmt: skip
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert made.completed == 5_000 and len(made.results[0].worst) == 20
    assert peak / (5_000 * len(FUNCTIONS)) < 400, "bytes of a stream"
