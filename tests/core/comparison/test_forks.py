"""The fork of any pair of streams, and the sentences about it."""

from __future__ import annotations

import math
from typing import Any

import pytest
from msgspec.structs import replace

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.fork_sentences import (
    explain_fork,
    explain_pair,
    explain_verdict,
    percent,
    visible_token,
    why_no_fork,
)
from gelu_tui.core.comparison.forks import fork_seen_from, kl_at_fork, replayed
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.functions.limits import Limits
from tests.support.comparisons import begun

# Logits of one context under three functions, and of a second one; the vocabulary is 12 tokens.
TEXTS = [f" t{i}" for i in range(12)]
LOGITS = {
    "ref": [5.0, 4.9, 4.8, *[0.1 * i for i in range(9)]],
    "one": [4.9, 5.1, 2.0, *[0.1 * i for i in range(9)]],
    "two": [4.0, 3.0, 5.0, *[3.1 + 0.01 * i for i in range(9)]],
    "far": [-9.0, -8.0, -9.0, *[0.1 * i for i in range(9)]],
}


def distribution(name: str) -> list[float]:
    weights = [math.exp(logit) for logit in LOGITS[name]]
    return [weight / sum(weights) for weight in weights]


def ordered(name: str) -> list[int]:
    return sorted(range(12), key=lambda token: -LOGITS[name][token])


def top(name: str) -> tuple[p.Candidate, ...]:
    chances = distribution(name)
    return tuple(p.Candidate(token, TEXTS[token], chances[token]) for token in ordered(name)[:10])


def engine_fork(step: int, reference: str, variant: str) -> p.Fork:
    """What the engine says of two functions in one context, each taking its most likely token."""
    a, b = ordered(reference)[0], ordered(variant)[0]
    r, v = LOGITS[reference], LOGITS[variant]
    p_r, p_v = distribution(reference), distribution(variant)
    return p.Fork(
        step,
        a,
        b,
        TEXTS[a],
        TEXTS[b],
        top(reference),
        top(variant),
        {"reference": r[a] - r[b], "variant": v[b] - v[a]},
        {
            "reference_a": p_r[a],
            "reference_b": p_r[b],
            "variant_a": p_v[a],
            "variant_b": p_v[b],
        },
        {
            "b_in_reference": ordered(reference).index(b),
            "a_in_variant": ordered(variant).index(a),
        },
        reason="not replayed",
    )


def comparison_of(*names: str, reference: int = 0, prefix: int = 2) -> Comparison:
    """Streams that share `prefix` tokens, then each takes its function's token, then 50, 51, …

    A name may say where its stream forks: `two@1`.
    """
    functions = [name.partition("@")[0] for name in names]
    forks_at = [int(name.partition("@")[2] or prefix) for name in names]
    comparison = begun(*functions, reference=reference)
    reference_token = ordered(functions[reference])[0]
    for step in range(prefix + 3):
        said = []
        for stream, (name, at) in enumerate(zip(functions, forks_at, strict=True)):
            parted = step >= at and ordered(name)[0] != reference_token
            forks = step == at and stream != reference and parted
            if step == prefix or (step == at and parted):
                token = ordered(name)[0]
            else:
                token = 40 + step + (20 + 20 * stream) * parted
            logprob = math.log(distribution(name)[token]) if token < 12 else -1.0
            text = TEXTS[token] if token < 12 else f" w{token}"
            kl = 0.25 if forks else None
            said.append(p.StreamStep(stream, token, text, logprob, 1.0, kl, 0.1))
        comparison.apply(p.Step(step, 0.1, tuple(said)))
        for stream, (name, at) in enumerate(zip(functions, forks_at, strict=True)):
            if step == at and stream != reference and ordered(name)[0] != reference_token:
                comparison.apply(p.ForkFound(stream, engine_fork(step, functions[reference], name)))
    return comparison


def approximately(fork: p.Fork, expected: p.Fork) -> None:
    for name in p.Fork.__struct_fields__:
        if name in ("margins", "probabilities"):
            assert getattr(fork, name) == pytest.approx(getattr(expected, name))
        elif name != "reason":
            assert getattr(fork, name) == getattr(expected, name), name


