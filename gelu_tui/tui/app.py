"""The app: one engine, one screen, and an end that leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import traceback
from collections.abc import Iterable
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import App, SystemCommand
from textual.binding import Binding
from textual.screen import Screen

from gelu_tui.core import paths
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.tui.actions import COMPARE_ACTIONS
from gelu_tui.tui.choices import Choices
from gelu_tui.tui.messages import EngineEvent, EngineLost
from gelu_tui.tui.options import AppOptions
from gelu_tui.tui.screens.compare import CompareScreen
from gelu_tui.tui.session import BUSY, Session

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_EXIT_GRACE_S = 3.0


class GeluApp(App[None]):
    """Owns the engine session; the screens own what is shown of it."""

    TITLE = "gelu-tui"
    # Textual reads the style sheets of screens that are pushed; this one is there from the start.
    CSS_PATH = "screens/compare.tcss"
    BINDINGS: ClassVar = [Binding("ctrl+q", "quit", "Quit", priority=True)]

    def __init__(self, options: AppOptions) -> None:
        super().__init__()
        self.options = options
        self.session = Session(p.Load(options.model, options.dtype), options.engine_command)
        self.compare = CompareScreen(Choices.from_options(options), options.prompt)
        self.animation_level = "none"
        if self.no_color:
            self._leave_ansi_themes_out()

    def get_default_screen(self) -> Screen[None]:
        """The comparison opens first."""
        return self.compare

    async def on_mount(self) -> None:
        """Take the signals; the engine starts after the first frame."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.add_signal_handler(number, self._end_by_signal, number)
        self.call_after_refresh(self._open)

    async def _open(self) -> None:
        self.start_engine()
        if self.options.prompt is not None:
            await self.compare.action_run()

    async def on_unmount(self) -> None:
        """However the app ends, the engine ends with it."""
        loop = asyncio.get_running_loop()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
        await self.session.close()

    # --- the engine ---------------------------------------------------------------------------

    def start_engine(self) -> None:
        """Start a new engine, in place of the old one if there is one."""
        client = self.session.renew()
        self.run_worker(
            self.session.follow(client, self.post_message), group="engine", exclusive=True
        )

    @on(EngineEvent)
    async def _engine_event(self, message: EngineEvent) -> None:
        if message.client is not self.session.client or not self.is_running:
            return
        try:
            await self.session.apply(message.event)
            await self.compare.engine_event(message.event)
        except GeluError as error:
            self._lose(EngineLost(message.client, error.info))

    @on(EngineLost)
    def _lose(self, message: EngineLost) -> None:
        if message.client is self.session.client and self.is_running:
            self.session.lose()
            self.compare.engine_lost(message.error)

    # --- the end ------------------------------------------------------------------------------

    def _end_by_signal(self, number: int) -> None:
        # The terminal may be gone, and then restoring it may hang: the engine goes first, and a
        # clock outside of the event loop sees to it that the app goes too.
        self.session.kill()
        watchdog = threading.Timer(_EXIT_GRACE_S, os._exit, (128 + number,))
        watchdog.daemon = True
        watchdog.start()
        self.exit(return_code=128 + number)

    def _fatal_error(self) -> None:
        # Textual prints a traceback with local variables; ours goes to a file, and the user gets
        # a sentence. Overrides a private method: without it only the look would change.
        log = paths.log_dir() / "app.log"
        where = f"The details are in {log}."
        try:
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("a", encoding="utf-8") as file:
                traceback.print_exc(file=file)
        except OSError as error:
            where = f"The details could not be written to {log}: {error}."
        self.panic(Text(f"gelu-tui ended because of a fault of its own. {where}", overflow="fold"))

    def action_help_quit(self) -> None:
        """Ctrl+C with nothing selected: stop what goes on, else tell how to quit."""
        if self.session.phase in BUSY:
            self.call_later(self.compare.action_stop)
        else:
            self.compare.say("Nothing is running. Ctrl+Q quits.")

    # --- looks and palette --------------------------------------------------------------------

    def _leave_ansi_themes_out(self) -> None:
        # Under NO_COLOR Textual's filter turns every colour of an ANSI theme into black.
        for name, theme in self.available_themes.items():
            if theme.ansi:
                self.unregister_theme(name)
        if self.theme not in self.available_themes:
            self.theme = "textual-dark"

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Textual's own commands, this app's actions, and the settings without a key."""
        yield from super().get_system_commands(screen)
        if screen is not self.compare:
            return
        for action in COMPARE_ACTIONS:
            if action.title and screen.check_action(action.name, ()):
                run = getattr(screen, f"action_{action.name}")
                yield SystemCommand(action.title, action.help, run)
        yield from self.compare.setting_commands()


def run_app(options: AppOptions) -> int:
    """Run the app until the user quits; the exit code. Colour is left to NO_COLOR."""
    app = GeluApp(options)
    try:
        app.run()
    finally:
        app.session.kill()
    return app.return_code or 0
