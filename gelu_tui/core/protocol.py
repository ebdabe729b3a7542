"""The one definition of what the app and the engine say to each other.

Both sides speak JSON, one object a line. Commands carry the tag `command`, events the tag `event`.
Unknown fields are ignored, so that either side may be a little newer; an unknown tag is an error.
The first event is always `Hello`, and its protocol version must match.
"""

from __future__ import annotations

import json
from typing import Literal, TypeVar

import msgspec

from gelu_tui.core.errors import ErrorInfo, GeluError

PROTOCOL_VERSION = 1

_T = TypeVar("_T")

Schedule = Literal["lockstep", "solo"]
Precision = Literal["float32", "model"]
FinishReason = Literal["stop", "length", "cancelled", "failed"]
Status = Literal["completed", "cancelled", "failed"]
Verdict = Literal["formula", "rounding", "tie", "unverified"]
ProgressPhase = Literal[
    "download", "convert", "load", "prefill", "replay", "self_check", "score", "bench"
]


# --- values -----------------------------------------------------------------------------------


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


class Sampling(msgspec.Struct, frozen=True):
    """How tokens are drawn, by mlx-lm's own transforms; all rows share the noise of each step.

    `temperature` 0 takes the most probable token, and then the rest does not matter. `seed` None
    lets the engine choose one, which `Started` tells. `top_p` 1, `top_k` 0 and `min_p` 0 are off.
    """

    temperature: float = 0.0
    seed: int | None = None
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0


GREEDY = Sampling()


class VariantInfo(msgspec.Struct, frozen=True):
    """One activation function of a comparison; `formula` is text for people.

    `control` marks the one that differs from the reference in the order of its operations only.
    """

    name: str
    formula: str
    precision: Precision
    native: bool = False
    control: bool = False


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


# --- commands ---------------------------------------------------------------------------------


class Command(msgspec.Struct, frozen=True, tag_field="command"):
    """What the app asks of the engine."""


class Load(Command, frozen=True, tag="load"):
    """Load a model: `demo`, a folder, or a hub id. Replaces the model that was loaded."""

    model: str
    dtype: str | None = None


class Fetch(Command, frozen=True, tag="fetch"):
    """Bring a model onto this machine without loading it: `demo`, or a hub id.

    The model that is loaded stays. Ends with `Fetched`, `Failed` or `Cancelled`.
    """

    model: str


class Compare(Command, frozen=True, tag="compare"):
    """Decode one prompt under several activation functions.

    `activations` are names, aliases or `NAME=EXPRESSION`; `reference` is one of their names, or
    None for the native function if chosen, else the first. `chat` None means: if the tokenizer has
    a template. `control` adds a variant that differs from the reference in the order of its
    operations only. `replay`: whether forks are replayed in float32 when all streams have ended.
    """

    prompt: str
    activations: tuple[str, ...]
    reference: str | None = None
    max_tokens: int = 256
    schedule: Schedule = "lockstep"
    chat: bool | None = None
    activation_precision: Precision = "float32"
    sampling: Sampling = GREEDY
    control: bool = False
    replay: bool = True


class RenderPrompt(Command, frozen=True, tag="render_prompt"):
    """Tell what the loaded model would be fed for a prompt, without running it.

    `chat` as in `Compare`. Answered in turn: after a run that is going on.
    """

    prompt: str
    chat: bool | None = None


class Bench(Command, frozen=True, tag="bench"):
    """Measure the loaded model: plain mlx-lm, one variant, lockstep, raw batched forward passes."""

    prompt: str
    tokens: int = 24
    rounds: int = 3
    rows: tuple[int, ...] = (2, 4, 8)


class Replay(Command, frozen=True, tag="replay"):
    """Replay the forks that the running comparison has found so far, between two of its steps.

    With nothing running it does nothing. Answered by `ForkReplayed`.
    """


class Score(Command, frozen=True, tag="score"):
    """Feed one text to several activation functions and compare what each makes of every token.

    Either `text`, or `tokens` as a model was fed them. `activations`, `reference` and `control` as
    in `Compare`; `context` is the length of a window in tokens, None for the usual one.
    """

    activations: tuple[str, ...]
    text: str = ""
    tokens: tuple[int, ...] = ()
    reference: str | None = None
    activation_precision: Precision = "float32"
    control: bool = True
    context: int | None = None


class Cancel(Command, frozen=True, tag="cancel"):
    """Stop what is running; with nothing running it does nothing."""


class Shutdown(Command, frozen=True, tag="shutdown"):
    """Stop what is running and exit."""


AnyCommand = Load | Fetch | Compare | RenderPrompt | Bench | Score | Replay | Cancel | Shutdown


