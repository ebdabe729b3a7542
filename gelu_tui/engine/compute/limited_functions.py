"""The functions of a run's variants, some of which are limited to a part of the model."""

from __future__ import annotations

from collections.abc import Sequence

from gelu_tui.core.functions.limits import Limits
from gelu_tui.core.functions.registry import Precision
from gelu_tui.core.functions.variants import Variant
from gelu_tui.engine.compute.functions import Function, function_of
from gelu_tui.engine.compute.row_functions import FunctionBySite, RowFunction, Site


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
