"""A sweep as one HTML page: what was found, curves, tables, and forks of the worst prompts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

from gelu_tui.core.errors import GeluError
from gelu_tui.core.reports import terminal
from gelu_tui.core.reports.html.comparison import fork_parts
from gelu_tui.core.reports.html.curves import DASHES
from gelu_tui.core.reports.html.page import (
    element,
    escaped,
    fragment,
    page,
    section,
    table,
    words,
    words_with_code,
)
from gelu_tui.core.reports.what_if_sentences import what_if_sentence
from gelu_tui.core.runs.document import ComparisonDocument, VariantDocument
from gelu_tui.sweep.document import SweepDocument, SweepResult, WorstPrompt
from gelu_tui.sweep.report.charts import incidence_chart, kl_chart
from gelu_tui.sweep.report.outline import (
    Section,
    footing_lines,
    heading,
    opening_lines,
    sections,
)
from gelu_tui.sweep.report.tables import INCIDENCE, KL, WORST, ReportTable, name_of

Run = Callable[[str], ComparisonDocument]

_BANDS = "A band is the pointwise 95 % interval of its curve."
_BEFORE, _AFTER = 24, 12  # tokens around a fork


def sweep_page(document: SweepDocument, run: Run | None = None) -> str:
    """One file that shows a sweep and needs nothing else; `run` loads a run by its id."""
    return page(f"gelu-tui sweep: {document.name[:80]}", sweep_fragment(document, run))


def sweep_fragment(document: SweepDocument, run: Run | None = None) -> str:
    """The same as a part of another page."""
    names = [*(function.name for function in document.functions), *document.settings.yardsticks]
    colours = {name: place for place, name in enumerate(names)}
    found = sections(document)
    return fragment(
        words("h1", heading(document)),
        words("p", document.created, class_="quiet"),
        *(words_with_code("p", line, class_="error") for line in opening_lines(document)),
        *(words_with_code("p", sentence, class_="lead") for sentence in document.summary),
        *(_section(each, document, colours) for each in found),
        *(_forks(each.results, run, colours) for each in found if run is not None),
        section(
            "Settings", *(words("p", line, class_="quiet") for line in footing_lines(document))
        ),
    )


def _section(each: Section, document: SweepDocument, colours: Mapping[str, int]) -> str:
    tokens = document.settings.max_tokens
    parts = []
    for made in each.tables:
        drawn = ""
        if made.title == INCIDENCE:
            drawn = incidence_chart(each.results, colours, tokens)
            drawn += words("p", _BANDS, class_="quiet") * bool(drawn)
        elif made.title == KL:
            drawn = kl_chart(each.results, colours)
        parts += [words("h3", made.title), drawn, *_table(made)]
    lines = [words("p", line) for line in each.lines]
    content = "\n".join(filter(None, (*parts, *lines)))
    return element("section", f"{words('h2', each.title)}\n{content}")


def _table(made: ReportTable) -> list[str]:
    drawn = table(made.without_blocks, left=made.left)
    return [drawn, words("p", made.note, class_="quiet") if made.note else ""]


def _forks(results: Sequence[SweepResult], run: Run, colours: Mapping[str, int]) -> str:
    """The first of each function's worst prompts: the text around the fork, and both sides."""
    parts: list[str] = []
    for result in results:
        # A run has the forks on its own model only.
        for worst in result.worst[:WORST] if result.reference_model is None else ():
            parts += _fork(result, worst, run, colours)
    return section("Forks of the prompts that diverge first", *parts)


def _fork(
    result: SweepResult, worst: WorstPrompt, run: Run, colours: Mapping[str, int]
) -> list[str]:
    try:
        document = run(worst.run)
    except GeluError:  # it was lost or deleted: the table still has its figures
        return []
    variant = next((v for v in document.variants if v.name == result.variant), None)
    if variant is None or variant.first_divergent_token is None:
        return []
    step, reference = variant.first_divergent_token, document.reference_variant
    sides = "".join(_excerpt(side, step, colours) for side in (reference, variant))
    fork = variant.fork
    return [
        words("h3", f"{name_of(result)}, {worst.id}: {worst.verdict} at token {step:,}"),
        element("div", escaped(document.prompt), class_="given", dir="auto"),
        element("div", sides, class_="streams"),
        *(fork_parts(fork, reference.name, variant.name) if fork is not None else []),
        *(words("p", said) for said in filter(None, [what_if_sentence(document, variant)])),
        words("p", f"gelu-tui show {worst.run}", class_="quiet"),
    ]


def _excerpt(variant: VariantDocument, step: int, colours: Mapping[str, int]) -> str:
    """The text of a stream around a step, whose token is marked."""
    texts = [each.text for each in itertools.islice(variant.steps, step + _AFTER)]
    start = max(0, step - _BEFORE)
    before = ("…" if start else "") + "".join(texts[start:step])
    after = "".join(texts[step + 1 :]) + ("…" if len(variant.steps) > step + _AFTER else "")
    shown = element("span", escaped(before), class_="shared") if before else ""
    shown += element("mark", escaped(terminal.fork_text(variant, step))) + escaped(after)
    return element(
        "article",
        words("h3", variant.name) + element("div", shown, dir="auto"),
        class_=f"stream c{colours.get(variant.name, 0) % len(DASHES)}",
    )
