"""Sweeps in the app: opened, begun, left, come back to, and asked about when the app quits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import asdict
from textual.app import App

from gelu_tui.core.errors import GeluError
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.tui.engine_link.running_sweep import RunningSweep
from gelu_tui.tui.services import Services

if TYPE_CHECKING:
    from gelu_tui.sweep.plan import Plan
    from gelu_tui.sweep.store import SweepStore
    from gelu_tui.tui.compare.screen import CompareScreen
    from gelu_tui.tui.sweep.shown_sweep import OpenRun, ShownSweep

_BUILTIN = "builtin:"


class Answer(Protocol):
    """Takes whether to quit."""

    def __call__(self, *, quits: bool) -> Awaitable[None]: ...


class SweepNavigation:
    """Opens the screen of a sweep, and knows which one was shown last."""

    def __init__(self, app: App[None], services: Services, compare: CompareScreen) -> None:
        self._app, self._services, self._compare = app, services, compare
        self._last: ShownSweep | None = None

    @property
    def has_one(self) -> bool:
        """Whether a sweep has been shown."""
        return self._last is not None

    def plan(self, source: str, choices: RunSettings) -> Plan:
        """Return the plan of a sweep over a file, with the settings of the next run.

        Reads the file, so for a thread. Raises `GeluError`.
        """
        from gelu_tui.sweep.plan import make_plan

        if not source.startswith(_BUILTIN):
            source = str(Path(source).expanduser().absolute())
        settings = {name: value for name, value in asdict(choices).items() if name != "control"}
        is_local = self._services.engine_command is None
        return make_plan(source, (settings,), {}, local=is_local)

    async def open(
        self, sweep: Plan | SweepStore, leave: Callable[[], object] | None = None
    ) -> None:
        """Show a sweep that is saved, or run a plan and show it; `leave` is called afterwards.

        A plan whose prompts are all finished is shown without an engine.
        """
        # numpy and SciPy take a tenth of a second and more: not on the thread that draws.
        await asyncio.to_thread(import_module, "gelu_tui.tui.sweep.screen")
        from gelu_tui.sweep.plan import Plan
        from gelu_tui.sweep.runner import is_complete
        from gelu_tui.sweep.store import SweepStore
        from gelu_tui.tui.sweep.shown_sweep import ShownSweep

        try:
            if isinstance(sweep, Plan):
                shown = await asyncio.to_thread(_prepared, sweep)
                if shown.store is None or not await asyncio.to_thread(is_complete, shown.store):
                    shown.running = self._services.begin_sweep(sweep)
            else:
                assert isinstance(sweep, SweepStore)
                shown = ShownSweep(sweep)
        except GeluError as error:
            self._compare.notice.show_error(error.info)
            return
        running = self._services.running_sweep
        if running is not None and shown.store is not None and running.plan.id == shown.store.id:
            shown.running = running
        self._compare.sweep_changed()
        self._show(shown, leave)

    async def show_last(self) -> None:
        """Show the sweep that was shown last: the one that runs, if there is one."""
        if self._last is not None:
            self._show(self._last, None)

    def _show(self, shown: ShownSweep, leave: Callable[[], object] | None) -> None:
        from gelu_tui.tui.sweep.screen import SweepScreen

        self._last = shown

        async def closed(result: OpenRun | None) -> None:
            if result is not None:
                message = f"Run {result.run}, saved. Esc goes back to the sweep."
                back = partial(self._show, shown, leave)
                await self._compare.show_saved(result.document, message, back=back)
            elif leave is not None:
                leave()

        self._app.push_screen(SweepScreen(shown, self._services.begin_sweep), closed)

    def ask_to_quit(self, sweep: RunningSweep, answer: Answer) -> None:
        """Ask whether to quit although a sweep is running."""
        from gelu_tui.tui.sweep.quit import QuitScreen

        self._app.push_screen(QuitScreen(sweep.short), lambda yes: answer(quits=bool(yes)))


def _prepared(plan: Plan) -> ShownSweep:
    """The results of a plan so far, and what to tell if those of its name are of another one."""
    from gelu_tui.sweep.earlier import results_of, what_changed
    from gelu_tui.tui.sweep.shown_sweep import ShownSweep

    store = results_of(plan)
    return ShownSweep(store, told=what_changed(plan) if store is None else None)
