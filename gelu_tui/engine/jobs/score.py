"""Teacher forcing: all functions read the same text, with statistics of every token.

Yardsticks are changes of the model whose size people know: they are scored under the reference
function, as if each were one more function.

The functions are computed one after the other at batch 1, not as rows of one batch. The memory for
logits is then shared by two of them and not by all, and a chunk of positions is work enough to make
up for reading the weights again for each. And kernels may round batched rows differently from row
to row, which would be part of the noise floor.
"""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import make_prompt_cache
from msgspec.structs import replace

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.settings.yardsticks import YardstickName
from gelu_tui.engine import device
from gelu_tui.engine.compute import caches
from gelu_tui.engine.compute.activation_sites import rowwise
from gelu_tui.engine.compute.decode import vocabulary_of
from gelu_tui.engine.compute.limited_functions import functions_of
from gelu_tui.engine.compute.row_functions import RowFunctions
from gelu_tui.engine.compute.statistics import Distribution, Logits, NotANumber, kl_divergence
from gelu_tui.engine.compute.yardsticks import Yardstick, yardstick
from gelu_tui.engine.failures import (
    Interrupted,
    IsCancelled,
    error_info,
    not_finite,
    stop_if,
)
from gelu_tui.engine.jobs.not_finite import Causes
from gelu_tui.engine.jobs.observer import Emit
from gelu_tui.engine.jobs.reading import reading
from gelu_tui.engine.jobs.request import resolve_variants
from gelu_tui.engine.jobs.windows import Windows, cut
from gelu_tui.engine.models.loading import LoadedModel
from gelu_tui.engine.models.tokenizer import Detokenizer

# Four float32 arrays of (positions of a chunk, vocabulary) are alive at once: the reference's
# logits and probabilities, the logits that are measured and those that are computed meanwhile.
_HELD_BYTES = 256 * 1024 * 1024
_HELD_ARRAYS = 4


def positions_at_once(vocabulary: int, dtype: str) -> int:
    """How many positions of a window are computed in one forward pass: a cancel waits for it."""
    fit = _HELD_BYTES // (_HELD_ARRAYS * 4 * vocabulary)
    return max(1, min(fit, device.prefill_chunk(dtype)))


class Position:
    """The reference's distribution at one position, and others measured against it."""

    def __init__(self, logits: Logits, token: int) -> None:
        self._token = token
        self._distribution = Distribution.of(logits)
        self._probabilities = self._distribution.probabilities()
        self._top = int(logits.argmax())
        self.logprob = _finite(self._distribution.logprob(token))
        self.top_probability = self._distribution.probability(self._top)

    def against(self, logits: Logits) -> tuple[float, float, bool]:
        """Logprob, KL, and same top-1 of a variant with `logits` of shape (vocabulary,).

        Raises `NotANumber`.
        """
        variant = Distribution.of(logits)
        kl = kl_divergence(self._distribution, variant, self._probabilities)
        same = int(logits.argmax()) == self._top
        return _finite(variant.logprob(self._token)), _finite(kl), same


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise NotANumber
    return value


def score(loaded: LoadedModel, command: p.Score, emit: Emit, cancelled: IsCancelled) -> None:
    """Score a text and emit all events; once begun, it ends with `ScoreFinished`.

    Raises `GeluError` for a command that cannot begin.
    """
    scoring = _Scoring(loaded, command, emit, cancelled)
    emit(scoring.started)
    workers = min(8, os.cpu_count() or 1)  # numpy releases the interpreter lock
    with (
        reading(emit, p.ScoreFinished),
        rowwise(loaded.model) as sites,
        ThreadPoolExecutor(workers) as pool,
    ):
        scoring.run(sites, pool)


