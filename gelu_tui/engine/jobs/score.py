"""Teacher forcing: all functions read the same text, and what each makes of every token is told.

The functions are computed one after the other at batch 1, not as rows of one batch. The memory for
logits is then shared by two of them and not by all, and a chunk of positions is work enough to make
up for reading the weights again for each. And kernels may round batched rows differently from row
to row: that would stand in the noise floor.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import make_prompt_cache

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.functions.controls import with_control
from gelu_tui.core.functions.variants import Variant, parse_variants, resolve_reference
from gelu_tui.engine import device
from gelu_tui.engine.compute import caches
from gelu_tui.engine.compute.activation_sites import RowFunctions, rowwise
from gelu_tui.engine.compute.functions import function_of
from gelu_tui.engine.compute.statistics import Distribution, Logits, NotANumber, kl_divergence
from gelu_tui.engine.failures import Interrupted, explain
from gelu_tui.engine.models.loading import LoadedModel

Emit = Callable[[p.Event], None]
Cancelled = Callable[[], bool]

USUAL_CONTEXT = 512

# Four float32 arrays of (positions of a chunk, vocabulary) are alive at once: the reference's
# logits and probabilities, the logits that are measured and those that are computed meanwhile.
_HELD_BYTES = 256 * 1024 * 1024
_HELD_ARRAYS = 4


# --- the command resolved -------------------------------------------------------------------------


@dataclass(frozen=True)
class _Request:
    variants: list[Variant]
    windows: list[list[int]]
    started: p.ScoreStarted


def _resolve(loaded: LoadedModel, command: p.Score) -> _Request:
    """Functions, control and windows. Raises `GeluError`."""
    settings = command.settings
    variants = parse_variants(settings.activations)
    native = loaded.info.native_activation
    reference = resolve_reference(variants, settings.reference, native)
    # One function after the other: there is no batch that could be too large.
    variants, control = with_control(variants, reference, wanted=settings.control, room=False)
    context = _context(command.context, loaded.context_length)
    bos = loaded.tokenizer.encode("")
    tokens = list(command.tokens) or loaded.tokenizer.encode(command.text)
    windows = windows_of(tokens, bos, context)
    started = p.ScoreStarted(
        variants=tuple(
            p.VariantInfo.of(
                variant, settings.activation_precision, native, control=index == control
            )
            for index, variant in enumerate(variants)
        ),
        reference=reference,
        tokens=sum(len(window) - len(bos) for window in windows),
        windows=len(windows),
        positions=sum(len(window) - 1 for window in windows),
        context=context,
    )
    if not started.positions:
        raise GeluError(
            "too_short", "The text has no token with another one before it.", "Give more text."
        )
    return _Request(variants, windows, started)


def _context(asked: int | None, limit: int) -> int:
    if asked is not None and not 2 <= asked <= limit:
        raise GeluError(
            "context",
            f"A window of {asked} tokens does not fit this model, whose context holds {limit}.",
            f"Choose 2 to {limit}.",
        )
    return asked or min(USUAL_CONTEXT, limit)


def windows_of(tokens: list[int], bos: list[int], context: int) -> list[list[int]]:
    """Cut a text into windows of at most `context` tokens, each with BOS in front if there is one.

    Every token of the text is in one window, and BOS is no token of the text.
    """
    if bos and tokens[: len(bos)] == bos:
        tokens = tokens[len(bos) :]
    own = context - len(bos)
    return [bos + tokens[start : start + own] for start in range(0, len(tokens), own)]


# --- one position ---------------------------------------------------------------------------------


class _Numbers(NamedTuple):
    logprob: float
    kl: float
    same_top: bool


class _Position:
    """The reference's distribution at one position, and others measured against it."""

    def __init__(self, logits: Logits, token: int) -> None:
        self._token = token
        self._distribution = Distribution.of(logits)
        self._probabilities = self._distribution.probabilities()
        self._top = int(logits.argmax())
        self.logprob = _finite(self._distribution.logprob(token))
        self.top_probability = self._distribution.probability(self._top)

    def against(self, logits: Logits) -> _Numbers:
        """A variant's numbers; `logits` has shape (vocabulary,). Raises `NotANumber`."""
        variant = Distribution.of(logits)
        kl = kl_divergence(self._distribution, variant, self._probabilities)
        same = int(logits.argmax()) == self._top
        return _Numbers(_finite(variant.logprob(self._token)), _finite(kl), same)


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise NotANumber
    return value


# --- the whole text -------------------------------------------------------------------------------


def score(loaded: LoadedModel, command: p.Score, emit: Emit, cancelled: Cancelled) -> None:
    """Score a text and say all that happens; once begun, it ends with `ScoreFinished`.

    Raises `GeluError` for a command that cannot begin.
    """
    request = _resolve(loaded, command)
    mx.reset_peak_memory()
    emit(request.started)
    began = time.perf_counter()
    status: p.Status = "completed"
    error: ErrorInfo | None = None
    try:
        workers = min(8, os.cpu_count() or 1)  # numpy leaves the interpreter lock
        with rowwise(loaded.model) as functions, ThreadPoolExecutor(workers) as pool:
            _Scoring(loaded, request, functions, pool, emit, cancelled).run()
    except Interrupted:
        status = "cancelled"
    except Exception as failure:
        status, error = "failed", explain(failure)
    seconds = time.perf_counter() - began
    emit(p.ScoreFinished(status, seconds, mx.get_peak_memory(), error))


