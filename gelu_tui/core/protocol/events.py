"""Events: what the engine sends to the app."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec

from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.functions.registry import Precision
from gelu_tui.core.models.inventory import HubSize, LocalModel
from gelu_tui.core.models.memory import Memory
from gelu_tui.core.protocol.input_values import FunctionOnInputs, InputStatistics, SiteInputs
from gelu_tui.core.protocol.values import (
    Amount,
    BenchRow,
    Candidate,
    ChatMessage,
    ChoiceScore,
    Count,
    Counterfactual,
    FinishReason,
    Fork,
    ForkReplay,
    FunctionCurve,
    FunctionSpeed,
    Index,
    ModelInfo,
    Moved,
    Name,
    Number,
    Place,
    ProgressPhase,
    PromptTokens,
    Rank,
    ScoredRow,
    Seconds,
    SelfCheckReport,
    Status,
    StreamStep,
    SwappedRow,
    SweepWay,
    Timing,
    TokenChance,
    TokenText,
    VariantInfo,
    Verdict,
    YardstickInfo,
)
from gelu_tui.core.settings.run_settings import Dtype, RunSettings


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    """A message from the engine; `id` is that of the command it answers, 0 without one."""

    id: int = 0
    last: ClassVar[bool] = False  # whether it is the last answer to its command


class Hello(Event, frozen=True, tag="hello"):
    """The first event, before MLX is imported."""

    protocol: int
    versions: dict[str, str]
    pid: int
    log_file: str


class Progress(Event, frozen=True, tag="progress"):
    """Progress of a long step."""

    phase: ProgressPhase
    label: Annotated[str, msgspec.Meta(max_length=1_000_000)]
    done: int
    total: int  # 0 if unknown
    unit: Literal["bytes", "files", "tokens", "parts"]
    rate: float = 0.0  # units per second; 0 if unknown


class Loaded(Event, frozen=True, tag="loaded"):
    """The model is ready. `blas` names the BLAS library of a CPU backend, None on a GPU.

    `ranks` are the processes of a pipeline that hold the model; `weight_bytes` are those of the
    first one.
    """

    last = True
    model: ModelInfo
    folder: str
    device: Name
    blas: Name | None
    versions: dict[Name, Name]
    load_s: Seconds
    context_length: Count
    has_chat_template: bool
    weight_bytes: Count
    ranks: tuple[Rank, ...] = ()
    places: tuple[Place, ...] = ()  # of all ranks; an engine of an older version tells none


class Fetched(Event, frozen=True, tag="fetched"):
    """A model is on this machine, complete, in `folder`."""

    last = True
    model: str
    folder: str


class ModelsFound(Event, frozen=True, tag="models_found"):
    """The models on the engine's machine, the usable ones first, and its memory."""

    last = True
    models: tuple[LocalModel, ...]
    others: int  # number of models of other families
    memory: Memory


class HubSizes(Event, frozen=True, tag="hub_sizes"):
    """The sizes of those repositories of which the hub told in time."""

    last = True
    sizes: tuple[HubSize, ...]


class ModelDeleted(Event, frozen=True, tag="model_deleted"):
    """A model was deleted, or would be by a dry run; `freed_bytes` on the disk."""

    last = True
    model: str
    folder: str
    freed_bytes: int


class BatchSize(Event, frozen=True, tag="batch_size"):
    """A batch begins. It holds at most `rows` rows, which are `prompts` prompts at once.

    Each prompt has a row for each function. If prompts run one after the other, `reason` says why.
    """

    rows: Count
    prompts: Count
    reason: Name = ""


class Started(Event, frozen=True, tag="started"):
    """A comparison begins; `settings` are resolved, `prompt_text` is as in `PromptRendered`."""

    prompt: str
    prompt_text: str
    prompt_tokens: PromptTokens
    variants: tuple[VariantInfo, ...]
    reference: int
    settings: RunSettings = RunSettings()
    messages: tuple[ChatMessage, ...] = ()
    choices: tuple[str, ...] = ()


class PromptRendered(Event, frozen=True, tag="prompt_rendered"):
    """The answer to `RenderPrompt`."""

    last = True
    prompt: str  # of the command
    prompt_text: str  # what the model is fed, with BOS
    prompt_tokens: tuple[int, ...]
    pieces: tuple[str, ...]  # the text of each token; a lone byte by its name
    special_ids: tuple[int, ...]  # of the tokens that only control the model
    chat: bool
    has_chat_template: bool
    context_length: int


class Prefilled(Event, frozen=True, tag="prefilled"):
    """One stream's prompt is in its cache."""

    stream: int
    seconds: Seconds
    prompt_tps: Amount


