"""A sweep measured against mlx-lm in one process run: one generation after another, and batched."""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

import mlx.core as mx
import msgspec
from mlx_lm import batch_generate, stream_generate

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.core.functions.variants import parse_variant
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.engine.compute import caches
from gelu_tui.engine.compute.activation_sites import rowwise
from gelu_tui.engine.compute.functions import function_of
from gelu_tui.engine.failures import IsCancelled, stop_if
from gelu_tui.engine.jobs.batch import Batch
from gelu_tui.engine.jobs.batch_room import BatchRoom
from gelu_tui.engine.jobs.bench import (
    WARM_UP_TOKENS,
    as_mlx_lm,
    check_room,
    endless_tokenizer,
    native_first,
    without_ends,
)
from gelu_tui.engine.jobs.compare import SelfChecks
from gelu_tui.engine.jobs.observer import Emit
from gelu_tui.engine.jobs.request import resolve
from gelu_tui.engine.models.loading import LoadedModel

_PAIRS = 4  # of a prompt and a function: as many as plain mlx-lm is measured with in each round
_PREFILL_ROWS = 8  # mlx-lm's own default


@dataclass
class _Sample:
    """One way, measured once, for all streams; `memory` is MLX's peak in bytes."""

    seconds: float
    memory: int
    phases: dict[str, float] = field(default_factory=dict)


Way = Callable[[int], _Sample]


def bench_sweep(
    loaded: LoadedModel, command: p.BenchSweep, emit: Emit, cancelled: IsCancelled
) -> p.BenchSweepReport:
    """Measure a sweep without and with replays, plain mlx-lm, and its `batch_generate`.

    The last measured sweep is emitted as `BenchedRun`s. Raises `Interrupted` and `GeluError`.
    """
    names = native_first(loaded)[: command.functions]
    if not command.prompts or not names or command.tokens < 2 or command.rounds < 1:
        raise GeluError("usage", "A bench needs prompts, functions, rounds and 2 tokens.", "")
    sweep = _Sweep(loaded, command, names, cancelled)
    size = sweep.size
    streams = len(command.prompts) * len(names)
    rows = min(size.rows, streams)
    plain = _Plain(loaded, sweep.prompt_tokens, names)
    ways: dict[str, tuple[int, int, Way]] = {  # rows, streams that are measured, and how
        "sweep": (rows, streams, sweep.without_replays),
        "sweep with replays": (rows, streams, sweep.with_replays),
        "mlx-lm, one after another": (1, len(plain.pairs), plain.one_by_one),
    }
    if caches.can_mix(loaded.model):
        batched = plain.batched(rows)
        ways["mlx-lm, batch_generate"] = (rows, streams, batched)
    samples: dict[str, list[_Sample]] = {name: [] for name in ways}
    total = (command.rounds + 1) * len(ways)
    for done in range(total):
        stop_if(cancelled())
        name, (_, _, way) = list(ways.items())[done % len(ways)]
        emit(p.Progress("bench", name, done, total, "parts"))
        mx.clear_cache()
        mx.reset_peak_memory()
        if done < len(ways):  # the first round warms up, and has the self-checks
            way(WARM_UP_TOKENS)
        else:
            samples[name].append(way(command.tokens))
    for lines in sweep.lines:
        emit(p.BenchedRun(tuple(msgspec.Raw(line.rstrip()) for line in lines)))
    return p.BenchSweepReport(
        ways=tuple(_way(name, *ways[name][:2], streams, found) for name, found in samples.items()),
        functions=names,
        prompts=len(command.prompts),
        prompts_at_once=size.prompts,
        reason=size.reason,
        prompt_tokens=sum(map(len, sweep.prompt_tokens)),
        tokens=command.tokens,
        rounds=command.rounds,
        self_checks=tuple(sweep.self_checks),
    )


def _way(name: str, rows: int, measured: int, streams: int, found: list[_Sample]) -> p.SweepWay:
    phases = {
        phase: statistics.median(sample.phases[phase] for sample in found)
        for phase in found[0].phases
    }
    seconds = tuple(sample.seconds for sample in found)
    memory = max(sample.memory for sample in found)
    return p.SweepWay(name, rows, streams, measured, seconds, memory, phases)


# --- the sweep ------------------------------------------------------------------------------------


class _Job:
    """A prompt of the sweep; its events are encoded as for the app."""

    def __init__(self, command: p.Compare, cancelled: IsCancelled) -> None:
        self.command, self.cancelled = command, cancelled
        self.lines: list[bytes] = []
        self.failure: BaseException | None = None

    def emit(self, event: p.Event) -> None:
        line = p.encode(event)
        if not isinstance(event, p.BatchSize):
            self.lines.append(line)
        if isinstance(event, p.Finished) and event.error is not None:
            self.fail(GeluError(event.error.kind, event.error.message, event.error.hint))

    def fail(self, error: BaseException) -> None:
        self.failure = error


