"""A function beside itself: the same formula in another order of operations."""

from __future__ import annotations

from gelu_tui.core.activations import REGISTRY, Variant, node_of
from gelu_tui.core.expressions import parse

CONTROL = "control"

_OTHER_ORDER = {
    "gelu": "0.5*x+0.5*x*erf(x/sqrt(2))",
    "gelu_approx": REGISTRY["keras_gelu_approx"].expression,
    "gelu_fast_approx": "x/(1+exp(-1.702*x))",
    "keras_gelu_approx": REGISTRY["gelu_approx"].expression,
    "silu": "x/(1+exp(-x))",
}


def control_of(variant: Variant) -> Variant:
    """A variant that differs from this one by rounding only; one without another form is itself."""
    if variant.node is not None or variant.name not in _OTHER_ORDER:
        return Variant(CONTROL, variant.formula, node_of(variant))
    formula = _OTHER_ORDER[variant.name]
    return Variant(CONTROL, formula, parse(formula))