class _Scoring:
    """A text while it is scored. `run` once."""

    def __init__(
        self, loaded: LoadedModel, command: p.Score, emit: Emit, cancelled: IsCancelled
    ) -> None:
        # One function after the other: there is no batch that could be too large.
        variants, infos, reference = resolve_variants(loaded, command.settings, room=False)
        self._text = cut(loaded, command)
        self._texts = _TokenTexts(loaded, self._text)
        names = tuple(dict.fromkeys(command.yardsticks))
        found = [_applicable(name, loaded) for name in names]
        # They are rows after the functions.
        by_row = dict(enumerate(found, len(variants)))
        self._yardsticks = {row: y for row, y in by_row.items() if isinstance(y, Yardstick)}
        self._refused = {row: y for row, y in by_row.items() if isinstance(y, ErrorInfo)}
        self.started = p.ScoreStarted(
            variants=infos,
            reference=reference,
            **self._text.told(),
            bos=self._text.bos,
            yardsticks=tuple(
                p.YardstickInfo(name, y.description if isinstance(y, Yardstick) else "")
                for name, y in zip(names, found, strict=True)
            ),
        )
        self._model, self._dtype = loaded.model, loaded.info.dtype
        self._emit, self._cancelled = emit, cancelled
        precision = command.settings.activation_precision
        self._variants = variants
        self._functions = functions_of(variants, reference, precision)
        self._causes = Causes(loaded, variants[reference], precision, cancelled)
        # The reference first: the others are measured against it.
        rows = sorted(range(len(variants)), key=lambda row: row != reference)
        self._going = [*rows, *self._yardsticks]
        self._done = 0
        self._progress = p.Progress("score", "", 0, self._text.positions, "tokens")
        # What the functions are fed now, and how many logits of it are measured.
        self._fed: tuple[list[int], int] = ([], 0)

    def run(self, sites: RowFunctions, pool: ThreadPoolExecutor) -> None:
        """Score window after window. Raises `Interrupted`, and `GeluError` of the reference."""
        for row, why in self._refused.items():
            self._emit(p.ScoreFailed(row, why))
        vocabulary = self._vocabulary(sites)
        chunk = positions_at_once(vocabulary, self._dtype)
        began = time.perf_counter()
        windows = self._text.windows
        for number, window in enumerate(windows):
            cache = {row: make_prompt_cache(self._model) for row in self._going}
            label = f"window {number + 1} of {len(windows)}"
            for start in range(0, len(window) - 1, chunk):
                rate = self._done / (time.perf_counter() - began) if self._done else 0.0
                total = self.started.positions
                self._progress = p.Progress("score", label, self._done, total, "tokens", rate)
                self._emit(self._progress)
                inputs = window[start : min(start + chunk, len(window) - 1)]
                targets = window[start + 1 : start + 1 + len(inputs)]
                self._fed = (window[: start + len(inputs)], len(inputs))
                computed = self._logits(inputs, cache, sites)
                unscored = [] if start or self._text.bos else window[:1]
                self._chunk(number, unscored, targets, computed, sites, pool)
            mx.clear_cache()

    def _vocabulary(self, sites: RowFunctions) -> int:
        """How many logits a position has. Raises `GeluError` where the text has other tokens."""
        with sites.use(self._functions[0]):
            vocabulary = vocabulary_of(self._model)
        self._text.check_vocabulary(vocabulary)
        return vocabulary

    def _chunk(
        self,
        window: int,
        unscored: list[int],
        targets: list[int],
        computed: Iterator[tuple[int, Logits]],
        sites: RowFunctions,
        pool: ThreadPoolExecutor,
    ) -> None:
        """Measure all functions at positions of a window, and emit when all are there.

        `unscored` are the tokens before them that have no statistics.
        """
        positions: list[Position] = []
        rows: list[p.ScoredRow] = []
        failed: list[int] = []
        for row, logits in computed:
            try:
                if row == self.started.reference:
                    positions = list(pool.map(Position, logits, targets))
                else:
                    numbers = pool.map(Position.against, positions, logits)
                    rows.append(p.ScoredRow(row, *map(tuple, zip(*numbers, strict=True))))
            except NotANumber:
                if row == self.started.reference:
                    raise self._not_finite(row, sites) from None
                failed.append(row)
            del logits  # before the next but one is computed
        for row in failed:
            self._going.remove(row)
            self._emit(p.ScoreFailed(row, self._not_finite(row, sites).info))
        self._done += len(targets)
        logprob = tuple(position.logprob for position in positions)
        top_probability = tuple(position.top_probability for position in positions)
        tokens = (*unscored, *targets)
        self._emit(
            p.ScoreChunk(
                logprob,
                top_probability,
                tuple(rows),
                cluster=self._text.clusters[window],
                window=window,
                tokens=tokens,
                texts=self._texts.of(window, tokens, self._done == self.started.positions),
            )
        )

    def _logits(
        self, inputs: list[int], cache: dict[int, list[Any]], sites: RowFunctions
    ) -> Iterator[tuple[int, Logits]]:
        """Each row's index and logits of shape (positions, vocabulary).

        The next row's are being computed when one's are yielded. Raises `Interrupted`.
        """
        computing: deque[tuple[int, mx.array]] = deque()
        for row in tuple(self._going):
            stop_if(self._cancelled())
            if (yardstick := self._yardsticks.get(row)) is not None:  # which takes long
                self._emit(
                    replace(self._progress, label=f"{self._progress.label}, {yardstick.name}")
                )
            with self._alone(row), self._changed(row, sites):
                logits = self._model(mx.array([inputs]), cache=cache[row])[0].astype(mx.float32)
                mx.async_eval(logits, caches.arrays(cache[row]))
                computing.append((row, logits))
                del logits
            if len(computing) > 1:
                yield from self._view(*computing.popleft())
        while computing:
            yield from self._view(*computing.popleft())

    def _view(self, row: int, logits: mx.array) -> Iterator[tuple[int, Logits]]:
        with self._alone(row):
            mx.eval(logits)
        if row in self._going:
            yield row, np.array(logits, copy=False)

    @contextmanager
    def _changed(self, row: int, sites: RowFunctions) -> Iterator[None]:
        """Within this context the model computes the row: with its function, or its yardstick."""
        yardstick = self._yardsticks.get(row)
        function = self._functions[self.started.reference if yardstick else row]
        with sites.use(function), yardstick.applied() if yardstick else nullcontext():
            yield

    @contextmanager
    def _alone(self, row: int) -> Iterator[None]:
        """A yardstick that fails within this context ends, and nothing else does."""
        try:
            yield
        except Exception as error:
            if row not in self._yardsticks or isinstance(error, Interrupted):
                raise
            self._going.remove(row)
            self._emit(p.ScoreFailed(row, error_info(error)))

    def _not_finite(self, row: int, sites: RowFunctions) -> GeluError:
        where = f"are not numbers after {self._done} tokens of the text"
        if (yardstick := self._yardsticks.get(row)) is not None:
            why = "the change makes nan or infinity of what this model computes"
            return not_finite(yardstick.name, where, why, f"Leave {yardstick.name} out.")
        return self._causes.error(sites, self._variants[row], *self._fed, where)


class _TokenTexts:
    """What the tokens of the texts complete, each text by itself."""

    def __init__(self, loaded: LoadedModel, text: Windows) -> None:
        self._loaded, self._text = loaded, text
        self._document = 0
        self._detokenizer = Detokenizer(loaded.tokenizer)

    def of(self, window: int, tokens: tuple[int, ...], is_last: bool) -> tuple[str, ...]:
        """The texts of the next tokens; a character cut off by the end is in the last one."""
        cut_off = ""
        if self._text.documents > 1 and self._text.clusters[window] != self._document:
            self._document = self._text.clusters[window]
            cut_off = self._detokenizer.finish()
            self._detokenizer = Detokenizer(self._loaded.tokenizer)
        texts = [self._detokenizer.add(token) for token in tokens]
        texts[0] = cut_off + texts[0]
        if is_last:
            texts[-1] += self._detokenizer.finish()
        return tuple(texts)


def _applicable(name: YardstickName, loaded: LoadedModel) -> Yardstick | ErrorInfo:
    """A yardstick of the loaded model, or why it has none."""
    try:
        return yardstick(name, loaded.model, loaded.info)
    except GeluError as error:
        return error.info
