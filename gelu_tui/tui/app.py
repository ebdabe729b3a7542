"""The app: one engine, one comparison, and an end that leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import traceback
from collections.abc import Iterable, Sequence
from functools import partial
from inspect import isawaitable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import events, on
from textual.actions import parse
from textual.app import App, ScreenStackError, SystemCommand
from textual.binding import Binding
from textual.command import CommandPalette, Provider
from textual.css.query import NoMatches
from textual.dom import DOMNode
from textual.driver import Driver
from textual.drivers.linux_driver import LinuxDriver
from textual.filter import LineFilter
from textual.geometry import Size
from textual.screen import Screen
from textual.widget import MountError

from gelu_tui.client import EngineCommand
from gelu_tui.core import paths
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.own_files import open_log, replace_file
from gelu_tui.core.settings.user_file import Settings
from gelu_tui.tui.compare.board import Board
from gelu_tui.tui.compare.screen import CompareScreen
from gelu_tui.tui.engine_link.running_sweep import SweepChanged
from gelu_tui.tui.engine_link.session import BUSY, EngineEvent, EngineLost
from gelu_tui.tui.keys.actions import ACTIONS, COMPARE_ACTIONS, PANE_ACTIONS, shown_keys
from gelu_tui.tui.keys.keymap import keymap
from gelu_tui.tui.navigation import Navigation
from gelu_tui.tui.services import Services
from gelu_tui.tui.terminal.cube_colours import CubeColours
from gelu_tui.tui.terminal.driver import TerminalDriver
from gelu_tui.tui.terminal.shutdown import Shutdown
from gelu_tui.tui.terminal.width_anchoring import anchoring
from gelu_tui.tui.themes import OWN_THEMES, offered, theme_for

if TYPE_CHECKING:
    from gelu_tui.core.runs.document import ComparisonDocument
    from gelu_tui.sweep.plan import Plan
    from gelu_tui.sweep.store import SweepStore
    from gelu_tui.tui.lab.text_scoring import ShownText


_OPEN_AT_LATEST_S = 1.0
_SWEEP_ENDS_S = 2.0
_CUBE = CubeColours()
# Textual cannot wrap text where borders and padding leave no column for it.
_NARROWEST = 10


def _palette_commands() -> type[Provider]:
    from gelu_tui.tui.keys.palette import PaletteCommands  # not before the first frame

    return PaletteCommands


class GeluApp(App[None]):
    """Owns the engine link; the screens own what is shown of it.

    `prompt` is run as soon as the model is loaded, `warnings` are the problems of the settings
    file, and `saved` is a comparison to open with: it needs no model until something is run;
    `number` is its id in the history. `sweep` is one to run, or one to look at, `text`
    one to score or to look at.
    `engine_command` replaces the one of the settings where no command starts the engine.
    """

    TITLE = "gelu-tui"
    # Textual reads the style sheets of screens that are pushed; this one is there from the start.
    CSS_PATH = "compare/compare.tcss"
    COMMANDS: ClassVar = {_palette_commands}
    BINDINGS: ClassVar = [
        Binding("ctrl+q", "quit", "Quit", priority=True),
        Binding("ctrl+l", "redraw", "Redraw the screen", show=False, priority=True),
        Binding("ctrl+z", "suspend_process", "Suspend", show=False, priority=True),
    ]

    def __init__(
        self,
        settings: Settings,
        prompt: str | None = None,
        warnings: Iterable[ErrorInfo] = (),
        saved: ComparisonDocument | None = None,
        number: int | None = None,
        engine_command: EngineCommand = None,
        sweep: Plan | SweepStore | None = None,
        text: ShownText | None = None,
    ) -> None:
        super().__init__()
        self._prompt = prompt
        self._saved, self._number, self._sweep, self._text = saved, number, sweep, text
        self._opened = False
        self._asks_to_quit = False
        self.services = Services(self, settings, engine_command or settings.engine)
        self.engine = self.services.engine
        board = Board(settings.scroll, settings.token_style)
        self.compare = CompareScreen(self.services, settings.of_run(), board, prompt or "")
        self.navigation = Navigation(self, self.services, self.compare)
        self.shutdown = Shutdown(self, self.kill_engines, self.compare.save_now)
        self.animation_level = "none"
        self.services.user_keys, problems = keymap(settings.keys, ACTIONS)
        self._problems = [*warnings, *problems]
        self.set_keymap(self.services.user_keys)
        for action in ACTIONS:
            if not action.keys and (keys := self.services.user_keys.get(action.name)):
                self.bind(keys, action.call, show=False)
        for theme in OWN_THEMES:
            self.register_theme(theme)
        for name in set(self.available_themes).difference(offered(no_color=self.no_color)):
            self.unregister_theme(name)
        colors = self.console.color_system
        self.theme = theme_for(settings.theme, colors, no_color=self.no_color)

    def get_default_screen(self) -> Screen[None]:
        return self.compare

    def on_load(self) -> None:
        self.shutdown.join_loop()

    async def on_mount(self) -> None:
        # The app handles no key and ends by no signal before: half a screen cannot be closed.
        await self.compare.mounted.wait()
        self.theme_changed_signal.subscribe(self, lambda theme: self._keep_theme(theme.name))
        # After `fg` the terminal is empty, and Textual draws only what has changed since.
        self.app_resume_signal.subscribe(self, lambda _: self.refresh())
        self.call_after_refresh(self._open)
        # Once in some thousand starts, seen in tmux, Textual did not call it.
        self.set_timer(_OPEN_AT_LATEST_S, self._open)

    async def _open(self) -> None:
        if self._opened:
            return
        self._opened = True
        # Collecting garbage among the objects of start-up would be a pause of its own.
        gc.freeze()
        gc.enable()
        if self._saved is not None:
            self.engine.sleep()
            await self.compare.show_saved(self._saved, number=self._number)
        elif self._sweep is not None:
            self.engine.sleep()
            await self.navigation.sweeps.open(self._sweep)
        elif self._text is not None:
            self.engine.sleep()
            await self.navigation.lab.open_text(self._text)
        else:
            self.services.start_engine()
            if self._prompt is not None:
                await self.compare.action_run()
        if self._problems:
            first, *more = self._problems
            listed = f"There are {len(more)} more: `gelu-tui settings --check` lists them."
            hint = listed if more else first.hint
            self.compare.notice.show_error(ErrorInfo(first.kind, first.message, hint))
        self.run_worker(self._recall_prompts(), group="history")

    async def _recall_prompts(self) -> None:
        if (history := self.services.history) is not None:
            with contextlib.suppress(GeluError):  # the history screen shows its errors
                self.compare.prompt.recall(await asyncio.to_thread(history.prompts))

    async def on_unmount(self) -> None:
        """However the app ends, the engine ends with it."""
        self.compare.save_now()
        if (sweep := self.services.running_sweep) is not None:
            sweep.kill()
            with contextlib.suppress(TimeoutError):  # what it had claimed is free without it, too
                await asyncio.wait_for(sweep.ended.wait(), _SWEEP_ENDS_S)
        await self.engine.close()

    def kill_engines(self) -> None:
        """End all engines at once, from anywhere."""
        self.engine.kill()
        if (sweep := self.services.running_sweep) is not None:
            sweep.kill()

    @on(SweepChanged)
    def _sweep_changed(self) -> None:
        if self.is_running:
            self.compare.sweep_changed()

    @on(EngineEvent)
    async def _engine_event(self, message: EngineEvent) -> None:
        if message.client is not self.engine.client or not self.is_running:
            return
        try:
            is_of_job = await self.engine.apply(message.event)
            if self.navigation.lab.take(message.event):
                self.compare.phase_changed()
            elif is_of_job:
                await self.compare.engine_event(message.event)
            else:
                self._answer_fed_text(message.event)
        except GeluError as error:
            self._lose(EngineLost(message.client, error.info))

    def _answer_fed_text(self, answer: p.Event | ErrorInfo) -> None:
        from gelu_tui.tui.fed_text.screen import FedTextScreen

        for screen in self.screen_stack:  # help may be open over it
            if isinstance(screen, FedTextScreen):
                screen.answer(answer)

    @on(EngineLost)
    def _lose(self, message: EngineLost) -> None:
        if message.client is self.engine.client and self.is_running:
            self.engine.lose()
            self.compare.engine_lost(message.error)
            self._answer_fed_text(message.error)
            self.navigation.lab.lost(message.error)

    def get_driver_class(self) -> type[Driver]:
        """Ours, which no longer relies on how wide the terminal draws a text."""
        driver = super().get_driver_class()
        if driver is LinuxDriver:
            driver = TerminalDriver
        elif driver.__name__ == "WebDriver":
            from gelu_tui.tui.terminal.web_driver import ServedDriver  # only where it is needed

            driver = ServedDriver
        return anchoring(driver)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's, and in 256 colours ours, before Rich takes colours of another hue."""
        filters = super().get_line_filters()
        return [*filters, _CUBE] if self.console.color_system == "256" else filters

    async def _on_resize(self, event: events.Resize) -> None:
        """Before Textual's own method of this name: a narrower terminal shows a part."""
        if event.size.width < _NARROWEST:
            event.size = event.virtual_size = Size(_NARROWEST, event.size.height)

    def on_cursor_position(self, event: events.CursorPosition) -> None:
        """The terminal has drawn a frame."""
        self.services.gate.answered(event)

    def copy_to_clipboard(self, text: str) -> None:
        """Copy through the terminal (OSC 52), and into a file for terminals that do not."""
        super().copy_to_clipboard(text)
        path = paths.cache_dir() / "clipboard.txt"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, text, mode=0o600)
        except OSError:
            self.compare.notice.show_message("Copied by the terminal, if it lets programs copy.")
        else:
            home = Path.home()
            file = f"~/{path.relative_to(home)}" if path.is_relative_to(home) else path
            self.compare.notice.show_message(
                f"Copied, if the terminal lets programs copy; else see {file}."
            )

    async def action_quit(self) -> None:
        """Quit, also where the terminal reads nothing more; while a sweep runs, ask first.

        A second Ctrl+Q does not ask again.
        """
        sweep, asks = self.services.running_sweep, self._asks_to_quit
        if sweep is not None and not asks:
            self._asks_to_quit = True
            self.navigation.sweeps.ask_to_quit(sweep, self._answer_to_quit)
            return
        self.shutdown.hurry()
        await super().action_quit()

    async def _answer_to_quit(self, *, quits: bool) -> None:
        if quits:
            await self.action_quit()
        self._asks_to_quit = False

    def _handle_exception(self, error: Exception) -> None:
        # What still comes to a screen that is being closed finds its widgets gone.
        if not (self._exit and isinstance(error, (NoMatches, MountError, ScreenStackError))):
            super()._handle_exception(error)

    def _fatal_error(self) -> None:
        # Textual prints a traceback with local variables; ours goes to a file, and the user gets
        # a sentence. Overrides a private method: without it only the look would change.
        self.compare.mounted.set()  # or the app would wait for it before it ends
        log = paths.log_dir() / "app.log"
        where = f"The details are in {log}."
        try:
            with os.fdopen(open_log(log), "a", encoding="utf-8") as file:
                traceback.print_exc(file=file)
        except OSError as error:
            where = f"The details could not be written to {log}: {error}."
        self.panic(Text(f"gelu-tui ended because of a fault of its own. {where}", overflow="fold"))

    def action_help_quit(self) -> None:
        """Ctrl+C with nothing selected: stop the load or run, else show how to quit."""
        if self.engine.phase in BUSY:
            self.call_later(self.compare.action_stop)
        else:
            self.compare.notice.show_message("Nothing is running. Ctrl+Q quits.")

    async def action_command_palette(self) -> None:  # type: ignore[override]
        from gelu_tui.tui.palette import Palette  # not before the first frame

        # Without the id of Textual's, which the one that is just being closed may still have.
        if not isinstance(self.screen, CommandPalette):
            await self.push_screen(Palette())

    def action_redraw(self) -> None:
        """Draw everything again, over whatever another program has written."""
        self.refresh()

    async def action_open(self, name: str) -> None:
        """Open a screen beside the comparison."""
        opened = getattr(self.navigation, name)()
        if isawaitable(opened):
            await opened

    async def action_keep_defaults(self) -> None:
        await self.navigation.keep_defaults()

    async def action_export(self, kind: str) -> None:
        await self.navigation.export(kind)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What needs a comparison is greyed while there is none."""
        needs = action == "export" or (action == "open" and parameters[0] in ("fork", "matrix"))
        if action == "open" and parameters[0] == "sweep":
            return True if self.navigation.sweeps.has_one else None
        return None if needs and self.compare.shown is None else True

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Some of Textual's commands, this app's actions, and the settings without a key."""
        own = screen is self.compare
        # What Textual has besides would do the same as actions of this app, in its own way.
        wanted = {"Theme": "Choose a theme", "Quit": "Quit · ^q"}
        wanted |= {} if own else {"Screenshot": "Save a picture of the screen"}
        for command in super().get_system_commands(screen):
            if command.title in wanted:
                yield command._replace(title=wanted[command.title])
        if not own:
            from gelu_tui.tui.help.texts import is_listed, own_bindings  # as late

            for node, binding, keys in own_bindings(screen):
                if is_listed(binding):
                    call = partial(self.run_action, binding.action, node)
                    yield SystemCommand(f"{binding.description} · {keys}", "", call)
            return
        board = self.compare.board
        for actions, node in ((COMPARE_ACTIONS, self.compare), (PANE_ACTIONS, board)):
            for action in actions:
                title, does = board.will_do(action.name) or action.title, action.call or action.name
                if title and self._can_run(does, node):
                    keys = shown_keys(self.services.user_keys.get(action.name, action.keys))
                    titled = f"{title} · {keys}" if keys else title
                    yield SystemCommand(titled, action.help, partial(self.run_action, does, node))
        yield from self.navigation.setting_commands()

    def _can_run(self, call: str, node: DOMNode) -> bool:
        target, name, parameters = parse(call)
        return bool((self if target == "app" else node).check_action(name, parameters))

    def _keep_theme(self, name: str) -> None:
        from gelu_tui.core.settings.edit import save_setting

        try:
            problem = save_setting("theme", name)
        except GeluError as error:
            problem = error.info
        if problem is not None:
            self.compare.notice.show_error(problem)


def run_app(
    settings: Settings,
    prompt: str | None = None,
    warnings: Iterable[ErrorInfo] = (),
    saved: ComparisonDocument | None = None,
    number: int | None = None,
    sweep: Plan | SweepStore | None = None,
    text: ShownText | None = None,
) -> int:
    """Run the app until the user quits; return the exit code. Colour is left to NO_COLOR."""
    app = GeluApp(settings, prompt, warnings, saved, number, sweep=sweep, text=text)
    app.shutdown.begin()
    try:
        app.run()
    finally:
        app.kill_engines()
        app.shutdown.end()
    return 1 if app.return_code is None else app.return_code  # None: nobody has told it to end
