"""What the next run will compare, as the user has set it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gelu_tui.core.errors import UsageError
from gelu_tui.core.functions.variants import Variant, parse_variants
from gelu_tui.core.settings.field import fields_of
from gelu_tui.core.settings.run_settings import RunSettings

if TYPE_CHECKING:
    from gelu_tui.core.runs.document import ComparisonDocument


def like(choices: RunSettings, saved: ComparisonDocument) -> RunSettings:
    """Return a saved comparison's settings on the chosen model, or `choices` if they cannot run."""
    if not chosen_variants(saved.settings):
        return choices
    return replace(saved.settings, model=choices.model, dtype=choices.dtype)


def chosen_variants(choices: RunSettings) -> list[Variant]:
    """Return the chosen functions, none if the choice cannot be run."""
    try:
        return parse_variants(choices.activations)
    except UsageError:
        return []


def setting_variations(
    choices: RunSettings, shown: RunSettings | None = None
) -> Iterator[tuple[str, str, RunSettings]]:
    """Yield title, explanation and result of every change that the palette offers.

    `shown` are the settings of the run on the screen, whose seed can be used again.
    """
    for field in fields_of(type(choices)).values():
        now = getattr(choices, field.name)
        if not field.palette or (field.needs and not getattr(choices, field.needs)):
            continue
        values = field.presets or field.values()
        if field.unset and field.default not in values:
            values = (*values, field.default)
        for value in values:
            if value != now:
                title = f"{field.palette}: {field.word(value)}"
                yield title, field.description, replace(choices, **{field.name: value})
        if field.name == "seed" and shown is not None and shown.seed not in (None, now):
            title = f"{field.palette}: {shown.seed}, as shown"
            yield title, field.description, replace(choices, seed=shown.seed)
