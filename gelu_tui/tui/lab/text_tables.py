"""The tables beside a text in colour: all functions, and the tokens that differ most."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from textual.binding import Binding
from textual.content import Content

from gelu_tui.core.comparison.fork_sentences import visible_token
from gelu_tui.core.comparison.noise import times
from gelu_tui.core.reports.history_table import GAP, cut, cut_start
from gelu_tui.core.reports.numbers import number, with_error
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.scoring.document import KlStatistics, ScoreDocument, ScoredVariant
from gelu_tui.core.scoring.measures import Measure
from gelu_tui.tui.lab.text_scoring import ShownText
from gelu_tui.tui.widgets.list_table import ListTable

REFERENCE_MARK = "◆"
_WITH_ERRORS = 98  # columns from which every figure has its error beside it
_NAME = (12, 26)
_BEFORE = 12  # tokens before one of the worst, to know it by


@dataclass(frozen=True)
class FunctionRow:
    """A function's statistics; `id` is its index."""

    id: int
    variant: ScoredVariant
    clustered: bool
    is_reference: bool


class FunctionsTable(ListTable[FunctionRow]):
    """All functions with their statistics; the one under the cursor colours the text."""

    BINDINGS: ClassVar = [*ListTable.MOVING]

    def show(self, document: ScoreDocument, row: int) -> None:
        """Show the functions of a scoring, with the cursor on one."""
        items = [
            FunctionRow(i, v, bool(document.clusters), v.name == document.reference)
            for i, v in enumerate(document.variants)
        ]
        if items != list(self.items):
            self.items = items
            self.fill(row)

    def fitting(self, width: int) -> Mapping[str, int]:
        if width >= _WITH_ERRORS:
            others = {"mean KL": 19, "× floor": 9, "same top-1 %": 14, "mean Δp": 9,
                      "ln PPL ratio": 19}  # fmt: skip
        elif width >= 70:
            others = {"mean KL": 17, "× floor": 9, "top-1 %": 7, "Δp pp": 8, "ln PPL": 8}
        else:
            others = {"mean KL": 9, "× floor": 9, "top-1 %": 7, "Δp pp": 8}
        widths = {name: size + GAP for name, size in others.items()}
        room = width - sum(widths.values()) - GAP
        return {"function": max(_NAME[0], min(_NAME[1], room)) + GAP, **widths}

    def cells(self, item: FunctionRow, widths: Mapping[str, int]) -> Iterator[Content]:
        v, texts = item.variant, self._texts(item, widths)
        mark = f" {REFERENCE_MARK}" if item.is_reference else ""
        name = cut(visible_line(v.name), widths["function"] - GAP - len(mark)) + mark
        yield Content.styled(name, "bold" if item.is_reference else "")
        for title, width in list(widths.items())[1:]:
            yield Content(cut(texts[title], width - GAP))

    def _texts(self, item: FunctionRow, widths: Mapping[str, int]) -> dict[str, str]:
        v = item.variant
        if v.error is not None:
            failed = dict.fromkeys(widths, "–")
            return {**failed, "mean KL": "failed"}
        if item.is_reference:
            return {**dict.fromkeys(widths, ""), "mean KL": "reference"}
        kl, of_kl, of_top, of_ratio = v.kl, *self._errors(item)
        wide = widths.get("ln PPL ratio") is not None
        mean = None if kl is None else kl.mean
        short = widths["mean KL"] < 12
        return {
            "mean KL": with_error(mean, None if short else of_kl, "{:.2e}", "{:.0e}"),
            "× floor": "–" if v.times_noise_floor is None else times(v.times_noise_floor),
            "same top-1 %": with_error(v.same_top_1, of_top, "{:.2f}", "{:.2f}"),
            "top-1 %": number("{:.2f}", v.same_top_1),
            "mean Δp": number("{:+.4f}", v.delta_p.mean if v.delta_p else None),
            "Δp pp": number("{:+.3f}", v.delta_p.mean if v.delta_p else None),
            "ln PPL": number("{:+.1e}", v.ln_ppl_ratio),
            "ln PPL ratio": with_error(v.ln_ppl_ratio, of_ratio if wide else None, "{:+.2e}",
                                       "{:.0e}"),
        }  # fmt: skip

    @staticmethod
    def _errors(item: FunctionRow) -> tuple[float | None, float | None, float | None]:
        v = item.variant
        if item.clustered:
            of_kl = v.kl.clustered_se if v.kl else None
            return of_kl, v.same_top_1_clustered_se, v.ln_ppl_ratio_clustered_se
        return v.kl.se if v.kl else None, v.same_top_1_se, v.ln_ppl_ratio_se


