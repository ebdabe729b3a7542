"""The text report of a sweep, readable at 80 columns."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Column, Table
from rich.text import Text

from gelu_tui.core.reports.layout import FittedTable, spaced
from gelu_tui.core.safe_text import visible_line
from gelu_tui.sweep.document import SweepDocument
from gelu_tui.sweep.report.outline import Section, footing_lines, opening_lines, sections
from gelu_tui.sweep.report.tables import ReportTable


def sweep_report(document: SweepDocument) -> RenderableType:
    """What was found in sentences, then each model's tables, failures, and how it was computed."""
    opening = [Text(line, style="bold") for line in opening_lines(document)]
    summary = Table.grid(Column(no_wrap=True), Column(overflow="fold"), padding=(0, 1, 0, 0))
    for line in document.summary:
        summary.add_row("·", Text(visible_line(line)))
    parts = [part for section in sections(document) for part in _section(section)]
    footing = Text("\n".join(footing_lines(document)), style="dim")
    return spaced(*opening, *([summary] if document.summary else []), *parts, footing)


def _section(section: Section) -> list[RenderableType]:
    heading = Group(Text(section.title, style="bold"), Rule(style="dim"))  # a rule cuts its title
    lines = [Group(*map(Text, section.lines))] if section.lines else []
    return [heading, *map(_table, section.tables), *lines]


def _table(table: ReportTable) -> RenderableType:
    title = Text(table.title, style="bold italic")
    fitted = FittedTable(table.rows, left=table.left, cut=table.cut)
    return Group(title, fitted, *([Text(table.note, style="dim")] if table.note else []))
