"""A model's own inputs as HTML: tables, their distribution, and the functions' KL by bin."""

from __future__ import annotations

from collections.abc import Mapping

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.standing import STATUS
from gelu_tui.core.lab.inputs import InputsDocument
from gelu_tui.core.reports.html.curves import DASHES, Curve, chart
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
from gelu_tui.core.reports.inputs import inputs_footing, inputs_sentences, inputs_tables

_SHOWN = 4  # layers, besides all of them


def inputs_page(document: InputsDocument) -> str:
    """One file that shows a model's inputs and needs nothing else."""
    return page(f"gelu-tui inputs: {document.source.name[:80]}", inputs_fragment(document))


def inputs_fragment(document: InputsDocument) -> str:
    """The same as a part of another page."""
    when = f"{STATUS[document.status].capitalize()}; {document.created}"
    footing = "<br>".join(escaped(line) for line in inputs_footing(document))
    sentences = [s for s in inputs_sentences(document) if s != document.summary]
    return fragment(
        words("h1", "The inputs of the activation"),
        words("p", document.summary) if document.summary else "",
        words("p", when, class_="quiet"),
        error_words(document.error),
        section("Distribution of the inputs", _distribution(document)),
        *(section(name, table(t.rows, t.left)) for name, t in inputs_tables(document)),
        section("KL by bin", _kl(document)),
        section("Notes", *(words("p", sentence) for sentence in sentences)),
        element("p", footing, class_="quiet"),
    )


def _distribution(document: InputsDocument) -> str:
    """Density of all inputs and of some layers, where all but a thousandth of them lie."""
    if document.all is None:
        return ""
    every = len(document.layers) - 1
    numbers = {round(every * i / max(1, _SHOWN - 1)) for i in range(_SHOWN)}
    chosen: dict[str, p.InputStatistics] = {"all": document.all}
    for site in (document.layers[number] for number in sorted(numbers)):
        chosen[f"layer {site.layer}, {site.site}"] = site
    low = min(each.quantiles["0.001"] for each in chosen.values())
    high = max(each.quantiles["0.999"] for each in chosen.values())
    curves = [
        Curve(name, colour, _density(inputs, low, high))
        for colour, (name, inputs) in enumerate(chosen.items())
    ]
    return chart(curves, axis="x", what="Inputs in 1 of x", ticks=_ticks(low, high))


def _density(
    inputs: p.InputStatistics, low: float, high: float
) -> list[tuple[float, float | None]]:
    """Share of the inputs for each 1 of x, in the middle of each bin of the histogram."""
    edges, counts = inputs.histogram.edges, inputs.histogram.counts
    bins = zip(edges, edges[1:], counts, strict=False)
    return [
        ((a + b) / 2, n / inputs.count / (b - a))
        for a, b, n in bins
        if n and low <= (a + b) / 2 <= high
    ]


def _ticks(low: float, high: float) -> Mapping[float, str]:
    marks = [low + (high - low) * eighth / 8 for eighth in range(9)]
    return {x: f"{x:.3g}".replace("-", "−") for x in marks}


def _kl(document: InputsDocument) -> str:
    curves, ticks = [], {}
    for number, f in enumerate(document.functions):
        if f.kl is not None:
            points = [(float(i), each.kl) for i, each in enumerate(f.bins)]
            curves.append(Curve(f.name, number % len(DASHES), points))
            ticks = {
                float(i): f"{each.low:.2g}…{each.high:.2g}".replace("-", "−")
                for i, each in enumerate(f.bins)
            }
    return chart(curves, axis="inputs of the bin alone, x", ticks=ticks)
