"""Estimates in the words of a table: shares, intervals, KL."""

from __future__ import annotations

from collections.abc import Sequence

from gelu_tui.core.comparison.noise import times
from gelu_tui.core.reports.numbers import number, with_error
from gelu_tui.sweep.document import Incidence, Interval, Outcomes, SweepKl, VariantEstimates

_MANY = 200  # prompts from which on a tenth of a per cent means something


def percents(shares: Sequence[float], prompts: int) -> list[str]:
    """Shares in per cent, without the sign: none but 0 as 0, and none but 1 as 100."""
    digits = 1 if prompts >= _MANY else 0
    return [_percent(100 * share, digits) for share in shares]


def _percent(value: float, digits: int) -> str:
    for whole in (0, 100):
        if abs(value - whole) < 1e-9:
            return str(whole)
    while digits < 2 and round(value, digits) in (0, 100):
        digits += 1
    return number(f"{{:.{digits}f}}", value)


def share_with_interval(estimate: Outcomes | Incidence, prompts: int) -> str:
    """E.g. `8 % [3, 20]`."""
    value, low, high = percents((estimate.share, estimate.low, estimate.high), prompts)
    return f"{value} % [{low}, {high}]"


def share_diverged(result: VariantEstimates) -> str:
    """The share with its interval, which is that of the share that is the same, mirrored."""
    (share,) = percents((result.diverged / max(1, result.prompts),), result.prompts)
    if (same := result.outcomes.get("same")) is None:
        return f"{share} %"
    low, high = percents((1 - same.high, 1 - same.low), result.prompts)
    return f"{share} % [{low}, {high}]"


def with_interval(estimate: Interval, form: str, *, beyond: str = "–", unit: str = "") -> str:
    """E.g. `61 [38, 83]`; `beyond` stands for a value and an upper end that were not reached."""
    if estimate.value is None:
        return beyond
    value = number(form, estimate.value)
    if estimate.low is None and estimate.high is None:
        return f"{value}{unit}"
    low, high = (number(form, end) if end is not None else "" for end in (
        estimate.low, estimate.high))  # fmt: skip
    return f"{value}{unit} [{low or '…'}, {high or beyond.replace('–', '…')}]"


def kl_words(kl: SweepKl | None) -> str:
    """Mean and standard error in nats, e.g. `1.5e−03 ± 5e−04`."""
    return with_error(kl.mean, kl.se, "{:.1e}", "{:.0e}") if kl else "–"


def times_floor(kl: SweepKl | None) -> str:
    """The multiple of the control's mean KL."""
    return "–" if kl is None or kl.times_floor is None else times(kl.times_floor)


def chance(p_value: float) -> str:
    """A p-value with two digits; a small one is never 0."""
    return "<0.001" if p_value < 0.001 else f"{p_value:.3f}" if p_value < 0.1 else f"{p_value:.2f}"


def share_by(incidence: Sequence[Incidence], token: int) -> float:
    """The share that has diverged at `token` or before: a step function of `incidence`."""
    return max((each.share for each in incidence if each.token <= token), default=0.0)


def lengths(cap: int, most: int = 6) -> list[int]:
    """The last few powers of two below `cap` tokens, and `cap` itself."""
    powers = [1 << i for i in range(cap.bit_length()) if 1 << i < cap]
    return [*powers[-(most - 1) :], cap]


def blocks(shares: Sequence[float]) -> str:
    """Shares from 0 to 1 as one cell each, a blank for exactly 0."""
    return "".join("▁▂▃▄▅▆▇█"[min(7, int(share * 8))] if share > 0 else " " for share in shares)
