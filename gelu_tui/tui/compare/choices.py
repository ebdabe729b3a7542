"""What the next run will compare, as the user has set it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gelu_tui.core.errors import UsageError
from gelu_tui.core.functions.variants import Variant, parse_variants
from gelu_tui.core.settings.field import Field, fields_of
from gelu_tui.core.settings.run_settings import RunSettings

if TYPE_CHECKING:
    from gelu_tui.core.runs.document import ComparisonDocument


def like(choices: RunSettings, saved: ComparisonDocument) -> RunSettings:
    """A saved comparison's settings on the chosen model; `choices` if it cannot be run again."""
    try:
        parse_variants(saved.settings.activations)
    except UsageError:
        return choices
    return replace(saved.settings, model=choices.model, dtype=choices.dtype)


def chosen_variants(choices: RunSettings) -> list[Variant]:
    """The chosen functions, none if the choice cannot be run."""
    try:
        return parse_variants(choices.activations)
    except UsageError:
        return []


def setting_variations(
    choices: RunSettings, shown: RunSettings | None = None
) -> Iterator[tuple[str, str, RunSettings]]:
    """What the palette can change about the next run: title, explanation, result.

    `shown` are the settings of the run on the screen, whose seed can be used again.
    """
    for field in fields_of(type(choices)).values():
        now = getattr(choices, field.name)
        if not field.palette or (field.needs and not getattr(choices, field.needs)):
            continue
        for value in _offered(field):
            if value != now:
                title = f"{field.palette}: {field.word(value)}"
                yield title, field.description, replace(choices, **{field.name: value})
        if field.name == "seed" and shown is not None and shown.seed not in (None, now):
            title = f"{field.palette}: {shown.seed}, as shown"
            yield title, field.description, replace(choices, seed=shown.seed)


def _offered(field: Field) -> tuple[object, ...]:
    values = field.presets or field.values()
    return values if field.default in values or not field.unset else (*values, field.default)
