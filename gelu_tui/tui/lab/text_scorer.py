"""The scoring of a text by the app's engine: asked for, stopped, and what the engine says of it."""

from __future__ import annotations

from collections.abc import Callable

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.settings.run_settings import Dtype
from gelu_tui.tui.engine_link.session import Phase
from gelu_tui.tui.lab.text_scoring import Asked, Candidates, ShownText
from gelu_tui.tui.services import Services

_BUSY = (Phase.RUNNING, Phase.STOPPING)


class TextScorer:
    """Keeps the last scoring, whether or not its screen is open.

    `load` loads another model in place of the app's. `on_change` is called when there is something
    new to show.
    """

    def __init__(self, services: Services, load: Callable[[str, Dtype | None], None]) -> None:
        self._services, self._engine, self._load = services, services.engine, load
        self.shown: ShownText | None = None
        self.on_change: Callable[[], object] = lambda: None
        self._job = 0  # the id of the scoring, once it has begun
        self._question: p.Candidates | None = None
        self._question_id = 0  # where it waits behind the scoring

    async def begin(self, asked: Asked) -> None:
        """Score a text, now or as soon as the model is loaded.

        Raises `GeluError` while the engine has other work.
        """
        self._check_free()
        self.shown, self._job = ShownText(asked), 0
        await self._run(asked.command)

    def open(self, shown: ShownText) -> None:
        """Show a scoring that was saved."""
        self.shown, self._job = shown, 0

    async def stop(self) -> None:
        """Stop the scoring; what there is stays."""
        if self.shown is None or not self.shown.is_live:
            return
        if self._engine.pending is self.shown.asked.command:
            self._engine.withdraw()
            self.shown.end("cancelled")
            self.on_change()
        else:
            await self._engine.stop()

    async def ask(self, token: int, variant: int) -> None:
        """Ask for the candidates of a token. Raises `GeluError` where there can be none."""
        shown = self.shown
        command = None if shown is None else shown.candidates_command(token, variant)
        if shown is None or command is None:
            scoring = None if shown is None else shown.scoring
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
            self.on_change()
            return True
        shown = self.shown
        if shown is None or not shown.is_live:
            return False
        command = shown.asked.command
        begins = isinstance(event, p.ScoreStarted) and self._engine.command is command
        if begins:
            self._job = event.id
        is_load = isinstance(event, p.Hello | p.Loaded)
        waits = self._engine.pending is command
        if is_load or waits:
            if isinstance(event, p.Progress):
                shown.progress = event
        elif (self._job and event.id == self._job) or self._engine.command is command:
            shown.apply(event, self._engine.loaded)
            self.on_change()
            return True
        elif isinstance(event, p.Failed):  # of the load
            shown.end("failed", event.error)
        elif isinstance(event, p.Cancelled):
            shown.end("cancelled")
        self.on_change()
        return False

    def lost(self, error: ErrorInfo) -> None:
        """The engine has died: what was scored stays."""
        if self.shown is not None:
            if self._question is not None:
                self._answer(error=error)
            self.shown.end("failed", error)
            self.on_change()

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

    def _check_free(self) -> None:
        if self._services.running_sweep is not None:
            message = "A sweep is running, and the model is in memory once."
            raise GeluError("busy", message, "Stop the sweep, or let it end.")
        if self._engine.phase in _BUSY or self._engine.pending is not None:
            raise GeluError("busy", "The engine is at work.", "Stop it (^g), or let it end.")

    async def _run(self, command: p.Score | p.Candidates) -> None:
        """Run a command on its model, which is loaded first if another one is, or none."""
        settings, loaded = command.settings, self._engine.loaded
        names = (self._engine.model, None if loaded is None else loaded.model.id)
        dtype = settings.dtype if loaded is None else loaded.model.dtype
        if settings.model not in names or settings.dtype not in (None, dtype):
            self._engine.pending = command
            self._load(settings.model, settings.dtype)
        elif not await self._engine.run(command):
            self._services.start_engine()
