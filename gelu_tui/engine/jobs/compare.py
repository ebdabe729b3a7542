"""One comparison: several activation functions of the loaded model over one prompt."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import mlx.core as mx

from gelu_tui.core import protocol as p
from gelu_tui.engine import device
from gelu_tui.engine.compute import caches
from gelu_tui.engine.compute.activation_sites import rowwise
from gelu_tui.engine.compute.decode import decode, decode_again
from gelu_tui.engine.compute.row_functions import RowFunctions
from gelu_tui.engine.compute.self_check import self_check
from gelu_tui.engine.compute.token_selection import Chooser
from gelu_tui.engine.failures import IsCancelled, stop_if
from gelu_tui.engine.jobs.observer import Emit, RowStep
from gelu_tui.engine.jobs.prompt_run import PromptRun, native_function
from gelu_tui.engine.jobs.request import Request, check_same_numbers
from gelu_tui.engine.models.loading import LoadedModel

SelfChecks = dict[int, p.SelfCheckReport]


class Run(PromptRun):
    """A comparison in batches of its own, in lockstep or solo. `run` once."""

    def __init__(
        self,
        loaded: LoadedModel,
        request: Request,
        emit: Emit,
        cancelled: IsCancelled,
        load_s: float,
        replay_asked: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(loaded, request, emit, cancelled, load_s)
        self._goes_on = request.goes_on
        self._earlier = self._goes_on.streams if self._goes_on else ()
        self._first_step = self._goes_on.first_step if self._goes_on else 0
        self._replay_asked = replay_asked
        self._self_checks: SelfChecks = {}
        self._cached: list[list[Any]] | None = None  # of each batch

    def run(self, self_checks: SelfChecks) -> None:
        """Decode and emit all events; always ends with `Finished`.

        `self_checks` holds this model's reports by number of rows; a new one is added. Afterwards
        `statistics_s` is the time that statistics and text took beside the decode loop. Before
        `Started`, a run that goes on raises `Interrupted`, and `GeluError` where it cannot.
        """
        mx.reset_peak_memory()
        self._self_checks = self_checks
        if self._goes_on is not None:
            self._take_up(self._goes_on)
        self._emit(self._started)
        try:
            with rowwise(self._model) as sites:
                self._decode(sites)
                self._conclude(sites)
        except Exception as failure:
            self._end(failure)
        else:
            self._end()

    def replay(self, self_checks: SelfChecks) -> None:
        """Replay the forks that a run has so far and emit the verdicts; ends with `Replayed`."""
        self._self_checks = self_checks
        self._observer.take_up(self._earlier)
        try:
            with rowwise(self._model) as sites:
                self._replay(sites)
        finally:
            self._observer.drain()
        self._emit(p.Replayed())

    def _take_up(self, goes_on: p.Continue) -> None:
        """Bring observer, times and caches to where the run was."""
        try:
            self._observer.take_up(goes_on.streams)
            with rowwise(self._model) as sites:
                self._cached = self._fill(sites)
        except BaseException:
            self._observer.drain()
            raise
        self._load_s, self._prefill_s = goes_on.load_s, goes_on.prefill_s
        self._decode_s, self._decode_steps = sum(self._seconds()), self._first_step
        self._began = time.perf_counter() - (self._prefill_s or 0.0) - self._decode_s

    @property
    def _batches(self) -> list[list[int]]:
        """The rows of each batch.

        Lockstep is one batch of all rows. Solo is a batch of each row, the reference first: they
        take turns step by step, and each is timed by itself.
        """
        rows = range(len(self._functions))
        if self._settings.schedule == "lockstep":
            return [list(rows)]
        return [[row] for row in sorted(rows, key=lambda row: row != self._started.reference)]

    def _seconds(self) -> list[float]:
        """The decode seconds of each batch before the first step."""
        earlier = self._earlier
        return [max((earlier[row].decode_s for row in batch), default=0.0) if earlier else 0.0
                for batch in self._batches]  # fmt: skip

    def _fill(self, sites: RowFunctions) -> list[list[Any]]:
        """The cache of each batch with the prompt and, where the run goes on, its tokens."""
        rows = self._prefill(sites, again=self._goes_on is not None)
        cached = [
            caches.join([rows[row] for row in batch]) if len(batch) > 1 else rows[batch[0]]
            for batch in self._batches
        ]
        del rows
        if self._first_step:
            for at, batch in enumerate(self._batches):
                if not self._observer.ended.issuperset(batch):
                    self._decode_again(sites, cached[at], batch)
        return cached

    def _decode_again(self, sites: RowFunctions, cache: list[Any], batch: list[int]) -> None:
        """Decode what the streams of a batch have; the model must compute as it did."""
        steps = self._first_step

        def progress(done: int) -> None:
            self._emit(p.Progress("recompute", "the tokens so far", done, steps, "tokens"))

        fed = []
        for row in batch:
            tokens = [self._tokens[-1], *self._earlier[row].tokens]
            # What a stream that has ended is fed further does not matter: rows are independent.
            fed.append(tokens + tokens[-1:] * (steps + 1 - len(tokens)))
        with sites.use(*(self._functions[row] for row in batch)):
            logits = decode_again(self._model, cache, fed, progress, self._cancelled)
        for at, row in enumerate(batch):
            if row not in self._observer.ended:
                check_same_numbers(self._earlier[row], logits[at])

    def _decode(self, sites: RowFunctions) -> None:
        """Decode until all streams have ended. Raises `Interrupted`."""
        rows, observer = range(len(self._functions)), self._observer
        lockstep, batches = self._settings.schedule == "lockstep", self._batches
        cached = self._fill(sites) if self._cached is None else self._cached
        self._cached = None
        # With several batches, work started ahead would be timed as another one's.
        ahead = device.on_gpu() and len(batches) == 1
        streams = [
            decode(
                self._model,
                cache,
                [self._last_token(row) for row in batch],
                ahead=ahead,
                choose=self._chooser(batch),
                first_step=self._first_step,
            )
            for batch, cache in zip(batches, cached, strict=True)
        ]
        del cached
        seconds = self._seconds()
        began = time.perf_counter()
        for step in range(self._first_step, self._settings.max_tokens):
            for index, batch in enumerate(batches):
                if observer.ended.issuperset(batch):
                    continue
                if not lockstep:
                    began = time.perf_counter()
                with sites.use(*(self._functions[row] for row in batch)):
                    decoded = next(streams[index])
                now = time.perf_counter()
                seconds[index] += now - began
                began = now
                self._decode_s, self._decode_steps = sum(seconds), step + 1
                observed = [
                    RowStep(row, decoded.tokens[at], decoded.logits[at], seconds[index])
                    for at, row in enumerate(batch)
                    if row not in observer.ended
                ]
                observer.observe(step, now - self._began, observed, mx.get_active_memory())
                # Rows that have ended stay in the batch: the kernels' shapes must not change.
                if observer.ended.issuperset(rows):
                    return
                stop_if(self._cancelled())
            asked = time.perf_counter()
            self._explain(sites)
            if self._replay_asked():
                self._replay(sites)
            began += time.perf_counter() - asked  # neither is decode time

    def _chooser(self, batch: list[int]) -> Chooser:
        """How the rows of a batch choose."""
        return self._choose

    def _last_token(self, row: int) -> int:
        tokens = self._earlier[row].tokens if self._earlier else ()
        return tokens[-1] if tokens else self._tokens[-1]

    def _check(self, sites: RowFunctions) -> p.SelfCheckReport | None:
        rows, known = len(self._functions), self._self_checks
        if rows == 1 or self._settings.schedule == "solo":
            return None
        if rows not in known:
            self._emit(p.Progress("self_check", f"{rows} equal rows", 0, 0, "parts"))
            known[rows] = self_check(
                self._model,
                sites,
                native_function(self._loaded),
                self._tokens,
                rows,
                self._cancelled,
            )
        return known[rows]
