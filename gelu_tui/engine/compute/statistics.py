"""Statistics of next-token distributions, from float32 logits; natural logarithms, nats.

The arrays have one entry a token of the vocabulary, 262,144 for Gemma 3, and every decode step pays
for each pass over them. So the passes are few, and the formulas are exact enough in float32.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Logits = npt.NDArray[np.float32]

# What is computed of a row is computed of a block at a time: this many float32 stay in a core's own
# cache, and new memory for a whole row would cost as much as the work itself.
_BLOCK = 65_536

# Above this the definition itself is accurate in float32; below it its terms cancel.
_SMALL_KL = 0.01

# Up to this difference of logits three terms of a series are exact enough.
_SMALL_DIFFERENCE = 0.1


class _Buffers(threading.local):
    """Two blocks of each thread's own."""

    def __init__(self) -> None:
        self.one = np.empty(_BLOCK, np.float32)
        self.two = np.empty(_BLOCK, np.float32)


_buffers = _Buffers()


def _blocks(row: Logits) -> list[Logits]:
    return [row[at : at + _BLOCK] for at in range(0, row.size, _BLOCK)]


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
        total, buffer = 0.0, _buffers.one
        for block in _blocks(logits):
            scaled = np.subtract(block, top, out=buffer[: block.size])
            np.exp(scaled, out=scaled)
            total += float(scaled.sum(dtype=np.float64))
        return cls(logits, float(top) + math.log(total))

    def logprob(self, token: int) -> float:
        return float(self.logits[token]) - self.log_normaliser

    def probability(self, token: int) -> float:
        return float(np.exp(self.logprob(token)))

    def probabilities(self, out: Logits | None = None) -> Logits:
        """p of every token, shape (vocabulary,); in `out` if it is given."""
        scaled = np.subtract(self.logits, np.float32(self.log_normaliser), out=out)
        return np.exp(scaled, out=scaled)

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
    # The shift that all logits share is removed first: the sum over p would keep 1e-5 of it.
    moved = np.float32(reference.log_normaliser - variant.log_normaliser)
    mean, close = _moments(p, reference.logits, variant.logits, moved)
    direct = mean + float(moved) - reference.log_normaliser + variant.log_normaliser
    if direct > _SMALL_KL:
        return direct
    if close is None:
        shift = moved + np.float32(mean)
        return math.log1p(max(0.0, _sum_of_terms(p, reference.logits, variant.logits, shift)))
    # Of e^(−u) − 1 + u the series, which cancels too: u²/2 − u³/6 + u⁴/24. The moments are those
    # of δ, whose mean is near 0.
    second, third, fourth = close
    fourth += mean * (-4 * third + mean * (6 * second - 3 * mean**2))
    third += mean * (-3 * second + 2 * mean**2)
    second -= mean**2
    return math.log1p(max(0.0, second / 2 - third / 6 + fourth / 24))


def _moments(
    p: Logits, r: Logits, v: Logits, moved: np.float32
) -> tuple[float, tuple[float, float, float] | None]:
    """Σ p δ; and Σ p δ², Σ p δ³, Σ p δ⁴ if every δ is small; δ = r − v − moved."""
    first = second = third = fourth = 0.0
    small = True
    for weights, left, right in zip(_blocks(p), _blocks(r), _blocks(v), strict=True):
        d = np.subtract(left, right, out=_buffers.one[: left.size])
        if moved:
            d -= moved
        if small and max(float(d.max()), -float(d.min())) >= _SMALL_DIFFERENCE:
            small = False
        first += float(np.dot(weights, d))
        if not small:
            continue
        weighted = np.multiply(weights, d, out=_buffers.two[: left.size])
        second += float(np.dot(weighted, d))
        weighted *= d
        third += float(np.dot(weighted, d))
        weighted *= d
        fourth += float(np.dot(weighted, d))
    return first, (second, third, fourth) if small else None


def _sum_of_terms(p: Logits, r: Logits, v: Logits, shift: np.float32) -> float:
    """Σ p (e^(−u) − 1 + u), u = r − v − shift."""
    total = 0.0
    for weights, left, right in zip(_blocks(p), _blocks(r), _blocks(v), strict=True):
        u = np.subtract(left, right, out=_buffers.one[: left.size])
        u -= shift
        terms = np.negative(u, out=_buffers.two[: left.size])
        # Clipped so that a token that the variant all but forbids cannot overflow.
        np.minimum(terms, np.float32(80), out=terms)
        np.expm1(terms, out=terms)
        terms += u
        total += float(np.dot(weights, terms))
    return total
