"""The engine's main loop: commands in, events out, one at a time, on the main thread."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, BinaryIO

from msgspec.structs import replace

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.engine.failures import Interrupted, error_info, stop_if

if TYPE_CHECKING:
    from gelu_tui.engine.jobs.compare import Run
    from gelu_tui.engine.jobs.request import Request
    from gelu_tui.engine.models.loading import LoadedModel
    from gelu_tui.engine.pipeline.leader import Leader

Emit = Callable[[p.Event], None]

log = logging.getLogger(__name__)


class Job:
    """A command that waits or runs, and what was asked of it meanwhile."""

    def __init__(self, command: p.Command, emit: Emit) -> None:
        self.command = command
        self.tag = str(type(command).__struct_config__.tag)
        self._emit = emit
        self.cancel = threading.Event()
        self.cancelled = self.cancel.is_set
        self.replay = threading.Event()

    def emit(self, event: p.Event) -> None:
        """Emit an answer to the command: `event` with the command's id."""
        self._emit(replace(event, id=self.command.id))

    def fail(self, error: BaseException) -> None:
        """Emit why the command ends without a result."""
        if isinstance(error, Interrupted):
            self.emit(p.Cancelled(self.tag))
        else:
            self.emit(p.Failed(error_info(error), self.tag))

    def replay_asked(self) -> bool:
        """Whether it was asked for a replay since this was called last."""
        asked = self.replay.is_set()
        self.replay.clear()
        return asked


def writer(stream: BinaryIO, *, ascii_only: bool = False) -> Emit:
    """Return a function that writes one event as a line, from any thread.

    A reader that is gone ends the process: nobody is left to serve. `ascii_only` is for a reader
    that may cut the output within a character, as mlx.launch does.
    """
    lock = threading.Lock()

    def emit(event: p.Event) -> None:
        line = p.encode_ascii(event) if ascii_only else p.encode(event)
        with lock:
            try:
                stream.write(line)
                stream.flush()
            except OSError:
                os._exit(0)

    return emit


class Inbox:
    """Reads commands on a thread of its own, so that a cancel is seen while MLX works.

    End of input means that the app is gone: the process ends at once, whatever it is doing.
    """

    def __init__(self, stream: BinaryIO, emit: Emit) -> None:
        self._stream = stream
        self._emit = emit
        self._pending: list[Job] = []
        self._waiting: deque[Job] = deque()
        self._lock = threading.Condition()
        self.taken = 0  # commands that were returned
        threading.Thread(target=self._read, name="inbox", daemon=True).start()

    def next(self) -> Job:
        """Wait for the next command."""
        with self._lock:
            self._lock.wait_for(lambda: self._waiting)
            self.taken += 1
            return self._waiting.popleft()

    def next_if(self, wanted: Callable[[p.Command], bool]) -> Job | None:
        """The next command if there is one and it is wanted."""
        with self._lock:
            waits = self._waiting and wanted(self._waiting[0].command)
            self.taken += bool(waits)
            return self._waiting.popleft() if waits else None

    def done(self, job: Job) -> None:
        """Forget a job that has ended: a later cancel is not for it."""
        with self._lock:
            if job in self._pending:
                self._pending.remove(job)

    def _read(self) -> None:
        # What cannot be read, such as a hung-up terminal, raises instead of ending.
        with contextlib.suppress(OSError):
            for line in self._stream:
                if line.strip():
                    self._receive(line)
        os._exit(0)

    def _receive(self, line: bytes) -> None:
        try:
            command = p.decode_command(line)
        except GeluError as error:
            self._emit(p.Failed(error.info))
            return
        with self._lock:
            match command:
                case p.Cancel():
                    for job in self._pending:
                        job.cancel.set()
                case p.Replay(run=None):
                    for job in self._pending[:1]:
                        job.replay.set()
                case p.Shutdown():
                    os._exit(0)
                case _:
                    self._pending.append(Job(command, self._emit))
                    self._waiting.append(self._pending[-1])
                    self._lock.notify()


