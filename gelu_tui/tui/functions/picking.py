"""The state of the picker: functions in their order, which are chosen, which is the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import msgspec

from gelu_tui.core.errors import UsageError
from gelu_tui.core.functions.registry import DEFAULT_SET, REGISTRY
from gelu_tui.core.functions.variants import (
    MAX_VARIANTS,
    Variant,
    check_variants,
    free_name,
    has_name,
    is_formula,
    limited_reference,
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


_Kept = tuple[tuple[FunctionRow, ...], str | None]  # the rows and the reference


class Picking:
    """The choices so far; an index is always one of `rows`.

    The chosen rows come first when the picker opens; then a row only moves if the user moves it.
    `own` are formulas of the user's that are listed besides.
    """

    def __init__(
        self, choices: RunSettings, native: str | None, own: Sequence[Variant] = ()
    ) -> None:
        self.choices = choices
        self.native = native
        self.reference = choices.reference
        self.rows = _ordered(chosen_variants(choices), own)
        self._opened = self._state()
        self._before: list[_Kept] = []  # what each change can be taken back to
        self._before_sets: _Kept | None = None
        self._set = -1

    def _state(self) -> tuple[object, ...]:
        specs = tuple(variant.spec for variant in self.chosen)
        return specs, self.reference, frozenset(self.formulas)

    @property
    def formulas(self) -> tuple[str, ...]:
        """The specs of all own formulas in the list."""
        return tuple(row.variant.spec for row in self.rows if row.variant.is_own)

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
        whole = [variant for variant in self.chosen if variant.limits is None]
        if self.reference is not None or not whole:
            return self.reference
        if self.native is None and len(whole) > 1:
            return None
        return self.chosen[resolve_reference(self.chosen, None, self.native)].name

    def is_formula(self, text: str) -> bool:
        """Whether a text is meant as a formula, or as limits, and not as the name of a row."""
        return (is_formula(text) or "@" in text) and self.index(text.strip()) is None

    def spec(self, text: str) -> str:
        """What was typed; a formula gets the name of a row with the same formula, or a free one."""
        spec = text.strip()
        if has_name(spec) or not is_formula(spec) or self.index(spec) is not None:
            return spec
        formula = "".join(spec.partition("@")[0].split())
        listed = [row.variant for row in self.rows]
        own = (variant for variant in listed if variant.function not in REGISTRY)
        same = (v.function for v in own if "".join(v.formula.split()) == formula)
        name = next(same, None) or free_name([variant.function for variant in listed])
        return f"{name}={spec}"

    def find(self, text: str) -> int | None:
        """The row whose name or alias is `text`, or else begins with it, or else contains it."""
        sought = text.strip().lower()
        for test in (str.__eq__, str.startswith, str.__contains__):
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
        """Make a row the reference, choosing it if need be, or leave that to the model again.

        Raises `UsageError` for a function with limits, and where there are eight already.
        """
        variant = self.rows[index].variant
        if variant.limits is not None:
            raise limited_reference(variant.name, variant.function)
        if self.rows[index].chosen:
            self._touch()
        else:
            self.toggle(index)
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
        index = self.index(variant.name)
        if index is not None and self.rows[index] == FunctionRow(variant, chosen=True):
            return index
        self._touch()
        if index is None:
            index = max((at + 1 for at, row in enumerate(self.rows) if row.chosen), default=0)
            self.rows.insert(index, FunctionRow(variant, chosen=False))
        chosen = self.rows[index].chosen or len(self.chosen) < MAX_VARIANTS
        self.rows[index] = FunctionRow(variant, chosen)
        return index

    def next_set(self) -> str:
        """Choose the next ready-made set, after the last one the choice before; its name."""
        before = self._before_sets
        if before is None:
            before = self._keep()
        self._set = (self._set + 1) % (len(SETS) + 1)
        if self._set == len(SETS):
            self.undo()
            return "as it was before"
        name, specs = SETS[self._set]
        own = [row.variant for row in before[0] if row.variant.is_own]
        self.rows = _ordered(parse_variants(specs), own)
        if self.reference not in [variant.name for variant in self.chosen]:
            self.reference = None
        self._before_sets = before
        return name

    def undo(self) -> bool:
        """Take the last change back, or all sets that were looked at; False if there is none."""
        if not self._before:
            return False
        rows, self.reference = self._before.pop()
        self.rows = list(rows)
        self._before_sets = None
        self._set = -1
        return True

    def _keep(self) -> _Kept:
        """Keep the present state for `undo`, and return it."""
        self._before.append((tuple(self.rows), self.reference))
        return self._before[-1]

    def _touch(self) -> None:
        self._keep()
        # The sets return to what was last chosen by hand.
        self._before_sets = None
        self._set = -1

    def result(self) -> RunSettings:
        """The choices as picked. Raises `UsageError` where they cannot be run."""
        check_variants(self.chosen)
        resolve_reference(self.chosen, self.reference, self.native)
        specs = tuple(variant.spec for variant in self.chosen)
        return msgspec.structs.replace(self.choices, activations=specs, reference=self.reference)


def _ordered(chosen: Sequence[Variant], own: Sequence[Variant]) -> list[FunctionRow]:
    """The chosen functions in their order, other own formulas, then the rest of the registry."""
    listed = [*chosen]
    for variant in own:
        if variant in listed:
            continue
        if variant.name in [other.name for other in listed]:  # neither of the two is lost
            variant = variant.renamed(free_name([other.function for other in (*listed, *own)]))
        listed.append(variant)
    known = {variant.name for variant in listed}
    listed += [variant for variant in map(parse_variant, REGISTRY) if variant.name not in known]
    return [FunctionRow(variant, place < len(chosen)) for place, variant in enumerate(listed)]
