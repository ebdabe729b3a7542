"""Yardsticks: changes of a model whose size people know, to hold functions against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gelu_tui.core.errors import UsageError
from gelu_tui.core.settings.validation import shown, suggestion

# In the words of reports: "1/1,300 of what 8-bit weights do".
YARDSTICKS: Mapping[str, str] = {
    "q8": "8-bit weights",
    "q4": "4-bit weights",
    "bf16": "bfloat16 arithmetic",
    "embed-scale": "the other rounding of the embedding scale",
    "again": "another order of operations",
}


def parse_yardsticks(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the names in comma-separated texts, each once. Raises `UsageError`."""
    named = [name.strip().lower() for text in texts for name in text.split(",")]
    names = tuple(dict.fromkeys(filter(None, named)))
    for name in names:
        if name not in YARDSTICKS:
            known = f"Known are {', '.join(YARDSTICKS)}."
            hint = f"{suggestion(name, YARDSTICKS)} {known}".strip()
            raise UsageError(f"There is no yardstick '{shown(name)}'.", hint, kind="yardsticks")
    return names
