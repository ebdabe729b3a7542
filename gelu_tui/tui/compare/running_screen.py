"""What the engine runs: begun, replaced, stopped, and loaded anew, each after a question."""

from __future__ import annotations

from abc import abstractmethod

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.tui.compare.board import Board
from gelu_tui.tui.compare.choosing_screen import ChoosingScreen
from gelu_tui.tui.engine_link.session import Phase
from gelu_tui.tui.services import Services


class RunningScreen(ChoosingScreen):
    """The panes and the choices, and what begins and ends runs; their events are the subclass's."""

    def __init__(self, services: Services, choices: RunSettings, board: Board) -> None:
        super().__init__(services, choices, board)
        self._replaced = False  # a run was stopped to make room for the queued one

    async def run_command(self, command: p.Command, again: str) -> bool:
        """Run a command, now or as soon as the engine can; return whether that is done.

        While another run goes on, that one is replaced only if the user asks once more: `again`
        says by which key.
        """
        if not self._confirmed("replace", again, "replaces it; the old one is"):
            return False
        self.notice.clear()
        self._replaced = self.live
        if not await self._engine.run(command):
            self._services.start_engine()
        if self._engine.pending is not None:
            stopping = self._engine.phase is Phase.STOPPING
            when = "when the last one has stopped" if stopping else "as soon as the model is ready"
            self.notice.show_message(f"The run is queued: it starts {when}.", "queue", stays=True)
        self._phase_changed()
        return True

    def _confirmed(self, about: str, again: str, what: str) -> bool:
        """Whether the present run or sweep may be ended: none goes on, or this is the second time.

        The first time a notice says `what` doing it `again` does to the run, which is kept or not.
        """
        if self._services.running_sweep is not None and self.notice.about != about:
            message = f"A sweep is running. {again} stops it for this; it keeps what is finished."
            self.notice.show_message(message, about)
            return False
        if self._engine.phase is not Phase.RUNNING or self.notice.about == about:
            return True
        kept = "kept in the history" if self._services.history is not None else "not saved"
        self.notice.show_message(f"A run is going on. {again} {what} {kept}.", about)
        return False

    async def action_stop(self) -> None:
        """Stop the load or run; a second time, end an engine that does not answer."""
        engine = self._engine
        if engine.phase in (Phase.STARTING, Phase.LOADING) and engine.withdraw():
            self.notice.show_message(
                "The queued run is withdrawn; the model goes on loading.", "loading"
            )
        elif engine.phase is Phase.STOPPING:
            self.reload()
        else:
            await engine.stop()
        self._phase_changed()

    def action_reload(self) -> None:
        """Load the model again; while a run goes on, only if the user asks once more."""
        if self._confirmed("reload", "F5 again", "loads the model anew; the run stops and is"):
            self.reload()

    def reload(self) -> None:
        """Start a new engine; the comparison on the screen stays."""
        self._end_run()
        self.notice.clear()
        if self._services.running_sweep is not None:
            self.notice.show_message("The sweep is stopped; what is finished is kept.")
        self._services.start_engine()
        self._phase_changed()

    @abstractmethod
    def _end_run(self, error: ErrorInfo | None = None) -> None:
        """End the run on the screen, which may have an `error`, and keep it."""

    @abstractmethod
    def _phase_changed(self) -> None:
        """Show what the engine does now."""
