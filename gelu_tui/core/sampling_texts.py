"""How the tokens of a run were drawn, in a few words; none if each was the most probable."""

from __future__ import annotations

from gelu_tui.core.protocol import Sampling


def sampling_words(sampling: Sampling) -> list[str]:
    """`temperature 0.7`, `seed 42` and the limits that are on; empty at temperature 0."""
    if not sampling.temperature:
        return []
    seed = "new seed" if sampling.seed is None else f"seed {sampling.seed}"
    return [f"temperature {sampling.temperature:.12g}", seed, *_limits(sampling)]


def short_sampling(sampling: Sampling) -> str:
    """The same for a screen: `T 0.7 seed 42`; empty at temperature 0."""
    words = sampling_words(sampling)
    return " ".join(words).replace("temperature", "T", 1)


def _limits(sampling: Sampling) -> list[str]:
    limits = []
    if 0 < sampling.top_p < 1:
        limits.append(f"top-p {sampling.top_p:.12g}")
    if sampling.min_p:
        limits.append(f"min-p {sampling.min_p:.12g}")
    if sampling.top_k:
        limits.append(f"top-k {sampling.top_k}")
    return limits