# --- events -----------------------------------------------------------------------------------


class Event(msgspec.Struct, frozen=True, tag_field="event"):
    """What the engine reports."""


class Hello(Event, frozen=True, tag="hello"):
    """The first event, before MLX is imported."""

    protocol: int
    versions: dict[str, str]
    pid: int
    log_file: str


class Progress(Event, frozen=True, tag="progress"):
    """How far a long step is. `total` 0 means unknown; `rate` is units a second, 0 if unknown."""

    phase: ProgressPhase
    label: str
    done: int
    total: int
    unit: Literal["bytes", "files", "tokens", "parts"]
    rate: float = 0.0


class Loaded(Event, frozen=True, tag="loaded"):
    """The model is ready. `blas` names the BLAS library of a CPU backend, None on a GPU."""

    model: ModelInfo
    folder: str
    device: str
    blas: str | None
    versions: dict[str, str]
    load_s: float
    context_length: int
    has_chat_template: bool
    weight_bytes: int


class Fetched(Event, frozen=True, tag="fetched"):
    """A model is on this machine, whole, in `folder`."""

    model: str
    folder: str


class Started(Event, frozen=True, tag="started"):
    """A comparison begins: everything that was resolved from the command.

    `control` and `replay` are as asked; `sampling` has a seed if anything is drawn.
    """

    prompt: str
    prompt_text: str
    prompt_tokens: tuple[int, ...]
    variants: tuple[VariantInfo, ...]
    reference: int
    max_tokens: int
    schedule: Schedule
    chat: bool
    sampling: Sampling = GREEDY
    control: bool = False
    replay: bool = True


class PromptRendered(Event, frozen=True, tag="prompt_rendered"):
    """The answer to `RenderPrompt`; `prompt` is the command's.

    `prompt_text` is exact, with what the tokenizer puts in front of a raw prompt (BOS). `pieces`
    are the texts of `prompt_tokens` one by one: a lone byte by its name, so that their join may
    differ from the text. `special_ids` are those among the tokens that only control the model.
    """

    prompt: str
    prompt_text: str
    prompt_tokens: tuple[int, ...]
    pieces: tuple[str, ...]
    special_ids: tuple[int, ...]
    chat: bool
    has_chat_template: bool
    context_length: int


class Prefilled(Event, frozen=True, tag="prefilled"):
    """One stream's prompt is in its cache."""

    stream: int
    seconds: float
    prompt_tps: float


class Step(Event, frozen=True, tag="step"):
    """New tokens, at most one of each stream; `elapsed_s` since the comparison began.

    `memory_bytes` is what MLX holds in arrays, weights and caches included; 0 if not told.
    """

    step: int
    elapsed_s: float
    streams: tuple[StreamStep, ...]
    memory_bytes: int = 0


class ForkReplay(msgspec.Struct, frozen=True):
    """The numbers of a fork again, from its replay with hidden states in float32.

    As in `ForkFound`; under sampling `margins` are of what is drawn from, in nats too, and None
    where the other token cannot be drawn at all.
    """

    margins: dict[str, float | None]
    probabilities: dict[str, float]
    ranks: dict[str, int]
    reference_top: tuple[Candidate, ...]
    variant_top: tuple[Candidate, ...]


class ForkFound(Event, frozen=True, tag="fork"):
    """A stream's first divergent token, with both sides' candidates.

    `a` is the reference's token and `b` the variant's. `margins` are logits: `reference` is
    l_r[a] − l_r[b], `variant` is l_v[b] − l_v[a]. `probabilities` are p_r(a), p_r(b), p_v(a) and
    p_v(b) under the keys `reference_a`, `reference_b`, `variant_a`, `variant_b`. `ranks` (0 is the
    top): `b_in_reference`, `a_in_variant`. All are of the models' own distributions, as in
    `StreamStep`: where tokens are drawn, a margin may be negative.
    """

    stream: int
    step: int
    reference_token: int
    variant_token: int
    reference_text: str
    variant_text: str
    reference_top: tuple[Candidate, ...]
    variant_top: tuple[Candidate, ...]
    margins: dict[str, float]
    probabilities: dict[str, float]
    ranks: dict[str, int]
    verdict: Verdict = "unverified"
    reason: str = ""
    replay: ForkReplay | None = None


class ForkReplayed(Event, frozen=True, tag="fork_replayed"):
    """What made the fork of a stream; `reason` says why it is not known (`unverified`)."""

    stream: int
    verdict: Verdict
    reason: str = ""
    replay: ForkReplay | None = None


class StreamFinished(Event, frozen=True, tag="stream_finished"):
    """A stream's last word: `tail` is text that was still waiting for bytes."""

    stream: int
    finish_reason: FinishReason
    tail: str = ""
    error: ErrorInfo | None = None


