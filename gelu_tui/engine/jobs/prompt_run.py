"""What the comparison of one prompt does, whichever batch its rows are in."""

from __future__ import annotations

import time
from abc import abstractmethod
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import mlx.core as mx

from gelu_tui.core import protocol as p
from gelu_tui.core.functions.variants import parse_variant
from gelu_tui.engine import device
from gelu_tui.engine.compute.decode import prefill
from gelu_tui.engine.compute.functions import Function, function_of
from gelu_tui.engine.compute.limited_functions import functions_of
from gelu_tui.engine.compute.row_functions import RowFunction, RowFunctions
from gelu_tui.engine.compute.token_selection import Chooser
from gelu_tui.engine.failures import Interrupted, IsCancelled, error_info
from gelu_tui.engine.jobs.choices import score_choices
from gelu_tui.engine.jobs.not_finite import Causes
from gelu_tui.engine.jobs.observer import Emit, Observer
from gelu_tui.engine.jobs.replay import WHY_NOT, Replayer
from gelu_tui.engine.jobs.request import Request
from gelu_tui.engine.models.loading import LoadedModel


def native_function(loaded: LoadedModel) -> Function:
    """What a self-check computes with: it is of the machine's kernels, not of a formula."""
    return function_of(parse_variant(loaded.info.native_activation), "model")


