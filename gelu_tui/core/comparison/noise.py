"""The noise floor of a comparison: the KL in nats that comes from rounding alone.

It is the KL of the control, which differs from the reference only in the order of its operations,
over the steps where the contexts are still equal. Only KL above it comes from a formula.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison, Stream
from gelu_tui.core.errors import UsageError
from gelu_tui.core.functions.expressions import Call, Node, Variable, parse
from gelu_tui.core.functions.registry import REGISTRY, names
from gelu_tui.core.functions.variants import function_name

# Formulas differ if somewhere they do by more than this share of max(1, |x|), which float32 shows.
_DIFFERENCE = 1e-5
_PROBE = [step / 8 for step in range(-64, 65)]  # where most inputs of a model lie


class NoiseFloor(msgspec.Struct, frozen=True):
    """The KL of the stream `control` against the reference, over its first `steps` steps."""

    control: str
    mean_kl: float
    max_kl: float
    steps: int


def noise_floor(comparison: Comparison) -> NoiseFloor | None:
    """Return the floor so far; None without a control, or before its first step."""
    control = _control(comparison)
    steps = compared_steps(comparison, control) if control else 0
    if control is None or control.kl.largest is None or not steps:
        return None
    return NoiseFloor(control.name, control.kl_sums[steps - 1] / steps, control.kl.largest, steps)


def compared_steps(comparison: Comparison, stream: Stream) -> int:
    """Return the number of leading steps with a KL, up to the fork; 0 for the reference."""
    if stream is comparison.reference:
        return 0
    fork, known = stream.first_divergent_token, len(stream.kl_sums)
    return known if fork is None else min(known, fork + 1)


def mean_kl(comparison: Comparison, stream: Stream) -> float | None:
    """Return the mean KL over `compared_steps`; None if there are none."""
    return _mean(stream, compared_steps(comparison, stream))


def times_noise_floor(comparison: Comparison, stream: Stream) -> float | None:
    """Return a stream's mean KL divided by the control's, over the steps that both have.

    None for reference and control themselves, and where the control's is 0 or unknown.
    """
    control = _control(comparison)
    if control is None or stream is control:
        return None
    steps = min(compared_steps(comparison, side) for side in (stream, control))
    floor, mean = _mean(control, steps), _mean(stream, steps)
    return mean / floor if floor and mean is not None else None


def largest_kl(logit_difference: float) -> float:
    """Return the largest KL, in nats, of distributions whose logits differ by at most d: d²/2.

    The KL is ln E[e^δ] − E[δ] with δ from −d to d, which Hoeffding's lemma bounds.
    """
    return logit_difference**2 / 2


def _control(comparison: Comparison) -> Stream | None:
    return next((stream for stream in comparison.streams if stream.variant.control), None)


def _mean(stream: Stream, steps: int) -> float | None:
    return stream.kl_sums[steps - 1] / steps if steps else None


def is_suspicious(comparison: Comparison, stream: Stream) -> bool:
    """Return whether KL is 0 at every step although the formula differs from the reference's."""
    return (
        mean_kl(comparison, stream) == 0
        and not stream.variant.control
        and formulas_differ(stream.variant, comparison.reference.variant)
    )


@lru_cache(maxsize=64)
def formulas_differ(one: p.VariantInfo, other: p.VariantInfo) -> bool:
    """Return whether two formulas differ by more than rounding; False if one cannot be parsed."""
    a, b = _node(one), _node(other)
    if a is None or b is None or a == b:
        return False
    from gelu_tui.core.functions.numpy_operations import values

    points = zip(_PROBE, values(a, _PROBE).tolist(), values(b, _PROBE).tolist(), strict=True)
    return any(abs(y - z) > _DIFFERENCE * max(1.0, abs(x)) for x, y, z in points)


def _node(variant: p.VariantInfo) -> Node | None:
    if (function := function_name(variant.name)) in REGISTRY:
        return Call(function, (Variable(),))
    try:
        return parse(variant.formula, names())
    except UsageError:  # in merged runs `formula` holds more than the formula
        return None


def times(multiple: float) -> str:
    """Return a multiple with two significant digits: 0.52, 5.3, 5,300, 2.1e+09."""
    if multiple >= 1e7 or 0 < multiple < 0.01:
        return f"{multiple:.1e}"
    return f"{float(f'{multiple:.1e}'):,.10g}"
