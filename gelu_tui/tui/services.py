"""What the app shares with its screens: settings, engine, history, user's keys, frame pacing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING

from textual.app import App

from gelu_tui.client import EngineClient, EngineCommand
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.core.settings.user_file import Settings
from gelu_tui.tui.engine_link.running_sweep import RunningSweep, SweepChanged
from gelu_tui.tui.engine_link.session import EngineLink, Phase
from gelu_tui.tui.terminal.backpressure import FrameGate

if TYPE_CHECKING:
    from gelu_tui.core.runs.history import History
    from gelu_tui.sweep.plan import Plan


class Services:
    """Created once by the app, so that screens need to know neither the app nor each other."""

    def __init__(self, app: App[None], settings: Settings, engine_command: EngineCommand) -> None:
        self._app = app
        self.settings = settings
        self.engine_command = engine_command
        self.engine = EngineLink(p.Load(settings.model, settings.dtype), engine_command)
        self.gate = FrameGate(app)
        self.sweep: RunningSweep | None = None  # the last one that the app has run
        self.user_keys: Mapping[str, str] = {}  # action name to keys, where the user changed them

    @cached_property
    def history(self) -> History | None:
        """The saved runs, None if the user does not want runs saved."""
        from gelu_tui.core.runs.history import History

        return History() if self.settings.save_runs else None

    def start_engine(self) -> None:
        """Start a new engine, in place of the old one if there is one.

        A sweep that runs is stopped, and has ended before: the model is in memory once.
        """
        self._app.run_worker(self._follow(self.engine.renew()), group="engine", exclusive=True)

    async def _follow(self, client: EngineClient) -> None:
        if (sweep := self.running_sweep) is not None:
            sweep.stop()
            await sweep.ended.wait()
        await self.engine.follow(client, self._app.post_message)

    @property
    def running_sweep(self) -> RunningSweep | None:
        """The sweep that the app runs now."""
        return None if self.sweep is None or self.sweep.is_over else self.sweep

    def begin_sweep(self, plan: Plan) -> RunningSweep:
        """Run a sweep on an engine of its own, in place of the app's engine.

        Raises `GeluError` while a run or another sweep goes on, and where earlier results cannot be
        read.
        """
        if self.running_sweep is not None:
            raise GeluError("busy", "Another sweep is running.", "Stop that one first.")
        if self.engine.phase in (Phase.RUNNING, Phase.STOPPING) or self.engine.pending is not None:
            raise GeluError("busy", "A run is going on.", "Stop it (^g), or let it end.")
        changed = partial(self._app.post_message, SweepChanged())
        sweep = RunningSweep(plan, self.engine_command, changed)
        self.engine.lose()
        self.engine.sleep()
        self.sweep = sweep
        self._app.run_worker(sweep.run(), group="sweep")
        return sweep
