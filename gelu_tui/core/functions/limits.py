"""Where in a model a variant has its function: in some layers, at some kinds of places."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Annotated

import msgspec
from msgspec import Meta

from gelu_tui.core.errors import UsageError

# The words of a spec, and the kinds of places as `core.models.families` names them.
KINDS = {
    "mlp": "feed-forward",
    "gate": "per-layer gate",
    "experts": "experts",
    "recurrent": "recurrent block",
}
LAST_LAYER = 999  # more than any model has, and few enough that a name stays short

_RANGE = re.compile(r"([0-9]+)(?:\s*-\s*([0-9]+))?")
_LIKE_RANGES = re.compile(r"(?=.*[0-9])[-–0-9.eE\s]+")
_ALLOWED = (
    f"Allowed are layers, as in silu@0-5,12, kinds ({', '.join(KINDS)}), as in silu@gate, or both."
)

_OTHER_LAYERS = "Choose layers that it has."

Layer = Annotated[int, Meta(ge=0, le=LAST_LAYER)]


class Limits(msgspec.Struct, frozen=True):
    """Outside of them a variant uses the reference's function. `str` is what a spec has after @.

    `layers` are the first and the last layer of each range, in order and apart from each other, all
    layers if empty; `kinds` are words of `KINDS`, in their order, all kinds if empty.
    """

    layers: tuple[tuple[Layer, Layer], ...] = ()
    kinds: Annotated[tuple[Annotated[str, Meta(max_length=40)], ...], Meta(max_length=40)] = ()

    def includes(self, layer: int, kind: str) -> bool:
        """Return whether a place lies within; `kind` as `core.models.families` names it."""
        in_layer = not self.layers or any(first <= layer <= last for first, last in self.layers)
        return in_layer and (not self.kinds or any(KINDS.get(word) == kind for word in self.kinds))

    @property
    def words(self) -> str:
        """`only at gate in layers 0-5, 12`."""
        layers = str(Limits(layers=self.layers)).replace(",", ", ")
        noun = "layer" if layers.isdecimal() else "layers"
        at = f"at {' and '.join(self.kinds)}" if self.kinds else ""
        return " ".join(filter(None, ("only", at, f"in {noun} {layers}" if layers else "")))

    def __str__(self) -> str:
        ranges = (str(a) if a == b else f"{a}-{b}" for a, b in self.layers)
        return "@".join(filter(None, (",".join(self.kinds), ",".join(ranges))))


def parse_limits(text: str) -> Limits:
    """Return the limits that a spec has after its first @. Raises `UsageError`."""
    layers: list[tuple[int, int]] = []
    kinds: set[str] = set()
    for part in text.split("@"):
        words = [word.strip() for word in part.split(",")]
        named = {word for word in words if word in KINDS}
        if named and len(named) < len(set(words)):
            raise refused(f"'{_cut(part)}' has kinds and layers in one list.")
        kinds |= named
        layers += [] if named else map(_range, words)
    return Limits(_joined(layers), tuple(word for word in KINDS if word in kinds))


def check_places(name: str, limits: Limits, places: Collection[tuple[int, str]]) -> None:
    """Raise `UsageError` where limits name what a model has not.

    `places` are all of its places: a layer and a kind, as `core.models.families` names it.
    """
    last = max(layer for layer, _ in places)
    if limits.layers and limits.layers[-1][1] > last:
        missing = max(limits.layers[-1][0], last + 1)
        has = f"This model has {last + 1} layers, 0 to {last}"
        raise UsageError(
            f"{has}: there is no layer {missing} for '{_cut(name)}'.", _OTHER_LAYERS, kind="limits"
        )
    kinds = {kind for _, kind in places}
    if absent := [word for word in limits.kinds if KINDS.get(word) not in kinds]:
        here = [word for word, kind in KINDS.items() if kind in kinds]
        has = f"This model has no {' and no '.join(absent)}, only {' and '.join(here)}"
        hint = f"Choose among {', '.join(here)}, or leave the kind out."
        raise UsageError(f"{has}: there is no place for '{_cut(name)}'.", hint, kind="limits")
    if not any(limits.includes(*place) for place in places):
        of_kind = Limits(kinds=limits.kinds)
        layers = sorted({place[0] for place in places if of_kind.includes(*place)})
        where = str(Limits(layers=_joined((layer, layer) for layer in layers))).replace(",", ", ")
        has = f"This model has {' or '.join(limits.kinds)} only in layers {where}"
        raise UsageError(
            f"{has}: there is no place for '{_cut(name)}'.", _OTHER_LAYERS, kind="limits"
        )


def goes_on(text: str) -> bool:
    """Return whether a part between commas belongs to the limits of the spec before it."""
    begin = text.partition("@")[0].strip()
    return begin in KINDS or _LIKE_RANGES.fullmatch(begin) is not None


def _range(text: str) -> tuple[int, int]:
    if not text:
        raise refused("After @ a layer or a kind is missing.")
    match = _RANGE.fullmatch(text)
    if match is None:
        raise refused(f"'{_cut(text)}' is neither layers nor a kind.")
    ends = [match[1], match[2] or match[1]]
    if any(len(end.lstrip("0")) > len(str(LAST_LAYER)) for end in ends):
        raise refused(f"'{_cut(text)}' is too high: {LAST_LAYER} is the last layer.")
    first, last = map(int, ends)
    if last < first:
        raise refused(f"The layers {first}-{last} end before they begin.")
    return first, last


def _joined(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return ranges in order, those that overlap or meet as one."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(last, found[-1][1])
        else:
            found.append((first, last))
    return tuple(found)


def _cut(text: str) -> str:
    text = text.strip()
    return text if len(text) <= 40 else f"{text[:39]}…"


def refused(message: str) -> UsageError:
    """Return an error whose hint says what may stand after @."""
    return UsageError(message, _ALLOWED, kind="limits")
