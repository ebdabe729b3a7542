"""The numbers of a fork: candidates, margins, probabilities, ranks."""

from __future__ import annotations

import math
from typing import Any

from gelu_tui.core import protocol as p
from gelu_tui.engine.compute.statistics import Distribution, Logits
from gelu_tui.engine.models.tokenizer import Tokenizer

_CANDIDATES = 10


def margin(scores: Logits, own: int, other: int) -> float:
    """Score of one token minus that of another; 0 where neither can be chosen (both −inf)."""
    difference = float(scores[own]) - float(scores[other])
    return 0.0 if math.isnan(difference) else difference


def fork_numbers(
    tokenizer: Tokenizer, r: Distribution, v: Distribution, a: int, b: int
) -> dict[str, Any]:
    """The fields that `Fork` and `ForkReplay` share.

    `r` and `v` are the reference's and the variant's distributions, `a` and `b` their tokens.
    """

    def candidates(side: Distribution) -> tuple[p.Candidate, ...]:
        top = side.top(_CANDIDATES)
        return tuple(p.Candidate(t, tokenizer.piece(t), side.probability(t)) for t in top)

    return {
        "reference_top": candidates(r),
        "variant_top": candidates(v),
        "margins": {"reference": margin(r.logits, a, b), "variant": margin(v.logits, b, a)},
        "probabilities": {
            "reference_a": r.probability(a),
            "reference_b": r.probability(b),
            "variant_a": v.probability(a),
            "variant_b": v.probability(b),
        },
        "ranks": {
            "b_in_reference": r.rank(b),
            "a_in_variant": v.rank(a),
            "a_in_reference": r.rank(a),
            "b_in_variant": v.rank(b),
        },
    }
