"""The JSON documents of a comparison and of a bench: the contract with scripts."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import msgspec

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.fork_sentences import explain_verdict
from gelu_tui.core.comparison.noise import NoiseFloor, mean_kl, noise_floor, times_noise_floor
from gelu_tui.core.comparison.repetition import Repetition
from gelu_tui.core.comparison.standing import Standing, standing
from gelu_tui.core.comparison.state import Comparison, Stream, TokenStep
from gelu_tui.core.comparison.what_if import explain_what_if
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.functions.limits import Limits
from gelu_tui.core.functions.registry import Precision
from gelu_tui.core.runs.sweep_bench import SweepBench
from gelu_tui.core.safe_text import escape_json
from gelu_tui.core.settings.run_settings import RunSettings

SCHEMA = "gelu-tui.comparison/1"
BENCH_SCHEMA = "gelu-tui.bench/1"


class ForkDocument(p.Fork, frozen=True):
    """A fork; `explanation` says in a sentence what caused it, as every report and screen does."""

    explanation: str = ""


class VariantDocument(msgspec.Struct, frozen=True):
    """One stream; `mean_kl` and `times_noise_floor` as in `core.comparison.noise`."""

    name: p.Name
    formula: p.Name
    precision: Precision
    tokens: list[p.Index]
    text: str
    finish_reason: p.FinishReason
    error: ErrorInfo | None
    time_to_first_token_s: p.Seconds | None
    prompt_tps: p.Amount | None
    generation_tps: p.Amount | None
    first_divergent_token: int | None
    steps: list[TokenStep]
    fork: ForkDocument | None
    control: bool = False
    mean_kl: float | None = None
    times_noise_floor: float | None = None
    repeats: Repetition | None = None  # that it is in at its end
    choices: tuple[p.ChoiceScore, ...] = ()  # of a prompt with choices
    limits: Limits | None = None  # as in `VariantInfo`

    @property
    def info(self) -> p.VariantInfo:
        return p.VariantInfo(
            self.name, self.formula, self.precision, control=self.control, limits=self.limits
        )

    @property
    def compared_steps(self) -> int:
        """The number of steps, from the first on, with a KL: until the contexts differ."""
        known = next((i for i, s in enumerate(self.steps) if s.kl is None), len(self.steps))
        fork = self.first_divergent_token
        return known if fork is None else min(known, fork + 1)


class ComparisonDocument(msgspec.Struct, frozen=True):
    """A whole comparison, readable without the model; `prompt_text` is what the model was fed."""

    schema: str
    created: p.Name
    versions: dict[p.Name, p.Name]
    device: p.Name
    model: p.ModelInfo
    settings: RunSettings
    prompt: str
    prompt_tokens: p.PromptTokens
    reference: str
    status: p.Status
    error: ErrorInfo | None
    timing: p.Timing
    self_check: p.SelfCheckReport | None
    peak_memory_bytes: p.Count | None
    variants: list[VariantDocument]
    prompt_text: str = ""
    noise_floor: NoiseFloor | None = None
    messages: tuple[p.ChatMessage, ...] = ()
    choices: tuple[str, ...] = ()

    @property
    def reference_variant(self) -> VariantDocument:
        return next(variant for variant in self.variants if variant.name == self.reference)

    @property
    def reference_tokens(self) -> tuple[int, ...]:
        """The prompt and what the reference said: a text that can be read again."""
        return (*self.prompt_tokens, *self.reference_variant.tokens)

    def is_native(self, variant: VariantDocument) -> bool:
        """Whether mlx-lm itself uses this function; a user's own cannot have its name."""
        return variant.name == self.model.native_activation

    def standing(self, variant: VariantDocument) -> Standing:
        at = variant.first_divergent_token
        return standing(self.reference_variant, variant, at, variant.fork)


class StartUp(msgspec.Struct, frozen=True):
    """Median seconds from command to first token, and the median ratio of the two in a round."""

    gelu_tui_s: float
    mlx_lm_s: float
    ratio: float


