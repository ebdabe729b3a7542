"""What the app shares with its screens: settings, engine, history, user's keys, frame pacing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from textual.app import App

from gelu_tui.client import EngineCommand
from gelu_tui.core import protocol as p
from gelu_tui.core.settings.user_file import Settings
from gelu_tui.tui.engine_link.session import EngineLink
from gelu_tui.tui.terminal.backpressure import FrameGate

if TYPE_CHECKING:
    from gelu_tui.core.runs.history import History


class Services:
    """Created once by the app, so that screens need to know neither the app nor each other."""

    def __init__(self, app: App[None], settings: Settings, engine_command: EngineCommand) -> None:
        self._app = app
        self.settings = settings
        self.engine_command = engine_command
        self.engine = EngineLink(p.Load(settings.model, settings.dtype), engine_command)
        self.gate = FrameGate(app)
        self.user_keys: Mapping[str, str] = {}  # action name to keys, where the user changed them

    @cached_property
    def history(self) -> History | None:
        """The saved runs, None if the user does not want runs saved."""
        from gelu_tui.core.runs.history import History

        return History() if self.settings.save_runs else None

    def start_engine(self) -> None:
        """Start a new engine, in place of the old one if there is one."""
        follow = self.engine.follow(self.engine.renew(), self._app.post_message)
        self._app.run_worker(follow, group="engine", exclusive=True)
