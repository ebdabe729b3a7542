"""A saved run in a few lines."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size
from textual.content import Content

from gelu_tui.core.comparison.standing import FINISH
from gelu_tui.core.reports.terminal import FORK_LEFT as FORK_MARK
from gelu_tui.core.runs.document import ComparisonDocument, VariantDocument
from gelu_tui.core.runs.history import local_time
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.settings.run_settings import short_sampling
from gelu_tui.sweep.store import SweepStore

_PROMPT_ROWS = 3
_SLACK = 10  # cells that rows lose where words are kept whole


def preview(run: int, document: ComparisonDocument, width: int) -> Content:
    """Return prompt, where each stream diverges, its first words, and how the run was made."""
    name_width = min(24, max(len(variant.name) for variant in document.variants))
    model, settings = document.model, document.settings
    how = (
        f"run {run} · {local_time(document.created)} · {model.id} · {model.dtype}",
        settings.schedule,
        "chat" if settings.chat else "raw prompt",
        short_sampling(settings),
        f"{settings.max_tokens} tokens at most",
    )
    prompt = visible_line(document.prompt)
    if cell_len(prompt) > _PROMPT_ROWS * width:
        prompt = f"{set_cell_size(prompt, _PROMPT_ROWS * width - _SLACK)}…"
    lines = [Content.styled(prompt, "bold")]
    standings = [document.standing(variant) for variant in document.variants]
    standing_width = max(len(standing.long) for standing in standings)
    for variant, standing in zip(document.variants, standings, strict=True):
        style = "bold" if standing.relation == "diverged" else "dim"
        line = Content.assemble(
            f"{visible_line(variant.name)[:name_width]:<{name_width}}  ",
            (f"{standing.long:<{standing_width}}  ", style),
            (_first_words(variant), "dim"),
        )
        lines.append(line.truncate(width, ellipsis=True))
    last = Content.styled(visible_line(" · ".join(filter(None, how))), "dim")
    lines.append(last.truncate(width, ellipsis=True))
    if document.error is not None:
        lines.append(Content(visible_line(f"✗ {document.error.message}")))
    return Content("\n").join(lines)


def sweep_preview(store: SweepStore) -> Content:
    """Return what a sweep consists of, and how far it is."""
    header = store.header
    settings = header.settings
    count = store.count()
    total = header.prompts.count * len(header.models)
    names = ", ".join(f.name for f in header.functions if f.name != header.reference)
    how = (
        f"sweep {store.id}",
        local_time(header.created),
        ", ".join(header.models),
        f"{settings.max_tokens} tokens at most",
        short_sampling(settings),
    )
    done = f"{count.completed:,} of {total:,} prompts are finished"
    failed = f", {count.failed:,} failed" if count.failed else ""
    lines = (
        Content.styled(visible_line(header.name), "bold"),
        Content(visible_line(f"{header.reference} against {names}")),
        Content(f"{done}{failed}."),
        Content.styled(visible_line(" · ".join(filter(None, how))), "dim"),
    )
    return Content("\n").join(lines)


def _first_words(variant: VariantDocument) -> str:
    """The beginning, or from a little before the first divergent token: that is what differs."""
    fork = variant.first_divergent_token
    if fork is None:
        return visible_line(variant.text[:300])
    start = max(0, fork - 5)
    texts = [step.text for step in variant.steps[: fork + 80]]
    before, after = "".join(texts[start:fork]), "".join(texts[fork:])
    after = visible_line(after) or FINISH[variant.finish_reason][0]
    return f"{'…' * (start > 0)}{visible_line(before)}{FORK_MARK}{after}"
