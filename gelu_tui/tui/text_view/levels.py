"""Per-token statistics in a few quantised steps: for the eye, and for few colour changes a row."""

from __future__ import annotations

from bisect import bisect_right
from typing import Literal

from gelu_tui.core.comparison.state import TokenStep

TokenStyle = Literal["plain", "kl", "logprob", "margin"]
TOKEN_STYLES: tuple[TokenStyle, ...] = ("plain", "kl", "logprob", "margin")
TOP_LEVEL = 4

# Where each level begins: KL in nats; negated log-probability in nats (probability 0.9, 0.5, 0.1,
# 0.01); negated margin in logits.
_BOUNDS: dict[TokenStyle, tuple[float, ...]] = {
    "kl": (1e-6, 1e-4, 1e-2, 1.0),
    "logprob": (0.105, 0.693, 2.303, 4.605),
    "margin": (-5.0, -2.0, -0.5, -0.1),
}
_LEGENDS: dict[TokenStyle, tuple[str, ...]] = {
    "plain": (),
    "kl": ("KL < 1e-6", "1e-6", "1e-4", "0.01", "≥ 1 nat"),
    "logprob": ("p ≥ 90 %", "< 90 %", "< 50 %", "< 10 %", "< 1 %"),
    "margin": ("margin > 5", "< 5", "< 2", "< 0.5", "< 0.1 logits"),
}


def level(step: TokenStep, style: TokenStyle) -> int | None:
    """How remarkable a token is, 0 to `TOP_LEVEL`; None if the statistic does not exist for it."""
    if style == "plain":
        return 0
    value: float | None = getattr(step, style)
    if value is None:
        return None
    return bisect_right(_BOUNDS[style], value if style == "kl" else -value)


def legend(style: TokenStyle) -> tuple[str, ...]:
    """What each level means, from 0 up; empty for `plain`."""
    return _LEGENDS[style]
