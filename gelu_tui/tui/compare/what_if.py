"""What if: the engine tries the reference's token at a fork of the run that is shown."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.reports.progress import progress_sentence
from gelu_tui.tui.compare.running_screen import RunningScreen
from gelu_tui.tui.engine_link.session import BUSY, EngineLink
from gelu_tui.tui.engine_link.shown_run import ShownRun


@dataclass
class Trying:
    """A stream that was given the reference's token, before there is an answer.

    `why_not` is why there will be none; `texts` are those of its new tokens.
    """

    comparison: Comparison
    stream: int
    texts: list[str] = field(default_factory=list)
    doing: str = ""
    why_not: str = ""


class AskWhatIf:
    """Asks the engine, and finds the run that its answers belong to."""

    def __init__(self, screen: RunningScreen, engine: EngineLink) -> None:
        self._screen, self._engine = screen, engine
        self._command: p.WhatIf | None = None
        self._shown: ShownRun | None = None
        self._trying: Trying | None = None

    async def ask(self, stream: int) -> None:
        """Try the fork of a stream of the run on the screen; stop where that is being done."""
        if (shown := self._screen.shown) is None:
            return
        if self._is_asked and self._trying is not None and not self._trying.why_not:
            if self._engine.pending is self._command:
                self._engine.withdraw()
                self._trying.why_not = "It is withdrawn: w asks again."
            else:
                await self._engine.stop()
            return
        self._trying = trying = Trying(shown.comparison, stream)
        if shown.live:
            trying.why_not = "The run has not ended yet: w works when it has."
            return
        from gelu_tui.core.runs.going_on import what_if_command

        try:
            document = shown.document()
            command = await asyncio.to_thread(what_if_command, document, shown.comparison, stream)
        except GeluError as error:
            trying.why_not = str(error)
            return
        self._command, self._shown = command, shown
        if not await self._screen.run_command(command, "w again"):
            trying.why_not = "Another run goes on; w again stops it for this, and it is kept."

    def trying(self, comparison: Comparison) -> Trying | None:
        """What is being tried of a comparison, or why it is not; None once it is answered."""
        trying = self._trying
        if trying is None or trying.comparison is not comparison:
            return None
        if not trying.why_not:
            if not self._is_asked:
                return None
            progress = self._engine.progress
            trying.doing = progress_sentence(progress) if progress else "Waiting for the model"
        return trying

    @property
    def _is_asked(self) -> bool:
        """Whether the engine works at it, or will."""
        engine = self._engine
        is_present = engine.command is self._command and engine.phase in BUSY
        return self._command is not None and (engine.pending is self._command or is_present)

    @property
    def tried(self) -> ShownRun | None:
        """The run about which the engine is asked, or was last."""
        asked = self._command is not None and self._engine.command is self._command
        return self._shown if asked else None

    def take(self, event: p.Event) -> bool:
        """Apply an answer; return whether it was one. Raises `ProtocolError`."""
        shown, trying = self.tried, self._trying
        if shown is None or trying is None:
            return False
        match event:
            case p.WhatIfStep():
                trying.texts += [s.text for s in event.streams if s.stream == trying.stream]
            case p.WhatIfAnswered():
                shown.change(event)
                shown.comparison.check()
                self._trying = None
            case p.SelfChecked():
                shown.change(event)
            case p.Failed():
                self.lose(event.error)
            case p.Cancelled():
                trying.why_not = "It was stopped before there was an answer."
            case _:
                return False
        return True

    def lose(self, error: ErrorInfo) -> None:
        """Tell why there will be no answer, where one is waited for."""
        if self._trying is not None and self._command is not None:
            self._trying.why_not = self._trying.why_not or f"{error.message} {error.hint}".strip()
