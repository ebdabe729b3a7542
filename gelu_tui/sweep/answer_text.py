"""The regular expressions of prompt files: checked, and searched for within a limit of time.

A user's pattern may need longer than the age of the universe on an ordinary text, and Python's own
`re` cannot be stopped. `regex` has the same syntax and a time limit.
"""

from __future__ import annotations

from gelu_tui.core.errors import GeluError
from gelu_tui.core.safe_text import quoted

PATTERN_LIMIT = 2_000  # characters
TEXT_LIMIT = 200_000  # characters of a stream that are searched
TIME_LIMIT_S = 2.0


def pattern_error(pattern: str) -> str:
    """Return why a regular expression cannot be used, as a clause; empty if it can."""
    import regex

    if len(pattern) > PATTERN_LIMIT:
        return f"its regular expression is longer than {PATTERN_LIMIT:,} characters"
    try:
        regex.compile(pattern)
    except (regex.error, RecursionError, OverflowError, MemoryError) as error:
        why = getattr(error, "msg", "") or "it is nested too deep"
        return f"its answer {quoted(pattern, 40)} is no regular expression: {why}"
    return ""


def is_found(pattern: str, text: str) -> bool:
    """Return whether a regular expression is found in a text. Raises `GeluError` if it is slow."""
    import regex

    try:
        found = regex.search(pattern, text[:TEXT_LIMIT], timeout=TIME_LIMIT_S)
    except TimeoutError:
        message = (
            f"The regular expression {quoted(pattern, 40)} takes longer than {TIME_LIMIT_S:g} s."
        )
        hint = "Repetitions within repetitions, as in (a+)+, are slow: write it without them."
        raise GeluError("slow_pattern", message, hint) from None
    return found is not None
