"""The noise floor of a comparison: how much KL comes from rounding alone.

It is the KL of the control, which differs from the reference in the order of its operations only
(`core.controls`). What another variant has above it is the formula's doing; what it has below is
not. All is in nats, over the steps where the contexts are still equal.
"""

from __future__ import annotations

from functools import lru_cache

import msgspec

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison, Stream
from gelu_tui.core.errors import UsageError
from gelu_tui.core.functions.expressions import Call, Node, Variable, parse
from gelu_tui.core.functions.registry import REGISTRY, names

# Two formulas differ if they do by more than this share of x, or of 1 near 0: that much shows in
# float32. Where most inputs of a model lie.
_DIFFERENCE = 1e-5
_PROBE = [step / 8 for step in range(-64, 65)]


class NoiseFloor(msgspec.Struct, frozen=True):
    """The KL of the stream `control` against the reference, over its first `steps` steps."""

    control: str
    mean_kl: float
    max_kl: float
    steps: int


def noise_floor(comparison: Comparison) -> NoiseFloor | None:
    """The floor as far as it is known; None without a control, or before its first step."""
    control = _control(comparison)
    if control is None:
        return None
    mean, largest = mean_kl(comparison, control), control.kl.largest
    if mean is None or largest is None:
        return None
    return NoiseFloor(control.name, mean, largest, compared_steps(comparison, control))


def compared_steps(comparison: Comparison, stream: Stream) -> int:
    """How many steps, from the first on, have a KL: until the contexts part; 0 of the reference."""
    if stream is comparison.reference:
        return 0
    fork, known = stream.first_divergent_token, len(stream.kl_sums)
    return known if fork is None else min(known, fork + 1)


def mean_kl(comparison: Comparison, stream: Stream) -> float | None:
    """Mean KL over `compared_steps`; None if there are none."""
    return _mean(stream, compared_steps(comparison, stream))


def times_noise_floor(comparison: Comparison, stream: Stream) -> float | None:
    """A stream's mean KL over the control's, over the steps that both have.

    None for reference and control themselves, and where the control's is 0 or not known.
    """
    control = _control(comparison)
    if control is None or stream is control:
        return None
    steps = min(compared_steps(comparison, side) for side in (stream, control))
    floor, mean = _mean(control, steps), _mean(stream, steps)
    return mean / floor if floor and mean is not None else None


def drawn_floor(comparison: Comparison) -> float | None:
    """The KL up to which a difference means nothing; None if unknown.

    The control's mean if there is a control, else what the self-check allows.
    """
    floor = noise_floor(comparison)
    if floor is not None:
        return floor.mean_kl
    if comparison.self_check is None:
        return None
    difference = comparison.self_check.max_logit_difference
    return None if difference is None else largest_kl(difference)


def largest_kl(logit_difference: float) -> float:
    """The largest KL, in nats, of distributions whose logits differ by at most d: d²/2.

    It is ln E[e^δ] − E[δ] with δ from −d to d, which Hoeffding's lemma bounds.
    """
    return logit_difference**2 / 2


def _control(comparison: Comparison) -> Stream | None:
    return next((stream for stream in comparison.streams if stream.variant.control), None)


def _mean(stream: Stream, steps: int) -> float | None:
    return stream.kl_sums[steps - 1] / steps if steps else None


# --- was it really engaged? -----------------------------------------------------------------------


def is_suspicious(comparison: Comparison, stream: Stream) -> bool:
    """Whether KL is exactly 0 throughout although the formula differs from the reference's."""
    return (
        mean_kl(comparison, stream) == 0
        and not stream.variant.control
        and formulas_differ(stream.variant, comparison.reference.variant)
    )


@lru_cache(maxsize=64)
def formulas_differ(one: p.VariantInfo, other: p.VariantInfo) -> bool:
    """Whether two formulas differ by more than rounding; not if one of them cannot be read."""
    a, b = _node(one), _node(other)
    if a is None or b is None or a == b:
        return False
    from gelu_tui.core.functions.numpy_operations import values

    points = zip(_PROBE, values(a, _PROBE).tolist(), values(b, _PROBE).tolist(), strict=True)
    return any(abs(y - z) > _DIFFERENCE * max(1.0, abs(x)) for x, y, z in points)


def _node(variant: p.VariantInfo) -> Node | None:
    if variant.name in REGISTRY:
        return Call(variant.name, (Variable(),))
    try:
        return parse(variant.formula, names())
    except UsageError:  # of runs put side by side the formula says more than the formula
        return None


def times(multiple: float) -> str:
    """A multiple with two significant digits: 0.52, 5.3, 5,300, 2.1e+09."""
    if multiple >= 1e7 or 0 < multiple < 0.01:
        return f"{multiple:.1e}"
    return f"{float(f'{multiple:.1e}'):,.10g}"
