"""The estimates of one sweep, or of two beside each other, as what Rich prints."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.text import Text

from gelu_tui.core.reports.layout import FittedTable, spaced
from gelu_tui.core.safe_text import visible_line
from gelu_tui.sweep.document import SweepDocument, SweepResult
from gelu_tui.sweep.report import figures as f
from gelu_tui.sweep.report.outline import footing_lines, sections
from gelu_tui.sweep.report.tables import WORST_TITLE, ReportTable, name_of
from gelu_tui.tui.sweep.contents import Contents


def estimates_of(document: SweepDocument) -> RenderableType:
    """All tables but that of the worst prompts, which has a part of its own."""
    parts: list[RenderableType] = []
    for section in sections(document):
        heading = Group(Text(section.title, "bold"), Rule(style="dim"))
        tables = [_table(table) for table in section.tables if table.title != WORST_TITLE]
        lines = [Text(line) for line in section.lines]
        parts += [heading, *tables, *([Group(*lines)] if lines else [])]
    parts.append(Text("\n".join(footing_lines(document)), "dim"))
    return spaced(*parts)


def _table(table: ReportTable) -> RenderableType:
    fitted = FittedTable(table.rows, left=table.left, cut=table.cut)
    note = [Text(table.note, "dim")] if table.note else []
    return Group(Text(table.title, "bold italic"), fitted, *note)


def both_estimates(one: Contents, other: Contents) -> RenderableType:
    """The estimates of two sweeps, a row of each below each other for every function."""
    found = [*_of(one, "A"), *_of(other, "B")]
    places = {name: place for place, name in enumerate((*one.compared, *other.compared))}
    found.sort(key=lambda each: (places.get(each[1].variant, 0), each[0]))
    if not found:
        return Text("No prompt is finished in either.")
    rows = [_row(name, result) for name, result in found]
    several = len({result.model for _, result in found}) > 1
    if several:
        rows = [
            {**row, "model": visible_line(result.model)}
            for row, (_, result) in zip(rows, found, strict=True)
        ]
    note = "Each against its own reference; intervals are 95 %, shares are of the prompts finished."
    heads = [Text(head_of(name, contents)) for name, contents in (("A", one), ("B", other))]
    table = FittedTable(rows, left=("sweep", "model"), cut="model" if several else None)
    return spaced(Group(*heads), Group(table, Text(note, "dim")))


def head_of(name: str, contents: Contents) -> str:
    """E.g. `A  mixed: 40 of 40 prompts, 256 tokens, demo, against gelu_approx`."""
    document = contents.document
    models = ", ".join(map(visible_line, contents.models))
    return (
        f"{name}  {visible_line(document.name)}: {document.completed:,} of {document.prompts:,} "
        f"prompts, {document.settings.max_tokens:,} tokens, {models}, against "
        f"{visible_line(document.reference)}"
    )


def _of(contents: Contents, name: str) -> Iterator[tuple[str, SweepResult]]:
    return ((name, result) for result in contents.results())


def _row(sweep: str, result: SweepResult) -> dict[str, str]:
    n = result.prompts
    formula = result.outcomes.get("formula")
    end = f"> {result.tokens:,}" if result.tokens else "–"
    return {
        "function": name_of(result),
        "sweep": sweep,
        "diverged": f.share_diverged(result),
        "formula": f.percents((formula.share if formula else 0.0,), n)[0] + " %",
        "median FDT": f.with_interval(result.median_fdt, "{:.0f}", beyond=end),
        "mean KL": f.kl_words(result.kl),
    }
