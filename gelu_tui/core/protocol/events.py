"""What the engine reports."""

from __future__ import annotations

from typing import ClassVar, Literal

import msgspec

from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.models.inventory import LocalModel
from gelu_tui.core.models.memory import Memory
from gelu_tui.core.protocol.values import (
    BenchRow,
    FinishReason,
    Fork,
    ForkReplay,
    ModelInfo,
    ProgressPhase,
    ScoredRow,
    SelfCheckReport,
    Status,
    StreamStep,
    Timing,
    VariantInfo,
    Verdict,
)
from gelu_tui.core.settings.run_settings import RunSettings


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    """What the engine reports. `id` is that of the command it answers, 0 if it answers none."""

    id: int = 0
    last: ClassVar[bool] = False  # whether no other answer to the same command follows


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

    last = True
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

    last = True
    model: str
    folder: str


class ModelsFound(Event, frozen=True, tag="models_found"):
    """The models on the engine's machine, the usable ones first, and its memory.

    `others` is the number of models of other families.
    """

    last = True
    models: tuple[LocalModel, ...]
    others: int
    memory: Memory


class ModelDeleted(Event, frozen=True, tag="model_deleted"):
    """What was deleted, or would be by a dry run, and how many bytes that frees on the disk."""

    last = True
    model: str
    folder: str
    freed_bytes: int


class Started(Event, frozen=True, tag="started"):
    """A comparison begins; `settings` are the command's, resolved (see `RunSettings`).

    `prompt_text` is as in `PromptRendered`.
    """

    prompt: str
    prompt_text: str
    prompt_tokens: tuple[int, ...]
    variants: tuple[VariantInfo, ...]
    reference: int
    settings: RunSettings = RunSettings()


class PromptRendered(Event, frozen=True, tag="prompt_rendered"):
    """The answer to `RenderPrompt`; `prompt` is the command's.

    `prompt_text` is exact, with what the tokenizer puts in front of a raw prompt (BOS). `pieces`
    are the texts of `prompt_tokens` one by one: a lone byte by its name, so that their join may
    differ from the text. `special_ids` are those among the tokens that only control the model.
    """

    last = True
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


class ForkFound(Event, frozen=True, tag="fork"):
    """The fork of a stream: its first divergent token was emitted."""

    stream: int
    fork: Fork


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

    last = True
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

    last = True
    status: Status
    seconds: float
    peak_memory_bytes: int
    error: ErrorInfo | None = None


class BenchReport(Event, frozen=True, tag="bench_report"):
    """All measured rows and their ratios, computed pairwise within each round (medians)."""

    last = True
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

    last = True
    error: ErrorInfo
    command: str = ""


class Cancelled(Event, frozen=True, tag="cancelled"):
    """A load, a fetch or a bench was cancelled, or a command that had not begun.

    A comparison that was cancelled ends with `Finished`, a scoring with `ScoreFinished`.
    """

    last = True
    command: str
