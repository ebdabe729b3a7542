"""What can be asked of a run that has ended: to go on, and to be replayed."""

from __future__ import annotations

import asyncio

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.tui.compare.running_screen import RunningScreen
from gelu_tui.tui.engine_link.session import EngineLink
from gelu_tui.tui.engine_link.shown_run import ShownRun

_BUSY = ErrorInfo("busy", "another run goes on: ask again when it has ended")


class EndedRun:
    """Asks the engine, and finds the run that its answers belong to."""

    def __init__(self, screen: RunningScreen, engine: EngineLink) -> None:
        self._screen, self._engine = screen, engine
        self._to_go_on: tuple[p.Continue, Comparison, ShownRun] | None = None
        self._replayed: tuple[p.Replay, ShownRun] | None = None

    async def go_on(self) -> None:
        """Let the run on the screen go on where it ended."""
        from gelu_tui.core.runs.going_on import go_on, limit_of_more

        shown, notice = self._screen.shown, self._screen.notice
        if shown is None or shown.live:
            none = "There is no run to continue: type a prompt, Enter runs it."
            notice.show_message(none if shown is None else "The run has not ended yet.")
            return
        document = shown.document()
        limit = limit_of_more(document, self._screen.choices.max_tokens)
        try:
            command, comparison = await asyncio.to_thread(go_on, document, limit)
        except GeluError as error:
            notice.show_error(error.info)
            return
        self._to_go_on = (command, comparison, shown)
        await self._screen.run_command(command, "k again")

    def begun(self, started: p.Started, loaded: p.Loaded) -> ShownRun | None:
        """The run that goes on now; None if this is the start of a new one."""
        if self._to_go_on is None or self._engine.command is not self._to_go_on[0]:
            return None
        _, comparison, before = self._to_go_on
        comparison.settings = started.settings
        return before.going_on(comparison, loaded)

    async def replay(self) -> None:
        """Replay the forks of the run on the screen; while it goes on, those found so far."""
        from gelu_tui.core.runs.going_on import replay_command

        if (shown := self._screen.shown) is None:
            return
        if shown.live:
            await self._engine.send(p.Replay())
            return
        try:
            command = replay_command(shown.document(), shown.comparison)
        except GeluError as error:
            _tell_why_not(shown, error.info)
            return
        self._replayed = (command, shown)
        if not await self._screen.run_command(command, "r again"):
            _tell_why_not(shown, _BUSY)

    @property
    def replayed(self) -> ShownRun | None:
        """The run whose forks the engine replays, or has just replayed."""
        if self._replayed is None or self._engine.command is not self._replayed[0]:
            return None
        return self._replayed[1]

    def take(self, event: p.Event) -> bool:
        """Apply an answer to a replay; return whether it was one."""
        if (shown := self.replayed) is None:
            return False
        match event:
            case p.ForkReplayed() | p.SelfChecked():
                shown.change(event)
            case p.Failed():
                _tell_why_not(shown, event.error)
            case p.Cancelled():
                _tell_why_not(shown, ErrorInfo("cancelled", "its replay was stopped"))
            case _:
                return False
        return True


def _tell_why_not(shown: ShownRun, error: ErrorInfo) -> None:
    """Give every fork without a verdict the reason."""
    for index, stream in enumerate(shown.comparison.streams):
        if stream.fork is not None and stream.fork.verdict == "unverified":
            reason = error.message.rstrip(".")
            shown.comparison.apply(p.ForkReplayed(index, "unverified", reason))
