"""The first screen: a prompt, the chosen functions, and their streams side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from msgspec.structs import replace
from textual import on
from textual.app import ComposeResult, SystemCommand
from textual.events import Paste, Resize
from textual.reactive import Reactive
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.functions.variants import CONTROL
from gelu_tui.core.protocol.requests import compare_command
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.tui.compare import labels
from gelu_tui.tui.compare import status_texts as status
from gelu_tui.tui.compare.board import Board
from gelu_tui.tui.compare.choices import chosen_variants, like, setting_variations
from gelu_tui.tui.compare.info_line import InfoLine
from gelu_tui.tui.compare.key_line import KeyLine
from gelu_tui.tui.compare.layout import MIN_COLUMNS, MIN_ROWS
from gelu_tui.tui.compare.notice import Notice
from gelu_tui.tui.compare.prompt import Prompt
from gelu_tui.tui.compare.status_line import StatusLine
from gelu_tui.tui.compare.token_line import TellingScreen
from gelu_tui.tui.engine_link.messages import RunSaved
from gelu_tui.tui.engine_link.session import BUSY, Phase
from gelu_tui.tui.engine_link.shown_run import Shown
from gelu_tui.tui.keys.actions import COMPARE_ACTIONS, PANE_LINE, PROMPT_LINE
from gelu_tui.tui.services import Services
from gelu_tui.tui.terminal.frame_scheduler import NUMBERS_HZ, Frames
from gelu_tui.tui.text_view.pane import TokenPane
from gelu_tui.tui.widgets.kept_lines import KeptLines

if TYPE_CHECKING:
    from gelu_tui.core.runs.document import ComparisonDocument

_PROMPT_ERRORS = ("empty_prompt", "encoding")  # gone as soon as the prompt changes
STOP_GRACE_S = 3.0  # after this an engine that does not stop may be ended by one key

_SAVED = "This is a saved run. Enter in the prompt runs the prompt anew."


class CompareScreen(KeptLines, TellingScreen):
    """Owns what is shown: the choices of the next run and the comparison of the last one."""

    BINDINGS: ClassVar = [action.binding() for action in COMPARE_ACTIONS if action.keys]
    ALLOW_IN_MAXIMIZED_VIEW = "InfoLine, Notice, StatusLine, KeyLine"

    # Textual's own redraws the whole screen whenever the focus moves: 10 KiB on a slow line.
    focused: Reactive[Widget | None] = Reactive(None, repaint=False)

    def __init__(self, services: Services, choices: RunSettings, board: Board) -> None:
        super().__init__(board)
        self.choices = choices
        self.shown: Shown | None = None
        self.session = services.session
        self._services = services
        gate, hz = services.gate, services.options.settings.refresh
        self._frames = Frames(self, hz, lambda: gate.may_draw(), self._draw)
        self._replaced = False  # a run was stopped to make room for the queued one
        self._phase_shown: Phase | None = None
        self._beats: Timer | None = None

    @property
    def comparison(self) -> Comparison | None:
        """What the panes show."""
        return self.shown.comparison if self.shown is not None else None

    @property
    def live(self) -> bool:
        """Whether the comparison on the screen still grows."""
        return self.shown is not None and self.shown.live

    def compose(self) -> ComposeResult:
        """Prompt, one line of information, panes, notice, status, footer."""
        yield Prompt(self._services.options.prompt or "")
        yield InfoLine()
        yield self.board
        yield Notice()
        yield StatusLine()
        yield KeyLine()
        yield Static(id="too-small", markup=False)

    async def on_mount(self) -> None:
        """Show the choices, and begin to look at the engine."""
        self._beats = self.set_interval(1 / NUMBERS_HZ, self._beat)
        await self.show_choices()

    # --- what the user does -------------------------------------------------------------------

    @on(Prompt.Submitted)
    async def action_run(self) -> None:
        """Run the prompt, now or as soon as the engine can."""
        prompt = self.query_one(Prompt)
        try:
            command = compare_command(prompt.prompt, self.choices)
        except GeluError as error:
            self.query_one(Notice).show_error(error.info)
            return
        prompt.remember()
        await self.run_command(command)

    async def run_command(self, command: p.Compare) -> None:
        """Run a command, now or as soon as the engine can."""
        notice = self.query_one(Notice)
        notice.clear()
        self._replaced = self.live
        if not await self.session.run(command):
            self._services.start_engine()
        if self.session.pending is not None:
            notice.say(
                "The run is queued: it starts when the last one has stopped."
                if self.session.phase is Phase.STOPPING
                else "The run is queued: it starts as soon as the model is ready.",
                stays=True,
            )
        self.phase_changed()

    async def action_stop(self) -> None:
        """Stop what is going on; a second time, end an engine that does not answer."""
        session = self.session
        if session.phase in (Phase.STARTING, Phase.LOADING) and session.withdraw():
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
        self._services.start_engine()
        self.phase_changed()

    def setting_commands(self) -> Iterator[SystemCommand]:
        """The settings of the next run that have no key, for the command palette."""
        shown = self.comparison.settings if self.comparison is not None else None
        for title, explanation, choices in setting_variations(self.choices, shown):
            yield SystemCommand(title, explanation, partial(self._set, title, choices))

    async def _set(self, title: str, choices: RunSettings) -> None:
        await self.choose(choices)
        self.say(f"{title}, from the next run on.")

    async def choose(self, choices: RunSettings) -> None:
        """Take new choices for the next run."""
        self.choices = choices
        await self.show_choices()

    @on(Board.ReferenceChosen)
    async def _take_reference(self, message: Board.ReferenceChosen) -> None:
        names = [variant.name for variant in chosen_variants(self.choices)]
        if message.name in names:
            await self.choose(replace(self.choices, reference=message.name))
        seen = self.board.perspective
        if seen is not None:
            run = visible_line(seen.comparison.reference.name)
            kl = "" if seen.of_run else f" KL stays what the run measured, against {run}."
            self.say(f"Compared with {visible_line(message.name)} from here on.{kl}")

    @on(Board.Reordered)
    async def _take_order(self, message: Board.Reordered) -> None:
        specs = {variant.name: variant.spec for variant in chosen_variants(self.choices)}
        names = [name for name in message.names if name != CONTROL]  # it is no choice
        if sorted(names) == sorted(specs):
            ordered = tuple(specs[name] for name in names)
            self.choices = replace(self.choices, activations=ordered)

    @on(TokenPane.Chosen)
    async def _open_fork(self) -> None:
        await self.run_action("app.open('fork')")

    @property
    def prompt_text(self) -> str:
        """The prompt as it stands in the field."""
        return self.query_one(Prompt).prompt

    def recall(self, prompts: list[str]) -> None:
        """Prompts of earlier sessions, the newest first, for the Up key."""
        self.query_one(Prompt).recall(prompts)

    def take_prompt(self, text: str) -> None:
        """Put a text into the field."""
        prompt = self.query_one(Prompt)
        prompt.take(text)
        prompt.focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """`stop` is greyed while there is nothing to stop."""
        return None if action == "stop" and self.session.phase not in BUSY else True

    @on(Prompt.Changed)
    def _prompt_mended(self) -> None:
        notice = self.query_one(Notice)
        if notice.kind in _PROMPT_ERRORS:
            notice.clear()

    def hide_news(self) -> None:
        """Say nothing any more, unless it is an error."""
        self.query_one(Notice).clear_news()

    def on_paste(self, event: Paste) -> None:
        """What is pasted while a pane has the focus is meant for the prompt."""
        prompt = self.query_one(Prompt)
        if self.board.has_focus_within:
            event.stop()
            prompt.focus()
            prompt.post_message(event)

    def complain(self, error: ErrorInfo) -> None:
        """Show what went wrong."""
        self.query_one(Notice).show_error(error)

    # --- what the engine says -----------------------------------------------------------------

    async def engine_event(self, event: p.Event) -> None:
        """Take in one event that the session has already seen. Raises `ProtocolError`."""
        match event:
            case p.Loaded():
                self.query_one(Notice).clear_awaited()
                await self.show_choices()
            case p.Started():
                await self._begin(event)
            case p.Failed():
                self._end_run(event.error)
                more = "F5 loads it again." if self.session.phase is Phase.NO_MODEL else ""
                self.query_one(Notice).show_error(event.error, more)
            case p.Cancelled(command="load"):
                self.say("The load was stopped. F5 loads the model again.")
            case p.Cancelled():
                self.say("The run was stopped before it began.")
            case _ if self.shown is not None and self.live:
                self.shown.comparison.apply(event)
                self._frames.want()
                if isinstance(event, p.Finished):
                    self._finish(event)
            case _:
                pass
        self.phase_changed()

    def engine_lost(self, error: ErrorInfo) -> None:
        """The engine is gone: keep what was shown, say why, offer a new one."""
        self._end_run(error)
        self.query_one(Notice).show_error(error, "F5 or a run starts a new engine.")
        self.phase_changed()

    async def _begin(self, started: p.Started) -> None:
        if self.session.loaded is None:
            raise p.ProtocolError("The engine began a comparison without a model.")
        comparison = Comparison.begin(started)
        await self._show(Shown(comparison, self.session.loaded, self._services.history))
        self.query_one(Notice).clear_awaited()
        if self._replaced:
            self._replaced = False
            kept = "; it is in the history" if self._services.history is not None else ""
            self.say(f"The run before was stopped for this one{kept}.")

    async def _show(self, shown: Shown) -> None:
        if len(self.board.panes) != len(shown.comparison.streams):
            self.minimize()
        self.shown = shown
        await self.board.begin(shown.comparison)
        self.query_one(InfoLine).tell(None)
        self._show_settings()
        self._frames.now()
        self.show_keys()

    async def show_saved(self, saved: ComparisonDocument, said: str = _SAVED) -> None:
        """Show a saved comparison, and say so; it needs no model."""
        gone = "The queued run is withdrawn. " if self.session.withdraw() else ""
        if self.live:
            gone = "The run that went on was stopped. "
            await self.session.stop()
            self._end_run()
        self.query_one(Prompt).take(saved.prompt)
        # on a thread, as it checks formulas
        self.choices = await asyncio.to_thread(like, self.choices, saved)
        await self._show(Shown.reopened(saved))
        self.say(f"{gone}{said}")
        pane = self.board.chosen_pane
        if pane is not None:
            pane.tokens.focus()

    def _finish(self, finished: p.Finished) -> None:
        from gelu_tui.core.reports.noise_sentences import suspicions  # not before the first frame

        self._end_run()
        if finished.error is not None:
            self.query_one(Notice).show_error(finished.error)
        else:
            self.query_one(Notice).clear_awaited()
            if self.shown is not None and (said := suspicions(self.shown.document())):
                self.say(" ".join(said))

    def _end_run(self, error: ErrorInfo | None = None) -> None:
        if self.shown is not None and self.shown.live:
            self.shown.end(error)
            self._frames.now()
            self.run_worker(self._save(self.shown), group="save")

    async def _save(self, shown: Shown) -> None:
        problem = await shown.save()
        if not self.is_running:
            return
        for screen in self.app.screen_stack:  # help may stand over the history
            screen.post_message(RunSaved())
        if problem is not None:
            self.complain(problem)

    # --- what is drawn ------------------------------------------------------------------------

    async def show_choices(self) -> None:
        """Write the settings, and the functions as empty panes unless a comparison is shown."""
        self._show_settings()
        if self.shown is None:
            loaded = self.session.loaded
            native = loaded.model.native_activation if loaded else ""
            precision = self.choices.activation_precision
            chosen = chosen_variants(self.choices)
            await self.board.announce([p.VariantInfo.of(v, precision, native) for v in chosen])

    def _show_settings(self) -> None:
        text = labels.settings(self.choices, self.comparison, self.session.loaded)
        self.query_one(InfoLine).settle(text)

    def phase_changed(self) -> None:
        """Bring status line, footer and timer up to date; cheap while the phase stays."""
        phase = self.session.phase
        if phase is self._phase_shown:
            return
        self._phase_shown = phase
        self._show_status()
        self.show_keys()
        if self._beats is not None:
            (self._beats.resume if self.session.phase in BUSY else self._beats.pause)()

    def on_descendant_focus(self) -> None:
        """Another part of the screen, other keys."""
        self.show_keys()

    def show_keys(self) -> None:
        """The keys that matter where the focus is."""
        off = set() if self.session.phase in BUSY else {"stop"}
        if self.shown is None:
            off.add("fork")
        actions = PANE_LINE if self.board.has_focus_within else PROMPT_LINE
        self.query_one(KeyLine).show(actions, self._services.user_keys, off)

    def _beat(self) -> None:
        """What changes with time, whether or not the engine says anything."""
        self._frames.beat()
        if self._frames.numbers_late and self._services.gate.may_draw():
            self._show_status()
        if self.session.phase is Phase.STOPPING and self.session.phase_s > STOP_GRACE_S:
            self.query_one(Notice).say(
                f"The engine has not stopped for {self.session.phase_s:.0f} s. "
                "Ctrl+G once more ends it and starts a new one.",
                stays=True,
            )

    def _draw(self, numbers: bool) -> None:
        with self.app.batch_update():
            self.board.show(running=self.live, numbers=numbers)
        if numbers:
            self._show_status()
        self._services.gate.drawn()

    def _show_status(self) -> None:
        left, right = status.texts(self.session, self.shown)
        self.query_one(StatusLine).show(left, right)

    def on_resize(self, event: Resize) -> None:
        """Ask for more room where the screen could not be used."""
        width, height = event.size
        self.call_after_refresh(self.show_keys)
        self.set_class(width < MIN_COLUMNS or height < MIN_ROWS, "-too-small")
        self.query_one("#too-small", Static).update(
            f"More room, please:\nat least {MIN_COLUMNS} × {MIN_ROWS}.\n"
            f"This terminal is {width} × {height}."
        )
