"""A comparison as it grows: streams, forks, rates; fed by the engine's events, read by screens."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

import msgspec

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.standing import Standing, standing
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.settings.run_settings import RunSettings


class TokenStep(msgspec.Struct, frozen=True, gc=False):
    """Statistics of one emitted token: nats, logits, nats; `kl` only where contexts are equal.

    `text` is what this token completed, and `decode_s` its stream's decode seconds until then.
    """

    logprob: float | None
    margin: float | None
    kl: float | None
    text: str = ""
    decode_s: float = 0.0


@dataclass
class Stream:
    """The tokens that one variant has produced.

    `segments[i]` is the text that token i completed (possibly empty); `tail` what the end of the
    stream left incomplete.
    """

    variant: p.VariantInfo
    tokens: list[int] = field(default_factory=list)
    segments: list[str] = field(default_factory=list)
    steps: list[TokenStep] = field(default_factory=list)
    tail: str = ""
    finish_reason: p.FinishReason | None = None
    error: ErrorInfo | None = None
    time_to_first_token_s: float | None = None
    prefill_s: float | None = None
    prompt_tps: float | None = None
    first_divergent_token: int | None = None
    kl: Peaks = field(default_factory=lambda: Peaks())  # in nats, while contexts are equal
    kl_sums: list[float] = field(default_factory=list)  # KL of the first 1, 2, 3 … steps together
    fork: p.Fork | None = None

    @property
    def name(self) -> str:
        """The variant's name."""
        return self.variant.name

    @property
    def text(self) -> str:
        """The text so far, as the tokenizer decodes it."""
        return "".join(self.segments) + self.tail

    @property
    def generation_tps(self) -> float | None:
        """Tokens a second in this stream's own decode time, the first token included."""
        if not self.steps or self.steps[-1].decode_s <= 0:
            return None
        return len(self.steps) / self.steps[-1].decode_s

    def add(self, token: int, step: TokenStep) -> None:
        """Append one token."""
        number = len(self.tokens)
        self.tokens.append(token)
        self.segments.append(step.text)
        self.steps.append(step)
        if step.kl is None:
            return
        self.kl.add(step.kl)
        if number == len(self.kl_sums):  # behind a gap steps cannot be paired by their number
            self.kl_sums.append(step.kl + (self.kl_sums[-1] if number else 0.0))

    def recent_tps(self, window_s: float = 2.0) -> float | None:
        """Tokens a second over the last `window_s` of decoding; None before the second token.

        At least the last two tokens count, however slow they were.
        """
        if len(self.steps) < 2:
            return None
        last = self.steps[-1].decode_s
        first = bisect_left(self.steps, last - window_s, key=lambda step: step.decode_s)
        first = min(first, len(self.steps) - 2)
        seconds = last - self.steps[first].decode_s
        return (len(self.steps) - 1 - first) / seconds if seconds > 0 else None


class Peaks:
    """The largest of every so many values, in bounded room: what a picture of them needs.

    Each of `values` stands for `size` values, the last one for those there are; when there would
    be too many, neighbours are joined.
    """

    _LIMIT = 512

    def __init__(self) -> None:
        self.values: list[float] = []
        self.size = 1
        self._in_last = 1
        self.largest: float | None = None

    def add(self, value: float) -> None:
        """Take one more value in."""
        self.largest = value if self.largest is None else max(self.largest, value)
        if self.values and self._in_last < self.size:
            self.values[-1] = max(self.values[-1], value)
            self._in_last += 1
            return
        if len(self.values) == self._LIMIT:
            pairs = zip(self.values[::2], self.values[1::2], strict=True)
            self.values = [max(pair) for pair in pairs]
            self.size *= 2
        self.values.append(value)
        self._in_last = 1


