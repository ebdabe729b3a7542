"""A measurement of the lab by the app's engine: asked for, stopped, and what the engine says."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.protocol.gathering import Growing
from gelu_tui.core.scoring.document import ScoreSource
from gelu_tui.core.settings.run_settings import Dtype
from gelu_tui.tui.engine_link.session import Phase
from gelu_tui.tui.services import Services

_BUSY = (Phase.RUNNING, Phase.STOPPING)


_Command = TypeVar("_Command", bound=p.OverText)
_State = TypeVar("_State", bound=Growing)


class Measurement(Generic[_Command, _State]):
    """One text that is measured, or was: asked for, running, ended or read from a file."""

    def __init__(self, command: _Command, source: ScoreSource) -> None:
        self.command, self.source = command, source
        self.loaded: p.Loaded | None = None  # the model that is measured
        self.state: _State | None = None
        self.progress: p.Progress | None = None
        self.status: p.Status | None = None  # None until it has ended
        self.error: ErrorInfo | None = None

    @abstractmethod
    def _begun(self, event: p.Event) -> _State | None:
        """What is measured from this event on, None if it begins nothing."""

    @property
    def is_live(self) -> bool:
        """Whether it waits for the engine, or runs."""
        return self.status is None

    def apply(self, event: p.Event, loaded: p.Loaded | None) -> None:
        """Apply an answer of the engine, in which `loaded` is. Raises `ProtocolError`."""
        if (begun := self._begun(event)) is not None:
            self.state, self.loaded = begun, loaded
        if self.state is not None:
            self.state.apply(event)
        match event:
            case p.Progress():
                self.progress = event
            case p.Failed(error):
                self.end("failed", error)
            case p.Cancelled():
                self.end("cancelled")
            case p.ScoreFinished() | p.LayersFinished() | p.InputsFinished():
                self.end(event.status, event.error)

    def end(self, status: p.Status, error: ErrorInfo | None = None) -> None:
        """It has ended; what there is stays."""
        if self.is_live:
            self.status, self.error, self.progress = status, error, None


_Measured = TypeVar("_Measured", bound=Measurement)  # type: ignore[type-arg]  # of any kind


class EngineJob(Generic[_Measured]):
    """Keeps the measurement that is shown, whether or not its screen is open.

    `load` loads another model in place of the app's. `version` grows with what there is to show,
    and `on_change` is called then.
    """

    def __init__(self, services: Services, load: Callable[[str, Dtype | None], None]) -> None:
        self._services, self._engine, self._load = services, services.engine, load
        self.on_change: Callable[[], object] = lambda: None
        self.shown: _Measured | None = None
        self.version = 0
        self._id: int | None = None  # of the engine's answers, from the first one on

    @property
    def is_live(self) -> bool:
        """Whether what is shown waits for the engine, or runs."""
        return self.shown is not None and self.shown.is_live

    async def begin(self, shown: _Measured) -> None:
        """Measure a text, now or as soon as the model is loaded; show what has ended as it is.

        Raises `GeluError` while the engine has other work.
        """
        if shown.is_live:
            self._check_free()
        self.shown, self._id = shown, None
        self._changed()
        if shown.is_live:
            await self._run(shown.command)

    async def stop(self) -> None:
        """Stop it; what there is stays."""
        if self.shown is None or not self.shown.is_live:
            return
        if self._engine.pending is self.shown.command:
            self._engine.withdraw()
            self.shown.end("cancelled")
            self._changed()
        else:
            await self._engine.stop()

    def take(self, event: p.Event) -> bool:
        """Apply an event of the engine; return whether it was an answer to this alone.

        Raises `ProtocolError`.
        """
        shown, engine = self.shown, self._engine
        if shown is None or not shown.is_live:
            return False
        is_sent = engine.loaded is not None and engine.command is shown.command
        if is_sent and event.id == engine.job:
            self._id = event.id
        is_ours = event.id == self._id
        if is_ours:
            shown.apply(event, engine.loaded)
        elif engine.pending is shown.command:
            if isinstance(event, p.Progress):  # of the load
                shown.progress = event
        elif not is_sent:  # the load has failed, or something else was begun instead
            error = event.error if isinstance(event, p.Failed) else None
            shown.end("cancelled" if error is None else "failed", error)
        self._changed()
        return is_ours

    def lost(self, error: ErrorInfo) -> None:
        """The engine has died: what was measured stays."""
        if self.shown is not None:
            self.shown.end("failed", error)
            self._changed()

    def _check_free(self) -> None:
        if self._services.running_sweep is not None:
            message = "A sweep is running, and the model is in memory once."
            raise GeluError("busy", message, "Stop the sweep, or let it end.")
        if self._engine.phase in _BUSY or self._engine.pending is not None:
            raise GeluError("busy", "The engine is at work.", "Stop it (^g), or let it end.")

    async def _run(self, command: p.OverText | p.Candidates) -> None:
        """Run a command on its model, which is loaded first if another one is, or none."""
        settings, loaded = command.settings, self._engine.loaded
        names = (self._engine.model, None if loaded is None else loaded.model.id)
        dtype = settings.dtype if loaded is None else loaded.model.dtype
        if settings.model not in names or settings.dtype not in (None, dtype):
            self._engine.pending = command
            self._load(settings.model, settings.dtype)
        elif not await self._engine.run(command):
            self._services.start_engine()

    def _changed(self) -> None:
        self.version += 1
        self.on_change()
