"""Speed and memory as ratios, measured in one process run.

Every round measures each way of decoding once, in turn, and the ratios are computed within the
round, so that a machine whose speed drifts does not favour one of them.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import mlx.core as mx
from mlx_lm import stream_generate
from mlx_lm.utils import load_tokenizer

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.core.functions.registry import REGISTRY
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.engine import device
from gelu_tui.engine.compute import caches
from gelu_tui.engine.compute.decode import prefill
from gelu_tui.engine.failures import IsCancelled, stop_if
from gelu_tui.engine.jobs.compare import Run, SelfChecks
from gelu_tui.engine.jobs.observer import Emit
from gelu_tui.engine.jobs.request import resolve
from gelu_tui.engine.models.loading import LoadedModel
from gelu_tui.engine.models.mlx_lm_import import complete_tokenizers

WARM_UP_TOKENS = 3


@dataclass(frozen=True)
class _Sample:
    """One way, measured once; `memory` is MLX's peak in bytes, weights included."""

    step_s: float
    memory: int
    cache: int = 0
    statistics_share: float = 0.0


Way = Callable[[int], _Sample]


def bench(
    loaded: LoadedModel, command: p.Bench, emit: Emit, cancelled: IsCancelled
) -> p.BenchReport:
    """Measure plain mlx-lm, one variant, and lockstep against raw batched passes.

    Raises `Interrupted` and `GeluError`.
    """
    if not command.rows or not all(1 < rows <= 8 for rows in command.rows) or command.tokens < 2:
        raise GeluError("usage", "A bench needs 2 to 8 rows and 2 tokens or more.", "")
    tokens = loaded.tokenizer.encode(command.prompt)
    check_room(loaded, len(tokens), command.tokens)
    endless = without_ends(loaded)
    checks: SelfChecks = {}
    names = native_first(loaded)

    def lockstep(rows: int) -> Way:
        return partial(_lockstep, endless, command.prompt, names[:rows], checks, cancelled)

    ways: dict[str, tuple[int, Way]] = {
        "mlx-lm": (1, _plain(loaded, tokens)),
        "one variant": (1, lockstep(1)),
    }
    for rows in command.rows:
        ways[f"raw ×{rows}"] = (rows, partial(_raw, loaded, tokens, rows, cancelled))
        ways[f"lockstep ×{rows}"] = (rows, lockstep(rows))

    samples: dict[str, list[_Sample]] = {name: [] for name in ways}
    total = (command.rounds + 1) * len(ways)
    for done in range(total):
        stop_if(cancelled())
        name, (_, way) = list(ways.items())[done % len(ways)]
        emit(p.Progress("bench", name, done, total, "parts"))
        mx.clear_cache()
        mx.reset_peak_memory()
        if done < len(ways):  # the first round warms up
            way(WARM_UP_TOKENS)
        else:
            samples[name].append(way(command.tokens))
    most = samples[f"lockstep ×{command.rows[-1]}"]
    return p.BenchReport(
        rows=tuple(_row(name, ways[name][0], found) for name, found in samples.items()),
        ratios=_ratios(samples, command.rows),
        statistics_share=_median(sample.statistics_share for sample in most),
        self_checks=tuple(checks[rows] for rows in sorted(checks)),
        weight_bytes=loaded.weight_bytes,
        prompt_tokens=len(tokens),
        tokens=command.tokens,
        rounds=command.rounds,
    )


def check_room(loaded: LoadedModel, prompt: int, tokens: int) -> None:
    """Check that the context holds a prompt of so many tokens and what is decoded.

    Raises `GeluError`.
    """
    if prompt + tokens > loaded.context_length:
        raise GeluError(
            "prompt_too_long",
            f"{prompt} tokens of prompt and {tokens} more do not fit into the "
            f"{loaded.context_length} of the context.",
            "Choose fewer tokens.",
        )


def without_ends(loaded: LoadedModel) -> LoadedModel:
    """The model without end tokens: every way decodes the same number of tokens."""
    return replace(loaded, tokenizer=replace(loaded.tokenizer, end_ids=frozenset()))


def native_first(loaded: LoadedModel) -> tuple[str, ...]:
    """The functions of the registry, the model's own before the others."""
    native = loaded.info.native_activation
    return native, *(name for name in REGISTRY if name != native)


# --- the ways ---------------------------------------------------------------------------------


def endless_tokenizer(loaded: LoadedModel) -> Any:
    """mlx-lm's own tokenizer, without end tokens."""
    complete_tokenizers()
    tokenizer = load_tokenizer(loaded.folder)
    tokenizer.eos_token_ids = set()
    return tokenizer