@dataclass
class Comparison:
    """One prompt under several activation functions; `status` is None until the run has ended.

    `prompt_text` is what the model was fed, and `reference_index` a place in `streams`.
    """

    prompt: str
    prompt_text: str
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
    memory_bytes: int = 0  # that the engine's arrays held at the last step; 0 if it does not tell

    def __post_init__(self) -> None:
        self._agreements = [Agreement(self.reference, stream) for stream in self.streams]

    @classmethod
    def begin(cls, started: p.Started) -> Comparison:
        """A comparison without tokens yet. Raises `ProtocolError` if it has no such reference."""
        if not 0 <= started.reference < len(started.variants):
            raise p.ProtocolError("The engine started a comparison without its reference.")
        return cls(
            prompt=started.prompt,
            prompt_text=started.prompt_text,
            prompt_tokens=started.prompt_tokens,
            settings=started.settings,
            reference_index=started.reference,
            streams=[Stream(variant) for variant in started.variants],
        )

    @property
    def reference(self) -> Stream:
        """The stream that the others are compared with."""
        return self.streams[self.reference_index]

    @property
    def chat(self) -> bool:
        """Whether the prompt was put into the chat template."""
        return self.settings.chat is True

    @property
    def total_tokens(self) -> int:
        """Tokens of all streams together."""
        return sum(len(stream.tokens) for stream in self.streams)

    @property
    def tokens_per_second(self) -> float | None:
        """Tokens of all streams a second of decoding, on average so far."""
        own = [stream.steps[-1].decode_s for stream in self.streams if stream.steps]
        if not own:
            return None
        seconds = max(own) if self.settings.schedule == "lockstep" else sum(own)
        return self.total_tokens / seconds if seconds > 0 else None

    def apply(self, event: p.Event) -> None:
        """Take one event in; events that are not about a comparison are ignored.

        Raises `ProtocolError` for an event about a stream that does not exist.
        """
        match event:
            case p.Step():
                self._apply_step(event)
            case p.ForkFound():
                self._stream(event.stream).fork = event.fork
            case p.ForkReplayed():
                self._apply_replay(event)
            case p.Prefilled():
                stream = self._stream(event.stream)
                stream.prefill_s = event.seconds
                stream.prompt_tps = event.prompt_tps
            case p.StreamFinished():
                stream = self._stream(event.stream)
                stream.finish_reason = event.finish_reason
                stream.tail = event.tail
                stream.error = event.error
                self.update_divergence()
            case p.SelfChecked():
                self.self_check = event.report
            case p.Finished():
                self.status, self.error = event.status, event.error
                self.timing, self.peak_memory_bytes = event.timing, event.peak_memory_bytes
            case _:
                pass

    def _stream(self, index: int) -> Stream:
        if not 0 <= index < len(self.streams):
            raise p.ProtocolError(
                f"The engine told of stream {index}, but there are {len(self.streams)}."
            )
        return self.streams[index]

    def _apply_replay(self, event: p.ForkReplayed) -> None:
        stream = self._stream(event.stream)
        if stream.fork is None:
            raise p.ProtocolError("The engine replayed a fork that it had not told of.")
        stream.fork = msgspec.structs.replace(
            stream.fork, verdict=event.verdict, reason=event.reason, replay=event.replay
        )

    def _apply_step(self, event: p.Step) -> None:
        self.elapsed_s = event.elapsed_s
        self.memory_bytes = event.memory_bytes
        for step in event.streams:
            stream = self._stream(step.stream)
            if stream.time_to_first_token_s is None:
                stream.time_to_first_token_s = self._time_to_first_token(stream, step)
            stream.add(
                step.token, TokenStep(step.logprob, step.margin, step.kl, step.text, step.decode_s)
            )
        self.update_divergence()

    def _time_to_first_token(self, stream: Stream, step: p.StreamStep) -> float:
        # In solo each stream is timed by itself, so waiting for the others does not count.
        if self.settings.schedule == "solo" and stream.prefill_s is not None:
            return stream.prefill_s + step.decode_s
        return self.elapsed_s

    def update_divergence(self) -> None:
        """Bring every stream's agreement with the reference up to date."""
        for stream, agreement in zip(self.streams, self._agreements, strict=True):
            agreement.update()
            stream.first_divergent_token = agreement.first_divergent_token


class Agreement:
    """How far two growing streams agree; each call of `update` looks only at what is new."""

    def __init__(self, one: Stream, other: Stream) -> None:
        self._one = one
        self._other = other
        self.agreed = 0  # leading tokens known to be equal
        self.first_divergent_token: int | None = None

    def update(self) -> None:
        """Take in what the streams have come to."""
        if self._one is self._other or self.first_divergent_token is not None:
            return
        one, other = self._one.tokens, self._other.tokens
        shared = min(len(one), len(other))
        for step in range(self.agreed, shared):
            if one[step] != other[step]:
                self.agreed = self.first_divergent_token = step
                return
        self.agreed = shared
        if self._ended_before_the_other():
            self.first_divergent_token = shared

    def _ended_before_the_other(self) -> bool:
        shorter, longer = sorted((self._one, self._other), key=lambda stream: len(stream.tokens))
        ended = shorter.finish_reason in ("stop", "length")
        return ended and len(longer.tokens) > len(shorter.tokens)


class Perspective:
    """The streams of a comparison seen from any one of them, without a new run.

    The run's own reference is where the statistics come from; which stream the eye compares the
    others with is free. `reference` is an index.
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
        """The smallest step at which `stream` differs from the reference; None for itself."""
        self._agreements[stream].update()
        return self._agreements[stream].first_divergent_token

    def standing(self, stream: int, fork: p.Fork | None = None) -> Standing:
        """How `stream` compares with the reference now; `fork` is the one of this pair."""
        seen_from, seen = (self.comparison.streams[index] for index in (self.reference, stream))
        return standing(seen_from, seen, self.first_divergent_token(stream), fork)
