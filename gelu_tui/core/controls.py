"""Controls: a function once more, in another order of operations.

In exact arithmetic a control equals its function, so that whatever it changes is rounding: that is
the noise floor of a comparison (`core.noise`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gelu_tui.core.activations import CONTROL, MAX_VARIANTS, NAMES, REGISTRY, Variant
from gelu_tui.core.errors import UsageError
from gelu_tui.core.expressions import Binary, Call, Node, Number, Variable, parse

# Finite wherever the function is: exp may overflow, and then the quotient is what it tends to.
_OTHER_ORDER = {
    "gelu": "0.5*x+0.5*x*erf(x/sqrt(2))",
    "gelu_fast_approx": "x/(1+exp(-1.702*x))",
    "silu": "x/(1+exp(-x))",
    "mish": "x/(1+2/(exp(x)*(exp(x)+2)))",
}
_TWIN = {"gelu_approx": "keras_gelu_approx", "keras_gelu_approx": "gelu_approx"}

# What a formula of the user's own goes through and comes out of unchanged, but for rounding. In
# float32, float16 and bfloat16 about 38 % of the results differ, as with the registry's controls;
# nothing on the way is more than three times as large, so that float16 does not overflow.
_THERE_AND_BACK = (("*", 3.0), ("/", 7.0), ("/", 3.0), ("*", 7.0))


def control_of(variant: Variant) -> Variant:
    """The same function in another order of operations, under the name `control`.

    Where no other order rounds differently (`relu`, `relu2`, `identity`) it is the function itself.
    """
    registered = _registered(variant)
    if registered is None:
        assert variant.node is not None
        formula = f"({variant.formula})*3/7/3*7"
        return Variant(CONTROL, formula, _there_and_back(variant.node))
    if registered in _TWIN:
        twin = _TWIN[registered]
        # The library's own order, not that in which the formula would be evaluated here.
        return Variant(CONTROL, REGISTRY[twin].expression, Call(twin, (Variable(),)))
    formula = _OTHER_ORDER.get(registered, f"{registered}(x)")
    return Variant(CONTROL, formula, parse(formula, NAMES))


def is_the_function_itself(formula: str) -> bool:
    """Whether a control's formula is that of a function with only one order of operations."""
    name = formula.removesuffix("(x)")
    return name in REGISTRY and name not in _OTHER_ORDER and name not in _TWIN


def with_control(
    variants: Sequence[Variant],
    reference: int,
    *,
    wanted: bool,
    limit: int | None = MAX_VARIANTS,
) -> tuple[list[Variant], int | None]:
    """The variants, with the reference's control added if it is wanted and not among them.

    Second is the control's index, None if there is none. Raises `UsageError` where there would be
    more than `limit`.
    """
    chosen = _chosen_control(variants, reference)
    if chosen is not None or not wanted:
        return list(variants), chosen
    if limit is not None:
        check_room(variants, [reference], limit)
    return [*variants, control_of(variants[reference])], len(variants)


def check_room(
    variants: Sequence[Variant], references: Iterable[int], limit: int = MAX_VARIANTS
) -> None:
    """Raise `UsageError` if the control has no room, whichever of `references` it will be."""
    needed = all(_chosen_control(variants, reference) is None for reference in references)
    if needed and len(variants) >= limit:
        raise UsageError(
            f"With {len(variants)} activation functions there is no room for a control.",
            f"Choose at most {limit - 1}, or leave out --control.",
            kind="too_many_variants",
        )


def _chosen_control(variants: Sequence[Variant], reference: int) -> int | None:
    """Index of a chosen variant that is a control of the reference."""
    of = variants[reference]
    twin = _TWIN.get(of.name) if of.node is None else None
    return next((i for i, v in enumerate(variants) if v.node is None and v.name == twin), None)


def _registered(variant: Variant) -> str | None:
    """The registry's name of a function, also where a formula only calls it: `again=gelu(x)`."""
    match variant.node:
        case None:
            return variant.name
        case Call(function, (Variable(),)) if function in REGISTRY:
            return function
        case _:
            return None


def _there_and_back(node: Node) -> Node:
    for operator, number in _THERE_AND_BACK:
        node = Binary(operator, node, Number(number))
    return node
