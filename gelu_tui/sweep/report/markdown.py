"""A sweep as a Markdown report."""

from __future__ import annotations

from gelu_tui.core.reports import markdown as m
from gelu_tui.sweep.document import SweepDocument
from gelu_tui.sweep.report.outline import footing_lines, heading, opening_lines, sections
from gelu_tui.sweep.report.tables import ReportTable


def sweep_markdown(document: SweepDocument) -> str:
    """The same tables and sentences as the text report has."""
    parts = [f"# {m.escaped(heading(document))}"]
    parts += [f"**{m.with_code(line)}**" for line in opening_lines(document)]
    parts.append("\n".join(f"- {m.with_code(line)}" for line in document.summary))
    for section in sections(document):
        parts.append(f"## {m.escaped(section.title)}")
        parts += [part for table in section.tables for part in _table(table)]
        parts += map(m.escaped, section.lines)
    parts += ["## Settings", *map(m.escaped, footing_lines(document))]
    return "\n\n".join(filter(None, parts)) + "\n"


def _table(table: ReportTable) -> list[str]:
    rows = table.without_blocks
    numbers = [name for name in list(rows[0])[1:] if name not in table.left]
    return [f"### {m.escaped(table.title)}", m.table(rows, numbers), m.escaped(table.note)]
