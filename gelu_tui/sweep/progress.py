"""How far a running sweep is: what the terminal and the screen read, updated by its events."""

from __future__ import annotations

import time
from collections.abc import Callable

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.reports.progress import duration, progress_sentence, transfer_sentence
from gelu_tui.core.safe_text import visible_line
from gelu_tui.sweep import events as e
from gelu_tui.sweep.plan import Plan
from gelu_tui.sweep.store import SweepStore

_WORKERS_SHOWN = 4


class SweepProgress:
    """A sweep's state; `apply` every event of `runner.run`.

    `done` and `failed` count prompts of each model, earlier ones included; `total` is the number of
    prompts in the set. `running` are prompts that are computed now, by number. Outcomes are not
    kept here: the store has them.
    """

    def __init__(self, plan: Plan, clock: Callable[[], float] = time.monotonic) -> None:
        self.models = plan.settings.models
        self.total = plan.prompts.count
        self.store: SweepStore | None = None
        self.loaded: dict[int, p.Loaded] = {}
        self.model = 0
        self.done = [0] * len(self.models)
        self.failed = [0] * len(self.models)
        self.running: dict[int, Comparison] = {}
        self.doing = ""  # while no prompt runs: what the engine does, or what is waited for
        self.errors: list[ErrorInfo] = []  # of models that could not be loaded
        self.lost = 0  # engines
        self.workers: dict[str, e.WorkerState] = {}  # of a cluster, by name
        # What is decoded is read once more afterwards, which takes about as long.
        is_read_again = plan.settings.full_kl or plan.settings.yardsticks
        self._decoding = 0.5 if is_read_again else 1.0
        self._clock = clock
        self._began: float | None = None  # when the first prompt of this session began
        self._ended = 0  # prompts of this session

    @property
    def all_done(self) -> int:
        return sum(self.done)

    @property
    def all_failed(self) -> int:
        return sum(self.failed)

    @property
    def whole(self) -> int:
        """The number of prompts times models."""
        return self.total * len(self.models)

    @property
    def prompts_per_minute(self) -> float | None:
        """The rate of this session, prompts that run counted by their share; None at its start."""
        if self._began is None or not (minutes := (self._clock() - self._began) / 60):
            return None
        running = self._decoding * sum(map(_share, self.running.values()))
        return (self._ended + running) / minutes or None

    @property
    def seconds_left(self) -> float | None:
        """How long the rest takes at this rate; None at the start."""
        if (rate := self.prompts_per_minute) is None:
            return None
        running = self._decoding * sum(map(_share, self.running.values()))
        return max(0.0, self.whole - self.all_done - self.all_failed - running) / rate * 60

    def apply(self, event: e.SweepEvent) -> None:
        """Update it by an event."""
        match event:
            case e.Opened():
                self.store = event.store
                for model in range(len(self.models)):
                    count = event.store.count(model)
                    self.done[model], self.failed[model] = count.completed, count.failed
            case e.ModelBegan():
                self.model, self.doing = event.model, ""
                self.loaded[event.model] = event.loaded
                self.running.clear()
            case e.ModelFailed():
                self.errors.append(event.error)
            case e.PromptStarted():
                self._began = self._clock() if self._began is None else self._began
                self.doing = ""
                self.running[event.prompt.number] = event.comparison
            case e.PromptDone():
                self._end(event.outcome.number)
                self.done[event.outcome.model] += 1
            case e.PromptFailed():
                self._end(event.failed.number)
                self.failed[event.model] += 1
            case e.ClusterStarts():
                self.doing = event.clause
            case e.WorkerTold():
                self._take_worker(event.worker)
            case e.WorkerLost() | e.WorkerRefused():
                self.workers.pop(event.name, None)
                if not self.workers:
                    self.doing = "Waiting for a worker"
            case e.EngineLost(worker=""):
                self.lost += 1
                self.running.clear()
                self.doing = "Starting another engine"
            case e.EngineLost():
                self.lost += 1
            case e.Waiting():
                # What other processes have finished meanwhile is known to the store alone.
                if self.store is not None:
                    count = self.store.count(event.model)
                    self.done[event.model] = count.completed
                    self.failed[event.model] = count.failed
                works = "prompt is" if event.prompts == 1 else "prompts are"
                self.doing = f"{event.prompts} {works} with other processes"
            case e.EngineSaid(event=p.Progress() as said):
                is_transfer = said.unit == "bytes"
                self.doing = transfer_sentence(said) if is_transfer else progress_sentence(said)

    def _take_worker(self, worker: e.WorkerState) -> None:
        self.workers[worker.name] = worker
        if any(each.running for each in self.workers.values()):
            self._began = self._clock() if self._began is None else self._began
            self.doing = ""
        elif not self._ended:
            self.doing = f"Worker {worker.name} {worker.doing}"

    def _end(self, number: int) -> None:
        self._ended += 1
        self.running.pop(number, None)

    @property
    def line(self) -> str:
        """E.g. `37 of 400 prompts · 2 failed · 12.3 a minute · 29 min left · demo`."""
        parts = [f"{self.all_done + self.all_failed:,} of {self.whole:,} prompts"]
        if self.all_failed:
            parts.append(f"{self.all_failed:,} failed")
        is_at_work = self.running or any(each.running for each in self.workers.values())
        if (rate := self.prompts_per_minute) is not None and is_at_work:
            parts.append(f"{rate:.3g} a minute")
            if (left := self.seconds_left) is not None:
                parts.append(f"{duration(left)} left")
        if len(self.models) > 1:
            parts.append(f"model {self.model + 1} of {len(self.models)}")
        if self.workers and not self.doing:
            parts.append(self._workers_line)
        parts.append(self.doing or visible_line(self.models[self.model]))
        return " · ".join(parts)

    @property
    def _workers_line(self) -> str:
        """E.g. `2 workers: 1 12.3 a minute, 2 loads the model`."""
        told = []
        for worker in self.workers.values():
            rate = worker.per_minute
            told.append(f"{worker.name} {f'{rate:.3g} a minute' if rate else worker.doing}")
        count = f"{len(told)} worker{'s' * (len(told) != 1)}"
        return f"{count}: {', '.join(told)}" if len(told) <= _WORKERS_SHOWN else count


def _share(comparison: Comparison) -> float:
    """The part of a running prompt that is done, by its longest stream."""
    longest = max(len(stream.tokens) for stream in comparison.streams)
    return min(1.0, longest / comparison.settings.max_tokens)
