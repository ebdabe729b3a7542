"""Sweeps on disk that no engine made."""

from __future__ import annotations

import random
from typing import Any

from msgspec.structs import replace

from gelu_tui.core import protocol as p
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.sweep.header import PromptSetInfo, SweepHeader
from gelu_tui.sweep.outcomes import PromptOutcome, StreamOutcome
from gelu_tui.sweep.prompts import Prompt
from gelu_tui.sweep.settings import SweepSettings
from gelu_tui.sweep.store import SweepStore
from tests.support.comparisons import run_document

KEY = "0123456789abcdef"


def header(count: int = 10, *, models: tuple[str, ...] = ("demo",), **more: Any) -> SweepHeader:
    """The header of a sweep over `count` prompts with the functions of `run_document`."""
    names = ("gelu_approx", "gelu", "silu")
    own: dict[str, Any] = {
        "key": KEY,
        "name": "sky",
        "created": "2025-11-22T00:12:00+00:00",
        "settings": SweepSettings(models=models, activations=names),
        "prompts": PromptSetInfo("prompts.txt", "ab" * 32, count),
        "models": models,
        "functions": tuple(p.VariantInfo(name, "f(x)", "float32") for name in names),
        "reference": "gelu_approx",
    }
    return SweepHeader(**own | more)


def prompt(number: int) -> Prompt:
    return Prompt(number=number, id=f"p{number}", prompt=f"Why is sky {number} blue?")


def outcome_of(document: ComparisonDocument, number: int, model: int = 0) -> PromptOutcome:
    """An outcome with as many streams as the document has; their figures are rough."""
    streams = tuple(
        StreamOutcome(
            len(v.tokens),
            v.finish_reason,
            "same" if v.first_divergent_token is None else "unverified",
            v.first_divergent_token,
            len(v.tokens) if v.first_divergent_token is None else v.first_divergent_token,
            False,
        )
        for v in document.variants
    )
    return PromptOutcome(number, f"p{number}", "questions", model, streams)


def save(store: SweepStore, number: int, model: int = 0, **parts: Any) -> ComparisonDocument:
    """Save a prompt, and return what was saved; `parts` are those of `run_document`."""
    document = run_document(prompt(number).prompt, **parts)
    store.save(model, document, outcome_of(document, number, model), prompt(number))
    return document


def with_other_numbers(document: ComparisonDocument, seed: random.Random) -> ComparisonDocument:
    """The same streams with other statistics, which compress like those of another prompt."""

    def other(value: float | None) -> float | None:
        return None if value is None else value * seed.uniform(0.5, 1.5)

    def step(of: Any) -> Any:
        figures = {name: other(getattr(of, name)) for name in ("logprob", "margin", "kl")}
        return replace(of, decode_s=of.decode_s * seed.uniform(0.5, 1.5), **figures)

    variants = [replace(v, steps=[step(each) for each in v.steps]) for v in document.variants]
    return replace(document, variants=variants)
