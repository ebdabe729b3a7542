"""What each decode step says: text, statistics, forks; beside the decode loop, on its own thread.

The decode loop owns MLX and the main thread; it hands over tokens and a view of the logits and goes
on. numpy leaves the interpreter lock while it works, so the next step does not wait.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.engine.compute.statistics import Distribution, Logits, NotANumber, kl_divergence
from gelu_tui.engine.jobs.fork_numbers import candidates, fork_numbers
from gelu_tui.engine.models.tokenizer import Detokenizer, Tokenizer

Emit = Callable[[p.Event], None]

NOT_REPLAYED = "there is no replay of it in float32 so far"

# A reader that stalls must not let a gigabyte of logits pile up.
_QUEUE_LIMIT = 4


@dataclass(frozen=True)
class Row:
    """One stream's share of a decode step; `logits` has shape (vocabulary,)."""

    stream: int
    token: int
    logits: Logits
    decode_s: float


@dataclass
class _StreamState:
    name: str
    detokenizer: Detokenizer
    tokens: list[int] = field(default_factory=list)
    forked: bool = False
    finished: bool = False
    error: ErrorInfo | None = None


class Observer:
    """Turns decode steps into events. `observe` from the decode loop, then `drain`, then `close`.

    Streams that ended (end id, length, not a number) stand in `ended`, and the forks found so far
    in `forks`; the loop may read both.
    """

    def __init__(
        self,
        emit: Emit,
        tokenizer: Tokenizer,
        names: Sequence[str],
        reference: int,
        max_tokens: int,
    ) -> None:
        self._emit = emit
        self._tokenizer = tokenizer
        self._reference = reference
        self._max_tokens = max_tokens
        self._streams = [_StreamState(name, Detokenizer(tokenizer)) for name in names]
        self._reference_steps: dict[int, tuple[int, Distribution, Logits | None]] = {}
        self._queue: queue.Queue[tuple[int, float, list[Row], int] | None] = queue.Queue(
            _QUEUE_LIMIT
        )
        self._thread = threading.Thread(target=self._run, name="observer", daemon=True)
        self._failure: BaseException | None = None
        self.ended: set[int] = set()
        self.forks: list[p.ForkFound] = []
        self.seconds = 0.0
        self._thread.start()

    def observe(self, step: int, elapsed_s: float, rows: list[Row], memory_bytes: int = 0) -> None:
        """Hand over one step; of solo streams the reference first. Raises what the thread met."""
        if self._failure is not None:
            raise self._failure
        for row in rows:
            if row.token in self._tokenizer.end_ids or step + 1 >= self._max_tokens:
                self.ended.add(row.stream)
        self._queue.put((step, elapsed_s, rows, memory_bytes))

    def drain(self) -> None:
        """Wait until all is said. Raises what the thread met."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
        if self._failure is not None:
            raise self._failure

    def close(self, reason: p.FinishReason, error: ErrorInfo | None = None) -> None:
        """Let streams that have not ended do so with `reason`. Raises nothing."""
        with contextlib.suppress(Exception):  # what drain raises, the caller has seen
            self.drain()
        for index in range(len(self._streams)):
            self._finish(index, reason, error)

    def verdict(self) -> tuple[p.Status, ErrorInfo | None]:
        """Without a reference nothing is compared; any other stream's failure is its own."""
        error = self._streams[self._reference].error
        return ("completed", None) if error is None else ("failed", error)

    def reference_tokens(self) -> list[int]:
        """The reference's stream so far."""
        return list(self._streams[self._reference].tokens)

    @property
    def tokens(self) -> int:
        """Tokens of all streams so far."""
        return sum(len(stream.tokens) for stream in self._streams)

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            if self._failure is None:
                began = time.perf_counter()
                try:
                    self._observe(*item)
                except BaseException as error:  # handed to the decode loop
                    self._failure = error
                self.seconds += time.perf_counter() - began
            del item  # the logits go back to MLX now, not after the next step

    def _observe(self, step: int, elapsed_s: float, rows: list[Row], memory: int) -> None:
        # The reference first: the others are measured against it.
        rows = sorted(rows, key=lambda row: row.stream != self._reference)
        said: list[p.StreamStep] = []
        forks: list[p.ForkFound] = []
        finished: list[tuple[int, p.FinishReason, ErrorInfo | None]] = []
        for row in rows:
            if self._streams[row.stream].finished:
                continue
            try:
                distribution = Distribution.of(row.logits)
            except NotANumber:
                self.ended.add(row.stream)
                finished.append((row.stream, "failed", self._not_a_number(row.stream, step)))
                continue
            kl, fork = self._against_reference(step, row, distribution)
            said.append(self._step(row, distribution, kl))
            if fork is not None:
                forks.append(fork)
            if row.token in self._tokenizer.end_ids:
                finished.append((row.stream, "stop", None))
            elif step + 1 >= self._max_tokens:
                finished.append((row.stream, "length", None))
        if said:
            ordered = tuple(sorted(said, key=lambda s: s.stream))
            self._emit(p.Step(step, elapsed_s, ordered, memory))
        for fork in forks:
            self._emit(fork)
        self.forks.extend(forks)
        for stream, reason, error in finished:
            self._finish(stream, reason, error)

    def _step(self, row: Row, distribution: Distribution, kl: float | None) -> p.StreamStep:
        state = self._streams[row.stream]
        state.tokens.append(row.token)
        # The end token is a token of the stream, but no text.
        text = "" if row.token in self._tokenizer.end_ids else state.detokenizer.add(row.token)
        return p.StreamStep(
            stream=row.stream,
            token=row.token,
            text=text,
            logprob=distribution.logprob(row.token),
            margin=distribution.margin(row.token),
            kl=kl,
            decode_s=row.decode_s,
        )

    def _against_reference(
        self, step: int, row: Row, distribution: Distribution
    ) -> tuple[float | None, p.ForkFound | None]:
        """KL while the contexts are equal, and the fork where they part."""
        state = self._streams[row.stream]
        if row.stream == self._reference:
            unforked = len(self._streams) - 1 - sum(s.forked for s in self._streams)
            probabilities = distribution.probabilities() if unforked else None
            self._reference_steps = {step: (row.token, distribution, probabilities)}
            return None, None
        reference = self._reference_steps.get(step)
        if state.forked or reference is None:
            return None, None
        token, reference_distribution, probabilities = reference
        kl = kl_divergence(reference_distribution, distribution, probabilities)
        if token == row.token:
            return kl, None
        state.forked = True
        return kl, self._fork(step, row, token, reference_distribution, distribution)

    def _fork(self, step: int, row: Row, a: int, r: Distribution, v: Distribution) -> p.ForkFound:
        b = row.token
        margins, probabilities, ranks = fork_numbers(r, v, a, b)
        return p.ForkFound(
            row.stream,
            p.Fork(
                step=step,
                reference_token=a,
                variant_token=b,
                reference_text=self._tokenizer.piece(a),
                variant_text=self._tokenizer.piece(b),
                reference_top=candidates(self._tokenizer, r),
                variant_top=candidates(self._tokenizer, v),
                margins=margins,
                probabilities=probabilities,
                ranks=ranks,
                reason=NOT_REPLAYED,
            ),
        )

    def _finish(self, stream: int, reason: p.FinishReason, error: ErrorInfo | None) -> None:
        state = self._streams[stream]
        if not state.finished:
            state.finished = True
            state.error = error
            self._emit(p.StreamFinished(stream, reason, state.detokenizer.finish(), error))

    def _not_a_number(self, stream: int, step: int) -> ErrorInfo:
        return ErrorInfo(
            "not_finite",
            f"The logits of '{self._streams[stream].name}' stopped being numbers at step {step}.",
            "The function gives nan or infinity for inputs that this model produces.",
        )
