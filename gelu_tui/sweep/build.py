"""The document of a sweep from the outcomes of its prompts, in memory that hardly grows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import msgspec
from msgspec.structs import replace

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.sweep.document import (
    SWEEP_SCHEMA,
    Machine,
    PairedDifference,
    SweepDocument,
    SweepResult,
    VariantEstimates,
    WorstPrompt,
)
from gelu_tui.sweep.estimates import Rows, StreamTable, estimates, paired_differences
from gelu_tui.sweep.outcome_of import across_models
from gelu_tui.sweep.outcomes import FailedPrompt, PromptOutcome, StreamOutcome
from gelu_tui.sweep.settings import SweepSettings
from gelu_tui.sweep.summary import summary

_WORST = 20


class SweepHead(msgspec.Struct, frozen=True, kw_only=True):
    """What a sweep is: everything of its document that is no result.

    `models` are in the order of the sweep, None for one that has not been loaded; `functions` are
    the streams of every prompt, in their order.
    """

    id: str
    created: str
    versions: dict[str, str]
    name: str
    settings: SweepSettings
    models: tuple[p.ModelInfo | None, ...]
    functions: tuple[p.VariantInfo, ...]
    reference: str
    prompts: int


class Finished(Protocol):
    """A finished prompt; `prompt` is what people read of it."""

    @property
    def outcome(self) -> PromptOutcome: ...
    @property
    def prompt(self) -> str: ...


class Results(Protocol):
    """The finished prompts of a sweep, as its store has them; `model` is an index."""

    def rows(self, model: int) -> Iterable[Finished]:
        """Those on one model, in the order of their numbers; more than once, if asked."""
        ...

    def load(self, model: int, number: int) -> ComparisonDocument:
        """A saved run; asked for with several models only."""
        ...


def build_document(
    head: SweepHead,
    results: Results,
    failed: Sequence[FailedPrompt] = (),
    *,
    machines: Sequence[Machine] = (),
    seconds: float = 0.0,
    error: ErrorInfo | None = None,
    differences: bool = True,
) -> SweepDocument:
    """The statistics of what is finished so far.

    Without `differences` there is no bootstrap, which takes most of the time: for a sweep that is
    looked at while it runs. `error` is what ended it.
    """
    tally = _Tally(head)
    found: list[SweepResult] = []
    pairs: list[PairedDifference] = []
    for index, model in enumerate(head.models):
        if model is None:
            continue
        tables, yardsticks = tally.of_model(index, results)
        found += _results(head, tally, tables, model.id)
        found += _yardsticks(head, tally, tables, yardsticks, model.id)
        if differences:
            rows = {name: table.rows() for name, table in tables.items()}
            pairs += paired_differences(model.id, rows, head.settings.max_tokens)
        if index and head.models[0] is not None:
            tables = tally.across(index, results)
            found += _results(head, tally, tables, model.id, head.models[0].id)
    planned = head.prompts * max(len(head.settings.models), len(head.models), 1)
    is_whole = tally.completed + len(failed) >= planned
    document = SweepDocument(
        schema=SWEEP_SCHEMA,
        id=head.id,
        created=head.created,
        versions=head.versions,
        name=head.name,
        settings=head.settings,
        models=tuple(model for model in head.models if model is not None),
        functions=head.functions,
        reference=head.reference,
        prompts=head.prompts,
        completed=tally.completed,
        failed=tuple(failed),
        status="failed" if error else "completed" if is_whole else "incomplete",
        error=error,
        results=tuple(found),
        differences=tuple(pairs),
        machines=tuple(machines),
        categories=tally.categories,
        tokens=tally.tokens,
        seconds=seconds,
    )
    return msgspec.structs.replace(document, summary=summary(document))


class _Table(StreamTable):
    """One function's outcomes, and the worst of them."""

    def __init__(self) -> None:
        super().__init__()
        self._worst: list[tuple[tuple[bool, int, int], WorstPrompt]] = []

    def note(self, finished: Finished, stream: StreamOutcome, run: str) -> None:
        """Keep a prompt if it is one of the worst: those of a formula first, then the earliest."""
        fdt, verdict = stream.first_divergent_token, stream.outcome
        if fdt is None or verdict == "same":
            return
        key = (verdict != "formula", fdt, finished.outcome.number)
        worst = WorstPrompt(finished.outcome.id, finished.prompt, fdt, verdict, run)
        self._worst.append((key, worst))
        if len(self._worst) >= 8 * _WORST:
            self._trim()

    def _trim(self) -> None:
        self._worst = sorted(self._worst, key=lambda each: each[0])[:_WORST]

    def worst(self) -> tuple[WorstPrompt, ...]:
        self._trim()
        return tuple(worst for _, worst in self._worst)


class _YardstickTable(StreamTable):
    """A yardstick's outcomes, or why it has none."""

    def __init__(self) -> None:
        super().__init__()
        self.error = ""

    def take(
        self, number: int, category: int, reference: StreamOutcome, found: StreamOutcome | str
    ) -> None:
        """Add what is known of a prompt."""
        if isinstance(found, str):
            self.error = found
        else:
            self.add(number, category, reference, found)


