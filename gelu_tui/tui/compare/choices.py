"""What the next run will compare, as the user has set it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec.structs import replace

from gelu_tui.core.errors import UsageError
from gelu_tui.core.functions.variants import Variant, parse_variants
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.settings.field import Field, fields_of
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.core.settings.validation import check, convert

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


class Variation(NamedTuple):
    """A change of one setting that the palette offers; without `choices` the value is typed."""

    title: str
    explanation: str
    field: Field
    choices: RunSettings | None


def setting_variations(
    choices: RunSettings, shown: RunSettings | None = None
) -> Iterator[Variation]:
    """Yield every change of a setting: each value that its type lists, else one to be typed.

    `shown` are the settings of the run on the screen, whose seed can be used again.
    """
    for field in fields_of(type(choices)).values():
        now, noun = getattr(choices, field.name), field.noun
        about = " ".join(filter(None, (field.description, without_effect(field, choices))))
        titles: dict[Any, str] = {}
        for value in field.values():
            is_switch = isinstance(value, bool)
            titles[value] = (
                f"Turn {noun} {field.word(value)}" if is_switch else f"Set {noun} to {value}"
            )
        if not titles:
            yield Variation(
                f"Set {noun}…", f"{about} Now: {visible_line(field.word(now))}.", field, None
            )
        if field.name == "seed" and shown is not None and shown.seed is not None:
            titles[shown.seed] = f"Set {noun} to {shown.seed}, as in the run shown"
        if field.unset:
            titles[field.default] = f"Reset {noun}: {field.unset}"
        for value, title in titles.items():
            if value != now:
                yield Variation(title, about, field, replace(choices, **{field.name: value}))


def typed(choices: RunSettings, field: Field, text: str) -> RunSettings:
    """Return the choices with a value that was typed. Raises `UsageError`."""
    text = text.strip()
    unset = not text and field.default is None
    value = None if unset else convert(field, text, text=True)
    changed = replace(choices, **{field.name: value})
    check(changed)
    return changed


def without_effect(field: Field, choices: RunSettings) -> str:
    """Return a sentence where another setting makes this one idle, else an empty text."""
    if not field.needs or getattr(choices, field.needs):
        return ""
    needed = fields_of(type(choices))[field.needs]
    return f"It has no effect while {needed.noun} is {needed.text(getattr(choices, field.needs))}."
