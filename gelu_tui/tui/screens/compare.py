"""The first screen: a prompt, the chosen functions, and their streams side by side."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar, cast

from textual import on
from textual.app import ComposeResult, SystemCommand
from textual.events import Resize
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Footer, Static

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison import Comparison
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.safe_text import visible_line
from gelu_tui.tui import labels
from gelu_tui.tui.actions import COMPARE_ACTIONS
from gelu_tui.tui.choices import Choices, setting_variations
from gelu_tui.tui.layout import MIN_COLUMNS, MIN_ROWS
from gelu_tui.tui.session import BUSY, Phase, Session
from gelu_tui.tui.widgets.notice import Notice
from gelu_tui.tui.widgets.pane_grid import PaneGrid
from gelu_tui.tui.widgets.prompt import Prompt
from gelu_tui.tui.widgets.status import StatusLine
from gelu_tui.tui.widgets.stream_pane import StreamPane

if TYPE_CHECKING:
    from gelu_tui.tui.app import GeluApp

REFRESH_HZ = 12  # all panes together
SILENCE_S = 5.0  # after this the status line says how long the engine has been quiet
STOP_GRACE_S = 3.0  # after this an engine that does not stop may be ended by one key


class CompareScreen(Screen[None]):
    """Owns what is shown: the choices of the next run and the comparison of the last one."""

    BINDINGS: ClassVar = [action.binding() for action in COMPARE_ACTIONS]

    def __init__(self, choices: Choices, prompt: str | None) -> None:
        super().__init__()
        self.choices = choices
        self.comparison: Comparison | None = None
        self.prompt_given = prompt or ""
        self._dirty = False
        self._live = False
        self._phase_shown: Phase | None = None
        self._timer: Timer | None = None

    @property
    def session(self) -> Session:
        """The app's engine."""
        return cast("GeluApp", self.app).session

    def compose(self) -> ComposeResult:
        """Prompt, settings, panes, notice, status, footer."""
        yield Prompt(self.prompt_given)
        yield Static(id="settings", markup=False)
        yield PaneGrid()
        yield Notice()
        yield StatusLine()
        yield Footer()
        yield Static(id="too-small", markup=False)

    async def on_mount(self) -> None:
        """Show the choices, and begin to look at the engine."""
        self._timer = self.set_interval(1 / REFRESH_HZ, self._tick)
        self.app.theme_changed_signal.subscribe(self, lambda _: self._draw())
        await self.show_choices()

    # --- what the user does -------------------------------------------------------------------

    @on(Prompt.Submitted)
    async def action_run(self) -> None:
        """Run the prompt, now or as soon as the engine can."""
        try:
            command = self.choices.command(self.query_one(Prompt).text)
        except GeluError as error:
            self.query_one(Notice).show_error(error.info)
            return
        notice = self.query_one(Notice)
        notice.clear()
        if not await self.session.run(command):
            cast("GeluApp", self.app).start_engine()
        if self.session.pending is not None:
            notice.say(
                "The run is queued: it starts when the last one has stopped."
                if self.session.phase is Phase.STOPPING
                else "The run is queued: it starts as soon as the model is ready."
            )
        self.phase_changed()

    async def action_stop(self) -> None:
        """Stop what is going on; a second time, end an engine that does not answer."""
        session = self.session
        if session.pending is not None and session.phase in (Phase.STARTING, Phase.LOADING):
            session.pending = None
            self.query_one(Notice).say("The queued run is withdrawn; the model goes on loading.")
        elif session.phase is Phase.STOPPING:
            self.action_reload()
        else:
            await session.stop()
        self.phase_changed()

    def action_reload(self) -> None:
        """Start the engine anew; what was shown stays."""
        self._end_run()
        self.query_one(Notice).clear()
        cast("GeluApp", self.app).start_engine()
        self.phase_changed()

    def action_activations(self) -> None:
        """Choose the functions of the next run."""
        from gelu_tui.tui.screens.activations import ActivationsScreen

        native = self.session.loaded.model.native_activation if self.session.loaded else None
        self.app.push_screen(ActivationsScreen(self.choices, native), self._chosen)

    async def _chosen(self, choices: Choices | None) -> None:
        if choices is not None:
            await self.choose(choices)

    def action_help(self) -> None:
        """Show the keys."""
        from gelu_tui.tui.screens.help import HelpScreen

        self.app.push_screen(HelpScreen())

    async def action_reference(self) -> None:
        """Make the focused pane the reference of the next run."""
        focused = self.focused
        pane = (
            next((node for node in focused.ancestors if isinstance(node, StreamPane)), None)
            if (focused)
            else None
        )
        if pane is not None and pane.variant_name in [v.name for v in self.choices.variants()]:
            await self.choose(replace(self.choices, reference=pane.variant_name))

    def setting_commands(self) -> Iterator[SystemCommand]:
        """The settings of the next run that have no key, for the command palette."""
        for title, explanation, choices in setting_variations(self.choices):
            yield SystemCommand(title, explanation, partial(self.choose, choices))

    async def choose(self, choices: Choices) -> None:
        """Take new choices for the next run."""
        self.choices = choices
        await self.show_choices()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """`stop` is greyed while there is nothing to stop."""
        if action == "stop" and self.session.phase not in BUSY:
            return None
        return True

    def say(self, sentence: str) -> None:
        """Show one plain sentence."""
        self.query_one(Notice).say(sentence)

    # --- what the engine says -----------------------------------------------------------------

    async def engine_event(self, event: p.AnyEvent) -> None:
        """Take in one event that the session has already seen. Raises `ProtocolError`."""
        match event:
            case p.Loaded():
                self.query_one(Notice).clear_news()
                if self.comparison is None:
                    await self.show_choices()
            case p.Started():
                await self._begin(event)
            case p.Failed():
                self._end_run()
                more = "F5 loads it again." if self.session.phase is Phase.NO_MODEL else ""
                self.query_one(Notice).show_error(event.error, more)
            case p.Cancelled():
                self.query_one(Notice).say("The load was stopped. F5 loads the model again.")
            case _ if self.comparison is not None and self._live:
                self.comparison.apply(event)
                self._dirty = True
                if isinstance(event, p.Finished):
                    self._finish(event)
            case _:
                pass
        self.phase_changed()

    def engine_lost(self, error: ErrorInfo) -> None:
        """The engine is gone: keep what was shown, say why, offer a new one."""
        self._end_run()
        self.query_one(Notice).show_error(error, "F5 or a run starts a new engine.")
        self.phase_changed()

    async def _begin(self, started: p.Started) -> None:
        self.comparison = Comparison.begin(started)
        self._live = True
        grid = self.query_one(PaneGrid)
        if len(grid.panes) != len(self.comparison.streams):
            self.minimize()
        await grid.set_count(len(self.comparison.streams))
        # Not strict: the app may be closing, and then the panes are gone.
        for pane, stream in zip(grid.panes, self.comparison.streams, strict=False):
            pane.begin(stream)
        self.query_one("#settings", Static).update(labels.settings(self.choices, self.comparison))
        self.query_one(Notice).clear()
        self._draw()

    def _finish(self, finished: p.Finished) -> None:
        self._end_run()
        if finished.error is not None:
            self.query_one(Notice).show_error(finished.error)
        else:
            self.query_one(Notice).clear_news()

    def _end_run(self) -> None:
        if self._live:
            self._live = False
            self._draw()

    # --- what is drawn ------------------------------------------------------------------------

    async def show_choices(self) -> None:
        """Write the settings, and the functions as empty panes unless a comparison is shown."""
        self.query_one("#settings", Static).update(labels.settings(self.choices, self.comparison))
        if self.comparison is not None:
            return
        variants = self.choices.variants()
        grid = self.query_one(PaneGrid)
        await grid.set_count(len(variants))
        loaded = self.session.loaded
        native = loaded.model.native_activation if loaded else ""
        for pane, variant in zip(grid.panes, variants, strict=False):
            info = variant.info(self.choices.activation_precision, native)
            pane.announce(info.name, info.formula, native=info.native)

    def phase_changed(self) -> None:
        """Bring status line, footer and timer up to date; cheap while the phase stays."""
        phase = self.session.phase
        if phase is self._phase_shown:
            return
        self._phase_shown = phase
        self._show_status()
        self.refresh_bindings()
        if self._timer is not None:
            (self._timer.resume if self.session.phase in BUSY else self._timer.pause)()

    def _tick(self) -> None:
        if self._dirty:
            self._draw()
        self._show_status()
        if self.session.phase is Phase.STOPPING and self.session.phase_s > STOP_GRACE_S:
            self.query_one(Notice).say(
                f"The engine has not stopped for {self.session.phase_s:.0f} s. "
                "Ctrl+G once more ends it and starts a new one."
            )

    def _draw(self) -> None:
        self._dirty = False
        if self.comparison is None:
            return
        with self.app.batch_update():
            panes = self.query_one(PaneGrid).panes
            for pane, stream in zip(panes, self.comparison.streams, strict=False):
                pane.show(stream, self.comparison, running=self._live)

    def _show_status(self) -> None:
        totals = labels.totals(self.comparison) if self.comparison is not None else ""
        self.query_one(StatusLine).show(self._status_text(), totals)

    def _status_text(self) -> str:
        session = self.session
        since = f" · {session.phase_s:.0f} s" if session.phase_s >= 1 else ""
        silent = f" · silent for {session.silent_s:.0f} s" if session.silent_s > SILENCE_S else ""
        if session.progress is not None:
            waiting = since if session.phase is Phase.LOADING else silent
            return labels.progress(session.progress) + waiting
        if session.loaded is not None:
            schedule = (self.comparison.started if self.comparison else self.choices).schedule
            doing = {Phase.READY: "ready", Phase.RUNNING: "running"}.get(session.phase, "stopping")
            quiet = silent if session.phase in BUSY else ""
            return f"{doing}{quiet} · {labels.model(session.loaded, schedule)}"
        model = visible_line(session.model)
        return {
            Phase.STARTING: f"Starting the engine{since}",
            Phase.LOADING: f"Loading {model}{since}",
            Phase.STOPPING: f"Stopping{since}",
            Phase.NO_MODEL: f"{model} is not loaded",
        }.get(session.phase, "No engine")

    def on_resize(self, event: Resize) -> None:
        """Ask for more room where the screen could not be used."""
        width, height = event.size
        self.set_class(width < MIN_COLUMNS or height < MIN_ROWS, "-too-small")
        self.query_one("#too-small", Static).update(
            f"More room, please:\nat least {MIN_COLUMNS} × {MIN_ROWS}.\n"
            f"This terminal is {width} × {height}."
        )
