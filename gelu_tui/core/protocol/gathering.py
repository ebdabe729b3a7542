"""What a command's answers tell of, gathered while they come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from gelu_tui.core import protocol as p


class Growing(Protocol):
    """What is known so far."""

    def apply(self, event: p.Event) -> None:
        """Apply an event. Raises `ProtocolError`."""


_Started = TypeVar("_Started", bound=p.Event)
_State = TypeVar("_State", bound=Growing)


class Gathering(Generic[_Started, _State]):
    """`state` is what the events tell of, from the one of the kind `begins` on that begins it."""

    def __init__(self, begins: type[_Started], begun: Callable[[_Started], _State]) -> None:
        self._begins, self._begun = begins, begun
        self.state: _State | None = None

    def take(self, event: p.Event) -> None:
        """Begin, or apply what follows. Raises `ProtocolError`."""
        if isinstance(event, self._begins):
            self.state = self._begun(event)
        if self.state is not None:
            self.state.apply(event)
