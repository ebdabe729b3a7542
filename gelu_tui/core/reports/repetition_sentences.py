"""Which streams of a comparison repeat themselves, in sentences."""

from __future__ import annotations

from gelu_tui.core.comparison.repetition import Repetition
from gelu_tui.core.comparison.standing import count_tokens
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.safe_text import visible_line


def repetition_sentences(document: ComparisonDocument) -> list[str]:
    """A sentence for each repetition, with the streams that are in it."""
    found: dict[Repetition, list[str]] = {}
    for variant in document.variants:
        if variant.repeats is not None:
            found.setdefault(variant.repeats, []).append(visible_line(variant.name))
    return [_sentence(repeats, names) for repeats, names in found.items()]


def _sentence(repeats: Repetition, names: list[str]) -> str:
    *first, last = names
    who = f"{', '.join(first)} and {last} repeat themselves" if first else f"{last} repeats itself"
    what = "token" if repeats.period == 1 else count_tokens(repeats.period)
    return f"{who} from token {repeats.start} on: the same {what} over and over."