class _Tally:
    """Tables of outcomes, and what all of them add up to."""

    def __init__(self, head: SweepHead) -> None:
        self._id = head.id
        self._several = max(len(head.settings.models), len(head.models)) > 1
        self._functions = [function.name for function in head.functions]
        self._reference = self._functions.index(head.reference)
        self._yardsticks = head.settings.yardsticks
        self._codes: dict[str, int] = {}  # of categories
        self.categories: dict[str, int] = {}
        self.completed = 0
        self.tokens = 0

    def _code(self, category: str) -> int:
        return self._codes.setdefault(category, len(self._codes))

    def _run(self, model: int, number: int) -> str:
        return f"{self._id}/{model}/{number}" if self._several else f"{self._id}/{number}"

    @property
    def named_categories(self) -> list[tuple[str, int]]:
        """The categories and their codes; prompts without one make none."""
        return [(name, code) for name, code in sorted(self._codes.items()) if name]

    def of_model(
        self, model: int, results: Results
    ) -> tuple[dict[str, _Table], dict[str, _YardstickTable]]:
        """A table of each function but the reference, against it, and of each yardstick."""
        tables = {name: _Table() for name in self._functions}
        yardsticks: dict[str, _YardstickTable]
        yardsticks = {name: _YardstickTable() for name in self._yardsticks}
        counted: Counter[str] = Counter()
        for finished in results.rows(model):
            outcome = finished.outcome
            self.completed += 1
            counted[outcome.category] += 1
            category, run = self._code(outcome.category), self._run(model, outcome.number)
            reference = outcome.streams[self._reference]
            for name, stream in zip(self._functions, outcome.streams, strict=True):
                self.tokens += stream.tokens
                tables[name].add(outcome.number, category, reference, stream)
                tables[name].note(finished, stream, run)
            for yardstick, found in zip(yardsticks.values(), outcome.yardsticks, strict=False):
                yardstick.take(outcome.number, category, reference, found)
        for category_name, count in counted.items():
            if category_name:
                known = self.categories.get(category_name, 0)
                self.categories[category_name] = max(count, known)
        del tables[self._functions[self._reference]]
        return tables, yardsticks

    def across(self, model: int, results: Results) -> dict[str, _Table]:
        """A table of each function on a model against itself on the first, by equal prompts."""
        tables = {name: _Table() for name in self._functions}
        for first, finished in _joined(results.rows(0), results.rows(model)):
            outcome = finished.outcome
            category, run = self._code(outcome.category), self._run(model, outcome.number)
            one, other = (results.load(index, outcome.number) for index in (0, model))
            pairs = across_models(first.outcome, outcome, one.variants, other.variants)
            for name, (reference, stream) in zip(self._functions, pairs, strict=True):
                tables[name].add(outcome.number, category, reference, stream)
                tables[name].note(finished, stream, run)
        return tables


def _joined(
    first: Iterable[Finished], other: Iterable[Finished]
) -> Iterator[tuple[Finished, Finished]]:
    """The same prompts of both, which are in the order of their numbers."""
    ahead = iter(first)
    mine = next(ahead, None)
    for finished in other:
        while mine is not None and mine.outcome.number < finished.outcome.number:
            mine = next(ahead, None)
        if mine is None:
            return
        if mine.outcome.number == finished.outcome.number:
            yield mine, finished


def _results(
    head: SweepHead,
    tally: _Tally,
    tables: dict[str, _Table],
    model: str,
    reference_model: str | None = None,
) -> Iterator[SweepResult]:
    """The result of each function that has a table, in the order of the sweep."""
    floor = _floor(head, tables)
    for function in head.functions:
        if function.name not in tables:
            continue
        table = tables[function.name]
        whole, by_category = _whole_and_parts(head, tally, table, floor)
        yield SweepResult(
            **msgspec.structs.asdict(whole),
            model=model,
            variant=function.name,
            reference=head.reference if reference_model is None else function.name,
            control=function.control,
            reference_model=reference_model,
            by_category=by_category,
            worst=table.worst(),
        )


def _yardsticks(
    head: SweepHead,
    tally: _Tally,
    tables: dict[str, _Table],
    yardsticks: dict[str, _YardstickTable],
    model: str,
) -> Iterator[SweepResult]:
    """The result of each yardstick; what is known of decoded streams only is left out."""
    floor = _floor(head, tables)
    for name, table in yardsticks.items():
        whole, by_category = _whole_and_parts(head, tally, table, floor)
        parts = {key: replace(part, wwb=None, task=None) for key, part in by_category.items()}
        yield SweepResult(
            **msgspec.structs.asdict(replace(whole, wwb=None, task=None)),
            model=model,
            variant=name,
            reference=head.reference,
            control=False,
            yardstick=True,
            error=table.error,
            by_category=parts,
        )


def _floor(head: SweepHead, tables: dict[str, _Table]) -> Rows | None:
    """The rows of the control, if there is one."""
    control = next((f.name for f in head.functions if f.control and f.name in tables), None)
    return None if control is None else tables[control].rows()


def _whole_and_parts(
    head: SweepHead, tally: _Tally, table: StreamTable, floor: Rows | None
) -> tuple[VariantEstimates, dict[str, VariantEstimates]]:
    """The statistics over all prompts, and over those of each category."""
    limit, margin = head.settings.max_tokens, head.settings.margin_pp
    rows = table.rows()
    by_category = {}
    for name, code in tally.named_categories:
        part = rows[rows["category"] == code]
        its_floor = floor[floor["category"] == code] if floor is not None else None
        if len(part):
            by_category[name] = estimates(part, limit, margin_pp=margin, control=its_floor)
    return estimates(rows, limit, margin_pp=margin, control=floor), by_category
