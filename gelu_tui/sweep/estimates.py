"""Statistics over prompts, of one function against a reference.

`StreamTable` takes the outcomes one after the other and holds some 100 bytes of each; `estimates`
turns any rows of it into the statistics of the document.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from gelu_tui.sweep import incidence as curves
from gelu_tui.sweep.document import (
    Interval,
    Outcomes,
    PairedDifference,
    SweepKl,
    TaskResult,
    VariantEstimates,
    WhatIfEstimate,
    WhoWhatBench,
)
from gelu_tui.sweep.intervals import bootstrap_mean, clustered_ratio, wilson
from gelu_tui.sweep.outcomes import Outcome, StreamOutcome, WhatIfOutcome
from gelu_tui.sweep.tasks import task_result

Rows = npt.NDArray[Any]  # of `_ROW`

OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)

_ROW = np.dtype(
    [
        ("number", "i8"),
        ("category", "i4"),
        ("ending", "i1"),
        ("outcome", "i1"),
        ("compared", "i4"),
        ("reference_tokens", "i4"),
        ("kl", "f8"),
        ("kl_steps", "i8"),
        ("full_kl", "f8"),
        ("full_kl_steps", "i8"),
        ("close_calls", "i4"),
        # answers: 1 right, 0 wrong, −1 none
        ("correct", "i1"),
        ("correct_norm", "i1"),
        ("reference_correct", "i1"),
        ("reference_correct_norm", "i1"),
        ("fdt", "i4"),
        ("sdt", "i4"),
        ("sdt_norm", "f8"),
        # after the reference's token: how it ended, −1 where the fork was not tried
        ("what_if", "i1"),
        ("what_if_tokens", "i4"),
    ]
)


class StreamTable:
    """The outcomes of one function against a reference, a row for each prompt."""

    def __init__(self) -> None:
        self._chunks: list[Rows] = []
        self._new: list[tuple[Any, ...]] = []

    def add(
        self, number: int, category: int, reference: StreamOutcome, stream: StreamOutcome
    ) -> None:
        """Add prompt `number`'s stream, and its reference's outcome (of itself)."""
        ending = curves.CENSORED
        if stream.first_divergent_token is not None:
            ending = curves.DIVERGED
        elif stream.identical:
            ending = curves.IDENTICAL
        fdt, _, sdt, sdt_norm = stream.wwb
        row = (
            *(number, category, ending, OUTCOMES.index(stream.outcome), stream.compared),
            *(reference.tokens, stream.kl, stream.kl_steps, stream.full_kl, stream.full_kl_steps),
            *(stream.close_calls, _answer(stream.correct), _answer(stream.correct_norm)),
            *(_answer(reference.correct), _answer(reference.correct_norm), fdt, sdt, sdt_norm),
            *_what_if_cells(stream.what_if),
        )
        self._new.append(row)
        if len(self._new) == 4096:
            self._pack()

    def _pack(self) -> None:
        if self._new:
            self._chunks.append(np.array(self._new, dtype=_ROW))
            self._new = []

    def rows(self) -> Rows:
        """All rows, a structured array of shape (prompts,), in the order of `number`."""
        self._pack()
        if len(self._chunks) != 1:
            parts = self._chunks or [np.empty(0, dtype=_ROW)]
            self._chunks = [np.concatenate(parts)]
        rows = self._chunks[0]
        return rows[np.argsort(rows["number"], kind="stable")]


def _what_if_cells(what_if: WhatIfOutcome | None) -> tuple[int, int]:
    if what_if is None:
        return -1, 0
    no_more = curves.IDENTICAL if what_if.ended else curves.CENSORED
    return (curves.DIVERGED if what_if.parts_again else no_more), what_if.tokens


def _answer(right: bool | None) -> int:
    return -1 if right is None else int(right)


def estimates(
    rows: Rows, limit: int, *, margin_pp: float, control: Rows | None = None
) -> VariantEstimates:
    """All statistics over the rows; `limit` is the number of tokens that were asked for.

    `control` are the same prompts' rows of the control, whose mean KL is the floor.
    """
    n = len(rows)
    ending, compared = rows["ending"], rows["compared"]
    cap = curves.last_compared(compared, ending, limit)
    curve = curves.incidence(compared, ending, cap)
    nothing = Interval(None, None, None)
    return VariantEstimates(
        prompts=n,
        diverged=int((ending == curves.DIVERGED).sum()),
        identical=int((ending == curves.IDENTICAL).sum()),
        close_calls=int(rows["close_calls"].sum()),
        outcomes=_outcomes(rows["outcome"]),
        incidence=curve.points() if curve else (),
        median_fdt=curve.median() if curve else nothing,
        mean_tokens_to_divergence=curve.mean() if curve else nothing,
        kl=_kl(rows, control, "kl"),
        full_kl=_kl(rows, control, "full_kl"),
        wwb=_who_what_bench(rows),
        task=_task(rows, margin_pp),
        tokens=cap,
        what_if=_what_if(rows, limit),
    )


def _outcomes(codes: npt.NDArray[Any]) -> dict[Outcome, Outcomes]:
    n = len(codes)
    found: dict[Outcome, Outcomes] = {}
    for code, outcome in enumerate(OUTCOMES):
        count = int((codes == code).sum())
        found[outcome] = Outcomes(count, count / n if n else 0.0, *wilson(count, n))
    return found


def _what_if(rows: Rows, limit: int) -> WhatIfEstimate | None:
    tried = rows[rows["what_if"] >= 0]
    if not (n := len(tried)):
        return None
    ending, tokens = tried["what_if"], tried["what_if_tokens"]
    count = int((ending == curves.DIVERGED).sum())
    curve = curves.incidence(tokens, ending, curves.last_compared(tokens, ending, limit))
    distance = curve.median() if curve else Interval(None, None, None)
    return WhatIfEstimate(n, Outcomes(count, count / n, *wilson(count, n)), distance)


def _kl(rows: Rows, control: Rows | None, name: str) -> SweepKl | None:
    """Mean KL over all positions of all prompts; None where no position has one."""
    measured = rows[rows[f"{name}_steps"] > 0]
    if not len(measured):
        return None
    steps = measured[f"{name}_steps"].astype(np.float64)
    mean, error = clustered_ratio(measured[name], steps)
    floor = None if control is None else _kl(control, None, name)
    multiple = mean / floor.mean if floor is not None and floor.mean else None
    return SweepKl(mean, error, int(steps.sum()), len(measured), multiple)


def _who_what_bench(rows: Rows) -> WhoWhatBench | None:
    if not len(rows):
        return None
    fdt, length = float(rows["fdt"].mean()), float(rows["reference_tokens"].mean())
    sdt, sdt_norm = float(rows["sdt"].mean()), float(rows["sdt_norm"].mean())
    return WhoWhatBench(fdt, fdt / length if length else 0.0, sdt, sdt_norm)


def _task(rows: Rows, margin_pp: float) -> TaskResult | None:
    both = rows[(rows["correct"] >= 0) & (rows["reference_correct"] >= 0)]
    here, there = both["correct"] == 1, both["reference_correct"] == 1
    norm = None
    if len(both) and (both["correct_norm"] >= 0).all():
        norm = tuple(
            int((both[name] == 1).sum()) for name in ("correct_norm", "reference_correct_norm")
        )
    return task_result(
        n=len(both),
        right=int(here.sum()),
        gained=int((here & ~there).sum()),
        lost=int((there & ~here).sum()),
        norm=(norm[0], norm[1]) if norm else None,
        margin_pp=margin_pp,
    )


def paired_differences(
    model: str, functions: Mapping[str, Rows], limit: int
) -> tuple[PairedDifference, ...]:
    """Of each two functions, how many tokens later the first parts from the reference.

    Over the prompts where both are known up to `limit`; a pair that never diverges counts as
    `limit`, as in the restricted mean.
    """
    named = [(name, *_tokens_before(rows, limit)) for name, rows in functions.items()]
    found = []
    for place, (name, numbers, tokens) in enumerate(named):
        for other, other_numbers, other_tokens in named[place + 1 :]:
            _, mine, others = np.intersect1d(numbers, other_numbers, return_indices=True)
            difference = bootstrap_mean(tokens[mine] - other_tokens[others])
            found.append(PairedDifference(model, name, other, difference))
    return tuple(found)


def _tokens_before(rows: Rows, limit: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Numbers of prompts, and tokens before divergence up to `limit`, where both are known."""
    ending, compared = rows["ending"], rows["compared"]
    tokens = np.where(ending == curves.IDENTICAL, limit, np.minimum(compared, limit))
    known = (ending != curves.CENSORED) | (compared >= limit)
    return rows["number"][known], tokens[known].astype(np.float64)
