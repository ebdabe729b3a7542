"""Controls: a function in another order of operations, so that only rounding differs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gelu_tui.core.errors import UsageError
from gelu_tui.core.functions.expressions import Call, Number, parse
from gelu_tui.core.functions.registry import REGISTRY, names, registered
from gelu_tui.core.functions.variants import CONTROL, MAX_VARIANTS, Variant

# These operations change a user's formula by rounding alone. In float32, float16 and bfloat16 about
# 38 % of the results differ, as with the registry's controls; no intermediate result is more than
# three times as large, so that float16 does not overflow.
_THERE_AND_BACK = (("*", 3.0), ("/", 7.0), ("/", 3.0), ("*", 7.0))


def control_of(variant: Variant) -> Variant:
    """Return the same function in another order of operations, under the name `control`.

    Where no other order rounds differently (`relu`, `relu2`, `identity`) it is the function itself.
    """
    node, name = variant.node, registered(variant.node)
    if name is None:
        for operator, number in _THERE_AND_BACK:
            node = Call(operator, (node, Number(number)))
        return Variant(CONTROL, f"({variant.formula})*3/7/3*7", node)
    twin, other = _twin(name), REGISTRY[name].other_order or f"{name}(x)"
    return Variant(CONTROL, REGISTRY[twin].expression if twin else other, parse(other, names()))


def _twin(name: str) -> str | None:
    """The function of the registry that is the other order of operations of this one."""
    other = REGISTRY[name].other_order
    return registered(parse(other, names())) if other else None


def is_the_function_itself(formula: str) -> bool:
    """Return whether a control's formula is a function with only one order of operations."""
    name = formula.removesuffix("(x)")
    return name in REGISTRY and not REGISTRY[name].other_order


def with_control(
    variants: Sequence[Variant], reference: int, *, wanted: bool, room: bool = True
) -> tuple[list[Variant], int | None]:
    """Return the variants, with the reference's control if it is wanted, and the control's index.

    Raises `UsageError` if there would be too many; not if `room` is False.
    """
    chosen = _chosen_control(variants, reference)
    if chosen is not None or not wanted:
        return list(variants), chosen
    if room:
        check_room(variants, [reference])
    return [*variants, control_of(variants[reference])], len(variants)


def check_room(variants: Sequence[Variant], references: Iterable[int]) -> None:
    """Raise `UsageError` if a control has no room, whichever of `references` it belongs to."""
    needed = all(_chosen_control(variants, reference) is None for reference in references)
    if needed and len(variants) >= MAX_VARIANTS:
        message = f"With {len(variants)} activation functions there is no room for a control."
        hint = f"Choose at most {MAX_VARIANTS - 1}, or leave out --control."
        raise UsageError(message, hint, kind="too_many_variants")


def _chosen_control(variants: Sequence[Variant], reference: int) -> int | None:
    """Index of a chosen variant that is a control of the reference."""
    name = variants[reference].name
    twin = _twin(name) if name in REGISTRY else None
    return next((i for i, v in enumerate(variants) if v.name == twin), None)
