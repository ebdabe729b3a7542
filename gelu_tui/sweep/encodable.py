"""Values that can be stored as UTF-8."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

_S = TypeVar("_S", bound=msgspec.Struct)


def encodable(value: _S) -> _S:
    """The value with a question mark for every lone surrogate.

    Those are what Python makes of bytes of a path that are not UTF-8; nothing else has them.
    """
    try:
        msgspec.msgpack.encode(value)
        return value
    except UnicodeEncodeError:
        return msgspec.convert(_replaced(msgspec.to_builtins(value)), type(value))


def _replaced(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, list | tuple):
        return [_replaced(each) for each in value]
    if isinstance(value, dict):
        return {_replaced(key): _replaced(each) for key, each in value.items()}
    return value
