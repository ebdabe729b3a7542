"""The engine's main loop: commands in, events out, one at a time, on the main thread."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
import time
from collections.abc import Callable
from functools import singledispatchmethod
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.engine.failures import Interrupted, explain

if TYPE_CHECKING:
    from gelu_tui.engine.models.loading import LoadedModel

Emit = Callable[[p.Event], None]

log = logging.getLogger(__name__)


class Job:
    """A command that waits or runs, the way its answers take, and whether it was cancelled."""

    def __init__(self, command: p.Command, emit: Emit) -> None:
        self.command = command
        self._emit = emit
        self._cancelled = threading.Event()
        self._replay = threading.Event()

    @property
    def tag(self) -> str:
        """The name of the command on the wire."""
        return str(type(self.command).__struct_config__.tag)

    def emit(self, event: p.Event) -> None:
        """Emit an answer to the command: `event` with the command's id."""
        self._emit(msgspec.structs.replace(event, id=self.command.id))

    def cancel(self) -> None:
        """Ask the job to stop at its next chance."""
        self._cancelled.set()

    def cancelled(self) -> bool:
        """Whether it was asked to stop."""
        return self._cancelled.is_set()

    def ask_for_replay(self) -> None:
        """Ask a comparison to replay its forks at its next chance."""
        self._replay.set()

    def replay_asked(self) -> bool:
        """Whether it was asked for a replay since this was called last."""
        asked = self._replay.is_set()
        self._replay.clear()
        return asked


class Output:
    """Writes events, one line each, from any thread."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def emit(self, event: p.Event) -> None:
        """Write one event. A reader that is gone ends the process: nobody is left to serve."""
        line = p.encode(event)
        with self._lock:
            try:
                self._stream.write(line)
                self._stream.flush()
            except OSError:
                os._exit(0)


class Inbox:
    """Reads commands on a thread of its own, so that a cancel is seen while MLX works.

    End of input means that the app is gone: the process ends at once, whatever it is doing.
    """

    def __init__(self, stream: BinaryIO, emit: Emit) -> None:
        self._stream = stream
        self._emit = emit
        self._jobs: queue.Queue[Job] = queue.Queue()
        self._pending: list[Job] = []
        self._lock = threading.Lock()
        threading.Thread(target=self._read, name="inbox", daemon=True).start()

    def next(self) -> Job:
        """Wait for the next command."""
        return self._jobs.get()

    def done(self, job: Job) -> None:
        """The job has ended; a later cancel is not for it."""
        with self._lock:
            self._pending.remove(job)

    def _read(self) -> None:
        # What cannot be read, a hung-up terminal among it, raises instead of ending.
        with contextlib.suppress(OSError):
            for line in self._stream:
                if line.strip():
                    self._take(line)
        os._exit(0)

    def _take(self, line: bytes) -> None:
        try:
            command = p.decode_command(line)
        except GeluError as error:
            self._emit(p.Failed(error.info))
            return
        match command:
            case p.Cancel():
                with self._lock:
                    for job in self._pending:
                        job.cancel()
            case p.Replay():
                with self._lock:
                    for job in self._pending[:1]:
                        job.ask_for_replay()
            case p.Shutdown():
                os._exit(0)
            case _:
                job = Job(command, self._emit)
                with self._lock:
                    self._pending.append(job)
                self._jobs.put(job)


class Session:
    """Holds the loaded model and runs jobs."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._loaded: LoadedModel | None = None
        self._load_s = 0.0
        self._self_checks: dict[int, p.SelfCheckReport] = {}

    def serve(self) -> None:
        """Run jobs for ever; the inbox ends the process."""
        while True:
            job = self._inbox.next()
            try:
                self._run(job)
            finally:
                self._inbox.done(job)

    def _run(self, job: Job) -> None:
        log.info("%s", job.tag)
        try:
            if job.cancelled():
                raise Interrupted
            self._answer(job.command, job)
        except Interrupted:
            job.emit(p.Cancelled(job.tag))
        except Exception as error:  # the engine outlives whatever a command runs into
            job.emit(p.Failed(explain(error), job.tag))

    @singledispatchmethod
    def _answer(self, command: p.Command, job: Job) -> None:
        """Answer one command. The annotation of `command` selects the method that does it."""
        raise NotImplementedError(job.tag)

    @_answer.register
    def _load(self, command: p.Load, job: Job) -> None:
        from gelu_tui.engine import device
        from gelu_tui.engine.models import loading

        began = time.perf_counter()
        self._unload()
        loaded = loading.load(command.model, command.dtype, job.emit, job.cancelled)
        self._loaded, self._load_s = loaded, time.perf_counter() - began
        job.emit(
            p.Loaded(
                model=loaded.info,
                folder=str(loaded.folder),
                device=device.device_name(),
                blas=device.blas_name(),
                versions=loading.versions(),
                load_s=self._load_s,
                context_length=loaded.context_length,
                has_chat_template=loaded.tokenizer.chat_template is not None,
                weight_bytes=loaded.weight_bytes,
            )
        )

    @_answer.register
    def _list_models(self, command: p.ListModels, job: Job) -> None:
        from gelu_tui.engine.models.search import find_models

        job.emit(find_models(command.folders))

    @_answer.register
    def _delete_model(self, command: p.DeleteModel, job: Job) -> None:
        from gelu_tui.engine.models.search import delete_model

        job.emit(delete_model(command.model, dry_run=command.dry_run))

    def _unload(self) -> None:
        """The old weights go before the new ones come, and not only to MLX's cache."""
        if self._loaded is not None:
            import mlx.core as mx

            self._loaded = None
            mx.clear_cache()
        self._self_checks = {}

    @_answer.register
    def _fetch(self, command: p.Fetch, job: Job) -> None:
        from gelu_tui.engine.models.locate import locate

        folder = locate(command.model, job.emit, job.cancelled)
        job.emit(p.Fetched(command.model, str(folder)))

    @_answer.register
    def _compare(self, command: p.Compare, job: Job) -> None:
        from gelu_tui.engine.jobs.compare import Run, resolve

        loaded = self._require_model()
        request = resolve(loaded, command)
        run = Run(loaded, request, job.emit, job.cancelled, self._load_s, job.replay_asked)
        run.run(self._self_checks)

    @_answer.register
    def _render_prompt(self, command: p.RenderPrompt, job: Job) -> None:
        from gelu_tui.engine.jobs.prompt import render

        loaded = self._require_model()
        job.emit(render(loaded.tokenizer, command, loaded.context_length))

    @_answer.register
    def _bench(self, command: p.Bench, job: Job) -> None:
        from gelu_tui.engine.jobs.bench import bench

        job.emit(bench(self._require_model(), command, job.emit, job.cancelled))

    @_answer.register
    def _score(self, command: p.Score, job: Job) -> None:
        from gelu_tui.engine.jobs.score import score

        score(self._require_model(), command, job.emit, job.cancelled)

    def _require_model(self) -> LoadedModel:
        if self._loaded is None:
            raise GeluError("no_model", "No model is loaded.", "Load a model first.")
        return self._loaded
