"""Which layer does it: the function swapped at one site at a time, over a text.

Noising: one site has the variant, all others the reference. Denoising: the other way round. Both
are measured against the model with the reference everywhere. Layers before the swapped one compute
what they compute without the swap, so each row begins at its own layer (`layer_passes.py`); every
row then runs the rest of the model and the output head alone at batch 1, as a scoring does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import msgspec
import numpy as np

from gelu_tui.core import protocol as p
from gelu_tui.core.functions.variants import Variant, check_limits
from gelu_tui.core.lab.kept_layers import KeptLayers
from gelu_tui.core.lab.layers import LAYERS_SCHEMA, chosen_variants
from gelu_tui.engine import device
from gelu_tui.engine.compute.activation_sites import rowwise
from gelu_tui.engine.compute.decode import vocabulary_of
from gelu_tui.engine.compute.functions import Function
from gelu_tui.engine.compute.layer_passes import (
    Cache,
    LayerPasses,
    Output,
    at_positions,
    layer_passes,
)
from gelu_tui.engine.compute.limited_functions import functions_of
from gelu_tui.engine.compute.row_functions import FunctionBySite, RowFunction, RowFunctions, Site
from gelu_tui.engine.compute.statistics import Distribution, Logits, NotANumber, kl_divergence
from gelu_tui.engine.failures import IsCancelled, stop_if
from gelu_tui.engine.jobs.free_running import free_running
from gelu_tui.engine.jobs.not_finite import Causes
from gelu_tui.engine.jobs.observer import Emit
from gelu_tui.engine.jobs.reading import reading
from gelu_tui.engine.jobs.score import positions_at_once
from gelu_tui.engine.jobs.windows import Windows, cut
from gelu_tui.engine.models.loading import LoadedModel, versions

# Tokens of a pass. Hidden states of all rows are held for so many positions, and where a window is
# longer, the rows' caches too.
_PASS = 2048


class Except(FunctionBySite):
    """One function at a site, and another one everywhere else; each may be limited itself."""

    def __init__(self, site: Site, here: RowFunction, elsewhere: RowFunction) -> None:
        self._site, self._here, self._elsewhere = site, here, elsewhere

    def at(self, site: Site) -> Function:
        function = self._here if site == self._site else self._elsewhere
        return function.at(site) if isinstance(function, FunctionBySite) else function


class _Position:
    """The reference at one position."""

    def __init__(self, logits: Logits, token: int) -> None:
        self._token = token
        self._distribution = Distribution.of(logits)
        self._probabilities = self._distribution.probabilities()
        self._lead = self._lead_of(logits)

    def moved(self, logits: Logits) -> tuple[float, float]:
        """KL and logit difference of `logits` of shape (vocabulary,). Raises `NotANumber`."""
        kl = kl_divergence(self._distribution, Distribution.of(logits), self._probabilities)
        lead = self._lead_of(logits) - self._lead
        if not np.isfinite(kl) or not np.isfinite(lead):
            raise NotANumber
        return kl, lead

    def _lead_of(self, logits: Logits) -> float:
        """The logit of the text's own token less the mean of all."""
        return float(logits[self._token]) - float(logits.mean(dtype=np.float64))


def layers(loaded: LoadedModel, command: p.Layers, emit: Emit, cancelled: IsCancelled) -> None:
    """Measure every site over a text and emit all events; ends with `LayersFinished`.

    Raises `GeluError` for a command that cannot begin.
    """
    measuring = _Measuring(loaded, command, emit, cancelled)
    with rowwise(loaded.model) as sites:
        measuring.check(sites)
        with reading(emit, p.LayersFinished):
            workers = min(8, os.cpu_count() or 1)  # numpy releases the interpreter lock
            with (
                layer_passes(loaded.model, cancelled) as passes,
                ThreadPoolExecutor(workers) as pool,
            ):
                emit(measuring.started)
                measuring.run(sites, passes, pool)
            if command.free_running:
                measuring.run_freely(sites)


@dataclass
class _Row:
    """A row of a window: what it swaps, and where it begins to differ from an earlier pass."""

    function: RowFunction
    first: int  # layer
    cache: Cache | None = None  # kept where a window needs several passes


class _Rows:
    """All rows of one variant over one window."""

    def __init__(
        self, places: Sequence[Site], reference: RowFunction, variant: RowFunction
    ) -> None:
        self.noising = [_Row(Except(at, variant, reference), at.layer) for at in places]
        self.denoising = [_Row(Except(at, reference, variant), at.layer) for at in places]
        self.everywhere = _Row(variant, 0)


