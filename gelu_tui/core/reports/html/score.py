"""A scoring as HTML: its tables, and the percentiles of KL as curves."""

from __future__ import annotations

from gelu_tui.core.comparison.standing import STATUS
from gelu_tui.core.reports.html.curves import Curve, chart
from gelu_tui.core.reports.html.page import (
    element,
    error_words,
    escaped,
    fragment,
    page,
    section,
    table,
    words,
)
from gelu_tui.core.reports.html.scale import scale
from gelu_tui.core.reports.html.scored_text import scored_text
from gelu_tui.core.reports.scale import marks_of
from gelu_tui.core.reports.score import score_footing, score_sentences, score_tables
from gelu_tui.core.scoring.document import ScoreDocument

_PERCENTILES = {"median": "median", "p90": "90 %", "p95": "95 %", "p99": "99 %",
                "p99_9": "99.9 %", "max": "max"}  # fmt: skip


def score_page(document: ScoreDocument) -> str:
    """One file that shows a scoring and needs nothing else."""
    return page(f"gelu-tui score: {document.source.name[:80]}", score_fragment(document))


def score_fragment(document: ScoreDocument) -> str:
    """The same as a part of another page."""
    count = len(document.variants)
    tables = (table(each.rows, each.left, each.footer) for each in score_tables(document))
    when = f"{STATUS[document.status].capitalize()}; {document.created}"
    footing = "<br>".join(escaped(line) for line in score_footing(document))
    return fragment(
        words("h1", f"{count} activation function{'s' * (count > 1)}, one text"),
        words("p", when, class_="quiet"),
        error_words(document.error),
        section("Beside what people know", *scale(marks_of(document))),
        section("Figures", *tables),
        section("Percentiles of KL", _percentiles(document)),
        section("The text in colour", *scored_text(document)),
        section("Notes", *(words("p", sentence) for sentence in score_sentences(document))),
        element("p", footing, class_="quiet"),
    )


def _percentiles(document: ScoreDocument) -> str:
    curves, floor = [], None
    for number, variant in enumerate(document.variants):
        if (kl := variant.kl) is not None:
            points = [(i, getattr(kl, name)) for i, name in enumerate(_PERCENTILES)]
            curves.append(Curve(variant.name, number, [(float(i), y) for i, y in points]))
            floor = kl.mean if variant.control else floor
    ticks = {float(i): name for i, name in enumerate(_PERCENTILES.values())}
    return chart(curves, axis="share of the positions with at most this KL, in nats", ticks=ticks,
                 floor=floor)  # fmt: skip
