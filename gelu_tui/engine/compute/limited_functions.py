"""The functions of a run's variants, some of which are limited to a part of the model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gelu_tui.core.errors import UsageError
from gelu_tui.core.functions.limits import KINDS, Limits, joined
from gelu_tui.core.functions.registry import Precision
from gelu_tui.core.functions.variants import Variant
from gelu_tui.engine.compute.activation_sites import FunctionBySite, RowFunction, Site
from gelu_tui.engine.compute.functions import Function, function_of


class LimitedFunction(FunctionBySite):
    """A function within limits, and another one elsewhere."""

    def __init__(self, function: Function, elsewhere: Function, limits: Limits) -> None:
        self.function, self.elsewhere, self.limits = function, elsewhere, limits

    def at(self, site: Site) -> Function:
        return self.function if self.limits.includes(*site) else self.elsewhere


def functions_of(
    variants: Sequence[Variant], reference: int, precision: Precision
) -> list[RowFunction]:
    """The functions of all variants of a run; `reference` is an index.

    What is the same function at a site is the same object, so that neighbouring rows share a block.
    """
    made: dict[str, Function] = {}

    def function(variant: Variant) -> Function:
        if variant.function not in made:
            made[variant.function] = function_of(variant, precision)
        return made[variant.function]

    elsewhere = function(variants[reference])
    return [
        function(variant)
        if variant.limits is None
        else LimitedFunction(function(variant), elsewhere, variant.limits)
        for variant in variants
    ]


def check_limits(variants: Iterable[Variant], places: Sequence[Site]) -> None:
    """Raise `UsageError` where limits name what the model with these sites has not."""
    for variant in variants:
        if variant.limits is not None:
            _check(variant.name, variant.limits, places)


def _check(name: str, limits: Limits, places: Sequence[Site]) -> None:
    last = max(site.layer for site in places)
    if limits.layers and limits.layers[-1][1] > last:
        missing = max(limits.layers[-1][0], last + 1)
        has = f"This model has {last + 1} layers, 0 to {last}"
        raise _refused(f"{has}: there is no layer {missing} for '{name}'.", _OTHER_LAYERS)
    kinds = {site.kind for site in places}
    if absent := [word for word in limits.kinds if KINDS.get(word) not in kinds]:
        here = [word for word, kind in KINDS.items() if kind in kinds]
        has = f"This model has no {' and no '.join(absent)}, only {' and '.join(here)}"
        hint = f"Choose among {', '.join(here)}, or leave the kind out."
        raise _refused(f"{has}: there is no place for '{name}'.", hint)
    if not any(limits.includes(*site) for site in places):
        of_kind = Limits(kinds=limits.kinds)
        layers = sorted({site.layer for site in places if of_kind.includes(*site)})
        where = str(Limits(layers=joined((layer, layer) for layer in layers))).replace(",", ", ")
        has = f"This model has {' or '.join(limits.kinds)} only in layers {where}"
        raise _refused(f"{has}: there is no place for '{name}'.", _OTHER_LAYERS)


_OTHER_LAYERS = "Choose layers that it has."


def _refused(message: str, hint: str) -> UsageError:
    return UsageError(message, hint, kind="limits")
