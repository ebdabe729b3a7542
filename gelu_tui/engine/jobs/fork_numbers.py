"""Distributions as the protocol tells them: candidates, and the numbers of a fork."""

from __future__ import annotations

import math

from gelu_tui.core import protocol as p
from gelu_tui.engine.compute.statistics import Distribution, Logits
from gelu_tui.engine.models.tokenizer import Tokenizer

TOP_CANDIDATES = 10


def candidates(tokenizer: Tokenizer, distribution: Distribution) -> tuple[p.Candidate, ...]:
    """The most probable tokens, best first."""
    return tuple(
        p.Candidate(token, tokenizer.piece(token), distribution.probability(token))
        for token in distribution.top(TOP_CANDIDATES)
    )


def margin(scores: Logits, own: int, other: int) -> float:
    """How far a token is before another one; 0 where neither can be taken."""
    difference = float(scores[own]) - float(scores[other])
    return 0.0 if math.isnan(difference) else difference


def fork_numbers(
    r: Distribution, v: Distribution, a: int, b: int
) -> tuple[dict[str, float], dict[str, float], dict[str, int]]:
    """Margins, probabilities and ranks of a fork, with the keys of `protocol.Fork`."""
    return (
        {"reference": margin(r.logits, a, b), "variant": margin(v.logits, b, a)},
        {
            "reference_a": r.probability(a),
            "reference_b": r.probability(b),
            "variant_a": v.probability(a),
            "variant_b": v.probability(b),
        },
        {
            "b_in_reference": r.rank(b),
            "a_in_variant": v.rank(a),
            "a_in_reference": r.rank(a),
            "b_in_variant": v.rank(b),
        },
    )
