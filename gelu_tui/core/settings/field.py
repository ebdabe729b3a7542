"""What a setting states about itself, once: everything that shows or reads it is made from this."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
from msgspec import Meta, inspect


def about(description: str, **more: Any) -> Meta:
    """The metadata of a setting, for its `Annotated` type; `more` are attributes of `Field`."""
    return Meta(description=description, extra=more)


@dataclass(frozen=True)
class Field:
    """One setting.

    Attributes:
        name: The name in Python, in the settings file and in JSON.
        type: The type with its limits, for `msgspec.convert`.
        info: The same as msgspec describes it, without metadata and None.
        default: The value of a setting that is left out.
        description: One sentence for help, file and palette.
        unset: What the default means where it is no value of its own (None, "auto").
        example: A value for the commented file, where the default is None.
        metavar: The placeholder of the option's value in the help.
        options: Names of the option, where they do not follow from `name`.
        palette: The title of its entries in the command palette; empty for none.
        presets: The values that the palette offers; without any, all that the type lists.
        needs: The name of a setting without which this one has no effect.
    """

    name: str
    type: Any
    info: inspect.Type
    default: Any
    description: str
    unset: str = ""
    example: object = None
    metavar: str = "VALUE"
    options: tuple[str, ...] = ()
    palette: str = ""
    presets: tuple[Any, ...] = ()
    needs: str = ""

    def values(self) -> tuple[Any, ...]:
        """The values that the type lists, none if it has a range."""
        types = self.info.types if isinstance(self.info, inspect.UnionType) else (self.info,)
        found: list[Any] = []
        for info in types:
            match info:
                case inspect.BoolType():
                    found += (True, False)
                case inspect.LiteralType(values=values):
                    found += values
        return tuple(found)

    def word(self, value: object) -> str:
        """A value as the app shows it."""
        if self.unset and value == self.default:
            return self.unset
        if isinstance(value, bool):
            return "on" if value else "off"
        if self.needs and value == self.default:
            return "off"
        return f"{value:.12g}" if isinstance(value, float) else str(value)


@cache
def fields_of(struct: type[msgspec.Struct]) -> dict[str, Field]:
    """The settings of a struct by name, in their order."""
    described = inspect.type_info(struct)
    assert isinstance(described, inspect.StructType)
    found = {}
    for field, own in zip(msgspec.structs.fields(struct), described.fields, strict=True):
        info, stated = own.type, own.type
        while isinstance(info, inspect.Metadata):
            info = info.type
        match info:
            case inspect.UnionType(types=(only, inspect.NoneType())):
                info = only
        assert isinstance(stated, inspect.Metadata), f"{own.name} does not describe itself"
        default = own.default_factory() if callable(own.default_factory) else own.default
        description = (stated.extra_json_schema or {})["description"]
        found[own.name] = Field(
            own.name, field.type, info, default, description, **(stated.extra or {})
        )
    return found
