"""The metadata of a setting, from which options, help, file and palette are generated."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
from msgspec import Meta, inspect


def about(description: str, **more: Any) -> Meta:
    """Return the metadata of a setting for its `Annotated` type; `more` are fields of `Field`."""
    return Meta(description=description, extra=more)


@dataclass(frozen=True)
class Field:
    """One setting; `name` is its name in Python, in the settings file and in JSON."""

    name: str
    type: Any  # with its limits, for `msgspec.convert`
    info: inspect.Type  # the same as msgspec describes it, without metadata and None
    default: Any
    description: str  # one sentence for help, file and palette
    unset: str = ""  # what a default means that is no value of its own (None, "auto")
    example: object = None  # for the commented file, where the default is None
    metavar: str = "VALUE"
    options: tuple[str, ...] = ()  # where they do not follow from `name`
    form: str = ""  # what a text must look like, where its type says more than "text"
    noun: str = ""  # what the app calls it in a sentence
    needs: str = ""  # a setting without which this one has no effect

    def values(self) -> tuple[Any, ...]:
        """Return the values that the type lists, none if it has a range."""
        types = self.info.types if isinstance(self.info, inspect.UnionType) else (self.info,)
        lists = (
            (True, False) if isinstance(info, inspect.BoolType) else info.values
            for info in types
            if isinstance(info, inspect.BoolType | inspect.LiteralType)
        )
        return tuple(itertools.chain.from_iterable(lists))

    def names(self) -> tuple[str, ...]:
        """Return the names that a list may hold, none where it may hold any text."""
        match self.info:
            case inspect.VarTupleType(item_type=inspect.LiteralType(values=values)):
                return tuple(map(str, values))
        return ()

    def text(self, value: object) -> str:
        """Return a value as it is typed; empty for None."""
        if isinstance(value, tuple):
            return ", ".join(map(str, value))
        if isinstance(value, float):
            return short if float(short := f"{value:g}") == value else str(value)
        return "" if value is None else str(value)

    def word(self, value: object) -> str:
        """Return a value as the app shows it."""
        if isinstance(value, bool):
            return "on" if value else "off"
        if value == self.default and (self.unset or self.needs):
            return self.unset or "off"
        return f"{value:.12g}" if isinstance(value, float) else self.text(value)


@cache
def fields_of(struct: type[msgspec.Struct]) -> dict[str, Field]:
    """Return the settings of a struct by name, in their order."""
    described = inspect.type_info(struct)
    assert isinstance(described, inspect.StructType)
    found = {}
    for field, own in zip(msgspec.structs.fields(struct), described.fields, strict=True):
        info = own.type
        assert isinstance(info, inspect.Metadata), f"{own.name} does not describe itself"
        more = {"description": (info.extra_json_schema or {})["description"], **(info.extra or {})}
        while isinstance(info, inspect.Metadata):
            info = info.type
        match info:
            case inspect.UnionType(types=(only, inspect.NoneType())):
                info = only
        default = own.default_factory() if callable(own.default_factory) else own.default
        more.setdefault("noun", own.name.replace("_", " "))
        found[own.name] = Field(own.name, field.type, info, default, **more)
    return found
