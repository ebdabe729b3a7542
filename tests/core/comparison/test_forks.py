"""The fork of any pair of streams."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.fork_sentences import (
    percent,
    why_no_fork,
)
from gelu_tui.core.comparison.forks import fork_seen_from, kl_at_fork, replayed
from gelu_tui.core.functions.limits import Limits
from tests.support.forks import (
    comparison_of,
    distribution,
    engine_fork,
    ordered,
)


def approximately(fork: p.Fork, expected: p.Fork) -> None:
    for name in p.Fork.__struct_fields__:
        if name in ("margins", "probabilities"):
            assert getattr(fork, name) == pytest.approx(getattr(expected, name))
        elif name != "reason":
            assert getattr(fork, name) == getattr(expected, name), name


def test_from_the_runs_reference_it_is_what_the_engine_said() -> None:
    comparison = comparison_of("ref", "one", "two")
    assert fork_seen_from(comparison, 0, 1) is comparison.streams[1].fork
    assert fork_seen_from(comparison, 0, 2) is comparison.streams[2].fork


def test_the_swapped_direction_is_what_the_engine_would_have_said() -> None:
    comparison = comparison_of("ref", "one", "two")
    for stream, name in ((1, "one"), (2, "two")):
        fork = fork_seen_from(comparison, stream, 0)
        assert fork is not None
        approximately(fork, engine_fork(2, name, "ref"))
        assert fork.reason == "not replayed"


def test_a_verdict_survives_the_swap() -> None:
    comparison = comparison_of("ref", "one")
    fork = comparison.streams[1].fork
    assert fork is not None
    ranks = {"b_in_reference": 4, "a_in_variant": 7}
    chances = {"reference_a": 0.4, "reference_b": 0.3, "variant_a": 0.2, "variant_b": 0.1}
    replay = p.ForkReplay(
        {"reference": 0.7, "variant": 0.1},
        {"reference": 0.5, "variant": None},
        chances,
        ranks,
        fork.reference_top,
        fork.variant_top,
    )
    comparison.apply(p.ForkReplayed(1, "rounding", replay=replay))
    swapped = fork_seen_from(comparison, 1, 0)
    assert swapped is not None and swapped.verdict == "rounding"
    assert swapped.replay == p.ForkReplay(
        {"reference": 0.1, "variant": 0.7},
        {"reference": None, "variant": 0.5},
        {"reference_a": 0.1, "reference_b": 0.2, "variant_a": 0.3, "variant_b": 0.4},
        {"b_in_reference": 7, "a_in_variant": 4},
        fork.variant_top,
        fork.reference_top,
    )
    again = replayed(swapped)
    assert again is not None
    assert (again.ranks, again.probabilities) == (
        swapped.replay.ranks,
        swapped.replay.probabilities,
    )
    assert again.margins == {"reference": 0.1, "variant": 0.7} and again.verdict == "rounding"
    assert replayed(fork) is None


def test_a_replay_of_no_fork_is_refused() -> None:
    with pytest.raises(p.ProtocolError):
        comparison_of("ref", "one").apply(p.ForkReplayed(0, "tie"))


def test_two_variants_that_leave_the_reference_together_have_a_fork_of_their_own() -> None:
    comparison = comparison_of("ref", "one", "two")
    fork = fork_seen_from(comparison, 1, 2)
    assert fork is not None
    expected = engine_fork(2, "one", "two")
    assert fork.reference_top == expected.reference_top
    assert fork.variant_top == expected.variant_top
    # One's second, t2, is among the first ten of both; two's t1 came 12th of 12.
    assert ordered("two").index(1) == 11
    assert fork.ranks == {"b_in_reference": expected.ranks["b_in_reference"]}
    assert fork.margins == pytest.approx({"reference": expected.margins["reference"]})
    known = {key: expected.probabilities[key] for key in fork.probabilities}
    assert fork.probabilities == pytest.approx(known)
    assert set(known) == {"reference_a", "reference_b", "variant_b"}
    assert fork.verdict == "unverified" and "run again with one" in fork.reason


def test_its_mirror_image_is_the_same_fork() -> None:
    comparison = comparison_of("ref", "one", "two")
    one, other = fork_seen_from(comparison, 1, 2), fork_seen_from(comparison, 2, 1)
    assert one is not None and other is not None
    assert (other.reference_token, other.variant_token) == (one.variant_token, one.reference_token)
    assert other.margins == pytest.approx({"variant": one.margins["reference"]})
    assert other.ranks == {"a_in_variant": one.ranks["b_in_reference"]}


def test_variants_that_leave_at_different_steps_have_no_candidates_of_their_own() -> None:
    comparison = comparison_of("ref", "one", "two@1")
    assert fork_seen_from(comparison, 1, 2) is None
    assert fork_seen_from(comparison, 2, 1) is None
    assert why_no_fork(comparison, 1, 2) == (
        "At token 1 one took “␣w41” (36.8 %) and two took “␣t2” "
        f"({percent(distribution('two')[2])}). No candidates were kept for this pair; "
        "run again with one as the reference to see them."
    )


def test_a_function_with_limits_is_not_recommended_as_the_reference() -> None:
    comparison = comparison_of("ref", "one", "two@1")
    limited = comparison.streams[1]
    limited.variant = replace(limited.variant, limits=Limits(kinds=("gate",)))
    assert why_no_fork(comparison, 1, 2).endswith(
        "No candidates were kept for this pair; a function with limits cannot be a run's reference."
    )
    together = comparison_of("ref", "one", "two")
    together.streams[1].variant = limited.variant
    fork = fork_seen_from(together, 1, 2)
    assert fork is not None and fork.reason.endswith("cannot be a run's reference")


def test_variants_that_take_the_same_token_go_on_together() -> None:
    comparison = comparison_of("ref", "one", "one")
    comparison.streams[2].tokens[:] = comparison.streams[1].tokens
    assert fork_seen_from(comparison, 1, 2) is None
    assert why_no_fork(comparison, 1, 2) == "one and one: same so far (5 tokens)."


def test_a_stream_against_itself() -> None:
    comparison = comparison_of("ref", "one")
    assert fork_seen_from(comparison, 1, 1) is None
    assert "one itself" in why_no_fork(comparison, 1, 1)


def test_kl_is_known_in_the_runs_own_direction() -> None:
    comparison = comparison_of("ref", "one", "two")
    assert kl_at_fork(comparison, 0, 1) == 0.25
    assert fork_seen_from(comparison, 1, 2) is not None
    assert kl_at_fork(comparison, 1, 2) is None
