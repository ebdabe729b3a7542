"""What rank 0 tells the other ranks. Each message goes once around the ring."""

from __future__ import annotations

from typing import Any

import msgspec

from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.functions.expressions import Call, Node, Number, Variable
from gelu_tui.core.functions.registry import Precision
from gelu_tui.core.protocol import Rank

# --- functions ------------------------------------------------------------------------------------

PackedNode = Any
"""A formula as plain data: "x", a number, or a list of an operator's name and its arguments."""


def packed(node: Node) -> PackedNode:
    """The formula as plain data."""
    match node:
        case Variable():
            return "x"
        case Number(value):
            return value
        case Call(function, arguments):
            return [function, *map(packed, arguments)]


def unpacked(data: PackedNode) -> Node:
    """The formula of which `packed` made this."""
    if data == "x":
        return Variable()
    if isinstance(data, float):
        return Number(data)
    return Call(data[0], tuple(map(unpacked, data[1:])))


class Formula(msgspec.Struct, frozen=True):
    """A function of rows; two that are equal are still two, and never one block of rows."""

    formula: PackedNode
    precision: Precision


class Block(msgspec.Struct, frozen=True):
    """Neighbouring rows of a batch that have one function, by its place in `Forward.functions`.

    `others` are the sites that have another one: layer, kind, and its place.
    """

    function: int
    rows: int
    others: tuple[tuple[int, str, int], ...] = ()


# --- caches ---------------------------------------------------------------------------------------


class CacheChange(msgspec.Struct, frozen=True, tag=True):
    """A change of the caches of all ranks, which have one number for all layers' together."""

    cache: int


class New(CacheChange, frozen=True):
    """An empty prompt cache."""


class Join(CacheChange, frozen=True):
    """Prompt caches of equal length as the rows of a new one."""

    rows: tuple[int, ...]


class Mix(CacheChange, frozen=True):
    """Prompt caches of any length as the rows of a new batch cache."""

    rows: tuple[int, ...]


class Extend(CacheChange, frozen=True):
    """The rows of another batch cache are appended."""

    other: int


class Select(CacheChange, frozen=True):
    """Only these rows are kept, in this order."""

    rows: tuple[int, ...]


class Drop(CacheChange, frozen=True):
    """The cache is not needed any more."""


Changes = tuple[New | Join | Mix | Extend | Select | Drop, ...]

# --- messages -------------------------------------------------------------------------------------


class Load(msgspec.Struct, frozen=True, tag=True):
    """Load layers `borders[rank]` to `borders[rank + 1]` of a model, in place of another one.

    It is passed on before it is obeyed, so that all ranks load at once.
    """

    model: str
    dtype: str | None
    borders: tuple[int, ...]
    configuration: str  # a digest
    versions: dict[str, str]


class Report(msgspec.Struct, frozen=True, tag=True):
    """Every rank appends what it has loaded, or it fails."""

    ranks: tuple[Rank, ...]


class Forward(msgspec.Struct, frozen=True, tag=True):
    """Hidden states follow, and go through the layers of every rank.

    `blocks` are the functions of the rows; None: the model's own. `float32` as `compute.float32`.
    Before it, the caches are changed.
    """

    shape: tuple[int, ...]
    dtype: str
    cache: int | None
    functions: tuple[Formula, ...]
    blocks: tuple[Block, ...] | None
    float32: bool
    changes: Changes


class FindNotFinite(msgspec.Struct, frozen=True, tag=True):
    """The first rank that has a tensor with nan or infinity puts in its name."""

    name: str | None = None


class Done(msgspec.Struct, frozen=True, tag=True):
    """Rank 0 waits for the next command; it has answered so many of them since it began."""

    commands: int
    changes: Changes


class Failed(msgspec.Struct, frozen=True, tag=True):
    """What a rank could not do, in place of the message that it received."""

    error: ErrorInfo


Message = Load | Report | Forward | FindNotFinite | Done | Failed
