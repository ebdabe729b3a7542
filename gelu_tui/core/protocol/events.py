"""Events: what the engine sends to the app."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec

from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.models.inventory import HubSize, LocalModel
from gelu_tui.core.models.memory import Memory
from gelu_tui.core.protocol.values import (
    Amount,
    BenchRow,
    ChatMessage,
    ChoiceScore,
    Count,
    Counterfactual,
    FinishReason,
    Fork,
    ForkReplay,
    ModelInfo,
    Name,
    Place,
    ProgressPhase,
    PromptTokens,
    Rank,
    Seconds,
    SelfCheckReport,
    Status,
    StreamStep,
    SweepWay,
    Timing,
    TokenText,
    VariantInfo,
    Verdict,
)
from gelu_tui.core.settings.run_settings import RunSettings


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
