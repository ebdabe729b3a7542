"""Alignment of two streams after their fork, by token ids.

From the fork on, the search is for the nearest place where `REJOIN_LENGTH` tokens in a row agree
again: nearest in the sum of the tokens that are skipped on both sides. From there the streams are
followed as long as they agree, and the search continues behind. The gaps between such places are
aligned in the same way by runs of `SHORTEST_STRETCH`.

Cost: a search reads no more tokens than its result skips, so all searches together read each token
a fixed number of times, whatever the streams repeat: O(n log n) time for n tokens of both streams
(the logarithm is a binary search among the places of one run), O(n) memory.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

REJOIN_LENGTH = 8  # tokens in a row that are more than chance
SHORTEST_STRETCH = 3  # below that, any two texts share punctuation and small words

# Where each run of tokens begins, in ascending order.
_Places = defaultdict[tuple[int, ...], list[int]]


@dataclass(frozen=True)
class Stretch:
    """Equal token ids in a row: `length` of them, from these steps of the two streams."""

    reference: int
    variant: int
    length: int

    @property
    def is_long(self) -> bool:
        """Whether the streams agree here for longer than by chance."""
        return self.length >= REJOIN_LENGTH


@dataclass(frozen=True)
class Alignment:
    """The aligned stretches after a fork, in order; they never overlap, on either side."""

    stretches: tuple[Stretch, ...]

    @property
    def rejoin(self) -> Stretch | None:
        """Where the streams first agree again for `REJOIN_LENGTH` tokens or more."""
        return next((stretch for stretch in self.stretches if stretch.is_long), None)

    @property
    def aligned(self) -> int:
        return sum(stretch.length for stretch in self.stretches)


@dataclass(frozen=True)
class _Area:
    """A rectangle of steps: from (reference, variant) on, the ends not included."""

    reference: int
    variant: int
    reference_end: int
    variant_end: int


def align(reference: Sequence[int], variant: Sequence[int], fork: int) -> Alignment:
    """Align two token lists from step `fork` on; the stretches are in steps of the lists.

    Of streams that still grow, a later call may find a nearer place.
    """
    whole = _Area(fork, fork, len(reference), len(variant))
    stretches: list[Stretch] = []
    for gap, long in _followed(reference, variant, whole, REJOIN_LENGTH):
        in_gap = (short for _, short in _followed(reference, variant, gap, SHORTEST_STRETCH))
        stretches += [found for found in (*in_gap, long) if found]
    return Alignment(tuple(stretches))


def _followed(
    reference: Sequence[int], variant: Sequence[int], area: _Area, run: int
) -> Iterator[tuple[_Area, Stretch | None]]:
    """Each gap with the stretch of at least `run` tokens behind it; the last gap has none."""
    places: _Places = defaultdict(list)
    for start in range(area.variant, area.variant_end - run + 1):
        places[tuple(variant[start : start + run])].append(start)
    i, j = area.reference, area.variant
    while (found := _nearest(reference, places, i, j, area.reference_end, run)) is not None:
        at, there = found
        length = run
        while (
            at + length < area.reference_end
            and there + length < area.variant_end
            and reference[at + length] == variant[there + length]
        ):
            length += 1
        yield _Area(i, j, at, there), Stretch(at, there, length)
        i, j = at + length, there + length
    yield _Area(i, j, area.reference_end, area.variant_end), None


def _nearest(
    reference: Sequence[int], places: _Places, i: int, j: int, end: int, run: int
) -> tuple[int, int] | None:
    """The pair of equal runs from (i, j) on that skips the fewest tokens on both sides."""
    best: tuple[int, int] | None = None
    for at in range(i, end - run + 1):
        if best is not None and at + j >= sum(best):
            break  # whatever starts here or later skips as much
        starts = places.get(tuple(reference[at : at + run]), ())
        index = bisect_left(starts, j)
        if index < len(starts) and (best is None or at + starts[index] < sum(best)):
            best = at, starts[index]
    return best