# --- seen from any stream -------------------------------------------------------------------------


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


# --- in words -------------------------------------------------------------------------------------


def test_a_close_call() -> None:
    sentence = explain_fork(engine_fork(2, "ref", "one"), "gelu", "silu")
    chances = percent(distribution("ref")[0]), percent(distribution("one")[1])
    assert sentence == (
        f"At token 2 gelu took “␣t0” ({chances[0]}) and silu took “␣t1” ({chances[1]}). "
        "A close call: each had the other's token second, 0.10 and 0.20 logits behind its own."
    )


def test_a_close_call_on_one_side_only() -> None:
    sentence = explain_fork(engine_fork(2, "ref", "far"), "gelu", "relu")
    assert (
        "A clear difference: gelu had the other's token fourth (4.20 logits behind), " in sentence
    )
    assert "relu had the other's token at place 11 (9.80 logits behind)." in sentence
    close = explain_fork(fork_with({"reference": 0.1, "variant": 3.0}), "gelu", "relu")
    assert "A close call for gelu only: each had the other's token second" in close


def fork_with(margins: dict[str, float], **fields: Any) -> p.Fork:
    base = engine_fork(2, "ref", "one")
    values = {name: getattr(base, name) for name in p.Fork.__struct_fields__}
    return p.Fork(**{**values, "margins": margins, **fields})


@pytest.mark.parametrize(
    ("margins", "call"),
    [
        ({"reference": 0.0, "variant": 0.0}, "A dead heat: "),
        ({"reference": 0.0, "variant": 0.2}, "A dead heat: "),
        ({"reference": 1.0, "variant": 0.0}, "A dead heat for v only: "),
        ({"reference": 0.001, "variant": 0.4}, "A close call: "),
        ({"reference": 0.6, "variant": 0.4}, "Not a close call: "),
        ({"reference": 2.0, "variant": 3.0}, "A clear difference: "),
    ],
)
def test_how_sure_the_sides_were(margins: dict[str, float], call: str) -> None:
    assert call in explain_fork(fork_with(margins), "r", "v")


def test_a_small_margin_never_reads_as_none() -> None:
    assert "0.0004 and 0.12 logits" in explain_fork(
        fork_with({"reference": 0.0004, "variant": 0.12}), "r", "v"
    )


def test_a_margin_that_is_not_known_is_told_by_what_is() -> None:
    sentence = explain_pair(comparison_of("ref", "one", "two"), 1, 2)
    # t1 under two is beyond its first ten: at least the tenth's distance, which is not close.
    assert "Not a close call: one had the other's token third (3.10 logits behind), " in sentence
    assert "two had the other's token not among its first 10." in sentence


def test_an_engine_that_gives_no_figures_gets_no_judgement() -> None:
    bare = p.Fork(3, 7, 8, "a", "", (), (), {}, {}, {})
    assert explain_fork(bare, "r", "v") == "At token 3 r took “a” and v took “token 8”."


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (" light", "␣light"),
        ("  ", "␣␣"),
        ("a b ", "a b␣"),
        ("\n\n", "↵↵"),
        ("\t", "→"),
        ("<start_of_image>", "<start_of_image>"),
        ("\x1b[31m", "␛[31m"),
        ("\u202eabc", "⟨U+202E⟩abc"),
        ("空", "空"),
        ("", "token 5"),
    ],
)
def test_a_token_is_visible_whatever_it_is(text: str, shown: str) -> None:
    assert visible_token(text, 5) == shown


def test_sentences_let_nothing_act_on_a_terminal() -> None:
    evil = "\x1b]0;owned\x07\u202e"
    fork = fork_with({}, reference_text=evil, variant_text=evil * 20, reason=evil)
    for sentence in (explain_fork(fork, evil, evil), explain_verdict(fork, evil, evil)):
        assert not set(sentence) & set(evil[:1] + evil[-2:])
    assert len(explain_fork(fork, "r", "v")) < 250


