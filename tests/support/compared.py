"""Comparisons for the fork and matrix screens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison
from tests.support.commands import started
from tests.support.fake_engine import BASE, RELU, SILU

Top = list[tuple[str, float]]


def token_id(text: str) -> int:
    return sum(ord(char) * 31**place for place, char in enumerate(text)) % 262_144


class Run:
    """A comparison that is fed by hand; the texts of the streams say which tokens they are."""

    def __init__(self, *names: str, reference: int = 0, prompt: str = "Why is the sky blue?"):
        variants = tuple(p.VariantInfo(name, "x", "float32") for name in names)
        self.comparison = Comparison.begin(started(prompt, variants, reference, max_tokens=40))

    def feed(self, *texts: Sequence[str]) -> None:
        """One step after another for all streams, as long as their texts go."""
        first = [len(stream.tokens) for stream in self.comparison.streams]
        for step in range(max(map(len, texts))):
            said = tuple(
                p.StreamStep(stream, token_id(text[step]), text[step], -0.5, 1.0, 0.25, 0.1)
                for stream, text in enumerate(texts)
                if step < len(text)
            )
            self.comparison.apply(p.Step(max(first) + step, 0.1, said))

    def fork(self, stream: int, reference_top: Top, variant_top: Top, **fields: Any) -> None:
        """The fork of a stream as an engine tells it: the first of each list was taken."""
        step = self.comparison.streams[stream].first_divergent_token
        assert step is not None
        (a, p_a), (b, p_b) = reference_top[0], variant_top[0]
        values: dict[str, Any] = {
            "margins": {"reference": 0.05, "variant": 0.12},
            "probabilities": {
                "reference_a": p_a,
                "reference_b": dict(reference_top).get(b, 1e-6),
                "variant_a": dict(variant_top).get(a, 1e-6),
                "variant_b": p_b,
            },
            "ranks": {"b_in_reference": 1, "a_in_variant": 1},
            "reason": "forks are not replayed yet",
            **fields,
        }
        tops = [
            tuple(p.Candidate(token_id(text), text, chance) for text, chance in top)
            for top in (reference_top, variant_top)
        ]
        ids = token_id(a), token_id(b)
        self.comparison.apply(p.ForkFound(stream, p.Fork(step, *ids, a, b, *tops, **values)))

    def finish(self, reason: p.FinishReason = "length") -> None:
        for stream in range(len(self.comparison.streams)):
            self.comparison.apply(p.StreamFinished(stream, reason))


SCATTERING: Top = [(" scattering", 0.312), (" light", 0.28), *((f" r{i}", 0.03) for i in range(8))]
LIGHT: Top = [(" light", 0.28), (" scattering", 0.249), *((f" v{i}", 0.02) for i in range(8))]


def five(tokens: int = 40) -> Run:
    """gelu = gelu_approx; gelu_fast_approx forks at 10 and rejoins, silu at 1, relu at 0."""
    run = Run("gelu", "gelu_approx", "gelu_fast_approx", "silu", "relu", reference=1)
    fast = [*BASE[:10], " light", " scattering", *BASE[11:]]
    silu, relu = [BASE[0], *SILU, *SILU], [*RELU, *RELU, *RELU, *RELU, *RELU]
    run.feed(*(texts[:tokens] for texts in (BASE, BASE, fast, silu, relu)))
    if tokens > 10:
        run.fork(2, SCATTERING, LIGHT)
    return run
