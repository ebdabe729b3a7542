"""Alignment after the fork: what it promises of any two streams, and what it costs."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gelu_tui.tui.fork.alignment import REJOIN_LENGTH, SHORTEST_STRETCH, Alignment, Stretch, align


def text(words: str) -> list[int]:
    """Token ids, a letter each."""
    return [ord(char) for char in words]


def aligned(reference: str, variant: str, fork: int = 0) -> list[tuple[int, int, int]]:
    found = align(text(reference), text(variant), fork)
    return [(s.reference, s.variant, s.length) for s in found.stretches]


# --- by hand --------------------------------------------------------------------------------------


def test_one_token_changed() -> None:
    assert aligned("Xabcdefghij", "Yabcdefghij") == [(1, 1, 10)]


def test_a_token_more_and_a_token_less() -> None:
    assert aligned("abcdefghij", "Xabcdefghij") == [(0, 1, 10)]
    assert aligned("Xabcdefghij", "abcdefghij") == [(1, 0, 10)]


def test_steps_count_from_the_start_of_the_streams_not_from_the_fork() -> None:
    assert aligned("same.Xabcdefghij", "same.YZabcdefghij", fork=5) == [(6, 7, 10)]


def test_what_is_equal_before_the_fork_is_not_looked_at() -> None:
    assert aligned("abcdefghX", "abcdefghYabcdefgh", fork=8) == []


def test_short_stretches_stand_in_the_gaps_between_long_ones() -> None:
    assert aligned("1the2abcdefgh3and4", "5the6789abcdefgh0and-") == [
        (1, 1, 3),
        (5, 8, 8),
        (14, 17, 3),
    ]


def test_two_tokens_alike_are_chance() -> None:
    assert aligned("1of2", "3of4") == []


def test_a_short_likeness_nearby_does_not_hide_the_rejoin() -> None:
    # "cde" stands near in both, but following it would step over the eight that agree.
    assert aligned("Xabcdefgh", "Ycde--abcdefgh") == [(1, 6, 8)]


def test_the_rejoin_needs_eight() -> None:
    assert align(text("XabcdefgY"), text("ZabcdefgW"), 0).rejoin is None
    assert align(text("XabcdefghY"), text("ZabcdefghW"), 0).rejoin == Stretch(1, 1, 8)


def test_streams_part_again_after_they_rejoined() -> None:
    reference, variant = "Xabcdefgh-1234567890", "Yabcdefgh+++1234567890"
    assert aligned(reference, variant) == [(1, 1, 8), (10, 12, 10)]


def test_a_repetition_against_another_phase_of_itself() -> None:
    assert aligned("X" + "abc" * 8, "Yc" + "abc" * 8) == [(1, 2, 24)]


@pytest.mark.parametrize(("reference", "variant"), [("", ""), ("abc", ""), ("", "abc"), ("a", "b")])
def test_nothing_to_align(reference: str, variant: str) -> None:
    found = align(text(reference), text(variant), 0)
    assert found == Alignment(())
    assert found.rejoin is None and found.aligned == 0


# --- of any two streams ---------------------------------------------------------------------------


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[int], list[int], int]:
    """Two streams that share blocks, some repeated, some in another order, and a fork."""
    letters = st.integers(0, draw(st.integers(1, 6)))
    blocks = draw(st.lists(st.lists(letters, min_size=1, max_size=14), min_size=1, max_size=5))

    def stream() -> list[int]:
        chosen = draw(st.lists(st.sampled_from(blocks), max_size=6))
        return [token for block in chosen for token in block]

    prefix = draw(st.lists(letters, max_size=4))
    return [*prefix, 90, *stream()], [*prefix, 91, *stream()], len(prefix)


def runs(
    reference: list[int], variant: list[int], fork: int, length: int
) -> list[tuple[int, int, int]]:
    """All pairs of equal runs from the fork on, by definition: tokens skipped, and the places."""
    return [
        (i + j - 2 * fork, i, j)
        for i in range(fork, len(reference) - length + 1)
        for j in range(fork, len(variant) - length + 1)
        if reference[i : i + length] == variant[j : j + length]
    ]


@settings(max_examples=300, deadline=None)
@given(streams())
def test_stretches_are_equal_ids_in_order_and_never_overlap(
    given_streams: tuple[list[int], list[int], int],
) -> None:
    reference, variant, fork = given_streams
    found = align(reference, variant, fork)
    for stretch in found.stretches:
        i, j, length = stretch.reference, stretch.variant, stretch.length
        assert min(i, j) >= fork and length >= SHORTEST_STRETCH
        assert reference[i : i + length] == variant[j : j + length]
        assert len(reference[i : i + length]) == len(variant[j : j + length]) == length
    for one, following in pairwise(found.stretches):
        assert one.reference + one.length <= following.reference
        assert one.variant + one.length <= following.variant


@settings(max_examples=300, deadline=None)
@given(streams())
def test_the_rejoin_is_the_nearest_place_where_eight_agree(
    given_streams: tuple[list[int], list[int], int],
) -> None:
    reference, variant, fork = given_streams
    rejoin = align(reference, variant, fork).rejoin
    possible = runs(reference, variant, fork, REJOIN_LENGTH)
    if not possible:
        assert rejoin is None
    else:
        assert rejoin is not None
        assert rejoin.reference + rejoin.variant - 2 * fork == min(possible)[0]
        assert (rejoin.reference, rejoin.variant) in {(i, j) for _, i, j in possible}


@settings(max_examples=300, deadline=None)
@given(streams())
def test_nothing_that_agrees_is_left_between_stretches(
    given_streams: tuple[list[int], list[int], int],
) -> None:
    reference, variant, fork = given_streams
    stretches = align(reference, variant, fork).stretches
    start = Stretch(fork, fork, 0)
    end = Stretch(len(reference), len(variant), 0)
    for one, following in pairwise([start, *stretches, end]):
        behind_one = one.reference + one.length, one.variant + one.length
        gap = reference[behind_one[0] : following.reference]
        other = variant[behind_one[1] : following.variant]
        assert runs(gap, other, 0, SHORTEST_STRETCH) == []


@settings(max_examples=200, deadline=None)
@given(streams())
def test_the_other_way_round_it_is_as_far_to_the_rejoin(
    given_streams: tuple[list[int], list[int], int],
) -> None:
    reference, variant, fork = given_streams
    one, other = align(reference, variant, fork).rejoin, align(variant, reference, fork).rejoin
    assert (one is None) == (other is None)
    if one is not None and other is not None:
        assert one.reference + one.variant == other.reference + other.variant


# --- what it costs, in tokens read, not in seconds ------------------------------------------------


class Counted(list[int]):
    """A token list that counts how many tokens are read from it."""

    read = 0

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        self.read += len(found) if isinstance(key, slice) else 1
        return found


LENGTH = 4000
SHARED = [random.Random(0).randrange(50_000) for _ in range(LENGTH)]
WORST = {
    "one token, over and over": ([1] * LENGTH, [1] * LENGTH),
    "one token against another": ([1] * LENGTH, [2] * LENGTH),
    "the same loop in two phases": ([1, 2, 3, 4, 5] * 800, [4, 5, 1, 2, 3] * 800),
    "nearly a loop": ([1] * 7 + [2], [1] * 7 + [3]),
    "loops with one breach each": (([1] * 9 + [2]) * 400, ([1] * 9 + [3]) * 400),
    "runs of three, never of eight": ([1, 1, 1, 1, 2] * 800, [1, 1, 1, 1, 3] * 800),
    "nothing in common": (list(range(LENGTH)), list(range(LENGTH, 2 * LENGTH))),
    "far apart": ([*range(10**6, 10**6 + LENGTH), *SHARED], [*SHARED, *range(LENGTH)]),
    "random, few letters": (
        [random.Random(1).randrange(3) for _ in range(LENGTH)],
        [random.Random(2).randrange(3) for _ in range(LENGTH)],
    ),
    "of very different length": ([1, 2, 3] * 3, SHARED * 2),
}


@pytest.mark.parametrize("case", WORST)
def test_each_token_is_read_a_fixed_number_of_times(case: str) -> None:
    reference, variant = Counted([90, *WORST[case][0]]), Counted([91, *WORST[case][1]])
    align(reference, variant, 0)
    both = len(reference) + len(variant)
    # An index of either run length over the variant, a search of either over the reference that
    # goes at most as far beyond its find as the find skips, and following what was found.
    assert reference.read + variant.read <= 2 * (REJOIN_LENGTH + SHORTEST_STRETCH + 1) * both
