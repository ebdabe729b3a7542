"""What the screen shows of a sweep, read from its store in a thread."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gelu_tui.sweep.document import SweepDocument, SweepResult
from gelu_tui.sweep.outcomes import Outcome
from gelu_tui.sweep.store import SweepStore
from gelu_tui.sweep.stored_document import stored_document


@dataclass(frozen=True)
class PromptRow:
    """A prompt on one model: outcome and FDT of each compared function, or why it failed."""

    model: int
    number: int
    id: str
    category: str
    prompt: str
    streams: tuple[tuple[Outcome, int | None], ...]
    error: str = ""

    @property
    def key(self) -> tuple[int, int]:
        return self.model, self.number


@dataclass(frozen=True)
class Contents:
    """A sweep so far. `compared` are the names of all functions but the reference, in order."""

    document: SweepDocument
    rows: Sequence[PromptRow]
    compared: tuple[str, ...]
    control: str | None
    models: tuple[str, ...]  # as they were asked for
    read_s: float  # that reading and computing took

    def results(self, model: str | None = None) -> list[SweepResult]:
        """Those against the reference function of a model, by default of all."""
        found = (r for r in self.document.results if r.reference_model is None)
        return [r for r in found if r.prompts and (model is None or r.model == model)]


def read_contents(store: SweepStore, *, differences: bool) -> Contents:
    """Read and compute everything. Raises `GeluError`; slow, so for a thread.

    Without `differences` there is no bootstrap: for a sweep that is still running.
    """
    began = time.monotonic()
    header = store.header
    document = stored_document(store, differences=differences)
    names = [function.name for function in header.functions]
    compared = [index for index, name in enumerate(names) if name != header.reference]
    rows = list(_rows(store, compared))
    rows.sort(key=lambda row: row.key)
    return Contents(
        document=document,
        rows=rows,
        compared=tuple(names[index] for index in compared),
        control=next((f.name for f in header.functions if f.control), None),
        models=header.models,
        read_s=time.monotonic() - began,
    )


def _rows(store: SweepStore, compared: Sequence[int]) -> Iterator[PromptRow]:
    for saved in store.rows():
        outcome = saved.outcome
        streams = tuple(
            (outcome.streams[index].outcome, outcome.streams[index].first_divergent_token)
            for index in compared
        )
        yield PromptRow(
            outcome.model, outcome.number, outcome.id, outcome.category, saved.prompt, streams
        )
    for model in range(len(store.header.models)):
        for failed in store.failed(model):
            yield PromptRow(model, failed.number, failed.id, "", "", (), failed.error)


def by_fdt(rows: Sequence[PromptRow], place: int) -> list[PromptRow]:
    """The rows by the FDT of one compared function: the earliest first, failed ones last."""

    def key(row: PromptRow) -> tuple[int, float]:
        if row.error:
            return 2, 0.0
        fdt = row.streams[place][1]
        return (1, 0.0) if fdt is None else (0, float(fdt))

    return sorted(rows, key=key)
