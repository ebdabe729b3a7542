"""The scoring of a text by the app's engine: asked for, stopped, and what the engine says of it."""

from __future__ import annotations

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.tui.lab.engine_job import EngineJob
from gelu_tui.tui.lab.text_scoring import Candidates, ShownText


class TextScorer(EngineJob[ShownText]):
    """Keeps the scoring that is shown, and asks for the candidates of its tokens."""

    _question: p.Candidates | None = None
    _question_id = 0  # where it waits behind the scoring

    async def ask(self, token: int, variant: int) -> None:
        """Ask for the candidates of a token. Raises `GeluError` where there can be none."""
        shown = self.shown
        command = None if shown is None else shown.candidates_command(token, variant)
        if shown is None or command is None:
            scoring = None if shown is None else shown.state
            message = "This token is not predicted: nothing is before it in its window."
            if scoring is not None and variant == scoring.started.reference:
                message = "Candidates are those of the reference and another function."
            raise GeluError("no_candidates", message, "Choose another.")
        shown.candidates = Candidates(token, variant)
        self._question, self._question_id = command, 0
        if shown.is_live:
            self._question_id = await self._engine.send(command)
            return
        self._check_free()
        await self._run(command)

    def take(self, event: p.Event) -> bool:
        """Apply an event of the engine; return whether it was an answer to this alone.

        Raises `ProtocolError`.
        """
        if self._take_candidates(event):
            self._changed()
            return True
        return super().take(event)

    def lost(self, error: ErrorInfo) -> None:
        """The engine has died: what was scored stays."""
        if self._question is not None:
            self._answer(error=error)
        super().lost(error)

    def _take_candidates(self, event: p.Event) -> bool:
        if self._question is None or self.shown is None:
            return False
        is_ours = self._engine.command is self._question or (
            self._question_id and event.id == self._question_id
        )
        match event:
            case p.CandidatesFound() if is_ours:
                self._answer(found=event)
            case p.Failed(error) if is_ours or self._engine.loaded is None:
                self._answer(error=error)
                return bool(is_ours)
            case p.Cancelled() if is_ours or self._engine.loaded is None:
                self._answer(error=ErrorInfo("cancelled", "The question was stopped."))
                return bool(is_ours)
            case _:
                return False
        return True

    def _answer(
        self, found: p.CandidatesFound | None = None, error: ErrorInfo | None = None
    ) -> None:
        self._question = None
        if self.shown is not None and (asked := self.shown.candidates) is not None:
            self.shown.candidates = Candidates(asked.token, asked.variant, found, error)
