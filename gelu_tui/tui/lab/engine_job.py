"""A measurement of the lab by the app's engine: asked for, stopped, and what the engine says."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.scoring.document import ScoreSource
from gelu_tui.core.settings.run_settings import Dtype
from gelu_tui.tui.engine_link.session import Phase
from gelu_tui.tui.services import Services

_BUSY = (Phase.RUNNING, Phase.STOPPING)


class Growing(Protocol):
    """What is measured so far."""

    def apply(self, event: p.Event) -> None:
        """Apply an event. Raises `ProtocolError`."""


_Command = TypeVar("_Command", bound=p.OverText)
_State = TypeVar("_State", bound=Growing)


class EngineJob(Generic[_Command, _State]):
    """Keeps the last measurement, whether or not its screen is open.

    `load` loads another model in place of the app's. `version` grows with what there is to show,
    and `on_change` is called then.
    """

    def __init__(self, services: Services, load: Callable[[str, Dtype | None], None]) -> None:
        self._services, self._engine, self._load = services, services.engine, load
        self.on_change: Callable[[], object] = lambda: None
        self.command: _Command | None = None
        self.source = ScoreSource("text", "")
        self.version = 0
        self._clear()

    def _clear(self) -> None:
        self.state: _State | None = None
        self.progress: p.Progress | None = None
        self.status: p.Status | None = None
        self.error: ErrorInfo | None = None
        self.loaded: p.Loaded | None = None  # the model that is measured
        self._id = 0
        self._changed()

    @abstractmethod
    def _begun(self, event: p.Event) -> _State | None:
        """What is measured from this event on, None if it begins nothing."""

    @property
    def is_live(self) -> bool:
        """Whether it was asked for and has not ended."""
        return self.command is not None and self.status is None

    async def begin(self, command: _Command, source: ScoreSource) -> None:
        """Measure a text, now or as soon as the model is loaded.

        Raises `GeluError` while the engine has other work.
        """
        if self._services.running_sweep is not None:
            message = "A sweep is running, and the model is in memory once."
            raise GeluError("busy", message, "Stop the sweep, or let it end.")
        if self._engine.phase in _BUSY or self._engine.pending is not None:
            raise GeluError("busy", "The engine is at work.", "Stop it (^g), or let it end.")
        self.command, self.source = command, source
        self._clear()
        settings, loaded = command.settings, self._engine.loaded
        names = (self._engine.model, None if loaded is None else loaded.model.id)
        dtype = settings.dtype if loaded is None else loaded.model.dtype
        if settings.model not in names or settings.dtype not in (None, dtype):
            self._engine.pending = command
            self._load(settings.model, settings.dtype)
        elif not await self._engine.run(command):
            self._services.start_engine()

    async def stop(self) -> None:
        """Stop it; what there is stays."""
        if not self.is_live:
            return
        if self._engine.pending is self.command:
            self._engine.withdraw()
            self._end("cancelled")
        else:
            await self._engine.stop()

    def take(self, event: p.Event) -> bool:
        """Apply an event of the engine; return whether it was an answer to this alone.

        Raises `ProtocolError`.
        """
        if not self.is_live:
            return False
        is_ours = self._engine.command is self.command
        if is_ours and (begun := self._begun(event)) is not None:
            self._id, self.loaded, self.state = event.id, self._engine.loaded, begun
        has_begun = self.state is not None and event.id == self._id
        refused = isinstance(event, p.Failed | p.Cancelled) and is_ours and self.state is None
        if has_begun or refused:
            self._apply(event)
            return True
        if isinstance(event, p.Progress):
            self.progress = event  # of the load
        elif isinstance(event, p.Failed | p.Cancelled) and self._engine.pending is None:
            self._end("failed", event.error if isinstance(event, p.Failed) else None)
        self._changed()
        return False

    def lost(self, error: ErrorInfo) -> None:
        """The engine has died: what was measured stays."""
        if self.is_live:
            self._end("failed", error)

    def _apply(self, event: p.Event) -> None:
        if self.state is not None:
            self.state.apply(event)
        match event:
            case p.Progress():
                self.progress = event
            case p.Failed():
                self._end("failed", event.error)
            case p.Cancelled():
                self._end("cancelled")
            case p.LayersFinished() | p.InputsFinished():
                self._end(event.status, event.error)
        self._changed()

    def _end(self, status: p.Status, error: ErrorInfo | None = None) -> None:
        self.status, self.error, self.progress = status, error, None
        self._changed()

    def _changed(self) -> None:
        self.version += 1
        self.on_change()
