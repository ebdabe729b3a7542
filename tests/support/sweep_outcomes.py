"""Outcomes of prompts that no engine made, drawn from a seed with a hazard for each function."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence

from gelu_tui.core import protocol as p
from gelu_tui.core.functions.variants import CONTROL
from gelu_tui.sweep.outcomes import Outcome, PromptOutcome, StreamOutcome, WhatIfOutcome

FUNCTIONS = ("gelu_approx", "gelu", "gelu_fast_approx", "keras_gelu_approx", CONTROL)
CATEGORIES = ("questions", "stories", "code", "mathematics", "Japanese", "other languages",
              "lists and formats", "dialogue")  # fmt: skip
# Chance of a divergence at a step, and how often the formula made it.
HAZARDS: Mapping[str, tuple[float, float]] = {
    "gelu": (0.0004, 0.05), "gelu_fast_approx": (0.012, 0.8), "relu": (0.4, 1.0),
    "keras_gelu_approx": (0.0001, 0.0), CONTROL: (0.0001, 0.0),
}  # fmt: skip
MAX_TOKENS = 256


def prompt_outcomes(
    prompts: int = 40,
    functions: Sequence[str] = FUNCTIONS,
    *,
    model: int = 0,
    max_tokens: int = MAX_TOKENS,
    categories: Sequence[str] = CATEGORIES,
    hazards: Mapping[str, tuple[float, float]] = HAZARDS,
    answers: bool = False,
    full_kl: bool = False,
    what_if: bool = False,
    seed: int = 0,
) -> list[PromptOutcome]:
    """Finished prompts; the first function is the reference. Of three streams one ends itself."""
    drawn = random.Random(f"{seed} {model}")
    return [
        PromptOutcome(
            number,
            f"{number:04d}",
            categories[number % len(categories)] if categories else "",
            model,
            tuple(_streams(drawn, functions, hazards, max_tokens, answers, full_kl, what_if)),
        )
        for number in range(prompts)
    ]


def _streams(
    drawn: random.Random,
    functions: Sequence[str],
    hazards: Mapping[str, tuple[float, float]],
    cap: int,
    answers: bool,
    full_kl: bool,
    what_if: bool,
) -> Iterator[StreamOutcome]:
    ends = drawn.random() < 1 / 3
    length = drawn.randint(max(1, cap // 4), cap) if ends else cap
    reason: p.FinishReason = "stop" if ends and length < cap else "length"
    right = drawn.random() < 0.6
    for place, function in enumerate(functions):
        hazard, by_formula = hazards.get(function, (0.01, 0.5)) if place else (0.0, 0.0)
        waited = int(math.log(1 - drawn.random()) / math.log(1 - hazard)) if hazard else length
        fdt = waited if waited < length else None
        verdicts: tuple[Outcome, ...] = ("rounding", "rounding", "tie")
        outcome: Outcome = "same"
        if fdt is not None:
            outcome = "formula" if drawn.random() < by_formula else drawn.choice(verdicts)
        size = 10 ** drawn.uniform(-0.7, 0.7) * max(hazard, 1e-9) ** 1.5 * bool(place)
        compared = length if fdt is None else fdt
        steps = min(compared + 1, length) * bool(place)
        correct = (right != (drawn.random() < min(0.3, hazard * 8))) if answers else None
        yield StreamOutcome(
            tokens=length if fdt is None else cap,
            finish_reason=reason if fdt is None else "length",
            outcome=outcome,
            first_divergent_token=fdt,
            compared=compared,
            identical=fdt is None and reason == "stop",
            kl=size * steps,
            kl_steps=steps,
            full_kl=size * 1.4 * length * full_kl,
            full_kl_steps=length * full_kl * bool(place),
            close_calls=int(drawn.random() < 0.05),
            correct=correct,
            correct_norm=correct,
            wwb=(compared, compared / length, length - compared, (length - compared) / length),
            what_if=_tried(drawn, length - fdt - 1, reason)
            if what_if and fdt is not None
            else None,
        )


def _tried(drawn: random.Random, room: int, reason: p.FinishReason) -> WhatIfOutcome | None:
    """After the reference's token, of which `room` tokens are left: some streams part again."""
    waited = int(drawn.expovariate(1 / 20))
    if not room:
        return None
    return WhatIfOutcome(True, waited) if waited < room else WhatIfOutcome(
        False, room, reason == "stop")  # fmt: skip


def all_outcomes(
    prompts: int,
    functions: Sequence[str] = FUNCTIONS,
    models: int = 1,
    *,
    max_tokens: int = MAX_TOKENS,
    **drawn: object,
) -> list[PromptOutcome]:
    """The finished prompts of all models, one model after the other."""
    return [
        outcome
        for model in range(models)
        for outcome in prompt_outcomes(
            prompts,
            functions,
            model=model,
            max_tokens=max_tokens,
            **drawn,  # type: ignore[arg-type]
        )
    ]
