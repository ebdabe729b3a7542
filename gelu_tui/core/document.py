"""The JSON documents of a comparison and of a bench: the contract with scripts."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison import Comparison, Stream
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.explanation import explain_verdict
from gelu_tui.core.noise import NoiseFloor, mean_kl, noise_floor, times_noise_floor
from gelu_tui.core.registry import Precision
from gelu_tui.core.safe_text import escape_json
from gelu_tui.core.settings.run_settings import RunSettings

SCHEMA = "gelu-tui.comparison/1"
BENCH_SCHEMA = "gelu-tui.bench/1"


class StepDocument(msgspec.Struct, frozen=True):
    """Statistics of one emitted token: nats, logits, nats; `kl` only where contexts are equal.

    `text` is what this token completed, and `decode_s` its stream's decode seconds until then.
    """

    logprob: float | None
    margin: float | None
    kl: float | None
    text: str = ""
    decode_s: float = 0.0


class ForkDocument(msgspec.Struct, frozen=True):
    """What happened at the first divergent token; see `protocol.ForkFound`.

    `explanation` says in a sentence what made it, the same as every report and screen.
    """

    step: int
    reference_token: int
    variant_token: int
    verdict: p.Verdict
    reason: str
    reference_top: tuple[p.Candidate, ...]
    variant_top: tuple[p.Candidate, ...]
    margins: dict[str, float]
    probabilities: dict[str, float]
    ranks: dict[str, int]
    reference_text: str = ""
    variant_text: str = ""
    replay: p.ForkReplay | None = None
    explanation: str = ""

    @classmethod
    def of(cls, fork: p.ForkFound, explanation: str) -> ForkDocument:
        """What the engine told, and what that means."""
        told = {name: getattr(fork, name) for name in cls.__struct_fields__ if hasattr(fork, name)}
        return cls(**told, explanation=explanation)

    def told(self, stream: int) -> p.ForkFound:
        """What the engine told of the fork of a stream."""
        own = set(self.__struct_fields__)
        fields = {n: getattr(self, n) for n in p.ForkFound.__struct_fields__ if n in own}
        return p.ForkFound(stream=stream, **fields)


class VariantDocument(msgspec.Struct, frozen=True):
    """One stream; `mean_kl` and `times_noise_floor` as in `core.noise`."""

    name: str
    formula: str
    precision: Precision
    tokens: list[int]
    text: str
    finish_reason: p.FinishReason
    error: ErrorInfo | None
    time_to_first_token_s: float | None
    prompt_tps: float | None
    generation_tps: float | None
    first_divergent_token: int | None
    steps: list[StepDocument]
    fork: ForkDocument | None
    control: bool = False
    mean_kl: float | None = None
    times_noise_floor: float | None = None


class ComparisonDocument(msgspec.Struct, frozen=True):
    """A whole comparison, readable without the model; `prompt_text` is what the model was fed."""

    schema: str
    created: str
    versions: dict[str, str]
    device: str
    model: p.ModelInfo
    settings: RunSettings
    prompt: str
    prompt_tokens: tuple[int, ...]
    reference: str
    status: p.Status
    error: ErrorInfo | None
    timing: p.Timing
    self_check: p.SelfCheckReport | None
    peak_memory_bytes: int | None
    variants: list[VariantDocument]
    prompt_text: str = ""
    noise_floor: NoiseFloor | None = None


class StartUp(msgspec.Struct, frozen=True):
    """Median seconds from command to first token, and the median of the ratios of each round."""

    gelu_tui_s: float
    mlx_lm_s: float
    ratio: float


class BenchDocument(msgspec.Struct, frozen=True):
    """What `gelu-tui bench` measured; `machine` describes it in a few lines."""

    schema: str
    machine: tuple[str, ...]
    versions: dict[str, str]
    model: p.ModelInfo
    start_up: StartUp | None
    report: p.BenchReport


def document(
    comparison: Comparison,
    loaded: p.Loaded,
    *,
    status: p.Status | None = None,
    error: ErrorInfo | None = None,
    created: datetime | None = None,
) -> ComparisonDocument:
    """The document of a comparison as it stands.

    `status` and `error` speak for an engine that could not finish it itself.
    """
    started, finished = comparison.started, comparison.finished
    timing = finished.timing if finished else _timing_so_far(comparison, loaded)
    return ComparisonDocument(
        schema=SCHEMA,
        created=(created or datetime.now(UTC)).isoformat(timespec="seconds"),
        versions=loaded.versions,
        device=loaded.device,
        model=loaded.model,
        settings=started.settings,
        prompt=started.prompt,
        prompt_tokens=started.prompt_tokens,
        reference=comparison.reference.name,
        status=status or (finished.status if finished else "cancelled"),
        error=error or (finished.error if finished else None),
        timing=timing,
        self_check=comparison.self_check,
        peak_memory_bytes=(finished.peak_memory_bytes or None) if finished else None,
        variants=[_variant(comparison, stream, status) for stream in comparison.streams],
        prompt_text=started.prompt_text,
        noise_floor=noise_floor(comparison),
    )


def _timing_so_far(comparison: Comparison, loaded: p.Loaded) -> p.Timing:
    prefills = [s.prefill_s for s in comparison.streams if s.prefill_s is not None]
    own = [s.steps[-1].decode_s for s in comparison.streams if s.steps]
    together = max if comparison.started.settings.schedule == "lockstep" else sum
    decode_s = together(own) if own else None
    return p.Timing(
        load_s=loaded.load_s,
        prefill_s=sum(prefills) if prefills else None,
        decode_s=decode_s,
        decode_steps=max(len(s.tokens) for s in comparison.streams),
        tokens_per_second=comparison.tokens_per_second,
    )


def _variant(comparison: Comparison, stream: Stream, status: p.Status | None) -> VariantDocument:
    unfinished: p.FinishReason = "failed" if status == "failed" else "cancelled"
    return VariantDocument(
        name=stream.name,
        formula=stream.variant.formula,
        precision=stream.variant.precision,
        tokens=stream.tokens,
        text=stream.text,
        finish_reason=stream.finish_reason or unfinished,
        error=stream.error,
        time_to_first_token_s=stream.time_to_first_token_s,
        prompt_tps=stream.prompt_tps,
        generation_tps=stream.generation_tps,
        first_divergent_token=stream.first_divergent_token,
        steps=[StepDocument(s.logprob, s.margin, s.kl, s.text, s.decode_s) for s in stream.steps],
        fork=_fork(comparison, stream),
        control=stream.variant.control,
        mean_kl=mean_kl(comparison, stream),
        times_noise_floor=times_noise_floor(comparison, stream),
    )


def _fork(comparison: Comparison, stream: Stream) -> ForkDocument | None:
    if stream.fork is None:
        return None
    said = explain_verdict(stream.fork, comparison.reference.name, stream.name)
    return ForkDocument.of(stream.fork, said)


def to_json(value: Any, *, indent: int = 0) -> str:
    """Any of the documents or events as JSON that is safe to print on a terminal.

    A path need not be valid UTF-8: such bytes become lone surrogates, as Python has them.
    """
    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(value), indent=indent or None)
    if indent:
        encoded = msgspec.json.format(encoded, indent=indent)
    return escape_json(encoded.decode("utf-8"))
