"""Which layer does it, as HTML: the tables, and the KL of every swap over the layers."""

from __future__ import annotations

from gelu_tui.core.comparison.standing import STATUS
from gelu_tui.core.lab.layers import LayersDocument
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
from gelu_tui.core.reports.layers import (
    has_kinds,
    layers_footing,
    layers_notes,
    layers_table,
    place_of,
    summary,
    variant_sentences,
)


def layers_page(document: LayersDocument) -> str:
    """One file that shows a measurement and needs nothing else."""
    title = f"gelu-tui layers: {document.source.name[:80]}"
    return page(title, layers_fragment(document))


def layers_fragment(document: LayersDocument) -> str:
    """The same as a part of another page."""
    when = f"{STATUS[document.status].capitalize()}; {document.created}"
    footing = "<br>".join(escaped(line) for line in layers_footing(document))
    sections = []
    for variant in document.variants:
        figures = layers_table(variant) if variant.layers else None
        sections.append(
            section(
                f"{variant.variant} against {document.reference}",
                words("p", summary(variant, document.reference)),
                table(figures.rows, figures.left) if figures else "",
                *(words("p", sentence) for sentence in variant_sentences(variant)),
            )
        )
    return fragment(
        words("h1", "Which layer does it"),
        words("p", when, class_="quiet"),
        error_words(document.error),
        section("KL of each layer's swap", _chart(document)),
        *sections,
        section("Notes", *(words("p", sentence) for sentence in layers_notes(document))),
        element("p", footing, class_="quiet"),
    )


def _chart(document: LayersDocument) -> str:
    shown = [variant for variant in document.variants if variant.layers]
    if not shown:
        return ""
    curves = []
    for number, variant in enumerate(shown):
        points = [(float(i), layer.noising.kl) for i, layer in enumerate(variant.layers)]
        curves.append(Curve(variant.variant, number % 8, points))
    layers, kinds = shown[0].layers, has_kinds(shown[0])
    every = max(1, len(layers) // 20)
    ticks = {
        float(i): str(layer.layer) if not kinds else place_of(layer, kinds=kinds)[:6]
        for i, layer in enumerate(layers)
        if i % every == 0
    }
    return chart(curves, axis="layer that alone has the variant", ticks=ticks)
