"""A growing comparison: streams, forks, rates; updated by the engine's events, read by screens."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

import msgspec

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.checks import fork_fits, names_fit
from gelu_tui.core.comparison.repetition import Repetition, Repetitions
from gelu_tui.core.comparison.standing import Standing, standing
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.functions.variants import MAX_VARIANTS
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.settings.run_settings import RunSettings


class TokenStep(msgspec.Struct, frozen=True, gc=False):
    """One emitted token; fields as in `StreamStep`, `kl` only where contexts are equal."""

    logprob: p.Number | None
    margin: p.Number | None
    kl: p.Number | None
    text: p.TokenText = ""
    decode_s: p.Seconds = 0.0


def _rate(tokens: int, seconds: float) -> float | None:
    """Tokens per second; None for a time that no clock can measure."""
    return tokens / seconds if seconds > 1e-9 else None


@dataclass
class Stream:
    """The tokens of one variant."""

    variant: p.VariantInfo
    tokens: list[int] = field(default_factory=list)
    segments: list[str] = field(default_factory=list)  # the text that each token completed
    steps: list[TokenStep] = field(default_factory=list)
    tail: str = ""  # incomplete text at the end
    finish_reason: p.FinishReason | None = None
    error: ErrorInfo | None = None
    time_to_first_token_s: float | None = None
    prefill_s: float | None = None
    prompt_tps: float | None = None
    first_divergent_token: int | None = None
    kl: Peaks = field(default_factory=lambda: Peaks())  # in nats, while contexts are equal
    kl_sums: list[float] = field(default_factory=list)  # KL of the first 1, 2, 3 … steps together
    fork: p.Fork | None = None
    choices: tuple[p.ChoiceScore, ...] = ()
    repetitions: Repetitions = field(default_factory=Repetitions)

    @property
    def name(self) -> str:
        return self.variant.name

    @property
    def text(self) -> str:
        return "".join(self.segments) + self.tail

    @property
    def repeats(self) -> Repetition | None:
        """The repetition that the stream is in, or was in when its end token came."""
        ended = self.finish_reason == "stop"
        return self.repetitions.before if ended else self.repetitions.now

    @property
    def generation_tps(self) -> float | None:
        """Tokens per second of this stream's own decode time, the first token included."""
        seconds = self.steps[-1].decode_s if self.steps else 0.0
        return _rate(len(self.steps), seconds)

    def add(self, token: int, step: TokenStep) -> None:
        number = len(self.tokens)
        self.tokens.append(token)
        self.repetitions.add(token)
        self.segments.append(step.text)
        self.steps.append(step)
        if step.kl is None:
            return
        self.kl.add(step.kl)
        if number == len(self.kl_sums):  # after a gap the sums would no longer match the steps
            self.kl_sums.append(step.kl + (self.kl_sums[-1] if number else 0.0))

    def recent_tps(self, window_s: float = 2.0) -> float | None:
        """Tokens per second over the last `window_s`, at least of the last two tokens."""
        if len(self.steps) < 2:
            return None
        last = self.steps[-1].decode_s
        first = bisect_left(self.steps, last - window_s, key=lambda step: step.decode_s)
        first = min(first, len(self.steps) - 2)
        seconds = last - self.steps[first].decode_s
        return _rate(len(self.steps) - 1 - first, seconds)


class Peaks:
    """The maxima of consecutive groups of `size` values, in bounded memory, for a sparkline.

    `size` doubles when there would be more than 512 groups; the last group may be incomplete.
    """

    def __init__(self) -> None:
        self.values: list[float] = []
        self.size = 1
        self._in_last = 1
        self.largest: float | None = None

    def add(self, value: float) -> None:
        self.largest = value if self.largest is None else max(self.largest, value)
        if self.values and self._in_last < self.size:
            self.values[-1] = max(self.values[-1], value)
            self._in_last += 1
            return
        if len(self.values) == 512:
            self.values = list(map(max, self.values[::2], self.values[1::2]))
            self.size *= 2
        self.values.append(value)
        self._in_last = 1