class Step(Event, frozen=True, tag="step"):
    """New tokens, at most one of each stream."""

    step: int
    elapsed_s: Seconds  # since the comparison began
    streams: tuple[StreamStep, ...]
    memory_bytes: Count = 0  # of MLX's arrays, weights and caches included; 0 if unknown


class ForkFound(Event, frozen=True, tag="fork"):
    """The fork of a stream: its first divergent token was emitted."""

    stream: int
    fork: Fork


class ForkReplayed(Event, frozen=True, tag="fork_replayed"):
    """What made the fork of a stream; `reason` is why the verdict is `unverified`."""

    stream: int
    verdict: Verdict
    reason: Name = ""
    replay: ForkReplay | None = None


class Replayed(Event, frozen=True, tag="replayed"):
    """The forks of a run that does not go on have been replayed."""

    last = True


class WhatIfStep(Event, frozen=True, tag="what_if_step"):
    """New tokens of the streams that a `WhatIf` is about, at most one of each."""

    step: int
    streams: tuple[StreamStep, ...]


class WhatIfAnswered(Event, frozen=True, tag="what_if_answered"):
    """How a stream goes on that was given the reference's token at its fork."""

    stream: int
    what_if: Counterfactual


class WhatIfEnded(Event, frozen=True, tag="what_if_ended"):
    """All that a `WhatIf` asked for has been answered, or it was cancelled on the way."""

    last = True


class StreamFinished(Event, frozen=True, tag="stream_finished"):
    """A stream ended; `tail` is the text of an incomplete character."""

    stream: int
    finish_reason: FinishReason
    tail: TokenText = ""
    error: ErrorInfo | None = None


class ChoicesScored(Event, frozen=True, tag="choices_scored"):
    """How probable each function finds each choice: by stream, then by choice.

    A stream whose logits are not numbers has no scores.
    """

    streams: tuple[tuple[ChoiceScore, ...], ...]


class SelfChecked(Event, frozen=True, tag="self_check"):
    """The A/A control of this model, backend and number of rows."""

    report: SelfCheckReport


class Finished(Event, frozen=True, tag="finished"):
    """A comparison ended; `peak_memory_bytes` is 0 if unknown."""

    last = True
    status: Status
    timing: Timing
    peak_memory_bytes: Count
    error: ErrorInfo | None = None


class ScoreStarted(Event, frozen=True, tag="score_started"):
    """A scoring begins."""

    variants: tuple[VariantInfo, ...]
    reference: int
    tokens: int  # of the text, without BOS
    windows: int
    positions: int  # tokens that will be scored
    context: int  # length of a window in tokens, BOS included
    documents: Count = 1  # texts; positions are clustered by them, or by the windows of one
    bos: tuple[Index, ...] = ()  # the tokens in front of each window that are not of the text
    yardsticks: tuple[YardstickInfo, ...] = ()


class ScoreChunk(Event, frozen=True, tag="score_chunk"):
    """The next positions of a scoring: of the reference, and in `rows` of each variant.

    All of them are of one cluster, whose number grows: positions of one cluster are not
    independent of each other. `tokens` and `texts` (what each token completes, as in `StreamStep`)
    are those of the positions; where no BOS is in front of a window, its first token, which has no
    statistics, comes before them.
    """

    logprob: tuple[float, ...]
    top_probability: tuple[float, ...]  # of the reference's most probable token
    rows: tuple[ScoredRow, ...]
    cluster: Count = 0
    window: Count = 0
    tokens: tuple[Index, ...] = ()
    texts: tuple[TokenText, ...] = ()


class ScoreFailed(Event, frozen=True, tag="score_failed"):
    """One variant or yardstick cannot be scored any further; the others continue."""

    variant: int  # as in `ScoredRow`
    error: ErrorInfo


class ScoreFinished(Event, frozen=True, tag="score_finished"):
    """A scoring ended; `seconds` do not include loading."""

    last = True
    status: Status
    seconds: float
    peak_memory_bytes: int
    error: ErrorInfo | None = None


class FunctionValuesFound(Event, frozen=True, tag="function_values_found"):
    """The answer to `FunctionValues`: x grows, and is exact in the dtype.

    `speeds` is empty unless they were asked for; `elements` is how many values each call made.
    """

    last = True
    dtype: Dtype
    precision: Precision
    device: Name
    x: tuple[Number, ...]
    functions: tuple[FunctionCurve, ...]
    speeds: tuple[FunctionSpeed, ...] = ()
    elements: Count = 0


class CandidatesFound(Event, frozen=True, tag="candidates_found"):
    """The most probable tokens at one place under the reference and a variant, best first.

    `reference` and `other` are the chances of the text's own `token`; `kl` (nats) and `same_top`
    are as in `ScoredRow`.
    """

    last = True
    variant: int
    token: Index
    reference_top: tuple[Candidate, ...]
    variant_top: tuple[Candidate, ...]
    reference: TokenChance
    other: TokenChance
    kl: float
    same_top: bool


