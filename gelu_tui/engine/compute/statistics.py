"""Statistics of next-token distributions, from float32 logits; natural logarithms, nats.

The arrays have one entry a token of the vocabulary, 262,144 for Gemma 3, and every decode step pays
for each pass over them. So the passes are few, and the formulas are exact enough in float32.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.float32]

# Above this the definition itself is accurate in float32; below it its terms cancel.
_SMALL_KL = 0.01


class NotANumber(ArithmeticError):
    """A model's logits hold nan, or inf where a finite maximum is needed."""


@dataclass(frozen=True)
class Distribution:
    """One row of logits with its normaliser; `logits` has shape (vocabulary,)."""

    logits: Logits
    log_normaliser: float

    @classmethod
    def of(cls, logits: Logits) -> Distribution:
        """Normalise one row. Raises `NotANumber`."""
        top = logits.max()
        if not np.isfinite(top):
            raise NotANumber
        scaled = logits - top
        np.exp(scaled, out=scaled)
        return cls(logits, float(top) + float(np.log(scaled.sum(dtype=np.float64))))

    def logprob(self, token: int) -> float:
        return float(self.logits[token]) - self.log_normaliser

    def probability(self, token: int) -> float:
        return float(np.exp(self.logprob(token)))

    def probabilities(self) -> Logits:
        """p of every token, shape (vocabulary,)."""
        scaled = self.logits - np.float32(self.log_normaliser)
        np.exp(scaled, out=scaled)
        return scaled

    def margin(self, token: int) -> float:
        """Logit of `token` minus the largest logit of any other: top-1 − top-2 of the top token."""
        parts = (self.logits[:token], self.logits[token + 1 :])
        others = [part.max() for part in parts if part.size]
        return float(self.logits[token]) - float(max(others)) if others else 0.0

    def rank(self, token: int) -> int:
        """How many tokens come before `token`; 0 is the top. Equal logits: the lower id first."""
        logit = self.logits[token]
        return int((self.logits > logit).sum() + (self.logits[:token] == logit).sum())

    def top(self, count: int) -> list[int]:
        """The ids of the `count` most probable tokens, best first; equal logits by lower id."""
        count = min(count, self.logits.size)
        threshold = np.partition(self.logits, -count)[-count]
        ids = np.flatnonzero(self.logits >= threshold)
        order = np.lexsort((ids, -self.logits[ids]))
        return [int(token) for token in ids[order[:count]]]


def kl_divergence(
    reference: Distribution, variant: Distribution, probabilities: Logits | None = None
) -> float:
    """Σ p_r (ln p_r − ln p_v) in nats; exactly 0 for equal logits.

    `probabilities` are the reference's, if they are known. Where the distributions are close the
    definition loses all its digits in float32, so there the equal form
    ln(1 + Σ p_r (e^(−u) − 1 + u)), u = δ − Σ p_r δ, δ = l_r − l_v, is used: no term is negative.
    """
    p = reference.probabilities() if probabilities is None else probabilities
    difference = reference.logits - variant.logits
    # The shift that all logits share goes first: the sum over p would keep 1e-5 of it.
    moved = np.float32(reference.log_normaliser - variant.log_normaliser)
    difference -= moved
    mean = float(np.dot(p, difference))
    direct = mean + float(moved) - reference.log_normaliser + variant.log_normaliser
    if direct > _SMALL_KL:
        return direct
    difference -= np.float32(mean)
    u = difference
    if max(float(u.max()), -float(u.min())) < 0.1:
        # Taylor series of e^(−u) − 1 + u, which cancels too: u²(1/2 − u/6 + u²/24)
        terms = u * np.float32(1 / 24)
        terms -= np.float32(1 / 6)
        terms *= u
        terms += np.float32(0.5)
        terms *= u
        terms *= u
    else:
        # Clipped so that a token that the variant all but forbids cannot overflow.
        terms = np.expm1(np.minimum(-u, np.float32(80)))
        terms += u
    return max(0.0, float(np.log1p(np.dot(p, terms))))
