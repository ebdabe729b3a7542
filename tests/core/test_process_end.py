"""Ends of a process in words."""

from __future__ import annotations

import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gelu_tui.core.process_end import (
    LOST_RANK,
    RankThatEnded,
    how_it_ended,
    rank_that_ended,
    what_helps,
)


@given(st.one_of(st.none(), st.integers(-70, 300)), st.text(max_size=30))
def test_every_end_has_a_phrase_and_a_hint(code: int | None, said: str) -> None:
    assert how_it_ended(code)
    assert what_helps(code, said, "See the log.")


@pytest.mark.parametrize("number", list(signal.Signals))
def test_a_signal_has_its_name_also_through_a_shell(number: signal.Signals) -> None:
    assert how_it_ended(-number) == how_it_ended(128 + number) == f"was killed ({number.name})"


@pytest.mark.parametrize(
    ("code", "said", "hint"),
    [
        (-signal.SIGKILL, "", "memory"),
        (-signal.SIGABRT, "", "memory"),
        (-signal.SIGABRT, "what():  std::bad_alloc", "Memory ran out"),
        (1, "OpenBLAS error: Memory allocation still failed", "Memory ran out"),
        (1, "ImportError: x.so: failed to map segment from shared object", "Memory ran out"),
        (1, "ModuleNotFoundError: No module named 'mlx'", "Install gelu-tui again"),
        (-signal.SIGILL, "", "another processor"),
        (-signal.SIGBUS, "", "fetch the model again"),
        (-signal.SIGXCPU, "", "ulimit -t"),
        (7, "", "See the log."),
        (None, "", "See the log."),
    ],
)
def test_hints(code: int | None, said: str, hint: str) -> None:
    assert hint in what_helps(code, said, "See the log.")


def _launcher_says(*ends: tuple[int, int]) -> list[str]:
    warning = "\x1b[33m[WARN] Node with rank {} exited with code {} \x1b[0m"
    return [warning.format(*end) for end in ends]


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ([], None),
        (["anything"], None),
        (_launcher_says((0, 0), (1, 0)), None),
        (_launcher_says((1, -9), (0, LOST_RANK)), RankThatEnded(1, -9, "")),
        (_launcher_says((0, LOST_RANK), (2, -15), (1, -9)), RankThatEnded(1, -9, "")),
        (_launcher_says((1, -15), (0, LOST_RANK)), RankThatEnded(1, -15, "")),
        (
            ["rank 1: no room", "rank 0: lost", *_launcher_says((0, LOST_RANK), (1, 1))],
            RankThatEnded(1, 1, "no room"),
        ),
    ],
)
def test_the_rank_that_ended_first(lines: list[str], found: RankThatEnded | None) -> None:
    assert rank_that_ended(lines) == found