@dataclass
class Comparison:
    """One prompt under several activation functions; `status` is None until the run has ended."""

    prompt: str
    prompt_text: str  # what the model was fed
    prompt_tokens: tuple[int, ...]
    settings: RunSettings
    reference_index: int
    streams: list[Stream]
    self_check: p.SelfCheckReport | None = None
    status: p.Status | None = None
    error: ErrorInfo | None = None
    timing: p.Timing | None = None  # of a run that has ended
    peak_memory_bytes: int = 0  # of a run that has ended; 0 if unknown
    elapsed_s: float = 0.0
    memory_bytes: int = 0  # of the engine's arrays at the last step; 0 if unknown
    messages: tuple[p.ChatMessage, ...] = ()  # that the prompt was, if it was a conversation
    choices: tuple[str, ...] = ()  # continuations of the prompt that were scored

    def __post_init__(self) -> None:
        self._agreements = [Agreement(self.reference, stream) for stream in self.streams]

    @classmethod
    def begin(cls, started: p.Started) -> Comparison:
        """Return a comparison without tokens. Raises `ProtocolError` for a wrong reference."""
        if not 0 <= started.reference < len(started.variants):
            raise p.ProtocolError("The engine started a comparison without its reference.")
        fed = (started.prompt, started.prompt_text, started.prompt_tokens)
        streams = [Stream(variant) for variant in started.variants]
        return cls(
            *fed,
            started.settings,
            started.reference,
            streams,
            messages=started.messages,
            choices=started.choices,
        )

    def check(self) -> None:
        """Raise `ProtocolError` if the engine's events contradict each other.

        A saved run with such a contradiction could not be read.
        """
        if not names_fit([stream.name for stream in self.streams]):
            need = f"1 to {MAX_VARIANTS} variants of different names"
            raise p.ProtocolError(f"The engine compared something other than {need}.")
        for stream in self.streams:
            if not fork_fits(stream.fork, stream.tokens, self.reference.tokens):
                name = visible_line(stream.name)
                raise p.ProtocolError(f"The engine told of a fork of {name} where there is none.")

    @property
    def reference(self) -> Stream:
        return self.streams[self.reference_index]

    @property
    def chat(self) -> bool:
        return self.settings.chat is True

    @property
    def total_tokens(self) -> int:
        return sum(len(stream.tokens) for stream in self.streams)

    @property
    def tokens_per_second(self) -> float | None:
        """Mean rate of all streams together in decode so far."""
        own = [stream.steps[-1].decode_s for stream in self.streams if stream.steps]
        if not own:
            return None
        seconds = max(own) if self.settings.schedule == "lockstep" else sum(own)
        return _rate(self.total_tokens, seconds)

    def apply(self, event: p.Event) -> None:
        """Update the comparison; events that are not about one are ignored.

        Raises `ProtocolError` for an unknown stream, and for the replay of an unknown fork.
        """
        match event:
            case p.Step():
                self._apply_step(event)
            case p.ForkFound():
                self._stream(event.stream).fork = event.fork
            case p.ForkReplayed():
                stream = self._stream(event.stream)
                if stream.fork is None:
                    raise p.ProtocolError("The engine replayed a fork that it had not reported.")
                stream.fork = msgspec.structs.replace(
                    stream.fork, verdict=event.verdict, reason=event.reason, replay=event.replay
                )
            case p.WhatIfAnswered():
                stream = self._stream(event.stream)
                if stream.fork is None:
                    raise p.ProtocolError("The engine tried a fork that it had not reported.")
                stream.fork = msgspec.structs.replace(stream.fork, what_if=event.what_if)
            case p.Prefilled():
                stream = self._stream(event.stream)
                stream.prefill_s, stream.prompt_tps = event.seconds, event.prompt_tps
            case p.StreamFinished():
                stream = self._stream(event.stream)
                stream.finish_reason, stream.error = event.finish_reason, event.error
                stream.tail = event.tail
                self.update_divergence()
            case p.ChoicesScored():
                for stream, scores in zip(self.streams, event.streams, strict=False):
                    stream.choices = scores
            case p.SelfChecked():
                self.self_check = event.report
            case p.Finished():
                self.status, self.error = event.status, event.error
                self.timing, self.peak_memory_bytes = event.timing, event.peak_memory_bytes

    def _stream(self, index: int) -> Stream:
        if not 0 <= index < len(self.streams):
            found = f"stream {index} of {len(self.streams)} streams"
            raise p.ProtocolError(f"The engine sent an event about {found}.")
        return self.streams[index]

    def _apply_step(self, event: p.Step) -> None:
        self.elapsed_s, self.memory_bytes = event.elapsed_s, event.memory_bytes
        for new in event.streams:
            stream = self._stream(new.stream)
            if stream.time_to_first_token_s is None:
                # In solo the time that a stream waited for the others is not its own.
                own = self.settings.schedule == "solo" and stream.prefill_s is not None
                seconds = (stream.prefill_s or 0.0) + new.decode_s if own else event.elapsed_s
                stream.time_to_first_token_s = seconds
            step = TokenStep(new.logprob, new.margin, new.kl, new.text, new.decode_s)
            stream.add(new.token, step)
        self.update_divergence()

    def update_divergence(self) -> None:
        """Update every stream's first divergent token."""
        for stream, agreement in zip(self.streams, self._agreements, strict=True):
            agreement.update()
            stream.first_divergent_token = agreement.first_divergent_token


class Agreement:
    """How far two growing streams agree; `update` reads only the tokens that are new."""

    def __init__(self, one: Stream, other: Stream) -> None:
        self._one, self._other = one, other
        self.agreed = 0  # leading tokens known to be equal
        self.first_divergent_token: int | None = None

    def update(self) -> None:
        if self._one is self._other or self.first_divergent_token is not None:
            return
        shorter, longer = sorted((self._one, self._other), key=lambda stream: len(stream.tokens))
        shared = len(shorter.tokens)
        for step in range(self.agreed, shared):
            if shorter.tokens[step] != longer.tokens[step]:
                self.agreed = self.first_divergent_token = step
                return
        self.agreed = shared
        if shorter.finish_reason in ("stop", "length") and len(longer.tokens) > shared:
            self.first_divergent_token = shared


class Perspective:
    """A comparison seen from any of its streams; `reference` is the index of that stream.

    The run's own reference stays the one that the statistics were computed against.
    """

    def __init__(self, comparison: Comparison, reference: int | None = None) -> None:
        self.comparison = comparison
        self.reference = comparison.reference_index if reference is None else reference
        seen_from = comparison.streams[self.reference]
        self._agreements = [Agreement(seen_from, stream) for stream in comparison.streams]

    @property
    def of_run(self) -> bool:
        """Whether this is the reference that the run itself used."""
        return self.reference == self.comparison.reference_index

    def first_divergent_token(self, stream: int) -> int | None:
        self._agreements[stream].update()
        return self._agreements[stream].first_divergent_token

    def standing(self, stream: int, fork: p.Fork | None = None) -> Standing:
        """How `stream` compares with the reference now; `fork` is the fork of this pair."""
        streams = self.comparison.streams
        first = self.first_divergent_token(stream)
        return standing(streams[self.reference], streams[stream], first, fork)
