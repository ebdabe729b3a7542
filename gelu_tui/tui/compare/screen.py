"""The first screen: a prompt, the chosen functions, and their streams side by side."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.events import Key, Paste, Resize
from textual.reactive import Reactive
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Static

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.protocol.requests import compare_command
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.tui.compare import labels
from gelu_tui.tui.compare.board import Board
from gelu_tui.tui.compare.choices import like
from gelu_tui.tui.compare.ended_run import EndedRun
from gelu_tui.tui.compare.key_line import KeyLine
from gelu_tui.tui.compare.layout import MIN_COLUMNS, MIN_ROWS
from gelu_tui.tui.compare.prompt import Prompt
from gelu_tui.tui.compare.running_screen import RunningScreen
from gelu_tui.tui.compare.status_line import StatusLine, status_texts
from gelu_tui.tui.compare.what_if import AskWhatIf
from gelu_tui.tui.engine_link.session import BUSY, Phase
from gelu_tui.tui.engine_link.shown_run import RunSaved, ShownRun
from gelu_tui.tui.keys.actions import COMPARE_ACTIONS, NEXT_FORK, PANE_LINE, PROMPT_LINE
from gelu_tui.tui.services import Services
from gelu_tui.tui.terminal.frame_scheduler import NUMBERS_HZ, Frames
from gelu_tui.tui.text_view.pane import TokenPane
from gelu_tui.tui.widgets.kept_lines import KeptLines

if TYPE_CHECKING:
    from gelu_tui.core.runs.document import ComparisonDocument

_PROMPT_ERRORS = ("empty_prompt", "encoding")  # gone as soon as the prompt changes
_HIGH = 36  # rows from which a long prompt may take more of them
_STOP_GRACE_S = 3.0  # after this an engine that does not stop may be ended by one key

_SAVED = "This is a saved run. Enter in the prompt runs the prompt again."


class CompareScreen(KeptLines, RunningScreen):
    """Owns what is shown: the choices of the next run and the comparison of the last one."""

    BINDINGS: ClassVar = [
        *(action.binding() for action in (*COMPARE_ACTIONS, NEXT_FORK) if action.keys),
        Binding("escape", "back", "Back to the sweep", show=False),
    ]
    ESCAPE_TO_MINIMIZE = False  # one too many after a dialog would restore all panes
    ALLOW_IN_MAXIMIZED_VIEW = "InfoLine, Legend, Notice, StatusLine, KeyLine"

    # Textual's own redraws the whole screen whenever the focus moves: 10 KiB on a slow line.
    focused: Reactive[Widget | None] = Reactive(None, repaint=False)

    def __init__(
        self, services: Services, choices: RunSettings, board: Board, prompt: str = ""
    ) -> None:
        super().__init__(services, choices, board)
        self.taken_from: RunSettings | None = None  # the saved run whose settings were taken last
        self.mounted = asyncio.Event()  # with all that it begins with
        self.prompt, self._status, self._keys = Prompt(prompt), StatusLine(), KeyLine()
        gate = services.gate
        hz = services.settings.refresh
        self._frames = Frames(self, hz, lambda: gate.may_draw(), self._draw)
        self.ended = EndedRun(self, services.engine)
        self.what_if = AskWhatIf(self, services.engine)
        self._returned = False  # from another screen, and no key was pressed since
        self._back: Callable[[], object] | None = None  # to where the shown run was opened
        self._unsaved: set[ShownRun] = set()  # runs that have ended
        self._findings: list[str] = []  # sentences about the run that finished last
        self._phase_shown: Phase | None = None
        self._beats: Timer | None = None

    def compose(self) -> ComposeResult:
        yield from (self.prompt, self._info, self.board, self._legend, self.notice)
        yield from (self._status, self._keys)
        yield Static(id="too-small", markup=False)

    async def on_mount(self) -> None:
        self._beats = self.set_interval(1 / NUMBERS_HZ, self._beat)
        await self._show_choices()
        self._show_legend()
        self.mounted.set()

    # --- what the user does -------------------------------------------------------------------

    async def action_run(self) -> None:
        await self._run(self.prompt.prompt, "Ctrl+R again")

    @on(Prompt.Submitted)
    async def _submitted(self, message: Prompt.Submitted) -> None:
        await self._run(message.prompt, "Enter again")

    async def _run(self, prompt: str, again: str) -> None:
        try:
            command = compare_command(prompt, self.choices)
        except GeluError as error:
            self.notice.show_error(error.info)
            return
        if await self.run_command(command, again):
            self.prompt.remember(prompt)

    async def action_continue_run(self) -> None:
        await self.ended.go_on()

    @on(TokenPane.Chosen)
    async def _open_fork(self) -> None:
        await self.run_action("app.open('fork')")

    def action_to_prompt(self) -> None:
        """Type in the prompt."""
        if self.maximized is not None:
            self.minimize()  # the prompt is hidden behind the pane
        self.prompt.focus()

    def action_fork_step(self, by: int) -> None:
        """Point at the next or the previous fork of all panes."""
        self.board.fork_step(by)

    def take_prompt(self, text: str) -> None:
        """Replace the prompt in the field, and focus it."""
        self.prompt.take(text)
        self.prompt.focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """`stop` is greyed while there is nothing to stop, and there may be no way back."""
        if action == "back":
            return self._back is not None and not self.board.spared
        return None if action == "stop" and self._engine.phase not in BUSY else True

    @on(Prompt.Changed)
    def _prompt_changed(self) -> None:
        self.notice.end(*_PROMPT_ERRORS)

    def on_screen_suspend(self) -> None:
        self._returned = True

    def on_key(self, event: Key) -> None:
        """An Escape too many after another screen clears nothing. Bindings run after this."""
        self.board.spared = self._returned and event.key == "escape"
        self._returned = False

    def on_paste(self, event: Paste) -> None:
        """Text that is pasted while a pane has the focus is meant for the prompt."""
        if self.board.has_focus_within:
            event.stop()
            self.prompt.focus()
            self.prompt.post_message(event)

    def action_back(self) -> None:
        """Go back to where the run on the screen was opened."""
        back, self._back = self._back, None
        if back is not None:
            back()

    def phase_changed(self) -> None:
        """Show that the engine does something else, which is no run."""
        self._phase_changed()

    def sweep_changed(self) -> None:
        """Show how far the sweep is that the app runs."""
        self._phase_changed()
        self._show_status()

    # --- events of the engine -----------------------------------------------------------------

    async def engine_event(self, event: p.Event) -> None:
        """Apply an event that the engine link has already seen. Raises `ProtocolError`."""
        if self.ended.take(event) or self.what_if.take(event):
            self._frames.want()
        match event:
            case p.Loaded():
                self.notice.end("loading")
                if event.model.warnings:
                    self.notice.show_message(" ".join(event.model.warnings))
                await self._show_choices()
            case p.Started():
                await self._begin(event)
            case p.Failed():
                self._end_run(event.error)
                hint = "F5 loads it again." if self._engine.phase is Phase.NO_MODEL else ""
                self.notice.show_error(event.error, hint)
            case p.Cancelled(command="load"):
                self.notice.show_message("The load was stopped. F5 loads the model again.")
            case p.Cancelled():
                if self._engine.phase is not Phase.RUNNING:  # else it made room for a queued run
                    self.notice.show_message("The run was stopped before it began.")
            case p.Replayed():
                if (replayed := self.ended.replayed) is not None:
                    self.run_worker(self._save(replayed), group="save")
            case p.WhatIfEnded():
                if (tried := self.what_if.tried) is not None:
                    self.run_worker(self._save(tried), group="save")
            case _ if self.shown is not None and self.live:
                self.shown.comparison.apply(event)
                self._frames.want()
                if isinstance(event, p.ForkFound):
                    self.notice.end("forks")
                if isinstance(event, p.Finished):
                    self.shown.comparison.check()
                    self._finish(self.shown, event)
        self._phase_changed()

    def engine_lost(self, error: ErrorInfo) -> None:
        """Keep the comparison on the screen, show why the engine is gone, offer a new one."""
        self._end_run(error)
        self.what_if.lose(error)
        self.notice.show_error(error, "F5 or a run starts a new engine.")
        self._phase_changed()

    async def _begin(self, started: p.Started) -> None:
        if self._engine.loaded is None:
            raise p.ProtocolError("The engine began a comparison without a model.")
        comparison = Comparison.begin(started)
        comparison.check()
        loaded = self._engine.loaded
        new = self.ended.begun(started, loaded)
        self._back = None
        await self._show(new or ShownRun(comparison, loaded, self._services.history))
        self.notice.end("search", "forks", "findings")  # they were about the streams before
        if self._replaced:
            self._replaced = False
            kept = "; it is in the history" if self._services.history is not None else ""
            self.notice.show_message(f"The previous run was stopped for this one{kept}.")

    async def _show(self, shown: ShownRun) -> None:
        if len(self.board.panes) != len(shown.comparison.streams):
            self.minimize()
        self.shown = shown
        await self.board.begin(shown.comparison)
        self._info.show_token(None)
        self._show_legend()
        self._show_settings()
        self._frames.now()
        self._show_keys()

    async def show_saved(
        self,
        saved: ComparisonDocument,
        message: str = _SAVED,
        number: int | None = None,
        back: Callable[[], object] | None = None,
    ) -> None:
        """Show a saved comparison, which needs no model, and `message`; `number` is its id.

        Escape calls `back`, if it is given, once there is nothing else to clear.
        """
        gone = "The queued run is withdrawn. " if self._engine.withdraw() else ""
        if self.live:
            gone = "The present run was stopped. "
            await self._engine.stop()
            self._end_run()
        self.prompt.take(saved.prompt)
        # on a thread, as it checks formulas
        self.choices = await asyncio.to_thread(like, self.choices, saved)
        self.taken_from = saved.settings
        await self._show(ShownRun.reopened(saved, self._services.history, number))
        self.notice.show_message(f"{gone}{message}")
        self._back, self._returned = back, self._returned and back is None
        if self.board.chosen_pane is not None:
            self.board.chosen_pane.tokens.focus()

    def _finish(self, shown: ShownRun, finished: p.Finished) -> None:
        from gelu_tui.core.reports.noise_sentences import suspicions  # not before the first frame
        from gelu_tui.core.reports.repetition_sentences import repetition_sentences

        self._end_run()
        if finished.error is not None:
            self.notice.show_error(finished.error)
            return
        document = shown.document()
        repetitions = repetition_sentences(document)
        if repetitions and not document.settings.stop_repeats:
            repetitions.append("“Turn stopping at repetition on” (Ctrl+P) ends such streams there.")
        self._findings = [*suspicions(document), *repetitions]
        self._show_findings()

    def _show_findings(self) -> None:
        """Say what was found in the finished run, and which forks cannot be seen."""
        where = labels.forks_out_of_view(self.board.forks_out_of_view())
        if sentences := [*where, *self._findings]:
            self.notice.show_message(" ".join(sentences), "findings")
        else:
            self.notice.end("findings")

    @on(TokenPane.Resized)
    def _update_findings(self) -> None:
        """Count the forks again, also where the sentence itself took the rows of one."""
        if self.notice.about == "findings":
            self._show_findings()

    def _end_run(self, error: ErrorInfo | None = None) -> None:
        if self.shown is not None and self.shown.live:
            self.shown.end(error)
            self._frames.now()
            self.run_worker(self._save(self.shown), group="save")

    async def _save(self, shown: ShownRun) -> None:
        self._unsaved.add(shown)
        await shown.save(self._tell)
        self._unsaved.discard(shown)
        if self.is_running:
            for screen in self.app.screen_stack:  # help may be open over the history
                screen.post_message(RunSaved())

    def _tell(self, what: ErrorInfo | str) -> None:
        if self.is_running:
            show = self.notice.show_message if isinstance(what, str) else self.notice.show_error
            show(what)  # type: ignore[arg-type]

    def save_now(self) -> None:
        """Save what is not saved yet, before the app ends."""
        for run in self._unsaved | ({self.shown} if self.shown is not None else set()):
            run.save_now()

    # --- what is drawn ------------------------------------------------------------------------

    def _phase_changed(self) -> None:
        """Update status line, notice, keys and timer; cheap while the phase stays."""
        phase = self._engine.phase
        if phase is self._phase_shown:
            return
        self._phase_shown = phase
        if phase is not Phase.STOPPING:
            self.notice.end("stopping")
        if phase is not Phase.RUNNING:
            self.notice.end("replace", "reload")
        if self._engine.pending is None:
            self.notice.end("queue")
        self._show_status()
        self._show_keys()
        if self._beats is not None:
            (self._beats.resume if phase in BUSY else self._beats.pause)()

    def on_descendant_focus(self) -> None:
        self._show_keys()

    def _show_keys(self) -> None:
        """Show the keys that matter where the focus is."""
        off = set() if self._engine.phase in BUSY else {"stop"}
        if self.shown is None:
            off |= {"fork", "next_fork", "matrix"}
        in_panes = self.board.has_focus_within
        actions = PANE_LINE if in_panes else PROMPT_LINE
        self._keys.show(actions, self._services.user_keys, off, typing=not in_panes)

    def _beat(self) -> None:
        """Draw what changes with time, whether or not the engine sends events; keep the run."""
        if self.shown is not None and self.shown.live:
            self.shown.keep()
        self._frames.beat()
        if self._frames.numbers_late and self._services.gate.may_draw():
            self._show_status()
        if self._engine.phase is Phase.STOPPING and self._engine.phase_s > _STOP_GRACE_S:
            self.notice.show_message(
                f"The engine has not stopped for {self._engine.phase_s:.0f} s. "
                "Ctrl+G once more ends it and starts a new one.",
                "stopping",
                stays=True,
            )

    def _draw(self, numbers: bool) -> None:
        with self.app.batch_update():
            self.board.show(running=self.live, numbers=numbers)
        if numbers:
            self._show_status()
        self._services.gate.drawn()

    def _show_status(self) -> None:
        sweep = self._services.running_sweep
        texts = status_texts(self._engine, self.shown, sweep.status if sweep is not None else None)
        self._status.show(*texts)

    def on_resize(self, event: Resize) -> None:
        """Ask for more room where the screen could not be used."""
        width, height = event.size
        self.call_after_refresh(self._show_keys)
        self.set_class(width < MIN_COLUMNS or height < MIN_ROWS, "-too-small")
        self.set_class(height >= _HIGH, "-high")
        self.query_one("#too-small", Static).update(
            f"More room, please:\nat least {MIN_COLUMNS} × {MIN_ROWS}.\n"
            f"This terminal is {width} × {height}."
        )
