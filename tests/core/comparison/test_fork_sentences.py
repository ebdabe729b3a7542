"""What is said of a fork, and of two streams without one."""

from __future__ import annotations

import pytest

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.fork_sentences import (
    explain_fork,
    explain_pair,
    explain_verdict,
    percent,
    visible_token,
)
from tests.support.forks import (
    comparison_of,
    distribution,
    engine_fork,
    fork_with,
)


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
