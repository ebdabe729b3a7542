"""Comparisons that share a batch: prompts enter as others end, with a row for each function."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

import mlx.core as mx
import numpy as np

from gelu_tui.core import protocol as p
from gelu_tui.engine.compute.activation_sites import rowwise
from gelu_tui.engine.compute.batch_decode import BatchDecoder
from gelu_tui.engine.compute.decode import Decoded
from gelu_tui.engine.compute.limited_functions import functions_of
from gelu_tui.engine.compute.row_functions import RowFunction, RowFunctions
from gelu_tui.engine.compute.self_check import batch_check, self_check
from gelu_tui.engine.compute.token_selection import Chooser
from gelu_tui.engine.failures import Interrupted, stop_if
from gelu_tui.engine.jobs.batch_room import BatchRoom
from gelu_tui.engine.jobs.compare import Run, SelfChecks
from gelu_tui.engine.jobs.observer import RowStep
from gelu_tui.engine.jobs.prompt_run import PromptRun, native_function
from gelu_tui.engine.jobs.request import Request, resolve
from gelu_tui.engine.models.loading import LoadedModel

# Of statistics: on a GPU a step is short. On two cores a second one would only be in BLAS's way.
_THREADS = max(1, min(4, (os.cpu_count() or 1) // 2))

# Ended rows cost a part of each step, and to take them out costs a copy of all caches.
_ENDED_SHARE = 0.25


class BatchJob(Protocol):
    """A `Compare` that waits or runs; `fail` tells why it ends without having begun."""

    @property
    def command(self) -> Any: ...
    @property
    def cancelled(self) -> Callable[[], bool]: ...
    def emit(self, event: p.Event) -> None: ...
    def fail(self, error: BaseException) -> None: ...


@dataclass
class Spent:
    """Seconds that a batch has spent; `statistics` passes beside `decode`, on other threads."""

    prefill: float = 0.0
    decode: float = 0.0
    statistics: float = 0.0
    conclusion: float = 0.0  # what comes after a prompt's last step, replays above all


class _Prompt(PromptRun):
    """A prompt in a batch; `step` is its own."""

    _judges_again = False  # of many prompts it counts whether they part again, not why

    def __init__(
        self, batch: Batch, job: BatchJob, request: Request, thread: ThreadPoolExecutor
    ) -> None:
        super().__init__(batch.loaded, request, job.emit, job.cancelled, batch.load_s, thread)
        self._functions = batch.functions  # the same objects for all prompts
        self._batch, self.job, self.request = batch, job, request
        self.step = 0

    @property
    def last_token(self) -> int:
        return self._tokens[-1]

    @property
    def ended(self) -> bool:
        return len(self._observer.ended) == len(self._functions)

    def has_ended(self, stream: int) -> bool:
        return stream in self._observer.ended

    def start(self, sites: RowFunctions) -> list[list[Any]]:
        """Prefill and return the cache of each row. Raises `Interrupted`."""
        self._emit(self._started)
        return self._prefill(sites)

    def choose(self, logits: mx.array) -> mx.array:
        return self._choose(logits, self.step)

    def observe(
        self, sites: RowFunctions, places: list[tuple[int, int]], decoded: Decoded, seconds: float
    ) -> None:
        """Take over a step; `places` are pairs of a stream and its row. Raises `Interrupted`."""
        stop_if(self._cancelled())
        self._decode_s = (self._decode_s or 0.0) + seconds
        observed = [
            RowStep(stream, decoded.tokens[row], decoded.logits[row], self._decode_s)
            for stream, row in places
            if stream not in self._observer.ended
        ]
        elapsed = time.perf_counter() - self._began
        self._observer.observe(self.step, elapsed, observed, mx.get_active_memory())
        self.step += 1
        self._decode_steps = self.step
        if self._observer.broken:
            self._explain(sites)

    def finish(self, sites: RowFunctions, spent: Spent) -> None:
        """Do what comes after the last step, and end."""
        began = time.perf_counter()
        try:
            self._conclude(sites)
        except Exception as failure:
            self.end(failure)
        else:
            self.end()
        spent.statistics += self.statistics_s
        spent.conclusion += time.perf_counter() - began

    def end(self, failure: Exception | None = None) -> None:
        self._end(failure)
        self._batch.done(self.job)

    def _check(self, sites: RowFunctions) -> p.SelfCheckReport | None:
        return self._batch.check(sites, self._tokens, self._emit, self._cancelled)


class Batch:
    """The comparisons that share a batch. `run` once; `spent` is where its time went, unless its
    prompts ran one after the other.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        take: Callable[[], BatchJob | None],
        done: Callable[[Any], None],
        load_s: float,
        self_checks: SelfChecks,
        batch_checks: SelfChecks,
    ) -> None:
        """`take` returns the next job with the settings of this batch; each is `done` once.

        `self_checks` and `batch_checks` hold this model's reports by number of rows, of one prompt
        and of several; new ones are added.
        """
        self.loaded, self.load_s, self.done = loaded, load_s, done
        self.functions: list[RowFunction] = []
        self._take, self._self_checks, self._batch_checks = take, self_checks, batch_checks
        self._next: tuple[BatchJob, Request] | None = None  # resolved, and not begun
        self._prompts: list[_Prompt] = []
        self._rows: list[tuple[_Prompt, int]] = []  # prompt and stream, as in the decoder
        self._most_rows = 0  # that there have been
        self._greedy: Chooser | None = None
        self._threads: list[ThreadPoolExecutor] = []
        self._begun = 0
        self.spent = Spent()

    def run(self) -> None:
        """Run all jobs that can be taken. Raises nothing.

        Each ends with `Finished`, or with why it has not begun.
        """
        if (waiting := self._waiting()) is None:
            return
        job, request = waiting
        settings = request.started.settings
        precision, reference = settings.activation_precision, request.started.reference
        self.functions = functions_of(request.variants, reference, precision)
        self._greedy = None if settings.temperature else Chooser(settings)
        try:
            self._room = BatchRoom(self.loaded.model, request, job.command.rows)
            job.emit(self._room.size)
            if self._room.size.reason:
                self._run_alone()
            else:
                self._run_together()
        except Exception as failure:
            for prompt in self._prompts:
                prompt.end(failure)
            if self._next is not None:
                self._refuse(self._next[0], failure)

    def check(
        self,
        sites: RowFunctions,
        tokens: list[int],
        emit: Callable[[p.Event], None],
        cancelled: Callable[[], bool],
    ) -> p.SelfCheckReport | None:
        """The self-check of as many rows as the batch has had. Raises `Interrupted`."""
        rows, alone = self._most_rows, len(self.functions)
        known = self._self_checks if rows == alone else self._batch_checks
        if rows == 1:
            return None
        if rows not in known:
            emit(p.Progress("self_check", f"{rows} equal rows", 0, 0, "parts"))
            model, native = self.loaded.model, native_function(self.loaded)
            if rows == alone:
                known[rows] = self_check(model, sites, native, tokens, rows, cancelled)
            else:
                known[rows] = batch_check(model, sites, native, tokens, rows, alone, cancelled)
        return known[rows]

    def _waiting(self) -> tuple[BatchJob, Request] | None:
        """The next job that can begin; those that cannot are told why."""
        if self._next is not None and self._next[0].cancelled():
            self._refuse(self._next[0], Interrupted())
            self._next = None
        while self._next is None and (job := self._take()) is not None:
            try:
                stop_if(job.cancelled())
                self._next = job, resolve(self.loaded, job.command, job.cancelled)
            except BaseException as error:  # a panic of a library in Rust too
                self._refuse(job, error)
        return self._next

    def _refuse(self, job: BatchJob, error: BaseException) -> None:
        job.fail(error)
        self.done(job)

    def _run_alone(self) -> None:
        """Run prompts one after the other."""
        while (waiting := self._waiting()) is not None:
            self._next = None
            job, request = waiting
            try:
                run = Run(self.loaded, request, job.emit, job.cancelled, self.load_s)
                run.run(self._self_checks)
            finally:
                self.done(job)

    def _run_together(self) -> None:
        mx.reset_peak_memory()
        with ExitStack() as stack:
            self._threads = [
                stack.enter_context(ThreadPoolExecutor(1, "observer")) for _ in range(_THREADS)
            ]
            sites = stack.enter_context(rowwise(self.loaded.model))
            decoder = BatchDecoder(self.loaded.model, sites)
            self._admit(sites, decoder)
            while self._prompts:
                self._step(sites, decoder)
                self._admit(sites, decoder)

    def _step(self, sites: RowFunctions, decoder: BatchDecoder) -> None:
        """Decode one token of every row; prompts end whose streams have all ended."""
        began = time.perf_counter()
        decoded = decoder.step(self._choose)
        seconds = time.perf_counter() - began
        self.spent.decode += seconds
        for prompt, places in self._places().items():
            try:
                prompt.observe(sites, places, decoded, seconds)
            except Exception as failure:
                prompt.end(failure)
                self._prompts.remove(prompt)
        del decoded
        for prompt in [prompt for prompt in self._prompts if prompt.ended]:
            prompt.finish(sites, self.spent)
            self._prompts.remove(prompt)

    def _places(self) -> dict[_Prompt, list[tuple[int, int]]]:
        """The streams of each prompt that goes on, with their rows."""
        places: dict[_Prompt, list[tuple[int, int]]] = {prompt: [] for prompt in self._prompts}
        for row, (prompt, stream) in enumerate(self._rows):
            if prompt in places:
                places[prompt].append((stream, row))
        return places

    def _choose(self, logits: mx.array) -> mx.array:
        if self._greedy is not None:
            return self._greedy(logits, 0)
        tokens = np.zeros(len(self._rows), np.uint32)
        for prompt, places in self._places().items():  # each has a step of its own
            rows = [row for _, row in places]
            tokens[rows] = np.array(prompt.choose(logits[mx.array(rows)]))
        return mx.array(tokens)

    def _admit(self, sites: RowFunctions, decoder: BatchDecoder) -> None:
        """Let waiting prompts in while they fit, and take out ended rows where that pays."""
        new: list[tuple[_Prompt, int]] = []
        filled: list[list[Any]] = []
        while (waiting := self._waiting()) is not None:
            there = [prompt.request for prompt in self._prompts]
            first_step = any(prompt.step == 0 for prompt in self._prompts)
            if not self._room.has_room(waiting[1], there, first_step=first_step):
                break
            self._next = None
            self._begun += 1
            prompt = _Prompt(self, *waiting, self._threads[self._begun % _THREADS])
            began = time.perf_counter()
            try:
                filled += prompt.start(sites)
            except Exception as failure:
                prompt.end(failure)
                continue
            self.spent.prefill += time.perf_counter() - began
            self._prompts.append(prompt)
            new += [(prompt, stream) for stream in range(len(self.functions))]
        self._arrange(decoder, new, filled)

    def _arrange(
        self, decoder: BatchDecoder, new: list[tuple[_Prompt, int]], filled: list[list[Any]]
    ) -> None:
        """Append new rows, take ended ones out, and put those of one function side by side."""
        there = [
            row
            for row, (prompt, stream) in enumerate(self._rows)
            if prompt in self._prompts and not prompt.has_ended(stream)
        ]
        ended = len(self._rows) - len(there)
        if not new and ended < max(1, _ENDED_SHARE * len(self._rows)):
            return
        if not there:
            decoder.select([])
            self._rows = []
        if new:
            order = sorted(range(len(new)), key=lambda row: new[row][1])
            new = [new[row] for row in order]
            decoder.admit(
                [filled[row] for row in order],
                [self.functions[stream] for _, stream in new],
                [prompt.last_token for prompt, _ in new],
            )
            there += range(len(self._rows), len(self._rows) + len(new))
            self._rows += new
        there.sort(key=lambda row: self._rows[row][1])
        decoder.select(there)
        self._rows = [self._rows[row] for row in there]
        self._most_rows = max(self._most_rows, len(self._rows))