class InputsStarted(Event, frozen=True, tag="inputs_started"):
    """A text begins to be read for the inputs of the activation; as `ScoreStarted`."""

    variants: tuple[VariantInfo, ...]
    reference: int
    tokens: int
    windows: int
    positions: int  # tokens that will be fed
    context: int
    documents: Count = 1


class InputsFound(Event, frozen=True, tag="inputs_found"):
    """All inputs of the positions until now; it takes the place of the event before it.

    `layers` are in the order of the layers. Functions that have failed are missing.
    """

    positions: Count
    layers: tuple[SiteInputs, ...]
    all: InputStatistics
    functions: tuple[FunctionOnInputs, ...]


class InputsKl(Event, frozen=True, tag="inputs_kl"):
    """One function in the place of the reference; it takes the place of the event before it.

    `bins` has the mean KL for each of the function's bins, `kl` that of the function everywhere.
    """

    variant: Count
    positions: Count
    kl: Number
    bins: tuple[Number, ...]


class InputsFailed(Event, frozen=True, tag="inputs_failed"):
    """One function cannot be measured any further; the others continue."""

    variant: int
    error: ErrorInfo


class InputsFinished(Event, frozen=True, tag="inputs_finished"):
    """All inputs are read; `seconds` do not include loading."""

    last = True
    status: Status
    seconds: Seconds
    peak_memory_bytes: Count
    error: ErrorInfo | None = None


class LayersStarted(Event, frozen=True, tag="layers_started"):
    """Swaps of single layers begin; figures that were kept of an earlier time come at once."""

    variants: tuple[VariantInfo, ...]
    reference: int
    places: tuple[Place, ...]
    tokens: Count  # of the text, without BOS
    windows: Count
    positions: Count  # tokens that will be scored
    context: Count  # length of a window in tokens, BOS included
    documents: Count = 1  # texts; positions are clustered by them, or by the windows of one
    kept: Name = ""  # the file that the figures are kept in until they are complete


class LayersChunk(Event, frozen=True, tag="layers_chunk"):
    """The next positions of one variant, all of one cluster: sums over them.

    `rows` has the site of each of the places, in their order.
    """

    variant: Index
    window: Count
    first: Count  # position in its window
    positions: Count
    cluster: Count
    no_swap: Moved  # a row like all others, but without a swap
    all: Moved  # the variant at every site
    rows: tuple[SwappedRow, ...]


class LayersFailed(Event, frozen=True, tag="layers_failed"):
    """One variant cannot be measured any further; the others continue."""

    variant: Index
    error: ErrorInfo


class FreeRan(Event, frozen=True, tag="free_ran"):
    """First divergent tokens of one variant's rows in greedy generation; None: no divergence.

    `rows` has those of each place, `all` that of the variant at every site. `steps` were decoded.
    """

    variant: Index
    all: Index | None
    rows: tuple[Index | None, ...]
    steps: Count


class LayersFinished(Event, frozen=True, tag="layers_finished"):
    """Swaps of single layers ended; `seconds` do not include loading."""

    last = True
    status: Status
    seconds: Seconds
    peak_memory_bytes: Count
    error: ErrorInfo | None = None


class BenchReport(Event, frozen=True, tag="bench_report"):
    """All measured rows, and the medians of their ratios within each round."""

    last = True
    rows: tuple[BenchRow, ...]
    ratios: dict[str, float]
    statistics_share: float
    self_checks: tuple[SelfCheckReport, ...]
    weight_bytes: int
    prompt_tokens: int
    tokens: int
    rounds: int


class BenchedRun(Event, frozen=True, tag="benched_run"):
    """The events of one prompt of a measured sweep, as a `Compare` would be answered."""

    events: tuple[msgspec.Raw, ...]


class BenchSweepReport(Event, frozen=True, tag="bench_sweep_report"):
    """A sweep and what it is compared with: seconds of each way in every round."""

    last = True
    ways: tuple[SweepWay, ...]
    functions: tuple[Name, ...]
    prompts: Count
    prompts_at_once: Count
    reason: Name  # why prompts run one after the other; empty if they share a batch
    prompt_tokens: Count  # of all prompts
    tokens: Count  # of each stream
    rounds: Count
    self_checks: tuple[SelfCheckReport, ...]


class Failed(Event, frozen=True, tag="failed"):
    """A command failed before it had results; the engine continues."""

    last = True
    error: ErrorInfo
    command: str = ""


class Cancelled(Event, frozen=True, tag="cancelled"):
    """A command without a final event of its own, or one that had not begun, was cancelled."""

    last = True
    command: str
