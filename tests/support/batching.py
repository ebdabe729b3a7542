"""Comparisons that share a batch, in this process."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from msgspec import structs

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.engine.jobs.batch import Batch
from gelu_tui.engine.jobs.compare import SelfChecks
from gelu_tui.engine.models.loading import LoadedModel
from gelu_tui.engine.session import Job
from tests.support.in_process import self_checks_of


class Jobs:
    """Jobs that wait, the events of all, and which are done; commands get the ids 1, 2, …"""

    def __init__(self, commands: Iterable[p.Compare]) -> None:
        self.events: list[p.Event] = []
        self.on_event: Callable[[p.Event], None] = lambda _: None
        self.waiting: deque[Job] = deque()
        self.jobs: list[Job] = []
        self.done: list[Job] = []
        for command in commands:
            self.add(command)

    def add(self, command: p.Compare) -> None:
        job = Job(structs.replace(command, id=len(self.jobs) + 1), self._emit)
        self.jobs.append(job)
        self.waiting.append(job)

    def _emit(self, event: p.Event) -> None:
        self.events.append(p.decode_event(p.encode(event)))
        self.on_event(event)

    def take(self) -> Job | None:
        return self.waiting.popleft() if self.waiting else None

    def run(self, loaded: LoadedModel, batch_checks: SelfChecks | None = None) -> Jobs:
        alone = self_checks_of(loaded)
        checks = self_checks_of(loaded, mixed=True) if batch_checks is None else batch_checks
        Batch(loaded, self.take, self.done.append, 0.5, alone, checks).run()
        assert sorted(job.command.id for job in self.done) == [job.command.id for job in self.jobs]
        return self

    def of(self, number: int) -> list[p.Event]:
        """The events of the job of that number, from 0."""
        return [event for event in self.events if event.id == number + 1]

    def comparison(self, number: int) -> Comparison:
        events = [event for event in self.of(number) if not isinstance(event, p.BatchSize)]
        started = next(event for event in events if isinstance(event, p.Started))
        comparison = Comparison.begin(started)
        for event in events:
            comparison.apply(event)
        comparison.check()
        return comparison

    @property
    def size(self) -> p.BatchSize:
        [found] = [event for event in self.events if isinstance(event, p.BatchSize)]
        return found
