"""Forks whose every number follows from the logits of a vocabulary of twelve tokens."""

from __future__ import annotations

import math
from typing import Any

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison
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


def fork_with(margins: dict[str, float], **fields: Any) -> p.Fork:
    base = engine_fork(2, "ref", "one")
    values = {name: getattr(base, name) for name in p.Fork.__struct_fields__}
    return p.Fork(**{**values, "margins": margins, **fields})
