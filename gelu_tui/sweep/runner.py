"""Runs a sweep: owns its plan and its results, and hands prompts to a worker.

Each finished prompt is saved at once. A sweep that was ended at any moment goes on with the prompts
that have no result; several processes share them by claims.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Callable, Iterator

from msgspec.structs import replace

from gelu_tui.client import EngineCommand
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.functions.variants import check_limits, parse_variants
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.sweep import events as e
from gelu_tui.sweep.cluster.choice import Cluster
from gelu_tui.sweep.cluster.cluster_worker import ClusterWorker
from gelu_tui.sweep.earlier import put_aside, results_of
from gelu_tui.sweep.local_worker import LocalWorker
from gelu_tui.sweep.outcome_of import outcomes_of
from gelu_tui.sweep.outcomes import FailedPrompt
from gelu_tui.sweep.plan import Plan
from gelu_tui.sweep.prompts import BadRow, Prompt
from gelu_tui.sweep.store import SweepStore
from gelu_tui.sweep.teacher_forced import Forced
from gelu_tui.sweep.worker import NoWorkers, Stopped, Worker

_LOOK_AGAIN_S = 1.0  # whether prompts that others work on are finished, or free again

On = Callable[[e.SweepEvent], object]


class SweepSession:
    """One session of a sweep. `run` once; `stop` and `kill` end it, from the same event loop.

    `store` is where its results are: that of an earlier session, or None until the first model is
    loaded. With `anew` an earlier one is put aside then, as `earlier`. `error` is what ended it
    early. Without a `cluster`, one engine of this machine computes.
    """

    def __init__(
        self,
        plan: Plan,
        on: On,
        *,
        engine_command: EngineCommand = None,
        anew: bool = False,
        worker: Worker | None = None,
        cluster: Cluster | None = None,
    ) -> None:
        self.plan = plan
        self.store = None if anew else results_of(plan)
        self.error: ErrorInfo | None = None
        self.earlier = ""
        self._anew = anew
        self._on = on
        self._stop = asyncio.Event()
        rows = plan.settings.batch
        if cluster is not None:
            worker = ClusterWorker(cluster, engine_command, on, self._stop, rows)
        self._worker = worker or LocalWorker(engine_command, on, self._stop, rows)

    @property
    def stopped(self) -> bool:
        """Whether it was asked to stop."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Cancel what runs; what is finished is kept."""
        self._stop.set()

    def kill(self) -> None:
        """End at once."""
        self._stop.set()
        self._worker.kill()

    async def run(self) -> None:
        """Run what is left, until all is done, or it is stopped. Raises `GeluError`.

        A model that cannot be loaded, or has not what functions are limited to, is told, and the
        next one follows.
        """
        if self.store is not None:
            self._on(e.Opened(self.store))
        try:
            for model in range(len(self.plan.models)):
                if self.stopped:
                    return
                if self.store is not None and is_complete(self.store, model):
                    continue
                with contextlib.suppress(Stopped):
                    await self._run_model(model)
        finally:
            await self._worker.close()
            if self.store is not None:
                await asyncio.to_thread(self.store.release)

    async def _run_model(self, model: int) -> None:
        settings = self.plan.settings if self.store is None else self.store.header.settings
        try:
            loaded = await self._worker.load(self.plan.models[model], settings)
            if places := [(place.layer, place.site) for place in loaded.places]:
                check_limits(parse_variants(settings.activations), places)
        except NoWorkers:
            raise
        except GeluError as error:
            self.error = self.error or error.info
            self._on(e.ModelFailed(model, error.info))
            return
        if self.store is None:
            header = self.plan.header(loaded.model.native_activation)
            if self._anew:
                self.earlier = await asyncio.to_thread(put_aside, self.plan)
            self.store = await asyncio.to_thread(SweepStore.create, header)
            self._on(e.Opened(self.store))
        self._on(e.ModelBegan(model, loaded))
        while not self._stop.is_set():
            await self._worker.work(_Desk(self.plan, self.store, model, self._on))
            if self._stop.is_set() or await asyncio.to_thread(is_complete, self.store, model):
                return
            others = await asyncio.to_thread(self.store.others)
            self._on(e.Waiting(model, others))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), _LOOK_AGAIN_S)


def is_complete(store: SweepStore, model: int | None = None) -> bool:
    """Whether all prompts of a model, or of all models, are finished or have failed."""
    models = range(len(store.header.models)) if model is None else (model,)
    counts = (store.count(index) for index in models)
    return all(c.completed + c.failed >= store.header.prompts.count for c in counts)


class _Desk:
    """The prompts of one model, and what becomes of them; a `Desk`."""

    def __init__(self, plan: Plan, store: SweepStore, model: int, on: On) -> None:
        self._prompts, self._store, self._model, self._on = plan.prompts, store, model, on
        self._numbers: Iterator[int] = iter(range(plan.prompts.count))
        header = store.header
        self.full_kl = header.settings.full_kl
        self.yardsticks = header.settings.yardsticks
        self.streams = len(header.functions)
        own = header.settings.of_run()
        self._settings = replace(own, model=header.models[model], reference=header.reference)
        self._taken = 0

    @functools.cached_property
    def _to_do(self) -> int:
        counts = self._store.count(self._model)
        return self._prompts.count - counts.completed - counts.failed + self._taken

    @property
    def left(self) -> int:
        return max(0, self._to_do - self._taken)

    def arrived(self) -> bool:
        return False

    def settings(self, prompt: Prompt) -> RunSettings:
        seed = self._settings.seed
        if seed is None or not self._settings.temperature:
            return self._settings
        # Prompts are independent of each other only with random numbers of their own.
        return replace(self._settings, seed=(seed + prompt.number) % 2**63)

    async def take(self, count: int) -> list[Prompt]:
        taken: list[Prompt] = []
        while len(taken) < count:
            some = await asyncio.to_thread(self._claim, count - len(taken))
            if not some:
                break
            self._taken += len(some)
            for row in some:
                if isinstance(row, Prompt):
                    taken.append(row)
                else:
                    await self._fail(row.number, row.id, row.error)
        return taken

    def _claim(self, count: int) -> list[Prompt | BadRow]:
        return [self._prompts.get(n) for n in self._store.claim(self._model, count, self._numbers)]

    def started(self, prompt: Prompt, comparison: Comparison) -> None:
        self._on(e.PromptStarted(self._model, prompt, comparison))

    async def finished(
        self, prompt: Prompt, document: ComparisonDocument, forced: Forced, seconds: float
    ) -> None:
        def save() -> e.PromptDone:
            outcome = outcomes_of(document, prompt, self._model, forced)
            self._store.save(self._model, document, outcome, prompt, seconds=seconds)
            return e.PromptDone(outcome, prompt)

        try:
            self._on(await asyncio.to_thread(save))
        except GeluError as error:
            if error.info.kind != "slow_pattern":
                raise
            await self.failed(prompt, error.info)

    async def failed(self, prompt: Prompt, error: ErrorInfo) -> None:
        await self._fail(prompt.number, prompt.id, f"{error.message} {error.hint}".strip())

    async def _fail(self, number: int, name: str, error: str) -> None:
        model = self._store.header.models[self._model]
        failed = FailedPrompt(name, error, number, model)
        await asyncio.to_thread(self._store.save_failed, self._model, failed)
        self._on(e.PromptFailed(self._model, failed))