@contextmanager
def as_mlx_lm() -> Iterator[None]:
    """As mlx-lm by itself: its small functions are compiled, on a CPU too if it has a compiler."""
    mx.enable_compile()
    try:
        yield
        mx.synchronize()  # mlx-lm has started one step too many
    finally:
        device.prepare()


def _plain(loaded: LoadedModel, tokens: list[int]) -> Way:
    tokenizer = endless_tokenizer(loaded)

    def way(count: int) -> _Sample:
        with as_mlx_lm():
            responses = stream_generate(loaded.model, tokenizer, tokens, max_tokens=count)
            times = [time.perf_counter() for _ in responses]
        return _Sample(_step_seconds(times), mx.get_peak_memory())

    return way


def _raw(
    loaded: LoadedModel, tokens: list[int], rows: int, cancelled: IsCancelled, count: int
) -> _Sample:
    """Forward passes of the model as it is, `rows` equal rows, nothing but argmax after them."""
    model: Any = loaded.model
    one = prefill(model, tokens, device.prefill_chunk(), lambda _: None, cancelled)
    cache = caches.join([one] * rows)
    del one
    y = mx.full((rows, 1), tokens[-1], dtype=mx.int32)
    times = []
    for _ in range(count):
        y = mx.argmax(model(y, cache=cache)[:, -1, :], axis=-1)[:, None]
        mx.eval(y)
        times.append(time.perf_counter())
    cache_bytes = sum(array.nbytes for array in caches.arrays(cache))
    return _Sample(_step_seconds(times), mx.get_peak_memory(), cache_bytes)


def _lockstep(
    loaded: LoadedModel,
    prompt: str,
    names: tuple[str, ...],
    checks: SelfChecks,
    cancelled: IsCancelled,
    count: int,
) -> _Sample:
    """A comparison as the app runs it, statistics, text and encoded events included."""
    events: list[p.Event] = []

    def sink(event: p.Event) -> None:
        p.encode(event)
        if isinstance(event, p.Step | p.Finished):
            events.append(event)

    command = p.Compare(prompt, RunSettings(activations=names, max_tokens=count, chat=False))
    run = Run(loaded, resolve(loaded, command), sink, cancelled, 0.0)
    run.run(checks)
    end = events.pop()
    assert isinstance(end, p.Finished)
    stop_if(end.status == "cancelled")
    if end.error is not None:
        raise GeluError(end.error.kind, end.error.message, end.error.hint)
    share = run.statistics_s / end.timing.decode_s if end.timing.decode_s else 0.0
    times = [event.streams[0].decode_s for event in events if isinstance(event, p.Step)]
    return _Sample(_step_seconds(times), end.peak_memory_bytes, statistics_share=share)


def _step_seconds(times: list[float]) -> float:
    """Median seconds of a decode step, without the first, which warms up."""
    return _median(later - earlier for earlier, later in itertools.pairwise(times))


# --- the report ---------------------------------------------------------------------------------


def _median(values: Any) -> float:
    return float(statistics.median(values))


def _row(name: str, rows: int, samples: list[_Sample]) -> p.BenchRow:
    step_s = _median(sample.step_s for sample in samples)
    memory, cache = max(s.memory for s in samples), max(s.cache for s in samples)
    return p.BenchRow(name, rows, step_s, rows / step_s, memory, cache)


def _ratios(samples: dict[str, list[_Sample]], rows: tuple[int, ...]) -> dict[str, float]:
    """Ratios of tokens a second (of all rows), and of peak memory."""

    def speed(name: str, base: str) -> float:
        pairs = zip(samples[name], samples[base], strict=True)
        return _median(b.step_s / a.step_s for a, b in pairs)

    ratios = {"one variant ÷ mlx-lm": speed("one variant", "mlx-lm")}
    for n in rows:
        ratios[f"lockstep ×{n} ÷ raw ×{n}"] = speed(f"lockstep ×{n}", f"raw ×{n}")
        ratios[f"lockstep ×{n} ÷ mlx-lm"] = n * speed(f"lockstep ×{n}", "mlx-lm")
    most = rows[-1]
    one, many = samples["one variant"], samples[f"lockstep ×{most}"]
    ratios[f"peak memory ×{most} ÷ (×1 + caches)"] = _median(
        b.memory / (a.memory + raw.cache * (most - 1) / most)
        for a, b, raw in zip(one, many, samples[f"raw ×{most}"], strict=True)
    )
    return ratios
