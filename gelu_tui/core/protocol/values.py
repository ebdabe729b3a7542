"""The values inside commands and events."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.functions.limits import Limits
from gelu_tui.core.functions.registry import Precision
from gelu_tui.core.functions.variants import Variant

FinishReason = Literal["stop", "length", "repeats", "cancelled", "failed"]
Status = Literal["completed", "cancelled", "failed"]
Verdict = Literal["formula", "rounding", "tie", "unverified"]
ProgressPhase = Literal[
    "download",
    "convert",
    "load",
    "prefill",
    "recompute",
    "replay",
    "what_if",
    "self_check",
    "score",
    "layers",
    "bench",
    "speed",
    "inputs",
]

# The limits of what an engine or a file may say: wide enough for every float32 and every model, and
# narrow enough that sums and squares stay finite and that text can be drawn at once.
Number = Annotated[float, Meta(ge=-1e50, le=1e50)]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]
Amount = Annotated[float, Meta(ge=0, le=1e50)]
Probability = Annotated[float, Meta(ge=0, le=1.01)]  # a sum of float32 may be a little above 1
Count = Annotated[int, Meta(ge=0, le=2**60)]
Index = Annotated[int, Meta(ge=0, le=2**31)]  # a token, a step, a rank, a stream
Name = Annotated[str, Meta(max_length=10_000)]
LONGEST_TEXT = 200_000  # of one token: bytes that are no text pile up, one a token
TokenText = Annotated[str, Meta(max_length=LONGEST_TEXT)]
PromptTokens = Annotated[tuple[Index, ...], Meta(max_length=10_000_000)]


def bits_in_words(quantization: dict[str, int | str] | None) -> str:
    """Return `4-bit`, or `quantized` where the bits are unknown; empty without quantization."""
    bits = (quantization or {}).get("bits")
    return f"{bits}-bit" if bits else "quantized" if quantization else ""


class ModelInfo(msgspec.Struct, frozen=True):
    """A loaded model."""

    id: Name
    family: Name
    dtype: Name
    quantization: dict[Name, Count | Name] | None
    native_activation: Name
    sites: dict[Name, Count] = {}  # number of activation sites by kind (`core.models.families`)
    warnings: tuple[Name, ...] = ()  # on keys of config.json that are not computed as said

    @property
    def bits(self) -> str:
        return bits_in_words(self.quantization)


class FunctionCurve(msgspec.Struct, frozen=True):
    """A function at some x, as the engine computes it; None where it has no finite value there."""

    name: Name
    values: tuple[Number | None, ...]
    derivatives: tuple[Number | None, ...]


class FunctionSpeed(msgspec.Struct, frozen=True):
    """How many values a function makes in a second, alone, and as a multiple of exact GELU's.

    `ratio` is the median over rounds in which both were measured, from `lowest` to `highest`. The
    identity, which computes nothing, has no speed.
    """

    name: Name
    per_second: Amount
    ratio: Amount
    lowest: Amount
    highest: Amount


class Rank(msgspec.Struct, frozen=True):
    """One process of a pipeline, and its part of the model: layers `first_layer` to `end_layer`."""

    host: Name
    first_layer: Count
    end_layer: Count  # the first one that it has not
    weight_bytes: Count


class VariantInfo(msgspec.Struct, frozen=True):
    """One activation function of a comparison."""

    name: Name
    formula: Name  # for people
    precision: Precision
    native: bool = False
    control: bool = False  # differs from the reference only in the order of operations
    limits: Limits | None = None  # outside of which it is the reference's function

    @classmethod
    def of(
        cls, variant: Variant, precision: Precision, native: str, *, control: bool = False
    ) -> VariantInfo:
        is_native = not variant.is_own and variant.name == native
        limits = variant.limits
        return cls(variant.name, variant.formula, precision, is_native, control, limits)


class YardstickInfo(msgspec.Struct, frozen=True):
    """A change of the model under the reference function; the name is known to users."""

    name: Name
    description: Name  # what is changed, for people; empty if it cannot be applied to the model


class Candidate(msgspec.Struct, frozen=True):
    """A token that a stream could have taken, with its probability under that stream."""

    id: Index
    text: TokenText
    probability: Probability


class StreamStep(msgspec.Struct, frozen=True, gc=False):
    """One token of one stream.

    The statistics are of the model's own distribution, at temperature 1 and over the whole
    vocabulary, so the margin of a drawn token may be negative; None if not a number.
    """

    stream: int
    token: Index
    text: TokenText  # what this token completes: empty while a character still lacks bytes
    logprob: Number | None  # nats
    margin: Number | None  # logits
    kl: Number | None  # nats against the reference; None for the reference and after the fork
    decode_s: Seconds  # this stream's own decode seconds so far


class ChatMessage(msgspec.Struct, frozen=True):
    """One message of a conversation that is a prompt."""

    role: Literal["system", "user", "assistant"]
    content: str


class ChoiceScore(msgspec.Struct, frozen=True):
    """How probable a function finds one choice after the prompt."""

    logprob: Number  # of its tokens together, in nats
    tokens: Count


class EarlierStream(msgspec.Struct, frozen=True):
    """What a stream has so far in a run that goes on; only one that has `ended` gets no more."""

    tokens: tuple[Index, ...]
    logprob: Number | None = None  # of its last token, in nats
    decode_s: Seconds = 0.0
    ended: bool = False
    error: ErrorInfo | None = None  # that ended it
    judged: bool = False  # its fork needs no replay


class Given(msgspec.Struct, frozen=True):
    """The steps, in ascending order, at which a stream is given the reference's token.

    `logprob` is that of the last of these tokens under the stream's function, in nats, where it is
    known: the model must still compute it.
    """

    stream: Index
    steps: tuple[Index, ...]
    logprob: Number | None = None


class SelfCheckReport(msgspec.Struct, frozen=True):
    """Whether one function on `rows` rows returns bit-identical logits over `steps` steps.

    If `mixed`, the rows are of prompts of different length, as in a batch of several prompts, and
    each is compared with the same prompt alone.
    """

    rows: Count
    steps: Count
    identical: bool
    max_logit_difference: Amount | None  # absolute; None if logits were not finite
    mixed: bool = False


class Timing(msgspec.Struct, frozen=True):
    """Seconds of a comparison; `tokens_per_second` is of all streams together in decode."""

    load_s: Seconds | None
    prefill_s: Seconds | None
    decode_s: Seconds | None
    decode_steps: Count
    tokens_per_second: Amount | None


class ForkReplay(msgspec.Struct, frozen=True):
    """The numbers of a `Fork` from its replay with hidden states in float32.

    The verdict is decided by `score_margins`: the margins, in logits, of what each side takes the
    maximum of. Without sampling they are the `margins`; with sampling they include the noise of the
    step, and are None if one of the tokens cannot be drawn.
    """

    margins: dict[str, Number]
    score_margins: dict[str, Number | None]
    probabilities: dict[str, Probability]
    ranks: dict[str, Index]
    reference_top: tuple[Candidate, ...]
    variant_top: tuple[Candidate, ...]


class Fork(msgspec.Struct, frozen=True):
    """A first divergent token with both sides' candidates; statistics as in `StreamStep`.

    `a` is the reference's token and `b` the variant's. `margins` are logits: `reference` is
    l_r[a] − l_r[b], `variant` is l_v[b] − l_v[a]. `probabilities` are p_r(a), p_r(b), p_v(a) and
    p_v(b) under the keys `reference_a`, `reference_b`, `variant_a`, `variant_b`. `ranks`, from 0,
    have `a_in_reference`, `b_in_reference`, `a_in_variant` and `b_in_variant`.
    """

    step: int
    reference_token: Index
    variant_token: Index
    reference_text: TokenText = ""
    variant_text: TokenText = ""
    reference_top: tuple[Candidate, ...] = ()
    variant_top: tuple[Candidate, ...] = ()
    margins: dict[str, Number] = {}
    probabilities: dict[str, Probability] = {}
    ranks: dict[str, Index] = {}
    verdict: Verdict = "unverified"
    reason: Name = ""  # why the verdict is `unverified`
    replay: ForkReplay | None = None
    what_if: Counterfactual | None = None  # where it was asked for


class Counterfactual(msgspec.Struct, frozen=True):
    """How a stream goes on that is given the reference's token at its fork.

    `given` are the steps at which it was given it: the fork's, and those where it parted again
    before. `tokens` and `text` follow the last of them, up to the length of the reference's stream.
    `step` is where it parts again, and `fork` what happened there; None where it does not.
    """

    given: tuple[Index, ...]
    tokens: tuple[Index, ...] = ()
    text: str = ""
    finish_reason: FinishReason = "length"
    parts_again: bool = False
    step: Index | None = None
    fork: Fork | None = None
    error: ErrorInfo | None = None  # that ended it
    explanation: Name = ""  # in a sentence; in documents


class ScoredRow(msgspec.Struct, frozen=True, gc=False):
    """One variant, or one yardstick, at the positions of a chunk."""

    variant: int  # its index; yardsticks are counted on after the variants
    logprob: tuple[float, ...]  # ln p of the text's own token
    kl: tuple[float, ...]  # nats against the reference
    same_top: tuple[bool, ...]  # whether its most probable token is the reference's


class TokenChance(msgspec.Struct, frozen=True):
    """How probable one function finds a token, and how many others it finds more probable."""

    logprob: Number
    rank: Index


class Place(msgspec.Struct, frozen=True):
    """A place where a model applies its activation: a site of a layer."""

    layer: Index
    site: Name  # its kind, as in `core.models.families`


class Moved(msgspec.Struct, frozen=True, gc=False):
    """Sums over positions of what a swap does, against the reference in all layers.

    `logit_difference` is the change of the logit of the text's own token less the mean of all.
    """

    kl: Number  # nats
    logit_difference: Number


class SwappedRow(msgspec.Struct, frozen=True, gc=False):
    """What one variant does at a site, alone and where it is everywhere else."""

    noising: Moved  # only this site has the variant
    denoising: Moved  # only this site keeps the reference


class BenchRow(msgspec.Struct, frozen=True):
    """One measured way of decoding; seconds and rates are medians over the rounds."""

    name: str
    rows: int
    step_s: float
    tokens_per_second: float  # of all rows
    peak_memory_bytes: int  # MLX's peak minus its level before
    cache_bytes: int


class SweepWay(msgspec.Struct, frozen=True):
    """One measured way to decode all prompts of a sweep under all functions.

    `seconds` are of each round, and for all streams: where fewer were `measured`, as many seconds
    as all would take at their mean. `phases` are seconds too, medians over the rounds.
    """

    name: Name
    rows: Count  # of a batch
    streams: Count
    measured: Count  # streams
    seconds: tuple[Seconds, ...]
    peak_memory_bytes: Count
    phases: dict[Name, Seconds] = {}

    @property
    def extrapolated(self) -> bool:
        """Whether not all streams were measured."""
        return self.measured < self.streams
