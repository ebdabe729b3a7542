"""One comparison: several activation functions of the loaded model over one prompt."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
from gelu_tui.core.settings.run_settings import known_dtype
from gelu_tui.engine import device
from gelu_tui.engine.compute import caches
from gelu_tui.engine.compute.activation_sites import RowFunctions, rowwise
from gelu_tui.engine.compute.decode import decode, prefill
from gelu_tui.engine.compute.functions import function_of
from gelu_tui.engine.compute.self_check import self_check
from gelu_tui.engine.compute.token_selection import Chooser, seeded
from gelu_tui.engine.failures import Interrupted, explain
from gelu_tui.engine.jobs.observer import Emit, Observer, Row
from gelu_tui.engine.jobs.prompt import feed
from gelu_tui.engine.jobs.replay import WHY_NOT, Replayer
from gelu_tui.engine.models.loading import LoadedModel

Cancelled = Callable[[], bool]
SelfChecks = dict[int, p.SelfCheckReport]

# Tokens of a replay on a CPU between two looks at whether it was cancelled: well under a second.
_REPLAY_CHUNK = 32


@dataclass(frozen=True)
class _Request:
    """A command with everything resolved."""

    variants: list[Variant]
    reference: int
    started: p.Started


def resolve(loaded: LoadedModel, command: p.Compare) -> _Request:
    """Resolve names, reference, chat and prompt tokens. Raises `GeluError`."""
    asked = command.settings
    variants = parse_variants(asked.activations)
    native = loaded.info.native_activation
    reference = resolve_reference(variants, asked.reference, native)
    variants, control = with_control(variants, reference, wanted=asked.control)
    text, tokens, chat = feed(loaded.tokenizer, command.prompt, asked.chat)
    room = loaded.context_length - len(tokens)
    if room < 1:
        raise GeluError(
            "prompt_too_long",
            f"The prompt has {len(tokens)} tokens; this model's context holds "
            f"{loaded.context_length} with what it generates.",
            "Shorten the prompt.",
        )
    started = p.Started(
        prompt=command.prompt,
        prompt_text=text,
        prompt_tokens=tuple(tokens),
        variants=tuple(
            p.VariantInfo.of(v, asked.activation_precision, native, control=index == control)
            for index, v in enumerate(variants)
        ),
        reference=reference,
        settings=replace(
            seeded(asked),
            model=loaded.info.id,
            dtype=known_dtype(loaded.info.dtype),
            reference=variants[reference].name,
            max_tokens=min(asked.max_tokens, room),
            chat=chat,
        ),
    )
    return _Request(variants, reference, started)


class Run:
    """A comparison while it is decoded. `run` once."""

    def __init__(
        self,
        loaded: LoadedModel,
        request: _Request,
        emit: Emit,
        cancelled: Cancelled,
        load_s: float,
        replay_asked: Callable[[], bool] = lambda: False,
    ) -> None:
        self._loaded = loaded
        self._started = request.started
        self._emit = emit
        self._cancelled = cancelled
        self._load_s = load_s
        self._replay_asked = replay_asked
        self._tokens = list(request.started.prompt_tokens)
        self._functions = [
            function_of(v, request.started.settings.activation_precision) for v in request.variants
        ]
        self._in_float32 = [function_of(v, "float32") for v in request.variants]
        self._replayer: Replayer | None = None
        self._self_checks: SelfChecks = {}
        self._noise: float | None = None  # None until it is checked
        self._choose = Chooser(request.started.settings)
        self._prefill_s: float | None = None
        self._decode_s: float | None = None
        self._decode_steps = 0
        self._peak_memory = 0
        self.statistics_s = 0.0
        self._began = time.perf_counter()

    def run(self, self_checks: SelfChecks) -> None:
        """Decode, and say all that happens; ends with `Finished`, whatever happens.

        `self_checks` holds this model's reports by number of rows and gets what is measured here.
        Afterwards `statistics_s` is the time that statistics and text took beside the decode loop.
        """
        mx.reset_peak_memory()
        self._self_checks = self_checks
        self._emit(self._started)
        observer = Observer(
            self._emit,
            self._loaded.tokenizer,
            [variant.name for variant in self._started.variants],
            self._started.reference,
            self._started.settings.max_tokens,
        )
        status: p.Status = "completed"
        error: ErrorInfo | None = None
        try:
            with rowwise(self._loaded.model) as functions:
                self._replayer = self._replayer_of(functions)
                prefilled = self._prefill_rows(functions)
                if self._started.settings.schedule == "lockstep":
                    self._lockstep(functions, caches.join(prefilled), observer, prefilled)
                else:
                    self._solo(functions, prefilled, observer)
                observer.drain()
                self._peak_memory = mx.get_peak_memory()
                self.statistics_s = observer.seconds
                status, error = observer.verdict()
                self._self_check(functions)
                if self._started.settings.replay:
                    self._replay(functions, observer)
        except Interrupted:
            status = "cancelled"
        except Exception as failure:
            status, error = "failed", explain(failure)
        observer.close("failed" if status == "failed" else "cancelled", error)
        self._give_up_replays(observer, status)
        peak = self._peak_memory or mx.get_peak_memory()
        self._emit(p.Finished(status, self._timing(observer), peak, error))

    # --- the two schedules ---------------------------------------------------------------------

    def _prefill_rows(self, functions: RowFunctions) -> list[list[Any]]:
        """A batch-1 cache a row: joined they give bit-identical rows; a batched prefill may not."""
        began = time.perf_counter()
        rows, total = len(self._functions), len(self._tokens) - 1
        result = []
        for row, function in enumerate(self._functions):

            def progress(done: int, row: int = row) -> None:
                self._emit(
                    p.Progress(
                        "prefill",
                        self._started.variants[row].name,
                        row * total + done,
                        rows * total,
                        "tokens",
                    )
                )

            start = time.perf_counter()
            with functions.use(function):
                cache = prefill(
                    self._loaded.model,
                    self._tokens,
                    device.prefill_chunk(),
                    progress,
                    self._cancelled,
                )
            seconds = time.perf_counter() - start
            self._emit(p.Prefilled(row, seconds, total / seconds))
            result.append(cache)
        self._prefill_s = time.perf_counter() - began
        return result

    def _lockstep(
        self,
        functions: RowFunctions,
        cache: list[Any],
        observer: Observer,
        prefilled: list[list[Any]],
    ) -> None:
        prefilled.clear()  # the joined cache is the only one from here on
        rows = len(self._functions)
        began = time.perf_counter()
        with functions.use(*self._functions):
            steps = decode(
                self._loaded.model,
                cache,
                self._tokens[-1],
                rows,
                ahead=device.on_gpu(),
                choose=self._choose,
            )
            for step, decoded in enumerate(steps):
                now = time.perf_counter()
                self._decode_s, self._decode_steps = now - began, step + 1
                observed = [
                    Row(row, token, decoded.logits[row], now - began)
                    for row, token in enumerate(decoded.tokens)
                    if row not in observer.ended
                ]
                observer.observe(step, now - self._began, observed, mx.get_active_memory())
                # Rows that have ended stay in the batch: the kernels' shapes must not change.
                if len(observer.ended) == rows:
                    return
                if self._cancelled():
                    raise Interrupted
                began += self._replay_if_asked(functions, observer)

    def _solo(
        self, functions: RowFunctions, prefilled: list[list[Any]], observer: Observer
    ) -> None:
        """Streams interleaved step by step, the reference first, each timed by itself."""
        order = sorted(range(len(prefilled)), key=lambda row: row != self._started.reference)
        streams = {
            row: decode(
                self._loaded.model,
                prefilled[row],
                self._tokens[-1],
                1,
                # With several streams, work started ahead would be timed as another stream's.
                ahead=device.on_gpu() and len(order) == 1,
                choose=self._choose,
            )
            for row in order
        }
        own_seconds = dict.fromkeys(order, 0.0)
        for step in range(self._started.settings.max_tokens):
            for row in order:
                if row in observer.ended:
                    continue
                began = time.perf_counter()
                with functions.use(self._functions[row]):
                    decoded = next(streams[row])
                now = time.perf_counter()
                own_seconds[row] += now - began
                self._decode_s, self._decode_steps = sum(own_seconds.values()), step + 1
                observer.observe(
                    step,
                    now - self._began,
                    [Row(row, decoded.tokens[0], decoded.logits[0], own_seconds[row])],
                    mx.get_active_memory(),
                )
                if self._cancelled():
                    raise Interrupted
            self._replay_if_asked(functions, observer)
            if len(observer.ended) == len(order):
                return

    # --- around them ----------------------------------------------------------------------------

    def _self_check(self, functions: RowFunctions) -> None:
        rows, known = len(self._functions), self._self_checks
        if rows == 1 or self._started.settings.schedule == "solo" or self._noise is not None:
            return
        if rows not in known:
            self._emit(p.Progress("self_check", f"{rows} equal rows", 0, 0, "parts"))
            try:
                known[rows] = self_check(
                    self._loaded.model,
                    functions,
                    # Of the machine's kernels, not of a formula that may not be finite.
                    function_of(parse_variant(self._loaded.info.native_activation), "model"),
                    self._tokens,
                    rows,
                    device.prefill_chunk(),
                    self._cancelled,
                )
            except Interrupted:
                return  # the comparison itself is complete
        self._noise = known[rows].max_logit_difference or 0.0
        self._emit(p.SelfChecked(known[rows]))

    def _replayer_of(self, sites: RowFunctions) -> Replayer:
        return Replayer(
            self._loaded.model,
            sites,
            self._in_float32,
            self._started.reference,
            self._tokens,
            self._loaded.tokenizer,
            device.prefill_chunk() if device.on_gpu() else _REPLAY_CHUNK,
            self._emit,
            self._cancelled,
            self._choose,
        )

    def _replay(self, functions: RowFunctions, observer: Observer) -> None:
        # A verdict must not depend on when it was asked for.
        self._self_check(functions)
        if self._replayer is not None:
            tokens = observer.reference_tokens()
            self._replayer.replay(observer.forks, tokens, self._noise or 0.0)

    def _replay_if_asked(self, functions: RowFunctions, observer: Observer) -> float:
        """Seconds that the streams stood still for it."""
        began = time.perf_counter()
        if self._replay_asked():
            self._replay(functions, observer)
        return time.perf_counter() - began

    def _give_up_replays(self, observer: Observer, status: p.Status) -> None:
        """No fork is left without a verdict or the reason why it has none."""
        if self._replayer is not None:
            self._replayer.give_up(observer.forks, WHY_NOT[status])

    def _timing(self, observer: Observer) -> p.Timing:
        rate = observer.tokens / self._decode_s if self._decode_s else None
        return p.Timing(self._load_s, self._prefill_s, self._decode_s, self._decode_steps, rate)