class BenchDocument(msgspec.Struct, frozen=True):
    """What `gelu-tui bench` measured; `machine` describes it in a few lines.

    `report` is of single prompts, `sweep` of `--sweep`: one of them is None.
    """

    schema: str
    machine: tuple[str, ...]
    versions: dict[str, str]
    model: p.ModelInfo
    start_up: StartUp | None
    report: p.BenchReport | None
    sweep: SweepBench | None = None


def document(
    comparison: Comparison,
    loaded: p.Loaded | ComparisonDocument,
    *,
    status: p.Status | None = None,
    error: ErrorInfo | None = None,
    created: datetime | None = None,
) -> ComparisonDocument:
    """The document of a comparison as it is now; `loaded` is what it ran on, or its document.

    `status` and `error` are those of an engine that could not report them itself.
    """
    streams = comparison.streams
    timing = comparison.timing
    if timing is None:  # the run has not ended
        prefills = [s.prefill_s for s in streams if s.prefill_s is not None]
        own = [s.steps[-1].decode_s for s in streams if s.steps]
        together = max if comparison.settings.schedule == "lockstep" else sum
        timing = p.Timing(
            load_s=loaded.load_s if isinstance(loaded, p.Loaded) else loaded.timing.load_s,
            prefill_s=sum(prefills) if prefills else None,
            decode_s=together(own) if own else None,
            decode_steps=max(len(s.tokens) for s in streams),
            tokens_per_second=comparison.tokens_per_second,
        )
    return ComparisonDocument(
        schema=SCHEMA,
        created=(created or datetime.now(UTC)).isoformat(timespec="seconds"),
        versions=loaded.versions,
        device=loaded.device,
        model=loaded.model,
        settings=comparison.settings,
        prompt=comparison.prompt,
        prompt_tokens=comparison.prompt_tokens,
        reference=comparison.reference.name,
        status=status or comparison.status or "cancelled",
        error=error or comparison.error,
        timing=timing,
        self_check=comparison.self_check,
        peak_memory_bytes=comparison.peak_memory_bytes or None,
        variants=[_variant(comparison, stream, status) for stream in streams],
        prompt_text=comparison.prompt_text,
        noise_floor=noise_floor(comparison),
        messages=comparison.messages,
        choices=comparison.choices,
    )


def _variant(comparison: Comparison, stream: Stream, status: p.Status | None) -> VariantDocument:
    unfinished: p.FinishReason = "failed" if status == "failed" else "cancelled"
    fork = None
    if stream.fork is not None:
        sentence = explain_verdict(stream.fork, comparison.reference.name, stream.name)
        fork = ForkDocument(**msgspec.structs.asdict(stream.fork) | {"explanation": sentence})
        if fork.what_if is not None:
            names = comparison.reference.name, stream.name
            said = explain_what_if(fork, *names, len(comparison.reference.tokens))
            what_if = msgspec.structs.replace(fork.what_if, explanation=said)
            fork = msgspec.structs.replace(fork, what_if=what_if)
    return VariantDocument(
        name=stream.name,
        formula=stream.variant.formula,
        precision=stream.variant.precision,
        tokens=list(stream.tokens),  # which may go on growing
        text=stream.text,
        finish_reason=stream.finish_reason or unfinished,
        error=stream.error,
        time_to_first_token_s=stream.time_to_first_token_s,
        prompt_tps=stream.prompt_tps,
        generation_tps=stream.generation_tps,
        first_divergent_token=stream.first_divergent_token,
        steps=list(stream.steps),
        fork=fork,
        control=stream.variant.control,
        mean_kl=mean_kl(comparison, stream),
        times_noise_floor=times_noise_floor(comparison, stream),
        repeats=stream.repeats,
        choices=stream.choices,
        limits=stream.variant.limits,
    )


def to_json(value: Any, *, indent: int = 0) -> str:
    """Encode a document or event as JSON that is safe to print on a terminal."""
    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:  # bytes of a path that are not UTF-8 are lone surrogates in Python
        return json.dumps(msgspec.to_builtins(value), indent=indent or None)
    if indent:
        encoded = msgspec.json.format(encoded, indent=indent)
    return escape_json(encoded.decode("utf-8"))
