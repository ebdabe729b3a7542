"""Events of each decode step (text, statistics, forks), computed on a thread of their own.

The decode loop owns MLX and the main thread; it hands over tokens and a view of the logits and
continues. numpy releases the interpreter lock while it works, so the next step does not wait.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.repetition import Repetitions
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.engine.compute.statistics import Distribution, Logits, NotANumber, kl_divergence
from gelu_tui.engine.failures import not_finite
from gelu_tui.engine.models.tokenizer import Detokenizer, Tokenizer

Emit = Callable[[p.Event], None]
Endings = Mapping[int, p.FinishReason]  # of the streams that end with a step

_CANDIDATES = 10  # of each side of a fork

# A reader that stalls must not let a gigabyte of logits pile up.
_BACKLOG = 4  # steps


@dataclass(frozen=True)
class RowStep:
    """One stream's part of a decode step; `logits` has shape (vocabulary,)."""

    stream: int
    token: int
    logits: Logits
    decode_s: float


@dataclass
class _StreamState:
    name: str
    detokenizer: Detokenizer
    tokens: list[int] = field(default_factory=list)
    repetitions: Repetitions = field(default_factory=Repetitions)  # of the decode loop
    forked: bool = False
    broken: bool = False  # its logits are not numbers
    finished: bool = False
    error: ErrorInfo | None = None


class Observer:
    """Turns decode steps into events. `observe` from the decode loop, then `drain`, then `close`.

    The decode loop may read `ended` (streams with an end token, a repetition, the last step, or
    logits that are not finite) and `forks` (those found so far), and takes from `broken` the
    streams whose logits are not finite, which end when it calls `fail`. `seconds` is the time that
    the thread computed.
    """

    def __init__(
        self,
        emit: Emit,
        tokenizer: Tokenizer,
        started: p.Started,
        thread: ThreadPoolExecutor | None = None,
    ) -> None:
        """`thread`, a pool of one, is shared with other observers; else it has one of its own."""
        self._emit = emit
        self._tokenizer = tokenizer
        self._reference = started.reference
        self._last_step = started.settings.max_tokens - 1
        self._stop_repeats = started.settings.stop_repeats
        self._streams = [_StreamState(v.name, Detokenizer(tokenizer)) for v in started.variants]
        self._probabilities: Logits | None = None  # of that step, where they are needed
        # The reference's last step: its number, token, distribution and, if needed, probabilities.
        self._reference_step: tuple[int, int, Distribution, Logits | None] | None = None
        self._thread = thread or ThreadPoolExecutor(1, "observer")
        self._own_thread = thread is None
        self._backlog: deque[Future[None]] = deque()
        self._failure: BaseException | None = None
        self.ended: set[int] = set()
        self.broken: list[int] = []
        self.forks: list[p.ForkFound] = []
        self.seconds = 0.0

    def take_up(self, earlier: Sequence[p.EarlierStream]) -> None:
        """Start with tokens that were emitted before. Call it before the first `observe`."""
        reference = earlier[self._reference].tokens
        for index, (state, its) in enumerate(zip(self._streams, earlier, strict=True)):
            state.tokens = list(its.tokens)
            for token in its.tokens:
                if token not in self._tokenizer.end_ids:
                    state.detokenizer.add(token)
                if self._stop_repeats:
                    state.repetitions.add(token)
            if its.ended:
                state.finished, state.error = True, its.error
                self.ended.add(index)
            pairs = enumerate(zip(reference, its.tokens, strict=False))
            differs = next(((step, a, b) for step, (a, b) in pairs if a != b), None)
            if differs is not None:
                state.forked = True
                self.forks.append(p.ForkFound(index, p.Fork(*differs)))

    def observe(self, step: int, elapsed_s: float, rows: list[RowStep], memory_bytes: int) -> None:
        """Hand over one step; of solo streams the reference first. Raises the thread's error."""
        while len(self._backlog) >= _BACKLOG:
            self._backlog.popleft().result()
        endings = {row.stream: reason for row in rows if (reason := self._ending(step, row))}
        self.ended.update(endings)
        # The logits go back to MLX as soon as they are observed: nothing here keeps them.
        self._backlog.append(
            self._thread.submit(self._run, step, elapsed_s, rows, endings, memory_bytes)
        )

    def _ending(self, step: int, row: RowStep) -> p.FinishReason | None:
        """Why a stream ends with this token; None if it goes on."""
        if row.token in self._tokenizer.end_ids:
            return "stop"
        if self._stop_repeats:
            repetitions = self._streams[row.stream].repetitions
            repetitions.add(row.token)
            if repetitions.now is not None:
                return "repeats"
        return "length" if step >= self._last_step else None

    def drain(self) -> None:
        """Wait until all steps are emitted. Raises the thread's error."""
        if self._own_thread:
            self._thread.shutdown()
        while self._backlog:
            self._backlog.popleft().result()
        if self._failure is not None:
            raise self._failure

    def fail(self, stream: int, error: ErrorInfo) -> None:
        """Finish a broken stream with what broke it."""
        self._finish(stream, "failed", error)

    def close(self, reason: p.FinishReason, error: ErrorInfo | None) -> None:
        """Finish streams that have not ended with `reason`. Raises nothing."""
        with contextlib.suppress(Exception):  # the caller has seen what drain raises
            self.drain()
        for index, state in enumerate(self._streams):
            if state.broken:  # and nobody had the time to ask why
                where = f"stopped being numbers at step {len(state.tokens)}"
                self.fail(index, not_finite(state.name, where).info)
            self._finish(index, reason, error)

    def reference_error(self) -> ErrorInfo | None:
        """The reference's error, which fails the run; another stream's error is its own."""
        return self._streams[self._reference].error

    def tokens(self, stream: int) -> list[int]:
        """A stream so far."""
        return list(self._streams[stream].tokens)

    def token_count(self) -> int:
        """How many tokens all streams have so far."""
        return sum(len(stream.tokens) for stream in self._streams)

    def _run(
        self, step: int, elapsed_s: float, rows: list[RowStep], endings: Endings, memory: int
    ) -> None:
        if self._failure is not None:
            return
        began = time.perf_counter()
        try:
            self._observe(step, elapsed_s, rows, endings, memory)
        except BaseException as error:  # raised again in the decode loop
            self._failure = error
            raise
        finally:
            self.seconds += time.perf_counter() - began

    def _observe(
        self, step: int, elapsed_s: float, rows: list[RowStep], endings: Endings, memory: int
    ) -> None:
        steps: list[p.StreamStep] = []
        forks: list[p.ForkFound] = []
        finished: list[tuple[int, p.FinishReason]] = []
        # The reference first: the others are measured against it.
        for row in sorted(rows, key=lambda row: row.stream != self._reference):
            state = self._streams[row.stream]
            if state.finished or state.broken:
                continue
            try:
                distribution = Distribution.of(row.logits)
            except NotANumber:
                self.ended.add(row.stream)
                state.broken = True
                self.broken.append(row.stream)
                continue
            kl, fork = self._against_reference(step, row, distribution)
            if fork is not None:
                forks.append(p.ForkFound(row.stream, fork))
            state.tokens.append(row.token)
            # The end token is a token of the stream, but no text.
            ending = endings.get(row.stream)
            text = "" if ending == "stop" else state.detokenizer.add(row.token)
            logprob, margin = distribution.logprob(row.token), distribution.margin(row.token)
            steps.append(
                p.StreamStep(row.stream, row.token, text, logprob, margin, kl, row.decode_s)
            )
            if ending is not None:
                finished.append((row.stream, ending))
        if steps:
            ordered = tuple(sorted(steps, key=lambda s: s.stream))
            self._emit(p.Step(step, elapsed_s, ordered, memory))
        for found in forks:
            self._emit(found)
        self.forks.extend(forks)
        for stream, reason in finished:
            self._finish(stream, reason, None)

    def _against_reference(
        self, step: int, row: RowStep, v: Distribution
    ) -> tuple[float | None, p.Fork | None]:
        """KL while the contexts are equal, and the fork at the first divergent token."""
        if row.stream == self._reference:
            unforked = len(self._streams) - 1 - sum(s.forked for s in self._streams)
            if unforked:
                self._probabilities = v.probabilities(out=self._probabilities)
            self._reference_step = (step, row.token, v, self._probabilities)
            return None, None
        state, reference = self._streams[row.stream], self._reference_step
        if state.forked or reference is None or reference[0] != step:
            return None, None
        _, a, r, probabilities = reference
        kl, b = kl_divergence(r, v, probabilities), row.token
        if a == b:
            return kl, None
        state.forked = True
        return kl, p.Fork(
            step=step,
            reference_token=a,
            variant_token=b,
            reference_text=self._tokenizer.piece(a),
            variant_text=self._tokenizer.piece(b),
            reason="there is no replay of it in float32 so far",
            **fork_numbers(self._tokenizer, r, v, a, b),
        )

    def _finish(self, stream: int, reason: p.FinishReason, error: ErrorInfo | None) -> None:
        state = self._streams[stream]
        if not state.finished:
            state.finished, state.error = True, error
            self._emit(p.StreamFinished(stream, reason, state.detokenizer.finish(), error))


