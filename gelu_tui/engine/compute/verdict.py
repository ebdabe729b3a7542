"""What made a fork: the formula, rounding, or a tie; from the margins of its float32 replay."""

from __future__ import annotations

from gelu_tui.core.protocol import Verdict

# Nearer than this, two tokens are equal for all that float32 passes of other shapes agree on.
TIE_NATS = 1e-3


def verdict(reference: float, variant: float, noise: float = 0.0) -> Verdict:
    """Judge a fork by how far, in the replay, each side still prefers its own token.

    `reference` is s_r[a] − s_r[b] and `variant` is s_v[b] − s_v[a], where s are the scores whose
    maximum each side takes, in nats: the logits, or what sampling makes of them. `noise` is the
    difference that one function shows between two rows on this machine.

    - One side changes its mind: both prefer the same token, so precision alone parted them.
    - Both keep theirs: the formula did, unless one of the calls is nearer than `TIE_NATS` or the
      noise, where anything would have flipped it.
    - Both change their minds: that is no work of the formula either; it is as near as a tie. So is
      a margin of exactly 0: that side prefers neither.
    """
    if reference and variant and (reference > 0) != (variant > 0):
        return "rounding"
    return "formula" if min(reference, variant) >= max(TIE_NATS, noise) else "tie"
