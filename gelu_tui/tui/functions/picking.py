"""The state of the picker: rows, which of them are chosen, in which order, which is the reference.

Pure: the screen shows it and turns keys into calls. An index is always a row of `rows`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

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
class Row:
    """One function of the list."""

    variant: Variant
    chosen: bool


class Picking:
    """What has been picked so far. The chosen come first when it opens; then rows keep still."""

    def __init__(self, choices: RunSettings, native: str | None) -> None:
        self.choices = choices
        self.native = native
        self.reference = choices.reference
        self.rows = _ordered(chosen_variants(choices), [])
        self._opened = self._state()
        self._before_sets: tuple[list[Row], str | None] | None = None
        self._set = -1

    def _state(self) -> tuple[tuple[str, ...], str | None]:
        return tuple(variant.spec for variant in self.chosen), self.reference

    @property
    def changed(self) -> bool:
        """Whether something would be lost by leaving everything as it was."""
        return self._state() != self._opened

    @property
    def chosen(self) -> list[Variant]:
        """The chosen functions in their order."""
        return [row.variant for row in self.rows if row.chosen]

    def index(self, name: str) -> int | None:
        """The row of a function."""
        names = [row.variant.name for row in self.rows]
        return names.index(name) if name in names else None

    def number(self, index: int) -> int | None:
        """The place of a row among the chosen ones, from 1."""
        if not self.rows[index].chosen:
            return None
        return sum(row.chosen for row in self.rows[: index + 1])

    def effective_reference(self) -> str | None:
        """The reference that the next run will have; None while that is up to a model unknown."""
        if self.reference is not None or not self.chosen:
            return self.reference
        if self.native is None and len(self.chosen) > 1:
            return None
        return self.chosen[resolve_reference(self.chosen, None, self.native)].name

    def find(self, text: str) -> int | None:
        """The row whose name or alias begins with `text`, or else holds it."""
        sought = text.strip().lower()
        for test in (str.startswith, str.__contains__):
            for index, row in enumerate(self.rows):
                if any(test(name, sought) for name in (row.variant.name, *row.variant.aliases)):
                    return index
        return None

    # --- changes ------------------------------------------------------------------------------

    def toggle(self, index: int) -> None:
        """Choose a row or leave it out. Raises `UsageError` where there are eight already."""
        row = self.rows[index]
        if not row.chosen and len(self.chosen) >= MAX_VARIANTS:
            raise UsageError(
                f"{MAX_VARIANTS} functions are the most that one comparison takes.",
                "Leave one out first.",
            )
        self._touch()
        self.rows[index] = replace(row, chosen=not row.chosen)
        if row.chosen and row.variant.name == self.reference:
            self.reference = None

    def move(self, index: int, by: int) -> int:
        """Exchange a chosen row with the next chosen one above (−1) or below (+1); its new index.

        Raises `UsageError` for a row that is not chosen: only the chosen have an order.
        """
        if not self.rows[index].chosen:
            raise UsageError("Only chosen functions have an order.", "Space chooses this one.")
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
            raise UsageError(
                "Only your own formulas can be deleted.", "Space leaves a function out."
            )
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
            last = [at for at, row in enumerate(self.rows) if row.chosen]
            index = last[-1] + 1 if last else 0
            self.rows.insert(index, Row(variant, chosen=False))
        else:
            self.rows[index] = replace(self.rows[index], variant=variant)
        if not self.rows[index].chosen and len(self.chosen) < MAX_VARIANTS:
            self.rows[index] = replace(self.rows[index], chosen=True)
        return index

    def next_set(self) -> str:
        """Choose the next ready-made set, after the last one what was chosen before; its name."""
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
        # Whatever is done by hand is the new state to which the sets come back.
        self._before_sets = None
        self._set = -1

    def result(self) -> RunSettings:
        """The choices as picked. Raises `UsageError` where they cannot be run."""
        check_variants(self.chosen)
        resolve_reference(self.chosen, self.reference, self.native)
        specs = tuple(variant.spec for variant in self.chosen)
        return msgspec.structs.replace(self.choices, activations=specs, reference=self.reference)


def _ordered(chosen: list[Variant], own: list[Variant]) -> list[Row]:
    """The chosen functions in their order, other own formulas, then the rest of the registry."""
    names = {variant.name for variant in chosen}
    rest = [parse_variant(name) for name in REGISTRY]
    return [
        *(Row(variant, chosen=True) for variant in chosen),
        *(Row(variant, chosen=False) for variant in (*own, *rest) if variant.name not in names),
    ]
