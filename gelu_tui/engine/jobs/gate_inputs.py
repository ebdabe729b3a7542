"""What a model gives to its activation while it reads a text, and the functions' errors on it.

The reference's model reads, at batch 1 and without its output head. Each site's inputs are counted
on threads beside the forward pass and forgotten, so that memory does not grow with the text.
"""

from __future__ import annotations

import os
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.functions.variants import Variant, parse_variant
from gelu_tui.engine import device
from gelu_tui.engine.compute import caches
from gelu_tui.engine.compute.activation_sites import rowwise
from gelu_tui.engine.compute.decode import vocabulary_of
from gelu_tui.engine.compute.function_errors import ErrorTable, NotFinite
from gelu_tui.engine.compute.functions import function_of
from gelu_tui.engine.compute.input_counts import Counts, Grid, count, held
from gelu_tui.engine.compute.recorded_inputs import recording
from gelu_tui.engine.compute.row_functions import RowFunctions, Site
from gelu_tui.engine.failures import IsCancelled, stop_if
from gelu_tui.engine.jobs.input_report import borders_of, inputs_found
from gelu_tui.engine.jobs.not_finite import Causes
from gelu_tui.engine.jobs.observer import Emit
from gelu_tui.engine.jobs.reading import reading
from gelu_tui.engine.jobs.request import resolve_variants
from gelu_tui.engine.jobs.swap_by_bin import SwapByBin
from gelu_tui.engine.jobs.windows import cut
from gelu_tui.engine.models.loading import LoadedModel

_BETWEEN_RESULTS_S = 0.5  # a whole result is some 100 KB
_SITES_WAITING = 4  # for a thread to count them; each holds two arrays of a chunk


def gate_inputs(
    loaded: LoadedModel, command: p.GateInputs, emit: Emit, cancelled: IsCancelled
) -> None:
    """Read a text and emit all events; once begun, it ends with `InputsFinished`.

    Raises `GeluError` for a command that cannot begin.
    """
    reader = _Reading(loaded, command, emit, cancelled)
    emit(reader.started)
    workers = min(8, os.cpu_count() or 1)  # numpy releases the interpreter lock
    with (
        reading(emit, p.InputsFinished),
        rowwise(loaded.model) as sites,
        ThreadPoolExecutor(workers) as pool,
    ):
        reader.run(sites, pool)


class _Reading:
    """A text while it is read. `run` once."""

    def __init__(
        self, loaded: LoadedModel, command: p.GateInputs, emit: Emit, cancelled: IsCancelled
    ) -> None:
        if loaded.ranks:
            message = "The inputs of layers that other processes hold cannot be read."
            raise GeluError("pipeline", message, "Load the model in one process.")
        settings = command.settings
        native = loaded.info.native_activation
        self._variants, infos, reference = resolve_variants(loaded, settings, room=False)
        if settings.reference is None and self._variants[reference].name != native:
            # These are the model's own inputs: what it computes with need not be chosen.
            reference = len(self._variants)
            self._variants.append(parse_variant(native))
            precision = settings.activation_precision
            infos = (*infos, p.VariantInfo.of(self._variants[-1], precision, native))
        self._text = cut(loaded, command)
        self.started = p.InputsStarted(
            variants=infos,
            reference=reference,
            **self._text.told(),
        )
        self._loaded, self._model, self._dtype = loaded, loaded.model, loaded.info.dtype
        self._emit, self._cancelled, self._causal = emit, cancelled, command.causal
        self._precision = command.settings.activation_precision
        self._causes = Causes(loaded, self._reference, self._precision, cancelled)
        self._grid = Grid(self._dtype)
        self._tables = {
            number: ErrorTable(self._grid, self._dtype, variant, self._precision, self._reference)
            for number, variant in enumerate(self._variants)
        }
        self._counts: dict[Site, Counts] = {}
        self._all = Counts.none(self._grid)
        self._waiting: deque[tuple[Site, Future[Counts]]] = deque()
        self._done = 0

    @property
    def _reference(self) -> Variant:
        return self._variants[self.started.reference]

    def run(self, sites: RowFunctions, pool: ThreadPoolExecutor) -> None:
        """Read all windows, and then swap by bins if that is asked for. Raises `Interrupted`."""
        function = function_of(self._reference, self._precision)
        with sites.use(function):
            self._text.check_vocabulary(vocabulary_of(self._model))

        def take(site: Site, x: mx.array, u: mx.array) -> None:
            stop_if(self._cancelled())
            mx.eval(x, u)
            while len(self._waiting) >= _SITES_WAITING:
                self._gather()
            self._waiting.append((site, pool.submit(count, self._grid, held(x), held(u))))

        with recording(self._model, function, take) as recorder, sites.use(recorder):
            self._read(sites)
        if self._causal:
            self._swap(sites, pool)

    def _read(self, sites: RowFunctions) -> None:
        chunk = device.prefill_chunk(self._dtype)
        began = told = time.perf_counter()
        for number, window in enumerate(self._text.windows):
            cache = make_prompt_cache(self._model)
            label = f"window {number + 1} of {len(self._text.windows)}"
            for start in range(0, len(window) - 1, chunk):
                rate = self._done / (time.perf_counter() - began) if self._done else 0.0
                total = self.started.positions
                self._emit(p.Progress("inputs", label, self._done, total, "tokens", rate))
                fed = window[start : min(start + chunk, len(window) - 1)]
                self._feed(fed, cache)
                if not self._all.is_finite:
                    raise self._not_finite(sites, window[: start + len(fed)], len(fed))
                self._done += len(fed)
                now = time.perf_counter()
                if now - told >= _BETWEEN_RESULTS_S or self._done == total:
                    self._tell()
                    told = time.perf_counter()
            mx.clear_cache()

    def _feed(self, tokens: list[int], cache: list[Any]) -> None:
        # The logits are not evaluated, so that the output head does not run.
        self._model(mx.array([tokens]), cache=cache)
        mx.eval(caches.arrays(cache))
        while self._waiting:
            self._gather()

    def _gather(self) -> None:
        """Wait for the site that waits longest, and add its counts."""
        site, counting = self._waiting.popleft()
        found = counting.result()
        self._counts.setdefault(site, Counts.none(self._grid)).add(found)
        self._all.add(found)

    def _tell(self) -> None:
        """Emit what is found until now; a function that is not a number here fails alone."""
        for number, table in list(self._tables.items()):
            try:
                table.fill(self._all)
            except NotFinite as error:
                del self._tables[number]
                self._emit(p.InputsFailed(number, self._no_number(number, error.at)))
        self._emit(inputs_found(self._done, self._counts, self._all, self._tables))

    def _no_number(self, number: int, at: float) -> ErrorInfo:
        name = self._variants[number].name
        message = f"'{name}' is not a number at x = {at:.4g}, which is an input of this model."
        return ErrorInfo("not_finite", message, "Change the formula or choose another function.")

    def _not_finite(self, sites: RowFunctions, tokens: list[int], last: int) -> GeluError:
        where = f"are not numbers after {self._done} tokens of the text"
        return self._causes.error(sites, self._reference, tokens, last, where)

    def _swap(self, sites: RowFunctions, pool: ThreadPoolExecutor) -> None:
        """Put each function into the reference's place, in one bin after the other."""
        going = [number for number in self._tables if number != self.started.reference]
        functions = {number: self._variants[number] for number in going}
        inner = self._grid.low[borders_of(self._all)[1:-1]].tolist()
        parts = self._loaded, self._text, self._reference, self._precision, inner
        SwapByBin(*parts, self._emit, self._cancelled).run(sites, pool, functions)
