"""The check of settings from the file, the environment, the command line and the app."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect

from gelu_tui.core.errors import UsageError
from gelu_tui.core.functions.controls import check_room
from gelu_tui.core.functions.registry import NATIVE_OF
from gelu_tui.core.functions.variants import named, parse_variants, resolve_reference, split_specs
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.settings.field import Field, fields_of
from gelu_tui.core.settings.run_settings import RunSettings


def convert(field: Field, value: object, name: str = "", *, text: bool = False) -> Any:
    """Return the value of one setting, of its type and within its limits.

    `name` is what the user calls the setting, if it has another name. With `text`, numbers and the
    like are written as text, as in the environment. A list of one text may be that text; functions,
    and names of which there are only some, may be one comma-separated text. Raises `UsageError`,
    whose kind is the setting's name.
    """
    original = value
    match field.info:
        case inspect.VarTupleType() if isinstance(value, str | list | tuple):
            texts = [value] if isinstance(value, str) else value
            is_functions = field.name == "activations" and all(isinstance(x, str) for x in texts)
            if is_functions:
                value = named(split_specs(texts))
            elif field.names() and all(isinstance(x, str) for x in texts):
                parts = (part.strip() for text in texts for part in text.split(","))
                value = tuple(dict.fromkeys(filter(None, parts)))
                original = next((part for part in value if part not in field.names()), original)
            else:
                value = texts
        case inspect.DictType() if text and isinstance(value, str):
            with contextlib.suppress(msgspec.DecodeError):
                value = msgspec.json.decode(value)
    with contextlib.suppress(msgspec.ValidationError):
        found = msgspec.convert(value, field.type, strict=not text)
        if found is not None and found == found:  # nan passes every limit
            return found
    wrong = shown(original) if text and original != "" else quoted(original)
    must = f"{name or field.name} must be {field.form or allowed(field.info)}, not {wrong}."
    raise UsageError(must, field.description, kind=field.name)


def check(settings: RunSettings, *, room: bool = True) -> None:
    """Raise `UsageError` for what is wrong without a model; `room`: also for a control too many."""
    for field in fields_of(type(settings)).values():
        value = getattr(settings, field.name)
        if value is not None or field.default is not None:
            convert(field, value)
    variants = parse_variants(settings.activations)
    # Which function is native, only the engine knows.
    references = {resolve_reference(variants, settings.reference, n) for n in NATIVE_OF}
    if settings.control and room:
        check_room(variants, references)


def allowed(info: inspect.Type) -> str:
    """Return in words what values a type has."""
    match info:
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType(ge=low, le=None):
            return f"a whole number, {low} or more"
        case inspect.IntType(ge=low, le=high):
            return f"a whole number from {low} to {high}"
        case inspect.FloatType(gt=None, ge=low, le=high):
            return f"a number from {low:g} to {high:g}"
        case inspect.FloatType(gt=low, le=high):
            return f"a number above {low:g}, at most {high:g}"
        case inspect.LiteralType(values=values):
            return " or ".join(f'"{value}"' for value in values)
        case inspect.VarTupleType():
            return "a list of texts"
        case inspect.DictType():
            return "a table"
        case inspect.UnionType(types=types):
            return " or ".join(map(allowed, types))
    return "text"


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return a question about the nearest known name; empty if none is near."""
    near = difflib.get_close_matches(name.lower(), list(known), n=1)
    return f"Did you mean '{near[0]}'?" if near else ""


def quoted(value: object) -> str:
    """Return a value as the file writes it: "9" is not 9."""
    return f'"{shown(value)}"' if isinstance(value, str) else shown(value)


def shown(value: object) -> str:
    """Return a value or a path on one line, safe to print; a long value is cut."""
    line = visible_line(str(value).lower() if isinstance(value, bool) else str(value))
    return line if isinstance(value, Path) or len(line) <= 40 else f"{line[:40]}…"