def percentiles(kl: KlStatistics, width: int) -> str:
    """The percentiles of KL in one row, as many as fit."""
    names = {"median": "median", "90 %": "p90", "95 %": "p95", "99 %": "p99", "99.9 %": "p99_9",
             "max": "max"}  # fmt: skip
    parts = [f"{name} {number('{:.1e}', getattr(kl, field))}" for name, field in names.items()]
    for kept in (parts, [p for p in parts if not p.startswith(("95", "99.9"))], parts[::5]):
        line = f"KL: {' · '.join(kept)}"
        if len(line) <= width:
            break
    return line


@dataclass(frozen=True)
class WorstRow:
    """A token that differs much; `id` is its place in the text."""

    id: int
    rank: int
    before: str
    token: str
    value: str


class WorstTable(ListTable[WorstRow]):
    """The tokens of the largest values; the text goes to the one under the cursor."""

    BINDINGS: ClassVar = [
        Binding("enter", "screen.candidates", "The candidates of this token"),
        *ListTable.MOVING,
    ]
    _measure: Measure = "kl"

    def show(self, shown: ShownText, variant: int, measure: Measure, tokens: list[int]) -> None:
        """Show these tokens, the largest value first."""
        rows = [_worst(shown, variant, measure, *each) for each in enumerate(tokens, 1)]
        if rows != list(self.items) or measure != self._measure:
            at = self.chosen
            self.items, self._measure = rows, measure
            places = {row.id: place for place, row in enumerate(rows)}
            # At the top until somebody moves in it: the first ones sink while more are scored.
            self.fill(places.get(at.id, 0) if at is not None and self.has_focus else 0)

    def fitting(self, width: int) -> Mapping[str, int]:
        value = {"kl": "KL nats", "delta_p": "Δp pp", "top": "KL nats"}[self._measure]
        widths = {"#": 3 + GAP, value: 9 + GAP, "token": 7 + GAP}
        return {**widths, "text": max(8, width - sum(widths.values()))}

    def cells(self, item: WorstRow, widths: Mapping[str, int]) -> Iterator[Content]:
        for text, width in zip((str(item.rank), item.value, f"{item.id:,}"), widths.values(),
                               strict=False):  # fmt: skip
            yield Content(text.rjust(width - GAP))
        room = widths["text"]
        token = f"►{item.token}◄"
        token = cut(token, room) if cell_len(token) > room else token
        left = room - cell_len(token)
        before = item.before if cell_len(item.before) <= left else ""
        if item.before and not before and left > 1:
            before = cut_start(item.before, left)
        yield Content.assemble((before, "dim"), (token, "bold"))


def _worst(shown: ShownText, variant: int, measure: Measure, rank: int, token: int) -> WorstRow:
    assert shown.state is not None
    text, figures = shown.state.text, shown.figures(token, variant)
    before = visible_line("".join(text.texts[max(0, token - _BEFORE) : token]))
    value = number("{:.2e}", figures.kl)
    if measure == "delta_p":
        value = number("{:+.2f}", figures.delta_p)
    return WorstRow(token, rank, before, visible_token(text.texts[token], text.ids[token]), value)
