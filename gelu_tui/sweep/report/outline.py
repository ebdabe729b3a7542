"""What the report of a sweep says, in which order: the same for text, Markdown and HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from gelu_tui.core.comparison.standing import count_tokens
from gelu_tui.core.reports.terminal import (
    PRECISIONS,
    model_words,
    self_check_sentence,
    sites_sentence,
)
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.settings.run_settings import sampling_words
from gelu_tui.sweep.document import SweepDocument, SweepResult
from gelu_tui.sweep.outcomes import FailedPrompt
from gelu_tui.sweep.report.tables import ReportTable, differences_tables, model_tables

_FAILURES = 5  # shown in full


@dataclass(frozen=True)
class Section:
    """A heading, its tables, and lines of text below them; `results` are what the tables show."""

    title: str
    tables: Sequence[ReportTable] = ()
    lines: Sequence[str] = ()
    results: Sequence[SweepResult] = ()


def heading(document: SweepDocument) -> str:
    """What was compared, for the title of a page."""
    functions, models = len(document.functions), len(document.models)
    several = f", {models} models" if models > 1 else ""
    counted = f"{document.prompts:,} prompt{'s' * (document.prompts != 1)}"
    named = f"{visible_line(document.name)}: " if document.name else ""
    return f"{named}{functions} activation functions, {counted}{several}"


def sections(document: SweepDocument) -> list[Section]:
    """The parts of a report between its summary and its footing."""
    made = []
    known = [result for result in document.results if result.prompts]
    for (model, other), group in groupby(known, lambda r: (r.model, r.reference_model)):
        results = list(group)
        title = f"{visible_line(model)}, against {visible_line(results[0].reference)}"
        if other is not None:
            title = f"{visible_line(model)}, each function against itself on {visible_line(other)}"
        made.append(Section(title, model_tables(document, results), results=results))
    if differences := differences_tables(document):
        made.append(Section("One function against another", differences))
    if document.failed:
        made.append(Section("Prompts that failed", lines=failure_lines(document)))
    return made


def opening_lines(document: SweepDocument) -> list[str]:
    """What went wrong, and whether there is more to come; the summary has the numbers."""
    lines = []
    if document.error is not None:
        lines.append(visible_line(f"{document.error.message} {document.error.hint}".strip()))
    if document.status != "completed":
        lines.append("Not finished: the same command goes on where it stopped.")
    if not document.completed:
        lines.append("No prompt is finished, so there are no figures.")
    elif not document.results:
        lines.append("There is only the reference: nothing is compared.")
    return lines


def failure_lines(document: SweepDocument) -> list[str]:
    """How many prompts failed, and the first few with their place and reason."""
    count = len(document.failed)
    several = len({failed.model for failed in document.failed}) > 1
    lines = [_failure(failed, several) for failed in document.failed[:_FAILURES]]
    total = f"{count:,} prompt{'s' * (count > 1)} failed; numbers count from 0."
    rest = [f"… and {count - _FAILURES:,} more, which --format json lists."]
    return [total, *lines, *(rest if count > _FAILURES else [])]


def _failure(failed: FailedPrompt, several: bool) -> str:
    where = f" on {visible_line(failed.model)}" if several and failed.model else ""
    name = visible_line(failed.id)
    named = f" ({name})" if name and name != str(failed.number) else ""
    return f"· number {failed.number:,}{named}{where}: {visible_line(failed.error)}"


def footing_lines(document: SweepDocument) -> list[str]:
    """The sweep, its settings, the machines and the self-check."""
    settings = document.settings
    how = [
        f"{count_tokens(settings.max_tokens)} at most",
        settings.schedule,
        f"functions computed in {PRECISIONS[settings.activation_precision]}",
        {True: "chat template", False: "raw prompts"}.get(settings.chat is True, ""),
        *sampling_words(settings),
        *(["forks not replayed"] if not settings.replay else []),
        *(["each fork tried with the reference's token"] if settings.what_if else []),
    ]
    lines = [f"Sweep {visible_line(document.id)} · {visible_line(document.created)}"]
    lines += [model_words(model) for model in document.models]
    if document.models and document.models[0].sites:
        lines.append(f"The function acts in {sites_sentence(document.models[0].sites)}.")
    lines += [" · ".join(how), *_machines(document)]
    if document.completed and not any(function.control for function in document.functions):
        lines.append("There was no control: how much rounding alone changes is not known.")
    return lines


def _machines(document: SweepDocument) -> list[str]:
    lines = []
    for machine in document.machines:
        versions = ", ".join(f"{name} {version}" for name, version in machine.versions.items())
        parts = filter(None, (machine.device, versions))
        count = f"{machine.prompts:,} prompt{'s' * (machine.prompts != 1)}"
        lines.append(visible_line(" · ".join([*parts, count])))
        if machine.self_check is not None:
            lines.append(self_check_sentence(machine.self_check))
    if document.seconds > 0 and document.tokens:
        rate = document.tokens / document.seconds
        lines.append(f"{document.tokens:,} tokens of all streams, {rate:,.1f} a second")
    return lines