class _Measuring:
    """A text while it is measured. `run` once."""

    def __init__(
        self, loaded: LoadedModel, command: p.Layers, emit: Emit, cancelled: IsCancelled
    ) -> None:
        settings = command.settings
        native, precision = loaded.info.native_activation, settings.activation_precision
        self._reference, self._variants = chosen_variants(settings, native)
        self._loaded, self._model, self._command = loaded, loaded.model, command
        self._emit, self._cancelled = emit, cancelled
        self._text = cut(loaded, command)
        self._places = loaded.places
        check_limits(self._variants, self._places)
        self._function, *self._functions = functions_of(
            [self._reference, *self._variants], 0, precision
        )
        self._causes = Causes(loaded, self._reference, precision, cancelled)
        self._failed: set[int] = set()
        # The window, how many of its positions are being measured, and in how many rows.
        self._now = (0, 0, 1)
        self._done, self._began = 0, time.perf_counter()
        infos = (
            p.VariantInfo.of(variant, precision, native)
            for variant in (self._reference, *self._variants)
        )
        text = self._text
        self._kept = KeptLayers(_depends_on(loaded, command, text, self._reference, self._variants))
        self.started = p.LayersStarted(
            variants=tuple(infos),
            reference=0,
            places=tuple(p.Place(*place) for place in self._places),
            **text.told(),
            kept=str(self._kept.path) if self._kept.can_be_kept() else "",
        )

    def check(self, sites: RowFunctions) -> None:
        """Raise `GeluError` where the text has tokens that the model has not."""
        with sites.use(self._function):
            self._vocabulary = vocabulary_of(self._model)
        self._text.check_vocabulary(self._vocabulary)

    def run(self, sites: RowFunctions, passes: LayerPasses, pool: ThreadPoolExecutor) -> None:
        """Measure window after window, all variants in each. Raises `Interrupted`."""
        self._sites, self._passes, self._pool = sites, passes, pool
        done = self._take_up()
        self._began = time.perf_counter()
        for number, window in enumerate(self._text.windows):
            ends = [done.get((variant, number), 0) for variant in range(len(self._variants))]
            if min(ends) < len(window) - 1:
                self._window(number, window, ends)
            mx.clear_cache()
        self._kept.delete()

    def _take_up(self) -> dict[tuple[int, int], int]:
        """Emit what an earlier time has found; return how far each variant got in each window."""
        if self._command.restart:
            self._kept.delete()
        found: dict[tuple[int, int], int] = {}
        for chunk in self._kept.chunks():
            at = chunk.variant - 1, chunk.window
            if chunk.first == found.get(at, 0) and len(chunk.rows) == len(self._places):
                found[at] = chunk.first + chunk.positions
                self._emit(chunk)
        return found

    def _window(self, number: int, window: list[int], ends: list[int]) -> None:
        """Measure a window, of which each variant has been measured up to a position."""
        passes, self._now = self._passes, (number, 0, 1)
        fed, several = len(window) - 1, len(window) - 1 > _PASS
        reference, no_swap = passes.new_cache(), _Row(self._function, 0)
        rows = [_Rows(self._places, self._function, function) for function in self._functions]
        for start in range(0, fed, _PASS):
            tokens = window[start : min(start + _PASS, fed)]
            with self._sites.use(self._function):
                base = passes.whole(tokens, reference)
            plain = self._branch(no_swap, tokens, base, several)
            for variant, of in enumerate(rows):
                first = max(0, ends[variant] - start)
                if variant in self._failed or (first >= len(tokens) and not several):
                    continue
                noising = [self._branch(row, tokens, base, several) for row in of.noising]
                cache = of.everywhere.cache or passes.new_cache()
                of.everywhere.cache = cache
                with self._sites.use(self._functions[variant]):
                    everywhere = passes.whole(tokens, cache)
                denoising = [self._branch(row, tokens, everywhere, several) for row in of.denoising]
                outputs = [base.last, plain, everywhere.last, *noising, *denoising]
                del noising, denoising, everywhere
                self._heads(variant, number, window, start, first, len(tokens), outputs)

    def _branch(self, row: _Row, tokens: list[int], earlier: Any, several: bool) -> Output:
        cache = row.cache or self._passes.new_cache()
        if several:
            row.cache = cache
        self._report()
        with self._sites.use(row.function):
            return self._passes.branch(tokens, cache, earlier, row.first)

    def _heads(
        self,
        variant: int,
        number: int,
        window: list[int],
        start: int,
        first: int,
        count: int,
        outputs: list[Output],
    ) -> None:
        """Measure positions `first` to `count` of a pass that begins at `start` of a window."""
        chunk = positions_at_once(self._vocabulary, self._loaded.info.dtype)
        for at in range(first, count, chunk):
            end = min(at + chunk, count)
            self._now = number, end - at, len(outputs)
            inputs, targets = (window[start + at + s : start + end + s] for s in (0, 1))
            try:
                sums = self._sums(inputs, targets, [at_positions(o, at, end) for o in outputs])
            except NotANumber:
                self._fail(variant, window[: start + end], end - at)
                return
            sites = len(self._places)
            no_swap, everywhere, *rows = sums
            self._add(
                p.LayersChunk(
                    variant + 1,
                    number,
                    start + at,
                    end - at,
                    self._text.clusters[number],
                    no_swap,
                    everywhere,
                    tuple(map(p.SwappedRow, rows[:sites], rows[sites:])),
                )
            )

    def _sums(
        self, inputs: list[int], targets: list[int], outputs: Iterable[Output]
    ) -> list[p.Moved]:
        """The sums over positions of each row against the first one. Raises `NotANumber`."""
        positions: list[_Position] = []
        sums = []
        for logits in self._logits(inputs, outputs):
            if not positions:
                positions = list(self._pool.map(_Position, logits, targets))
            else:
                numbers = np.array(list(self._pool.map(_Position.moved, positions, logits)))
                sums.append(p.Moved(*numbers.sum(axis=0).tolist()))
            del logits
        return sums

    def _logits(self, inputs: list[int], outputs: Iterable[Output]) -> Iterator[Logits]:
        """The logits of each row; the next one's are computed while one's are measured."""
        waiting: mx.array | None = None
        for row, output in enumerate(outputs):
            stop_if(self._cancelled())
            self._report(row)
            logits = self._passes.logits(inputs, output)
            mx.async_eval(logits)
            if waiting is not None:
                yield _view(waiting)
            waiting = logits
            del logits
        assert waiting is not None
        yield _view(waiting)

    def _add(self, chunk: p.LayersChunk) -> None:
        self._done += chunk.positions
        self._kept.add(chunk)
        self._emit(chunk)

    def _report(self, row: int = 0) -> None:
        """Emit the progress; `row` rows of the present positions are measured."""
        window, positions, rows = self._now
        seconds = time.perf_counter() - self._began
        rate = self._done / seconds if self._done else 0.0
        label = f"window {window + 1} of {self.started.windows}"
        done = self._done + positions * row // rows
        total = self.started.positions * len(self._variants)
        self._emit(p.Progress("layers", label, done, total, "tokens", rate))

    def _fail(self, variant: int, tokens: list[int], last: int) -> None:
        """Leave out a variant whose logits are not numbers. Raises `GeluError` of the reference."""
        where = f"are not numbers after {len(tokens) - last} tokens of a window"
        failed = self._variants[variant]
        with self._sites.use(self._function):
            cache = self._passes.new_cache()
            logits = self._passes.logits(tokens, self._passes.whole(tokens, cache).last)
        if not np.isfinite(np.array(mx.max(logits, axis=-1))).all():
            raise self._causes.error(self._sites, self._reference, tokens, last, where)
        self._failed.add(variant)
        error = self._causes.error(self._sites, failed, tokens, last, where)
        self._emit(p.LayersFailed(variant + 1, error.info))

    def run_freely(self, sites: RowFunctions) -> None:
        """Generate text with each swap. Raises `Interrupted` and `GeluError`."""
        prompt = list(self._command.tokens[: self._command.prompt]) or self._text.windows[-1]
        for number, function in enumerate(self._functions):
            if number in self._failed:
                continue
            rows: list[RowFunction] = [function]
            rows += [Except(place, function, self._function) for place in self._places]
            first, steps = free_running(
                self._loaded,
                sites,
                prompt,
                self._function,
                rows,
                self._command.settings.max_tokens,
                self._emit,
                self._cancelled,
            )
            self._emit(p.FreeRan(number + 1, first[0], tuple(first[1:]), steps))


def _view(logits: mx.array) -> Logits:
    mx.eval(logits)
    return np.array(logits, copy=False)


def _depends_on(
    loaded: LoadedModel, command: p.Layers, text: Windows, reference: Variant, chosen: list[Variant]
) -> list[Any]:
    """All that the figures depend on."""
    files = [*sorted(loaded.folder.glob("*.safetensors")), loaded.folder / "config.json"]
    stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return [
        msgspec.to_builtins(loaded.info),
        str(loaded.folder),
        stats,
        device.device_name(),
        LAYERS_SCHEMA,
        versions(),
        command.settings.activation_precision,
        [(variant.name, variant.formula) for variant in (reference, *chosen)],
        text.windows,
        text.clusters,
    ]