class _Scoring:
    """A text while it is scored. `run` once."""

    def __init__(
        self,
        loaded: LoadedModel,
        request: _Request,
        functions: RowFunctions,
        pool: ThreadPoolExecutor,
        emit: Emit,
        cancelled: Cancelled,
    ) -> None:
        self._model = loaded.model
        self._started = request.started
        self._windows = request.windows
        self._rows = functions
        self._pool = pool
        self._emit = emit
        self._cancelled = cancelled
        self._functions = [
            function_of(variant, info.precision)
            for variant, info in zip(request.variants, self._started.variants, strict=True)
        ]
        # The reference first: the others are measured against it.
        reference = self._started.reference
        self._going = sorted(range(len(self._functions)), key=lambda row: row != reference)
        self._chunk_size = self._positions_at_once(self._vocabulary(), loaded.info.dtype)
        self._began = time.perf_counter()
        self._done = 0

    def run(self) -> None:
        """Score window after window. Raises `Interrupted`, and `GeluError` of the reference."""
        for number, window in enumerate(self._windows):
            cache = {row: make_prompt_cache(self._model) for row in self._going}
            for start in range(0, len(window) - 1, self._chunk_size):
                inputs = window[start : min(start + self._chunk_size, len(window) - 1)]
                self._progress(number)
                self._chunk(inputs, window[start + 1 : start + 1 + len(inputs)], cache)
            mx.clear_cache()

    def _vocabulary(self) -> int:
        """How many logits a position has. Raises `GeluError` where the text has other tokens."""
        with self._rows.use(self._functions[0]):
            # Nothing is computed: an array knows its shape before.
            vocabulary = int(self._model(mx.array([[0]])).shape[-1])
        for token in (min(map(min, self._windows)), max(map(max, self._windows))):
            if not 0 <= token < vocabulary:
                raise GeluError(
                    "tokens",
                    f"The tokens are of another model: this one has no token {token}.",
                    "Score the run with its own model.",
                )
        return vocabulary

    @staticmethod
    def _positions_at_once(vocabulary: int, dtype: str) -> int:
        fit = _HELD_BYTES // (_HELD_ARRAYS * 4 * vocabulary)
        return max(1, min(fit, device.prefill_chunk(dtype)))  # a cancel waits for so many

    def _chunk(self, inputs: list[int], targets: list[int], cache: dict[int, list[Any]]) -> None:
        """Measure all functions at some positions, and tell the numbers when all are there."""
        positions: list[_Position] = []
        said: list[p.ScoredRow] = []
        failed: list[int] = []
        for row, logits in self._logits(inputs, cache):
            try:
                if row == self._started.reference:
                    positions = list(self._pool.map(_Position, logits, targets))
                else:
                    numbers = self._pool.map(_Position.against, positions, logits)
                    said.append(p.ScoredRow(row, *map(tuple, zip(*numbers, strict=True))))
            except NotANumber:
                if row == self._started.reference:
                    raise self._not_a_number(row) from None
                failed.append(row)
            del logits  # before the next but one is computed
        for row in failed:
            self._going.remove(row)
            self._emit(p.ScoreFailed(row, self._not_a_number(row).info))
        self._done += len(inputs)
        self._emit(
            p.ScoreChunk(
                tuple(position.logprob for position in positions),
                tuple(position.top_probability for position in positions),
                tuple(said),
            )
        )

    def _logits(
        self, inputs: list[int], cache: dict[int, list[Any]]
    ) -> Iterator[tuple[int, Logits]]:
        """(positions, vocabulary) of each function; the next is on its way when one is given out.

        Raises `Interrupted`.
        """
        started: deque[tuple[int, mx.array]] = deque()
        for row in self._going:
            if self._cancelled():
                raise Interrupted
            with self._rows.use(self._functions[row]):
                logits = self._model(mx.array([inputs]), cache=cache[row])[0].astype(mx.float32)
            mx.async_eval(logits, caches.arrays(cache[row]))
            started.append((row, logits))
            del logits
            if len(started) > 1:
                yield _view(*started.popleft())
        yield _view(*started.popleft())

    def _progress(self, window: int) -> None:
        total = self._started.positions
        seconds = time.perf_counter() - self._began
        label = f"window {window + 1} of {len(self._windows)}"
        rate = self._done / seconds if self._done else 0.0
        self._emit(p.Progress("score", label, self._done, total, "tokens", rate))

    def _not_a_number(self, row: int) -> GeluError:
        return GeluError(
            "not_finite",
            f"The logits of '{self._started.variants[row].name}' are not numbers "
            f"after {self._done} tokens of the text.",
            "The function gives nan or infinity for inputs that this model produces.",
        )


def _view(row: int, logits: mx.array) -> tuple[int, Logits]:
    mx.eval(logits)
    return row, np.array(logits, copy=False)
