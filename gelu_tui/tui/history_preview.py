"""A saved run in a few lines, for whoever looks for one."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size
from textual.content import Content

from gelu_tui.core.comparison import Comparison, Stream
from gelu_tui.core.document import ComparisonDocument
from gelu_tui.core.history import local_time
from gelu_tui.core.report import FORK_LEFT as FORK_MARK
from gelu_tui.core.restore import restore
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.settings.run_settings import short_sampling

_PROMPT_ROWS = 3
_SLACK = 10  # cells that rows lose where words are kept whole


def preview(run: int, document: ComparisonDocument, width: int) -> Content:
    """A saved run in a few lines: prompt, where each stream diverges, its first words."""
    comparison = restore(document)
    name_width = min(24, max(len(stream.name) for stream in comparison.streams))
    model, settings = document.model, document.settings
    drawn = short_sampling(settings)
    how = (
        f"run {run} · {local_time(document.created)} · {model.id} · {model.dtype} · "
        f"{settings.schedule} · {'chat' if settings.chat else 'raw prompt'} · "
        f"{f'{drawn} · ' if drawn else ''}{settings.max_tokens} tokens at most"
    )
    prompt = visible_line(document.prompt)
    if cell_len(prompt) > _PROMPT_ROWS * width:
        prompt = f"{set_cell_size(prompt, _PROMPT_ROWS * width - _SLACK)}…"
    lines = [Content.styled(prompt, "bold")]
    for stream in comparison.streams:
        name = visible_line(stream.name)
        line = Content.assemble(
            f"{name[:name_width]:<{name_width}}  ",
            (f"{_stands(comparison, stream):<14}", "bold" if _diverges(stream) else "dim"),
            (_first_words(stream), "dim"),
        )
        lines.append(line.truncate(width, ellipsis=True))
    lines.append(Content.styled(visible_line(how), "dim").truncate(width, ellipsis=True))
    if document.error is not None:
        lines.append(Content(visible_line(f"✗ {document.error.message}")))
    return Content("\n").join(lines)


def _diverges(stream: Stream) -> bool:
    return stream.first_divergent_token is not None


def _stands(comparison: Comparison, stream: Stream) -> str:
    if stream is comparison.reference:
        return "= reference"
    if (fork := stream.first_divergent_token) is not None:
        return f"{FORK_MARK} at {fork}"
    return f"= for {min(len(stream.tokens), len(comparison.reference.tokens))}"


def _first_words(stream: Stream) -> str:
    """The beginning, or from a little before the first divergent token: that is what differs."""
    fork = stream.first_divergent_token
    segments = stream.segments
    if fork is None:
        return visible_line(stream.text[:300])
    start = max(0, fork - 5)
    before, after = "".join(segments[start:fork]), "".join(segments[fork : fork + 80])
    return f"{'…' * (start > 0)}{visible_line(before)}{FORK_MARK}{visible_line(after) or 'end'}"