class SelfChecked(Event, frozen=True, tag="self_check"):
    """The A/A control of this model, backend and number of rows."""

    report: SelfCheckReport


class Finished(Event, frozen=True, tag="finished"):
    """A comparison ended, one way or another; a peak of 0 means that it is not known."""

    status: Status
    timing: Timing
    peak_memory_bytes: int
    error: ErrorInfo | None = None


class ScoreStarted(Event, frozen=True, tag="score_started"):
    """A scoring begins: everything that was resolved from the command.

    `tokens` are those of the text, without BOS; `positions` those of them that will be scored.
    `context` is the length of a window in tokens, BOS included.
    """

    variants: tuple[VariantInfo, ...]
    reference: int
    tokens: int
    windows: int
    positions: int
    context: int


class ScoredRow(msgspec.Struct, frozen=True, gc=False):
    """One variant at the positions of a chunk.

    `logprob` is ln p of the text's own token, `kl` nats against the reference, `same_top` whether
    both hold the same token for the most probable.
    """

    variant: int
    logprob: tuple[float, ...]
    kl: tuple[float, ...]
    same_top: tuple[bool, ...]


class ScoreChunk(Event, frozen=True, tag="score_chunk"):
    """The next positions of a scoring, of the reference and of every variant that has not failed.

    `top_probability` is the reference's, of its most probable token.
    """

    logprob: tuple[float, ...]
    top_probability: tuple[float, ...]
    rows: tuple[ScoredRow, ...]


class ScoreFailed(Event, frozen=True, tag="score_failed"):
    """One variant cannot be scored any further; the others go on."""

    variant: int
    error: ErrorInfo


class ScoreFinished(Event, frozen=True, tag="score_finished"):
    """A scoring ended, one way or another; `seconds` without the load."""

    status: Status
    seconds: float
    peak_memory_bytes: int
    error: ErrorInfo | None = None


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


class BenchReport(Event, frozen=True, tag="bench_report"):
    """All measured rows and their ratios, computed pairwise within each round (medians)."""

    rows: tuple[BenchRow, ...]
    ratios: dict[str, float]
    statistics_share: float
    self_checks: tuple[SelfCheckReport, ...]
    weight_bytes: int
    prompt_tokens: int
    tokens: int
    rounds: int


class Failed(Event, frozen=True, tag="failed"):
    """A command failed before it had results; the engine goes on."""

    error: ErrorInfo
    command: str = ""


class Cancelled(Event, frozen=True, tag="cancelled"):
    """A load, a fetch or a bench was cancelled, or a command that had not begun.

    A comparison that was cancelled ends with `Finished`, a scoring with `ScoreFinished`.
    """

    command: str


AnyEvent = (
    Hello
    | Progress
    | Loaded
    | Fetched
    | Started
    | PromptRendered
    | Prefilled
    | Step
    | ForkFound
    | ForkReplayed
    | StreamFinished
    | SelfChecked
    | Finished
    | ScoreStarted
    | ScoreChunk
    | ScoreFailed
    | ScoreFinished
    | BenchReport
    | Failed
    | Cancelled
)

_encoder = msgspec.json.Encoder()
_command_decoder: msgspec.json.Decoder[AnyCommand] = msgspec.json.Decoder(AnyCommand)
_event_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


class ProtocolError(GeluError):
    """A line that is not what the protocol allows."""

    def __init__(self, message: str) -> None:
        super().__init__(
            "protocol",
            message,
            "Use the same version of gelu-tui on both sides; see the engine log.",
        )


def encode(message: AnyCommand | AnyEvent) -> bytes:
    """Return `message` as one JSON line, newline included.

    What is not valid UTF-8 (a path given on the command line may not be) arrives with `?` in it.
    """
    try:
        return _encoder.encode(message) + b"\n"
    except UnicodeEncodeError:
        text = json.dumps(msgspec.to_builtins(message), ensure_ascii=False)
        return text.encode("utf-8", "replace") + b"\n"


def _decode(decoder: msgspec.json.Decoder[_T], line: bytes, what: str) -> _T:
    try:
        return decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        shown = line[:60].decode("utf-8", "replace").strip()
        raise ProtocolError(f"The {what} sent a line it should not: {error} ({shown!r}).") from None


def decode_command(line: bytes) -> AnyCommand:
    """Parse and validate one command line. Raises `ProtocolError`."""
    return _decode(_command_decoder, line, "app")


def decode_event(line: bytes) -> AnyEvent:
    """Parse and validate one event line. Raises `ProtocolError`."""
    return _decode(_event_decoder, line, "engine")
