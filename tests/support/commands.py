"""Commands of the protocol with few words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gelu_tui.core import protocol as p
from gelu_tui.core.settings.run_settings import RunSettings


def comparing(
    prompt: str,
    activations: Sequence[str] = ("gelu",),
    reference: str | None = None,
    **settings: Any,
) -> p.Compare:
    """The command that compares; `settings` are those of `RunSettings`."""
    chosen = RunSettings(activations=tuple(activations), reference=reference, **settings)
    return p.Compare(prompt, chosen)


def scoring(activations: Sequence[str], **parts: Any) -> p.Score:
    """The command that scores; `parts` are fields of `Score` and of `RunSettings`."""
    own = {
        name: parts.pop(name)
        for name in ("text", "tokens", "context", "yardsticks")
        if name in parts
    }
    parts.setdefault("control", True)
    return p.Score(RunSettings(activations=tuple(activations), **parts), **own)


def sampled(temperature: float = 0.0, seed: int | None = None, **limits: Any) -> RunSettings:
    """The settings of a run that samples its tokens so."""
    return RunSettings(temperature=temperature, seed=seed, **limits)
