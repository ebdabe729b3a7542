"""A measurement of layers by the app's engine."""

from __future__ import annotations

from gelu_tui.core import protocol as p
from gelu_tui.core.lab.layers import LayersDocument, LayersState
from gelu_tui.tui.lab.engine_job import EngineJob


class LayersJob(EngineJob[p.Layers, LayersState]):
    """The layers that were measured last. What is stopped can go on: an equal command does so."""

    def _begun(self, event: p.Event) -> LayersState | None:
        return LayersState(event) if isinstance(event, p.LayersStarted) else None

    def document(self) -> LayersDocument | None:
        """What is measured so far; None before it has begun."""
        if self.state is None or self.loaded is None:
            return None
        status = self.status or "cancelled"
        return self.state.document(self.loaded, self.source, status=status, error=self.error)
