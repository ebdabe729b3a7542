"""One comparison: several activation functions of the loaded model over one prompt."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import mlx.core as mx
from msgspec.structs import replace

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.functions.controls import with_control
from gelu_tui.core.functions.variants import (
    Variant,
    parse_variant,
    parse_variants,
    resolve_reference,
)
from gelu_tui.core.settings.run_settings import RunSettings, known_dtype
from gelu_tui.engine import device
from gelu_tui.engine.compute import caches
from gelu_tui.engine.compute.activation_sites import RowFunctions, rowwise
from gelu_tui.engine.compute.decode import decode, prefill
from gelu_tui.engine.compute.functions import function_of
from gelu_tui.engine.compute.self_check import self_check
from gelu_tui.engine.compute.token_selection import Chooser, seeded
from gelu_tui.engine.failures import Interrupted, IsCancelled, error_info, stop_if
from gelu_tui.engine.jobs.not_finite import Causes
from gelu_tui.engine.jobs.observer import Emit, Observer, RowStep
from gelu_tui.engine.jobs.prompt import check_tokens, feed
from gelu_tui.engine.jobs.replay import WHY_NOT, Replayer
from gelu_tui.engine.models.loading import LoadedModel

SelfChecks = dict[int, p.SelfCheckReport]


def resolve_variants(
    loaded: LoadedModel, settings: RunSettings, *, room: bool = True
) -> tuple[list[Variant], tuple[p.VariantInfo, ...], int]:
    """The chosen functions, the control included, their descriptions, and the reference's index.

    Raises `GeluError`; also for too many variants, unless `room` is False.
    """
    variants = parse_variants(settings.activations)
    native, precision = loaded.info.native_activation, settings.activation_precision
    reference = resolve_reference(variants, settings.reference, native)
    variants, control = with_control(variants, reference, wanted=settings.control, room=room)
    infos = (
        p.VariantInfo.of(variant, precision, native, control=index == control)
        for index, variant in enumerate(variants)
    )
    return variants, tuple(infos), reference


class Request(NamedTuple):
    """A command with names, reference, chat and prompt tokens resolved."""

    variants: list[Variant]
    started: p.Started


def resolve(
    loaded: LoadedModel, command: p.Compare, cancelled: IsCancelled = lambda: False
) -> Request:
    """Resolve a command against the loaded model. Raises `GeluError` and `Interrupted`."""
    asked = command.settings
    variants, infos, reference = resolve_variants(loaded, asked)
    text, tokens, chat = feed(loaded.tokenizer, command.prompt, asked.chat, cancelled)
    if not tokens:
        message = "This model's tokenizer makes no tokens of the prompt."
        raise GeluError("empty_prompt", message, "Choose another prompt.")
    check_tokens(loaded, tokens)
    room = loaded.context_length - len(tokens)
    if room < 1:
        raise GeluError(
            "prompt_too_long",
            f"The prompt has {len(tokens)} tokens; this model's context holds "
            f"{loaded.context_length} with what it generates.",
            "Shorten the prompt.",
        )
    settings = replace(
        seeded(asked),
        model=loaded.info.id,
        dtype=known_dtype(loaded.info.dtype),
        reference=variants[reference].name,
        max_tokens=min(asked.max_tokens, room),
        chat=chat,
    )
    started = p.Started(command.prompt, text, tuple(tokens), infos, reference, settings)
    return Request(variants, started)


class Run:
    """A comparison while it is decoded. `run` once."""

    def __init__(
        self,
        loaded: LoadedModel,
        request: Request,
        emit: Emit,
        cancelled: IsCancelled,
        load_s: float,
        replay_asked: Callable[[], bool] = lambda: False,
    ) -> None:
        self._loaded, self._model = loaded, loaded.model
        self._variants, self._started = request
        self._settings = self._started.settings
        self._emit, self._cancelled, self._replay_asked = emit, cancelled, replay_asked
        self._load_s = load_s
        self._tokens = list(self._started.prompt_tokens)
        precision = self._settings.activation_precision
        self._functions = [function_of(variant, precision) for variant in self._variants]
        self._choose = Chooser(self._settings)
        self._observer = Observer(emit, loaded.tokenizer, self._started)
        self._replayer = Replayer(
            loaded, self._variants, self._started, self._choose, emit, cancelled
        )
        self._causes = Causes(loaded, precision, cancelled)
        self._self_checks: SelfChecks = {}
        self._noise: float | None = None  # None until it is checked
        self._prefill_s: float | None = None
        self._decode_s: float | None = None
        self._decode_steps = 0
        self.statistics_s = 0.0
        self._began = time.perf_counter()

    def run(self, self_checks: SelfChecks) -> None:
        """Decode and emit all events; always ends with `Finished`.

        `self_checks` holds this model's reports by number of rows; a new one is added. Afterwards
        `statistics_s` is the time that statistics and text took beside the decode loop.
        """
        mx.reset_peak_memory()
        self._self_checks = self_checks
        self._emit(self._started)
        observer = self._observer
        peak_memory = 0
        status: p.Status = "completed"
        error: ErrorInfo | None = None
        try:
            with rowwise(self._model) as sites:
                self._decode(sites)
                observer.drain()
                self._explain(sites)
                peak_memory = mx.get_peak_memory()
                self.statistics_s = observer.seconds
                error = observer.reference_error()
                status = "failed" if error else "completed"
                self._self_check(sites)
                if self._settings.replay:
                    self._replay(sites)
        except Interrupted:
            status = "cancelled"
        except Exception as failure:
            status, error = "failed", error_info(failure)
        observer.close("failed" if status == "failed" else "cancelled", error)
        self._replayer.give_up(observer.forks, WHY_NOT[status])
        rate = observer.token_count() / self._decode_s if self._decode_s else None
        timing = p.Timing(self._load_s, self._prefill_s, self._decode_s, self._decode_steps, rate)
        self._emit(p.Finished(status, timing, peak_memory or mx.get_peak_memory(), error))

    def _prefill(self, sites: RowFunctions) -> list[list[Any]]:
        """A batch-1 cache for each row: a batched prefill may not leave rows bit-identical."""
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
            self._emit(p.Prefilled(row, seconds, total / seconds))
            result.append(cache)
        self._prefill_s = time.perf_counter() - began
        return result

    def _decode(self, sites: RowFunctions) -> None:
        """Decode until all streams have ended. Raises `Interrupted`.

        Lockstep is one batch of all rows. Solo is a batch of each row, the reference first: they
        take turns step by step, and each is timed by itself.
        """
        rows, observer = range(len(self._functions)), self._observer
        lockstep = self._settings.schedule == "lockstep"
        cached = self._prefill(sites)
        if lockstep:
            batches = [list(rows)]
            cached = [caches.join(cached)]
        else:
            batches = [[r] for r in sorted(rows, key=lambda row: row != self._started.reference)]
            cached = [cached[row] for (row,) in batches]
        # With several batches, work started ahead would be timed as another one's.
        ahead = device.on_gpu() and len(batches) == 1
        last = self._tokens[-1]
        streams = [
            decode(self._model, cache, last, len(batch), ahead=ahead, choose=self._choose)
            for batch, cache in zip(batches, cached, strict=True)
        ]
        del cached
        seconds = [0.0] * len(batches)
        began = time.perf_counter()
        for step in range(self._settings.max_tokens):
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

    def _self_check(self, sites: RowFunctions) -> None:
        rows, known = len(self._functions), self._self_checks
        if rows == 1 or self._settings.schedule == "solo" or self._noise is not None:
            return
        if rows not in known:
            self._emit(p.Progress("self_check", f"{rows} equal rows", 0, 0, "parts"))
            # Of the machine's kernels, not of a formula that may not be finite.
            function = function_of(parse_variant(self._loaded.info.native_activation), "model")
            try:
                known[rows] = self_check(
                    self._model, sites, function, self._tokens, rows, self._cancelled
                )
            except Interrupted:
                return  # the comparison itself is complete
        self._noise = known[rows].max_logit_difference or 0.0
        self._emit(p.SelfChecked(known[rows]))
