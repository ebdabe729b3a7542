"""A function in the reference's place for the inputs of one bin alone: which bin moves the model.

Teacher forced, as a scoring: the function's models read each window beside the reference's, one
after the other at batch 1.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.models.cache import make_prompt_cache

from gelu_tui.core import protocol as p
from gelu_tui.core.functions.registry import Precision
from gelu_tui.core.functions.variants import Variant
from gelu_tui.engine.compute import caches
from gelu_tui.engine.compute.decode import vocabulary_of
from gelu_tui.engine.compute.functions import Function, function_of
from gelu_tui.engine.compute.input_counts import Floats
from gelu_tui.engine.compute.limited_functions import LimitedFunction
from gelu_tui.engine.compute.row_functions import RowFunction, RowFunctions
from gelu_tui.engine.compute.statistics import Distribution, Logits, NotANumber, kl_divergence
from gelu_tui.engine.failures import IsCancelled, stop_if
from gelu_tui.engine.jobs.not_finite import Causes
from gelu_tui.engine.jobs.observer import Emit
from gelu_tui.engine.jobs.score import positions_at_once
from gelu_tui.engine.jobs.windows import Windows
from gelu_tui.engine.models.loading import LoadedModel


class _NoNumber(ArithmeticError):
    """The logits of a row are not numbers; row 0 is the reference."""

    def __init__(self, row: int) -> None:
        self.row = row
        super().__init__(row)


def within(low: float, high: float, inside: Function, outside: Function) -> Function:
    """`inside` for every x with low ≤ x < high, `outside` for all others."""

    def function(x: mx.array) -> mx.array:
        wide = x.astype(mx.float32)
        return mx.where((wide >= low) & (wide < high), inside(x), outside(x))

    return function


class SwapByBin:
    """A text, whose windows are read for one function after the other. `run` once."""

    def __init__(
        self,
        loaded: LoadedModel,
        text: Windows,
        reference: Variant,
        precision: Precision,
        borders: Sequence[float],
        emit: Emit,
        cancelled: IsCancelled,
    ) -> None:
        """`borders` are between the bins, the outermost of which have no end."""
        self._model, self._text = loaded.model, text
        self._reference, self._precision = reference, precision
        self._dtype = loaded.info.dtype
        self._bins = list(pairwise((-np.inf, *borders, np.inf)))
        self._causes = Causes(loaded, reference, precision, cancelled)
        self._emit, self._cancelled = emit, cancelled
        self._done, self._total, self._began = 0, 0, time.perf_counter()

    def run(
        self,
        sites: RowFunctions,
        pool: ThreadPoolExecutor,
        functions: Mapping[int, Variant],
    ) -> None:
        """Emit the KL by bin of each function, after each window what is known until then.

        Raises `Interrupted`, and `GeluError` of the reference.
        """
        with sites.use(function_of(self._reference, self._precision)):
            chunk = positions_at_once(vocabulary_of(self._model), self._dtype)
        self._total = self._text.positions * len(functions) * (len(self._bins) + 2)
        for number, variant in functions.items():
            swapped = self._swapped(variant)
            sums, positions = np.zeros(len(swapped) - 1), 0
            try:
                for window in self._text.windows:
                    sums += self._window(window, chunk, variant.name, swapped, sites, pool)
                    positions += len(window) - 1
                    whole, *bins = (sums / positions).tolist()
                    self._emit(p.InputsKl(number, positions, whole, tuple(bins)))
            except _NoNumber as error:
                row = self._reference if error.row == 0 else variant
                where = f"are not numbers after {positions} tokens of the text"
                told = self._causes.error(sites, row, window[:-1], len(window) - 1, where)
                if error.row == 0:
                    raise told from None
                self._emit(p.InputsFailed(number, told.info))

    def _swapped(self, variant: Variant) -> list[RowFunction]:
        """The reference, the function everywhere, and the function in each bin.

        A function that is limited to a part of the model stays within it.
        """
        own, reference = (function_of(v, self._precision) for v in (variant, self._reference))
        bins = (within(low, high, own, reference) for low, high in self._bins)
        every = [own, *bins]
        if (limits := variant.limits) is not None:
            return [reference, *(LimitedFunction(f, reference, limits) for f in every)]
        return [reference, *every]

    def _window(
        self,
        window: list[int],
        chunk: int,
        name: str,
        functions: list[RowFunction],
        sites: RowFunctions,
        pool: ThreadPoolExecutor,
    ) -> Floats:
        """Σ KL over a window's positions, of all but the first function against the first."""
        held = [make_prompt_cache(self._model) for _ in functions]
        sums = np.zeros(len(functions) - 1)
        for start in range(0, len(window) - 1, chunk):
            fed = window[start : min(start + chunk, len(window) - 1)]
            against: list[Callable[[Logits], float]] = []
            for row, logits in self._computed(fed, functions, held, sites, name):
                try:
                    if row:
                        sums[row - 1] += sum(pool.map(_call, against, logits))
                    else:
                        against = list(pool.map(_against, logits))
                except NotANumber:
                    raise _NoNumber(row) from None
                del logits  # before the next but one is computed
        mx.clear_cache()
        return sums

    def _computed(
        self,
        tokens: list[int],
        functions: list[RowFunction],
        held: list[list[Any]],
        sites: RowFunctions,
        name: str,
    ) -> Iterator[tuple[int, Logits]]:
        """Each function's number and logits; the next one's are computed when one's are yielded."""
        before: tuple[int, mx.array] | None = None
        for row, (function, cache) in enumerate(zip(functions, held, strict=True)):
            stop_if(self._cancelled())
            rate = self._done / (time.perf_counter() - self._began)
            label = f"{name} by bins"
            self._emit(p.Progress("inputs", label, self._done, self._total, "tokens", rate))
            with sites.use(function):
                logits = self._model(mx.array([tokens]), cache=cache)[0].astype(mx.float32)
            mx.async_eval(logits, caches.arrays(cache))
            if before is not None:
                yield _view(*before)
            before = row, logits
            del logits
            self._done += len(tokens)
        if before is not None:
            yield _view(*before)


def _view(row: int, logits: mx.array) -> tuple[int, Logits]:
    mx.eval(logits)
    return row, np.array(logits, copy=False)


def _call(kl: Callable[[Logits], float], logits: Logits) -> float:
    return kl(logits)


def _against(logits: Logits) -> Callable[[Logits], float]:
    """The KL of others' logits against these at one position."""
    reference = Distribution.of(logits)
    probabilities = reference.probabilities()

    def kl(other: Logits) -> float:
        found = kl_divergence(reference, Distribution.of(other), probabilities)
        if not np.isfinite(found):
            raise NotANumber
        return found

    return kl