FORMULA = "The formula made this fork: replayed in float32, "
ROUNDING = "Rounding made this fork, not the formula: replayed in float32, both prefer "
TIE = "A tie: replayed in float32, "


@pytest.mark.parametrize(
    ("verdict", "margins", "said"),
    [
        (
            "formula",
            (0.52, 0.005),
            f"{FORMULA}r still prefers “A” (by 0.52 logits) and v still “B” (by 0.0050 logits).",
        ),
        ("formula", (None, 0.2), f"{FORMULA}r still prefers “A” and v still “B” (by 0.20 logits)."),
        ("rounding", (0.5, -0.2), f"{ROUNDING}“A”, r (by 0.50 logits) and v (by 0.20 logits)."),
        ("rounding", (-0.5, 0.2), f"{ROUNDING}“B”, r (by 0.50 logits) and v (by 0.20 logits)."),
        ("rounding", (-0.5, None), f"{ROUNDING}“B”, r (by 0.50 logits) and v."),
        (
            "tie",
            (0.3, 0.0004),
            f"{TIE}the two still prefer different tokens, but v by only 0.0004 logits: "
            "anything would have flipped it.",
        ),
        ("tie", (0.3, 0.0), f"{TIE}both tokens are equal to v, to the last bit."),
        ("tie", (-0.1, -1e-9), f"{TIE}each prefers the token that the other took, so it was"),
    ],
)
def test_verdicts(verdict: str, margins: tuple[float | None, float | None], said: str) -> None:
    scores = dict(zip(("reference", "variant"), margins, strict=True))
    replay = p.ForkReplay(scores, scores, {}, {}, (), ())
    fork = fork_with({}, verdict=verdict, reference_text="A", variant_text="B", replay=replay)
    assert explain_verdict(fork, "r", "v").startswith(said)


@pytest.mark.parametrize(
    ("verdict", "margins", "said"),
    [
        ("formula", (0.5, 0.2), "r draws “A” again (by 0.50 logits) and v “B” (by 0.20 logits)."),
        ("rounding", (0.5, -0.2), "both draw “A”, r (by 0.50 logits) and v (by 0.20 logits)."),
        ("tie", (0.5, 0.0002), "the two still draw different tokens, but v by only 0.0002 logits"),
        ("tie", (-0.5, -0.2), "each draws the token that the other took"),
    ],
)
def test_drawn_tokens_are_not_preferred(
    verdict: str, margins: tuple[float, float], said: str
) -> None:
    scores = dict(zip(("reference", "variant"), margins, strict=True))
    replay = p.ForkReplay({"reference": -3.0, "variant": 2.0}, scores, {}, {}, (), ())
    fork = fork_with({}, verdict=verdict, reference_text="A", variant_text="B", replay=replay)
    explained = explain_verdict(fork, "r", "v")
    assert f"replayed in float32 with the same draw, {said}" in explained
    assert "prefer" not in explained


@pytest.mark.parametrize("verdict", ["formula", "rounding", "tie"])
def test_verdicts_without_their_numbers(verdict: str) -> None:
    said = explain_verdict(fork_with({}, verdict=verdict), "r", "v")
    assert verdict in said.lower() and "None" not in said and "()" not in said


def test_an_open_verdict_says_why() -> None:
    fork = fork_with({}, reason="the replay was switched off")
    said = explain_verdict(fork, "r", "v")
    assert said == "Not checked: the replay was switched off."


def test_without_a_reason_there_was_no_replay() -> None:
    assert "there was no replay" in explain_verdict(fork_with({}, reason=""), "r", "v")


@pytest.mark.parametrize(
    ("probability", "shown"),
    [(0.3124, "31.2 %"), (1.0, "100.0 %"), (0.0, "0.0 %"), (1e-5, "<0.1 %"), (None, "?")],
)
def test_percent(probability: float | None, shown: str) -> None:
    assert percent(probability) == shown


def test_a_drawn_token_is_no_close_call() -> None:
    said = explain_fork(fork_with({"reference": -0.5, "variant": 1.0}), "r", "v")
    assert "The draw decided: " in said and "0.50 logits ahead" in said
