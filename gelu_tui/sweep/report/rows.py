"""The rows behind a sweep's statistics: one for each prompt, model and function, or each token."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from gelu_tui.core.errors import GeluError
from gelu_tui.core.reports.tokens_csv import TOKEN_COLUMNS, token_rows
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.safe_text import visible_line
from gelu_tui.sweep.document import SweepDocument
from gelu_tui.sweep.outcomes import PromptOutcome, StreamOutcome

Cell = str | int | float | bool | None


class SweepRows(Protocol):
    """What the store of a sweep gives: the outcomes and the runs of its finished prompts."""

    def outcomes(self, model: int | None = None) -> Iterator[PromptOutcome]: ...
    def load(self, model: int, number: int) -> ComparisonDocument: ...


@dataclass(frozen=True)
class SweepData:
    """A sweep as reports read it; without `rows`, where its document was read from a file."""

    document: SweepDocument
    rows: SweepRows | None = None

    def run(self, run: str) -> ComparisonDocument:
        """The run of an id, `SWEEP/NUMBER` or `SWEEP/MODEL/NUMBER`. Raises `GeluError`."""
        places = run.removeprefix(f"{self.document.id}/").split("/")
        if len(places) > 2 or not all(place.isdecimal() for place in places):
            raise GeluError("no_run", f"There is no run {visible_line(run)} in this sweep.", "")
        model, number = (0, *map(int, places))[-2:]
        return self.known_rows.load(model, number)

    @property
    def known_rows(self) -> SweepRows:
        """The rows. Raises `GeluError` if there are none."""
        if self.rows is None:
            message = "A sweep's JSON document holds no rows of its prompts."
            raise GeluError("export", message, "Give the id of a sweep on this machine.")
        return self.rows


# The columns and their types, for formats that have types.
PROMPT_COLUMNS: dict[str, type] = {
    "number": int, "id": str, "category": str, "model": str, "variant": str, "role": str,
    "fdt": int, "outcome": str, "compared": int, "identical": bool, "tokens": int,
    "mean_kl": float, "kl_steps": int, "full_kl": float, "full_kl_steps": int, "close_calls": int,
    "correct": bool, "correct_norm": bool, "wwb_fdt": int, "wwb_fdt_norm": float, "wwb_sdt": int,
    "wwb_sdt_norm": float, "finish_reason": str, "parts_again": bool, "agreed_again": int,
}  # fmt: skip
_TOKEN_TYPES = (str, int, int, str, float, float, float, float, int)
SWEEP_TOKEN_COLUMNS: dict[str, type] = {
    "number": int, "id": str, "category": str, "model": str,
    **dict(zip(TOKEN_COLUMNS, _TOKEN_TYPES, strict=True)),
}  # fmt: skip


def prompt_rows(data: SweepData) -> Iterator[tuple[Cell, ...]]:
    """A row of `PROMPT_COLUMNS` for each prompt, model and function, read one after the other.

    `mean_kl` and `full_kl` are means in nats over `_steps` positions, None where there are none.
    `parts_again` after the reference's token at the fork, and `agreed_again` tokens after it, are
    None where that was not tried. `role` is `reference`, `control`, `yardstick` or
    empty; a yardstick decodes nothing, so that its `wwb` are None. Raises `GeluError`.
    """
    reference = data.document.reference
    functions = [
        (visible_line(function.name), _role(function.name == reference, function.control))
        for function in data.document.functions
    ]
    for outcome in data.known_rows.outcomes():
        for (name, role), stream in zip(functions, outcome.streams, strict=False):
            yield (*_prompt_cells(data.document, outcome), name, role, *_stream_cells(stream))
        for name, found in zip(data.document.settings.yardsticks, outcome.yardsticks, strict=False):
            if not isinstance(found, str):
                cells = _prompt_cells(data.document, outcome)
                yield (*cells, name, "yardstick", *_stream_cells(found, decoded=False))


def sweep_token_rows(data: SweepData) -> Iterator[tuple[Cell, ...]]:
    """A row of `SWEEP_TOKEN_COLUMNS` for each token; one run is in memory. Raises `GeluError`."""
    rows = data.known_rows
    for outcome in rows.outcomes():
        cells = _prompt_cells(data.document, outcome)
        for row in token_rows(rows.load(outcome.model, outcome.number)):
            yield (*cells, *row)


def _role(is_reference: bool, is_control: bool) -> str:
    return "reference" if is_reference else "control" if is_control else ""


def _prompt_cells(document: SweepDocument, outcome: PromptOutcome) -> tuple[Cell, ...]:
    models = document.models
    known = outcome.model < len(models)
    model = visible_line(models[outcome.model].id) if known else str(outcome.model)
    return outcome.number, visible_line(outcome.id), visible_line(outcome.category), model


def _stream_cells(stream: StreamOutcome, *, decoded: bool = True) -> tuple[Cell, ...]:
    what_if = stream.what_if
    return (
        stream.first_divergent_token,
        stream.outcome,
        stream.compared,
        stream.identical,
        stream.tokens,
        stream.kl / stream.kl_steps if stream.kl_steps else None,
        stream.kl_steps,
        stream.full_kl / stream.full_kl_steps if stream.full_kl_steps else None,
        stream.full_kl_steps,
        stream.close_calls,
        stream.correct,
        stream.correct_norm,
        *(stream.wwb if decoded else (None,) * 4),
        stream.finish_reason,
        *((what_if.parts_again, what_if.tokens) if what_if is not None else (None, None)),
    )
