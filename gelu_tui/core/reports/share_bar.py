"""Bars of a text row."""

from __future__ import annotations

_EIGHTHS = " ▏▎▍▌▋▊▉"


def bar(share: float, cells: int) -> str:
    """A bar in eighths of a cell; at least one for a share above 0."""
    eighths = round(min(1.0, max(0.0, share)) * cells * 8)
    if share > 0 and cells:
        eighths = max(1, eighths)
    full, rest = divmod(eighths, 8)
    return "█" * full + _EIGHTHS[rest].strip()
