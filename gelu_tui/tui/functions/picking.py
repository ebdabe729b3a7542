"""The state of the picker: functions in their order, which are chosen, which is the reference."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import msgspec

from gelu_tui.core.errors import UsageError
from gelu_tui.core.functions.registry import DEFAULT_SET, REGISTRY
from gelu_tui.core.functions.variants import (
    MAX_VARIANTS,
    Variant,
    check_variants,
    parse_variant,
    parse_variants,
    resolve_reference,
)
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.tui.compare.choices import chosen_variants

# what MLX itself computed under the present names in its earlier versions
_OLDER_GELUS = (
    "gelu_fast_mlx04=x*sigmoid(1.773*x)",
    "gelu_approx_mlx010=x*sigmoid(1.60033*x*(1+0.0433603*x*x))",
)
SETS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("the default set", DEFAULT_SET),
    ("all GELU forms, with those of older MLX", (*DEFAULT_SET, *_OLDER_GELUS)),
    (f"all functions, the first {MAX_VARIANTS}", tuple(REGISTRY)[:MAX_VARIANTS]),
)


@dataclass(frozen=True)
class FunctionRow:
    """One function of the list."""

    variant: Variant
    chosen: bool


class Picking:
    """The choices so far; an index is always one of `rows`.

    The chosen rows come first when the picker opens; then a row only moves if the user moves it.
    """

    def __init__(self, choices: RunSettings, native: str | None) -> None:
        self.choices = choices
        self.native = native
        self.reference = choices.reference
        self.rows = _ordered(chosen_variants(choices), [])
        self._opened = self._state()
        self._before_sets: tuple[list[FunctionRow], str | None] | None = None
        self._set = -1

    def _state(self) -> tuple[tuple[str, ...], str | None]:
        return tuple(variant.spec for variant in self.chosen), self.reference

    @property
    def changed(self) -> bool:
        """Whether leaving would lose something."""
        return self._state() != self._opened

    @property
    def chosen(self) -> list[Variant]:
        """The chosen functions in their order."""
        return [row.variant for row in self.rows if row.chosen]

    def index(self, name: str) -> int | None:
        """The row of a function, None if it is not listed."""
        names = [row.variant.name for row in self.rows]
        return names.index(name) if name in names else None

    def number(self, index: int) -> int | None:
        """The place of a row among the chosen ones, from 1."""
        chosen = self.rows[index].chosen
        return sum(row.chosen for row in self.rows[: index + 1]) if chosen else None

    def effective_reference(self) -> str | None:
        """The reference of the next run; None while it depends on a model that is not known."""
        if self.reference is not None or not self.chosen:
            return self.reference
        if self.native is None and len(self.chosen) > 1:
            return None
        return self.chosen[resolve_reference(self.chosen, None, self.native)].name

    def find(self, text: str) -> int | None:
        """The row whose name or alias begins with `text`, or else contains it."""
        sought = text.strip().lower()
        for test in (str.startswith, str.__contains__):
            for index, row in enumerate(self.rows):
                if any(test(name, sought) for name in (row.variant.name, *row.variant.aliases)):
                    return index
        return None

    def toggle(self, index: int) -> None:
        """Choose a row or leave it out. Raises `UsageError` where there are eight already."""
        row = self.rows[index]
        if not row.chosen and len(self.chosen) >= MAX_VARIANTS:
            message = f"{MAX_VARIANTS} functions are the most that one comparison takes."
            raise UsageError(message, "Leave one out first.")
        self._touch()
        self.rows[index] = replace(row, chosen=not row.chosen)
        if row.chosen and row.variant.name == self.reference:
            self.reference = None

    def move(self, index: int, to: Literal["up", "down"]) -> int:
        """Exchange a chosen row with the next chosen one above or below; returns its new index.

        Raises `UsageError` for a row that is not chosen: only the chosen have an order.
        """
        if not self.rows[index].chosen:
            raise UsageError("Only chosen functions have an order.", "Space chooses this one.")
        by = -1 if to == "up" else 1
        target = index + by
        while 0 <= target < len(self.rows) and not self.rows[target].chosen:
            target += by
        if not 0 <= target < len(self.rows):
            return index
        self._touch()
        self.rows.insert(target, self.rows.pop(index))
        return target

    def refer(self, index: int) -> None:
        """Make a row the reference, choosing it if need be, or leave that to the model again."""
        if not self.rows[index].chosen:
            self.toggle(index)
        self._touch()
        name = self.rows[index].variant.name
        self.reference = None if self.reference == name else name

    def remove(self, index: int) -> None:
        """Delete an own formula. Raises `UsageError` for a function of the registry."""
        row = self.rows[index]
        if not row.variant.is_own:
            hint = "Space leaves a function out."
            raise UsageError("Only your own formulas can be deleted.", hint)
        self._touch()
        del self.rows[index]
        if row.variant.name == self.reference:
            self.reference = None

    def add(self, variant: Variant) -> int:
        """Add a function after the last chosen row and choose it if there is room; its index.

        An own formula of the same name is replaced; a function of the registry is only chosen.
        """
        self._touch()
        index = self.index(variant.name)
        if index is None:
            index = max((at + 1 for at, row in enumerate(self.rows) if row.chosen), default=0)
            self.rows.insert(index, FunctionRow(variant, chosen=False))
        chosen = self.rows[index].chosen or len(self.chosen) < MAX_VARIANTS
        self.rows[index] = FunctionRow(variant, chosen)
        return index

    def next_set(self) -> str:
        """Choose the next ready-made set, after the last one the choice before; its name."""
        before = self._before_sets or (list(self.rows), self.reference)
        self._set = (self._set + 1) % (len(SETS) + 1)
        if self._set == len(SETS):
            self.rows, self.reference = list(before[0]), before[1]
            self._touch()
            return "as it was before"
        name, specs = SETS[self._set]
        own = [row.variant for row in before[0] if row.variant.is_own]
        self.rows = _ordered(parse_variants(specs), own)
        if self.reference not in [variant.name for variant in self.chosen]:
            self.reference = None
        self._before_sets = before
        return name

    def _touch(self) -> None:
        # The sets return to what was last chosen by hand.
        self._before_sets = None
        self._set = -1

    def result(self) -> RunSettings:
        """The choices as picked. Raises `UsageError` where they cannot be run."""
        check_variants(self.chosen)
        resolve_reference(self.chosen, self.reference, self.native)
        specs = tuple(variant.spec for variant in self.chosen)
        return msgspec.structs.replace(self.choices, activations=specs, reference=self.reference)


def _ordered(chosen: list[Variant], own: list[Variant]) -> list[FunctionRow]:
    """The chosen functions in their order, other own formulas, then the rest of the registry."""
    names = {variant.name for variant in chosen}
    others = (v for v in (*own, *map(parse_variant, REGISTRY)) if v.name not in names)
    return [FunctionRow(variant, variant in chosen) for variant in (*chosen, *others)]