class PromptRun:
    """One prompt under several functions: its prefill, events, replays and end."""

    _judges_again: ClassVar[bool] = True  # whether the forks of a `WhatIf` are replayed too

    def __init__(
        self,
        loaded: LoadedModel,
        request: Request,
        emit: Emit,
        cancelled: IsCancelled,
        load_s: float,
        thread: ThreadPoolExecutor | None = None,
    ) -> None:
        """`thread`: as `Observer` has it."""
        self._loaded, self._model = loaded, loaded.model
        self._request = request
        self._variants, self._started = request.variants, request.started
        self._continuations = request.continuations
        self._settings = self._started.settings
        self._emit, self._cancelled = emit, cancelled
        self._load_s: float | None = load_s
        self._tokens = list(self._started.prompt_tokens)
        precision = self._settings.activation_precision
        reference = self._started.reference
        self._functions: list[RowFunction] = functions_of(self._variants, reference, precision)
        self._choose = Chooser(self._settings)
        self._observer = Observer(emit, loaded.tokenizer, self._started, thread)
        earlier = request.goes_on.streams if request.goes_on else ()
        judged = [stream for stream, its in enumerate(earlier) if its.judged]
        self._replayer = Replayer(
            loaded, self._variants, self._started, self._choose, emit, cancelled, judged
        )
        self._causes = Causes(loaded, self._variants[reference], precision, cancelled)
        self._noise: float | None = None  # None until it is checked
        self._prefill_s: float | None = None
        self._decode_s: float | None = None
        self._decode_steps = 0
        self._peak_memory = 0
        self.statistics_s = 0.0
        self._began = time.perf_counter()

    def _prefill(self, sites: RowFunctions, *, again: bool = False) -> list[list[Any]]:
        """A batch-1 cache for each row: a batched prefill may not leave rows bit-identical.

        Its events are emitted unless it is done `again`. Raises `Interrupted`.
        """
        began = time.perf_counter()
        rows, total = len(self._functions), len(self._tokens) - 1
        result = []
        for row, function in enumerate(self._functions):

            def progress(done: int, row: int = row) -> None:
                name, done = self._started.variants[row].name, row * total + done
                self._emit(p.Progress("prefill", name, done, rows * total, "tokens"))

            start, chunk = time.perf_counter(), device.prefill_chunk()
            with sites.use(function):
                cache = prefill(self._model, self._tokens, chunk, progress, self._cancelled)
            seconds = time.perf_counter() - start
            if not again:
                self._emit(p.Prefilled(row, seconds, total / seconds))
            result.append(cache)
        self._prefill_s = time.perf_counter() - began
        if self._continuations is not None and not again:
            self._score_choices(sites, result)
        return result

    def _score_choices(self, sites: RowFunctions, prefilled: list[list[Any]]) -> None:
        wanted, scores = self._continuations, []
        assert wanted is not None
        self._emit(p.Progress("score", "choices", 0, 0, "parts"))
        for function, cache in zip(self._functions, prefilled, strict=True):
            if wanted.context != self._tokens:  # without the white space at its end
                chunk, context = device.prefill_chunk(), wanted.context
                with sites.use(function):
                    cache = prefill(self._model, context, chunk, lambda _: None, self._cancelled)
            scores.append(
                score_choices(self._model, sites, function, cache, wanted, self._cancelled)
            )
        self._emit(p.ChoicesScored(tuple(scores)))

    def _explain(self, sites: RowFunctions) -> None:
        """End the streams whose logits are not numbers, with the reason. Raises `Interrupted`."""
        while self._observer.broken:
            row = self._observer.broken[0]
            tokens = self._observer.tokens(row)
            where = f"stopped being numbers at step {len(tokens)}"
            fed = [*self._tokens, *tokens]
            error = self._causes.error(sites, self._variants[row], fed, 1, where)
            self._observer.fail(row, error.info)
            del self._observer.broken[0]

    def _replay(self, sites: RowFunctions) -> None:
        # A verdict must not depend on when it was asked for.
        self._self_check(sites)
        forks, tokens = self._observer.forks, self._observer.tokens(self._started.reference)
        self._replayer.replay(sites, forks, tokens, self._noise or 0.0)

    def _what_if(self, sites: RowFunctions) -> None:
        """Try each fork with the reference's token; the run is complete whatever comes of it."""
        from gelu_tui.engine.jobs.what_if import WhatIfs, possible  # which is a run itself

        observer, reference = self._observer, self._started.reference
        tokens = observer.tokens(reference)
        if given := possible(observer.forks, tokens):
            WhatIfs(
                *(self._loaded, self._request, tokens, given, self._emit, self._cancelled),
                noise=self._noise,
                replays=self._settings.replay and self._judges_again,
                tells_steps=False,
            ).answer(sites, {})

    def _self_check(self, sites: RowFunctions) -> None:
        if self._noise is not None:
            return
        try:
            report = self._check(sites)
        except Interrupted:
            return  # the comparison itself is complete
        if report is not None:
            self._noise = report.max_logit_difference or 0.0
            self._emit(p.SelfChecked(report))

    @abstractmethod
    def _check(self, sites: RowFunctions) -> p.SelfCheckReport | None:
        """The self-check of the rows as they decode; None where there is none.

        Raises `Interrupted`.
        """

    def _conclude(self, sites: RowFunctions) -> None:
        """Do what comes after the last step, but for the end. Raises what prevents it."""
        self._observer.drain()
        self._explain(sites)
        self._peak_memory = mx.get_peak_memory()
        self.statistics_s = self._observer.seconds
        self._self_check(sites)
        if self._settings.replay:
            self._replay(sites)
        if self._settings.what_if:
            self._what_if(sites)

    def _end(self, failure: Exception | None = None) -> None:
        """Emit the end of all that has not ended, because of `failure` if there is one."""
        observer, error = self._observer, None
        status: p.Status = "cancelled"
        if not isinstance(failure, Interrupted):
            error = observer.reference_error() if failure is None else error_info(failure)
            status = "failed" if error else "completed"
        observer.close("failed" if status == "failed" else "cancelled", error)
        self._replayer.give_up(observer.forks, WHY_NOT[status])
        rate = observer.token_count() / self._decode_s if self._decode_s else None
        timing = p.Timing(self._load_s, self._prefill_s, self._decode_s, self._decode_steps, rate)
        peak = self._peak_memory or mx.get_peak_memory()
        self._emit(p.Finished(status, timing, peak, error))
