"""What made a fork: the formula, rounding, or a tie; from the margins of its float32 replay."""

from __future__ import annotations

from gelu_tui.core.protocol import Verdict

# Float32 passes of other shapes do not agree on differences smaller than this.
TIE_NATS = 1e-3


def verdict(reference: float, variant: float, noise: float = 0.0) -> Verdict:
    """Judge a fork by how far, in the replay, each side still prefers its own token.

    `reference` is s_r[a] − s_r[b] and `variant` is s_v[b] − s_v[a], where s are the scores whose
    maximum each side chooses, in nats: the logits, or what sampling computes from them. `noise` is
    the difference that one function shows between two rows on this machine.

    - rounding: one side changes its mind, so that both prefer the same token.
    - formula: both keep their token, and neither margin is under `TIE_NATS` or the noise.
    - tie: all else; also where both change their minds, or a margin is exactly 0.
    """
    if reference and variant and (reference > 0) != (variant > 0):
        return "rounding"
    return "formula" if min(reference, variant) >= max(TIE_NATS, noise) else "tie"
