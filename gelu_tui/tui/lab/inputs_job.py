"""A model's own inputs, read by the app's engine."""

from __future__ import annotations

from gelu_tui.core import protocol as p
from gelu_tui.core.lab.inputs import ReadInputs
from gelu_tui.tui.lab.engine_job import EngineJob


class InputsJob(EngineJob[p.GateInputs, ReadInputs]):
    """The inputs that were read last."""

    def _begun(self, event: p.Event) -> ReadInputs | None:
        return ReadInputs(event) if isinstance(event, p.InputsStarted) else None