class Session:
    """Holds the loaded model and runs jobs."""

    def __init__(self, inbox: Inbox, *, leads: bool = False) -> None:
        """`leads`: this is rank 0 of a pipeline."""
        self._inbox = inbox
        self._leads, self._leads_now = leads, False
        self._loaded: LoadedModel | None = None
        self._load_s = 0.0
        self._self_checks: dict[int, p.SelfCheckReport] = {}
        self._batch_checks: dict[int, p.SelfCheckReport] = {}

    def serve(self) -> None:
        """Run jobs for ever; the inbox ends the process."""
        while True:
            job = self._inbox.next()
            try:
                self._run(job)
            finally:
                self._inbox.done(job)
            # The others wait for the ring from the first `Load` on.
            self._leads_now |= self._leads and isinstance(job.command, p.Load)
            if self._leads_now and self._leader is not None:
                self._leader.done(self._inbox.taken)

    @cached_property
    def _leader(self) -> Leader | None:
        if not self._leads:
            return None
        from gelu_tui.engine.models.mlx_lm_import import import_mlx_lm

        import_mlx_lm()
        from gelu_tui.engine.pipeline.leader import Leader

        return Leader()

    def _run(self, job: Job) -> None:
        log.info("%s", job.tag)
        try:
            stop_if(job.cancelled())
            self._answer(job, job.command)
        except BaseException as error:  # the engine outlives it, a panic of a library in Rust too
            job.fail(error)

    def _answer(self, job: Job, command: p.Command) -> None:
        # MLX is imported by the first command that needs it, not before `Hello`.
        match command:
            case p.Load():
                self._load(job, command)
            case p.ListModels():
                from gelu_tui.engine.models.search import find_models

                job.emit(find_models(command.folders))
            case p.AskHub():
                from gelu_tui.engine.models.hub_sizes import ask_sizes

                job.emit(ask_sizes(command.models, job.cancelled))
            case p.DeleteModel():
                from gelu_tui.engine.models.search import delete_model

                job.emit(delete_model(command.model, dry_run=command.dry_run))
            case p.Fetch():
                from gelu_tui.engine.models.checkpoint import open_checkpoint
                from gelu_tui.engine.models.locate import locate

                located = locate(command.model, job.emit, job.cancelled)
                open_checkpoint(located.folder)  # what cannot be loaded is told now
                job.emit(p.Fetched(command.model, str(located.folder)))
            case p.RenderPrompt():
                from gelu_tui.engine.jobs.prompt import render

                job.emit(render(self._model(), command, job.cancelled))
            case p.Compare() if command.rows is not None:
                self._batch(job, command)
            case p.Compare():
                from gelu_tui.engine.jobs.request import resolve

                request = resolve(self._model(), command, job.cancelled)
                self._comparison(job, request).run(self._self_checks)
            case p.Continue():
                from gelu_tui.engine.jobs.request import resolve_again

                request = resolve_again(self._model(), command)
                self._comparison(job, request).run(self._self_checks)
            case p.Replay(run=p.Continue() as command):
                from gelu_tui.engine.jobs.request import resolve_again

                request = resolve_again(self._model(), command)
                self._comparison(job, request).replay(self._self_checks)
            case p.WhatIf():
                self._what_if(job, command)
            case p.Score():
                from gelu_tui.engine.jobs.score import score

                score(self._model(), command, job.emit, job.cancelled)
            case p.Layers():
                from gelu_tui.engine.jobs.layers import layers

                layers(self._model(), command, job.emit, job.cancelled)
            case p.FunctionValues():
                from gelu_tui.engine.device import check_room

                check_room()
                from gelu_tui.engine.jobs.function_values import function_values

                job.emit(function_values(command, job.emit, job.cancelled))
            case p.Candidates():
                from gelu_tui.engine.jobs.candidates import find_candidates

                job.emit(find_candidates(self._model(), command, job.cancelled))
            case p.GateInputs():
                from gelu_tui.engine.jobs.gate_inputs import gate_inputs

                gate_inputs(self._model(), command, job.emit, job.cancelled)
            case p.Bench():
                from gelu_tui.engine.jobs.bench import bench

                job.emit(bench(self._model(), command, job.emit, job.cancelled))
            case p.BenchSweep():
                from gelu_tui.engine.jobs.bench_sweep import bench_sweep

                job.emit(bench_sweep(self._model(), command, job.emit, job.cancelled))
            case _:
                raise p.ProtocolError(f"The engine has no job for the command {job.tag}.")

    def _batch(self, first: Job, command: p.Compare) -> None:
        """Run a comparison together with those that wait behind it and have its settings.

        Each has its own seed.
        """
        from gelu_tui.engine.jobs.batch import Batch

        def alike(other: p.Command) -> bool:
            return (
                isinstance(other, p.Compare)
                and other.rows == command.rows
                and replace(other.settings, seed=command.settings.seed) == command.settings
            )

        jobs = [first]

        def take() -> Job | None:
            return jobs.pop() if jobs else self._inbox.next_if(alike)

        checks = self._self_checks, self._batch_checks
        Batch(self._model(), take, self._inbox.done, self._load_s, *checks).run()

    def _comparison(self, job: Job, request: Request) -> Run:
        from gelu_tui.engine.jobs.compare import Run

        loaded = self._model()
        return Run(loaded, request, job.emit, job.cancelled, self._load_s, job.replay_asked)

    def _what_if(self, job: Job, command: p.WhatIf) -> None:
        from gelu_tui.engine.jobs.request import resolve_again
        from gelu_tui.engine.jobs.what_if import WhatIfs, check_given

        run = command.run
        request = resolve_again(self._model(), run)
        reference = run.streams[run.started.reference].tokens
        check_given(request.started, reference, command.given)
        parts = (self._model(), request, reference, command.given, job.emit, job.cancelled)
        WhatIfs(*parts, replays=run.started.settings.replay).answer_command(self._self_checks)

    def _load(self, job: Job, command: p.Load) -> None:
        from gelu_tui.engine import device

        device.check_room()
        from gelu_tui.engine.models import loading

        began = time.perf_counter()
        if self._loaded is not None:
            import mlx.core as mx

            # The old weights go before the new ones come, and not only to MLX's cache.
            self._loaded = None
            gc.collect()  # a model's modules may refer to each other in a circle
            mx.clear_cache()
        self._self_checks, self._batch_checks = {}, {}
        loaded = loading.load(command.model, command.dtype, job.emit, job.cancelled, self._leader)
        self._loaded, self._load_s = loaded, time.perf_counter() - began
        ranks = loaded.ranks
        job.emit(
            p.Loaded(
                model=loaded.info,
                folder=str(loaded.folder),
                device=device.device_name() + (f", {len(ranks)} ranks" if ranks else ""),
                blas=device.blas_name(),
                versions=loading.versions(),
                load_s=self._load_s,
                context_length=loaded.context_length,
                has_chat_template=loaded.tokenizer.chat_template is not None,
                weight_bytes=loaded.weight_bytes,
                ranks=ranks,
                places=tuple(p.Place(*place) for place in loaded.places),
            )
        )

    def _model(self) -> LoadedModel:
        if self._loaded is None:
            raise GeluError("no_model", "No model is loaded.", "Load a model first.")
        return self._loaded
