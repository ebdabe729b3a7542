"""What commands and events are made of."""

from __future__ import annotations

from typing import Literal

import msgspec

from gelu_tui.core.functions.registry import Precision
from gelu_tui.core.functions.variants import Variant

FinishReason = Literal["stop", "length", "cancelled", "failed"]
Status = Literal["completed", "cancelled", "failed"]
Verdict = Literal["formula", "rounding", "tie", "unverified"]
ProgressPhase = Literal[
    "download", "convert", "load", "prefill", "replay", "self_check", "score", "bench"
]


def bits_in_words(quantization: dict[str, int | str] | None) -> str:
    """`4-bit`, or `quantized` where the bits are unknown; empty without quantization."""
    if not quantization:
        return ""
    bits = quantization.get("bits")
    return f"{bits}-bit" if bits else "quantized"


class ModelInfo(msgspec.Struct, frozen=True):
    """A loaded model, as the engine and the documents name it.

    `sites` counts the places where the activation acts, by the names of `core.families`; empty
    where that is not told.
    """

    id: str
    family: str
    dtype: str
    quantization: dict[str, int | str] | None
    native_activation: str
    sites: dict[str, int] = {}

    @property
    def bits(self) -> str:
        """As `bits_in_words`."""
        return bits_in_words(self.quantization)


class VariantInfo(msgspec.Struct, frozen=True):
    """One activation function of a comparison; `formula` is text for people.

    `control` marks the one that differs from the reference in the order of its operations only.
    """

    name: str
    formula: str
    precision: Precision
    native: bool = False
    control: bool = False

    @classmethod
    def of(
        cls,
        variant: Variant,
        precision: Precision,
        native_activation: str,
        *,
        control: bool = False,
    ) -> VariantInfo:
        """A variant as the protocol and the documents name it."""
        native = not variant.is_own and variant.name == native_activation
        return cls(variant.name, variant.formula, precision, native, control)


class Candidate(msgspec.Struct, frozen=True):
    """A token that a stream might have taken, with its probability under that stream."""

    id: int
    text: str
    probability: float


class StreamStep(msgspec.Struct, frozen=True, gc=False):
    """One token of one stream.

    `text` is what this token completes: empty while a character still lacks bytes. `logprob` in
    nats, `margin` in logits, `kl` in nats against the reference (None for the reference itself and
    after the fork). A statistic that is not a number is None. All are of the model's own
    distribution, at temperature 1 and over the whole vocabulary, however the token was drawn: so
    the margin of one that was not the most probable is negative. `decode_s` counts this stream's
    own decode seconds, its first token included.
    """

    stream: int
    token: int
    text: str
    logprob: float | None
    margin: float | None
    kl: float | None
    decode_s: float


class SelfCheckReport(msgspec.Struct, frozen=True):
    """Whether one function on `rows` rows gives bit-identical logits on this machine.

    `max_logit_difference` is the largest absolute difference between two rows, over `steps` steps;
    None if the function made logits that are not finite.
    """

    rows: int
    steps: int
    identical: bool
    max_logit_difference: float | None


class Timing(msgspec.Struct, frozen=True):
    """Seconds of a comparison; `tokens_per_second` is of all streams together, in decode."""

    load_s: float | None
    prefill_s: float | None
    decode_s: float | None
    decode_steps: int
    tokens_per_second: float | None


class ForkReplay(msgspec.Struct, frozen=True):
    """The numbers of a fork again, from its replay with hidden states in float32.

    As in `Fork`. `score_margins` are what the verdict is made of: margins of what each side
    takes the maximum of, in logits too. Greedy, they are the `margins`; under sampling they hold
    the noise of the step, and are None where one of the tokens cannot be drawn at all.
    """

    margins: dict[str, float]
    score_margins: dict[str, float | None]
    probabilities: dict[str, float]
    ranks: dict[str, int]
    reference_top: tuple[Candidate, ...]
    variant_top: tuple[Candidate, ...]


class Fork(msgspec.Struct, frozen=True):
    """What happened at a first divergent token, with both sides' candidates.

    `a` is the reference's token and `b` the variant's. `margins` are logits: `reference` is
    l_r[a] − l_r[b], `variant` is l_v[b] − l_v[a]. `probabilities` are p_r(a), p_r(b), p_v(a) and
    p_v(b) under the keys `reference_a`, `reference_b`, `variant_a`, `variant_b`. `ranks` (0 is the
    top): `b_in_reference`, `a_in_variant`, and of the own tokens, which a draw may take from
    anywhere, `a_in_reference`, `b_in_variant`. All are of the models' own distributions, as in
    `StreamStep`: where tokens are drawn, a margin may be negative. `reason` states why a verdict
    is `unverified`.
    """

    step: int
    reference_token: int
    variant_token: int
    reference_text: str = ""
    variant_text: str = ""
    reference_top: tuple[Candidate, ...] = ()
    variant_top: tuple[Candidate, ...] = ()
    margins: dict[str, float] = {}
    probabilities: dict[str, float] = {}
    ranks: dict[str, int] = {}
    verdict: Verdict = "unverified"
    reason: str = ""
    replay: ForkReplay | None = None


class ScoredRow(msgspec.Struct, frozen=True, gc=False):
    """One variant at the positions of a chunk.

    `logprob` is ln p of the text's own token, `kl` nats against the reference, `same_top` whether
    both hold the same token for the most probable.
    """

    variant: int
    logprob: tuple[float, ...]
    kl: tuple[float, ...]
    same_top: tuple[bool, ...]


class BenchRow(msgspec.Struct, frozen=True):
    """One measured way of decoding; seconds and rates are medians over the rounds.

    `tokens_per_second` counts all rows. `memory_bytes` is MLX's peak over its level before.
    """

    name: str
    rows: int
    step_s: float
    tokens_per_second: float
    peak_memory_bytes: int
    cache_bytes: int