class _Sweep:
    """The prompts in batches, as the app runs them: statistics, text and encoded events included.

    `lines` are the events of each prompt, of the last sweep without replays.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        command: p.BenchSweep,
        names: tuple[str, ...],
        cancelled: IsCancelled,
    ) -> None:
        self._loaded, self._command = without_ends(loaded), command
        self._names, self._cancelled = names, cancelled
        self._checks: SelfChecks = {}
        self._batch_checks: SelfChecks = {}
        self.lines: list[list[bytes]] = []
        commands = self._commands(command.tokens, replays=False)
        requests = [resolve(self._loaded, each, cancelled) for each in commands]
        self.prompt_tokens = [list(request.started.prompt_tokens) for request in requests]
        for tokens in self.prompt_tokens:
            check_room(loaded, len(tokens), command.tokens)
        self.size = BatchRoom(loaded.model, requests[0], command.rows).size

    @property
    def self_checks(self) -> list[p.SelfCheckReport]:
        return [*self._checks.values(), *self._batch_checks.values()]

    def _commands(self, count: int, *, replays: bool) -> list[p.Compare]:
        settings = RunSettings(
            activations=self._names, max_tokens=count, chat=False, replay=replays
        )
        rows = self._command.rows
        return [p.Compare(prompt, settings, rows=rows) for prompt in self._command.prompts]

    def without_replays(self, count: int) -> _Sample:
        jobs, sample = self._run(count, replays=False)
        self.lines = [job.lines for job in jobs]
        return sample

    def with_replays(self, count: int) -> _Sample:
        return self._run(count, replays=True)[1]

    def _run(self, count: int, *, replays: bool) -> tuple[list[_Job], _Sample]:
        jobs = [_Job(each, self._cancelled) for each in self._commands(count, replays=replays)]
        waiting = deque(jobs)
        began = time.perf_counter()
        batch = Batch(
            self._loaded,
            lambda: waiting.popleft() if waiting else None,
            lambda job: None,
            0.0,
            self._checks,
            self._batch_checks,
        )
        batch.run()
        seconds = time.perf_counter() - began
        stop_if(self._cancelled())
        for job in jobs:
            if job.failure is not None:
                raise job.failure
        return jobs, _Sample(seconds, mx.get_peak_memory(), asdict(batch.spent))


# --- mlx-lm ---------------------------------------------------------------------------------------


class _Plain:
    """mlx-lm by itself, with the same prompts and as many tokens; `pairs` is what is measured.

    A pair is a prompt and a function: prompts evenly from the shortest to the longest, and the
    functions in turn.
    """

    def __init__(
        self, loaded: LoadedModel, prompts: list[list[int]], names: tuple[str, ...]
    ) -> None:
        self._loaded, self._prompts, self._names = loaded, prompts, names
        self._tokenizer = endless_tokenizer(loaded)
        by_length = sorted(prompts, key=len)
        count = min(_PAIRS, len(prompts))
        self.pairs = [
            (by_length[(2 * i + 1) * len(prompts) // (2 * count)], names[i % len(names)])
            for i in range(count)
        ]

    def one_by_one(self, count: int) -> _Sample:
        """Each pair alone by `stream_generate`; the seconds of all at the mean of the pairs."""
        mean = statistics.fmean(self._alone(*pair, count) for pair in self.pairs)
        return _Sample(mean * len(self._prompts) * len(self._names), mx.get_peak_memory())

    def _alone(self, tokens: list[int], name: str, count: int) -> float:
        with self._using(name), as_mlx_lm():
            began = time.perf_counter()
            for _ in stream_generate(self._loaded.model, self._tokenizer, tokens, max_tokens=count):
                pass
            return time.perf_counter() - began

    @contextmanager
    def _using(self, name: str) -> Iterator[None]:
        """The model as it is for its native function; mlx-lm alone has no other."""
        if name == self._loaded.info.native_activation:
            yield
            return
        function = function_of(parse_variant(name), "model")
        with rowwise(self._loaded.model) as sites, sites.use(function):
            yield

    def batched(self, rows: int) -> Way:
        """All streams by `batch_generate`, with so many rows and the native function in all."""
        prompts = [tokens for tokens in self._prompts for _ in self._names]

        def way(count: int) -> _Sample:
            with as_mlx_lm():
                began = time.perf_counter()
                batch_generate(
                    self._loaded.model,
                    self._tokenizer,
                    prompts,
                    max_tokens=count,
                    completion_batch_size=rows,
                    prefill_batch_size=min(rows, _PREFILL_ROWS),
                )
                seconds = time.perf_counter() - began
            return _Sample(seconds, mx.get_peak_memory())

        return way
