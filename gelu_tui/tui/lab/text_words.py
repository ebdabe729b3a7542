"""The short texts of the screen of a text in colour, as pure functions."""

from __future__ import annotations

import math

from rich.cells import cell_len
from textual.content import Content

from gelu_tui.core.comparison.fork_sentences import percent, visible_token
from gelu_tui.core.comparison.standing import STATUS, count_tokens
from gelu_tui.core.reports.numbers import number
from gelu_tui.core.reports.progress import duration
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.scoring.measures import MEASURE_NAMES, Bounds, Measure, legend
from gelu_tui.tui.compare import labels
from gelu_tui.tui.compare.plain_rows import Part
from gelu_tui.tui.lab.text_pane import style_name
from gelu_tui.tui.lab.text_scoring import ShownText

NO_TOKEN = "← → point at a token, . and , go through the worst; Enter shows its candidates"


def title(shown: ShownText) -> Content:
    """What is read, and by which model."""
    source = shown.source
    kind = "run " if source.kind == "run" else ""
    model = shown.settings.model if shown.loaded is None else shown.loaded.model.id
    parts = [f"{kind}{visible_line(source.name)}"]
    if shown.state is not None:
        parts.append(count_tokens(shown.state.started.tokens))
    parts.append(visible_line(model.rstrip("/").rpartition("/")[2]))
    return Content.assemble(("Text in colour", "bold"), "  ", " · ".join(parts))


def progress(shown: ShownText) -> Content:
    """How far it is, or how it has ended."""
    if shown.is_live:
        if shown.progress is None and shown.state is None:
            return Content("Waiting for the engine…")
        if shown.progress is not None and shown.progress.phase != "score":
            return Content(labels.progress(shown.progress))
        assert shown.state is not None or shown.progress is not None
        done = shown.state.positions if shown.state is not None else 0
        total = shown.state.started.positions if shown.state is not None else 0
        rate = shown.progress.rate if shown.progress is not None else 0.0
        share = done / total if total else 0.0
        said = f"Scoring  {'█' * round(share * 10):░<10} {share:.0%}  {done:,} of {total:,} tokens"
        if rate > 0:
            left = (total - done) / rate
            said += f"  {rate:.0f} tok/s, about {duration(left)} left"
        return Content(said)
    status = STATUS[shown.status or "completed"]
    said = status.capitalize()
    if shown.state is not None:
        started, done = shown.state.started, shown.state.positions
        if shown.status != "completed":
            said += f" after {done:,} of {started.positions:,} tokens; what is scored stays"
        else:
            windows = f"{started.windows} window{'s' * (started.windows != 1)}"
            said += f": {done:,} tokens in {windows} of at most {started.context}"
        reference = visible_line(started.variants[started.reference].name)
        said += f" · against {reference}"
    return Content(said)


def legend_parts(
    name: str, measure: Measure, bounds: Bounds, width: int, *, relative: bool
) -> list[Part]:
    """What the colours mean: the longest form that fits, in the styles themselves."""
    scale = " (own scale)" if relative else ""
    titles = (
        f"{visible_line(name)}: {MEASURE_NAMES[measure]}{scale}",
        f"{visible_line(name)}: {'Δp' if measure == 'delta_p' else MEASURE_NAMES[measure]}",
        "",
    )
    meanings = legend(measure, bounds)
    signed = measure == "delta_p"
    found: list[Part] = []
    for words, gap in zip(titles, ("  ", " ", " "), strict=True):
        found = [(words, "")] if words else []
        for place, meaning in enumerate(meanings):
            level = place if measure != "top" else 4 * place
            found += [(gap, "")] if found else []
            found.append((f" {meaning} ", f"level{level}" if level else ""))
        if signed:
            found += [(gap, ""), (" gains ", style_name(2, signed))]
        if sum(cell_len(text) for text, _ in found) <= width:
            break
    return found


def token_words(shown: ShownText, token: int, variant: int) -> Content:
    """What is known of one token, the most important first."""
    scoring = shown.state
    if scoring is None or not 0 <= token < shown.tokens:
        return Content("")
    started, text = scoring.started, scoring.text
    piece = visible_token(text.texts[token], text.ids[token])
    head = (f"{token:,} ‘{piece}’", "bold")
    of_reference = shown.figures(token, started.reference)
    found = shown.figures(token, variant)
    parts, chances = [], []
    if of_reference.logprob is None:
        parts.append("not predicted: nothing is before it in its window")
    else:
        reference = visible_line(started.variants[started.reference].name)
        chances.append(f"{reference} {_percent(of_reference.logprob)}")
    if variant != started.reference and found.logprob is not None:
        name = visible_line(started.variants[variant].name)
        parts += [
            f"KL {number('{:.2e}', found.kl)}",
            f"Δp {number('{:+.3g}', found.delta_p)} pp",
            "same top-1" if found.same_top_1 else "other top-1",
        ]
        chances.append(f"{name} {_percent(found.logprob)}")
    parts += [*chances, f"id {text.ids[token]}"]
    return Content.assemble(head, " · ", " · ".join(parts))


def _percent(logprob: float) -> str:
    return percent(math.exp(min(0.0, logprob)))
