"""What a fork's float32 margins say made it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gelu_tui.engine.compute.verdict import TIE_NATS, verdict

margins = st.floats(-50, 50)


@pytest.mark.parametrize(
    ("reference", "variant", "expected"),
    [
        (0.5, 0.3, "formula"),
        (TIE_NATS, TIE_NATS, "formula"),
        (0.5, -0.3, "rounding"),
        (-1e-6, 2.0, "rounding"),
        (0.0, 2.0, "tie"),
        (2.0, 0.0, "tie"),
        (0.0009, 4.0, "tie"),
        (4.0, 0.0009, "tie"),
        (0.0, 0.0, "tie"),
        (-0.2, -0.1, "tie"),
        (float("inf"), 0.4, "formula"),
        (float("inf"), -0.4, "rounding"),
    ],
)
def test_verdicts(reference: float, variant: float, expected: str) -> None:
    assert verdict(reference, variant) == expected


def test_nearer_than_the_noise_is_a_tie() -> None:
    assert verdict(0.004, 0.5) == "formula"
    assert verdict(0.004, 0.5, noise=0.005) == "tie"
    assert verdict(0.004, 0.5, noise=1e-9) == "formula"


@given(margins, margins, st.floats(0, 0.1))
def test_a_verdict_never_contradicts_its_margins(
    reference: float, variant: float, noise: float
) -> None:
    keep = (reference > 0, variant > 0)
    match verdict(reference, variant, noise):
        case "formula":
            assert all(keep) and min(reference, variant) >= max(TIE_NATS, noise)
        case "rounding":
            assert keep in {(True, False), (False, True)} and reference and variant
        case "tie":
            assert min(reference, variant) < max(TIE_NATS, noise)
            assert keep[0] == keep[1] or 0 in (reference, variant)
        case other:
            raise AssertionError(other)


@given(margins, margins, st.floats(0, 0.1))
def test_the_sides_can_change_places(reference: float, variant: float, noise: float) -> None:
    assert verdict(reference, variant, noise) == verdict(variant, reference, noise)
