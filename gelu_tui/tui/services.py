"""What the app shares with its screens: the engine, the history, the user's keys, frame pacing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from textual.app import App

from gelu_tui.core import protocol as p
from gelu_tui.tui.engine_link.session import Session
from gelu_tui.tui.options import AppOptions
from gelu_tui.tui.terminal.backpressure import FrameGate

if TYPE_CHECKING:
    from gelu_tui.core.runs.history import History


class Services:
    """Created once by the app, so that screens need to know neither the app nor each other."""

    def __init__(self, app: App[None], options: AppOptions) -> None:
        self._app = app
        self.options = options
        settings = options.settings
        load = p.Load(settings.model, settings.dtype)
        self.session = Session(load, options.engine_command)
        self.gate = FrameGate(app)
        self.user_keys: Mapping[str, str] = {}  # action name to keys, where the user changed them

    @cached_property
    def history(self) -> History | None:
        """The saved runs, None if the user does not want runs saved."""
        from gelu_tui.core.runs.history import History

        return History() if self.options.settings.save_runs else None

    def start_engine(self) -> None:
        """Start a new engine, in place of the old one if there is one."""
        client = self.session.renew()
        self._app.run_worker(
            self.session.follow(client, self._app.post_message), group="engine", exclusive=True
        )
