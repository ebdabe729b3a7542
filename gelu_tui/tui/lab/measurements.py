"""What the app's engine measures for the lab, but for a text in colour."""

from __future__ import annotations

from gelu_tui.core import protocol as p
from gelu_tui.core.lab.inputs import ReadInputs
from gelu_tui.core.lab.layers import LayersDocument, LayersState
from gelu_tui.tui.lab.engine_job import Measurement


class MeasuredInputs(Measurement[p.GateInputs, ReadInputs]):
    """A model's own inputs while it reads a text."""

    def _begun(self, event: p.Event) -> ReadInputs | None:
        return ReadInputs(event) if isinstance(event, p.InputsStarted) else None


class MeasuredLayers(Measurement[p.Layers, LayersState]):
    """What each layer does. What is stopped can go on: an equal command does so."""

    def _begun(self, event: p.Event) -> LayersState | None:
        return LayersState(event) if isinstance(event, p.LayersStarted) else None

    def document(self) -> LayersDocument | None:
        """What is measured so far; None before it has begun."""
        if self.state is None or self.loaded is None:
            return None
        status = self.status or "cancelled"
        return self.state.document(self.loaded, self.source, status=status, error=self.error)