def margin(scores: Logits, own: int, other: int) -> float:
    """Score of one token minus that of another; 0 where neither can be chosen (both −inf)."""
    difference = float(scores[own]) - float(scores[other])
    return 0.0 if math.isnan(difference) else difference


def fork_numbers(
    tokenizer: Tokenizer, r: Distribution, v: Distribution, a: int, b: int
) -> dict[str, Any]:
    """The fields that `Fork` and `ForkReplay` share.

    `r` and `v` are the reference's and the variant's distributions, `a` and `b` their tokens.
    """

    def candidates(side: Distribution) -> tuple[p.Candidate, ...]:
        top = side.top(_CANDIDATES)
        return tuple(p.Candidate(t, tokenizer.piece(t), side.probability(t)) for t in top)

    return {
        "reference_top": candidates(r),
        "variant_top": candidates(v),
        "margins": {"reference": margin(r.logits, a, b), "variant": margin(v.logits, b, a)},
        "probabilities": {
            "reference_a": r.probability(a),
            "reference_b": r.probability(b),
            "variant_a": v.probability(a),
            "variant_b": v.probability(b),
        },
        "ranks": {
            "b_in_reference": r.rank(b),
            "a_in_variant": v.rank(a),
            "a_in_reference": r.rank(a),
            "b_in_variant": v.rank(b),
        },
    }
