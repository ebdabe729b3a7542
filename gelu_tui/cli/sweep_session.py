"""A sweep on the command line: progress on stderr, signals, and the report at the end."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import sys
import time

import click

from gelu_tui.cli import options as o
from gelu_tui.cli.output import Output
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.safe_text import visible_line
from gelu_tui.sweep import events as e
from gelu_tui.sweep.cluster.choice import Cluster
from gelu_tui.sweep.earlier import results_of, what_changed
from gelu_tui.sweep.plan import Plan
from gelu_tui.sweep.progress import SweepProgress
from gelu_tui.sweep.report.rows import SweepData
from gelu_tui.sweep.report.text import sweep_report
from gelu_tui.sweep.runner import SweepSession, is_complete
from gelu_tui.sweep.store import SweepStore
from gelu_tui.sweep.stored_document import stored_document

_REDRAW_S = 0.2
_LINE_S = 60.0  # between two lines where stderr is no terminal


def print_sweep(
    plan: Plan,
    printed: Output,
    engine_command: str | None,
    *,
    anew: bool,
    cluster: Cluster | None = None,
) -> int:
    """Run what is left of a sweep, print its report, and return the exit code. Raises `GeluError`.

    A finished sweep is printed without an engine.
    """
    store = None if anew else results_of(plan)
    if store is not None and is_complete(store):
        return _print(store, printed, None)
    if not anew and store is None and (told := what_changed(plan)) is not None:
        o.complain(told)
    running = _Terminal(plan)
    code = asyncio.run(running.run(engine_command, anew=anew, cluster=cluster))
    if running.store is not None:
        code = _print(running.store, printed, running.error) or code
    return code


def _print(store: SweepStore, printed: Output, error: ErrorInfo | None) -> int:
    document = stored_document(store, error=error)
    if (notice := store.pop_notice()) is not None:
        o.complain(notice)
    printed.document(SweepData(document, store), lambda: sweep_report(document))
    return o.FAILED if error is not None or not document.completed else o.DONE


class _Terminal:
    """Runs a session: shows its progress, and lets signals end it.

    The first signal cancels, the second one kills the engine. `error` is what ended it early.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._progress = SweepProgress(plan)
        self._shows_line = sys.stderr.isatty()
        self._is_shown = False
        self._drawn_at = time.monotonic()
        self._signal: int | None = None
        self._session: SweepSession | None = None
        self.error: ErrorInfo | None = None

    @property
    def store(self) -> SweepStore | None:
        return None if self._session is None else self._session.store

    async def run(
        self, engine_command: str | None, *, anew: bool, cluster: Cluster | None = None
    ) -> int:
        """Run, and return the exit code."""
        self._session = session = SweepSession(
            self._plan, self._take, engine_command=engine_command, anew=anew, cluster=cluster
        )
        loop = asyncio.get_running_loop()  # which removes the handlers when it is closed
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as a hang-up is under nohup
                loop.add_signal_handler(number, self._on_signal, number)
        ticks = asyncio.create_task(self._tick())
        try:
            await session.run()
            self.error = session.error
        except GeluError as error:
            self.error = error.info
        finally:
            ticks.cancel()
            self._clear()
        self._tell()
        if self._signal is not None:
            return 128 + self._signal
        return o.DONE if self.error is None else o.FAILED

    def _tell(self) -> None:
        """Say on stderr what is not in the report."""
        if self._session is not None and (earlier := visible_line(self._session.earlier)):
            message = f"The sweep began anew; the earlier results are kept as {earlier}."
            o.complain(ErrorInfo("restarted", message, f"`gelu-tui show {earlier}` prints them."))
        if self._signal is not None:
            self.error = None
            done, whole = self._progress.all_done, self._progress.whole
            message = f"Stopped: {done:,} of {whole:,} prompts are finished and kept."
            o.complain(ErrorInfo("stopped", message, "The same command goes on from there."))
        elif self.error is not None and self.error not in self._progress.errors:
            o.complain(self.error)

    def _take(self, event: e.SweepEvent) -> None:
        self._progress.apply(event)
        match event:
            case e.EngineLost():
                self._clear()
                again = "Another engine takes its place; nothing that was finished is lost."
                where = f"Worker {event.worker}: " if event.worker else ""
                o.complain(ErrorInfo("engine_died", f"{where}{event.error.message}", again))
            case e.WorkerLost() if self._signal is None:
                self._clear()
                message = f"Worker {event.name} is lost: {event.why}."
                again = "Nothing that was finished is lost; what it was computing runs again."
                o.complain(ErrorInfo("worker_lost", message, again))
            case e.WorkerRefused():
                self._clear()
                told = f"Worker {event.name} is not used: {event.error.message}"
                o.complain(ErrorInfo(event.error.kind, told, event.error.hint))
            case e.ModelFailed():
                self._clear()
                o.complain(event.error)
            case e.ModelBegan():
                self._clear()
                for warning in event.loaded.model.warnings:
                    o.complain(ErrorInfo("config", warning))
        if self._shows_line and time.monotonic() - self._drawn_at >= _REDRAW_S:
            self._draw()

    async def _tick(self) -> None:
        """Update the progress line each second, also when no event comes."""
        while True:
            await asyncio.sleep(1.0)
            if self._shows_line:
                self._draw()
            elif time.monotonic() - self._drawn_at >= _LINE_S:
                self._drawn_at = time.monotonic()
                click.echo(f"gelu-tui: {self._progress.line}", err=True)

    def _draw(self) -> None:
        self._drawn_at = time.monotonic()
        self._is_shown = True
        line = visible_line(self._progress.line)[: shutil.get_terminal_size().columns - 1]
        self._write(f"\r\x1b[K{line}")

    def _clear(self) -> None:
        if self._is_shown:
            self._write("\r\x1b[K")
            self._is_shown = False

    @staticmethod
    def _write(text: str) -> None:
        with contextlib.suppress(OSError):  # nobody may be left to see it
            sys.stderr.write(text)
            sys.stderr.flush()

    def _on_signal(self, number: int) -> None:
        assert self._session is not None
        again = self._signal is not None
        self._signal = self._signal or number
        if again:
            self._session.kill()
        else:
            self._session.stop()
